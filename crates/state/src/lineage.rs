//! Whose a segment number is, and whose a map page.
//!
//! Owns: the one answer to that, for every reader: of the head, of a snapshot, of a clone, of a moment of the past. Does not own: the
//! names that follow from it (`lsd_core::format::names`), where the ancestors' objects are (the engine's), which are there.
//!
//! A clone goes on with its parent's numbers, so each number, of segments as of checkpoints, belongs to one image of the line, and a
//! clone's map is a map like any other: a read costs the same at any depth.
use lsd_core::format::header::{Ancestor, EpochStart, LogRecord};
use lsd_core::units::{CheckpointId, Epoch, SegmentNo};
use std::sync::Arc;

/// Which image of the line something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    Own,
    /// Its place among the ancestors, of which the oldest is the first.
    Ancestor(u16),
}

/// Where a segment is at home: what its name and its checksums have beside its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    pub whose: Whose,
    /// Of the owner that wrote it.
    pub epoch: Epoch,
}

/// The images above one, the oldest first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ancestors {
    all: Arc<[Ancestor]>,
    /// The last one is the source of the migration that the image is the destination of: what lies there counts as the image's own to
    /// its users, and is as young as that.
    has_source: bool,
}

impl Ancestors {
    pub fn new(ancestors: Vec<Ancestor>) -> Self {
        Self { all: ancestors.into(), has_source: false }
    }

    /// The same with the source of a migration, which is the youngest of them.
    pub fn with_source(mut ancestors: Vec<Ancestor>, source: Ancestor) -> Self {
        ancestors.push(source);
        Self { all: ancestors.into(), has_source: true }
    }

    pub fn all(&self) -> &[Ancestor] {
        &self.all
    }

    /// The source of a migration.
    pub fn is_source(&self, whose: Whose) -> bool {
        matches!(whose, Whose::Ancestor(index) if self.has_source && usize::from(index) + 1 == self.all.len())
    }

    /// To its users it is the image's own: not what a clone shows of its parent.
    pub fn is_users_own(&self, segment: SegmentNo) -> bool {
        let whose = self.of_segment(segment);
        whose == Whose::Own || self.is_source(whose)
    }

    pub fn of_segment(&self, segment: SegmentNo) -> Whose {
        let index = self.all.partition_point(|ancestor| ancestor.last_segment < segment);
        self.whose(index)
    }

    pub fn of_checkpoint(&self, checkpoint: CheckpointId) -> Whose {
        let index = self.all.partition_point(|ancestor| ancestor.last_checkpoint < checkpoint);
        self.whose(index)
    }

    fn whose(&self, index: usize) -> Whose {
        if index < self.all.len() { Whose::Ancestor(index as u16) } else { Whose::Own }
    }
}

/// Who wrote which segment numbers.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    ancestors: Ancestors,
    epochs: Vec<EpochStart>,
}

impl Lineage {
    pub fn new(ancestors: Ancestors, log: &LogRecord) -> Self {
        Self { ancestors, epochs: log.epochs.clone() }
    }

    /// Of the same ancestors, with the log as it is now.
    pub fn set_log(&mut self, log: &LogRecord) {
        self.epochs.clone_from(&log.epochs);
    }

    /// The image's own numbers are higher than this one.
    pub fn last_of_ancestors(&self) -> SegmentNo {
        self.ancestors.all().last().map_or(SegmentNo(0), |parent| parent.last_segment)
    }

    pub fn ancestors(&self) -> &Ancestors {
        &self.ancestors
    }

    /// It lies in the source of a migration.
    pub fn is_sources(&self, segment: SegmentNo) -> bool {
        self.ancestors.is_source(self.ancestors.of_segment(segment))
    }

    pub fn is_own(&self, segment: SegmentNo) -> bool {
        self.ancestors.of_segment(segment) == Whose::Own
    }

    /// `None`: nobody who is known wrote such a segment.
    pub fn home(&self, segment: SegmentNo) -> Option<Home> {
        let whose = self.ancestors.of_segment(segment);
        let epochs = match whose {
            Whose::Own => &self.epochs,
            Whose::Ancestor(index) => &self.ancestors.all()[usize::from(index)].epochs,
        };
        LogRecord::epoch_in(epochs, segment).map(|epoch| Home { whose, epoch })
    }
}

#[cfg(test)]
mod tests;
