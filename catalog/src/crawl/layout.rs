//! Which table a landed file belongs to, by its path. Whether its columns belong there, too, is asked by [`super::likeness`].

use std::collections::BTreeMap;

use crate::name::{NAME_BYTES_MAX, TableName};

use super::folders::{FolderRule, Said, split};
use super::landing::Listing;
use super::pattern::Pattern;
use super::pins::{self, Group, Pin};

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
/// Schemas that the server has itself.
const RESERVED: [&str; 2] = ["system", "information_schema"];
/// Files that operating systems leave about.
const SYSTEM_FILES: [&str; 2] = ["thumbs.db", "desktop.ini"];
/// Endings that say how a file is packed, not what it is.
const PACKING_ENDINGS: [&str; 3] = [".gz", ".zst", ".zstd"];

/// So many files that differ in a counter alone show that it counts them.
const COUNTED_MIN: usize = 3;

/// Where a file that lies in no table's folder may belong, by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loose {
    schema: String,
    /// Named as the file is, without its date.
    pub(super) own: TableName,
    /// The table of files that differ in a counter.
    pub(super) counted: TableName,
    bare: String,
}

/// A path taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) target: Target,
    /// What its folders say.
    pub(crate) said: Vec<Said>,
    /// Its folders below the table's that say nothing by their form, as one name.
    pub(crate) below: Option<String>,
    pub(crate) loose: Option<Loose>,
}

/// How many files lying in no table's folder have the same name but for a counter.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<(String, String), usize>);

impl Counts {
    pub(crate) fn of(listing: &Listing) -> Self {
        let mut counts = BTreeMap::new();
        for file in &listing.files {
            // Files below a folder of a table are most of a million: their paths are not taken apart.
            let mut parts = file.path.split('/');
            let folder = (parts.next(), parts.next(), parts.next());
            let in_table = matches!(folder, (Some(_), Some(folder), Some(_)) if !may_say(folder));
            if in_table {
                continue;
            }
            if let Some(loose) = place(&file.path, &FolderRule::Form).loose
                && loose.counted != loose.own
            {
                *counts.entry((loose.schema, loose.bare)).or_default() += 1;
            }
        }
        Self(counts)
    }
}

impl Loose {
    /// The table that this file feeds, among others of its kind.
    fn table(&self, counts: &Counts) -> &TableName {
        let kind = (self.schema.clone(), self.bare.clone());
        let like = counts.0.get(&kind).copied().unwrap_or_default();
        if like >= COUNTED_MIN { &self.counted } else { &self.own }
    }
}

/// Whether a folder of this name may say something of its files.
fn may_say(folder: &str) -> bool {
    folder.contains('=') || folder.starts_with(|c: char| c.is_ascii_digit())
}

/// The table that a file feeds together with others that differ from it in a number alone, if it lies in no table's folder.
pub(crate) fn counted(path: &str) -> Option<TableName> {
    let loose = place(path, &FolderRule::Form).loose?;
    (loose.counted != loose.own).then_some(loose.counted)
}

/// The tables that a file at this path may feed: the first when nothing beside it says otherwise, the others with files
/// like it, or since before names were seen as patterns.
pub(crate) fn candidates(path: &str) -> Vec<TableName> {
    let place = place(path, &FolderRule::Form);
    let mut all = Vec::new();
    if let Target::Table(table) = place.target {
        all.push(table);
    }
    all.extend(place.loose.map(|loose| loose.counted));
    all.extend(before(path));
    let mut seen = Vec::new();
    all.retain(|table| {
        let new = !seen.contains(table);
        seen.push(table.clone());
        new
    });
    all
}

/// The table that a path named before folders and names were seen as what they say: files loaded then stay in it.
fn before(path: &str) -> Option<TableName> {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        [schema, file] => Some(TableName::new(schema, stem(file))),
        [schema, table, _, ..] => Some(TableName::new(schema, table)),
        _ => None,
    }
}

/// Decides by `path`, relative to `landing/`, parts separated by `/`.
pub(crate) fn target(path: &str) -> Target {
    place(path, &FolderRule::Form).target
}

/// The same, with what its folders say.
pub(crate) fn place(path: &str, rule: &FolderRule) -> Place {
    let nothing = |target| Place {
        target,
        said: Vec::new(),
        below: None,
        loose: None,
    };
    match data(path) {
        Ok((schema, folders, file)) => {
            let split = split(&folders, rule);
            let table = split.plain.first().map(|folder| TableName::new(schema, folder));
            let loose = table.is_none().then(|| loose(schema, file));
            let target = table.or_else(|| loose.as_ref().map(|loose| loose.own.clone()));
            Place {
                target: target.map_or(Target::Ignored("it has no name"), Target::Table),
                below: (*rule == FolderRule::Form).then(|| split.below()).flatten(),
                said: split.said,
                loose,
            }
        }
        Err(target) => nothing(target),
    }
}

/// The main table of a file, as its path, the settings of its folder and the files beside it say; none for what is no data.
pub(crate) fn main_table(path: &str, pin: Option<&Pin>, counts: &Counts) -> Option<TableName> {
    let place = place(path, pin.map_or(&FolderRule::Form, |pin| &pin.folders));
    match place.target {
        Target::Table(named) => Some(grouped(path, (named, place.loose), pin, counts)),
        Target::Ignored(_) | Target::Settings | Target::Misplaced(_) => None,
    }
}

/// The same for a path that is taken apart.
pub(crate) fn grouped(
    path: &str,
    (named, loose): (TableName, Option<Loose>),
    pin: Option<&Pin>,
    counts: &Counts,
) -> TableName {
    let by_path = match &loose {
        Some(loose) => loose.table(counts).clone(),
        None => named,
    };
    let Some(pin) = pin else { return by_path };
    let main = pin.table(&by_path);
    let file = stem(path.rsplit('/').next().unwrap_or(path));
    // A file in no table's folder has no table's name before its own.
    match (pin.group, loose.filter(|_| !pin.names_table())) {
        (Group::Columns | Group::Folder, _) => main,
        (Group::Name, Some(loose)) => loose.counted,
        (Group::Name, None) => match Pattern::of(file).bare {
            // What is called by a number alone is named by its folder.
            bare if bare.is_empty() => main,
            bare => block_table(&main, Some(&bare)),
        },
        (Group::File, Some(_)) => TableName::new(&main.schema, file),
        (Group::File, None) => block_table(&main, Some(file)),
    }
}

fn loose(schema: &str, file: &str) -> Loose {
    let name = stem(file);
    let pattern = Pattern::of(name);
    let table = |name: &str| TableName::new(schema, name);
    let own = if pattern.is_dated && !pattern.undated.is_empty() {
        table(&pattern.undated)
    } else {
        table(name)
    };
    Loose {
        schema: schema.to_owned(),
        own,
        // Files called by nothing but a number or a date are what their folder is.
        counted: if pattern.bare.is_empty() {
            table(schema)
        } else {
            table(&pattern.bare)
        },
        bare: pattern.key(),
    }
}

/// Schema, folders below it and the file's name of a path that leads to data.
fn data(path: &str) -> Result<(&str, Vec<&str>, &str), Target> {
    let parts: Vec<&str> = path.split('/').collect();
    let hidden = |part: &&str| part.starts_with('.') || part.starts_with('_');
    if let Some((file, folders)) = parts.split_last()
        && *file == pins::FILE
        && !folders.iter().any(hidden)
    {
        return Err(Target::Settings);
    }
    if parts.iter().any(hidden) {
        return Err(Target::Ignored("hidden: a name on its path starts with . or _"));
    }
    let Some((file, folders)) = parts.split_last() else {
        return Err(Target::Ignored("it has no name"));
    };
    let lower = file.to_lowercase();
    if file.starts_with("~$") || TEMPORARY_ENDINGS.iter().any(|e| lower.ends_with(e)) {
        return Err(Target::Ignored("temporary: its name says that it is not complete"));
    }
    if SYSTEM_FILES.contains(&lower.as_str()) {
        return Err(Target::Ignored("a file of the operating system"));
    }
    match folders {
        [] => Err(Target::Misplaced(
            "it needs a schema folder: move it to landing/<schema>/<table>/, for example landing/chemistry/plate_readings/",
        )),
        [schema, ..] if RESERVED.contains(&TableName::clean(schema).as_str()) => Err(Target::Misplaced(
            "the schemas system and information_schema are the server's own: give its first folder another name",
        )),
        [schema, folders @ ..] => Ok((*schema, folders.to_vec(), *file)),
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
                table: table.chars().take(NAME_BYTES_MAX).collect(),
            }
        }
    }
}

/// The table of another block that would have the same name.
pub(crate) fn numbered(table: &TableName, count: usize) -> TableName {
    let number = format!("_{count}");
    let room = NAME_BYTES_MAX.saturating_sub(number.len());
    let beginning: String = table.table.chars().take(room).collect();
    TableName {
        schema: table.schema.clone(),
        table: beginning + &number,
    }
}

/// A file's name without what its endings say.
pub(crate) fn stem(file: &str) -> &str {
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
        // Folders that say when or which of many name no table.
        for path in [
            "chem/2026/03/14/plate.csv",
            "chem/2026-03-14/plate.csv",
            "chem/lot=7/plate.csv",
            "chem/plate_2026-03-14.csv",
            "chem/2026/plate/a.csv",
        ] {
            assert_eq!(target(path), table("chem", "plate"), "{path}");
        }
        assert_eq!(target("chem/2026-03-14.csv"), table("chem", "t_2026_03_14"));
        assert_eq!(target("chem/plateReadings.csv"), table("chem", "plate_readings"));
    }

    #[test]
    fn files_that_count_are_one_table_once_there_are_some() {
        let listing = |names: &[&str]| {
            let mut listing = Listing::default();
            for name in names {
                listing.files.push(super::super::landing::Landed {
                    path: (*name).to_owned(),
                    bytes: 1,
                    modified: chrono::Utc::now(),
                    stamp: String::new(),
                    pin: None,
                });
            }
            Counts::of(&listing)
        };
        let of = |path: &str, counts: &Counts| {
            let loose = place(path, &FolderRule::Form).loose;
            loose.map(|loose| loose.table(counts).table.clone()).unwrap_or_default()
        };
        let two = listing(&[
            "chem/case_1.csv",
            "chem/case_2.csv",
            "other/case_3.csv",
            "chem/case/4.csv",
        ]);
        assert_eq!(of("chem/case_1.csv", &two), "case_1");
        let three = listing(&["chem/case_1.csv", "chem/Case 2.csv", "chem/2026-03-14/case_10.csv"]);
        assert_eq!(of("chem/case_1.csv", &three), "case");
        assert_eq!(of("chem/case.csv", &three), "case");
        let days = listing(&["chem/2026-03-14.csv", "chem/2026-03-15.csv", "chem/2026-03-16.csv"]);
        assert_eq!(of("chem/2026-03-15.csv", &days), "chem");
        let names = |path: &str| candidates(path).into_iter().map(|name| name.table).collect::<Vec<_>>();
        assert_eq!(
            names("chem/plate_2026-03-14_7.csv"),
            ["plate_7", "plate", "plate_2026_03_14_7"]
        );
        assert_eq!(names("chem/2026/03/x.csv"), ["x", "t_2026"]);
        assert_eq!(names("chem/runs/2026/x.csv"), ["runs"]);
    }

    #[test]
    fn what_is_not_data_is_left_alone() {
        assert_eq!(target("a/b/_labhouse.toml"), Target::Settings);
        assert!(matches!(target("a/_b/_labhouse.toml"), Target::Ignored(_)));
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
        let own = |path: &str| matches!(target(path), Target::Misplaced(reason) if reason.contains("server's own"));
        assert!(own("system/x/a.csv") && own("Information Schema/y.csv") && own("SYSTEM/z.csv"));
        assert_eq!(target("systems/x/a.csv"), table("systems", "x"));
    }
}
