//! The types of a table's columns, decided over all files that come together and what the table has; and for each file the
//! columns that do not fit, with the type they are to be read as. Purely, column by column: the order of the files does not
//! matter.
//!
//! A column that the table has keeps its type, or takes a wider one that holds all its values. A new column takes the one
//! type that holds all values of all files. Where there is none, it is text; but a few odd values among many measured ones
//! do not make it that, as they would not within one file (see `formats/rescue.rs`).

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;

use crate::formats::{DATE_ORDER_KEY, DECIMAL_KEY, DECIMAL_UNSURE, DateOrder, Decimal, is_moment};

use super::columns::Prepared;
use super::shape::{Existing, all_null, is_folder, is_source, known_range, stored_fits};
use super::types::{absorb, are_codes, cast_exact, is_scalar, join, spoken, unify};

/// Share of the values of one type in a column that others do not turn to text: `NUMBERS_MIN` of `formats/rescue.rs`.
const MOST_PERCENT: usize = 80;

/// The columns of one file that do not fit.
pub(crate) type Wanted = BTreeMap<String, Target>;

/// What a column's values are to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) to: DataType,
    /// What the table holds there, in words.
    pub(crate) has: String,
    /// How its days were written in the files that made it.
    pub(crate) order: Option<DateOrder>,
    /// The sign before the fractions in those files.
    pub(crate) decimal: Option<Decimal>,
}

/// What one file has in one column.
struct Use<'f> {
    place: usize,
    file: &'f Prepared,
    data_type: &'f DataType,
    /// Its points may part thousands as well as fractions.
    unsure: bool,
    /// How its days are written.
    order: Option<DateOrder>,
}

impl Use<'_> {
    fn values(&self, name: &str) -> usize {
        if let Some(staged) = &self.file.staged {
            // All of its rows are not here; nearly all of them have a value.
            return usize::try_from(staged.rows()).unwrap_or(usize::MAX);
        }
        let arrays = self.file.column(name);
        arrays.iter().map(|array| array.len() - array.null_count()).sum()
    }

    fn fits(&self, name: &str, to: &DataType) -> bool {
        unify(to, self.data_type).as_ref() == Some(to)
            && self.file.column(name).iter().all(|array| cast_exact(array, to).is_ok())
    }
}

/// In the order of the files.
pub(crate) fn of(existing: Option<&Existing>, files: &[&Prepared]) -> Vec<Wanted> {
    let mut wanted = vec![Wanted::new(); files.len()];
    let mut columns: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    for (place, file) in files.iter().enumerate() {
        for field in &file.fields {
            // The names of folders are texts whenever they do not agree: see `folder_columns`.
            let is_own = !is_folder(field) && !is_source(field.name());
            if is_own && !field.data_type().is_null() {
                columns.entry(field.name()).or_default().push(Use {
                    place,
                    file,
                    data_type: field.data_type(),
                    unsure: field
                        .metadata()
                        .get(DECIMAL_KEY)
                        .is_some_and(|sign| sign == DECIMAL_UNSURE),
                    order: field
                        .metadata()
                        .get(DATE_ORDER_KEY)
                        .and_then(|word| DateOrder::of_word(word)),
                });
            }
        }
    }
    let decimal = existing.and_then(decimal_of);
    for (name, uses) in columns {
        let stored = existing.and_then(|existing| existing.schema.field_with_name(name).ok());
        if stored.is_some_and(is_folder) {
            continue;
        }
        let order = stored
            .and_then(|field| field.metadata().get(DATE_ORDER_KEY))
            .and_then(|word| DateOrder::of_word(word));
        let stored = stored
            .map(|field| field.data_type())
            .filter(|_| !all_null(existing, name));
        let proven = proven_days(name, &uses).filter(|_| stored.is_none());
        let order = order.or(proven.as_ref().map(|(_, order)| *order));
        let to = match (stored, proven) {
            (Some(stored), _) => widened(existing, name, stored, &uses),
            (None, Some((to, _))) if !is_text_by_pin(name, &uses) => to,
            (None, _) => new(name, &uses),
        };
        let has = match stored {
            Some(stored) => format!("{} in the table{}", spoken(stored), known_range(existing, name)),
            None => format!("{} in the files beside it", spoken(&to)),
        };
        // Where the table's files write decimal commas, such points are thousands, or the file is another's.
        let is_other = |one: &Use<'_>| one.unsure && stored.is_some() && decimal == Some(Decimal::Comma);
        for one in uses.iter().filter(|one| !one.fits(name, &to) || is_other(one)) {
            let target = Target {
                to: to.clone(),
                has: has.clone(),
                order,
                decimal,
            };
            if let Some(wanted) = wanted.get_mut(one.place) {
                wanted.insert(name.to_owned(), target);
            }
        }
    }
    wanted
}

/// The sign before fractions in the files of a table, where those that show it all have the same.
fn decimal_of(existing: &Existing) -> Option<Decimal> {
    let fields = existing.schema.fields().iter();
    let mut signs = fields.filter_map(|field| field.metadata().get(DECIMAL_KEY));
    let first = signs.next()?;
    let decimal = [Decimal::Comma, Decimal::Point]
        .into_iter()
        .find(|decimal| decimal.sign() == first)?;
    signs.all(|sign| sign == first).then_some(decimal)
}

/// The type of a column that has values of one.
fn widened(existing: Option<&Existing>, name: &str, stored: &DataType, uses: &[Use<'_>]) -> DataType {
    let is_pinned = uses.iter().any(|one| one.file.pinned.contains(name));
    if is_text_by_pin(name, uses) && is_scalar(stored) {
        return DataType::Utf8;
    }
    let is_codes = |one: &Use<'_>| one.file.staged.is_none() && are_codes(&one.file.column(name));
    if *stored == DataType::Int64
        && existing.is_none_or(Existing::may_be_rewritten)
        && uses.iter().any(|one| *one.data_type == DataType::Utf8 && is_codes(one))
    {
        return DataType::Utf8;
    }
    if existing.is_some_and(|existing| !existing.may_be_rewritten()) && !is_pinned {
        return stored.clone();
    }
    let mut now = stored.clone();
    for one in uses {
        let wider = [false, true].map(|exact| absorb(&now, one.data_type, exact));
        let fits = |to: &&DataType| **to == now || stored_fits(existing, name, stored, to);
        if let Some(to) = wider.iter().find(fits) {
            now = to.clone();
        }
    }
    now
}

/// The type of a column that has no values yet.
fn new(name: &str, uses: &[Use<'_>]) -> DataType {
    if is_text_by_pin(name, uses) {
        return DataType::Utf8;
    }
    let nested = |kind: fn(&DataType) -> bool| uses.iter().all(|one| kind(one.data_type));
    if nested(|kind| matches!(kind, DataType::Struct(_))) || nested(|kind| matches!(kind, DataType::List(_))) {
        let types = uses.iter().map(|one| one.data_type.clone());
        return types.reduce(|a, b| join(&a, &b)).unwrap_or(DataType::Utf8);
    }
    // Types that go together, with how many values they have and how many of these are no integers.
    let mut kinds: Vec<(DataType, usize, usize)> = Vec::new();
    let mut all = 0usize;
    for one in uses {
        let values = one.values(name);
        all = all.saturating_add(values);
        let fractions = if one.data_type.is_integer() { 0 } else { values };
        let known = kinds.iter_mut().find_map(|kind| {
            let both = unify(&kind.0, one.data_type)?;
            Some((kind, both))
        });
        match known {
            Some((kind, both)) => {
                *kind = (both, kind.1.saturating_add(values), kind.2.saturating_add(fractions));
            }
            None => kinds.push((one.data_type.clone(), values, fractions)),
        }
    }
    let alone = kinds.len() == 1;
    let best = kinds.into_iter().max_by_key(|(_, values, _)| *values);
    match best {
        Some((to, values, fractions)) => {
            let most = values.saturating_mul(100) >= all.saturating_mul(MOST_PERCENT);
            // Whole numbers with some words among them are names of samples as often as values.
            let is_measure = fractions.saturating_mul(2) > values;
            if alone || (most && is_measure) {
                to
            } else {
                DataType::Utf8
            }
        }
        None => DataType::Utf8,
    }
}

/// The type and the order of days of a new column, where some files prove them and the others hold nothing but dates that may be
/// read in that order as well.
fn proven_days(name: &str, uses: &[Use<'_>]) -> Option<(DataType, DateOrder)> {
    let is_text = |one: &&Use<'_>| *one.data_type == DataType::Utf8;
    let proof = || uses.iter().filter(|one| !is_text(one));
    let order = proof().next()?.order?;
    let are_days = |one: &Use<'_>| matches!(one.data_type, DataType::Date32 | DataType::Timestamp(..));
    if !proof().all(|one| are_days(one) && one.order == Some(order)) {
        return None;
    }
    let mut texts = uses.iter().filter(is_text).peekable();
    texts.peek()?;
    let are_open = |one: &Use<'_>| {
        let arrays = one.file.column(name);
        let strings = arrays.iter().filter_map(|array| array.as_string_opt::<i32>());
        let mut values = strings.flat_map(|strings| strings.iter().flatten()).peekable();
        one.file.staged.is_none() && values.peek().is_some() && values.all(|value| is_moment(value.trim()))
    };
    let mut types = proof().map(|one| Some(one.data_type.clone()));
    let to = types.next()?;
    let to = types.fold(to, |to, next| unify(&to?, &next?))?;
    texts.all(are_open).then_some((to, order))
}

fn is_text_by_pin(name: &str, uses: &[Use<'_>]) -> bool {
    uses.iter()
        .any(|one| *one.data_type == DataType::Utf8 && one.file.pinned.contains(name))
}
