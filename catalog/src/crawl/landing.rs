//! The landing folder: what lies there, and its bytes, read so that a file written meanwhile is noticed.
//!
//! A local folder is walked by its own file system calls: an object store hides names like `run#1`, fails as a whole on a name
//! that is not UTF-8, and tells no link from a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::error::LakeError;
use crate::lake::{LANDING, Lake, object_path};
use crate::parquet_file::blocking;

use super::bucket;
use super::links::{self, Leads, Link};
use super::pins::Pin;
use super::quarantine::hex;

/// Folders below `landing/` are followed this deep: a guard against mounts that lead in circles.
const DEPTH_MAX: usize = 32;

/// A file as the listing showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Landed {
    /// Relative to `landing/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) modified: DateTime<Utc>,
    /// Changes whenever the content may have: the store's etag, or size, time and inode.
    pub(crate) stamp: String,
    /// What an administrator says of it.
    pub(crate) pin: Option<Arc<Pin>>,
}

impl Landed {
    /// The file's own name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The stamp with what else decides how it is read: when this is as it was, the file need not be opened.
    pub(crate) fn mark(&self) -> String {
        self.marked(&self.stamp)
    }

    /// Whether this is its mark; asked of every file at every sweep.
    pub(crate) fn has_mark(&self, mark: &str) -> bool {
        match self.pin.as_ref().map(|pin| pin.mark.as_str()) {
            None | Some("") => self.stamp == mark,
            Some(_) => self.mark() == mark,
        }
    }

    /// A digest of the content with what else decides how it is read.
    pub(crate) fn marked(&self, digest: &str) -> String {
        match self.pin.as_ref().map(|pin| pin.mark.as_str()) {
            None | Some("") => digest.to_owned(),
            Some(mark) => format!("{digest}+{mark}"),
        }
    }
}

/// All that lies in the landing folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Landed>,
    /// Entries that can never be read, with the reason.
    pub(crate) odd: Vec<(String, String)>,
    /// Folders that could not be listed, each with a slash behind: what was known of their files stays.
    pub(crate) unseen: Vec<String>,
    /// Links to other places in the landing folder, where their files are listed.
    pub(crate) links: Vec<Link>,
}

impl Listing {
    /// Whether a file of this path is in it; its files are in the order of their paths.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
    }

    /// Whether a file of this path may be there, though it was not seen.
    pub(crate) fn is_out_of_sight(&self, path: &str) -> bool {
        self.unseen.iter().any(|folder| path.starts_with(folder))
    }
}

/// What reading a file gave.
pub(crate) enum Content {
    Stable(Bytes),
    /// It changed or vanished while it was read.
    Moving,
}

pub(crate) async fn list(lake: &Lake) -> Result<Listing, LakeError> {
    let mut listing = match lake.local_root() {
        Some(root) => {
            let root = root.join(LANDING);
            blocking(move || walk(&root)).await?
        }
        None => bucket::list(lake).await?,
    };
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

pub(crate) async fn read(lake: &Lake, file: &Landed) -> Result<Content, LakeError> {
    match lake.local_root() {
        Some(root) => {
            let place = root.join(LANDING).join(&file.path);
            let stamp = file.stamp.clone();
            blocking(move || read_local(&place, &stamp)).await
        }
        None => read_store(lake, file).await,
    }
}

/// The digests of a file's first bytes, for each of some sizes that are smaller than it; none when it is not the file that was
/// listed.
pub(crate) async fn beginnings(
    lake: &Lake,
    file: &Landed,
    sizes: BTreeSet<u64>,
) -> Result<BTreeMap<u64, String>, LakeError> {
    let Some(mut source) = open(lake, file).await? else {
        return Ok(BTreeMap::new());
    };
    let path = file.path.clone();
    blocking(move || {
        let mut digest = Sha256::new();
        let (mut done, mut found) = (0, BTreeMap::new());
        for size in sizes {
            let part = &mut (&mut source).take(size.saturating_sub(done));
            let read = std::io::copy(part, &mut digest).map_err(LakeError::io("reading", path.clone()))?;
            done += read;
            if done < size {
                break;
            }
            found.insert(size, hex(&digest.clone().finalize()));
        }
        Ok(if source.is_unchanged() { found } else { BTreeMap::new() })
    })
    .await
}

/// Opens a landed file for reading from its start; `None` when it is not the file that was listed.
pub(crate) async fn open(lake: &Lake, file: &Landed) -> Result<Option<Source>, LakeError> {
    let path = format!("{LANDING}/{}", file.path);
    if let Some(root) = lake.local_root() {
        let place = root.join(&path);
        let expected = file.stamp.clone();
        return blocking(move || {
            let same = std::fs::metadata(&place).is_ok_and(|meta| stamp(&meta) == expected);
            let open = same.then(|| std::fs::File::open(&place)).transpose();
            let open = open.map_err(LakeError::io("reading", place.display().to_string()))?;
            Ok(open.map(|file| Source::Local { file, place, expected }))
        })
        .await;
    }
    let found = match lake.store().get(&object_path(&path)?).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(source) => {
            return Err(LakeError::Store {
                action: "reading",
                path,
                source,
            });
        }
    };
    let same = found.meta.e_tag.as_ref().is_none_or(|tag| *tag == file.stamp);
    Ok(same.then(|| Source::Store {
        stream: found.into_stream(),
        left: Bytes::new(),
        handle: Handle::current(),
    }))
}

/// A landed file while it is read, on a thread that may wait.
pub(crate) enum Source {
    Local {
        file: std::fs::File,
        place: PathBuf,
        expected: String,
    },
    Store {
        stream: BoxStream<'static, object_store::Result<Bytes>>,
        left: Bytes,
        handle: Handle,
    },
}

impl Source {
    /// Whether it is still the file that was listed. An object is what it was when the reading began.
    pub(crate) fn is_unchanged(&self) -> bool {
        match self {
            Self::Local { place, expected, .. } => std::fs::metadata(place).is_ok_and(|meta| stamp(&meta) == *expected),
            Self::Store { .. } => true,
        }
    }
}

impl std::io::Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Local { file, .. } => file.read(buffer),
            Self::Store { stream, left, handle } => {
                while left.is_empty() {
                    match handle.block_on(stream.next()) {
                        None => return Ok(0),
                        Some(Ok(bytes)) => *left = bytes,
                        Some(Err(error)) => return Err(std::io::Error::other(error)),
                    }
                }
                let part = left.split_to(left.len().min(buffer.len()));
                if let Some(room) = buffer.get_mut(..part.len()) {
                    room.copy_from_slice(&part);
                }
                Ok(part.len())
            }
        }
    }
}

async fn read_store(lake: &Lake, file: &Landed) -> Result<Content, LakeError> {
    let path = format!("{LANDING}/{}", file.path);
    let found = match lake.store().get(&object_path(&path)?).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(Content::Moving),
        Err(source) => {
            return Err(LakeError::Store {
                action: "reading",
                path,
                source,
            });
        }
    };
    let stamp = found.meta.e_tag.clone();
    let bytes = found.bytes().await.map_err(LakeError::store("reading", path))?;
    let same = stamp.is_none_or(|s| s == file.stamp) && bytes.len() as u64 == file.bytes;
    Ok(if same { Content::Stable(bytes) } else { Content::Moving })
}

fn walk(root: &Path) -> Result<Listing, LakeError> {
    let mut listing = Listing::default();
    // The landing folder itself must be there: if it is not mounted, no file is gone.
    std::fs::read_dir(root).map_err(LakeError::io("listing", root.display().to_string()))?;
    let landing = std::fs::canonicalize(root).map_err(LakeError::io("listing", root.display().to_string()))?;
    let mut open: Vec<(PathBuf, String, usize)> = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            // One folder that cannot be listed stops no other. A sweep that skipped it without a word would call its files gone.
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    let why = format!("its files cannot be listed: {error}; what is known of them stays as it is");
                    listing.odd.push((prefix.trim_end_matches('/').to_owned(), why));
                }
                listing.unseen.push(prefix);
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let shown = format!("{prefix}{}", name.to_string_lossy());
                listing.odd.push((shown, "its name is not UTF-8: rename it".to_owned()));
                continue;
            };
            let path = format!("{prefix}{name}");
            // Of all names of a file the one without links decides: each file is there once.
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                let leads = links::leads(&landing, &entry.path());
                listing.unseen.push(format!("{path}/"));
                listing.odd.push((path.clone(), leads.to_string()));
                if let Leads::Inside(target) = leads {
                    listing.links.push(Link { path, target });
                }
                continue;
            }
            match std::fs::metadata(entry.path()) {
                Ok(meta) if meta.is_dir() && depth < DEPTH_MAX => {
                    open.push((entry.path(), format!("{path}/"), depth + 1))
                }
                Ok(meta) if meta.is_dir() => {
                    listing
                        .odd
                        .push((path, format!("its folder lies deeper than {DEPTH_MAX}: move it up")));
                }
                Ok(meta) if meta.is_file() => listing.files.push(Landed {
                    path,
                    bytes: meta.len(),
                    modified: meta.modified().map(DateTime::<Utc>::from).unwrap_or_default(),
                    stamp: stamp(&meta),
                    pin: None,
                }),
                Ok(_) => listing
                    .odd
                    .push((path, "it is no regular file (a socket, pipe or device)".to_owned())),
                // It went away between the listing and now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    listing.unseen.push(format!("{path}/"));
                    listing.odd.push((path, format!("it cannot be looked at: {error}")));
                }
            }
        }
    }
    Ok(listing)
}

fn read_local(place: &Path, expected: &str) -> Result<Content, LakeError> {
    let shown = || place.display().to_string();
    let look = || std::fs::metadata(place);
    let before = match look() {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Content::Moving),
        Err(error) => return Err(LakeError::io("reading", shown())(error)),
    };
    if stamp(&before) != expected {
        return Ok(Content::Moving);
    }
    let bytes = match std::fs::read(place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Content::Moving),
        Err(error) => return Err(LakeError::io("reading", shown())(error)),
    };
    match look() {
        Ok(after) if stamp(&after) == expected && after.len() == bytes.len() as u64 => {
            Ok(Content::Stable(bytes.into()))
        }
        Ok(_) | Err(_) => Ok(Content::Moving),
    }
}

#[cfg(unix)]
fn stamp(meta: &std::fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!(
        "{}-{}.{:09}-{}",
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ino()
    )
}

#[cfg(not(unix))]
fn stamp(meta: &std::fs::Metadata) -> String {
    let at = meta.modified().map(DateTime::<Utc>::from).unwrap_or_default();
    format!("{}-{}", meta.len(), at.to_rfc3339())
}
