//! Folders that hold files of the same names: `P001/data.csv` and `P001/layout.csv`, `P002/data.csv` and `P002/layout.csv`.
//!
//! There the file's name says what kind of file it is and the folder's which of many it is about. So the folder's name becomes
//! a column of the rows ([`super::folders::NAME`]), and the kinds are told apart (see [`super::apart`]). One folder alone shows nothing of
//! this. A name is of that kind when it stands in at least two of the folders beside one another and in half of them: a folder
//! may lack a file, and a new one is filled file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::name::TableName;

use super::layout::stem;
use super::pattern::Pattern;

/// Folders beside one another that are looked at; more say the same.
const FOLDERS_MAX: usize = 256;
/// Names of one folder that are looked at: a folder of more is a heap of files, not a set of them.
const NAMES_MAX: usize = 64;

/// The names of one folder's files, as they are and without what counts or dates them.
#[derive(Debug, Default)]
struct Names {
    exact: BTreeSet<String>,
    keys: BTreeSet<String>,
}

/// Folders beside one another, by their names.
type Siblings = BTreeMap<String, Names>;

/// What all folders of each table hold.
#[derive(Debug, Default)]
pub(crate) struct Kinds(BTreeMap<TableName, BTreeMap<String, Siblings>>);

/// What the folders of one table show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Only the folder's name tells which of many its files are about.
    pub(crate) names_folders: bool,
    /// The names of the kinds, where there are several.
    pub(crate) kinds: Arc<BTreeSet<String>>,
}

impl Kinds {
    /// A file in a folder (below its table's) that says nothing by its form.
    pub(crate) fn see(&mut self, table: &TableName, folder: &str, file: &str) {
        let (above, last) = folder.rsplit_once('/').unwrap_or(("", folder));
        if !self.0.contains_key(table) {
            self.0.insert(table.clone(), BTreeMap::new());
        }
        let Some(of_table) = self.0.get_mut(table) else { return };
        let siblings = of_table.entry(above.to_owned()).or_default();
        if siblings.len() >= FOLDERS_MAX && !siblings.contains_key(last) {
            return;
        }
        let names = siblings.entry(last.to_owned()).or_default();
        if names.exact.len() >= NAMES_MAX {
            return;
        }
        let stem = stem(file);
        names.exact.insert(stem.to_lowercase());
        let key = Pattern::of(stem).key();
        if !key.is_empty() {
            names.keys.insert(key);
        }
    }

    pub(crate) fn of(&self, table: &TableName) -> Verdict {
        let mut names_folders = false;
        let mut kinds = BTreeSet::new();
        for siblings in self.0.get(table).into_iter().flat_map(BTreeMap::values) {
            let again = recurring(siblings, |names| &names.exact);
            let all: usize = siblings.values().map(|names| names.exact.len()).sum();
            let those = |names: &Names| names.exact.intersection(&again).count();
            let covered: usize = siblings.values().map(those).sum();
            let of_folders = recurring(siblings, |names| &names.keys);
            names_folders |= covered > 0 && covered * 2 >= all;
            if of_folders.len() > 1 {
                names_folders = true;
                kinds.extend(of_folders);
            }
        }
        Verdict {
            names_folders,
            kinds: Arc::new(kinds),
        }
    }
}

/// The names that stand in two of the folders and in half of them.
fn recurring(siblings: &Siblings, of: fn(&Names) -> &BTreeSet<String>) -> BTreeSet<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for name in siblings.values().flat_map(of) {
        *counts.entry(name).or_default() += 1;
    }
    let often = |count: usize| count >= 2 && count * 2 >= siblings.len();
    let names = counts.into_iter().filter(|(_, count)| often(*count));
    names.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(paths: &[&str]) -> (bool, Vec<String>) {
        let table = TableName::new("s", "t");
        let mut all = Kinds::default();
        for path in paths {
            if let Some((folder, file)) = path.rsplit_once('/') {
                all.see(&table, folder, file);
            }
        }
        let verdict = all.of(&table);
        (verdict.names_folders, verdict.kinds.iter().cloned().collect())
    }

    #[test]
    fn folders_of_the_same_names_tell_kinds_and_which_of_many() {
        let both = ["P1/data.csv", "P1/layout.csv", "P2/data.csv", "P2/layout.csv"];
        let kinds = vec!["data".to_owned(), "layout".to_owned()];
        assert_eq!(verdict(&both), (true, kinds.clone()));
        assert_eq!(verdict(&[&both[..], &["P3/data.csv"]].concat()), (true, kinds));
        // The plate stands in the names of its files, too.
        let named = ["P1/P1_data.csv", "P1/P1_map.csv", "P2/P2_data.csv", "P2/P2_map.csv"];
        assert_eq!(verdict(&named), (true, vec!["p_data".to_owned(), "p_map".to_owned()]));
        // One kind: which of many is still said by the folder alone.
        assert_eq!(verdict(&["P1/data.csv", "P2/data.csv"]), (true, vec![]));
        // One folder shows nothing, nor do folders of other names, nor a note in each beside files of their own names.
        assert_eq!(verdict(&["P1/data.csv", "P1/layout.csv"]), (false, vec![]));
        assert_eq!(verdict(&["x/ana.csv", "y/bob.csv"]), (false, vec![]));
        let heaps = [
            "x/a.csv",
            "x/b.csv",
            "x/c.csv",
            "x/note.csv",
            "y/d.csv",
            "y/e.csv",
            "y/f.csv",
            "y/note.csv",
        ];
        assert_eq!(verdict(&heaps), (false, vec![]));
        // Folders that do not lie beside one another.
        assert_eq!(verdict(&["a/P1/data.csv", "P2/data.csv"]), (false, vec![]));
    }
}
