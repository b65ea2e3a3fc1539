//! The ties between clones and snapshots, from both sides, and an image's base.
//!
//! Owns: what is found of them, and putting it right. Does not own: the ties (`ties/`), what an ancestor's segments hold, which
//! the check of a clone looks at as at its own (`check/segments.rs`).
use super::finding::{CheckReport, Fault};
use crate::objects::Objects;
use crate::objects::base;
use crate::objects::header::Header;
use crate::ties::stale::{self, Fate, fate};
use crate::ties::tie::{ParentHeader, child_of};
use crate::{Bases, ErrorKind, Result};
use lsd_core::format::header::{Ancestor, ChildRecord, SnapRecord, key};
use lsd_store::{KvPresence, KvUpdate};

/// Clones of this image's snapshots, and the snapshot that it is a clone of.
pub(super) async fn verify(objects: &Objects, header: &Header, bases: &Bases, report: &mut CheckReport) -> Result<()> {
    let place = objects.place();
    for child in &header.children {
        if fate(&objects.meta, &place, child).await?.0 != Fate::Lives {
            let (snapshot, child) = (child.snapshot.0, child.place.id.clone());
            report.add(objects.header(), Fault::LostClone { snapshot, child });
        }
    }
    for record in header.snapshots.all.values() {
        let found = counted(header, record);
        if (record.children, record.strict_children) != found {
            let name = record.name.clone();
            report.add(objects.header(), Fault::Clones { name, recorded: record.children, found: found.0 });
        }
    }
    verify_base(objects, header, bases, report).await?;
    verify_parent(objects, header, report).await
}

/// Of a base that can be opened here: of others nothing is known.
async fn verify_base(objects: &Objects, header: &Header, bases: &Bases, report: &mut CheckReport) -> Result<()> {
    let Some(record) = &header.base else { return Ok(()) };
    let looked = async {
        base::open(Some(record), bases).await?;
        base::is_kept(record, bases, &objects.id).await
    };
    match looked.await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let base = format!("{}:{}", record.kind, record.spec);
            report.add(objects.header(), Fault::BaseUnkept { base });
            Ok(())
        }
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(()),
        Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Io { .. }) => {
            report.add(objects.header(), Fault::BaseLost { why: error.to_string() });
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Clones of a snapshot by their entries: all, and the strict ones.
fn counted(header: &Header, record: &SnapRecord) -> (u32, u32) {
    let of_it = || header.children.iter().filter(|child| child.snapshot == record.id);
    (of_it().count() as u32, of_it().filter(|child| child.is_strict).count() as u32)
}

async fn verify_parent(objects: &Objects, header: &Header, report: &mut CheckReport) -> Result<()> {
    let Some(ancestry) = &header.ancestry else { return Ok(()) };
    // What only has to be forgotten is not missed.
    if !header.snapshots.need_parent(ancestry) {
        return Ok(());
    }
    let Some(Ancestor { place, .. }) = ancestry.ancestors.last() else { return Ok(()) };
    let read = async { ParentHeader::at(&objects.meta, place).await?.read().await };
    let parent = match read.await {
        Ok(parent) => parent,
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Corrupt) => {
            report.add(objects.header(), Fault::ParentLost { why: error.to_string() });
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if parent.snapshots.all.get(&ancestry.snapshot).is_none_or(|record| record.is_removing) {
        let why = format!("{} has no snapshot with id {} any more", parent.name, ancestry.snapshot.0);
        report.add(objects.header(), Fault::ParentLost { why });
    } else if child_of(&parent, ancestry.snapshot, &objects.place()).is_none() {
        report.add(objects.header(), Fault::Untied { parent: parent.name });
    }
    Ok(())
}

/// What was found of ties, with the lock of the image held.
pub(super) async fn mend(objects: &Objects, header: &Header, bases: &Bases, found: &CheckReport) -> Result<()> {
    let store = &objects.meta;
    let parent = ParentHeader::new(store.clone(), &objects.id.0);
    for finding in &found.findings {
        match &finding.fault {
            Fault::LostClone { snapshot, child } => {
                let is_it = |it: &&ChildRecord| it.snapshot.0 == *snapshot && it.place.id == *child;
                if let Some(child) = header.children.iter().find(is_it) {
                    stale::forget_one(&parent, &objects.place(), child).await?;
                }
            }
            Fault::Untied { .. } => tie_again(objects, header).await?,
            Fault::BaseUnkept { .. } => keep_again(objects, header, bases).await,
            _ => {}
        }
    }
    if found.findings.iter().any(|finding| matches!(finding.fault, Fault::Clones { .. })) {
        recount(objects, &parent).await?;
    }
    Ok(())
}

async fn recount(objects: &Objects, parent: &ParentHeader) -> Result<()> {
    let header = parent.read().await?;
    for before in header.snapshots.all.values() {
        let (children, strict_children) = counted(&header, before);
        if (before.children, before.strict_children) == (children, strict_children) {
            continue;
        }
        let after = SnapRecord { children, strict_children, ..before.clone() };
        let update = KvUpdate::default().presence(KvPresence::MustExist).expect(key::snap(before.id), before.encode());
        objects.meta.kv_update(&objects.header(), update.set(key::snap(before.id), after.encode())).await?;
    }
    Ok(())
}

async fn keep_again(objects: &Objects, header: &Header, bases: &Bases) {
    let Some(record) = &header.base else { return };
    // It takes a person, or one with other rights: the check says so again, and the rest of the repair goes on.
    if let Err(error) = base::keep(record, bases, &objects.id).await {
        tracing::warn!(target: "lsd::image", image = %objects.id, %error, "the image's base is not kept for it");
    }
}

/// The snapshot is kept for the clone from here on.
async fn tie_again(objects: &Objects, header: &Header) -> Result<()> {
    let Some(ancestry) = &header.ancestry else { return Ok(()) };
    let Some(Ancestor { place, last_segment, last_checkpoint, .. }) = ancestry.ancestors.last() else { return Ok(()) };
    let child = ChildRecord {
        snapshot: ancestry.snapshot,
        place: objects.place(),
        is_strict: false,
        time_ns: header.image.create_ns,
    };
    match ParentHeader::at(&objects.meta, place).await?.tie(&child, *last_checkpoint, *last_segment).await {
        // It takes a person: the check says so again.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Outdated) => Ok(()),
        tied => tied,
    }
}
