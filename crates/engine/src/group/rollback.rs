//! All images of a group become what they were in one of its snapshots.
//!
//! Owns: what must hold before the first image changes. Does not own: the rollback of one image (`session/snapshots/`).
use super::held::{self, Held, Opened};
use super::object::GroupObject;
use super::snapshots::tell_and_close;
use crate::api::clock::Clock;
use crate::api::error::invalid;
use crate::recovery::snapshot;
use crate::{Error, ErrorKind, OpenOptions, Result};
use lsd_core::format::header::{GroupSnapRecord, GroupSnapState, MemberId, SnapNamespace, SnapRecord};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

impl GroupObject {
    /// `Invalid`: the snapshot is incomplete, or is not of exactly the images that are in the group. An image that lacks its part, and one
    /// whose part cannot be read, is found before any image changes; what fails later leaves some of them as they were, and the same
    /// call brings all to the snapshot. `done`: gets the number of images after each.
    pub(super) async fn roll_back(
        &self,
        name: &str,
        options: &OpenOptions,
        clock: &Arc<dyn Clock>,
        done: UnboundedSender<u64>,
    ) -> Result<()> {
        let contents = self.read().await?;
        let record = contents.snapshot(name)?;
        let members: Vec<MemberId> = contents.members.iter().map(|member| member.id.clone()).collect();
        check_same_images(record, &members)?;
        let images = held::open_all(&self.store, &members, options, clock).await?;
        let rolled_back = roll_back_all(&images, &self.namespace(&record.id), &done).await;
        tell_and_close(&images).await;
        rolled_back
    }
}

fn check_same_images(record: &GroupSnapRecord, members: &[MemberId]) -> Result<()> {
    if record.state != GroupSnapState::Complete {
        return Err(invalid(format!("the snapshot {:?} is incomplete", record.name)));
    }
    if !record.parts.iter().map(|(member, _)| member).eq(members) {
        return Err(invalid(format!("the snapshot {:?} has other images than the group", record.name)));
    }
    Ok(())
}

async fn roll_back_all(images: &[Opened], namespace: &SnapNamespace, done: &UnboundedSender<u64>) -> Result<()> {
    let held = held::hold(images).await?;
    let mut parts: Vec<(&Held<'_>, SnapRecord)> = Vec::new();
    for held in &held {
        let missing = || {
            let reason = format!("{}: the image has no part of the group's snapshot", held.image.id.image);
            Error::new(ErrorKind::NotFound, reason)
        };
        parts.push((held, held.image.part(namespace).ok_or_else(missing)?));
    }
    for (held, part) in &parts {
        snapshot::map(&held.image.session.objects, part).await?;
    }
    for (count, (held, part)) in (1..).zip(&parts) {
        held.image.session.roll_back_owned(&held.checkpointer, part.id).await?;
        // Who does not listen any more does not want to know.
        let _ = done.send(count);
    }
    Ok(())
}
