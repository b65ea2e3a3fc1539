//! What a check can find, as facts. The words for them are the caller's.
use std::fmt;
use std::ops::Range;

/// What a finding means for the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing and no damage: a crash leaves such things.
    Note,
    /// Space that nothing needs and nothing will give back.
    Leak,
    /// Something that the image needs is missing or does not verify.
    Corruption,
}

/// One kind of trouble; what it is about is in its [`Finding`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The directory has the image, and there is no header.
    HeaderGone,
    /// The image is being removed, or its removal was broken off: nothing opens it, and removing it again completes that.
    BeingRemoved,
    /// A value of the header is missing or does not verify.
    HeaderValue { key: String, why: String },
    /// Values of the header contradict each other.
    HeaderContradicts { why: &'static str },
    /// The directory does not lead from the image's name to its id and back.
    Unlisted { name: String },
    /// A page of the checkpoint's root, or the root that the pages make up, does not verify.
    Root { why: String },
    /// A page of leaves does not verify as a whole.
    Page { why: String },
    /// A leaf of the map does not verify: its range cannot be read.
    Leaf { leaf: u32, why: String },
    /// The map or the log needs a segment that is not there.
    SegmentGone,
    /// The segment's tail attributes do not verify, or the segment has fewer bytes than they say.
    Tail { why: String },
    /// What seals a segment, its summary or its block checksums, does not verify.
    Summary { why: String },
    /// A batch, or its header, does not verify; bytes of the segment.
    Batch { at: Range<u32>, why: String },
    /// The summary says something else about the batch at this offset than the batch itself.
    SummaryDiffers { offset: u32 },
    /// The data of one record does not match its checksum, or this part of it that of its block; bytes of the segment.
    Data { at: Range<u32> },
    /// A block does not match the segment's table of checksums, and what is in it matches its own: readers refuse it.
    Block { at: Range<u32> },
    /// The map points at bytes that no record brought.
    NotData,
    /// The checkpoint's table says that this many bytes of a segment are needed; the map needs another number.
    Live { recorded: u32, needed: u32 },
    /// The map of this snapshot does not verify: it cannot be read as a whole.
    Snapshot { name: String, why: String },
    /// The checkpoint's table says that so many snapshots need a segment or a page; another number does.
    Pins { recorded: u32, needed: u32 },
    /// A clone of this snapshot is counted and is not there.
    LostClone { snapshot: u64, child: String },
    /// The snapshot counts so many clones; another number is entered.
    Clones { name: String, recorded: u32, found: u32 },
    /// The snapshot that the image is a clone of is gone.
    ParentLost { why: String },
    /// The snapshot that the image is a clone of is not kept for it.
    Untied { parent: String },
    /// What the image shows where it was never written is gone, or not what it was.
    BaseLost { why: String },
    /// What the image shows where it was never written is there, and nothing keeps it for the image.
    BaseUnkept { base: String },
    /// Batches of the log claim the same place in the order of writes.
    Order { why: String },
    /// Writes after this one, up to at least that, were durable and are not there; the object is where they may have been.
    LogLost { after: u64, durable: u64 },
    /// Batches beyond a gap in the order of writes, which count for nobody. A crash leaves them, a lost segment as well.
    Gap { after: u64, batches: usize },
    /// An append that a power cut tore; nobody was told that it was durable.
    TornTail { at: Range<u32> },
    /// A page that no checkpoint in force names.
    OrphanPage,
    /// A segment of no epoch of this image, or one that the checkpoint does not know any more.
    OrphanSegment,
}

impl Fault {
    pub fn severity(&self) -> Severity {
        match self {
            Fault::Gap { .. } | Fault::TornTail { .. } => Severity::Note,
            Fault::OrphanPage | Fault::OrphanSegment | Fault::BeingRemoved | Fault::LostClone { .. } => Severity::Leak,
            // Space that is never given back; the other way round data would be given up that is needed.
            Fault::Live { recorded, needed } | Fault::Pins { recorded, needed } if recorded > needed => Severity::Leak,
            Fault::Clones { recorded, found, .. } if recorded > found => Severity::Leak,
            _ => Severity::Corruption,
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub fault: Fault,
    /// The object that it is about.
    pub object: String,
    /// The bytes of the image that it hits, ascending.
    pub ranges: Vec<Range<u64>>,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub segments: u64,
    pub batches: u64,
    pub records: u64,
    /// Bytes of the log that were read.
    pub log_bytes: u64,
    pub pages: u64,
    pub leaves: u64,
    /// Bytes of the image that have content.
    pub mapped_bytes: u64,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub findings: Vec<Finding>,
    pub checked: Checked,
    /// Somebody had the image open.
    pub in_use: bool,
    /// The image changed under the check each time it was tried: findings may be of a state that is gone.
    pub moving: bool,
}

impl CheckReport {
    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.fault.severity() == severity).count()
    }

    /// The worst of the findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.fault.severity()).max()
    }

    pub(super) fn add(&mut self, object: impl fmt::Display, fault: Fault) -> usize {
        self.add_at(object, fault, Vec::new())
    }

    pub(super) fn add_at(&mut self, object: impl fmt::Display, fault: Fault, ranges: Vec<Range<u64>>) -> usize {
        self.findings.push(Finding { fault, object: object.to_string(), ranges });
        self.findings.len() - 1
    }

    /// Bytes of the image that a finding hits; they come in ascending order.
    pub(super) fn hit(&mut self, finding: usize, range: Range<u64>) {
        let ranges = &mut self.findings[finding].ranges;
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
}
