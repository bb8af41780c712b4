//! From parsed SQL to a typed, checked expression over a table's raw columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, ScalarUDF, Volatility, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;

use crate::filters::MaskHow;
use crate::mask::{Mask, MaskFunction};
use crate::principal::Principal;
use crate::template::{SECRET_SALT, Template, USER_PREFIX};
use crate::total::{self, NotTotal};

/// What placeholders stand for.
#[derive(Clone, Copy)]
pub(crate) struct Bindings<'a> {
    /// `None` while a policy is checked without a person: every attribute is then NULL.
    pub principal: Option<&'a Principal>,
    pub secret: Option<&'a str>,
}

/// Why SQL cannot be used on a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompileError {
    pub what: String,
    pub remedy: String,
}

impl From<NotTotal> for CompileError {
    fn from(NotTotal { what, remedy }: NotTotal) -> Self {
        Self { what, remedy }
    }
}

impl From<DataFusionError> for CompileError {
    fn from(error: DataFusionError) -> Self {
        Self::new(
            error.strip_backtrace(),
            "correct the SQL; it may use the table's columns and plain functions",
        )
    }
}

impl CompileError {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Compiles a row filter against a table. The result is boolean and total; `now()` is still a call, see [`pin_clock`].
pub(crate) fn row_filter(
    template: &Template,
    schema: &SchemaRef,
    state: &SessionState,
    with: Bindings<'_>,
) -> Result<Expr, CompileError> {
    let (expr, schema) = expression(template, schema, state, with)?;
    let found = expr.get_type(schema.as_ref())?;
    if !matches!(found, DataType::Boolean | DataType::Null) {
        return Err(CompileError::new(
            format!("the filter gives {found}, not true or false"),
            "write a condition",
        ));
    }
    check_total(&expr, &schema, state)?;
    Ok(expr)
}

/// Compiles a mask against one column. The result has the column's very type.
pub(crate) fn mask(
    how: &MaskHow,
    column: &str,
    schema: &SchemaRef,
    state: &SessionState,
    with: Bindings<'_>,
) -> Result<Expr, CompileError> {
    let field = schema
        .field_with_name(column)
        .map_err(|_| CompileError::new(format!("the table has no column `{column}`"), "correct the column"))?;
    let wanted = field.data_type();
    match how {
        MaskHow::Null => Ok(lit(ScalarValue::try_from(wanted)?)),
        MaskHow::Constant(value) => constant(value, wanted),
        MaskHow::Kind(kind) => {
            if !kind.fits(wanted) {
                let remedy = "use kind = \"null\" or \"constant\", or a kind for this type";
                return Err(CompileError::new(
                    format!("the mask is for {}, and `{column}` is {wanted}", kind.fitting()),
                    remedy,
                ));
            }
            let kind = match (kind, with.secret) {
                (Mask::Hash(_), Some(secret)) => Mask::Hash(secret.as_bytes().to_vec()),
                (Mask::Hash(_), None) => {
                    return Err(CompileError::new(
                        "kind = \"hash\" needs a secret",
                        crate::secret::REMEDY,
                    ));
                }
                (other, _) => other.clone(),
            };
            let raw = Expr::Column(Column::new_unqualified(column));
            Ok(ScalarUDF::new_from_impl(MaskFunction::new(kind)).call(vec![raw]))
        }
        MaskHow::Sql(template) => {
            let (expr, schema) = expression(template, schema, state, with)?;
            let found = expr.get_type(schema.as_ref())?;
            let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            let expr = match &found {
                same if same == wanted => expr,
                DataType::Null => lit(ScalarValue::try_from(wanted)?),
                found if text(found) && text(wanted) => Expr::Cast(Cast::new(Box::new(expr), wanted.clone())),
                found => {
                    let what =
                        format!("the mask gives {found} and the column is {wanted}: clients would see another type");
                    return Err(CompileError::new(what, format!("write a mask of type {wanted}")));
                }
            };
            check_total(&expr, &schema, state)?;
            Ok(expr)
        }
    }
}

/// Puts the time in the place of `now()` and `current_date()`. The session below the barrier lives as long as the
/// server, so its own idea of now is the time the server started: an embargo would never end.
pub(crate) fn pin_clock(expr: Expr, now: DateTime<Utc>) -> PlanResult<Expr> {
    let pinned = expr.transform_up(|expr| {
        let Expr::ScalarFunction(call) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let value = match call.func.name() {
            "now" => {
                let zone = match call.func.return_type(&[]) {
                    Ok(DataType::Timestamp(_, zone)) => zone,
                    _ => Some("+00:00".into()),
                };
                ScalarValue::TimestampNanosecond(now.timestamp_nanos_opt(), zone)
            }
            "current_date" => ScalarValue::Date32(i32::try_from(now.timestamp().div_euclid(86_400)).ok()),
            _ => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::yes(lit(value)))
    })?;
    Ok(pinned.data)
}

fn expression(
    template: &Template,
    schema: &SchemaRef,
    state: &SessionState,
    with: Bindings<'_>,
) -> Result<(Expr, Arc<DFSchema>), CompileError> {
    let schema = Arc::new(DFSchema::try_from(schema.as_ref().clone())?);
    let expr = state.create_logical_expr_from_sql_expr(template.expr.clone(), &schema)?;
    let expr = bind(expr, with)?;
    refuse_foreign(&expr)?;
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let mut expr = ExprSimplifier::new(context).coerce(expr, &schema)?;
    for rewrite in state.analyzer().function_rewrites() {
        expr = expr
            .transform_up(|expr| rewrite.rewrite(expr, &schema, state.config_options()))?
            .data;
    }
    Ok((expr, schema))
}

/// What can be told before types are known, in words better than the type checker's.
fn refuse_foreign(expr: &Expr) -> Result<(), CompileError> {
    let mut found = None;
    expr.apply(|node| {
        found = match node {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                Some(CompileError::new(
                    "a subquery is not allowed",
                    "bring the value in as $user.NAME, or as a column of the table",
                ))
            }
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Some(CompileError::new(
                "aggregate and window functions are not allowed",
                "a filter or mask may look at one row only",
            )),
            Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Volatile => {
                let what = format!("`{}` is volatile: it gives another value each time", call.func.name());
                Some(CompileError::new(
                    what,
                    "use functions of the row, now() and current_date()",
                ))
            }
            _ => None,
        };
        Ok(if found.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    found.map_or(Ok(()), Err)
}

fn check_total(expr: &Expr, schema: &Arc<DFSchema>, state: &SessionState) -> Result<(), CompileError> {
    let pinned = pin_clock(expr.clone(), Utc::now())?;
    Ok(total::check(&simplified(pinned, schema, state)?, schema)?)
}

/// The expression as the optimizer would hand it to a plan. Some functions (`coalesce`, `nvl`) only run in that form.
pub(crate) fn simplified(expr: Expr, schema: &Arc<DFSchema>, state: &SessionState) -> PlanResult<Expr> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    ExprSimplifier::new(context).simplify(expr)
}

/// Placeholders become literals. An attribute the person does not have is NULL, also as a list, so a condition on it is
/// NULL however it is turned, and NULL shows no row.
fn bind(expr: Expr, with: Bindings<'_>) -> PlanResult<Expr> {
    let bound = expr.transform_down(|expr| match expr {
        Expr::InList(InList { expr, list, negated }) if list.iter().any(is_user_placeholder) => {
            let mut values = Vec::with_capacity(list.len());
            for item in list {
                match (&item, user_values(&item, with)) {
                    (_, Some(found)) => values.extend(found.into_iter().map(lit)),
                    (Expr::Placeholder(_), None) => return Ok(Transformed::yes(lit(ScalarValue::Boolean(None)))),
                    (_, None) => values.push(item),
                }
            }
            if values.is_empty() {
                return Ok(Transformed::yes(lit(negated)));
            }
            Ok(Transformed::yes(Expr::InList(InList::new(expr, values, negated))))
        }
        Expr::Placeholder(p) if p.id == SECRET_SALT => Ok(Transformed::yes(match with.secret {
            Some(secret) => lit(secret),
            None => lit(ScalarValue::Utf8(None)),
        })),
        Expr::Placeholder(p) => {
            let name = p.id.strip_prefix(USER_PREFIX).unwrap_or_default().to_owned();
            let is_list = with.principal.is_some_and(|who| who.is_list(&name));
            let value = match user_values(&Expr::Placeholder(p), with) {
                Some(values) if is_list => ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8)),
                Some(values) => values.into_iter().next().unwrap_or(ScalarValue::Null),
                None => ScalarValue::Null,
            };
            Ok(Transformed::yes(lit(value)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bound.data)
}

fn is_user_placeholder(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(p) if p.id.starts_with(USER_PREFIX))
}

fn user_values(expr: &Expr, with: Bindings<'_>) -> Option<Vec<ScalarValue>> {
    let Expr::Placeholder(placeholder) = expr else {
        return None;
    };
    with.principal?.attribute(placeholder.id.strip_prefix(USER_PREFIX)?)
}

fn constant(value: &toml::Value, wanted: &DataType) -> Result<Expr, CompileError> {
    let scalar = match value {
        toml::Value::String(text) => ScalarValue::from(text.as_str()),
        toml::Value::Integer(number) => ScalarValue::from(*number),
        toml::Value::Float(number) => ScalarValue::from(*number),
        toml::Value::Boolean(flag) => ScalarValue::from(*flag),
        toml::Value::Datetime(at) => ScalarValue::from(at.to_string()),
        toml::Value::Array(_) | toml::Value::Table(_) => {
            return Err(CompileError::new(
                "the constant is a list or table",
                "write one text, number, date or true/false",
            ));
        }
    };
    let cast = scalar.cast_to(wanted).map_err(|_| {
        CompileError::new(
            format!("the constant {value} is no {wanted}"),
            "write a constant of the column's type",
        )
    })?;
    Ok(lit(cast))
}
