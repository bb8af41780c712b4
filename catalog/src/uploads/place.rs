//! A whole file appears in `landing/` at one moment, out of its parts or out of a file of this machine.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::{ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use super::{PART_BYTES_MAX, Upload, UploadError};
use crate::crawl::hex;
use crate::error::LakeError;
use crate::lake::{Lake, Put, object_path};
use crate::parquet_file::blocking;

/// Where the bytes of a file come from, a part at a time.
pub(super) enum Source<'a> {
    Parts {
        lake: &'a Lake,
        upload: &'a Upload,
        starts: VecDeque<u64>,
    },
    File(Option<std::fs::File>),
}

impl Source<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, LakeError> {
        match self {
            Self::Parts { lake, upload, starts } => match starts.pop_front() {
                Some(at) => lake.get(&upload.part(at)).await.map(|part| part.or(Some(Bytes::new()))),
                None => Ok(None),
            },
            Self::File(file) => {
                let Some(mut open) = file.take() else { return Ok(None) };
                let (open, part) = blocking(move || {
                    let mut part = Vec::with_capacity(PART_BYTES_MAX);
                    let read = Read::by_ref(&mut open)
                        .take(PART_BYTES_MAX as u64)
                        .read_to_end(&mut part);
                    read.map_err(LakeError::io("reading", "a file that is sent"))?;
                    Ok((open, part))
                })
                .await?;
                if part.is_empty() {
                    return Ok(None);
                }
                *file = Some(open);
                Ok(Some(part.into()))
            }
        }
    }
}

pub(super) async fn put(lake: &Lake, upload: &Upload, source: Source<'_>, replace: bool) -> Result<(), UploadError> {
    match lake.local_root() {
        Some(root) => land_local(lake, root.join(upload.landed()), upload, source, replace).await,
        None => land_in_store(lake, upload, source, replace).await,
    }
}

/// SHA-256 of what lies at the path; none when nothing does. A file of another length is not read.
pub(super) async fn landed_digest(lake: &Lake, upload: &Upload) -> Result<Option<String>, UploadError> {
    if let Some(root) = lake.local_root() {
        let (place, bytes) = (root.join(upload.landed()), upload.bytes);
        return Ok(blocking(move || digest_of_file(&place, bytes)).await?);
    }
    let path = upload.landed();
    let place = object_path(&path)?;
    let meta = match lake.store().head(&place).await {
        Ok(meta) => meta,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(LakeError::store("looking at", path)(error).into()),
    };
    if meta.size != upload.bytes {
        return Ok(Some(String::new()));
    }
    let (mut hash, mut at) = (Sha256::new(), 0);
    while at < meta.size {
        let end = meta.size.min(at + PART_BYTES_MAX as u64);
        let bytes = lake.store().get_range(&place, at..end).await;
        hash.update(bytes.map_err(LakeError::store("reading", path.clone()))?);
        at = end;
    }
    Ok(Some(hex(&hash.finalize())))
}

fn digest_of_file(place: &Path, bytes: u64) -> Result<Option<String>, LakeError> {
    let failed = |source| LakeError::io("reading", place.display().to_string())(source);
    let mut file = match std::fs::File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.len() != bytes {
        return Ok(Some(String::new()));
    }
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(failed)?;
    Ok(Some(hex(&hash.finalize())))
}

/// Written aside under a hidden name, flushed, and linked or renamed: the crawler never meets a half file.
async fn land_local(
    lake: &Lake,
    place: PathBuf,
    upload: &Upload,
    mut source: Source<'_>,
    replace: bool,
) -> Result<(), UploadError> {
    let aside = place.with_file_name(format!(".upload-{}", upload.id));
    let made = aside.clone();
    let mut file = blocking(move || {
        let failed = |source| LakeError::io("writing", made.display().to_string())(source);
        if let Some(folder) = made.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::File::create(&made).map_err(failed)
    })
    .await?;
    let mut hash = Sha256::new();
    while let Some(bytes) = source.next().await? {
        hash.update(&bytes);
        let shown = upload.path.clone();
        file = blocking(move || {
            file.write_all(&bytes).map_err(LakeError::io("writing", shown))?;
            Ok(file)
        })
        .await?;
    }
    let found = hex(&hash.finalize());
    let whole = found == upload.sha256;
    let shown = upload.path.clone();
    let moved = blocking(move || {
        let failed = |source| LakeError::io("landing", place.display().to_string())(source);
        let done = if !whole {
            Ok(true)
        } else if let Err(error) = file.sync_all() {
            Err(failed(error))
        } else if replace {
            std::fs::rename(&aside, &place).map(|()| true).map_err(failed)
        } else {
            match std::fs::hard_link(&aside, &place) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(failed(error)),
            }
        };
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        done
    })
    .await?;
    if !whole {
        return Err(UploadError::Damaged { found });
    }
    if !moved {
        return Err(UploadError::Occupied(shown));
    }
    lake.flush(vec![upload.landed()]).await?;
    Ok(())
}

/// A store shows a file when its last byte is there. A file of one part is created by a conditional PUT; for a larger one
/// the store is asked before, and of two that come at the same moment the later stays.
async fn land_in_store(lake: &Lake, upload: &Upload, mut source: Source<'_>, replace: bool) -> Result<(), UploadError> {
    let path = upload.landed();
    let first = source.next().await?.unwrap_or_default();
    if first.len() as u64 == upload.bytes {
        let found = hex(&Sha256::digest(&first));
        if found != upload.sha256 {
            return Err(UploadError::Damaged { found });
        }
        let how = if replace { Put::Overwrite } else { Put::Create };
        return match lake.put(&path, first, how).await {
            Err(error) if error.is_there_already() => Err(UploadError::Occupied(upload.path.clone())),
            other => Ok(other?),
        };
    }
    if !replace && landed_digest(lake, upload).await?.is_some() {
        return Err(UploadError::Occupied(upload.path.clone()));
    }
    let failed = || LakeError::store("writing", path.clone());
    let begun = lake.store().put_multipart(&object_path(&path)?).await;
    let mut writer = WriteMultipart::new(begun.map_err(failed())?);
    match write(&mut writer, first, source).await {
        Ok(found) if found == upload.sha256 => {
            writer.finish().await.map_err(failed())?;
            Ok(())
        }
        other => {
            // What was written is not shown by the store; it is thrown away when the store hears of it.
            let _ = writer.abort().await;
            match other {
                Ok(found) => Err(UploadError::Damaged { found }),
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// Writes all parts; gives their SHA-256.
async fn write(writer: &mut WriteMultipart, first: Bytes, mut source: Source<'_>) -> Result<String, LakeError> {
    let (mut hash, mut next) = (Sha256::new(), Some(first));
    while let Some(bytes) = next {
        hash.update(&bytes);
        // Bytes that wait for the store are bounded.
        let free = writer.wait_for_capacity(2).await;
        free.map_err(LakeError::store("writing", "a part of an upload"))?;
        writer.put(bytes);
        next = source.next().await?;
    }
    Ok(hex(&hash.finalize()))
}
