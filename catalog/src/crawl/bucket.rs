//! What lies in the landing folder of a bucket.

use std::collections::BTreeSet;

use object_store::ObjectMeta;
use object_store::list::PaginatedListOptions;
use object_store::path::Path as ObjectPath;

use crate::error::LakeError;
use crate::lake::{LANDING, Lake, object_path};

use super::landing::{Landed, Listing};

/// Requests for the landing folder alone, where keys in it have no name that a path can have: about one for each of its folders.
const STEPS_MAX: usize = 20_000;
/// Greater than every key that begins as what stands before it.
const LAST: char = char::MAX;

pub(crate) async fn list(lake: &Lake) -> Result<Listing, LakeError> {
    let root = object_path(LANDING)?;
    let mut listing = Listing::default();
    let found = match lake.list(LANDING).await {
        Err(LakeError::Store {
            source: object_store::Error::InvalidPath { .. },
            ..
        }) => list_by_folder(lake, &mut listing).await?,
        found => found?,
    };
    let folders: BTreeSet<&str> = found
        .iter()
        .filter_map(|m| m.location.as_ref().rsplit_once('/'))
        .map(|(folder, _)| folder)
        .collect();
    for meta in &found {
        let Some(path) = below(&root, &meta.location) else {
            continue;
        };
        // Consoles mark an empty folder by an empty object of its name.
        let named = meta.location.filename().is_some_and(|name| name.contains('.'));
        if meta.size == 0 && (!named || folders.contains(meta.location.as_ref())) {
            listing
                .odd
                .push((path, "an empty object that marks a folder".to_owned()));
            continue;
        }
        let stamp = meta
            .e_tag
            .clone()
            .unwrap_or_else(|| format!("{}-{}", meta.size, meta.last_modified.to_rfc3339()));
        listing.files.push(Landed {
            path,
            bytes: meta.size,
            modified: meta.last_modified,
            stamp,
            pin: None,
        });
    }
    Ok(listing)
}

/// The path of an object below the landing folder; none of one that is elsewhere.
fn below(root: &ObjectPath, location: &ObjectPath) -> Option<String> {
    let parts = location.prefix_match(root)?;
    Some(parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
}

/// All objects, folder by folder, when some key has no name that a path can have (`a//b`): only the folder that has it is out of sight,
/// and of the landing folder itself only that key.
async fn list_by_folder(lake: &Lake, listing: &mut Listing) -> Result<Vec<ObjectMeta>, LakeError> {
    let root = object_path(LANDING)?;
    let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = open.pop() {
        match lake.store().list_with_delimiter(Some(&folder)).await {
            Ok(inside) => {
                found.extend(inside.objects);
                open.extend(inside.common_prefixes);
            }
            Err(object_store::Error::InvalidPath { source }) if folder != root => {
                let path = below(&root, &folder).unwrap_or_default();
                let why = format!(
                    "no file of it can be read while it has a key like this one ({source}): give that object another name; what is known of its files stays as it is"
                );
                listing.unseen.push(format!("{path}/"));
                listing.odd.push((path, why));
            }
            Err(object_store::Error::InvalidPath { .. }) => {
                let (objects, folders) = past(lake, &folder, listing).await?;
                found.extend(objects);
                open.extend(folders);
            }
            Err(source) => return Err(LakeError::store("listing", folder.to_string())(source)),
        }
    }
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

/// One folder's objects and folders but for those whose names no path can have: each of these is told. A page of names fails
/// as a whole, so the names around such a one are asked for one by one.
async fn past(
    lake: &Lake,
    folder: &ObjectPath,
    listing: &mut Listing,
) -> Result<(Vec<ObjectMeta>, Vec<ObjectPath>), LakeError> {
    let failed = |source| LakeError::store("listing", folder.to_string())(source);
    let raw = format!("{}/", lake.raw(folder));
    let (mut objects, mut folders) = (Vec::new(), Vec::new());
    let mut after: Option<String> = None;
    let mut one_by_one = false;
    for _ in 0..STEPS_MAX {
        let options = PaginatedListOptions {
            offset: after.clone(),
            delimiter: Some("/".into()),
            max_keys: one_by_one.then_some(1),
            ..PaginatedListOptions::default()
        };
        let next = match lake.list_page(&raw, options).await {
            Ok(page) => {
                let last_object = page.objects.iter().map(|meta| lake.raw(&meta.location)).max();
                let last_folder = page
                    .common_prefixes
                    .iter()
                    .map(|path| format!("{}/{LAST}", lake.raw(path)))
                    .max();
                objects.extend(page.objects);
                folders.extend(page.common_prefixes);
                last_object.max(last_folder)
            }
            Err(object_store::Error::InvalidPath { source }) if one_by_one => {
                let Some(key) = named(&source) else {
                    return Err(failed(object_store::Error::InvalidPath { source }));
                };
                let shown = key.strip_prefix(&raw).unwrap_or(&key).to_owned();
                let why = format!("a key like this one cannot be read ({source}): give that object another name");
                listing.odd.push((shown, why));
                one_by_one = false;
                Some(format!("{key}{LAST}"))
            }
            Err(object_store::Error::InvalidPath { .. }) => {
                one_by_one = true;
                continue;
            }
            Err(source) => return Err(failed(source)),
        };
        // A page says what it has; when it has nothing behind what is known, that was all.
        match next {
            Some(next) if after.as_ref().is_none_or(|after| *after < next) => after = Some(next),
            Some(_) | None => return Ok((objects, folders)),
        }
    }
    Err(LakeError::Task {
        reason: format!(
            "the landing folder has more than {STEPS_MAX} names beside keys that no path can have; give those objects other names"
        ),
    })
}

/// The key of which a path cannot be made.
fn named(error: &object_store::path::Error) -> Option<String> {
    use object_store::path::Error;
    match error {
        Error::EmptySegment { path } | Error::BadSegment { path, .. } => Some(path.clone()),
        _ => None,
    }
}
