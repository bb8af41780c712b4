//! Files whose columns are not of the types that their tables have: each is read once more with these types in mind, so that
//! texts come as they are written, and what does not fit is kept beside its column. See [`super::wanted`] for the types.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use bytes::Bytes;

use crate::error::LakeError;
use crate::formats::{Decimal, InTable};
use crate::name::TableName;

use super::columns::Prepared;
use super::convert::{Converted, convert};
use super::landing::Landed;
use super::reader::{self, Read};
use super::regroup::Parsed;
use super::wanted::Wanted;
use super::{Crawler, batch};

/// Weighs as the same within one file: see `formats/confidence.rs`.
const DOUBT: f64 = 0.95;

/// Why a file is not loaded.
pub(super) enum Unfit {
    /// Nearly nothing of a column is what the column is.
    Mistake(String),
    Later(String),
}

/// A file's tables with the types wanted of them.
struct Fitted {
    tables: Vec<(TableName, Arc<Prepared>)>,
    notes: Vec<String>,
}

impl Crawler {
    /// Gives the files' columns the types of their tables; those that are not to be loaded are taken out, with the reason.
    pub(super) async fn reconcile(&self, parsed: &mut Vec<Parsed>) -> Result<Vec<(Landed, Unfit, Bytes)>, LakeError> {
        let mut out = Vec::new();
        loop {
            let mut fitted: BTreeMap<usize, Fitted> = BTreeMap::new();
            let mut unfit: BTreeMap<usize, Unfit> = BTreeMap::new();
            for (at, tables) in self.wanted(parsed).await {
                let Some(one) = parsed.get(at) else { continue };
                match self.read_as(one, &tables).await? {
                    Ok(new) => {
                        fitted.insert(at, new);
                    }
                    Err(why) => {
                        unfit.insert(at, why);
                    }
                }
            }
            if unfit.is_empty() {
                for (at, new) in fitted {
                    let Some(one) = parsed.get_mut(at) else { continue };
                    let mut old = std::mem::replace(&mut one.tables, new.tables);
                    old.retain(|(_, rows)| one.tables.iter().all(|(_, kept)| !Arc::ptr_eq(rows, kept)));
                    discard(&old).await;
                    new.notes.iter().for_each(|note| one.told.doubt(DOUBT, note));
                }
                return Ok(out);
            }
            // What they hold has had its part in what the others were to be: that is asked anew without them.
            for (at, why) in unfit.into_iter().rev() {
                let one = parsed.remove(at);
                discard(&one.tables).await;
                out.push((one.file, why, one.sample));
            }
        }
    }

    /// What is wanted of which file for which of its tables.
    async fn wanted(&self, parsed: &[Parsed]) -> BTreeMap<usize, BTreeMap<usize, Wanted>> {
        let mut by_table: BTreeMap<&TableName, Vec<(usize, usize, &Prepared)>> = BTreeMap::new();
        for (at, one) in parsed.iter().enumerate() {
            for (block, (table, rows)) in one.tables.iter().enumerate() {
                by_table.entry(table).or_default().push((at, block, rows));
            }
        }
        let mut all: BTreeMap<usize, BTreeMap<usize, Wanted>> = BTreeMap::new();
        for (table, uses) in by_table {
            let files: Vec<&Prepared> = uses.iter().map(|(_, _, rows)| *rows).collect();
            // A table that cannot be read now fails again at its commit, and is reported there.
            let wanted = batch::wanted(&self.catalog, table, &files).await.unwrap_or_default();
            for ((at, block, _), wanted) in uses.into_iter().zip(wanted) {
                if !wanted.is_empty() {
                    all.entry(at).or_default().insert(block, wanted);
                }
            }
        }
        all
    }

    /// Reads a file for the types of its tables, each table by itself: two of them may have a column of one name.
    async fn read_as(
        &self,
        one: &Parsed,
        wanted: &BTreeMap<usize, Wanted>,
    ) -> Result<Result<Fitted, Unfit>, LakeError> {
        let mut fitted = Fitted {
            tables: one.tables.clone(),
            notes: Vec::new(),
        };
        for (block, wanted) in wanted {
            let types = wanted.iter().map(|(name, target)| {
                let column = InTable {
                    to: target.to.clone(),
                    order: target.order,
                    decimal: target.decimal,
                };
                (name.clone(), column)
            });
            let asked = (&one.main, one.folders.as_slice());
            let read = reader::read(&self.catalog, &one.file, asked, None, types.collect(), &self.options).await?;
            let mut tables = match read {
                Read::Parsed { sha256, tables, .. } if sha256 == one.sha256 && tables.len() == one.tables.len() => {
                    tables
                }
                Read::Parsed { tables, .. } => {
                    discard(&tables).await;
                    return Ok(Err(Unfit::Later("it changed while it was read".to_owned())));
                }
                Read::Same { .. } => return Ok(Err(Unfit::Later("it changed while it was read".to_owned()))),
                Read::Later { reason, .. } => return Ok(Err(Unfit::Later(reason))),
                Read::Bad { reason, .. } => {
                    return Ok(Err(Unfit::Mistake(format!(
                        "not all of its columns are what they are in its table, and as such it cannot be read: {reason}"
                    ))));
                }
            };
            if *block >= tables.len() {
                continue;
            }
            let (_, rows) = tables.swap_remove(*block);
            let rows = Arc::unwrap_or_clone(rows);
            match convert(rows, wanted) {
                Ok(Converted { rows, notes }) => {
                    if let Some((_, before)) = one.tables.get(*block) {
                        fitted.notes.extend(as_before(before, &rows, wanted));
                    }
                    if let Some((_, place)) = fitted.tables.get_mut(*block) {
                        *place = Arc::new(rows);
                    }
                    fitted.notes.extend(notes);
                }
                Err(reason) => return Ok(Err(Unfit::Mistake(reason))),
            }
        }
        Ok(Ok(fitted))
    }
}

/// Columns whose days or fractions nothing in the file decides: they are read as the table's earlier files wrote them.
fn as_before(found: &Prepared, rows: &Prepared, wanted: &Wanted) -> Vec<String> {
    let type_in = |rows: &Prepared, name: &str| {
        let field = rows.fields.iter().find(|field| field.name() == name);
        field.map(|field| field.data_type().clone())
    };
    let said = wanted.iter().filter_map(|(name, target)| {
        let was_text = type_in(found, name) == Some(DataType::Utf8);
        let has_comma = || {
            let texts = found
                .column(name)
                .into_iter()
                .filter_map(|array| array.as_string_opt::<i32>());
            texts
                .flat_map(|texts| texts.iter().flatten())
                .any(|text| text.contains(','))
        };
        if target.decimal == Some(Decimal::Comma)
            && was_text
            && type_in(rows, name) == Some(DataType::Float64)
            && has_comma()
        {
            return Some(format!(
                "the commas of column '{name}' are read as decimal ones, as earlier files of its table write them"
            ));
        }
        let is_day = matches!(type_in(rows, name), Some(DataType::Date32 | DataType::Timestamp(..)));
        let order = target.order.filter(|_| was_text && is_day)?.word();
        Some(format!(
            "the days of column '{name}' are read as {order}, as earlier files of its table write them"
        ))
    });
    said.collect()
}

/// Removes what was written of them and is in no commit.
async fn discard(tables: &[(TableName, Arc<Prepared>)]) {
    for staged in tables.iter().filter_map(|(_, rows)| rows.staged.as_ref()) {
        staged.discard().await;
    }
}
