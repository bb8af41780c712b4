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
//! * Fields inside columns are judged one by one where a rule names one; see [`crate::nested`].
//! * Masks: any mask for a role held applies, like a denial; of several the first in the file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, ResolvedTableReference};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;
use sha2::{Digest, Sha256};

use crate::action::Action;
use crate::attached::{held_masks, keyed, masks, row_filter};
use crate::decision::{Decision, Reason, RuleRef, Weighed};
use crate::explain::{Note, Notes};
use crate::inside::Inside;
use crate::nested::{self, Shape};
use crate::object::Tags;
use crate::principal::{Principal, Subject};
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

impl TableObject {
    /// Catalog, schema and table: the object's path without columns.
    pub(crate) fn path(&self) -> [&str; 3] {
        [&self.reference.catalog, &self.reference.schema, &self.reference.table]
    }
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
    /// Types of the masked columns of which fields are left out; the other columns keep theirs.
    pub types: BTreeMap<String, DataType>,
    /// Whether an expression holds the policy secret: a hash mask, or `$secret.salt`. Such an access stays on the node that
    /// was given the secret.
    pub keyed: bool,
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
    notes: &mut Notes,
) -> Result<Access, Decision> {
    let subject = who.subject();
    let department = table.department.as_str();
    let path = table.path();
    let select = set.engine.question(&subject, department, Action::Select);

    let on_table = select.weigh(&path, &table.tags);
    asked(notes, &path, Action::Select, &on_table);
    if !on_table.allowed() {
        return Err(on_table.decision());
    }
    let mut decided: Vec<RuleRef> = on_table.allows.iter().map(|g| g.reference()).collect();
    decided.extend(may_use(set, &subject, table, &path, notes)?);
    let other = match action {
        Action::Select | Action::Use => None,
        other => Some(set.engine.question(&subject, department, other)),
    };
    if let Some(other) = &other {
        let on_table = other.weigh(&path, &table.tags);
        asked(notes, &path, action, &on_table);
        if !on_table.allowed() {
            return Err(on_table.decision());
        }
        decided.extend(on_table.allows.iter().map(|g| g.reference()));
    }

    let held_masks = held_masks(set, &subject, department);
    let (mut columns, mut shapes) = (Vec::new(), BTreeMap::new());
    for (at, field) in table.schema.fields().iter().enumerate() {
        let [catalog, schema, name] = path;
        let object = [catalog, schema, name, field.name().as_str()];
        let readings = readings(&table.tags, table.column_tags.get(field.name()));
        let mut weighed: Vec<Weighed<'_>> = Vec::new();
        if let Some(other) = &other {
            weighed.extend(readings.iter().map(|tags| other.weigh(&object, tags)));
        }
        let asked_other = weighed.len();
        let inside = if set.engine.inside_columns && nested::fields(field.data_type()).is_some() {
            let column = Inside {
                set,
                who,
                table,
                state,
                select: &select,
                readings: &readings,
                masks: &held_masks,
            };
            Some(column.look(&path, field)?)
        } else {
            weighed.extend(readings.iter().map(|tags| select.weigh(&object, tags)));
            None
        };
        let seen = inside.as_ref().is_none_or(|inside| inside.shape.is_some());
        let open = seen && !readings.is_empty() && weighed.iter().all(Weighed::allowed);
        if let Some(inside) = &inside {
            decided.extend(inside.steps.iter().flat_map(|step| step.rules.iter().cloned()));
            if let (true, Some(shape @ (Shape::Fields(_) | Shape::Masked(_)))) = (open, &inside.shape) {
                shapes.insert(field.name().clone(), (shape.clone(), field.data_type().clone()));
            }
        }
        if open {
            columns.push(at);
        }
        notes.add(|| {
            let action = |nth| if nth < asked_other { action } else { Action::Select };
            let decisions = weighed.iter().enumerate();
            Note::Column {
                at,
                open,
                decisions: decisions.map(|(nth, w)| (action(nth), w.decision())).collect(),
                inside,
            }
        });
        let rules = weighed.iter().flat_map(|w| if open { &w.allows } else { &w.denies });
        decided.extend(rules.map(|g| g.reference()));
    }
    if columns.is_empty() {
        return Err(Decision::no(Reason::NoColumn, decided));
    }

    let row_filter = row_filter(set, who, table, state, &path, &mut decided, notes)?;
    let mut masks = masks(set, who, table, state, &columns, &held_masks, &mut decided, notes)?;
    let mut types = BTreeMap::new();
    for (column, (shape, raw)) in shapes {
        let value = masks
            .remove(&column)
            .unwrap_or_else(|| Expr::Column(Column::new_unqualified(&column)));
        types.insert(column.clone(), shape.data_type(&raw));
        masks.insert(column, shape.over(value));
    }
    decided.sort();
    decided.dedup();
    let mut access = Access {
        table: table.reference.clone(),
        schema: SchemaRef::clone(&table.schema),
        columns,
        row_filter,
        masks,
        types,
        keyed: keyed(set, &decided),
        determined_by: decided,
        fingerprint: String::new(),
    };
    access.fingerprint = fingerprint(set, &access);
    Ok(access)
}

fn asked(notes: &mut Notes, object: &[&str], action: Action, weighed: &Weighed<'_>) {
    notes.add(|| Note::Asked {
        object: object.iter().map(|part| (*part).to_owned()).collect(),
        action,
        decision: weighed.decision(),
    });
}

/// `use` of catalog and schema, or an error with what closed them.
fn may_use(
    set: &PolicySet,
    subject: &Subject,
    table: &TableObject,
    path: &[&str; 3],
    notes: &mut Notes,
) -> Result<Vec<RuleRef>, Decision> {
    let question = set.engine.question(subject, &table.department, Action::Use);
    let on_table = question.weigh(path, &table.tags);
    if !on_table.denies.is_empty() {
        asked(notes, path, Action::Use, &on_table);
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
        let weighed = question.weigh(object, &Tags::new());
        match weighed.allowed() {
            true => decided.extend(weighed.allows.iter().map(|g| g.reference())),
            false if weighed.denies.is_empty() && !by_tag.is_empty() => decided.extend(by_tag.iter().cloned()),
            false => {
                asked(notes, object, Action::Use, &weighed);
                return Err(weighed.decision());
            }
        }
    }
    Ok(decided)
}

/// The tag sets under which a column must be allowed: one if its own tags contradict none of its table's, else one for each
/// way to resolve the contradictions. Empty (so: no) if there are too many.
pub(crate) fn readings(table: &Tags, column: Option<&Tags>) -> Vec<Tags> {
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
    add(&format!("{:?}", access.types));
    for (column, mask) in &access.masks {
        add(column);
        add(&format!("{mask:?}"));
    }
    hex(&digest.finalize())
}
