//! Why the state refuses an event. Nothing of what was asked for has happened then.
use lsd_core::map::NotLoaded;
use lsd_core::units::SegmentNo;

pub type Result<T> = std::result::Result<T, Fault>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The image failed before; who failed it knows why.
    #[error("the image has failed")]
    Failed,
    #[error("range {offset}~{len} is outside the image of {size} bytes")]
    Outside { offset: u64, len: u64, size: u64 },
    #[error("this handle does not own the image")]
    NotOwner,
    /// The last checkpoint of this writer was captured.
    #[error("the image is being closed")]
    Closing,
    /// The format has no room for so long a record; what was accepted all the same would be lost with the next opening.
    #[error("segment {segment} has no room for {len} bytes, which no record should need")]
    NoRoom { segment: SegmentNo, len: u32 },
    /// A leaf of the map that should have been loaded is not: a bug of the caller's, and an error is better than a wrong map.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
}
