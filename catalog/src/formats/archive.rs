//! Zip archives: each file inside read as if it had landed, files of one shape joined to one table.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::formats::sheets::Alike;
use crate::formats::{Block, Confidence, Limits, Parsed, ReadError, read_content, zip_directory};

/// The column that says which file of the archive a row is from.
const FILE: &str = "archive_file";
/// Files of one archive that are read.
const FILES_MAX: usize = 1000;
/// Names of files about the others.
const ABOUT_OTHERS: [&str; 5] = ["readme", "license", "licence", "changelog", "citation"];
/// First words, and ends, of the names of files that go along with data and hold none themselves.
const COMPANIONS: [&str; 6] = ["readme", "license", "licence", "notes", "changelog", "citation"];
const COMPANION_ENDS: [&str; 3] = [".md", ".rst", ".html"];
/// Names of left out files in `taken_for`.
const SHOWN: usize = 4;

/// Reads an archive that is no workbook.
///
/// # Errors
/// That of the first file that cannot be read, with its name; files of other kinds (reports, images) are left out, but
/// not all of them may be.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Parsed, ReadError> {
    let files = zip_directory::files(bytes, limits)?;
    if files.len() > FILES_MAX {
        return Err(ReadError::TooLarge {
            what: "the number of files in the archive",
            seen: files.len().to_string(),
            max: FILES_MAX as u64,
        });
    }
    let count = files.len();
    let (mut left, mut notes) = (Vec::new(), Vec::new());
    let mut groups: Vec<Alike> = Vec::new();
    let mut properties = BTreeMap::new();
    let mut confidence = Confidence::default();
    for (name, content) in files {
        if is_about_others(&name) {
            left.push(format!("{name} (words about the others)"));
            continue;
        }
        // An archive inside an archive would multiply what one file may cost.
        if content.starts_with(b"PK\x03\x04") && !crate::formats::workbook::is_workbook(&content, limits)? {
            return Err(ReadError::Unsupported {
                seen: format!("an archive ({name:?}) inside an archive"),
            });
        }
        let parsed = match read_content(&name, Bytes::from(content), limits) {
            Ok(parsed) => parsed,
            Err(error) if is_companion(&name, &error) => {
                left.push(match error {
                    ReadError::Unsupported { seen } => format!("{name} ({seen})"),
                    _ => format!("{name} (words, no table)"),
                });
                continue;
            }
            Err(error) => {
                return Err(ReadError::InArchive {
                    name,
                    error: Box::new(error),
                });
            }
        };
        notes.push(parsed.taken_for);
        confidence.least(parsed.confidence);
        for (key, value) in parsed.properties {
            properties.insert(format!("{name}: {key}"), value);
        }
        for block in parsed.blocks {
            take(&mut groups, &name, block);
        }
    }
    let tables: Vec<(String, Block)> = groups.into_iter().flat_map(tables).collect();
    if tables.is_empty() {
        return Err(ReadError::NoDataRows {
            seen: format!("a zip archive of {count} files, none of them data: {}", shown(&left)),
        });
    }
    notes.sort();
    notes.dedup();
    let mut parts = vec![format!("a zip archive of {count} files: {}", shown(&notes))];
    if !left.is_empty() {
        parts.push(format!("left out: {}", shown(&left)));
    }
    let blocks = tables.into_iter().enumerate().map(|(at, (name, block))| Block {
        name: (at > 0).then_some(name),
        ..block
    });
    Ok(Parsed {
        taken_for: parts.join("; "),
        blocks: blocks.collect(),
        properties,
        confidence,
    })
}

/// Puts a block to those of its kind, or begins another kind.
fn take(groups: &mut Vec<Alike>, file: &str, block: Block) {
    if block.batches.is_empty() {
        return;
    }
    let group = groups.iter_mut().find_map(|group| {
        let (first, _) = group.members.first()?;
        let types = group.with(&block).filter(|_| first.name == block.name)?;
        Some((group, types))
    });
    match group {
        Some((group, types)) => group.take(block, file.to_owned(), types),
        None => groups.push(Alike::of(block, file.to_owned())),
    }
}

/// A kind of blocks as one table; as one each, where a value would lose digits in the type of all.
fn tables(group: Alike) -> Vec<(String, Block)> {
    let joined = group.joined(FILE);
    let parts = match joined {
        Some(block) => {
            let file = group.members.into_iter().next().map(|(_, file)| file);
            vec![(file.unwrap_or_default(), block)]
        }
        None => {
            let alone = |(block, file): (Block, String)| {
                let one = Alike::of(block, file.clone()).joined(FILE)?;
                Some((file, one))
            };
            group.members.into_iter().filter_map(alone).collect()
        }
    };
    let named = |(file, block): (String, Block)| {
        let base = file.rsplit(['/', '\\']).next().unwrap_or(&file);
        let stem = base.split('.').next().unwrap_or(base);
        let name = match &block.name {
            Some(block) => format!("{stem} {block}"),
            None => stem.to_owned(),
        };
        (name, block)
    };
    parts.into_iter().map(named).collect()
}

/// Whether a file is about the others by its name (`README.txt`): a sentence with commas may look like a table.
fn is_about_others(name: &str) -> bool {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name).to_lowercase();
    let (stem, end) = base.split_once('.').unwrap_or((base.as_str(), ""));
    ABOUT_OTHERS.contains(&stem) && ["", "txt", "md", "rst", "html"].contains(&end)
}

/// Whether a file of an archive that holds no table is one that goes along with data: it is left out and told, the rest is read.
fn is_companion(name: &str, error: &ReadError) -> bool {
    let no_table = matches!(
        error,
        ReadError::Unsupported { .. }
            | ReadError::NotATable { .. }
            | ReadError::NoDataRows { .. }
            | ReadError::Empty { .. }
    );
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name).to_lowercase();
    let word = base
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    matches!(error, ReadError::Unsupported { .. })
        || no_table && (COMPANIONS.contains(&word) || COMPANION_ENDS.iter().any(|end| base.ends_with(end)))
}

fn shown(texts: &[String]) -> String {
    let mut parts: Vec<&str> = texts.iter().take(SHOWN).map(String::as_str).collect();
    if texts.len() > SHOWN {
        parts.push("…");
    }
    parts.join(" | ")
}
