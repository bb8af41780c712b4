//! A bucket over a line that breaks.
//!
//! The client of a bucket tries again what is safe to try again, and leaves two things to its caller. A create-only write whose
//! answer was lost may have happened: here the object is read back, and what was to be written is told from what another wrote.
//! That is only so for commits of Delta logs, of which no two are equal. And a listing that breaks off goes on behind the last
//! name that came.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// Times that one thing is tried.
const TRIES: u32 = 4;
/// Time before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// Folder of Delta's commits.
const LOG: &str = "_delta_log";

/// Waits before the next of [`TRIES`].
pub(crate) async fn pause(tried: u32) {
    tokio::time::sleep(PAUSE * 2_u32.saturating_pow(tried)).await;
}

/// Whether trying again may help.
pub(crate) fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. })
}

/// Does something that may be done twice, until it works or no try is left.
pub(crate) async fn surely<T, F: Future<Output = Result<T>>>(mut once: impl FnMut() -> F) -> Result<T> {
    let mut tried = 0;
    loop {
        match once().await {
            Err(error) if may_pass(&error) && tried + 1 < TRIES => {
                tracing::debug!(%error, "the bucket; it is tried again");
                pause(tried).await;
                tried += 1;
            }
            done => return done,
        }
    }
}

/// A store behind this layer.
#[derive(Debug, Clone)]
pub(crate) struct SureStore(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for SureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What lies where something was to be created.
enum Found {
    Ours(ObjectMeta),
    Anothers,
    Nothing,
}

impl SureStore {
    async fn look(&self, location: &Path, wanted: &Bytes) -> Result<Found> {
        match self.0.get(location).await {
            Ok(found) => {
                let meta = found.meta.clone();
                Ok(match found.bytes().await? == *wanted {
                    true => Found::Ours(meta),
                    false => Found::Anothers,
                })
            }
            Err(Error::NotFound { .. }) => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Creates a commit, or says for certain that it did not.
    async fn commit(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let wanted = Bytes::from(payload.clone());
        let mut tried = 0;
        loop {
            let error = match self.0.put_opts(location, payload.clone(), options.clone()).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let taken = matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
            if !taken && !may_pass(&error) {
                return Err(error);
            }
            // The client may itself have tried again what had happened.
            match surely(|| self.look(location, &wanted)).await? {
                Found::Ours(meta) => {
                    return Ok(PutResult {
                        e_tag: meta.e_tag,
                        version: meta.version,
                    });
                }
                Found::Anothers if taken => return Err(error),
                Found::Anothers => {
                    return Err(Error::AlreadyExists {
                        path: location.to_string(),
                        source: Box::new(error),
                    });
                }
                Found::Nothing if tried + 1 == TRIES => return Err(error),
                Found::Nothing => {}
            }
            pause(tried).await;
            tried += 1;
        }
    }
}

/// A listing and how far it came.
struct Listing {
    store: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    inner: BoxStream<'static, Result<ObjectMeta>>,
    last: Option<Path>,
    tried: u32,
    ended: bool,
}

impl Listing {
    fn rest(mut self) -> BoxStream<'static, Result<ObjectMeta>> {
        self.ended = false;
        stream::unfold(self, |mut at| async move {
            loop {
                if at.ended {
                    return None;
                }
                match at.inner.next().await? {
                    Ok(meta) => {
                        at.last = Some(meta.location.clone());
                        at.tried = 0;
                        return Some((Ok(meta), at));
                    }
                    Err(error) if may_pass(&error) && at.tried + 1 < TRIES => {
                        pause(at.tried).await;
                        at.tried += 1;
                        at.inner = match &at.last {
                            Some(last) => at.store.list_with_offset(at.prefix.as_ref(), last),
                            None => at.store.list(at.prefix.as_ref()),
                        };
                    }
                    Err(error) => {
                        at.ended = true;
                        return Some((Err(error), at));
                    }
                }
            }
        })
        .boxed()
    }
}

#[async_trait]
impl ObjectStore for SureStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_commit = options.mode == PutMode::Create && location.parts().any(|part| part.as_ref() == LOG);
        match is_commit {
            true => self.commit(location, payload, options).await,
            false => self.0.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        surely(|| self.0.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = Listing {
            store: Arc::clone(&self.0),
            prefix: prefix.cloned(),
            inner: self.0.list(prefix),
            last: None,
            tried: 0,
            ended: false,
        };
        listing.rest()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = Listing {
            store: Arc::clone(&self.0),
            prefix: prefix.cloned(),
            inner: self.0.list_with_offset(prefix, offset),
            last: Some(offset.clone()),
            tried: 0,
            ended: false,
        };
        listing.rest()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        surely(|| self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
#[path = "sure_tests.rs"]
mod tests;
