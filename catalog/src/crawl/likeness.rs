//! Whether the columns of a landed file are those of its table. Two unlike things in one folder are two tables.
//!
//! Two sets of columns are alike when at least half of the smaller one is in the other, so a column more or less never makes
//! a table. They are alike, too, when they have a column in common and either the files' names follow one pattern, or all
//! that they have not in common are numbers: wide exports name a column after each sample. A column of the same name and
//! another type does not make things unlike; that file goes to quarantine with the reason. Files that are unlike their
//! table make `<table>__<their name>` with the ones like them. So do files known to be of another kind (see [`super::apart`]),
//! unless the columns of the one are all in the other. `group = "folder"` in the settings keeps all in one.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Field};

use crate::name::{NAME_BYTES_MAX, TableName};

use super::apart::Apart;
use super::columns::is_unnamed;
use super::layout::{block_table, numbered, stem};
use super::pattern::Pattern;

/// Tables beside one: a folder with more kinds of files is no place for one table.
pub(super) const BESIDE_MAX: usize = 32;

/// The columns of a table or of a file, and which names of files go with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Face {
    /// Whether a column holds numbers, by its name.
    pub(super) columns: BTreeMap<String, bool>,
    /// Those of them without any value: they may come to hold anything.
    empty: BTreeSet<String>,
    /// Patterns of names.
    pub(super) keys: BTreeSet<String>,
}

impl Face {
    /// Columns that come from the crawler are left out.
    pub(crate) fn of<'f>(fields: impl Iterator<Item = &'f Field>) -> Self {
        let mut empty = BTreeSet::new();
        let columns = fields
            .filter(|field| is_own(field))
            .map(|field| {
                if *field.data_type() == DataType::Null {
                    empty.insert(field.name().clone());
                }
                let numbers = field.data_type().is_numeric() || *field.data_type() == DataType::Null;
                (field.name().clone(), numbers)
            })
            .collect();
        Self {
            columns,
            empty,
            keys: BTreeSet::new(),
        }
    }

    /// What the names of its files have in common.
    pub(crate) fn keys(&self) -> &BTreeSet<String> {
        &self.keys
    }

    pub(crate) fn with_name(mut self, path: &str) -> Self {
        self.keys.insert(key(path));
        self
    }

    pub(super) fn common(&self, other: &Self) -> usize {
        self.columns
            .keys()
            .filter(|name| other.columns.contains_key(*name))
            .count()
    }

    /// How much two have in common, from 0 to 1; none when they are unlike.
    fn alike(&self, other: &Self, apart: &Apart) -> Option<f64> {
        let common = self.common(other);
        let (less, more) = (
            self.columns.len().min(other.columns.len()),
            self.columns.len().max(other.columns.len()),
        );
        if (common < less && apart.are(&self.keys, &other.keys)) || self.is_otherwise_laid_out(other) {
            return None;
        }
        let rest_is_numbers = |one: &Self, two: &Self| {
            let mut rest = one.columns.iter().filter(|(name, _)| !two.columns.contains_key(*name));
            rest.all(|(_, numbers)| *numbers)
        };
        let is_alike = common * 2 >= less
            || (common > 0
                && (!self.keys.is_disjoint(&other.keys)
                    || (rest_is_numbers(self, other) && rest_is_numbers(other, self))));
        is_alike.then_some(if more == 0 { 1.0 } else { common as f64 / more as f64 })
    }

    /// Whether both are files without names of columns, and the same places hold numbers in the one and words in the other, in two
    /// columns and a fifth of all: one such column may be a slip, and names that only count say nothing.
    fn is_otherwise_laid_out(&self, other: &Self) -> bool {
        let unnamed = |face: &Self| !face.columns.is_empty() && face.columns.keys().all(|name| is_unnamed(name));
        if !unnamed(self) || !unnamed(other) {
            return false;
        }
        let common = self.columns.iter().filter_map(|(name, numbers)| {
            let is_empty = self.empty.contains(name) || other.empty.contains(name);
            Some((is_empty, numbers, other.columns.get(name)?))
        });
        let (mut all, mut unlike) = (0usize, 0usize);
        for (is_empty, one, two) in common {
            all += 1;
            unlike += usize::from(!is_empty && one != two);
        }
        unlike > 1 && unlike * 5 >= all
    }

    fn join(&mut self, other: &Self) {
        self.empty
            .retain(|name| !other.columns.contains_key(name) || other.empty.contains(name));
        let new = other.empty.iter().filter(|name| !self.columns.contains_key(*name));
        self.empty.extend(new.cloned());
        self.columns.extend(other.columns.clone());
        self.keys.extend(other.keys.iter().cloned());
    }
}

/// Whether a column is the file's, and not the crawler's or its folders'.
pub(super) fn is_own(field: &Field) -> bool {
    !field.name().starts_with('_') && !field.metadata().contains_key(super::folders::FOLDER_KEY)
}

fn key(path: &str) -> String {
    Pattern::of(stem(path.rsplit('/').next().unwrap_or(path))).key()
}

/// A file that was read.
pub(crate) struct Candidate<'f> {
    pub(crate) path: &'f str,
    pub(crate) face: Face,
    /// The table that has its rows now.
    pub(crate) home: Option<&'f TableName>,
}

/// The table that a file feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    Main,
    /// Another one, with the reason.
    Beside(TableName, String),
    /// None: there are too many kinds.
    Nowhere(String),
}

/// Decides for all files of one main table; `tables` are those that are there: the main one and the ones beside it.
pub(crate) fn assign(
    main: &TableName,
    tables: &BTreeMap<TableName, Face>,
    files: &[Candidate<'_>],
    apart: &Apart,
) -> Vec<Fits> {
    let mut faces = tables.clone();
    let mut chosen: Vec<Option<TableName>> = files.iter().map(|file| at_home(file, &faces, main, apart)).collect();
    // Files whose table is not there yet, in heaps of their kind.
    let mut heaps: Vec<(Face, Vec<usize>)> = Vec::new();
    for (at, file) in files.iter().enumerate() {
        if chosen.get(at).is_some_and(Option::is_some) {
            continue;
        }
        if let Some(best) = best(&file.face, &faces, main, apart) {
            if let Some(place) = chosen.get_mut(at) {
                *place = Some(best);
            }
            continue;
        }
        let scores = heaps.iter().map(|(face, _)| face.alike(&file.face, apart));
        match greatest(scores) {
            Some(heap) => {
                if let Some((face, members)) = heaps.get_mut(heap) {
                    face.join(&file.face);
                    members.push(at);
                }
            }
            None => heaps.push((file.face.clone(), vec![at])),
        }
    }
    // Of a table that is not there yet, the larger heap decides what it is; of two as large the one that comes first.
    if !faces.contains_key(main) {
        heaps.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    }
    for (face, members) in heaps {
        let first = members
            .first()
            .and_then(|at| files.get(*at))
            .map_or("", |file| file.path);
        // A heap may have grown into the likeness of what became a table before it.
        let known = faces
            .contains_key(main)
            .then(|| best(&face, &faces, main, apart))
            .flatten();
        let Some(table) = known.or_else(|| name_for(main, first, &faces)) else {
            continue;
        };
        faces.entry(table.clone()).or_default().join(&face);
        for at in members {
            if let Some(place) = chosen.get_mut(at) {
                *place = Some(table.clone());
            }
        }
    }
    let said = |table: &TableName, file: &Candidate<'_>| {
        let (common, all, is_other) = faces.get(main).map_or((0, 0, false), |face| {
            let all = file.face.columns.len();
            (face.common(&file.face), all, apart.are(&face.keys, &file.face.keys))
        });
        let unlike = match is_other {
            true => format!(
                "but it says other things of the same samples than the files of {main} ({common} of its {all} columns are in it)"
            ),
            false => format!("but its columns are unlike those of {main} ({common} of {all} are in it)"),
        };
        format!("{unlike}, so its table is {table}; group = \"folder\" in a _labhouse.toml keeps them in one")
    };
    files
        .iter()
        .zip(chosen)
        .map(|(file, chosen)| match chosen {
            Some(table) if table == *main => Fits::Main,
            Some(table) => {
                let why = said(&table, file);
                Fits::Beside(table, why)
            }
            None => Fits::Nowhere(format!(
                "its columns are unlike those of {main} and of the {BESIDE_MAX} tables beside it: land it in a folder of its own, or say group = \"folder\" in a _labhouse.toml"
            )),
        })
        .collect()
}

/// A file that is loaded stays where it is while its columns allow it.
fn at_home(
    file: &Candidate<'_>,
    faces: &BTreeMap<TableName, Face>,
    main: &TableName,
    apart: &Apart,
) -> Option<TableName> {
    let home = file.home?;
    let belongs = home == main || is_beside(main, home);
    let face = faces.get(home).filter(|_| belongs)?;
    face.alike(&file.face, apart).map(|_| home.clone())
}

/// The table most like the file; the main one when it is as like as another.
fn best(file: &Face, faces: &BTreeMap<TableName, Face>, main: &TableName, apart: &Apart) -> Option<TableName> {
    let others = faces.iter().filter(|(name, _)| *name != main);
    let ordered: Vec<(&TableName, &Face)> = faces.get_key_value(main).into_iter().chain(others).collect();
    let at = greatest(ordered.iter().map(|(_, face)| face.alike(file, apart)))?;
    ordered.get(at).map(|(name, _)| (*name).clone())
}

/// The place of the greatest, the first of equals.
fn greatest(scores: impl Iterator<Item = Option<f64>>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, score) in scores.enumerate() {
        if let Some(score) = score
            && best.is_none_or(|(_, known)| score > known)
        {
            best = Some((at, score));
        }
    }
    best.map(|(at, _)| at)
}

/// A name for the table of a heap; none when there are too many.
fn name_for(main: &TableName, path: &str, faces: &BTreeMap<TableName, Face>) -> Option<TableName> {
    if !faces.contains_key(main) {
        return Some(main.clone());
    }
    if faces.len() > BESIDE_MAX {
        return None;
    }
    let name = stem(path.rsplit('/').next().unwrap_or(path));
    let bare = Pattern::of(name).bare;
    let bare = if bare.is_empty() { name } else { &bare };
    let first = block_table(main, Some(bare));
    if !faces.contains_key(&first) {
        return Some(first);
    }
    (2..=BESIDE_MAX + 1)
        .map(|count| numbered(&first, count))
        .find(|table| !faces.contains_key(table))
}

/// Whether one table is called as those beside another are.
pub(crate) fn is_beside(main: &TableName, other: &TableName) -> bool {
    let beside = other.table.strip_prefix(main.table.as_str());
    main.schema == other.schema && beside.is_some_and(|rest| rest.starts_with("__"))
}

/// The tables of a file whose main one is another.
pub(crate) fn moved(table: &TableName, main: &TableName, to: &TableName) -> TableName {
    let rest = table.table.strip_prefix(main.table.as_str()).unwrap_or_default();
    TableName {
        schema: to.schema.clone(),
        table: format!("{}{rest}", to.table).chars().take(NAME_BYTES_MAX).collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    /// Columns that begin with `n` hold numbers.
    pub(in super::super) fn face(columns: &str) -> Face {
        let fields: Vec<Field> = columns
            .split(' ')
            .map(|name| {
                let data_type = if name.starts_with('n') {
                    DataType::Float64
                } else {
                    DataType::Utf8
                };
                Field::new(name, data_type, true)
            })
            .collect();
        Face::of(fields.iter())
    }

    fn tables(main: Option<&str>, there: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        let table = |name: &str| TableName::parse(&format!("s.{name}")).unwrap();
        let mut faces: BTreeMap<TableName, Face> = there.iter().map(|(n, c)| (table(n), face(c))).collect();
        faces.extend(main.map(|columns| (table("t"), face(columns).with_name("s/t/seen_1.csv"))));
        let files: Vec<Candidate<'_>> = files
            .iter()
            .map(|(path, columns)| Candidate {
                path,
                face: face(columns).with_name(path),
                home: None,
            })
            .collect();
        assign(&table("t"), &faces, &files, &Apart::default())
            .into_iter()
            .map(|fits| match fits {
                Fits::Main => "t".to_owned(),
                Fits::Beside(table, _) => table.table,
                Fits::Nowhere(_) => "-".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_column_more_or_less_makes_no_table_and_another_thing_does() {
        let there = Some("well plate nvalue nread");
        for (columns, wanted) in [
            ("well plate nvalue nread nextra", "t"),
            ("well plate", "t"),
            ("well operator", "t"),
            ("well x y z", "t__lots"),
            ("lot supplier npurity", "t__lots"),
        ] {
            assert_eq!(tables(there, &[], &[("s/t/lots.csv", columns)]), [wanted], "{columns}");
        }
        // One pattern of names, or columns that are samples.
        assert_eq!(tables(there, &[], &[("s/t/seen_7.csv", "well a b c")]), ["t"]);
        let spectra = Some("nwavelength ns1 ns2 ns3");
        assert_eq!(tables(spectra, &[], &[("s/t/x.csv", "nwavelength ns4 ns5 ns6")]), ["t"]);
        assert_eq!(tables(spectra, &[], &[("s/t/x.csv", "nwavelength lot name")]), ["t__x"]);
        // A table beside it that fits better takes the file.
        let beside = [("t__lots", "lot supplier npurity")];
        assert_eq!(
            tables(there, &beside, &[("s/t/q.csv", "lot supplier ngrams")]),
            ["t__lots"]
        );
    }

    #[test]
    fn files_of_another_kind_are_another_table_unless_they_have_nothing_of_their_own() {
        let main = TableName::new("s", "t");
        let fits = |columns: &str, keys: &[&str], name: &str| {
            let face = keys
                .iter()
                .fold(face("well plate nvalue"), |face, key| face.with_name(key));
            let faces = BTreeMap::from([(main.clone(), face)]);
            let file = Candidate {
                path: name,
                face: self::face(columns).with_name(name),
                home: None,
            };
            let mut apart = Apart::default();
            apart.add("data", "layout");
            assign(&main, &faces, &[file], &apart).remove(0)
        };
        let beside = fits("well plate compound", &["s/t/data.csv"], "s/t/layout.csv");
        assert!(
            matches!(&beside, Fits::Beside(table, why) if table.table == "t__layout" && why.contains("2 of its 3"))
        );
        assert_eq!(
            fits("well plate compound", &["s/t/data.csv"], "s/t/other.csv"),
            Fits::Main
        );
        assert_eq!(fits("well plate", &["s/t/data.csv"], "s/t/layout.csv"), Fits::Main);
        // A table that took both before goes on so.
        let both = ["s/t/data.csv", "s/t/layout.csv"];
        assert_eq!(fits("well plate compound", &both, "s/t/layout.csv"), Fits::Main);
    }

    #[test]
    fn files_without_names_of_columns_are_told_apart_by_what_they_hold() {
        let fields = |kinds: &str| -> Vec<Field> {
            let kind = |kind: char| match kind {
                'n' => DataType::Float64,
                '-' => DataType::Null,
                _ => DataType::Utf8,
            };
            let columns = kinds.chars().enumerate();
            columns
                .map(|(at, one)| Field::new(format!("column_{}", at + 1), kind(one), true))
                .collect()
        };
        let alike = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|kinds| Face::of(fields(kinds).iter()).with_name("s/t/x_1.csv"));
            one.alike(&two, &Apart::default()).is_some()
        };
        assert!(!alike("nttnn", "ntntn") && !alike("nttttnnt", "ntttttnn"));
        // The no: one column that differs, one without a value, and columns more.
        assert!(alike("nttnn", "nttnt") && alike("nttnn", "n--nn") && alike("nttnn", "nttnnttn"));
    }

    #[test]
    fn of_files_that_come_together_the_more_decide_what_the_table_is() {
        let files = [
            ("s/t/a_lots.csv", "lot supplier npurity"),
            ("s/t/p1.csv", "well plate nvalue"),
            ("s/t/p2.csv", "well plate nvalue nextra"),
            ("s/t/b_lots.csv", "lot supplier npurity"),
            ("s/t/p3.csv", "well plate nvalue"),
        ];
        assert_eq!(tables(None, &[], &files), ["t__a_lots", "t", "t", "t__a_lots", "t"]);
        // The second is like the first only by what the third has.
        let chain = [
            ("s/t/x.csv", "a b c d"),
            ("s/t/y.csv", "e f g h"),
            ("s/t/z.csv", "a b c d e f g h i"),
        ];
        assert_eq!(tables(None, &[], &chain), ["t", "t", "t"]);
        let kinds: Vec<(String, String)> = (0..40)
            .map(|n| (format!("s/t/f{n}x.csv"), format!("a{n} b{n} c{n}")))
            .collect();
        let kinds: Vec<(&str, &str)> = kinds
            .iter()
            .map(|(path, columns)| (path.as_str(), columns.as_str()))
            .collect();
        let named = tables(None, &[], &kinds);
        assert_eq!(
            (named[0].as_str(), named[1].as_str(), named[39].as_str()),
            ("t", "t__f1x", "-")
        );
    }
}
