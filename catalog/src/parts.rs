//! A table in parts, for readers that read side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use object_store::path::Path as ObjectPath;

use crate::error::LakeError;
use crate::lake::Lake;
use crate::table::{LakeTable, plain_scan};

/// The rows of one of `of` parts of this version of a table, counted from 0. Each data file is in one part, always in the same one, and
/// the parts have about the same bytes; with fewer files than parts some are empty. None where the table is not a plain list of files.
///
/// # Errors
/// A snapshot that cannot be read.
pub fn part(
    lake: &Lake,
    table: &LakeTable,
    number: usize,
    of: usize,
) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
    let state = table.state()?;
    let Some(scan) = plain_scan(lake, table.name(), state) else {
        return Ok(None);
    };
    let files = state.log_data();
    let files = files.iter().map(|file| (file.size(), file.object_store_path()));
    let others = shared_out(files.collect(), of)
        .into_iter()
        .enumerate()
        .filter(|(place, _)| *place != number)
        .flat_map(|(_, paths)| paths);
    Ok(Some(Arc::new(scan.without(&others.collect()))))
}

/// Largest first, each to whoever has least: by size and name alone, so anybody does the same.
fn shared_out(mut files: Vec<(i64, ObjectPath)>, of: usize) -> Vec<BTreeSet<ObjectPath>> {
    files.sort_by(|a, b| b.cmp(a));
    let mut parts: Vec<(i64, BTreeSet<ObjectPath>)> = vec![Default::default(); of];
    for (bytes, path) in files {
        if let Some(least) = parts.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            least.0 = least.0.saturating_add(bytes.max(1));
            least.1.insert(path);
        }
    }
    parts.into_iter().map(|(_, paths)| paths).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_file_is_in_one_part_whatever_order_they_come_in(sizes in prop::collection::vec(0_i64..1_000, 0..40), of in 1_usize..9) {
            let files: Vec<_> = sizes.iter().zip(0..).map(|(size, n)| (*size, ObjectPath::from(format!("f{n}")))).collect();
            let parts = shared_out(files.clone(), of);
            prop_assert_eq!(parts.len(), of);
            prop_assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), files.len());
            prop_assert_eq!(parts.iter().flatten().collect::<BTreeSet<_>>().len(), files.len());
            let backwards: Vec<_> = files.iter().rev().cloned().collect();
            prop_assert_eq!(&shared_out(backwards, of), &parts);
            // No part is ahead of another by more than the largest file.
            let bytes: Vec<i64> = parts.iter().map(|part| files.iter().filter(|(_, path)| part.contains(path)).map(|(size, _)| (*size).max(1)).sum()).collect();
            let (least, most) = (bytes.iter().min().copied().unwrap_or(0), bytes.iter().max().copied().unwrap_or(0));
            prop_assert!(most - least <= sizes.iter().copied().max().unwrap_or(0).max(1));
        }
    }
}
