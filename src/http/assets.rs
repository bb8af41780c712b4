//! The page's own files, inside the binary: no node when it is built, nothing fetched when it is shown.
//!
//! All files lie under a path that holds a hash of all of them, so each may be kept forever and modules can name each
//! other plainly. Compressed once, when first asked for.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::encode::Gzip;
use super::refusal::Refusal;

const INDEX: &str = include_str!("ui/index.html");
const OPENAPI: &str = include_str!("openapi.json");
/// Where the path of the files goes in `index.html`.
const PLACE: &str = "/ui/VERSION/";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    squeezed: OnceLock<Vec<u8>>,
}

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        [$(File {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("ui/", $name)),
            squeezed: OnceLock::new(),
        }),*]
    };
}

static FILES: [File; 44] = files![
    "api.js" JS,
    "app.css" CSS,
    "app.js" JS,
    "charts/areas.js" JS,
    "charts/axis.js" JS,
    "charts/bars.js" JS,
    "charts/card.js" JS,
    "charts/colour.js" JS,
    "charts/graph.js" JS,
    "charts/heat.js" JS,
    "charts/numbers.js" JS,
    "charts/plate.js" JS,
    "charts/plates.js" JS,
    "charts/points.js" JS,
    "charts/table.js" JS,
    "charts/time_bars.js" JS,
    "charts/wells.js" JS,
    "dom.js" JS,
    "filters.js" JS,
    "format.js" JS,
    "live.js" JS,
    "rows.js" JS,
    "signin.js" JS,
    "state.js" JS,
    "vendor/LICENSE-flechette" TEXT,
    "vendor/LICENSE-uplot" TEXT,
    "vendor/flechette.min.js" JS,
    "vendor/uplot.css" CSS,
    "vendor/uplot.min.js" JS,
    "views/absent.js" JS,
    "views/admin.js" JS,
    "views/alerts.js" JS,
    "views/complete.js" JS,
    "views/dashboard.js" JS,
    "views/data.js" JS,
    "views/edit.js" JS,
    "views/filter.js" JS,
    "views/lineage.js" JS,
    "views/pipelines.js" JS,
    "views/pivot.js" JS,
    "views/policies.js" JS,
    "views/profile.js" JS,
    "views/sql.js" JS,
    "views/table.js" JS,
];

/// The page itself; browsers ask each time whether it changed.
pub(super) async fn page(headers: HeaderMap) -> Response {
    let tag = format!("\"{}\"", version());
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let caching = [
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, INDEX.replace(PLACE, &format!("/ui/{}/", version()))).into_response()
}

/// One of the page's files.
pub(super) async fn file(Path((asked, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Refusal::no_such_path().into_response();
    };
    // A file of another version is given too, but not to be kept: a page from before an upgrade asks for it once more.
    let keep = if asked == version() {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    let tag = format!("\"{}\"", version());
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if super::ask::takes_gzip(&headers) {
        let squeezed = file.squeezed.get_or_init(|| Gzip::best().squeeze(file.bytes, true));
        ([(header::CONTENT_ENCODING, "gzip")], squeezed.as_slice()).into_response()
    } else {
        file.bytes.into_response()
    };
    let answered = response.headers_mut();
    answered.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    answered.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    answered.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answered.insert(header::ETAG, tag);
    }
    response
}

/// What this door takes and gives, for programs.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// A hash of all files.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hash = Sha256::new();
        hash.update(INDEX);
        for file in &FILES {
            hash.update(file.name);
            hash.update((file.bytes.len() as u64).to_le_bytes());
            hash.update(file.bytes);
        }
        hash.finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vendored files are those whose sums are written down.
    #[test]
    fn vendored_files_are_what_they_were() {
        let sums = include_str!("ui/vendor/CHECKSUMS");
        let vendored: Vec<_> = FILES.iter().filter(|file| file.name.starts_with("vendor/")).collect();
        assert_eq!(sums.lines().count(), vendored.len());
        for file in vendored {
            let sum: String = Sha256::digest(file.bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let name = file.name.trim_start_matches("vendor/");
            assert!(
                sums.lines().any(|line| line == format!("{sum}  {name}")),
                "{sum}  {name}"
            );
        }
    }

    #[test]
    fn the_page_names_nothing_foreign_and_has_no_script_or_style_of_its_own() {
        assert!(INDEX.contains(PLACE) && !INDEX.contains("<style") && !INDEX.contains("style="));
        assert!(!INDEX.contains("http://") && !INDEX.contains("https://"));
        assert!(!INDEX.contains("<script>"));
    }

    /// Small enough for the slowest line of a lab: the budget of the first view before data.
    #[test]
    fn all_files_together_stay_below_the_budget() {
        let total: usize = FILES
            .iter()
            .map(|file| Gzip::best().squeeze(file.bytes, true).len())
            .sum();
        assert!(total < 150_000, "{total} bytes");
    }
}
