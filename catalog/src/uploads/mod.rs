//! Files on their way into the landing folder, in parts, from machines that may lose the line at any byte.
//!
//! Parts lie under `_labhouse/uploads/<id>/<first byte>` until the last one is there; then the whole is read once, its
//! SHA-256 is compared with what the sender named, and it appears in `landing/` at one moment. The id holds sender, path,
//! length and digest, so an upload that broke off goes on where it was, also through another server of the lake, and a
//! file that changed meanwhile is another upload. Parts that nobody comes back for are taken away after [`KEPT`].

mod place;

use std::path::Path;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::crawl::{Counts, Pin, SETTINGS, Target, counted, hex, main_table, target};
use crate::error::LakeError;
use crate::lake::{LANDING, Lake, Put, STATE};
use crate::name::TableName;
use crate::parquet_file::blocking;
use place::{Source, landed_digest, put};

const AREA: &str = "uploads";
/// Most bytes of one part: what one request carries and what is held in memory of an upload.
pub const PART_BYTES_MAX: usize = 4 << 20;
/// Unfinished uploads of a lake: far more than a lab has instruments.
const OPEN_MAX: usize = 1_000;
/// How long parts wait for the rest: an instrument's PC may be off over a long weekend.
const KEPT: TimeDelta = TimeDelta::days(7);
/// Bytes of a path and of each name on it: what common file systems take.
const PATH_BYTES_MAX: usize = 1_024;
const NAME_BYTES_MAX: usize = 240;
/// Folders that the crawler follows; see `crawl::landing`.
const DEPTH_MAX: usize = 30;

/// One file of one sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    path: String,
    table: TableName,
    bytes: u64,
    sha256: String,
    id: String,
}

/// Why a file, or a part of it, is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("'{path}' cannot be landed: {reason}")]
    Path { path: String, reason: String },
    #[error("`{0}` is no SHA-256: send it as 64 hexadecimal digits")]
    Digest(String),
    #[error("the part begins at byte {at}, but {received} bytes have come; go on there")]
    Gap { at: u64, received: u64 },
    #[error("the part ends at byte {end}, but the file has {bytes} bytes; send its length as it is now")]
    TooLong { end: u64, bytes: u64 },
    #[error("a part has at most {PART_BYTES_MAX} bytes")]
    PartTooLarge,
    #[error("what came is not what was announced: its SHA-256 is {found}; all of it is thrown away, send it again")]
    Damaged { found: String },
    #[error("another file lies at '{0}'")]
    Occupied(String),
    #[error("{OPEN_MAX} uploads are unfinished; finish some, or wait until the oldest are thrown away")]
    TooMany,
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// What the lake has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes that need not be sent again.
    pub bytes: u64,
    /// Whether the whole file lies in `landing/`.
    pub is_landed: bool,
    /// Whether another file lies at its path, which this one would replace.
    pub replaces: bool,
}

impl Upload {
    /// A file of `sender` for `path`, which is relative to `landing/`.
    ///
    /// # Errors
    /// A path that no table would come of, or that could leave the folder; a digest that is none.
    pub fn new(sender: &str, path: &str, bytes: u64, sha256: &str) -> Result<Self, UploadError> {
        let refuse = |reason: String| UploadError::Path {
            path: path.to_owned(),
            reason,
        };
        let parts: Vec<&str> = path.split('/').collect();
        let odd = |part: &&&str| {
            part.is_empty()
                || part.len() > NAME_BYTES_MAX
                || part.trim() != **part
                || part.chars().any(|c| c.is_control() || c == '\\')
        };
        if let Some(part) = parts.iter().find(odd) {
            return Err(refuse(format!(
                "the name '{}' on it is empty, longer than {NAME_BYTES_MAX} bytes, or holds control characters, \\ or spaces at its ends",
                part.escape_debug()
            )));
        }
        if path.len() > PATH_BYTES_MAX || parts.len() > DEPTH_MAX {
            return Err(refuse(format!(
                "it is longer than {PATH_BYTES_MAX} bytes or deeper than {DEPTH_MAX} folders"
            )));
        }
        // Names with a dot in front, `..` among them, are hidden: they lead to no table.
        let table = match target(path) {
            Target::Table(table) => table,
            Target::Ignored(reason) | Target::Misplaced(reason) => return Err(refuse(reason.to_owned())),
            Target::Settings => {
                let why = "it holds settings of its folder, which an administrator puts there";
                return Err(refuse(why.to_owned()));
            }
        };
        let lower = sha256.to_ascii_lowercase();
        if lower.len() != 64 || !lower.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(UploadError::Digest(sha256.to_owned()));
        }
        let mut id = Sha256::new();
        for part in [sender, path, &bytes.to_string(), &lower] {
            id.update((part.len() as u64).to_le_bytes());
            id.update(part);
        }
        Ok(Self {
            path: path.to_owned(),
            table,
            bytes,
            sha256: lower,
            id: hex(&id.finalize()),
        })
    }

    /// Relative to `landing/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The table that its path names; settings beside it may name another: see [`destination`].
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The table that the file's rows may be of as well: that of files which differ from it in a number alone.
    pub fn kindred(&self) -> Option<TableName> {
        counted(&self.path)
    }

    /// The whole file's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn folder(&self) -> String {
        format!("{STATE}/{AREA}/{}", self.id)
    }

    fn part(&self, at: u64) -> String {
        format!("{}/{at:020}", self.folder())
    }

    fn landed(&self) -> String {
        format!("{LANDING}/{}", self.path)
    }
}

/// The table that the file's rows will be of: the one that its path names, or the settings of the nearest folder.
///
/// # Errors
/// Settings that cannot be read, and a store that fails.
pub async fn destination(lake: &Lake, upload: &Upload) -> Result<TableName, UploadError> {
    let mut below = upload.path.as_str();
    while let Some(at) = below.rfind('/') {
        below = below.get(..at).unwrap_or_default();
        if let Some(table) = pinned(lake, upload, &format!("{below}/{SETTINGS}")).await? {
            return Ok(table);
        }
    }
    Ok(pinned(lake, upload, SETTINGS)
        .await?
        .unwrap_or_else(|| upload.table.clone()))
}

async fn pinned(lake: &Lake, upload: &Upload, settings: &str) -> Result<Option<TableName>, UploadError> {
    let Some(bytes) = lake.get(&format!("{LANDING}/{settings}")).await? else {
        return Ok(None);
    };
    let pin = Pin::parse(settings, &bytes).map_err(|reason| UploadError::Path {
        path: upload.path.clone(),
        reason,
    })?;
    let table = main_table(&upload.path, Some(&pin), &Counts::default());
    Ok(Some(table.unwrap_or_else(|| upload.table.clone())))
}

/// What the lake has of a file.
///
/// # Errors
/// The store fails.
pub async fn received(lake: &Lake, upload: &Upload) -> Result<Received, UploadError> {
    let there = landed_digest(lake, upload).await?;
    let is_landed = there.as_deref() == Some(upload.sha256.as_str());
    let parts = parts(lake, upload).await?;
    Ok(Received {
        bytes: if is_landed { upload.bytes } else { contiguous(&parts) },
        is_landed,
        replaces: there.is_some() && !is_landed,
    })
}

/// Keeps one part, which begins where the last one ended; gives how many bytes are there now. A part that is sent again is
/// taken again.
///
/// # Errors
/// [`UploadError::Gap`] and its like when the part does not fit; the store fails.
pub async fn take(lake: &Lake, upload: &Upload, at: u64, part: Bytes) -> Result<u64, UploadError> {
    if part.len() > PART_BYTES_MAX {
        return Err(UploadError::PartTooLarge);
    }
    let end = at.saturating_add(part.len() as u64);
    if end > upload.bytes {
        return Err(UploadError::TooLong {
            end,
            bytes: upload.bytes,
        });
    }
    let received = contiguous(&parts(lake, upload).await?);
    if at != received {
        // What has come already is no reason to stop.
        return match end <= received {
            true => Ok(received),
            false => Err(UploadError::Gap { at, received }),
        };
    }
    if at == 0 {
        make_room(lake).await?;
    }
    if !part.is_empty() {
        lake.put(&upload.part(at), part, Put::Overwrite).await?;
    }
    Ok(end)
}

/// Puts the whole file where the crawler finds it.
///
/// # Errors
/// [`UploadError::Damaged`] when the parts are not the announced file: then they are gone, and nothing has landed.
/// [`UploadError::Occupied`] when another file lies there and `replace` does not say that it may go.
pub async fn land(lake: &Lake, upload: &Upload, replace: bool) -> Result<(), UploadError> {
    let parts = parts(lake, upload).await?;
    let received = contiguous(&parts);
    if received != upload.bytes {
        return Err(UploadError::Gap {
            at: upload.bytes,
            received,
        });
    }
    let source = Source::Parts {
        lake,
        upload,
        starts: parts.iter().map(|(at, _)| *at).collect(),
    };
    let outcome = put(lake, upload, source, replace).await;
    // An occupied place may be free, or the right to replace given, when the sender comes again.
    if !matches!(outcome, Err(UploadError::Occupied(_) | UploadError::Lake(_))) {
        for (at, _) in &parts {
            lake.delete(&upload.part(*at)).await?;
        }
        if let Some(root) = lake.local_root() {
            let folder = root.join(upload.folder());
            // It is empty now, unless the same file is being sent a second time.
            let _ = blocking(move || Ok(std::fs::remove_dir(folder))).await;
        }
    }
    outcome
}

/// Puts a file of this machine where the crawler finds it, without parts: what breaks off begins anew.
///
/// # Errors
/// As [`land`]; [`UploadError::Damaged`] when the file changed since its digest was taken.
pub async fn bring(lake: &Lake, upload: &Upload, file: &Path, replace: bool) -> Result<(), UploadError> {
    let (place, shown) = (file.to_owned(), file.display().to_string());
    let file = blocking(move || std::fs::File::open(place).map_err(LakeError::io("reading", shown))).await?;
    put(lake, upload, Source::File(Some(file)), replace).await
}

/// First byte and length of each part.
async fn parts(lake: &Lake, upload: &Upload) -> Result<Vec<(u64, u64)>, UploadError> {
    let found = lake.list(&upload.folder()).await?;
    let part = |meta: &object_store::ObjectMeta| Some((meta.location.filename()?.parse().ok()?, meta.size));
    Ok(found.iter().filter_map(part).collect())
}

fn contiguous(parts: &[(u64, u64)]) -> u64 {
    parts
        .iter()
        .try_fold(
            0,
            |end, (at, bytes)| if *at == end { Ok(end + bytes) } else { Err(end) },
        )
        .unwrap_or_else(|end| end)
}

/// Throws away what nobody came back for; an error when there is still too much.
async fn make_room(lake: &Lake) -> Result<(), UploadError> {
    let prefix = format!("{STATE}/{AREA}");
    let folders = lake.folders(&prefix).await?;
    if folders.len() < OPEN_MAX {
        return Ok(());
    }
    let (now, mut open) = (Utc::now(), 0);
    for folder in folders {
        let parts = lake.list(&format!("{prefix}/{folder}")).await?;
        if parts.iter().any(|part| now - part.last_modified < KEPT) {
            open += 1;
            continue;
        }
        for part in parts {
            lake.delete(part.location.as_ref()).await?;
        }
        if let Some(root) = lake.local_root() {
            let folder = root.join(&prefix).join(&folder);
            let _ = blocking(move || Ok(std::fs::remove_dir(folder))).await;
        }
    }
    match open < OPEN_MAX {
        true => Ok(()),
        false => Err(UploadError::TooMany),
    }
}
