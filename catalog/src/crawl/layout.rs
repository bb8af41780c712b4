//! Which table a landed file belongs to, by its path alone.

use crate::name::TableName;

use super::pins::{self, Pin};

/// Where a path below `landing/` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Table(TableName),
    /// Not data at all.
    Ignored(&'static str),
    /// Settings of its folder: see [`super::pins`].
    Settings,
    /// Data in a place that has no meaning.
    Misplaced(&'static str),
}

/// Endings that writers and browsers use while a file is not complete.
const TEMPORARY_ENDINGS: [&str; 8] = [
    ".part",
    ".partial",
    ".tmp",
    ".temp",
    ".crdownload",
    ".filepart",
    ".swp",
    "~",
];
/// Files that operating systems leave about.
const SYSTEM_FILES: [&str; 2] = ["thumbs.db", "desktop.ini"];
/// Endings that say how a file is packed, not what it is.
const PACKING_ENDINGS: [&str; 3] = [".gz", ".zst", ".zstd"];

/// Decides by `path`, relative to `landing/`, parts separated by `/`.
pub(crate) fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.split('/').collect();
    let hidden = |part: &&str| part.starts_with('.') || part.starts_with('_');
    if let Some((file, folders)) = parts.split_last()
        && *file == pins::FILE
        && !folders.iter().any(hidden)
    {
        return Target::Settings;
    }
    if parts.iter().any(hidden) {
        return Target::Ignored("hidden: a name on its path starts with . or _");
    }
    let Some((file, folders)) = parts.split_last() else {
        return Target::Ignored("it has no name");
    };
    let lower = file.to_lowercase();
    if file.starts_with("~$") || TEMPORARY_ENDINGS.iter().any(|e| lower.ends_with(e)) {
        return Target::Ignored("temporary: its name says that it is not complete");
    }
    if SYSTEM_FILES.contains(&lower.as_str()) {
        return Target::Ignored("a file of the operating system");
    }
    match folders {
        [] => Target::Misplaced(
            "it needs a schema folder: move it to landing/<schema>/<table>/, for example landing/chemistry/plate_readings/",
        ),
        [schema] => Target::Table(TableName::new(schema, stem(file))),
        [schema, table, ..] => Target::Table(TableName::new(schema, table)),
    }
}

/// Why a file feeds the table it feeds, in words.
pub(crate) fn grouped_by(path: &str, pin: Option<&Pin>, tables: usize) -> String {
    let mut parts = path.split('/');
    let by = match (
        pin.filter(|pin| pin.names_table()),
        parts.next(),
        parts.next(),
        parts.next(),
    ) {
        (Some(pin), ..) => format!("the table pinned in {}", pin.path),
        (None, Some(schema), Some(table), Some(_)) => format!("its folder {schema}/{table}"),
        (None, Some(schema), ..) => format!("its own name, as it lies directly in the folder {schema}"),
        (None, None, ..) => "its path".to_owned(),
    };
    match tables.saturating_sub(1) {
        0 => by,
        1 => format!("{by}; one more table for its other block"),
        more => format!("{by}; {more} more tables for its other blocks"),
    }
}

/// The table of a named block of a file whose main table is `main`.
pub(crate) fn block_table(main: &TableName, block: Option<&str>) -> TableName {
    match block {
        None => main.clone(),
        Some(block) => {
            let table = format!("{}__{}", main.table, TableName::clean(block));
            TableName {
                schema: main.schema.clone(),
                table: table.chars().take(128).collect(),
            }
        }
    }
}

fn stem(file: &str) -> &str {
    let mut name = file;
    for ending in PACKING_ENDINGS {
        let at = name.len().saturating_sub(ending.len());
        if at > 0 && name.get(at..).is_some_and(|tail| tail.eq_ignore_ascii_case(ending)) {
            name = name.get(..at).unwrap_or(name);
            break;
        }
    }
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, table: &str) -> Target {
        Target::Table(TableName {
            schema: schema.to_owned(),
            table: table.to_owned(),
        })
    }

    #[test]
    fn paths_lead_to_tables() {
        assert_eq!(
            target("chemistry/plate_readings/2026/03/a.csv"),
            table("chemistry", "plate_readings")
        );
        assert_eq!(
            target("Chem Lab/Plate Readings/a.csv"),
            table("chem_lab", "plate_readings")
        );
        assert_eq!(
            target("yields/buchwald_hartwig.csv"),
            table("yields", "buchwald_hartwig")
        );
        assert_eq!(target("yields/Run 7.csv.gz"), table("yields", "run_7"));
    }

    #[test]
    fn why_a_file_feeds_its_table() {
        assert_eq!(grouped_by("chem/runs/2026/a.csv", None, 1), "its folder chem/runs");
        let own = "its own name, as it lies directly in the folder chem; 2 more tables for its other blocks";
        assert_eq!(grouped_by("chem/a.csv", None, 3), own);
        assert_eq!(target("a/b/_labhouse.toml"), Target::Settings);
        assert!(matches!(target("a/_b/_labhouse.toml"), Target::Ignored(_)));
    }

    #[test]
    fn what_is_not_data_is_left_alone() {
        for path in [
            "a/b/.hidden.csv",
            "a/_tmp/x.csv",
            "a/b/x.csv.part",
            "a/b/~$x.xlsx",
            "a/b/x.TMP",
            "a/Thumbs.db",
        ] {
            assert!(matches!(target(path), Target::Ignored(_)), "{path}");
        }
        assert!(matches!(target("stray.csv"), Target::Misplaced(_)));
    }
}
