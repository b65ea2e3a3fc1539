//! Checking an image: header, checkpoint, every leaf, every segment, and all of them against each other.
//!
//! Owns: what is looked at, and that it is looked at again when the image moved meanwhile. Does not own: words for what was
//! found, changing anything (`check/repair.rs`). It only reads, so it is safe on an image that others use; what it reads is
//! then a durable state of that image, as any other reader would load it.
mod examine;
mod family;
mod finding;
mod header;
mod map;
mod orphans;
mod pages;
mod repair;
mod segment;
mod segments;
mod snapshots;

pub use finding::{CheckReport, Checked, Fault, Finding, Severity};
pub use repair::{RepairOptions, RepairReport};

pub(crate) use repair::repair;

use crate::objects::header::values_of;
use crate::recovery::open;
use crate::{Bases, ErrorKind, ImageRef, Progress, Result};
use examine::{Examined, examine};
use lsd_core::format::names;
use lsd_store::{ObjectStore, StoreError, StoreErrorKind};
use std::sync::Arc;

/// How often an image that moved under the check is looked at again.
const CHECK_TRIES: u32 = 3;
/// The same where what was to be looked at was deleted meanwhile, which a busy owner does with every checkpoint; then `Busy`.
const CHECK_GONE_TRIES: u32 = 40;

/// `NotFound`: no such image; `Busy`: its owner was faster than the check, each time. Damage is not an error, but what the report is about.
pub(crate) async fn check(
    store: &Arc<dyn ObjectStore>,
    image: &ImageRef,
    bases: &Bases,
    progress: Progress<'_>,
) -> Result<CheckReport> {
    let id = open::resolve(store, image).await?;
    let by_name = matches!(image, ImageRef::Name(_));
    let (mut tries, mut gone) = (0, 0);
    let mut seen = Vec::new();
    loop {
        let before = values_of(store, &names::header(&id.0).into()).await?;
        if before.is_none() && !by_name {
            return Err(crate::Error::new(ErrorKind::NotFound, format!("no image {:?}", id.0)));
        }
        let examined = examine(store, &id, before.as_ref(), bases, progress).await;
        let after = values_of(store, &names::header(&id.0).into()).await?;
        let moving = before != after;
        let Examined { mut report, .. } = match examined {
            Err(error) if moving && error.kind == ErrorKind::NotFound => {
                gone += 1;
                if gone == CHECK_GONE_TRIES {
                    let reason = "the image is written faster than it can be looked at: look while it is not in use";
                    return Err(crate::Error::new(ErrorKind::Busy, reason));
                }
                continue;
            }
            examined => examined?,
        };
        tries += 1;
        report.moving = moving;
        if !report.moving || report.findings.is_empty() {
            return Ok(report);
        }
        if tries == CHECK_TRIES {
            keep_what_stays(&mut report.findings, &seen);
            return Ok(report);
        }
        seen = report.findings;
    }
}

/// Of an image that moved each time: what is damaged was so the time before, too. What only the last look met belongs to a state that was
/// gone by then, such as a segment that was collected under it.
fn keep_what_stays(findings: &mut Vec<Finding>, before: &[Finding]) {
    let was_there = |it: &Finding| before.iter().any(|seen| (&seen.object, &seen.fault) == (&it.object, &it.fault));
    findings.retain(|finding| finding.fault.severity() < Severity::Corruption || was_there(finding));
}

/// What a look at one object gave.
#[derive(Debug)]
enum Look<T> {
    Found(T),
    Gone,
    /// The store cannot give the object's bytes, or not as what it should be.
    Damaged(String),
}

/// Damage is a fact to report; a store that does not answer, or forbids to look, ends the check.
fn look<T>(result: std::result::Result<T, StoreError>) -> Result<Look<T>> {
    match result {
        Ok(value) => Ok(Look::Found(value)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(Look::Gone),
        Err(error) if matches!(error.kind, StoreErrorKind::Io | StoreErrorKind::Invalid) => {
            Ok(Look::Damaged(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_image_that_moves_only_damage_that_stays_is_told() {
        let finding = |object: &str, fault| Finding { fault, object: object.to_owned(), ranges: Vec::new() };
        let tail = |why: &str| Fault::Tail { why: why.to_owned() };
        let mut findings = vec![
            finding("1", tail("damaged")),
            finding("2", tail("it went away")),
            finding("3", Fault::OrphanPage),
            finding("4", Fault::SegmentGone),
        ];
        let before = [finding("1", tail("damaged")), finding("2", tail("damaged")), finding("5", Fault::SegmentGone)];
        keep_what_stays(&mut findings, &before);
        let left: Vec<&str> = findings.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(left, ["1", "3"]);
    }
}
