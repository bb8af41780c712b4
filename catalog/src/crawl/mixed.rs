//! Two kinds of files in one table: what is to be said where columns in common make one of what may be two things.

use std::collections::BTreeMap;

use crate::name::TableName;

use super::likeness::{BESIDE_MAX, Candidate, Face, Fits};

/// What is to be said of files that come to a table whose other files may be of another kind: more columns of theirs are apart than in common.
pub(crate) fn mixed(
    main: &TableName,
    tables: &BTreeMap<TableName, Face>,
    files: &[Candidate<'_>],
    fits: &[Fits],
) -> Vec<Option<String>> {
    // Of those of one kind the first stands for all.
    let mut kinds: BTreeMap<&str, &Candidate<'_>> = BTreeMap::new();
    let of_main = files.iter().zip(fits).filter(|(_, fits)| **fits == Fits::Main);
    for (file, _) in of_main {
        if let Some(key) = file.face.keys.first().filter(|_| kinds.len() < BESIDE_MAX) {
            kinds.entry(key).or_insert(file);
        }
    }
    let doubt = |file: &Candidate<'_>| {
        let (all, before) = (file.face.columns.len(), tables.get(main));
        let beside = kinds.values().map(|other| (&other.face, format!("of {}", other.path)));
        let before = before.map(|face| (face, format!("of {main}")));
        let (face, whose) = beside.chain(before).find(|(face, _)| may_be_two(&file.face, face))?;
        let common = face.common(&file.face);
        Some(format!(
            "{common} of its {all} columns are among those {whose}, and each has others: if these are two things, give each a \
             folder of its own"
        ))
    };
    let each = files.iter().zip(fits);
    each.map(|(file, fits)| doubt(file).filter(|_| *fits == Fits::Main && file.home.is_none()))
        .collect()
}

/// Whether two that go together have more columns apart than in common, each some of its own that are no numbers, and names of
/// files that do not go together: people land two kinds of files in one folder by mistake as well.
fn may_be_two(one: &Face, other: &Face) -> bool {
    let own = |one: &Face, two: &Face| {
        let mut rest = one.columns.iter().filter(|(name, _)| !two.columns.contains_key(*name));
        rest.any(|(_, numbers)| !numbers)
    };
    one.keys.is_disjoint(&other.keys)
        && one.common(other) * 2 < one.columns.len().max(other.columns.len())
        && own(one, other)
        && own(other, one)
}

#[cfg(test)]
mod tests {
    use super::super::apart::Apart;
    use super::super::likeness::assign;
    use super::super::likeness::tests::face;
    use super::*;

    #[test]
    fn two_kinds_in_one_table_are_told() {
        let main = TableName::new("s", "t");
        let mixed = |files: &[(&str, &str)]| -> Vec<bool> {
            let files: Vec<Candidate<'_>> = files
                .iter()
                .map(|(path, columns)| Candidate {
                    path,
                    face: face(columns).with_name(path),
                    home: None,
                })
                .collect();
            let fits = assign(&main, &BTreeMap::new(), &files, &Apart::default());
            let mixed = mixed(&main, &BTreeMap::new(), &files, &fits);
            mixed.iter().map(Option::is_some).collect()
        };
        let plates = ("s/t/plates.csv", "ligand base nyield plate well x y z");
        assert_eq!(
            mixed(&[("s/t/a.csv", "ligand base nyield smiles"), plates]),
            [true, true]
        );
        // The no: a column more, samples as columns, nothing of its own, and names of one pattern.
        for file in [
            ("s/t/a.csv", "ligand base nyield plate well x y"),
            ("s/t/a.csv", "ligand base nyield n1 n2"),
            ("s/t/a.csv", "ligand base"),
            ("s/t/plates_2.csv", "ligand base nyield smiles"),
        ] {
            assert_eq!(mixed(&[file, plates]), [false, false], "{file:?}");
        }
    }
}
