//! Functions of a plan: operators of SQL by their names in the format, everything else by its own name, which the session
//! then knows or does not know, as in any statement.

use super::expressions::argument;
use super::messages::{Expression, ExpressionKind, FunctionArgument, FunctionOption, LiteralKind, ScalarFunction};
use super::relations::Field;
use super::types;
use super::{Made, Writer, invalid, unsupported};

/// Longest name of a function.
const NAME_MAX: usize = 64;

/// Operators between two values.
const OPERATORS: [(&str, &str); 23] = [
    ("equal", "="),
    ("not_equal", "<>"),
    ("lt", "<"),
    ("lte", "<="),
    ("gt", ">"),
    ("gte", ">="),
    ("subtract", "-"),
    ("divide", "/"),
    ("modulus", "%"),
    ("mod", "%"),
    ("is_distinct_from", "IS DISTINCT FROM"),
    ("is_not_distinct_from", "IS NOT DISTINCT FROM"),
    ("bitwise_and", "&"),
    ("bitwise_or", "|"),
    ("bitwise_xor", "^"),
    ("shift_left", "<<"),
    ("bitwise_shift_left", "<<"),
    ("shift_right", ">>"),
    ("bitwise_shift_right", ">>"),
    ("str_concat", "||"),
    ("regex_match", "~"),
    ("regex_imatch", "~*"),
    // Of truths: true where one of them is.
    ("xor", "<>"),
];

/// Operators that make one chain of many values.
const CHAINS: [(&str, &str); 4] = [("and", "AND"), ("or", "OR"), ("add", "+"), ("multiply", "*")];

/// What stands behind a value.
const TESTS: [(&str, &str); 8] = [
    ("is_null", "IS NULL"),
    ("is_not_null", "IS NOT NULL"),
    ("is_true", "IS TRUE"),
    ("is_false", "IS FALSE"),
    ("is_not_true", "IS NOT TRUE"),
    ("is_not_false", "IS NOT FALSE"),
    ("is_unknown", "IS UNKNOWN"),
    ("is_not_unknown", "IS NOT UNKNOWN"),
];

/// Functions that the engine calls otherwise.
const RENAMED: [(&str, &str); 9] = [
    ("least_skip_null", "least"),
    ("greatest_skip_null", "greatest"),
    ("is_nan", "isnan"),
    ("sign", "signum"),
    ("substring", "substr"),
    ("char_length", "character_length"),
    ("string_split", "string_to_array"),
    ("trim", "btrim"),
    ("truncate", "trunc"),
];

/// Aggregates that the engine calls otherwise.
const RENAMED_AGGREGATES: [(&str, &str); 4] = [
    ("any_value", "first_value"),
    ("approx_count_distinct", "approx_distinct"),
    ("std_dev", "stddev"),
    ("variance", "var_samp"),
];

/// Options, and of what they allow what the engine does. An option is a list of what its author can live with.
const OPTIONS: [(&str, &str); 4] = [
    ("overflow", "SILENT"),
    ("case_sensitivity", "CASE_SENSITIVE"),
    ("null_handling", "IGNORE_NULLS"),
    ("distribution", "SAMPLE"),
];
/// The same where it depends on the function.
const OWN_OPTIONS: [(&str, &str, &str); 2] = [
    ("round", "rounding", "TIE_AWAY_FROM_ZERO"),
    ("sqrt", "on_domain_error", "ERROR"),
];
/// Letters of a name that are told again.
const TOLD_CHARS: usize = 64;

/// Parts of a time. The engine's smaller ones than seconds have the seconds in them.
const COMPONENTS: [(&str, &str); 9] = [
    ("YEAR", "year"),
    ("QUARTER", "quarter"),
    ("MONTH", "month"),
    ("DAY", "day"),
    ("DAY_OF_YEAR", "doy"),
    ("ISO_WEEK", "week"),
    ("HOUR", "hour"),
    ("MINUTE", "minute"),
    ("SECOND", "second"),
];

/// A function and what it is called with.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: Vec<Argument<'a>>,
    /// What an option chose that decides which function is meant.
    of_population: bool,
}

/// One argument: a value, or a word that says how a function works.
#[derive(Clone, Copy)]
pub(super) enum Argument<'a> {
    Value(&'a Expression),
    Word(&'a str),
}

impl<'a> Call<'a> {
    /// The arguments without the word for a distribution, which has chosen the function.
    pub(super) fn values(&self) -> Vec<Argument<'a>> {
        let is_value = |argument: &&Argument<'_>| !matches!(argument, Argument::Word("SAMPLE" | "POPULATION"));
        self.arguments.iter().filter(is_value).copied().collect()
    }
}

/// The engine's name of an aggregate or a window function.
pub(super) fn aggregate<'a>(call: &Call<'a>) -> Made<&'a str> {
    let of_population = call.of_population
        || call
            .arguments
            .iter()
            .any(|argument| matches!(argument, Argument::Word("POPULATION")));
    match (call.name, of_population) {
        ("std_dev", true) => Ok("stddev_pop"),
        ("variance", true) => Ok("var_pop"),
        (_, true) => Err(unsupported("this choice of how a function works")),
        (name, false) => Ok(renamed(&RENAMED_AGGREGATES, name).unwrap_or(name)),
    }
}

fn renamed<'a>(names: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    names.iter().find(|(known, _)| *known == name).map(|(_, other)| *other)
}

impl<'a> Writer<'a> {
    /// The function that a plan calls by its number.
    pub(super) fn call(
        &mut self,
        anchor: u32,
        arguments: &'a [FunctionArgument],
        older: &'a [Expression],
        options: &'a [FunctionOption],
    ) -> Made<Call<'a>> {
        let name = self.function_name(anchor)?;
        self.spend(name.len())?;
        let arguments = match arguments.is_empty() {
            true => older.iter().map(Argument::Value).collect(),
            false => arguments
                .iter()
                .map(|one| argument(one.kind.as_ref()))
                .collect::<Made<_>>()?,
        };
        let mut of_population = false;
        for option in options {
            let own = OWN_OPTIONS
                .iter()
                .find(|(of, own, _)| *of == name && *own == option.name)
                .map(|(_, _, ours)| *ours);
            let known = own.or_else(|| renamed(&OPTIONS, &option.name));
            let is_met = known.is_some_and(|ours| option.preference.iter().any(|allowed| allowed == ours));
            if option.name == "distribution" && option.preference.first().is_some_and(|first| first == "POPULATION") {
                of_population = true;
            } else if !is_met {
                let told: String = option.name.chars().take(TOLD_CHARS).collect();
                return Err(unsupported(&format!("the option `{told}` of {name}")));
            }
        }
        Ok(Call {
            name,
            arguments,
            of_population,
        })
    }

    /// The name without the types that may follow it.
    fn function_name(&self, anchor: u32) -> Made<&'a str> {
        let Some(declared) = self.functions.get(&anchor).copied() else {
            return Err(invalid("it calls a function that it does not declare"));
        };
        let name = declared.name.split(':').next().unwrap_or_default();
        // The engine skips NULL, as the format's `least_skip_null` does.
        let is_from_nowhere = declared.uri == u32::MAX || declared.urn == u32::MAX;
        if matches!(name, "least" | "greatest") && !is_from_nowhere {
            return Err(unsupported(&format!(
                "the function {name}, which is NULL where an argument is"
            )));
        }
        let is_word = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match name.len() {
            1..=NAME_MAX if is_word(name) => Ok(name),
            _ => Err(invalid(
                "the name of a function is of letters, digits and _, at most 64 of them",
            )),
        }
    }

    pub(super) fn scalar(&mut self, call: &Call<'a>, fields: &[Field]) -> Made<String> {
        if let Some(operator) = renamed(&CHAINS, call.name) {
            let mut parts = Vec::new();
            self.chain(call, fields, &mut parts)?;
            return match parts.as_slice() {
                [] => Err(invalid(&format!("{} has no arguments", call.name))),
                _ => Ok(format!("({})", parts.join(&format!(" {operator} ")))),
            };
        }
        match call.name {
            "extract" => return self.extract(call, fields),
            "like" | "ilike" | "like_match" | "like_imatch" => return self.like(call, fields),
            _ => {}
        }
        let mut arguments = self.arguments(&call.arguments, fields)?;
        if let Some(operator) = renamed(&OPERATORS, call.name) {
            return match arguments.as_slice() {
                [left, right] => Ok(format!("({left} {operator} {right})")),
                _ => Err(invalid(&format!("{} takes two arguments", call.name))),
            };
        }
        if let Some(test) = renamed(&TESTS, call.name) {
            return match arguments.as_slice() {
                [value] => Ok(format!("({value} {test})")),
                _ => Err(invalid(&format!("{} takes one argument", call.name))),
            };
        }
        match (call.name, arguments.as_slice()) {
            ("not", [value]) => return Ok(format!("(NOT {value})")),
            ("negate" | "negative", [value]) => return Ok(format!("(- {value})")),
            ("and_not", [left, right]) => return Ok(format!("({left} AND NOT {right})")),
            ("between", [value, low, high]) => return Ok(format!("({value} BETWEEN {low} AND {high})")),
            ("not" | "negate" | "negative" | "and_not" | "between", _) => {
                return Err(invalid(&format!("{} has another number of arguments", call.name)));
            }
            // The format has the base behind the number, the engine before it; plans of the engine turn it for the format.
            ("log" | "logb", [_, _]) => arguments.swap(0, 1),
            _ => {}
        }
        let name = match call.name {
            "logb" => "log",
            name => renamed(&RENAMED, name).unwrap_or(name),
        };
        Ok(types::call(name, &arguments))
    }

    /// The parts of a chain, those of the same chain within included: (a AND b) AND c is one of three.
    fn chain(&mut self, call: &Call<'a>, fields: &[Field], parts: &mut Vec<String>) -> Made<()> {
        for argument in &call.arguments {
            match argument {
                Argument::Word(_) => return Err(unsupported("this choice of how a function works")),
                Argument::Value(value) => match self.same(call.name, value)? {
                    Some(inner) => self.chain(&inner, fields, parts)?,
                    None => parts.push(self.expression(value, fields)?),
                },
            }
        }
        Ok(())
    }

    /// The call that an expression is, if it is one of AND or OR within the same.
    fn same(&mut self, name: &str, value: &'a Expression) -> Made<Option<Call<'a>>> {
        match &value.kind {
            Some(ExpressionKind::Scalar(inner)) if matches!(name, "and" | "or") => {
                let ScalarFunction {
                    function,
                    args,
                    arguments,
                    options,
                } = inner.as_ref();
                match self.function_name(*function)? == name {
                    true => self.call(*function, arguments, args, options).map(Some),
                    false => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    fn extract(&mut self, call: &Call<'a>, fields: &[Field]) -> Made<String> {
        let [component, value] = call.arguments.as_slice() else {
            return Err(unsupported("extract with other than a part and a time"));
        };
        let word = match component {
            Argument::Word(word) => *word,
            Argument::Value(value) => match literal_text(value) {
                Some(word) => word,
                None => return Err(unsupported("extract of a part that is to be worked out")),
            },
        };
        let Some(part) = renamed(&COMPONENTS, word) else {
            return Err(unsupported("extract of this part of a time"));
        };
        let value = self.arguments(&[*value], fields)?;
        Ok(types::call("date_part", &[types::text(part), value.concat()]))
    }

    fn like(&mut self, call: &Call<'a>, fields: &[Field]) -> Made<String> {
        let word = match call.name {
            "ilike" | "like_imatch" => "ILIKE",
            _ => "LIKE",
        };
        let (value, pattern, escape) = match call.arguments.as_slice() {
            [value, pattern] => (value, pattern, None),
            [value, pattern, Argument::Value(escape)] => (value, pattern, Some(*escape)),
            _ => return Err(invalid("like takes a value, a pattern and perhaps a sign that escapes")),
        };
        let escape = match escape.map(|escape| (literal_text(escape), is_null(escape))) {
            None | Some((_, true)) => String::new(),
            Some((Some(sign), _)) if sign.chars().count() == 1 => format!(" ESCAPE {}", types::text(sign)),
            Some(_) => return Err(invalid("like takes one sign that escapes")),
        };
        let both = self.arguments(&[*value, *pattern], fields)?;
        Ok(format!("({}{escape})", both.join(&format!(" {word} "))))
    }
}

fn literal_text(expression: &Expression) -> Option<&str> {
    match &expression.kind {
        Some(ExpressionKind::Literal(literal)) => match &literal.kind {
            Some(LiteralKind::String(text) | LiteralKind::FixedChar(text)) => Some(text),
            Some(LiteralKind::VarChar(text)) => Some(&text.value),
            _ => None,
        },
        _ => None,
    }
}

fn is_null(expression: &Expression) -> bool {
    match &expression.kind {
        Some(ExpressionKind::Literal(literal)) => matches!(literal.kind, Some(LiteralKind::Null(_))),
        _ => false,
    }
}
