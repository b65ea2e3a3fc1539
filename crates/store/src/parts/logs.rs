//! Appending to log objects exactly once, guarded by the writer's epoch.
use bytes::Bytes;

/// The store's own record of a log object, changed atomically with each append (RADOS: the xattrs `lsd.epoch` and `lsd.tail`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTail {
    /// Only appends of this epoch are accepted.
    pub epoch: u64,
    /// Bytes appended so far.
    pub len: u64,
    /// Bytes of the summary that ends a sealed object; 0 while it is open.
    pub summary_len: u32,
}

/// One guarded append. It takes effect only if the object's tail is exactly `{epoch, at, summary_len: 0}`
/// (for `at == 0`: the object does not exist and is created), else it fails `Stale` (or `Exists`) and
/// changes nothing. Appends of one client to one object take effect in the order they were submitted, even when several
/// are in flight, so after one failure all later ones fail as well.
#[derive(Clone, Debug)]
pub struct Append {
    pub epoch: u64,
    /// Offset where the data must land, bytes.
    pub at: u64,
    /// Pieces written one after another; their sum is a multiple of [`crate::StoreLimits::append_alignment`].
    pub data: Vec<Bytes>,
    /// Seals the object: its last `summary_len` bytes are its summary. 0: stays open.
    pub summary_len: u32,
    /// It passes in a full pool: what frees space later. So does an append without data.
    pub urgent: bool,
}

impl Append {
    /// Bytes of all pieces.
    pub fn len(&self) -> u64 {
        self.data.iter().map(|piece| piece.len() as u64).sum()
    }

    /// True if there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
