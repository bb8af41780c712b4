//! Links in the landing folder of a disk. The place that a link leads to decides: a file is read there, under the one name without
//! links, or not at all. So neither a link to the newest run nor one that leads in a circle loads anything twice, and whoever may
//! make links in a landing folder has nothing else read that this server can open.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// Links followed in one name, each to another place in the landing folder: what a system follows itself.
const FOLLOWED_MAX: usize = 40;

/// A link to another place in the landing folder; both are relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) path: String,
    pub(crate) target: String,
}

/// Where a link leads.
#[derive(Debug)]
pub(crate) enum Leads {
    /// To a place in the landing folder.
    Inside(String),
    Outside,
    Nowhere,
    /// Why it cannot be said.
    Unknown(std::io::Error),
}

/// `landing` is the landing folder's own name without links.
pub(crate) fn leads(landing: &Path, link: &Path) -> Leads {
    match std::fs::canonicalize(link) {
        Ok(place) => match place.strip_prefix(landing) {
            Ok(inside) => {
                let parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
                Leads::Inside(parts.collect::<Vec<_>>().join("/"))
            }
            Err(_) => Leads::Outside,
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Leads::Nowhere,
        Err(error) => Leads::Unknown(error),
    }
}

impl fmt::Display for Leads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside(target) if target.is_empty() => {
                write!(
                    f,
                    "a link to the landing folder itself: its files are read there and nowhere else"
                )
            }
            Self::Inside(target) => {
                write!(f, "a link to {target}: what is there is read there and nowhere else")
            }
            Self::Outside => write!(
                f,
                "a link that leaves the landing folder is not followed, as it could lead to any file that this server may open: mount that \
                 place here instead (mount --bind), or have its files copied; what was loaded from it stays as it is"
            ),
            Self::Nowhere => write!(
                f,
                "a link to a place that is not there; what was loaded from it stays as it is"
            ),
            Self::Unknown(error) => write!(
                f,
                "a link that cannot be followed: {error}; what was loaded from it stays as it is"
            ),
        }
    }
}

/// The name without links of a path that leads through some of `links`; none of another path.
pub(crate) fn without(links: &[Link], path: &str) -> Option<String> {
    let once = |path: &str| {
        links.iter().find_map(|link| {
            let rest = path.strip_prefix(&link.path)?;
            match (rest.strip_prefix('/'), link.target.is_empty()) {
                (None, _) if rest.is_empty() => Some(link.target.clone()),
                (None, _) => None,
                (Some(rest), true) => Some(rest.to_owned()),
                (Some(rest), false) => Some(format!("{}/{rest}", link.target)),
            }
        })
    };
    let mut place = once(path)?;
    for _ in 0..FOLLOWED_MAX {
        match once(&place) {
            Some(next) => place = next,
            None => return Some(place),
        }
    }
    None
}
