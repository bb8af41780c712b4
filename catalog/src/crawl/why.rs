//! Why a file feeds the table it feeds, told to whoever asks.

use crate::name::TableName;

use super::folder_columns::FolderColumn;
use super::folders::{FolderRule, split};
use super::layout::{place, stem};
use super::pattern::Pattern;
use super::pins::{Group, Pin};

/// Why a file feeds the table it feeds, in words.
pub(crate) fn grouped_by(
    path: &str,
    pin: Option<&Pin>,
    (main, tables): (&TableName, usize),
    folders: &[FolderColumn],
) -> String {
    let rule = pin.map_or(&FolderRule::Form, |pin| &pin.folders);
    let place = place(path, rule);
    let schema = path.split('/').next().unwrap_or_default();
    let group = pin.map(|pin| (pin.group, pin.path.as_str()));
    let by = match (pin.filter(|pin| pin.names_table()), &place.loose, group) {
        (Some(pin), ..) => format!("the table pinned in {}", pin.path),
        (None, _, Some((Group::File, pin))) => format!("a table for each file, as {pin} says"),
        (None, _, Some((Group::Name, pin))) => format!("the pattern of its name, as {pin} says"),
        (None, None, _) => {
            let folders: Vec<&str> = path.split('/').collect();
            let below = folders.get(1..folders.len().saturating_sub(1)).unwrap_or_default();
            let named = split(below, rule).plain.first().map_or("", |folder| *folder);
            format!("its folder {schema}/{named}")
        }
        (None, Some(loose), _) if *main == loose.counted && loose.counted != loose.own => {
            format!("the pattern of its name: files in {schema} differ from it in a number alone")
        }
        (None, Some(_), _) if Pattern::of(stem(path.rsplit('/').next().unwrap_or(path))).is_dated => {
            format!("its own name without its date, as it lies directly in the folder {schema}")
        }
        (None, Some(_), _) => format!("its own name, as it lies directly in the folder {schema}"),
    };
    let columns: Vec<&str> = folders.iter().map(FolderColumn::name).collect();
    let by = match columns.as_slice() {
        [] => by,
        columns => format!("{by}; its folders give {}", columns.join(", ")),
    };
    match tables.saturating_sub(1) {
        0 => by,
        1 => format!("{by}; one more table for its other block"),
        more => format!("{by}; {more} more tables for its other blocks"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder_columns::Evidence;
    use super::super::layout::{Target, target};
    use super::*;
    use crate::formats::Pinned;

    #[test]
    fn why_a_file_feeds_its_table() {
        let by = |path: &str, tables| {
            let Target::Table(main) = target(path) else {
                panic!("{path}")
            };
            let said = place(path, &FolderRule::Form).said;
            let folders = Evidence::default().columns(&main, &said, &Pinned::default());
            grouped_by(path, None, (&main, tables), &folders)
        };
        assert_eq!(by("chem/runs/deep/a.csv", 1), "its folder chem/runs");
        let dated = "its folder chem/runs; its folders give folder_year";
        assert_eq!(by("chem/runs/2026/a.csv", 1), dated);
        let own = "its own name, as it lies directly in the folder chem; 2 more tables for its other blocks";
        assert_eq!(by("chem/a.csv", 3), own);
    }
}
