//! Labs whose lake is a bucket of a real S3 server.
//!
//! With `LABHOUSE_TEST_S3` set to an endpoint every fixture of `lab` lays its lake there instead of on disk, each under
//! a prefix of its own; `s3::the_suite_passes_on_a_bucket_too` runs the suite that way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};

use crate::lab::{PATIENCE, TRAIL};

pub(crate) const ENDPOINT: &str = "LABHOUSE_TEST_S3";
pub(crate) const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "lab"), ("AWS_SECRET_ACCESS_KEY", "lab-secret")];
const BUCKET: &str = "lake";
/// Copies that run at once.
const AT_ONCE: usize = 16;

/// A prefix of the test bucket.
#[derive(Clone)]
pub(crate) struct Bucket {
    endpoint: String,
    prefix: String,
    store: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// The one the environment asks for.
    pub(crate) fn asked(prefix: &str) -> Option<Self> {
        Some(Self::at(&std::env::var(ENDPOINT).ok()?, prefix))
    }

    pub(crate) fn at(endpoint: &str, prefix: &str) -> Self {
        let store = connect(endpoint);
        Self {
            endpoint: endpoint.to_owned(),
            prefix: prefix.to_owned(),
            store: Arc::new(store),
        }
    }

    /// The `[lake]` lines of a config.
    pub(crate) fn config(&self) -> String {
        format!(
            "url = \"s3://{BUCKET}/{}\"\noptions = {{ endpoint = \"{}\", allow_http = \"true\", region = \"us-east-1\" }}",
            self.prefix, self.endpoint
        )
    }

    /// The keys, for the server's environment.
    pub(crate) fn keys<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(KEYS)
    }

    /// Makes the bucket itself; waits until the store, which has just started, takes it.
    pub(crate) fn make(&self) {
        let store = connect(&self.endpoint);
        self.wait(async |_| {
            let whole = ObjectPath::from("");
            let url = store.signed_url(Method::PUT, &whole, PATIENCE).await?;
            let deadline = Instant::now() + PATIENCE;
            while let Err(error) = put_nothing(url.as_str()) {
                assert!(Instant::now() < deadline, "the store never took it: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        });
    }

    pub(crate) fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let (at, bytes) = (self.path(path), bytes.as_ref().to_vec());
        self.wait(async |store| store.put(&at, bytes.into()).await.map(drop));
    }

    pub(crate) fn remove(&self, path: &str) {
        let at = self.path(path);
        self.wait(async |store| store.delete(&at).await);
    }

    /// Puts the files of a folder under `path`.
    pub(crate) fn upload(&self, folder: &Path, path: &str) {
        for (name, file) in files(folder) {
            self.put(&format!("{path}/{name}"), std::fs::read(file).unwrap());
        }
    }

    /// Copies everything under another prefix of the same bucket to this one.
    pub(crate) fn copy_from(&self, prefix: &str) {
        let from = ObjectPath::from(prefix);
        self.wait(async |store| {
            let objects: Vec<_> = store.list(Some(&from)).try_collect().await?;
            let lasting = objects
                .iter()
                .filter(|object| !object.location.as_ref().contains(TRAIL));
            let copies = lasting.map(|object| {
                let rest = object
                    .location
                    .as_ref()
                    .strip_prefix(prefix)
                    .unwrap()
                    .trim_start_matches('/');
                let to = self.path(rest);
                async move { store.copy(&object.location, &to).await }
            });
            futures::stream::iter(copies.map(Ok))
                .try_for_each_concurrent(AT_ONCE, |copy| copy)
                .await
        });
    }

    /// Writes everything under `path` into a folder.
    pub(crate) fn download(&self, path: &str, folder: &Path) {
        let from = self.path(path);
        self.wait(async |store| {
            let objects: Vec<_> = store.list(Some(&from)).try_collect().await?;
            for object in objects {
                let rest = object.location.as_ref().strip_prefix(from.as_ref()).unwrap();
                let target = folder.join(rest.trim_start_matches('/'));
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::write(target, store.get(&object.location).await?.bytes().await?).unwrap();
            }
            Ok(())
        });
    }

    fn path(&self, path: &str) -> ObjectPath {
        ObjectPath::from(format!("{}/{path}", self.prefix))
    }

    /// Runs a request to its end, also from inside a test's own runtime.
    fn wait<F>(&self, work: F)
    where
        F: AsyncFnOnce(&dyn ObjectStore) -> Result<(), object_store::Error> + Send,
    {
        std::thread::scope(|scope| {
            let done = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(work(self.store.as_ref())).unwrap();
            });
            done.join().unwrap();
        });
    }
}

fn connect(endpoint: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(BUCKET)
        .with_access_key_id(KEYS[0].1)
        .with_secret_access_key(KEYS[1].1)
        .build()
        .unwrap()
}

/// One PUT without a body to a signed URL: making a bucket is the one request that `object_store` does not know.
fn put_nothing(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).map_err(|error| error.to_string())?;
    let request = format!("PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(answer),
    }
}

/// Files below a folder with their paths inside it.
fn files(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // Servers on that lake write and remove files there all the time.
        if entry.path().ends_with(TRAIL) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            found.extend(
                files(&entry.path())
                    .into_iter()
                    .map(|(inner, file)| (format!("{name}/{inner}"), file)),
            );
        } else {
            found.push((name, entry.path()));
        }
    }
    found
}
