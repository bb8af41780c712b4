//! The rules' word on the fields inside one column, for one principal.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use chrono::Utc;
use datafusion::common::DFSchema;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_expr::PhysicalExpr;

use crate::access::TableObject;
use crate::compile::{self, Bindings, CompileError};
use crate::decision::{Decision, Question, Reason, RuleRef, Weighed};
use crate::filters;
use crate::nested::{Rulings, Shape, Word, shape};
use crate::object::Tags;
use crate::principal::Principal;
use crate::rules::{Attachment, FILE};
use crate::set::PolicySet;

/// Parts of the path of a column; a longer path is of a field inside one.
pub(crate) const COLUMN_DEPTH: usize = 4;

/// One column of one table as its rules see it.
pub(crate) struct Inside<'a> {
    pub set: &'a PolicySet,
    pub who: &'a Principal,
    pub table: &'a TableObject,
    pub state: &'a SessionState,
    pub select: &'a Question<'a>,
    /// The tag sets under which the column must be allowed.
    pub readings: &'a [Tags],
    /// The masks of the principal's roles.
    pub masks: &'a [&'a Attachment],
}

/// What is seen of a column that has fields inside, and how that came about.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// None when nothing of it is seen.
    pub shape: Option<Shape>,
    /// One for each path that was asked for, and one for each mask.
    pub steps: Vec<Step>,
}

/// The rules that spoke of one path.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The column and the fields below it.
    pub path: Vec<String>,
    pub word: Word,
    pub rules: Vec<RuleRef>,
    /// The mask that is put on it, by name; its attachment is the one rule.
    pub mask: Option<String>,
}

impl Inside<'_> {
    /// Looks at a column with its fields.
    ///
    /// # Errors
    /// A nested mask cannot be used, which closes the table.
    pub(crate) fn look(&self, path: &[&str; 3], field: &Field) -> Result<Look, Decision> {
        let asked = Asked {
            of: self,
            steps: RefCell::default(),
        };
        let [catalog, schema, table] = *path;
        let mut path = vec![catalog, schema, table, field.name().as_str()];
        let seen = shape(&asked, &mut path, false, field.data_type())?;
        Ok(Look {
            shape: seen,
            steps: asked.steps.into_inner(),
        })
    }
}

/// Remembers which rules spoke.
struct Asked<'a> {
    of: &'a Inside<'a>,
    steps: RefCell<Vec<Step>>,
}

impl Asked<'_> {
    fn step(&self, path: &[&str], word: Word, rules: Vec<RuleRef>, mask: Option<String>) {
        let path = path.iter().skip(COLUMN_DEPTH - 1).map(|part| (*part).to_owned());
        self.steps.borrow_mut().push(Step {
            path: path.collect(),
            word,
            rules,
            mask,
        });
    }
}

impl Rulings for Asked<'_> {
    type Error = Decision;

    fn word(&self, path: &[&str]) -> Word {
        let weighed: Vec<Weighed<'_>> = self
            .of
            .readings
            .iter()
            .map(|tags| self.of.select.weigh(path, tags))
            .collect();
        let (word, rules): (_, Vec<_>) = if weighed.is_empty() || weighed.iter().any(|w| !w.denies.is_empty()) {
            (Word::Denied, weighed.iter().flat_map(|w| &w.denies).collect())
        } else if weighed.iter().all(Weighed::allowed) {
            (Word::Allowed, weighed.iter().flat_map(|w| &w.allows).collect())
        } else {
            (Word::Silent, Vec::new())
        };
        self.step(path, word, rules.iter().map(|grant| grant.reference()).collect(), None);
        word
    }

    fn mask(&self, path: &[&str], field: &FieldRef) -> Result<Option<Arc<dyn PhysicalExpr>>, Decision> {
        let of = self.of;
        let on = |mask: &&&Attachment| of.readings.iter().any(|tags| mask.object.matches(path, tags));
        // What is above a column's level is put on the column, not on each of its fields.
        let Some(mask) = of.masks.iter().filter(|mask| is_inside(mask)).find(on) else {
            return Ok(None);
        };
        let broken = |why: String| {
            let why = format!(
                "mask {} ({FILE}:{}) on {}.{}: {why}",
                mask.name,
                mask.line,
                of.table.reference,
                path.join("/")
            );
            Decision::no(Reason::Broken(why), vec![mask.reference()])
        };
        let entry = of.set.entries.masks.get(&mask.name);
        let entry = entry.ok_or_else(|| broken(format!("not in {}", filters::FILE)))?;
        if !of.readings.iter().any(|tags| entry.column.matches(path, tags)) {
            return Err(broken(
                "its `column` does not cover this field; widen it, or attach the mask elsewhere".to_owned(),
            ));
        }
        let expr = nested_mask(&entry.how, field, of.state, of.set.bindings(Some(of.who)));
        let expr = expr.map_err(|e| broken(format!("{}; {}", e.what, e.remedy)))?;
        self.step(path, Word::Allowed, vec![mask.reference()], Some(mask.name.clone()));
        Ok(Some(expr))
    }
}

/// Whether a mask is written for fields inside columns.
pub(crate) fn is_inside(mask: &Attachment) -> bool {
    mask.object.levels() > COLUMN_DEPTH
}

/// A mask of one field, over a row that has nothing but the field.
///
/// # Errors
/// It does not fit the field's type, or needs more than the field.
pub(crate) fn nested_mask(
    how: &filters::MaskHow,
    field: &FieldRef,
    state: &SessionState,
    with: Bindings<'_>,
) -> Result<Arc<dyn PhysicalExpr>, CompileError> {
    let alone = Arc::new(Schema::new(vec![Field::new(
        field.name(),
        field.data_type().clone(),
        true,
    )]));
    let expr = compile::mask(how, field.name(), &alone, state, with)?;
    let schema = Arc::new(DFSchema::try_from(alone.as_ref().clone())?);
    let expr = compile::simplified(compile::pin_clock(expr, Utc::now())?, &schema, state)?;
    Ok(state.create_physical_expr(expr, &schema)?)
}
