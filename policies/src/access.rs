//! What one principal sees of one table.
//!
//! * A table is visible if its catalog and schema may be used and the table and at least one column may be selected. A
//!   grant of `use` by a tag of the table stands for the `use` of its catalog and schema; a denial of either still wins.
//! * Tags go downwards. Where a column's tag contradicts its table's, both readings must allow the column, so a denial by
//!   the table's tag holds and a grant by the column's alone does not open what the table's tag closed.
//! * Row filters: restrictive ones all apply. Permissive ones are joined by OR over the roles held. A role that grants the
//!   table and has no permissive filter gives all rows, because the administrator gave that role the table without one;
//!   but not if it is only reached through a role that has a filter, because that filter was written for everything the
//!   role brings. A permissive filter for `*` leaves nobody free. NULL is not visible.
//! * Masks: any mask for a role held applies, like a denial; of several the first in the file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};
use chrono::Utc;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, ResolvedTableReference, plan_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, lit};
use sha2::{Digest, Sha256};

use crate::action::Action;
use crate::compile;
use crate::decision::{Decision, Reason, RuleRef, Weighed, in_domain, weigh};
use crate::filters;
use crate::object::Tags;
use crate::principal::Principal;
use crate::rules::{Attachment, Mode};
use crate::set::{PolicySet, hex};

/// Tags of one column that may contradict its table's. Each doubles the readings that are asked.
const CONTRADICTIONS_MAX: usize = 4;

/// A table as policies see it.
#[derive(Debug, Clone)]
pub struct TableObject {
    /// `lab.schema.table`.
    pub reference: ResolvedTableReference,
    /// The department that owns the data; the domain in which roles are looked up.
    pub department: String,
    /// The table's tags, with those of its schema and catalog.
    pub tags: Tags,
    /// Own tags of columns, by column name.
    pub column_tags: BTreeMap<String, Tags>,
    /// The table's full schema.
    pub schema: SchemaRef,
}

/// The answer of [`PolicySet::table`].
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once a statement and table, and nearly always open"
)]
pub enum TableAccess {
    /// The table does not exist for this principal.
    Hidden(Decision),
    /// It exists, in this shape.
    Open(Access),
}

/// How a table looks to one principal. For one statement: compute it again for the next.
#[derive(Clone)]
pub struct Access {
    /// The table.
    pub table: ResolvedTableReference,
    /// The full schema that the indices and expressions are about.
    pub schema: SchemaRef,
    /// Indices of the visible columns in `schema`, ascending; never empty.
    pub columns: Vec<usize>,
    /// The condition on raw columns that a row must fulfil; `None` shows all rows.
    pub row_filter: Option<Expr>,
    /// Masked columns: name to expression over raw columns.
    pub masks: BTreeMap<String, Expr>,
    /// The rules that decided, in file order.
    pub determined_by: Vec<RuleRef>,
    /// SHA-256 in hex over all of the above: two accesses with the same fingerprint show the same.
    pub fingerprint: String,
}

impl Access {
    /// Whether every row and every column is shown as it is.
    pub fn is_unrestricted(&self) -> bool {
        self.row_filter.is_none() && self.masks.is_empty() && self.columns.len() == self.schema.fields().len()
    }

    /// The same access to the same table with one column more, visible and last: an address that the server adds to find
    /// rows again. No reader may ever meet it.
    #[must_use]
    pub fn with_address(mut self, field: Field) -> Self {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        self.columns.push(fields.len());
        fields.push(Arc::new(field));
        self.schema = Arc::new(Schema::new(fields));
        self.fingerprint.push_str("+address");
        self
    }

    /// Which of these raw rows the row filter shows; a row of which it knows nothing is not shown.
    ///
    /// # Errors
    /// The rows lack a column of the filter.
    pub fn shows(&self, rows: &RecordBatch, state: &SessionState) -> Result<BooleanArray, DataFusionError> {
        let Some(filter) = &self.row_filter else {
            return Ok(BooleanArray::from(vec![true; rows.num_rows()]));
        };
        let columns = self.schema.fields().iter().map(|field| {
            let column = rows.column_by_name(field.name());
            let column = column.ok_or_else(|| plan_datafusion_err!("the rows have no column {}", field.name()))?;
            Ok(cast(column, field.data_type())?)
        });
        let columns = columns.collect::<Result<Vec<_>, DataFusionError>>()?;
        let rows = &RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)?;
        let schema = Arc::new(DFSchema::try_from(self.schema.as_ref().clone())?);
        let filter = compile::simplified(compile::pin_clock(filter.clone(), Utc::now())?, &schema, state)?;
        let filter = state.create_physical_expr(filter, &schema)?;
        let shown = filter.evaluate(rows)?.into_array(rows.num_rows())?;
        Ok(as_boolean_array(&shown)?
            .iter()
            .map(|shown| Some(shown == Some(true)))
            .collect())
    }
}

impl fmt::Debug for Access {
    /// Without expressions: they hold the secret and people's attributes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("table", &self.table.to_string())
            .field("columns", &self.columns)
            .field("filtered", &self.row_filter.is_some())
            .field("masked", &self.masks.keys().collect::<Vec<_>>())
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

pub(crate) fn table(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    state: &SessionState,
    action: Action,
) -> Result<Access, Decision> {
    let subject = who.subject();
    let department = table.department.as_str();
    let path = [
        &*table.reference.catalog,
        &*table.reference.schema,
        &*table.reference.table,
    ];
    let select = set.engine.candidates(&subject, department, Action::Select);

    let on_table = weigh(&select, &path, &table.tags);
    if !on_table.allowed() {
        return Err(on_table.decision());
    }
    let mut decided: Vec<RuleRef> = on_table.allows.iter().map(|g| g.reference()).collect();
    decided.extend(may_use(set, &subject, table, &path)?);
    let other = match action {
        Action::Select | Action::Use => None,
        other => Some(set.engine.candidates(&subject, department, other)),
    };
    if let Some(other) = &other {
        let on_table = weigh(other, &path, &table.tags);
        if !on_table.allowed() {
            return Err(on_table.decision());
        }
        decided.extend(on_table.allows.iter().map(|g| g.reference()));
    }

    let mut columns = Vec::new();
    for (at, field) in table.schema.fields().iter().enumerate() {
        let [catalog, schema, name] = path;
        let object = [catalog, schema, name, field.name().as_str()];
        let readings = readings(&table.tags, table.column_tags.get(field.name()));
        let mut weighed: Vec<Weighed<'_>> = readings.iter().map(|tags| weigh(&select, &object, tags)).collect();
        if let Some(other) = &other {
            weighed.extend(readings.iter().map(|tags| weigh(other, &object, tags)));
        }
        let open = !weighed.is_empty() && weighed.iter().all(Weighed::allowed);
        if open {
            columns.push(at);
        }
        let rules = weighed.iter().flat_map(|w| if open { &w.allows } else { &w.denies });
        decided.extend(rules.map(|g| g.reference()));
    }
    if columns.is_empty() {
        return Err(Decision::no(Reason::NoColumn, decided));
    }

    let row_filter = row_filter(set, who, table, state, &path, &mut decided)?;
    let masks = masks(set, who, table, state, &columns, &path, &mut decided)?;
    decided.sort();
    decided.dedup();
    let mut access = Access {
        table: table.reference.clone(),
        schema: SchemaRef::clone(&table.schema),
        columns,
        row_filter,
        masks,
        determined_by: decided,
        fingerprint: String::new(),
    };
    access.fingerprint = fingerprint(set, &access);
    Ok(access)
}

/// `use` of catalog and schema, or an error with what closed them.
fn may_use(set: &PolicySet, subject: &str, table: &TableObject, path: &[&str; 3]) -> Result<Vec<RuleRef>, Decision> {
    let candidates = set.engine.candidates(subject, &table.department, Action::Use);
    let on_table = weigh(&candidates, path, &table.tags);
    if !on_table.denies.is_empty() {
        return Err(on_table.decision());
    }
    let by_tag: Vec<RuleRef> = on_table
        .allows
        .iter()
        .filter(|g| g.object.is_tags())
        .map(|g| g.reference())
        .collect();
    let [catalog, schema, _] = path;
    let mut decided = Vec::new();
    for object in [[*catalog].as_slice(), [*catalog, *schema].as_slice()] {
        let weighed = weigh(&candidates, object, &Tags::new());
        match weighed.allowed() {
            true => decided.extend(weighed.allows.iter().map(|g| g.reference())),
            false if weighed.denies.is_empty() && !by_tag.is_empty() => decided.extend(by_tag.iter().cloned()),
            false => return Err(weighed.decision()),
        }
    }
    Ok(decided)
}

/// The tag sets under which a column must be allowed: one if its own tags contradict none of its table's, else one for each
/// way to resolve the contradictions. Empty (so: no) if there are too many.
fn readings(table: &Tags, column: Option<&Tags>) -> Vec<Tags> {
    let Some(column) = column else {
        return vec![table.clone()];
    };
    let mut merged = table.clone();
    merged.extend(column.iter().map(|(k, v)| (k.clone(), v.clone())));
    let torn: Vec<(&String, &String)> = table
        .iter()
        .filter(|(k, v)| column.get(*k).is_some_and(|own| own != *v))
        .collect();
    if torn.len() > CONTRADICTIONS_MAX {
        return Vec::new();
    }
    let mut readings = vec![merged];
    for (key, value) in torn {
        let other = readings.iter().map(|tags| {
            let mut tags = tags.clone();
            tags.insert(key.clone(), value.clone());
            tags
        });
        let other: Vec<Tags> = other.collect();
        readings.extend(other);
    }
    readings
}

fn row_filter(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    state: &SessionState,
    path: &[&str; 3],
    decided: &mut Vec<RuleRef>,
) -> Result<Option<Expr>, Decision> {
    let subject = who.subject();
    let department = table.department.as_str();
    let held = set.engine.held(&subject, department);
    let here: Vec<&Attachment> = set
        .engine
        .rules
        .filters
        .iter()
        .filter(|f| in_domain(&f.domain, department) && f.object.matches(path, &table.tags))
        .collect();
    let applies = |f: &&&Attachment| f.subject == "*" || held.contains(&f.subject);
    let compiled = |f: &Attachment| -> Result<Expr, Decision> {
        let broken = |why: String| {
            let why = format!(
                "filter {} ({}:{}) on {}: {why}",
                f.name,
                crate::rules::FILE,
                f.line,
                table.reference
            );
            Decision::no(Reason::Broken(why), vec![f.reference()])
        };
        let entry = set
            .entries
            .filters
            .get(&f.name)
            .ok_or_else(|| broken(format!("not in {}", filters::FILE)))?;
        if !entry.table.matches(path, &table.tags) {
            return Err(broken(
                "its `table` does not cover this table; widen it, or attach the filter elsewhere".to_owned(),
            ));
        }
        compile::row_filter(&entry.template, &table.schema, state, set.bindings(Some(who)))
            .map_err(|e| broken(format!("{}; {}", e.what, e.remedy)))
    };

    let mut condition: Option<Expr> = None;
    for filter in here
        .iter()
        .filter(applies)
        .filter(|f| f.mode == Some(Mode::Restrictive))
    {
        let next = compiled(filter)?;
        condition = Some(condition.map_or(next.clone(), |so_far| so_far.and(next)));
        decided.push(filter.reference());
    }
    let permissive: Vec<&&Attachment> = here
        .iter()
        .filter(applies)
        .filter(|f| f.mode == Some(Mode::Permissive))
        .collect();
    if permissive.is_empty() {
        return Ok(condition);
    }
    let filtered = |role: &str| permissive.iter().any(|f| f.subject == "*" || f.subject == role);
    let grants = set.engine.candidates(&subject, department, Action::Select);
    let granting = weigh(&grants, path, &table.tags).allows;
    let free = set.engine.roles.held_without_passing(&subject, department, filtered);
    if let Some(grant) = granting
        .iter()
        .find(|g| free.contains(&g.subject) && !filtered(&g.subject))
    {
        decided.push(grant.reference());
        return Ok(condition);
    }
    let mut any: Option<Expr> = None;
    for filter in permissive {
        let next = compiled(filter)?;
        any = Some(any.map_or(next.clone(), |so_far| so_far.or(next)));
        decided.push(filter.reference());
    }
    let any = any.unwrap_or_else(|| lit(false));
    Ok(Some(condition.map_or(any.clone(), |all| all.and(any))))
}

fn masks(
    set: &PolicySet,
    who: &Principal,
    table: &TableObject,
    state: &SessionState,
    columns: &[usize],
    path: &[&str; 3],
    decided: &mut Vec<RuleRef>,
) -> Result<BTreeMap<String, Expr>, Decision> {
    let held = set.engine.held(&who.subject(), &table.department);
    let here: Vec<&Attachment> = set
        .engine
        .rules
        .masks
        .iter()
        .filter(|m| in_domain(&m.domain, &table.department) && (m.subject == "*" || held.contains(&m.subject)))
        .collect();
    let mut masks = BTreeMap::new();
    let [catalog, schema, name] = *path;
    for field in columns.iter().filter_map(|at| table.schema.fields().get(*at)) {
        let object = [catalog, schema, name, field.name().as_str()];
        let readings = readings(&table.tags, table.column_tags.get(field.name()));
        let Some(mask) = here
            .iter()
            .find(|m| readings.iter().any(|tags| m.object.matches(&object, tags)))
        else {
            continue;
        };
        let broken = |why: String| {
            let why = format!(
                "mask {} ({}:{}) on {}.{}: {why}",
                mask.name,
                crate::rules::FILE,
                mask.line,
                table.reference,
                field.name()
            );
            Decision::no(Reason::Broken(why), vec![mask.reference()])
        };
        let entry = set
            .entries
            .masks
            .get(&mask.name)
            .ok_or_else(|| broken(format!("not in {}", filters::FILE)))?;
        if !readings.iter().any(|tags| entry.column.matches(&object, tags)) {
            return Err(broken(
                "its `column` does not cover this column; widen it, or attach the mask elsewhere".to_owned(),
            ));
        }
        let expr = compile::mask(&entry.how, field.name(), &table.schema, state, set.bindings(Some(who)))
            .map_err(|e| broken(format!("{}; {}", e.what, e.remedy)))?;
        masks.insert(field.name().clone(), expr);
        decided.push(mask.reference());
    }
    Ok(masks)
}

fn fingerprint(set: &PolicySet, access: &Access) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    add(set.fingerprint());
    add(&access.table.to_string());
    for field in access.schema.fields() {
        add(field.name());
        add(&field.data_type().to_string());
    }
    add(&format!("{:?}", access.columns));
    add(&access.row_filter.as_ref().map(|f| format!("{f:?}")).unwrap_or_default());
    for (column, mask) in &access.masks {
        add(column);
        add(&format!("{mask:?}"));
    }
    hex(&digest.finalize())
}
