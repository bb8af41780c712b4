//! Answers that are lost, and listings that break off.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use object_store::memory::InMemory;

use super::*;

/// A store whose answers get lost: of so many writes after they happened, of so many before, and each listing behind so many names.
#[derive(Debug, Default)]
struct Breaking {
    inner: InMemory,
    after: AtomicUsize,
    before: AtomicUsize,
    names: usize,
}

impl fmt::Display for Breaking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Breaking")
    }
}

fn broken<T>() -> Result<T> {
    Err(Error::Generic {
        store: "S3",
        source: "connection reset".into(),
    })
}

fn once(of: &AtomicUsize) -> bool {
    of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

impl Breaking {
    fn cut(&self, all: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.names {
            0 => all,
            names => {
                let each = all.enumerate();
                let each = each.map(move |(nth, meta)| if nth < names { meta } else { broken() });
                each.take(names + 1).boxed()
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Breaking {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if once(&self.before) {
            return broken();
        }
        let done = self.inner.put_opts(location, payload, options).await;
        if once(&self.after) { broken() } else { done }
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.cut(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.cut(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn sure(breaking: Breaking) -> SureStore {
    SureStore(Arc::new(breaking))
}

async fn create(store: &SureStore, path: &str, text: &'static str) -> Result<()> {
    let options = PutOptions::from(PutMode::Create);
    store.put_opts(&Path::from(path), text.into(), options).await.map(drop)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_done_once_and_is_no_others() {
    const COMMIT: &str = "tables/a/_delta_log/00000000000000000007.json";
    for (after, before) in [(1, 0), (0, 2), (1, 1), (3, 3)] {
        let store = sure(Breaking {
            after: after.into(),
            before: before.into(),
            ..Breaking::default()
        });
        create(&store, COMMIT, "ours").await.unwrap();
        assert_eq!(
            store.get(&Path::from(COMMIT)).await.unwrap().bytes().await.unwrap(),
            "ours"
        );
        // Whoever comes second is told so, whatever happens to his answer.
        let second = create(&store, COMMIT, "another's").await.unwrap_err();
        assert!(matches!(second, Error::AlreadyExists { .. }), "{second}");
        assert_eq!(
            store.get(&Path::from(COMMIT)).await.unwrap().bytes().await.unwrap(),
            "ours"
        );
    }
    let lost = sure(Breaking {
        before: 99.into(),
        ..Breaking::default()
    });
    assert!(matches!(
        create(&lost, COMMIT, "ours").await,
        Err(Error::Generic { .. })
    ));
}

#[tokio::test]
async fn what_may_be_equal_is_not_taken_for_ones_own() {
    let store = sure(Breaking {
        after: 1.into(),
        ..Breaking::default()
    });
    assert!(create(&store, "_labhouse/claims/x", "claimed").await.is_err());
    let taken = create(&store, "_labhouse/claims/x", "claimed").await.unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
}

#[tokio::test]
async fn a_listing_that_breaks_off_goes_on_and_has_each_name_once() {
    let breaking = Breaking {
        names: 3,
        ..Breaking::default()
    };
    for nth in 0..10 {
        breaking
            .inner
            .put(&Path::from(format!("a/{nth}")), "x".into())
            .await
            .unwrap();
    }
    let store = sure(breaking);
    let all: Vec<ObjectMeta> = store.list(Some(&Path::from("a"))).try_collect().await.unwrap();
    let mut names: Vec<String> = all.iter().map(|meta| meta.location.to_string()).collect();
    names.sort();
    assert_eq!(names, (0..10).map(|nth| format!("a/{nth}")).collect::<Vec<_>>());
}
