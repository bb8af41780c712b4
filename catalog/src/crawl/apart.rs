//! Files that list the same things and say other things of them: the readings of a plate's wells, and what was put into each.
//! They have a column in common and are two tables all the same, for their rows belong beside one another and not below.
//!
//! Two kinds of files, by their names, are apart where folders of the same names hold both (see [`super::kinds`]), or where two
//! of them in one folder list the same things: a column names each thing once in either file, those of the one are among those
//! of the other, and so are the values of all other columns that both have.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::columns::Prepared;
use super::likeness::is_own;

/// Things in a list; longer ones are logs, whose rows are no things.
const THINGS_MAX: usize = 4096;
/// Fewer are alike by chance.
const THINGS_MIN: usize = 4;
/// Columns that are looked at.
const COLUMNS_MAX: usize = 64;

/// Kinds of files, by the names of theirs, that are not one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apart {
    /// Each from each of the others.
    kinds: BTreeSet<String>,
    /// Of two names the lesser first.
    pairs: BTreeSet<(String, String)>,
}

impl Apart {
    pub(crate) fn add_kinds(&mut self, kinds: &BTreeSet<String>) {
        self.kinds.extend(kinds.iter().cloned());
    }

    pub(crate) fn add(&mut self, one: &str, other: &str) {
        let (one, other) = if one <= other { (one, other) } else { (other, one) };
        self.pairs.insert((one.to_owned(), other.to_owned()));
    }

    /// Whether all files called so are of other kinds than all called otherwise.
    pub(crate) fn are(&self, one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
        let two = |one: &String, other: &String| {
            let both = one != other && self.kinds.contains(one) && self.kinds.contains(other);
            let (less, more) = if one <= other { (one, other) } else { (other, one) };
            both || self.pairs.contains(&(less.clone(), more.clone()))
        };
        let nothing_known = self.kinds.is_empty() && self.pairs.is_empty();
        let unnamed = one.is_empty() || other.is_empty();
        !nothing_known && !unnamed && one.iter().all(|one| other.iter().all(|other| two(one, other)))
    }
}

/// The values of one column.
#[derive(Clone, Debug)]
struct Values {
    distinct: BTreeSet<u64>,
    /// Each row has one of its own.
    names_rows: bool,
    is_number: bool,
}

/// What the columns of one file hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed(BTreeMap<String, Values>);

impl Listed {
    /// `None` for a file that is no list of things.
    pub(crate) fn of(rows: &Prepared) -> Option<Self> {
        let count: usize = rows.batch_rows.iter().sum();
        if rows.staged.is_some() || !(THINGS_MIN..=THINGS_MAX).contains(&count) || rows.fields.len() > COLUMNS_MAX {
            return None;
        }
        let mut columns = BTreeMap::new();
        for field in rows.fields.iter().filter(|field| is_own(field)) {
            let mut distinct = BTreeSet::new();
            let mut valued = 0;
            for array in rows.column(field.name()) {
                let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()).ok()?;
                for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
                    let mut hasher = DefaultHasher::new();
                    formatter.value(row).to_string().hash(&mut hasher);
                    distinct.insert(hasher.finish());
                    valued += 1;
                }
            }
            let values = Values {
                names_rows: valued == count && distinct.len() == count,
                distinct,
                is_number: field.data_type().is_numeric() || *field.data_type() == DataType::Null,
            };
            columns.insert(field.name().clone(), values);
        }
        Some(Self(columns))
    }

    /// Whether both list the same things, and each says of them what the other does not.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let common: Vec<(&Values, &Values)> = self
            .0
            .iter()
            .filter_map(|(name, values)| Some((values, other.0.get(name)?)))
            .collect();
        let within = |(one, two): &(&Values, &Values)| {
            one.distinct.is_subset(&two.distinct) || two.distinct.is_subset(&one.distinct)
        };
        let names_things = |(one, two): &(&Values, &Values)| one.names_rows && two.names_rows;
        let own = |one: &Self, two: &Self| {
            let rest = one.0.iter().filter(|(name, _)| !two.0.contains_key(*name));
            rest.map(|(_, values)| values.is_number).collect::<Vec<bool>>()
        };
        let (here, there) = (own(self, other), own(other, self));
        // Wide exports name a column after each sample.
        let are_samples = here.iter().chain(&there).all(|is_number| *is_number);
        !here.is_empty()
            && !there.is_empty()
            && !are_samples
            && common.iter().any(names_things)
            && common.iter().all(within)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::record_batch::RecordBatch;

    use super::*;
    use crate::formats::Block;

    /// Columns as `name: a b c d`; numbers where all values are.
    fn listed(columns: &[&str]) -> Option<Listed> {
        let arrays = columns.iter().map(|column| {
            let (name, values) = column.split_once(": ").unwrap();
            let values: Vec<&str> = values.split(' ').collect();
            let numbers: Option<Vec<i64>> = values.iter().map(|value| value.parse().ok()).collect();
            let array: ArrayRef = match numbers {
                Some(numbers) => Arc::new(Int64Array::from(numbers)),
                None => Arc::new(StringArray::from(values)),
            };
            (name, array)
        });
        let batch = RecordBatch::try_from_iter(arrays).unwrap();
        let block = Block {
            name: None,
            batches: vec![batch],
            first_row: 1,
        };
        Listed::of(&Prepared::new(&block).unwrap())
    }

    #[test]
    fn files_of_the_same_things_are_beside_one_another() {
        let data = listed(&["well: A1 A2 B1 B2", "plate: P1 P1 P1 P1", "od: 5 6 7 8"]).unwrap();
        let layout = ["well: B2 A1 A2 B1", "compound: x y z x"];
        let beside = |columns: &[&str]| listed(columns).is_some_and(|other| data.is_beside(&other));
        assert!(beside(&layout));
        assert!(beside(&[layout[0], layout[1], "plate: P1 P1 P1 P1"]));
        // Other things, another plate, another reading of the same, only numbers more, less of the same.
        assert!(!beside(&["well: C1 C2 D1 D2", "compound: x y z x"]));
        assert!(!beside(&[layout[0], layout[1], "plate: P2 P2 P2 P2"]));
        assert!(!beside(&[layout[0], layout[1], "od: 9 6 7 8"]));
        let readings = listed(&["well: A1 A2 B1 B2", "od: 5 6 7 8"]).unwrap();
        assert!(!readings.is_beside(&listed(&[layout[0], "conc: 1 2 3 4"]).unwrap()));
        assert!(!beside(&[layout[0], "plate: P1 P1 P1 P1"]));
        // A thing that comes twice names no row, and three rows are too few.
        assert!(!beside(&["well: A1 A1 A2 B1", "compound: x y z x"]));
        assert!(!beside(&["well: A1 A2 B1", "compound: x y z"]));
    }

    #[test]
    fn kinds_are_apart_as_wholes() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut apart = Apart::default();
        apart.add_kinds(&names(&["data", "layout"]));
        apart.add("readings", "map");
        assert!(apart.are(&names(&["data"]), &names(&["layout"])));
        assert!(apart.are(&names(&["map"]), &names(&["readings"])));
        // A table that has both already, and names of which nothing is known.
        assert!(!apart.are(&names(&["data", "layout"]), &names(&["layout"])));
        assert!(!apart.are(&names(&["data"]), &names(&["map"])));
        assert!(!apart.are(&names(&["data"]), &names(&["data"])));
        assert!(!apart.are(&names(&[]), &names(&["data"])));
    }
}
