//! Who opens the bases of images.
use lsd_core::format::header::BaseRecord;
use lsd_store::{FileBases, OpenBases};
use std::sync::Arc;

/// Opens the base of an image that has one. By default: files, and nothing else.
#[derive(Clone, Debug)]
pub struct Bases(pub(crate) Arc<dyn OpenBases>);

impl Bases {
    pub fn new(bases: Arc<dyn OpenBases>) -> Self {
        Self(bases)
    }
}

impl Default for Bases {
    fn default() -> Self {
        Self(Arc::new(FileBases))
    }
}

/// What an image shows where it was never written, as its users see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseInfo {
    pub kind: String,
    pub spec: String,
    /// Up to this byte.
    pub overlap: u64,
}

impl From<BaseRecord> for BaseInfo {
    fn from(record: BaseRecord) -> Self {
        Self { kind: record.kind, spec: record.spec, overlap: record.overlap }
    }
}
