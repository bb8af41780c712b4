//! A store whose Delta log of one table is continued in memory. Everything else goes through to the store below.
//!
//! What others commit to the table after the version that the copy began with is hidden, so the copy's own versions follow
//! each other whatever happens to the real table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Digits of a version in the names of a log.
const DIGITS: usize = 20;

/// The store below with the copy's log over it.
pub(super) struct Overlay {
    below: Arc<dyn ObjectStore>,
    own: Arc<InMemory>,
    place: Place,
}

/// Which log it is, and where the copy begins.
#[derive(Clone)]
struct Place {
    log: Path,
    base: u64,
}

impl Place {
    fn holds(&self, path: &Path) -> bool {
        path.prefix_matches(&self.log)
    }

    /// Whether a file below is of a later version than the copy began with, or may point at one.
    fn hides(&self, path: &Path) -> bool {
        self.holds(path) && version(path).is_none_or(|version| version > self.base)
    }
}

impl Overlay {
    /// `own` takes what the copy's log gets.
    pub(super) fn new(below: Arc<dyn ObjectStore>, own: Arc<InMemory>, log: Path, base: u64) -> Self {
        let place = Place { log, base };
        Self { below, own, place }
    }
}

/// The commits of the copy, by their version.
pub(super) async fn commits(own: &InMemory) -> Result<BTreeMap<u64, Bytes>> {
    let mut commits = BTreeMap::new();
    let files: Vec<ObjectMeta> = own.list(None).try_collect().await?;
    for path in files.into_iter().map(|meta| meta.location) {
        if let Some(version) = version(&path).filter(|_| path.extension() == Some("json")) {
            commits.insert(version, own.get(&path).await?.bytes().await?);
        }
    }
    Ok(commits)
}

/// Takes away what the copy has after a version; gives the commits among it.
pub(super) async fn cut(own: &InMemory, last: u64) -> Result<BTreeMap<u64, Bytes>> {
    let cut = commits(own).await?.split_off(&last.saturating_add(1));
    let files: Vec<ObjectMeta> = own.list(None).try_collect().await?;
    for path in files.into_iter().map(|meta| meta.location) {
        if version(&path).is_none_or(|version| version > last) {
            own.delete(&path).await?;
        }
    }
    Ok(cut)
}

fn version(path: &Path) -> Option<u64> {
    path.filename()?.get(..DIGITS)?.parse().ok()
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overlay({} since {})", self.place.log, self.place.base)
    }
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for Overlay {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.place.holds(path) {
            true => self.own.put_opts(path, payload, options).await,
            false => self.below.put_opts(path, payload, options).await,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.place.holds(path) {
            true => self.own.put_multipart_opts(path, options).await,
            false => self.below.put_multipart_opts(path, options).await,
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if !self.place.holds(path) {
            return self.below.get_opts(path, options).await;
        }
        match self.own.get_opts(path, options.clone()).await {
            Err(Error::NotFound { .. }) if !self.place.hides(path) => self.below.get_opts(path, options).await,
            own => own,
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (below, own, place) = (Arc::clone(&self.below), Arc::clone(&self.own), self.place.clone());
        let deleted = paths.and_then(move |path| {
            let (below, own, place) = (Arc::clone(&below), Arc::clone(&own), place.clone());
            async move {
                match place.holds(&path) {
                    // The real log is nobody's to shorten here.
                    true => own.delete(&path).await?,
                    false => below.delete(&path).await?,
                }
                Ok(path)
            }
        });
        deleted.boxed()
    }

    /// In the order of paths, as Delta wants a log listed.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let place = self.place.clone();
        let (below, own) = (self.below.list(prefix), self.own.list(prefix));
        let all = async move {
            let mut all: Vec<ObjectMeta> = below.try_collect().await?;
            all.retain(|meta| !place.hides(&meta.location));
            all.extend(own.try_collect::<Vec<_>>().await?);
            all.sort_by(|a, b| a.location.cmp(&b.location));
            Ok::<_, Error>(stream::iter(all).map(Ok))
        };
        stream::once(all).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.below.list_with_delimiter(prefix).await?;
        listed.objects.retain(|meta| !self.place.hides(&meta.location));
        let own = self.own.list_with_delimiter(prefix).await?;
        listed.objects.extend(own.objects);
        listed.objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if self.place.holds(from) || self.place.holds(to) {
            return Err(Error::NotImplemented {
                operation: "copying files of a log".into(),
                implementer: self.to_string(),
            });
        }
        self.below.copy_opts(from, to, options).await
    }
}
