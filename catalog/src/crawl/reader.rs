//! One landed file, read and taken apart: its digest, and its blocks ready for their tables.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::catalog::Catalog;
use crate::error::LakeError;
use crate::formats::{self, InTable};
use crate::name::TableName;
use crate::parquet_file::blocking;

use super::columns::Prepared;
use super::folder_columns::FolderColumn;
use super::landing::{self, Content, Landed};
use super::layout::{block_table, numbered};
use super::options::CrawlOptions;
use super::quarantine::{SAMPLE_BYTES_MAX, hex};
use super::stream;
use super::told::Told;
use super::why::grouped_by;

/// A file's content as far as it went.
pub(crate) enum Read {
    /// It is the content with the digest that was asked about; it was not parsed again.
    Same { sha256: String },
    Parsed {
        sha256: String,
        taken_for: String,
        told: Told,
        tables: Vec<(TableName, Arc<Prepared>)>,
        /// Its first bytes.
        sample: Bytes,
    },
    /// It cannot be loaded.
    Bad { reason: String, content: Bytes },
    /// Look again at the next sweep.
    Later {
        reason: String,
        /// It will not get better by itself.
        blocked: bool,
    },
}

/// Reads `file` for the table `main` unless its digest is `known`. `in_table` are types that its table has for some of its
/// columns; most readers go by what the file says alone.
pub(crate) async fn read(
    catalog: &Catalog,
    file: &Landed,
    (main, folders): (&TableName, &[FolderColumn]),
    known: Option<&str>,
    in_table: BTreeMap<String, InTable>,
    options: &CrawlOptions,
) -> Result<Read, LakeError> {
    let mut pinned = file.pin.as_ref().map(|pin| pin.reading.clone()).unwrap_or_default();
    // What is said of a folder's column is not said of the file's.
    pinned
        .types
        .retain(|column, _| folders.iter().all(|folder| folder.name() != column));
    pinned.in_table = in_table;
    let limits = formats::Limits {
        decompressed_bytes_max: options.decompressed_bytes_max,
        pinned,
        ..formats::Limits::default()
    };
    let lake = catalog.lake();
    if let Some(read) = stream::read(catalog, file, (main, folders), known, &limits).await? {
        return Ok(read);
    }
    if file.bytes > options.file_bytes_max {
        let reason = format!(
            "it has {} bytes, more than the {} allowed for a file that is no plain table from its first line to its last: \
             split it, or raise file_bytes_max",
            file.bytes, options.file_bytes_max
        );
        return Ok(Read::Bad {
            reason,
            content: Bytes::new(),
        });
    }
    let content = match landing::read(lake, file).await {
        Ok(Content::Stable(content)) => content,
        Ok(Content::Moving) => {
            return Ok(Read::Later {
                reason: "it changed while it was read".to_owned(),
                blocked: false,
            });
        }
        Err(error) => {
            return Ok(Read::Later {
                reason: error.to_string(),
                blocked: true,
            });
        }
    };
    let (file, main, known) = (file.clone(), main.clone(), known.map(str::to_owned));
    let folders = folders.to_vec();
    blocking(move || {
        let sha256 = file.marked(&hex(&Sha256::digest(&content)));
        if known.as_ref() == Some(&sha256) {
            return Ok(Read::Same { sha256 });
        }
        // A reader's defect on one file must not end the crawl of all the others.
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            parse(&file, content.clone(), (&main, &folders), &limits)
        }));
        Ok(match parsed {
            Ok(Ok((taken_for, told, tables))) => Read::Parsed {
                sha256,
                taken_for,
                told,
                tables,
                sample: Bytes::copy_from_slice(content.get(..SAMPLE_BYTES_MAX).unwrap_or(&content)),
            },
            Ok(Err(reason)) => Read::Bad { reason, content },
            Err(_) => {
                let reason = "the reader failed on it: this is a defect of labhouse; please report the file".to_owned();
                Read::Bad { reason, content }
            }
        })
    })
    .await
}

type Tables = Vec<(TableName, Arc<Prepared>)>;

fn parse(
    file: &Landed,
    content: Bytes,
    (main, folders): (&TableName, &[FolderColumn]),
    limits: &formats::Limits,
) -> Result<(String, Told, Tables), String> {
    let mut parsed = formats::read(file.name(), content, limits).map_err(|e| e.to_string())?;
    for note in folders.iter().filter_map(FolderColumn::note) {
        parsed.confidence.doubt(0.9, note);
    }
    let mut tables: Tables = Vec::with_capacity(parsed.blocks.len());
    for block in &parsed.blocks {
        let mut table = block_table(main, block.name.as_deref());
        let mut count = 1;
        // Two blocks of one name, or of names too long to tell apart, are two tables all the same.
        while tables.iter().any(|(taken, _)| *taken == table) {
            count += 1;
            table = numbered(
                &block_table(main, Some(block.name.as_deref().unwrap_or("block"))),
                count,
            );
        }
        let prepared = Prepared::new(block).map_err(|reason| match &block.name {
            Some(block) => format!("block '{block}': {reason}"),
            None => reason,
        })?;
        let prepared = prepared.with_pinned(limits.pinned.types.keys()).with_folders(folders);
        tables.push((table, Arc::new(prepared)));
    }
    let by = grouped_by(&file.path, file.pin.as_deref(), (main, tables.len()), folders);
    let told = Told::of(&parsed, by);
    Ok((parsed.taken_for, told, tables))
}
