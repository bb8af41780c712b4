//! Calls of models by name: `predict('lab.s.m', rtb => x, catalyst => y)`, `predict_yield(rtb => x, …)`.
//!
//! The engine matches names with a function's own parameters, and those of `predict` follow from the model that it is asked about. So such a call is
//! written out by position before it is planned. A name that the model has no feature of is left out, so that whole rows can be given; a
//! missing one is an error that names it.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TableFactor, Value, VisitorMut,
};
use labhouse_udfs::Sight;

use super::LoadedModel;
use crate::query::QueryError;
use crate::query::statement::lake_name_from_text;
use crate::session::Governed;

/// What may stand among the names of a `predict_interval` beside features.
const COVERAGE: &str = "coverage";

/// Writes out by position what is called by name.
///
/// # Errors
/// A model that there is not or that the caller may not ask, and a feature without a value.
pub(crate) fn by_position(governed: &Governed, statement: &mut EngineStatement) -> Result<(), QueryError> {
    let mut calls = Calls {
        governed,
        refused: None,
    };
    crate::query::visit(statement, &mut calls);
    calls.refused.map_or(Ok(()), Err)
}

struct Calls<'a> {
    governed: &'a Governed,
    refused: Option<QueryError>,
}

impl VisitorMut for Calls<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(given),
            ..
        } = factor
        {
            return self.call(name, &mut given.args);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        if let Ast::Function(function) = expr
            && let FunctionArguments::List(list) = &mut function.args
        {
            return self.call(&function.name, &mut list.args);
        }
        ControlFlow::Continue(())
    }
}

impl Calls<'_> {
    fn call(&mut self, function: &ObjectName, arguments: &mut Vec<FunctionArg>) -> ControlFlow<()> {
        match self.written_out(function, arguments) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(positions)) => {
                *arguments = positions;
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.refused = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// The arguments by position; none if they are already, or the function is no model's.
    fn written_out(
        &self,
        function: &ObjectName,
        arguments: &[FunctionArg],
    ) -> Result<Option<Vec<FunctionArg>>, QueryError> {
        let [part] = function.0.as_slice() else {
            return Ok(None);
        };
        let Some(function) = part.as_ident().map(|name| name.value.to_lowercase()) else {
            return Ok(None);
        };
        if !arguments.iter().any(|argument| named(argument).is_some()) {
            return Ok(None);
        }
        let before = match function.as_str() {
            "predict" | "predict_interval" | "explain_prediction" => 1,
            "predict_proba" => 2,
            _ => 0,
        };
        let model = if before == 0 {
            let Some(model) = self.governed.by_function(&function) else {
                return Ok(None);
            };
            model
        } else {
            let Some(name) = arguments.first().and_then(text) else {
                return Err(QueryError::Invalid(format!(
                    "{function}: the first argument is the model's name, a text literal"
                )));
            };
            let name = lake_name_from_text(name)?;
            let model = self.governed.model(&name, &function);
            model.ok_or_else(|| QueryError::NotFound(format!("model 'lab.{name}' not found")))?
        };
        let sight = self.governed.sight(&model);
        positions(&function, before, arguments, &model, &sight).map(Some)
    }
}

fn positions(
    function: &str,
    before: usize,
    arguments: &[FunctionArg],
    model: &Arc<LoadedModel>,
    sight: &Sight,
) -> Result<Vec<FunctionArg>, QueryError> {
    let features = model.model().features();
    let unnamed = arguments
        .iter()
        .take_while(|argument| named(argument).is_none())
        .count();
    let (by_place, by_name) = arguments.split_at(unnamed);
    if by_place.len() < before {
        return Err(QueryError::Invalid(format!(
            "{function}: the first {before} arguments have no names; the features after them may have"
        )));
    }
    let mut positions = by_place.to_vec();
    let placed = positions.len() - before;
    let mut given: Vec<Option<FunctionArg>> = vec![None; features.len()];
    let mut coverage = None;
    for argument in by_name {
        let Some((name, value)) = named(argument) else {
            return Err(QueryError::Invalid(format!(
                "{function}: a value without a name stands after one with a name"
            )));
        };
        let value = FunctionArg::Unnamed(value.clone());
        // A feature that may not be named is not found by its name either.
        let known = || {
            features
                .iter()
                .enumerate()
                .filter(|(_, feature)| sight.names(&feature.name))
        };
        let exact = known().find(|(_, feature)| feature.name == name);
        let found = exact.or_else(|| known().find(|(_, feature)| feature.name.eq_ignore_ascii_case(name)));
        match found {
            Some((place, feature)) => {
                let slot = given.get_mut(place).filter(|slot| slot.is_none() && place >= placed);
                let Some(slot) = slot else {
                    return Err(QueryError::Invalid(format!(
                        "{function}: {} is given twice",
                        feature.name
                    )));
                };
                *slot = Some(value);
            }
            None if function == "predict_interval" && name.eq_ignore_ascii_case(COVERAGE) => coverage = Some(value),
            None => {}
        }
    }
    let wanted = given.into_iter().zip(features).skip(placed);
    let mut missing = Vec::new();
    for (value, feature) in wanted {
        match value {
            Some(value) => positions.push(value),
            None => missing.push(if sight.names(&feature.name) { &feature.name } else { "?" }),
        }
    }
    if !missing.is_empty() {
        return Err(QueryError::Invalid(format!(
            "{function}: missing: {}",
            missing.join(", ")
        )));
    }
    positions.extend(coverage);
    Ok(positions)
}

/// The name and the value of an argument by name.
fn named(argument: &FunctionArg) -> Option<(&str, &FunctionArgExpr)> {
    match argument {
        FunctionArg::Named { name, arg, .. } => Some((&name.value, arg)),
        FunctionArg::ExprNamed {
            name: Ast::Identifier(name),
            arg,
            ..
        } => Some((&name.value, arg)),
        FunctionArg::ExprNamed { .. } | FunctionArg::Unnamed(_) => None,
    }
}

fn text(argument: &FunctionArg) -> Option<&str> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Value(value))) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
