//! A copy of an image with its snapshots, which stays a clone where the image is one.
//!
//! Owns: in which order the states of the image are copied, and what of each. Does not own: telling what differs (`beside.rs`), making a
//! clone, flattening it (`lifecycle/clone.rs`, `session/flatten.rs`).
use super::{Image, SnapInfo, kin};
use crate::api::error::invalid;
use crate::api::limits::{DEEP_COPY_CHUNK, DEEP_COPY_IN_FLIGHT, DEEP_COPY_WINDOW};
use crate::objects::pools::open_place;
use crate::{
    CloneFormat, CloneOptions, CreateOptions, ErrorKind, Extent, ImageId, ImageRef, OpenOptions, Parent, Progress,
    Quiesce, Result, SnapNamespace, SnapRef, compiled_here,
};
use futures::{StreamExt, TryStreamExt, stream};
use lsd_store::ObjectStore;
use std::sync::Arc;

/// Where a copy goes, and how.
#[derive(Clone, Debug)]
pub struct DeepCopy {
    pub store: Arc<dyn ObjectStore>,
    pub name: String,
    /// The layout and features of the copy; its size is the image's.
    pub layout: CreateOptions,
    /// The copy is no clone, whatever the image is.
    pub flatten: bool,
    /// Of a copy that is a clone.
    pub format: CloneFormat,
    /// How snapshots of the image and of its parent are opened.
    pub from: OpenOptions,
    /// How the copy is opened.
    pub to: OpenOptions,
}

/// What the image was or is.
struct State {
    image: Image,
    snapshot: Option<SnapInfo>,
}

impl State {
    /// The handle of the caller stays open.
    async fn close(&self) {
        if self.snapshot.is_some() {
            // What only reads loses nothing.
            let _ = self.image.close().await;
        }
    }
}

/// How far a copy is, in objects of all states together.
struct Told<'a> {
    progress: Progress<'a>,
    order: u8,
    done: u64,
    total: u64,
}

impl Told<'_> {
    fn report(&self, bytes: u64) -> Result<()> {
        let done = self.done + (bytes >> self.order);
        if done < self.total { (self.progress)(done, self.total) } else { Ok(()) }
    }

    fn finish(&self) -> Result<()> {
        (self.progress)(self.total, self.total)
    }
}

impl Image {
    /// Copies what this handle shows, with all snapshots that users made until then, into a new image. A clone's copy is a clone of the
    /// same snapshot, unless `flatten`. As [`Image::create`] and [`Image::clone_from`] have it; what was copied until an error is left.
    #[compiled_here]
    pub async fn deep_copy(&self, copy: &DeepCopy, progress: Progress<'async_recursion>) -> Result<ImageId> {
        self.session.check_open()?;
        let end = self.shown().map(|shown| shown.id);
        let mut snapshots = self.snapshots().list().await?;
        snapshots.retain(|one| one.namespace == SnapNamespace::User && end.is_none_or(|end| one.id <= end));
        let sizes = snapshots.iter().map(|one| one.size).chain(end.is_none().then(|| self.size()));
        let order = self.info().order;
        let total = sizes.map(|size| size.div_ceil(1 << order)).sum();
        let mut told = Told { progress, order, done: 0, total };
        let mut states = snapshots.into_iter().map(Some).chain(end.is_none().then_some(None));
        let Some(first) = states.next() else { return Err(invalid("there is nothing to copy")) };
        let first = self.state(first, &copy.from).await?;
        let parent = if copy.flatten { None } else { parent_of(&first.image).await? };
        let mut before = match &parent {
            Some(parent) => Some(self.open_parent(parent, &copy.from).await?),
            None => None,
        };
        let id = make(self, copy, parent.as_ref(), first.image.size()).await?;
        let target = Image::open(&copy.store, &ImageRef::Id(id.clone()), &copy.to).await?;
        let copied = async {
            let mut overlap = parent.map(|parent| parent.snapshot.size);
            let mut next = Some(first);
            while let Some(state) = next {
                copy_state(&state, before.as_ref(), &target, &mut overlap, &mut told).await?;
                if let Some(before) = before.replace(state) {
                    before.close().await;
                }
                next = match states.next() {
                    Some(snapshot) => Some(self.state(snapshot, &copy.from).await?),
                    None => None,
                };
            }
            if let Some(last) = before {
                last.close().await;
            }
            for (key, value) in self.metadata().list().await? {
                target.metadata().set(&key, &value).await?;
            }
            target.flush().await?;
            told.finish()
        };
        let copied = copied.await;
        let closed = target.close().await;
        copied.and(closed).map(|()| id)
    }

    async fn state(&self, snapshot: Option<SnapInfo>, options: &OpenOptions) -> Result<State> {
        let image = match &snapshot {
            None => self.clone(),
            Some(SnapInfo { id, .. }) => {
                let options = OpenOptions { read_only: true, snapshot: Some(SnapRef::Id(*id)), ..options.clone() };
                Image::open(&self.session.objects.meta, &ImageRef::Id(self.info().id), &options).await?
            }
        };
        Ok(State { image, snapshot })
    }

    async fn open_parent(&self, parent: &Parent, options: &OpenOptions) -> Result<State> {
        let Parent { pool, namespace, id, snapshot, .. } = parent;
        let store = open_place(&self.session.objects.meta, pool.0, namespace).await?;
        let options = kin::open_options(&store, options).await?;
        let options = OpenOptions { read_only: true, snapshot: Some(SnapRef::Id(snapshot.id)), ..options };
        let image = Image::open(&store, &ImageRef::Id(id.clone()), &options).await?;
        Ok(State { image, snapshot: Some(snapshot.clone()) })
    }
}

async fn parent_of(image: &Image) -> Result<Option<Parent>> {
    match image.parent().await {
        Ok(parent) => Ok(Some(parent)),
        Err(error) if error.kind == ErrorKind::NotFound && kin::overlap(&image.session).await?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The new image, as empty as its parent is.
async fn make(image: &Image, copy: &DeepCopy, parent: Option<&Parent>, size: u64) -> Result<ImageId> {
    let layout = CreateOptions { size, ..copy.layout.clone() };
    let Some(parent) = parent else { return Image::create(&copy.store, &copy.name, &layout).await };
    let store = open_place(&image.session.objects.meta, parent.pool.0, &parent.namespace).await?;
    let stripe = (layout.stripe_unit != 0).then_some((layout.stripe_unit, layout.stripe_count));
    let options = CloneOptions {
        format: copy.format,
        order: Some(layout.order),
        features: Some(layout.features),
        stripe,
        data_pool: layout.data_pool,
        id: layout.id,
    };
    let (id, snapshot) = (ImageRef::Id(parent.id.clone()), SnapRef::Id(parent.snapshot.id));
    Image::clone_from((&store, &id, &snapshot), (&copy.store, &copy.name), &options).await
}

/// Makes the target what the state is. `overlap`: the target's, if it is a clone.
async fn copy_state(
    state: &State,
    before: Option<&State>,
    target: &Image,
    overlap: &mut Option<u64>,
    told: &mut Told<'_>,
) -> Result<()> {
    let image = &state.image;
    let size = image.size();
    let silent = |_, _| Ok(());
    let its = kin::overlap(&image.session).await?;
    if let Some((_, its)) = overlap.zip(its).filter(|(targets, its)| its < targets) {
        // What the image had of its parent ended here.
        target.resize(its, true, &silent).await?;
        *overlap = Some(its);
    }
    if target.size() != size {
        target.resize(size, true, &silent).await?;
    }
    let mut start = 0;
    while start < size {
        let len = (size - start).min(DEEP_COPY_WINDOW);
        copy_window(image, before.map(|before| &before.image), target, start..start + len, told).await?;
        start += len;
    }
    told.done += size.div_ceil(1 << told.order);
    if overlap.is_some() && its.is_none() {
        target.flatten(&silent).await?;
        *overlap = None;
    }
    if let Some(SnapInfo { name, is_protected, .. }) = &state.snapshot {
        target.snapshots().create_with(name, Quiesce::Skip, &|_, _| Ok(())).await?;
        if *is_protected {
            target.snapshots().protect(name).await?;
        }
    }
    Ok(())
}

async fn copy_window(
    image: &Image,
    from: Option<&Image>,
    target: &Image,
    range: std::ops::Range<u64>,
    told: &Told<'_>,
) -> Result<()> {
    let mut found: Vec<Vec<Extent>> = Vec::new();
    let mut collect = |change: Extent| {
        let chunk = |extent: &Extent| extent.offset / DEEP_COPY_CHUNK;
        let (mut at, end) = (change.offset, change.offset + change.len);
        while at < end {
            let stop = end.min((at / DEEP_COPY_CHUNK + 1) * DEEP_COPY_CHUNK);
            let part = Extent { offset: at, len: stop - at, data: change.data };
            match found.last_mut() {
                Some(last) if last.last().is_some_and(|last| chunk(last) == chunk(&part)) => last.push(part),
                _ => found.push(vec![part]),
            }
            at = stop;
        }
        Ok(())
    };
    image.changes(from, range.start, range.end - range.start, &mut collect).await?;
    let copies = found.into_iter().map(|parts| copy_chunk(image, target, parts));
    let mut copies = stream::iter(copies).buffered(DEEP_COPY_IN_FLIGHT);
    while let Some(end) = copies.try_next().await? {
        told.report(end)?;
    }
    Ok(())
}

/// Copies parts of one chunk; gives where they end.
async fn copy_chunk(image: &Image, target: &Image, parts: Vec<Extent>) -> Result<u64> {
    let with_data = || parts.iter().filter(|part| part.data);
    let first = with_data().next().map_or(0, |part| part.offset);
    let last = with_data().next_back().map_or(0, |part| part.offset + part.len);
    let data = if first < last { Some(image.read(first, last - first).await?.to_bytes()) } else { None };
    for part in &parts {
        match &data {
            Some(data) if part.data => {
                let start = (part.offset - first) as usize;
                target.write(part.offset, data.slice(start..start + part.len as usize), false).await?;
            }
            _ => target.discard(part.offset, part.len, false).await?,
        }
    }
    Ok(parts.last().map_or(0, |part| part.offset + part.len))
}
