//! Puts files where the crawler looks: whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

/// The folder `landing/`, with a count of what was put there.
pub(super) struct Landing {
    root: PathBuf,
    pub(super) files: usize,
    pub(super) bytes: usize,
}

impl Landing {
    pub(super) fn new(root: &Path) -> Landing {
        Landing {
            root: root.to_owned(),
            files: 0,
            bytes: 0,
        }
    }

    /// Writes `bytes` as `path` (relative, `/` between parts): first as `.<name>.part`, which the crawler ignores, then
    /// renamed, so that no sweep ever reads half a file.
    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.root.join(path);
        let told = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the demo lab cannot write {}: {error}", target.display()),
            )
        };
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(told(io::Error::from(io::ErrorKind::InvalidInput)));
        };
        let part = folder.join(format!(".{}.part", name.to_string_lossy()));
        fs::create_dir_all(folder).map_err(told)?;
        fs::write(&part, bytes).map_err(told)?;
        fs::rename(&part, &target).map_err(told)?;
        self.files += 1;
        self.bytes += bytes.len();
        Ok(())
    }

    /// Like [`Landing::put`], gzip-compressed. The header carries no time and no name, so equal text gives equal bytes.
    pub(super) fn put_gzip(&mut self, path: &str, text: &str) -> io::Result<()> {
        let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes())?;
        self.put(path, &encoder.finish()?)
    }
}
