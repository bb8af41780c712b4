//! Columns of Parquet files as they were decoded, kept for the next scan.
//!
//! A data file never changes, so what was read of it stays true for as long as anybody asks: a new version of a table is
//! other files. What a scan may read, and of which files, is decided as ever; this only saves decoding it once more. Files that are
//! deleted for good must be forgotten ([`ColumnCache::clear`]), or whoever reads an older version would still find them here.
//!
//! Bytes are those of the arrays. Where a store hands several pages out in one piece and the file is not compressed, texts hold on to
//! the whole piece, and more memory is held than is counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayData, ArrayRef};
use parking_lot::Mutex;

/// Columns of files of which it is known that they were asked for once; beyond, all are forgotten.
const ASKED_MAX: usize = 1 << 16;
/// One column of one row group may take this part of the room.
const SHARE: usize = 8;

/// One version of one file, read in batches of one size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    /// The store that it is in.
    pub(super) store: String,
    pub(super) path: String,
    pub(super) size: u64,
    /// Milliseconds since 1970.
    pub(super) modified: i64,
    pub(super) batch_rows: usize,
}

/// A column of a row group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    file: Arc<FileId>,
    group: usize,
    column: usize,
}

/// The batches of one column of one row group.
pub(super) type Chunk = Arc<Vec<ArrayRef>>;

/// Decoded columns, up to a number of bytes. A column is kept from the second time on that it is asked for.
pub struct ColumnCache {
    bytes_max: usize,
    /// Bytes of columns that are being decoded to be kept, of all scans together.
    growing: AtomicUsize,
    kept: Mutex<Kept>,
    asked: Mutex<HashSet<(Arc<FileId>, i64, usize)>>,
}

#[derive(Default)]
struct Kept {
    /// Where each is in `all`.
    places: HashMap<Key, usize>,
    all: Vec<(Key, Chunk, usize)>,
    bytes: usize,
    hits: u64,
    misses: u64,
    /// How often everything was let go of.
    cleared: u64,
    /// Which one makes room next. By chance: where a scan is larger than the room, that keeps a part of it, and the one that was
    /// not asked for longest would keep nothing.
    chance: u64,
}

impl std::fmt::Debug for ColumnCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColumnCache").finish_non_exhaustive()
    }
}

impl ColumnCache {
    /// Room for so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            growing: AtomicUsize::new(0),
            kept: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// Columns of row groups that were found here, and those that had to be decoded.
    pub fn counts(&self) -> (u64, u64) {
        let kept = self.kept.lock();
        (kept.hits, kept.misses)
    }

    /// Lets go of everything.
    pub fn clear(&self) {
        self.asked.lock().clear();
        let mut kept = self.kept.lock();
        kept.places.clear();
        kept.all.clear();
        kept.bytes = 0;
        kept.cleared += 1;
    }

    /// Whether a column of so many bytes may be kept.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.bytes_max / SHARE
    }

    /// Takes so many bytes more for columns that are being decoded, if half of the room has them; to be given back.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let before = self.growing.fetch_add(bytes, Ordering::AcqRel);
        let has_room = before.saturating_add(bytes) <= self.bytes_max / 2;
        if !has_room {
            self.shrink(bytes);
        }
        has_room
    }

    pub(super) fn shrink(&self, bytes: usize) {
        self.growing.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Tells apart what was read before [`Self::clear`] and after.
    pub(super) fn epoch(&self) -> u64 {
        self.kept.lock().cleared
    }

    /// Whether all of these columns were asked for before, of the part of the file that begins at `from`. From now on they were.
    pub(super) fn asked_again(&self, file: &Arc<FileId>, from: i64, columns: &[usize]) -> bool {
        let mut asked = self.asked.lock();
        if asked.len() > ASKED_MAX {
            asked.clear();
        }
        let mut again = true;
        for column in columns {
            again &= !asked.insert((Arc::clone(file), from, *column));
        }
        again
    }

    pub(super) fn get(&self, file: &Arc<FileId>, group: usize, column: usize) -> Option<Chunk> {
        let key = Key {
            file: Arc::clone(file),
            group,
            column,
        };
        let mut kept = self.kept.lock();
        let found = kept.places.get(&key).and_then(|at| kept.all.get(*at));
        let found = found.map(|(_, chunk, _)| Arc::clone(chunk));
        match found {
            Some(_) => kept.hits += 1,
            None => kept.misses += 1,
        }
        found
    }

    /// Keeps what takes so many bytes, unless everything was let go of since `epoch`.
    pub(super) fn put(
        &self,
        file: &Arc<FileId>,
        group: usize,
        column: usize,
        (chunk, bytes): (Chunk, usize),
        epoch: u64,
    ) {
        if !self.has_room(bytes) {
            return;
        }
        let key = Key {
            file: Arc::clone(file),
            group,
            column,
        };
        let mut kept = self.kept.lock();
        if kept.cleared != epoch || kept.places.contains_key(&key) {
            return;
        }
        while kept.bytes + bytes > self.bytes_max && kept.make_room() {}
        let at = kept.all.len();
        kept.places.insert(key.clone(), at);
        kept.all.push((key, chunk, bytes));
        kept.bytes += bytes;
    }
}

impl Kept {
    /// Lets go of one; false if there is none.
    fn make_room(&mut self) -> bool {
        if self.all.is_empty() {
            return false;
        }
        // Marsaglia's xorshift; zero would stay zero.
        self.chance |= 1;
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let at = usize::try_from(self.chance >> 1).unwrap_or_default() % self.all.len();
        let (key, _, bytes) = self.all.swap_remove(at);
        self.places.remove(&key);
        self.bytes -= bytes;
        if let Some((moved, _, _)) = self.all.get(at) {
            self.places.insert(moved.clone(), at);
        }
        true
    }
}

/// The batches of one column, as they come.
#[derive(Default)]
pub(super) struct Growing {
    batches: Vec<ArrayRef>,
    /// Memory of batches that was counted: several of them may share it.
    seen: HashSet<usize>,
    bytes: usize,
}

impl Growing {
    /// Adds a batch; the bytes that it adds.
    pub(super) fn push(&mut self, batch: &ArrayRef) -> usize {
        let more = buffers(&batch.to_data(), &mut self.seen);
        self.batches.push(Arc::clone(batch));
        self.bytes += more;
        more
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them and their bytes.
    pub(super) fn done(self) -> (Chunk, usize) {
        (Arc::new(self.batches), self.bytes)
    }
}

fn buffers(data: &ArrayData, seen: &mut HashSet<usize>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let own = data.buffers().iter().chain(nulls);
    let own: usize = own
        .filter(|buffer| seen.insert(buffer.data_ptr().as_ptr().addr()))
        .map(arrow::buffer::Buffer::capacity)
        .sum();
    let below: usize = data.child_data().iter().map(|child| buffers(child, seen)).sum();
    own + below + size_of::<ArrayData>()
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn file(path: &str) -> Arc<FileId> {
        Arc::new(FileId {
            store: "file:///".into(),
            path: path.into(),
            size: 1,
            modified: 1,
            batch_rows: 8192,
        })
    }

    fn chunk(rows: i64) -> (Chunk, usize) {
        grown(&[Arc::new((0..rows).collect::<Int64Array>())])
    }

    fn grown(batches: &[ArrayRef]) -> (Chunk, usize) {
        let mut growing = Growing::default();
        let bytes: usize = batches.iter().map(|batch| growing.push(batch)).sum();
        assert_eq!(bytes, growing.bytes());
        growing.done()
    }

    #[test]
    fn what_is_kept_is_of_one_column_of_one_group_of_one_file() {
        let cache = ColumnCache::new(1 << 20);
        let one = file("a");
        cache.put(&one, 0, 0, chunk(10), 0);
        assert_eq!(cache.get(&one, 0, 0).unwrap()[0].len(), 10);
        assert!(cache.get(&one, 1, 0).is_none() && cache.get(&one, 0, 1).is_none());
        let like = |edit: fn(&mut FileId)| {
            let mut other = FileId::clone(&one);
            edit(&mut other);
            Arc::new(other)
        };
        for other in [
            like(|file| file.store = "s3://b".into()),
            like(|file| file.path = "b".into()),
            like(|file| file.size = 2),
            like(|file| file.modified = 2),
            like(|file| file.batch_rows = 1),
        ] {
            assert!(cache.get(&other, 0, 0).is_none(), "{other:?}");
        }
        assert_eq!(cache.counts(), (1, 7));
    }

    #[test]
    fn room_is_bounded_and_what_is_too_large_is_not_kept() {
        let cache = ColumnCache::new(64 << 10);
        for group in 0..100 {
            cache.put(&file("a"), group, 0, chunk(400), 0);
            assert!(cache.bytes() <= 64 << 10);
        }
        assert!(cache.bytes() > 48 << 10);
        let found = (0..100).filter(|group| cache.get(&file("a"), *group, 0).is_some());
        let found = found.count();
        assert!((10..=20).contains(&found), "{found}");
        let before = cache.bytes();
        cache.put(&file("b"), 0, 0, chunk(10_000), 0);
        assert_eq!(cache.bytes(), before);
        cache.clear();
        assert_eq!(cache.bytes(), 0);
        assert!((0..100).all(|group| cache.get(&file("a"), group, 0).is_none()));
    }

    #[test]
    fn what_grows_has_half_of_the_room() {
        let cache = ColumnCache::new(1_000);
        assert!(cache.grow(300) && cache.grow(200));
        assert!(!cache.grow(1));
        cache.shrink(300);
        assert!(cache.grow(300));
    }

    #[test]
    fn what_was_read_before_all_was_let_go_of_does_not_come_back() {
        let cache = ColumnCache::new(1 << 20);
        let before = cache.epoch();
        cache.clear();
        cache.put(&file("a"), 0, 0, chunk(10), before);
        assert!(cache.get(&file("a"), 0, 0).is_none());
        cache.put(&file("a"), 0, 0, chunk(10), cache.epoch());
        assert!(cache.get(&file("a"), 0, 0).is_some());
    }

    #[test]
    fn a_column_is_kept_from_the_second_time_on() {
        let cache = ColumnCache::new(1);
        let one = file("a");
        assert!(!cache.asked_again(&one, 0, &[0, 1]));
        assert!(!cache.asked_again(&one, 0, &[1, 2]));
        assert!(cache.asked_again(&one, 0, &[0, 1, 2]));
        assert!(
            !cache.asked_again(&one, 100, &[0]),
            "the other part of the file in the same scan"
        );
        assert!(!cache.asked_again(&file("b"), 0, &[0]));
        cache.clear();
        assert!(!cache.asked_again(&one, 0, &[0]));
    }

    #[test]
    fn memory_that_batches_share_counts_once() {
        let whole: ArrayRef = Arc::new((0..1000).collect::<Int64Array>());
        let one = grown(&[Arc::clone(&whole)]).1;
        assert!((8000..9000).contains(&one), "{one}");
        let twice = grown(&[Arc::clone(&whole), whole]).1;
        assert!(twice < one + 500, "{twice}");
    }
}
