//! Expressions of a plan. What comes out stands anywhere in a statement: it is a name, a value, a call, or in brackets.

use super::functions::{Argument, Call};
use super::messages::{
    AggregateFunction, ArgumentKind, Bound, BoundKind, Cast, ContextKind, ContextVariable, DynamicParameter,
    Expression, ExpressionKind, FieldReference, IfThen, LiteralKind, Nested, NestedKind, ReferenceSegment, Rel,
    RootKind, SegmentKind, SetComparison, StructField, Subquery, SubqueryKind, SwitchExpression, WindowFunction,
};
use super::relations::{Field, at_position, ordered};
use super::types;
use super::{Made, Writer, invalid, unsupported};

/// A cast that gives NULL for what it cannot convert.
const RETURN_NULL: i32 = 1;
/// An aggregate that is worked out in one go, said or not.
const WHOLE_PHASES: [i32; 2] = [0, 3];
const ALL: [i32; 2] = [0, 1];
const DISTINCT: i32 = 2;
const ROWS: i32 = 1;
const RANGE: i32 = 2;
const EXISTS: i32 = 1;
const ANY: i32 = 1;
const EVERY: i32 = 2;

impl<'a> Writer<'a> {
    pub(super) fn expression(&mut self, expression: &'a Expression, fields: &[Field]) -> Made<String> {
        Ok(self.column(expression, fields)?.text)
    }

    pub(super) fn needed(&mut self, expression: Option<&'a Expression>, fields: &[Field]) -> Made<String> {
        match expression {
            Some(expression) => self.expression(expression, fields),
            None => Err(invalid("an expression is missing")),
        }
    }

    /// An expression with what is known of its fields.
    pub(super) fn column(&mut self, expression: &'a Expression, fields: &[Field]) -> Made<Field> {
        let text = match &expression.kind {
            Some(ExpressionKind::Selection(reference)) => return self.reference(reference, fields),
            Some(ExpressionKind::Literal(literal)) => self.literal(literal)?,
            Some(ExpressionKind::Scalar(function)) => {
                let call = self.call(
                    function.function,
                    &function.arguments,
                    &function.args,
                    &function.options,
                )?;
                self.scalar(&call, fields)?
            }
            Some(ExpressionKind::Window(function)) => self.window(function, fields)?,
            Some(ExpressionKind::IfThen(cases)) => self.if_then(cases, fields)?,
            Some(ExpressionKind::Switch(switch)) => self.switch(switch, fields)?,
            Some(ExpressionKind::OneOf(list)) => {
                let is_query = |option: &Expression| matches!(option.kind, Some(ExpressionKind::Subquery(_)));
                let value = self.needed(list.value.as_deref(), fields)?;
                let options = self.expressions(&list.options, fields)?;
                match options.as_slice() {
                    [] => return Err(unsupported("a list of no options")),
                    // In a list of its own a query would be asked for all of its rows.
                    [option] => format!("({value} = {option})"),
                    _ if list.options.iter().any(is_query) => return Err(unsupported("queries in a list of options")),
                    options => format!("({value} IN ({}))", options.join(", ")),
                }
            }
            Some(ExpressionKind::Cast(cast)) => self.cast_of(cast, fields)?,
            Some(ExpressionKind::Subquery(subquery)) => self.subquery(subquery, fields)?,
            Some(ExpressionKind::Nested(nested)) => self.nested(nested, fields)?,
            Some(ExpressionKind::Parameter(parameter)) => self.parameter(parameter)?,
            Some(ExpressionKind::Context(variable)) => context(variable)?,
            Some(ExpressionKind::MultiOrList(_)) => return Err(unsupported("lists of records")),
            Some(ExpressionKind::Lambda(_) | ExpressionKind::LambdaInvocation(_)) => {
                return Err(unsupported("lambdas"));
            }
            None => return Err(unsupported("an expression of a kind that this server does not know")),
        };
        Ok(Field::made(text))
    }

    pub(super) fn expressions(&mut self, all: &'a [Expression], fields: &[Field]) -> Made<Vec<String>> {
        all.iter().map(|one| self.expression(one, fields)).collect()
    }

    fn reference(&mut self, reference: &'a FieldReference, fields: &[Field]) -> Made<Field> {
        let Some(segment) = &reference.direct else {
            return Err(unsupported("masks of columns in expressions"));
        };
        let field = match &reference.root {
            None | Some(RootKind::Root(_)) => within(segment, fields)?,
            Some(RootKind::Outer(outer)) => {
                let steps = match (outer.steps_out, outer.relation) {
                    (Some(steps), None) => usize::try_from(steps).unwrap_or(usize::MAX),
                    _ => return Err(unsupported("references to a relation by its anchor")),
                };
                let around = self.outside.len().checked_sub(steps).filter(|_| steps > 0);
                match around.and_then(|around| self.outside.get(around)) {
                    Some(outside) => within(segment, outside)?,
                    None => return Err(invalid("it refers to a query around that is not there")),
                }
            }
            Some(RootKind::Expression(_)) => return Err(unsupported("fields of an expression")),
            Some(RootKind::LambdaParameter(_)) => return Err(unsupported("lambdas")),
        };
        self.spend(field.text.len())?;
        Ok(field)
    }

    fn window(&mut self, function: &'a WindowFunction, fields: &[Field]) -> Made<String> {
        let call = self.call(
            function.function,
            &function.arguments,
            &function.args,
            &function.options,
        )?;
        let is_distinct = whole(function.phase, function.invocation)?;
        if is_distinct {
            return Err(unsupported("a window over distinct values"));
        }
        let call = self.aggregated(&call, "", "", fields)?;
        let mut window = Vec::new();
        let partitions = self.expressions(&function.partitions, fields)?;
        if !partitions.is_empty() {
            window.push(format!("PARTITION BY {}", partitions.join(", ")));
        }
        let order = ordered(&self.order(&function.sorts, fields)?);
        if !order.is_empty() {
            window.push(order.trim_start().to_owned());
        }
        // Without bounds it is the whole partition, which is not what SQL means without a frame.
        if function.lower_bound.is_some() || function.upper_bound.is_some() || !function.sorts.is_empty() {
            let unit = match (function.bounds_type, function.sorts.is_empty()) {
                (ROWS, _) | (0, true) => "ROWS",
                (RANGE, _) | (0, false) => "RANGE",
                _ => return Err(unsupported("a frame other than ROWS or RANGE")),
            };
            let lower = bound(function.lower_bound.as_deref(), "PRECEDING")?;
            let upper = bound(function.upper_bound.as_deref(), "FOLLOWING")?;
            window.push(format!("{unit} BETWEEN {lower} AND {upper}"));
        }
        Ok(format!("{call} OVER ({})", window.join(" ")))
    }

    pub(super) fn aggregate_function(&mut self, function: &'a AggregateFunction, fields: &[Field]) -> Made<String> {
        let call = self.call(
            function.function,
            &function.arguments,
            &function.args,
            &function.options,
        )?;
        let distinct = match whole(function.phase, function.invocation)? {
            true => "DISTINCT ",
            false => "",
        };
        let order = ordered(&self.order(&function.sorts, fields)?);
        self.aggregated(&call, distinct, &order, fields)
    }

    fn if_then(&mut self, cases: &'a IfThen, fields: &[Field]) -> Made<String> {
        let mut text = "CASE".to_owned();
        for (at, case) in cases.ifs.iter().enumerate() {
            let condition = self.needed(case.condition.as_deref(), fields)?;
            match &case.then {
                Some(then) => text.push_str(&format!(" WHEN {condition} THEN {}", self.expression(then, fields)?)),
                // How the engine's own plans say what is compared with the others.
                None if at == 0 => text.push_str(&format!(" {condition}")),
                None => return Err(invalid("a case has no result")),
            }
        }
        self.otherwise(text, cases.otherwise.as_deref(), fields)
    }

    fn switch(&mut self, switch: &'a SwitchExpression, fields: &[Field]) -> Made<String> {
        let mut text = format!("CASE {}", self.needed(switch.subject.as_deref(), fields)?);
        for case in &switch.ifs {
            let Some(value) = &case.value else {
                return Err(invalid("a case has no value"));
            };
            let value = self.literal(value)?;
            text.push_str(&format!(
                " WHEN {value} THEN {}",
                self.needed(case.then.as_deref(), fields)?
            ));
        }
        self.otherwise(text, switch.otherwise.as_deref(), fields)
    }

    fn otherwise(&mut self, mut text: String, otherwise: Option<&'a Expression>, fields: &[Field]) -> Made<String> {
        if !text.contains(" WHEN ") {
            return Err(invalid("a choice has no case"));
        }
        if let Some(otherwise) = otherwise {
            text.push_str(&format!(" ELSE {}", self.expression(otherwise, fields)?));
        }
        Ok(format!("({text} END)"))
    }

    fn cast_of(&mut self, cast: &'a Cast, fields: &[Field]) -> Made<String> {
        let Some(target) = &cast.target else {
            return Err(invalid("a cast has no type"));
        };
        let input = self.needed(cast.input.as_deref(), fields)?;
        self.cast(&input, target, cast.failure_behavior == RETURN_NULL)
    }

    fn nested(&mut self, nested: &'a Nested, fields: &[Field]) -> Made<String> {
        match &nested.kind {
            Some(NestedKind::List(list)) => Ok(types::call("make_array", &self.expressions(&list.values, fields)?)),
            Some(NestedKind::Struct(_)) => Err(unsupported("structs made of columns")),
            Some(NestedKind::Map(_)) => Err(unsupported("maps made of columns")),
            None => Err(invalid("a nested value has no kind")),
        }
    }

    /// A value that the plan itself gives, or one to be bound.
    fn parameter(&mut self, parameter: &'a DynamicParameter) -> Made<String> {
        if let Some(value) = self.bound.get(&parameter.reference).copied() {
            return self.literal(value);
        }
        let number = format!("${}", u64::from(parameter.reference) + 1);
        match &parameter.kind {
            Some(kind) => self.cast(&number, kind, false),
            None => Ok(number),
        }
    }

    /// A number of rows; none for NULL, which is no limit.
    pub(super) fn rows(&mut self, expression: &'a Expression) -> Made<Option<String>> {
        let whole = match &expression.kind {
            Some(ExpressionKind::Literal(literal)) => match &literal.kind {
                Some(LiteralKind::I64(rows)) => *rows,
                Some(LiteralKind::I32(rows) | LiteralKind::I16(rows) | LiteralKind::I8(rows)) => i64::from(*rows),
                Some(LiteralKind::Null(_)) => return Ok(None),
                _ => return Err(invalid("a number of rows is no whole number")),
            },
            Some(ExpressionKind::Parameter(parameter)) if !self.bound.contains_key(&parameter.reference) => {
                return Ok(Some(format!("${}", u64::from(parameter.reference) + 1)));
            }
            _ => return Err(unsupported("a number of rows that is to be worked out")),
        };
        match whole {
            0.. => Ok(Some(whole.to_string())),
            _ => Err(invalid("a number of rows is negative")),
        }
    }

    fn subquery(&mut self, subquery: &'a Subquery, fields: &[Field]) -> Made<String> {
        match &subquery.kind {
            Some(SubqueryKind::Scalar(scalar)) => {
                Ok(format!("({})", self.within(scalar.input.as_deref(), fields, Some(1))?))
            }
            Some(SubqueryKind::In(within)) => {
                let [needle] = within.needles.as_slice() else {
                    return Err(unsupported("more than one column that is looked for in a query"));
                };
                let needle = self.expression(needle, fields)?;
                let haystack = self.within(within.haystack.as_deref(), fields, Some(1))?;
                Ok(format!("({needle} IN ({haystack}))"))
            }
            Some(SubqueryKind::Set(set)) if set.op == EXISTS => Ok(format!(
                "(EXISTS ({}))",
                self.within(set.tuples.as_deref(), fields, None)?
            )),
            Some(SubqueryKind::Set(_)) => Err(unsupported("a test that rows are unique")),
            Some(SubqueryKind::Comparison(comparison)) => self.comparison(comparison, fields),
            None => Err(invalid("a subquery has no kind")),
        }
    }

    fn comparison(&mut self, comparison: &'a SetComparison, fields: &[Field]) -> Made<String> {
        let quantifier = match comparison.reduction {
            ANY => "ANY",
            EVERY => "ALL",
            _ => return Err(invalid("a comparison with a query says neither ANY nor ALL")),
        };
        let operator = match comparison.comparison {
            1 => "=",
            2 => "<>",
            3 => "<",
            4 => ">",
            5 => "<=",
            6 => ">=",
            _ => return Err(invalid("a comparison with a query does not say how it compares")),
        };
        let left = self.needed(comparison.left.as_deref(), fields)?;
        let right = self.within(comparison.right.as_deref(), fields, Some(1))?;
        Ok(format!("({left} {operator} {quantifier} ({right}))"))
    }

    /// A query within this one, from which this one's columns are in sight.
    fn within(&mut self, relation: Option<&'a Rel>, fields: &[Field], columns: Option<usize>) -> Made<String> {
        let copied = self.copied(fields)?;
        self.outside.push(copied);
        let relation = self.input(relation);
        self.outside.pop();
        let relation = relation?;
        match columns {
            Some(columns) if columns != relation.fields.len() => {
                Err(invalid("a subquery has another number of columns than its place takes"))
            }
            _ => self.sealed(&relation),
        }
    }

    /// The arguments of a call as they are, after each other.
    pub(super) fn arguments(&mut self, arguments: &[Argument<'a>], fields: &[Field]) -> Made<Vec<String>> {
        let mut all = Vec::with_capacity(arguments.len());
        for argument in arguments {
            all.push(match argument {
                Argument::Value(value) => self.expression(value, fields)?,
                Argument::Word(_) => return Err(unsupported("this choice of how a function works")),
            });
        }
        Ok(all)
    }

    fn aggregated(&mut self, call: &Call<'a>, distinct: &str, order: &str, fields: &[Field]) -> Made<String> {
        let name = super::functions::aggregate(call)?;
        let arguments = self.arguments(&call.values(), fields)?.join(", ");
        let arguments = match (arguments.is_empty(), name) {
            (true, "count") => "*",
            _ => &arguments,
        };
        Ok(format!("{}({distinct}{arguments}{order})", super::quoted(name)))
    }
}

/// The column that a reference leads to, down through fields of structs.
fn within(segment: &ReferenceSegment, fields: &[Field]) -> Made<Field> {
    let StructField { field, child } = struct_field(segment)?;
    let mut found = at_position(fields, *field)?.clone();
    let mut next = child.as_deref();
    while let Some(segment) = next {
        let StructField { field, child } = struct_field(segment)?;
        let inner = usize::try_from(*field).ok();
        let Some((name, shape)) = inner.and_then(|inner| found.shape.fields.get(inner)) else {
            return Err(invalid("it refers to a field of a struct that is not there"));
        };
        found = Field {
            shape: shape.clone(),
            ..Field::made(types::call("get_field", &[found.text.clone(), types::text(name)]))
        };
        next = child.as_deref();
    }
    Ok(found)
}

fn struct_field(segment: &ReferenceSegment) -> Made<&StructField> {
    match &segment.kind {
        Some(SegmentKind::StructField(field)) => Ok(field),
        Some(SegmentKind::MapKey(_) | SegmentKind::ListElement(_)) => {
            Err(unsupported("references to elements of lists and maps"))
        }
        None => Err(invalid("a reference leads nowhere")),
    }
}

/// Whether an aggregate is of distinct values.
fn whole(phase: i32, invocation: i32) -> Made<bool> {
    if !WHOLE_PHASES.contains(&phase) {
        return Err(unsupported("aggregates in phases"));
    }
    match invocation {
        DISTINCT => Ok(true),
        all if ALL.contains(&all) => Ok(false),
        _ => Err(invalid("an aggregate is neither of all values nor of distinct ones")),
    }
}

fn bound(bound: Option<&Bound>, end: &str) -> Made<String> {
    let distance = |distance: &super::messages::Distance, side: &str| match (&distance.expression, distance.offset) {
        (None, rows @ 0..) => Ok(format!("{rows} {side}")),
        (None, _) => Err(invalid("a frame begins or ends a negative number of rows away")),
        (Some(_), _) => Err(unsupported("a frame that is to be worked out")),
    };
    match bound.map(|bound| &bound.kind) {
        None | Some(Some(BoundKind::Unbounded(_))) => Ok(format!("UNBOUNDED {end}")),
        Some(Some(BoundKind::CurrentRow(_))) => Ok("CURRENT ROW".to_owned()),
        Some(Some(BoundKind::Preceding(rows))) => distance(rows, "PRECEDING"),
        Some(Some(BoundKind::Following(rows))) => distance(rows, "FOLLOWING"),
        Some(None) => Err(invalid("a frame's bound has no kind")),
    }
}

fn context(variable: &ContextVariable) -> Made<String> {
    match &variable.kind {
        Some(ContextKind::Timestamp(_)) => Ok("now()".to_owned()),
        Some(ContextKind::Date(_)) => Ok("current_date()".to_owned()),
        Some(ContextKind::Timezone(_)) => Err(unsupported("the time zone of the session")),
        None => Err(invalid("a variable has no kind")),
    }
}

/// A value argument of a call is a plain expression.
pub(super) fn argument(kind: Option<&ArgumentKind>) -> Made<Argument<'_>> {
    match kind {
        Some(ArgumentKind::Value(value)) => Ok(Argument::Value(value)),
        Some(ArgumentKind::Enum(word)) => Ok(Argument::Word(word)),
        Some(ArgumentKind::Type(_)) => Err(unsupported("types as arguments of functions")),
        None => Err(invalid("an argument of a function is missing")),
    }
}
