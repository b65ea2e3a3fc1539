//! What a reader needs of one moment of an image.
//!
//! Owns: nothing but that these belong together. Head, snapshot and a moment of the past are the same thing to who reads them;
//! what only an owner has (the log that goes on, the books on space) is around it (`state/`).
use crate::lineage::Lineage;
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::map::ExtentMap;
use lsd_core::units::{Seq, SnapId};

#[derive(Debug)]
pub struct View {
    pub map: ExtentMap<LeafPlace>,
    /// Bytes.
    pub size: u64,
    /// Feature bits.
    pub features: u64,
    /// The last sequence that the map holds.
    pub end: Seq,
    pub lineage: Lineage,
    /// The last snapshot's id when the image was last rolled back before this moment; 0: never.
    pub rolled_back: SnapId,
}
