//! The lake: one folder or one bucket prefix, seen as an object store whose paths start at the lake's root.
//!
//! Nothing here knows tables. S3 comes through `object_store` alone: commits to the Delta log are conditional PUTs
//! (`If-None-Match: *`), so no AWS SDK and no lock table is needed, but the server must honour the condition. [`Lake::probe`]
//! checks that before the first write, because a store that ignores it loses rows silently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::prefix::PrefixStore;
use object_store::{
    ListResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path as ObjectPath,
};
use sha2::{Digest, Sha256};
use url::Url;

use crate::error::LakeError;
use crate::scan::Asked;
use crate::sure::{SureStore, surely};

/// Raw files as they arrive.
pub(crate) const LANDING: &str = "landing";
/// Folder of a lake that holds its Delta tables.
pub const TABLES: &str = "tables";
/// The server's own state.
pub(crate) const STATE: &str = "_labhouse";

/// How [`Lake::put`] treats an object that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Fail with `AlreadyExists`.
    Create,
    Overwrite,
}

/// An opened lake. Cheap to share, holds connections but no tables.
#[derive(Debug)]
pub struct Lake {
    url: Url,
    /// Paths start at the lake.
    store: Arc<dyn ObjectStore>,
    /// Paths start at the bucket or at `/`: what delta's kernel wants.
    root: Arc<dyn ObjectStore>,
    /// Where the lake lies below `root`.
    prefix: ObjectPath,
    local: Option<PathBuf>,
    /// The bucket, asked page by page for names as they are.
    pages: Option<Pages>,
    scan_url: ObjectStoreUrl,
    asked: Arc<Asked>,
}

/// A store that lists page by page.
#[derive(Clone)]
struct Pages(Arc<dyn PaginatedListStore>);

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

impl Lake {
    /// Opens `file:///…` (folders are made) or `s3://bucket/prefix`. Options are object_store's S3 keys (`endpoint`, `region`,
    /// `access_key_id`, `allow_http`, …); what they leave out is read from the `AWS_*` environment.
    ///
    /// # Errors
    /// An url or option that is not understood, or a folder that cannot be made. The network is not touched.
    pub async fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Arc<Self>, LakeError> {
        let refuse = |reason: String| LakeError::Url {
            url: url.to_owned(),
            reason,
        };
        let mut parsed = Url::parse(url).map_err(|e| refuse(e.to_string()))?;
        parsed.set_path(&format!("{}/", parsed.path().trim_end_matches('/')));
        let (root, prefix, local, pages) = match parsed.scheme() {
            "file" => {
                let folder = parsed
                    .to_file_path()
                    .map_err(|()| refuse("it names no local folder".to_owned()))?;
                let folder = make_folders(folder).await?;
                parsed =
                    Url::from_directory_path(&folder).map_err(|()| refuse("the folder is not absolute".to_owned()))?;
                let prefix = ObjectPath::from_absolute_path(&folder).map_err(|e| refuse(e.to_string()))?;
                let store: Arc<dyn ObjectStore> = Arc::new(object_store::local::LocalFileSystem::new());
                (store, prefix, Some(folder), None)
            }
            "s3" => {
                let bucket = Arc::new(open_s3(&parsed, options)?);
                let store: Arc<dyn ObjectStore> = Arc::new(SureStore(Arc::clone(&bucket) as Arc<dyn ObjectStore>));
                let prefix = ObjectPath::from_url_path(parsed.path()).map_err(|e| refuse(e.to_string()))?;
                (store, prefix, None, Some(Pages(bucket)))
            }
            other => return Err(refuse(format!("the scheme '{other}' is not supported"))),
        };
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&root), prefix.clone()));
        let scan_url = scan_url(&parsed)?;
        Ok(Arc::new(Self {
            url: parsed,
            store,
            root,
            prefix,
            local,
            pages,
            scan_url,
            asked: Arc::default(),
        }))
    }

    /// The same lake behind a layer that is made of its whole store. Plans read both through the same url.
    pub(crate) fn behind<L: ObjectStore>(&self, layer: impl FnOnce(Arc<dyn ObjectStore>) -> L) -> Arc<Self> {
        let root: Arc<dyn ObjectStore> = Arc::new(layer(Arc::clone(&self.root)));
        Arc::new(Self {
            url: self.url.clone(),
            store: Arc::new(PrefixStore::new(Arc::clone(&root), self.prefix.clone())),
            root,
            prefix: self.prefix.clone(),
            local: self.local.clone(),
            pages: self.pages.clone(),
            scan_url: self.scan_url.clone(),
            asked: Arc::clone(&self.asked),
        })
    }

    /// Where a path of the lake lies in its whole store.
    pub(crate) fn in_root(&self, path: &str) -> ObjectPath {
        self.prefix.parts().chain(ObjectPath::from(path).parts()).collect()
    }

    /// Makes sure that the store can decide a race: the second of two create-only writes of one object must fail.
    ///
    /// # Errors
    /// [`LakeError::NoConditionalPut`] when both succeed; [`LakeError::Store`] when the store cannot be written at all.
    pub async fn probe(&self) -> Result<(), LakeError> {
        let path = format!("{STATE}/probe/{}", uuid::Uuid::new_v4());
        self.put(&path, Bytes::from_static(b"one"), Put::Create).await?;
        let second = self.put(&path, Bytes::from_static(b"two"), Put::Create).await;
        let verdict = match second {
            Err(LakeError::Store {
                source: object_store::Error::AlreadyExists { .. },
                ..
            }) => Ok(()),
            Ok(()) => Err(LakeError::NoConditionalPut {
                url: self.url.to_string(),
            }),
            Err(other) => Err(other),
        };
        if let Err(error) = self.delete(&path).await {
            tracing::warn!(%error, path, "the start-up probe's object stays behind");
        }
        verdict
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The store, with paths relative to the lake's root.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// Which columns the questions of this process compare with constants.
    pub fn asked(&self) -> &Arc<Asked> {
        &self.asked
    }

    /// The folder, when the lake is on this machine's disk.
    pub fn local_root(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    pub async fn put(&self, path: &str, bytes: Bytes, how: Put) -> Result<(), LakeError> {
        let mode = match how {
            Put::Create => PutMode::Create,
            Put::Overwrite => PutMode::Overwrite,
        };
        self.store
            .put_opts(&object_path(path)?, bytes.into(), PutOptions::from(mode))
            .await
            .map(|_| ())
            .map_err(LakeError::store("writing", path))
    }

    /// The object's bytes, `None` when there is no such object.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        match self.store.get(&object_path(path)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(LakeError::store("reading", path)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LakeError::Store {
                action: "reading",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Makes written objects survive a loss of power: on a local disk they and their folders are flushed, a store has done
    /// so when its PUT returned.
    ///
    /// # Errors
    /// The disk does not take them.
    pub async fn flush(&self, paths: Vec<String>) -> Result<(), LakeError> {
        let Some(root) = self.local.clone() else { return Ok(()) };
        let flushed = tokio::task::spawn_blocking(move || {
            let mut folders = BTreeSet::new();
            for path in &paths {
                let file = root.join(path);
                flush(&file)?;
                let above = file.ancestors().skip(1).take_while(|folder| folder.starts_with(&root));
                folders.extend(above.map(Path::to_owned));
            }
            // A new folder is found again only when its parent is flushed, too.
            folders.iter().try_for_each(|folder| flush(folder))
        });
        flushed.await.map_err(|e| LakeError::Task { reason: e.to_string() })?
    }

    /// Every object below `prefix` (a folder), at any depth, in the order of their paths.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        let mut found: Vec<ObjectMeta> = self
            .store
            .list(Some(&object_path(prefix)?))
            .try_collect()
            .await
            .map_err(LakeError::store("listing", prefix))?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// One page of names that begin as `raw` does, which is a name in the bucket as it is; their paths are relative to the lake.
    pub(crate) async fn list_page(&self, raw: &str, options: PaginatedListOptions) -> object_store::Result<ListResult> {
        let Some(Pages(store)) = &self.pages else {
            return Err(object_store::Error::NotImplemented {
                operation: "listing page by page".to_owned(),
                implementer: self.url.scheme().to_owned(),
            });
        };
        let mut page = store.list_paginated(Some(raw), options).await?.result;
        let own = |path: &ObjectPath| path.prefix_match(&self.prefix).map(Iterator::collect);
        page.common_prefixes = page.common_prefixes.iter().filter_map(own).collect();
        page.objects.retain_mut(|meta| match own(&meta.location) {
            Some(location) => {
                meta.location = location;
                true
            }
            None => false,
        });
        Ok(page)
    }

    /// The name in the bucket of a path relative to the lake.
    pub(crate) fn raw(&self, path: &ObjectPath) -> String {
        let whole: ObjectPath = self.prefix.parts().chain(path.parts()).collect();
        whole.to_string()
    }

    /// Deletes an object; one that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<(), LakeError> {
        let location = object_path(path)?;
        match surely(|| self.store.delete(&location)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(LakeError::Store {
                action: "deleting",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Deletes objects in their order, up to the first that cannot be deleted now; gives back that one and those behind it.
    pub async fn delete_all(&self, paths: Vec<String>) -> Vec<String> {
        let mut left = paths.into_iter();
        while let Some(path) = left.next() {
            if let Err(error) = self.delete(&path).await {
                tracing::debug!(%error, path, "an object could not be deleted now");
                return std::iter::once(path).chain(left).collect();
            }
        }
        Vec::new()
    }

    /// Lets a session of this runtime read the lake's tables. Do it once for each `RuntimeEnv`.
    pub fn register(&self, runtime: &RuntimeEnv) {
        runtime.register_object_store(self.scan_url.as_ref(), self.store());
    }

    /// The names one folder below `prefix`.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>, LakeError> {
        let listed = self
            .store
            .list_with_delimiter(Some(&object_path(prefix)?))
            .await
            .map_err(LakeError::store("listing", prefix))?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|p| p.filename().map(str::to_owned))
            .collect())
    }

    /// A Delta log on the lake's own connection. `location` is relative to the lake's root.
    pub(crate) fn log_store(&self, location: &str) -> Result<LogStoreRef, LakeError> {
        let refuse = |reason: String| LakeError::Url {
            url: location.to_owned(),
            reason,
        };
        let url = self
            .url
            .join(&format!("{location}/"))
            .map_err(|e| refuse(e.to_string()))?;
        let config = StorageConfig::default();
        let prefixed = config
            .decorate_store(Arc::clone(&self.root), &url)
            .map_err(|e| refuse(e.to_string()))?;
        Ok(default_logstore(
            Arc::from(prefixed),
            Arc::clone(&self.root),
            &url,
            &config,
        ))
    }
}

fn flush(path: &Path) -> Result<(), LakeError> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(LakeError::io("flushing", path.display().to_string()))
}

/// The url under which plans name the lake's store; [`Lake::register`] binds it.
pub fn object_store_url(lake: &Lake) -> ObjectStoreUrl {
    lake.scan_url.clone()
}

pub(crate) fn object_path(path: &str) -> Result<ObjectPath, LakeError> {
    ObjectPath::parse(path).map_err(|e| LakeError::Url {
        url: path.to_owned(),
        reason: e.to_string(),
    })
}

/// One fixed url per lake. The real one would do, but a bucket's url names the bucket only, and two lakes of one process
/// may share it; it would also print the location into every plan.
fn scan_url(url: &Url) -> Result<ObjectStoreUrl, LakeError> {
    let digest = Sha256::digest(url.as_str().as_bytes());
    let tag: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    ObjectStoreUrl::parse(format!("labhouse-lake://{tag}")).map_err(|e| LakeError::Url {
        url: url.to_string(),
        reason: e.to_string(),
    })
}

async fn make_folders(folder: PathBuf) -> Result<PathBuf, LakeError> {
    let shown = folder.display().to_string();
    for sub in [LANDING, TABLES, STATE] {
        tokio::fs::create_dir_all(folder.join(sub))
            .await
            .map_err(LakeError::io("making the folder", shown.clone()))?;
    }
    // One lake, one name: events and listings must agree on it even when a link leads here.
    tokio::fs::canonicalize(&folder)
        .await
        .map_err(LakeError::io("opening the folder", shown))
}

fn open_s3(url: &Url, options: &BTreeMap<String, String>) -> Result<AmazonS3, LakeError> {
    let refuse = |reason: String| LakeError::Url {
        url: url.to_string(),
        reason,
    };
    let bucket = url.host_str().ok_or_else(|| refuse("it names no bucket".to_owned()))?;
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    for (key, value) in options {
        let key: AmazonS3ConfigKey = key.parse().map_err(|_| LakeError::Option {
            key: key.clone(),
            url: url.to_string(),
        })?;
        builder = builder.with_config(key, value);
    }
    builder.build().map_err(|e| refuse(e.to_string()))
}
