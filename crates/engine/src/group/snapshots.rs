//! Snapshots of a group: one moment of all its images.
//!
//! Owns: the order of the steps of taking and removing one. Does not own: holding the images (`held.rs`), the snapshot of one image
//! (`session/snapshots/`).
use super::held::{self, Held, Opened};
use super::hushed;
use super::object::{Contents, GroupObject, no_snapshot};
use crate::api::clock::Clock;
use crate::objects::parallel;
use crate::{Error, ErrorKind, OpenOptions, Quiesce, Result};
use futures::FutureExt;
use lsd_core::format::header::{GroupSnapRecord, GroupSnapState, MemberId, SnapNamespace};
use lsd_core::units::SnapId;
use std::sync::Arc;

/// A snapshot of a group, as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapshot {
    pub id: String,
    pub name: String,
    /// False: some images may lack their part of it. It can only be removed.
    pub is_complete: bool,
    pub create_ns: u64,
    /// What the parts are called in their images.
    pub part_name: String,
    pub parts: Vec<GroupSnapshotPart>,
}

/// One image's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapshotPart {
    pub pool: i64,
    pub image: crate::ImageId,
    /// Its id in the image; 0: not known.
    pub snapshot: u64,
}

impl GroupObject {
    /// What marks the parts of a snapshot in their images.
    pub(super) fn namespace(&self, snapshot: &str) -> SnapNamespace {
        let pool = self.store.pool_id().0;
        SnapNamespace::Group { pool, group: self.id.clone(), group_snapshot: snapshot.to_owned() }
    }

    /// As in librbd, so that nobody's own name is the same.
    pub(super) fn part_name(&self, snapshot: &str) -> String {
        format!(".group.{:x}_{}_{snapshot}", self.store.pool_id().0, self.id)
    }

    pub(super) fn told(&self, record: GroupSnapRecord) -> GroupSnapshot {
        let part = |(member, snapshot): (MemberId, SnapId)| GroupSnapshotPart {
            pool: member.pool,
            image: crate::ImageId(member.image),
            snapshot: snapshot.0,
        };
        GroupSnapshot {
            part_name: self.part_name(&record.id),
            id: record.id,
            name: record.name,
            is_complete: record.state == GroupSnapState::Complete,
            create_ns: record.time_ns,
            parts: record.parts.into_iter().map(part).collect(),
        }
    }

    /// First the entry, incomplete; then clients that want to be quiet are so; then all images are held and each gets its part; then they are let go, and the entry is complete. What
    /// fails is undone, the entry last. `Exists`; `NotFound`: it was removed meanwhile.
    pub(super) async fn take_snapshot(
        &self,
        name: &str,
        id: String,
        options: &OpenOptions,
        clock: &Arc<dyn Clock>,
        quiesce: Quiesce,
    ) -> Result<()> {
        let Contents { members, .. } = self.read().await?;
        let parts = members.into_iter().map(|member| (member.id, SnapId(0))).collect();
        let record = GroupSnapRecord {
            id,
            name: name.to_owned(),
            state: GroupSnapState::Incomplete,
            time_ns: clock.now_ns(),
            parts,
        };
        self.add_snapshot(&record).await?;
        let ids: Vec<MemberId> = record.parts.iter().map(|(member, _)| member.clone()).collect();
        let images = match held::open_all(&self.store, &ids, options, clock).await {
            Ok(images) => images,
            Err(error) => {
                self.forget_snapshot(&record).await?;
                return Err(error);
            }
        };
        let taken = match hushed::hush_all(&images, quiesce).await {
            Ok(hushes) => {
                let taken = hushed::during(&hushes, self.take_parts(&record, &images)).await;
                // The images are free again: writers go on while the rest is done.
                let stayed = hushed::end_all(hushes).await;
                self.check_stayed(&record, &images, taken, stayed).await
            }
            Err(error) => Err((error, true)),
        };
        let ended = self.end_taking(&record, taken, &images).await;
        tell_and_close(&images).await;
        ended
    }

    /// `Err`: what failed, and whether it is certain that no image has its part.
    async fn take_parts(
        &self,
        record: &GroupSnapRecord,
        images: &[Opened],
    ) -> std::result::Result<Vec<SnapId>, (Error, bool)> {
        let held = held::hold(images).await.map_err(|error| (error, true))?;
        // Whoever removes it from here on finds the parts, or waits for the images until they are there.
        self.check_begun(record).await.map_err(|error| (error, true))?;
        let namespace = self.namespace(&record.id);
        let part_name = self.part_name(&record.id);
        let take = |held: &Held<'_>| {
            let (session, checkpointer) = (held.image.session.clone(), held.checkpointer.clone());
            let (name, namespace) = (part_name.clone(), namespace.clone());
            async move { session.create_snapshot_owned(&checkpointer, &name, namespace, 0).await }.boxed()
        };
        let results = parallel::all(held.iter().map(take).collect()).await;
        let Some(error) = results.into_iter().find_map(Result::err) else {
            let id = |image: &Opened| image.part(&namespace).map(|record| record.id).unwrap_or_default();
            return Ok(images.iter().map(id).collect());
        };
        let mut is_undone = true;
        for held in &held {
            is_undone &= undo(held.image, &namespace).await.is_ok();
        }
        Err((error, is_undone))
    }

    /// What is not the moment that it was to be goes again.
    async fn check_stayed(
        &self,
        record: &GroupSnapRecord,
        images: &[Opened],
        taken: std::result::Result<Vec<SnapId>, (Error, bool)>,
        stayed: Result<()>,
    ) -> std::result::Result<Vec<SnapId>, (Error, bool)> {
        let (Ok(_), Err(error)) = (&taken, stayed) else { return taken };
        let namespace = self.namespace(&record.id);
        let mut is_undone = true;
        for image in images {
            is_undone &= remove_part(image, &namespace).await.is_ok();
        }
        Err((error, is_undone))
    }

    async fn end_taking(
        &self,
        record: &GroupSnapRecord,
        taken: std::result::Result<Vec<SnapId>, (Error, bool)>,
        images: &[Opened],
    ) -> Result<()> {
        match taken {
            Ok(ids) => {
                let members = record.parts.iter().map(|(member, _)| member.clone());
                let parts = members.zip(ids).collect();
                let complete = GroupSnapRecord { state: GroupSnapState::Complete, parts, ..record.clone() };
                let changed = self.change_snapshot(record, &complete).await;
                if changed.as_ref().is_err_and(|error| error.kind == ErrorKind::NotFound) {
                    // Somebody removed it meanwhile, and may have looked for the parts before they were there.
                    let namespace = self.namespace(&record.id);
                    for image in images {
                        remove_part(image, &namespace).await?;
                    }
                }
                changed
            }
            Err((error, true)) => {
                self.forget_snapshot(record).await?;
                Err(error)
            }
            // It stays as incomplete, and can be removed.
            Err((error, false)) => Err(error),
        }
    }

    /// `NotFound`: the entry is not any more as whoever takes the snapshot made it.
    async fn check_begun(&self, record: &GroupSnapRecord) -> Result<()> {
        match self.read().await?.snapshots.contains(record) {
            true => Ok(()),
            false => Err(no_snapshot(&record.name)),
        }
    }

    /// First the entry says that it is being removed, so that whoever is taking it gives up; then the parts go, the entry last. Images that
    /// are gone have none.
    pub(super) async fn remove_snapshot(
        &self,
        record: &GroupSnapRecord,
        options: &OpenOptions,
        clock: &Arc<dyn Clock>,
    ) -> Result<()> {
        let begun = GroupSnapRecord { state: GroupSnapState::Removing, ..record.clone() };
        if *record != begun {
            self.change_snapshot(record, &begun).await?;
        }
        let namespace = self.namespace(&record.id);
        // Whoever was taking it may be in the middle of that.
        let may_grow = record.state != GroupSnapState::Complete;
        for (member, _) in &record.parts {
            let image = match held::open(&self.store, member, options, clock).await {
                Err(error) if error.kind == ErrorKind::NotFound => continue,
                image => image?,
            };
            let images = [image];
            let removed = match may_grow {
                true => remove_when_held(&images, &namespace).await,
                false => remove_part(&images[0], &namespace).await,
            };
            held::close_all(&images).await;
            removed?;
        }
        self.forget_snapshot(&begun).await
    }

    /// Where it is not as in `record` any more, somebody else removes it, or did.
    async fn forget_snapshot(&self, record: &GroupSnapRecord) -> Result<()> {
        match self.drop_snapshot(record).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            dropped => dropped,
        }
    }
}

/// Not before the image is given to this client: who takes the snapshot has its part in it by then, or never will.
async fn remove_when_held(images: &[Opened], namespace: &SnapNamespace) -> Result<()> {
    let held = held::hold(images).await?;
    for held in &held {
        undo(held.image, namespace).await?;
    }
    Ok(())
}

/// The image is held: takes its part away if it has it.
async fn undo(image: &Opened, namespace: &SnapNamespace) -> Result<()> {
    image.session.settle().await?;
    match image.part(namespace) {
        Some(part) => image.session.remove_snapshot_owned(part.id).await,
        None => Ok(()),
    }
}

/// The owner, wherever it is, takes its part away.
async fn remove_part(image: &Opened, namespace: &SnapNamespace) -> Result<()> {
    image.session.look_at_snapshots().await?;
    let Some(part) = image.part(namespace) else { return Ok(()) };
    match image.session.snap_remove(part.id).await {
        // Somebody else was faster.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) async fn tell_and_close(images: &[Opened]) {
    let tell = |image: &Opened| {
        let session = image.session.clone();
        async move { session.published().await }.boxed()
    };
    let telling = parallel::all(images.iter().map(tell).collect());
    tokio::join!(telling, held::close_all(images));
}
