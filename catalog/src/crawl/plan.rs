//! What a sweep has to do, decided purely from listing, ledger and quarantine.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::formats::Pinned;
use crate::name::TableName;

use super::folder_columns::{Evidence, FolderColumn};
use super::folders::{FolderRule, Said};
use super::history::{Histories, History};
use super::kinds::{Kinds, Verdict};
use super::landing::{Landed, Listing};
use super::layout::{self, Counts, Place, Target};
use super::links;
use super::moved::{self, Absent};
use super::options::CrawlOptions;
use super::pins::{self, Pins};
use super::quarantine::Record;
use super::report::{FileOutcome, FileStatus};

/// A file that must be read.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) file: Landed,
    pub(crate) main: TableName,
    /// What its folders say of its rows.
    pub(crate) folders: Vec<FolderColumn>,
    /// The names of the kinds of files that the folders of its table hold, where there are several.
    pub(crate) kinds: Arc<BTreeSet<String>>,
}

/// The sweep's work.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// How many files are as they were.
    pub(crate) unchanged: usize,
    /// Other files that need nothing done.
    pub(crate) settled: Vec<FileOutcome>,
    pub(crate) due: Vec<Due>,
    /// Files in the ledger that are no longer in the landing folder.
    pub(crate) gone: Vec<String>,
    /// Files to be put into quarantine unread.
    pub(crate) refused: Vec<(Landed, String)>,
    /// Quarantine records whose file is gone.
    pub(crate) stale: Vec<String>,
    /// Files that may be there under another path.
    pub(crate) absent: Absent,
    /// Of those in `gone`, the ones whose rows are in a table under another path, with that.
    pub(crate) moved: BTreeMap<String, String>,
    /// Of those in `moved`, the ones that the other path is a copy of: what was changed in their rows since is kept.
    pub(crate) copied: BTreeMap<String, String>,
}

/// What the crawler remembers between sweeps: the stamp under which a file's digest was last checked.
pub(crate) type Verified = BTreeMap<String, (String, String)>;

/// Tables that cannot be opened or have no readable ledger, with the reason. Their files wait; all others go on.
pub(crate) type Blocked = BTreeMap<TableName, String>;

/// Takes the report on each file that is as it was; nobody may want it, for there may be a million of them.
pub(crate) type Unchanged<'u> = Option<&'u mut (dyn FnMut(FileOutcome) + Send)>;

/// What is known beforehand.
pub(crate) struct Known<'k> {
    pub(crate) history: &'k Histories<'k>,
    pub(crate) blocked: &'k Blocked,
    pub(crate) quarantine: &'k BTreeMap<String, Record>,
    pub(crate) verified: &'k Verified,
    pub(crate) pins: &'k Pins,
    /// The landing folder is one of this machine.
    pub(crate) is_local: bool,
}

pub(crate) fn plan(
    listing: Listing,
    known: &Known<'_>,
    options: &CrawlOptions,
    settle_before: Option<DateTime<Utc>>,
    mut unchanged: Unchanged<'_>,
) -> Plan {
    let Known {
        history,
        blocked,
        quarantine,
        verified,
        pins,
        is_local,
    } = *known;
    let mut plan = Plan {
        absent: Absent::new(is_local),
        ..Plan::default()
    };
    let mut count = 0;
    let mut as_it_was = |known: &History<'_>| {
        count += 1;
        if let Some(tell) = &mut unchanged {
            tell(known.outcome(FileStatus::Unchanged));
        }
    };
    let odd: HashSet<&str> = listing.odd.iter().map(|(path, _)| path.as_str()).collect();
    let is_present = |path: &str| listing.has(path) || odd.contains(path) || listing.is_out_of_sight(path);
    let mut kinds = Kinds::default();
    // Recorded as gone before, with their rows.
    let mut kept = Vec::new();
    for known in history.iter().filter(|known| !is_present(known.path())) {
        if known.iter().any(|(table, _)| why_blocked(table, blocked).is_some()) {
            continue;
        }
        plan.absent.see(known);
        // Folders that were taken away once all was loaded have shown what they held.
        let place = layout::place(known.path(), &FolderRule::Form);
        if let (Target::Table(table), Some(below)) = (place.target, &place.below) {
            kinds.see(&table, below, known.path().rsplit('/').next().unwrap_or_default());
        }
        if known.is_gone() && !(known.is_held() && options.gone == super::options::Gone::DeleteRows) {
            plan.settled.push(known.outcome(FileStatus::Gone));
            kept.extend(known.is_held().then(|| known.path()));
        } else {
            plan.gone.push(known.path().to_owned());
        }
    }
    let all = plan.gone.iter().map(String::as_str).chain(kept.iter().copied());
    plan.moved = moved::claimed(history, all);
    if !is_local {
        let went = plan.gone.iter().map(String::as_str);
        let went = went.filter(|path| !plan.moved.contains_key(*path));
        let since = Utc::now() - options.rename_within;
        plan.copied = moved::copied(history, went, |path| listing.has(path), since);
        plan.moved.extend(plan.copied.clone());
    }
    // Loaded through a link before links were known for what they are: its own place has its rows, too.
    for known in history.iter().filter(|_| !listing.links.is_empty()) {
        let place = links::without(&listing.links, known.path()).filter(|place| listing.has(place));
        let is_loaded = |place: &String| history.get(place).is_some_and(|there| there.complete().is_some());
        if let Some(place) = place.filter(|_| known.is_held()).filter(is_loaded) {
            plan.gone.push(known.path().to_owned());
            plan.moved.insert(known.path().to_owned(), place);
        }
    }
    let again = kept.into_iter().filter(|path| plan.moved.contains_key(*path));
    plan.gone.extend(again.map(str::to_owned));
    plan.gone.sort();
    plan.absent.leave_out(&plan.moved);
    plan.stale = quarantine.keys().filter(|path| !is_present(path)).cloned().collect();
    let counts = Counts::of(&listing);
    let mut evidence = Evidence::default();
    let mut due = Vec::new();
    for (path, reason) in listing.odd {
        plan.settled
            .push(FileOutcome::new(&path, FileStatus::Ignored, 0).because(reason));
    }
    for mut file in listing.files {
        let pinned = pins::of(pins, &file.path);
        let pin = pinned.and_then(|pin| pin.as_ref().ok());
        let Place {
            target,
            said,
            below,
            loose,
        } = layout::place(&file.path, pin.map_or(&FolderRule::Form, |pin| &pin.folders));
        let named = match target {
            Target::Table(table) => table,
            Target::Settings => {
                plan.settled.push(settings(&file, pins));
                continue;
            }
            Target::Ignored(reason) => {
                plan.settled
                    .push(FileOutcome::new(&file.path, FileStatus::Ignored, file.bytes).because(reason));
                continue;
            }
            Target::Misplaced(reason) => {
                plan.refused.push((file, reason.to_owned()));
                continue;
            }
        };
        match pinned {
            None => {}
            Some(Ok(pin)) => {
                if let Some(pattern) = pin.skips(file.name()) {
                    let reason = format!("{} says to skip {pattern:?}", pin.path);
                    plan.settled
                        .push(FileOutcome::new(&file.path, FileStatus::Ignored, file.bytes).because(reason));
                    continue;
                }
                file.pin = Some(Arc::clone(pin));
            }
            Some(Err(reason)) => {
                match history.get(&file.path).filter(|known| known.complete().is_some()) {
                    Some(known) => as_it_was(known),
                    None => plan.settled.push(FileOutcome::blocked(
                        &file.path,
                        file.bytes,
                        format!("the settings of its folder cannot be used: {reason}"),
                    )),
                }
                continue;
            }
        }
        let known = history.get(&file.path);
        let mut main = layout::grouped(&file.path, (named, loose), pin.map(Arc::as_ref), &counts);
        if let Some(entry) = known.map(|known| &known.newest().entry)
            && let Some(home) = entry.tables.first().filter(|home| **home != main)
            && entry.sha256.split_once('+').map_or("", |(_, mark)| mark)
                == file.pin.as_ref().map_or("", |pin| pin.mark.as_str())
            && layout::candidates(&file.path).contains(home)
        {
            // A file that is loaded stays in its table.
            main = home.clone();
        }
        evidence.see(&main, &said);
        let below = below.map(|below| Said::named(&below));
        if let Some(text) = below.as_ref().and_then(|below| below.text.as_deref()) {
            kinds.see(&main, text, file.name());
            evidence.see(&main, below.as_slice());
        }
        if let Some(reason) = why_blocked(&main, blocked) {
            plan.settled.push(FileOutcome::blocked(&file.path, file.bytes, reason));
            continue;
        }
        if let (Some(known), Some(sha256)) = (known, known.and_then(|known| known.complete())) {
            let checked = || {
                let checked = verified.get(&file.path);
                checked.is_some_and(|(stamp, digest)| file.has_mark(stamp) && digest == sha256)
            };
            if file.has_mark(&known.newest().entry.stamp) || checked() {
                // It was another file for a while, and is the one again that is loaded.
                if quarantine
                    .get(&file.path)
                    .is_some_and(|record| !file.has_mark(&record.stamp))
                {
                    plan.stale.push(file.path.clone());
                }
                as_it_was(known);
                continue;
            }
        }
        if let Some(record) = quarantine.get(&file.path).filter(|r| file.has_mark(&r.stamp)) {
            plan.settled.push(record.outcome());
        } else if settle_before.is_some_and(|t| file.modified > t && file.modified < t + options.settle * 2) {
            // A time far ahead is a wrong clock, not a fresh file.
            let reason = "it was written to a moment ago; it is read once it rests";
            plan.settled
                .push(FileOutcome::new(&file.path, FileStatus::Waiting, file.bytes).because(reason));
        } else {
            due.push((file, main, said, below));
        }
    }
    plan.unchanged = count;
    let nothing_pinned = Pinned::default();
    let mut verdicts: BTreeMap<TableName, Verdict> = BTreeMap::new();
    // Only now all folders are known that decide what the values of one of them are.
    plan.due = due
        .into_iter()
        .map(|(file, main, mut said, below)| {
            let verdict = verdicts.entry(main.clone()).or_insert_with(|| kinds.of(&main));
            said.extend(below.filter(|_| verdict.names_folders));
            let pinned = file.pin.as_ref().map(|pin| &pin.reading).unwrap_or(&nothing_pinned);
            let folders = evidence.columns(&main, &said, pinned);
            Due {
                file,
                main,
                folders,
                kinds: Arc::clone(&verdict.kinds),
            }
        })
        .collect();
    plan
}

/// What is said of a file of settings.
fn settings(file: &Landed, pins: &Pins) -> FileOutcome {
    let folder = file
        .path
        .strip_suffix(pins::FILE)
        .unwrap_or_default()
        .trim_end_matches('/');
    match pins.get(folder) {
        Some(Err(reason)) => FileOutcome::blocked(
            &file.path,
            file.bytes,
            format!("it cannot be used, and the files of its folder wait: {reason}"),
        ),
        Some(Ok(_)) | None => FileOutcome::new(&file.path, FileStatus::Ignored, file.bytes)
            .because("the settings of its folder, followed for the files in it and below it"),
    }
}

/// A file may feed its main table and all blocks of it: one that is blocked stops it.
fn why_blocked(main: &TableName, blocked: &Blocked) -> Option<String> {
    let block = format!("{}__", main.table);
    let (table, reason) = blocked
        .iter()
        .find(|(name, _)| name.schema == main.schema && (name.table == main.table || name.table.starts_with(&block)))?;
    Some(format!("its table {table} cannot be used now: {reason}"))
}
