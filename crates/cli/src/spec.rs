//! Image and pool specifications as text: `[pool/[namespace/]]image[@snap]`, and `dir:/path/image` for an image in a
//! directory.
//!
//! Owns: taking the text apart; the question whether `dir:/path` names a store or an image in one. Does not own: defaults (the
//! pool) and opening.
use crate::error::{Failure, Result};
use std::path::{Path, PathBuf};

/// What starts a specification in a directory.
const DIR_PREFIX: &str = "dir:";

/// Where images are: a pool of a cluster, or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `None`: the default pool. The default namespace is empty.
    Pool {
        pool: Option<String>,
        namespace: String,
    },
    Directory(PathBuf),
}

impl Default for Place {
    fn default() -> Self {
        Self::Pool { pool: None, namespace: String::new() }
    }
}

/// An image specification taken apart. Parts that were not given are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    pub place: Place,
    pub image: Option<String>,
    pub snap: Option<String>,
}

/// How strict the names are taken (rbd's three patterns come down to these).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// For images that exist: everything that can be read as a name is one.
    Lenient,
    /// For snapshots to be made of images that exist: `/` and `@` are in no name of a snapshot.
    NewSnap,
    /// For images to be made: `/` and `@` are in no name.
    Strict,
}

/// Whether a specification is of a directory, or of something in one.
pub fn is_directory(text: &str) -> bool {
    text.starts_with(DIR_PREFIX)
}

impl Spec {
    /// `EINVAL` if it cannot be taken apart.
    pub fn parse(text: &str, strictness: Strictness) -> Result<Self> {
        let parsed = match text.strip_prefix(DIR_PREFIX) {
            Some(path) => Self::in_directory(path, strictness),
            None => Self::in_pool(text, strictness),
        };
        parsed.ok_or_else(|| Failure::invalid(format!("invalid spec '{text}'{}", path_hint(text))))
    }

    /// The image is the path's last part. `dir:/path/` names the directory itself, and so does `dir:/path` if a store is there: no
    /// image can be meant, whose store would be the folder around that store.
    fn in_directory(path: &str, strictness: Strictness) -> Option<Self> {
        if lsd_store::DirStore::is_store(Path::new(path)) {
            return Some(Self { place: Place::Directory(without_slashes(path).into()), image: None, snap: None });
        }
        let (directory, name) = path.rsplit_once('/')?;
        let directory = if directory.is_empty() { "/" } else { directory };
        let place = Place::Directory(PathBuf::from(directory));
        if name.is_empty() {
            return Some(Self { place, image: None, snap: None });
        }
        let (image, snap) = split_snap(name, strictness)?;
        Some(Self { place, image: Some(image.to_owned()), snap: snap.map(str::to_owned) })
    }

    /// The longest reading counts: pool and namespace, else pool, else only an image.
    fn in_pool(text: &str, strictness: Strictness) -> Option<Self> {
        let make = |pool: Option<&str>, namespace: &str, name: &str| {
            let (image, snap) = split_snap(name, strictness)?;
            Some(Self {
                place: Place::Pool { pool: pool.map(str::to_owned), namespace: namespace.to_owned() },
                image: Some(image.to_owned()),
                snap: snap.map(str::to_owned),
            })
        };
        let pool = text
            .split_once('/')
            .filter(|(pool, _)| !pool.is_empty() && (strictness != Strictness::Strict || !pool.contains('@')));
        if let Some((pool, rest)) = pool {
            let namespace = rest.split_once('/').filter(|(name, _)| !name.is_empty() && !name.contains('@'));
            let with_namespace = namespace.and_then(|(namespace, name)| make(Some(pool), namespace, name));
            if let Some(spec) = with_namespace.or_else(|| make(Some(pool), "", rest)) {
                return Some(spec);
            }
        }
        make(None, "", text)
    }
}

/// Behind the words about a specification that names no image: how to write what was meant, if that was a path.
pub fn path_hint(text: &str) -> String {
    let spec = match text.strip_prefix(DIR_PREFIX) {
        Some(name) if !name.is_empty() && !name.contains('/') => format!("{DIR_PREFIX}./{name}"),
        None if is_like_a_path(text) => format!("{DIR_PREFIX}{text}"),
        _ => return String::new(),
    };
    format!(" (an image in a directory is {spec})")
}

/// Pool, namespace and name have two slashes at most.
fn is_like_a_path(text: &str) -> bool {
    let is_rooted = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    !text.ends_with('/') && !text.contains('@') && (is_rooted || text.matches('/').count() > 2)
}

/// The path without slashes at its end, of which the root has one.
fn without_slashes(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { &path[..path.len().min(1)] } else { trimmed }
}

/// `image[@snap]`; neither part is empty.
fn split_snap(name: &str, strictness: Strictness) -> Option<(&str, Option<&str>)> {
    let (image, snap) = match name.split_once('@') {
        Some((image, snap)) => (image, Some(snap)),
        None => (name, None),
    };
    let bad_image = image.is_empty() || (strictness == Strictness::Strict && image.contains('/'));
    let strict = strictness != Strictness::Lenient;
    let bad_snap = snap.is_some_and(|snap| snap.is_empty() || (strict && snap.contains(['/', '@'])));
    (!bad_image && !bad_snap).then_some((image, snap))
}

/// A pool specification: `pool[/namespace]`, or `dir:/path`. `EINVAL` if it cannot be taken apart.
pub fn parse_pool_spec(text: &str) -> Result<Place> {
    if let Some(path) = text.strip_prefix(DIR_PREFIX) {
        let path = without_slashes(path);
        if path.is_empty() {
            return Err(Failure::invalid(format!("invalid spec '{text}'")));
        }
        return Ok(Place::Directory(PathBuf::from(path)));
    }
    let (pool, namespace) = match text.rsplit_once('/') {
        Some((pool, namespace)) => (pool, namespace),
        None => (text, ""),
    };
    if pool.is_empty() {
        return Err(Failure::invalid(format!("invalid spec '{text}'")));
    }
    Ok(Place::Pool { pool: Some(pool.to_owned()), namespace: namespace.to_owned() })
}

#[cfg(test)]
mod tests;
