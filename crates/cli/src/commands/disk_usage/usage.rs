//! What one image and its snapshots take, each beside the one before it.
use crate::commands::snap::is_users;
use lsd_engine::{CatalogEntry, Image, ImageRef, OpenOptions, Result, SnapInfo, SnapRef, Space};
use lsd_store::ObjectStore;
use std::sync::Arc;

/// Which part of an image's history is looked at.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Only what is younger than this snapshot.
    pub from: Option<String>,
    /// Only up to this snapshot; `None`: up to the image.
    pub to: Option<String>,
}

/// A row: a snapshot or the image itself.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Of the image.
    pub name: String,
    pub id: String,
    /// Name and id.
    pub snapshot: Option<(String, u64)>,
    pub provisioned: u64,
    /// Bytes that it has and the row before has not.
    pub used: u64,
    /// Of the image.
    pub space: Option<Space>,
}

impl Usage {
    pub fn full_name(&self) -> String {
        match &self.snapshot {
            Some((snapshot, _)) => format!("{}@{snapshot}", self.name),
            None => self.name.clone(),
        }
    }
}

pub enum Found {
    Rows(Vec<Usage>),
    NoSuchSnapshot,
    /// Both ends are the same snapshot.
    Nothing,
    /// The end is older than the start.
    Backwards,
}

/// Which snapshots have rows, and the one before them.
#[derive(Debug, Default, PartialEq)]
struct Chosen<'a> {
    before: Option<&'a SnapInfo>,
    rows: &'a [SnapInfo],
}

pub async fn of(
    options: &OpenOptions,
    store: &Arc<dyn ObjectStore>,
    entry: &CatalogEntry,
    span: &Span,
) -> Result<Found> {
    let image = Image::open(store, &ImageRef::Id(entry.id.clone()), options).await?;
    let found = of_open(options, store, entry, span, &image).await;
    let closed = image.close().await;
    found.and_then(|found| closed.map(|()| found))
}

async fn of_open(
    options: &OpenOptions,
    store: &Arc<dyn ObjectStore>,
    entry: &CatalogEntry,
    span: &Span,
    image: &Image,
) -> Result<Found> {
    let snapshots: Vec<SnapInfo> = image.snapshots().list().await?.into_iter().filter(is_users).collect();
    let chosen = match choose(&snapshots, span) {
        Ok(chosen) => chosen,
        Err(found) => return Ok(found),
    };
    let open_at = |id: u64| {
        let options = OpenOptions { snapshot: Some(SnapRef::Id(id)), ..options.clone() };
        async move { Image::open(store, &ImageRef::Id(entry.id.clone()), &options).await }
    };
    let row = |snapshot, provisioned, used, space| Usage {
        name: entry.name.clone(),
        id: entry.id.to_string(),
        snapshot,
        provisioned,
        used,
        space,
    };
    let mut rows = Vec::new();
    let mut before = match chosen.before {
        Some(snapshot) => Some(open_at(snapshot.id).await?),
        None => None,
    };
    for snapshot in chosen.rows {
        let shown = open_at(snapshot.id).await?;
        let used = used_beside(&shown, before.as_ref()).await?;
        rows.push(row(Some((snapshot.name.clone(), snapshot.id)), snapshot.size, used, None));
        if let Some(before) = before.replace(shown) {
            before.close().await?;
        }
    }
    if span.to.is_none() {
        let used = used_beside(image, before.as_ref()).await?;
        rows.push(row(None, image.size(), used, Some(image.space())));
    }
    match before {
        Some(before) => before.close().await.map(|()| Found::Rows(rows)),
        None => Ok(Found::Rows(rows)),
    }
}

async fn used_beside(image: &Image, before: Option<&Image>) -> Result<u64> {
    match before {
        Some(before) => image.bytes_beside(before).await,
        None => Ok(image.used_bytes()),
    }
}

fn choose<'a>(snapshots: &'a [SnapInfo], span: &Span) -> std::result::Result<Chosen<'a>, Found> {
    let place = |name: &Option<String>| match name {
        Some(name) => match snapshots.iter().position(|snapshot| snapshot.name == *name) {
            Some(place) => Ok(Some(place)),
            None => Err(Found::NoSuchSnapshot),
        },
        None => Ok(None),
    };
    let (from, to) = (place(&span.from)?, place(&span.to)?);
    match (from, to) {
        (Some(from), Some(to)) if from == to => return Err(Found::Nothing),
        (Some(from), Some(to)) if from > to => return Err(Found::Backwards),
        _ => {}
    }
    let rows = from.map_or(0, |from| from + 1)..to.map_or(snapshots.len(), |to| to + 1);
    Ok(Chosen { before: from.map(|from| &snapshots[from]), rows: &snapshots[rows] })
}
