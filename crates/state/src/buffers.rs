//! Data in memory by where it lives in the log: what is not durable yet, and a cache of what is.
//!
//! Owns: both kinds of buffers and which clean ones go. Does not own: the map (a location never changes its content, so nothing here
//! is ever out of date).
use crate::places::place;
use bytes::Bytes;
use lsd_core::units::Loc;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
struct Buffer {
    bytes: Bytes,
    dirty: bool,
    /// Read since it was last looked at for eviction (CLOCK).
    referenced: bool,
}

/// What becomes of data that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It was read ahead: somebody will ask for it.
    Always,
    /// It stays if it is read a second time.
    IfUsedAgain,
}

/// Places (a power of two, as bits) in the memory of what was read lately.
const SEEN_BITS: u32 = 13;

/// One part of a looked-up range.
#[derive(Debug, PartialEq, Eq)]
pub enum Cached {
    Hit(Bytes),
    /// This many bytes are not in memory.
    Miss(u32),
}

#[derive(Debug)]
pub struct Buffers {
    map: BTreeMap<Loc, Buffer>,
    /// Clean buffers in the order in which they are looked at for eviction.
    clock: VecDeque<Loc>,
    clean_bytes: u64,
    capacity: u64,
    /// Where reads began lately; a newer one takes the place of an older one.
    seen: Box<[u64]>,
}

impl Buffers {
    /// `capacity`: bytes of clean data to keep.
    pub fn new(capacity: u64) -> Self {
        Self {
            map: BTreeMap::new(),
            clock: VecDeque::new(),
            clean_bytes: 0,
            capacity,
            seen: vec![0; 1 << SEEN_BITS].into(),
        }
    }

    /// Data that was accepted and is not durable: stays until [`Self::written`].
    pub fn insert_dirty(&mut self, loc: Loc, bytes: Bytes) {
        self.map.insert(loc, Buffer { bytes, dirty: true, referenced: false });
    }

    /// The buffer at `loc` can be read from the store now. It stays if it was read, like anything that was read from there.
    pub fn written(&mut self, loc: Loc) {
        let Entry::Occupied(mut place) = self.map.entry(loc) else { return };
        let buffer = place.get_mut();
        if !buffer.referenced {
            place.remove();
            return;
        }
        // What was written may be a piece of something much larger (a message of an NBD client, a read of a whole segment), all of
        // which it would keep in memory while it counts for itself alone.
        buffer.bytes = Bytes::copy_from_slice(&buffer.bytes);
        buffer.dirty = false;
        self.clean_bytes += buffer.bytes.len() as u64;
        self.clock.push_back(loc);
    }

    /// Data read from the store. Nothing happens where the start is in memory already.
    pub fn offer(&mut self, loc: Loc, bytes: Bytes, keep: Keep) {
        if self.capacity == 0 || bytes.is_empty() || (keep == Keep::IfUsedAgain && !self.seen_before(loc)) {
            return;
        }
        if let Entry::Vacant(place) = self.map.entry(loc) {
            self.clean_bytes += bytes.len() as u64;
            place.insert(Buffer { bytes, dirty: false, referenced: false });
            self.clock.push_back(loc);
            self.trim();
        }
    }

    /// Whether this data was read not long ago: what is read only once would push out what is used.
    fn seen_before(&mut self, loc: Loc) -> bool {
        std::mem::replace(&mut self.seen[place(loc.0, SEEN_BITS)], loc.0) == loc.0
    }

    /// Bytes of clean data to keep from now on.
    pub fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.trim();
    }

    /// Drops clean buffers until they fit the capacity.
    pub fn trim(&mut self) {
        while self.clean_bytes > self.capacity {
            let Some(loc) = self.clock.pop_front() else { return };
            let Some(buffer) = self.map.get_mut(&loc) else { continue };
            if buffer.referenced {
                buffer.referenced = false;
                self.clock.push_back(loc);
                continue;
            }
            self.clean_bytes -= buffer.bytes.len() as u64;
            self.map.remove(&loc);
        }
    }

    /// Drops every clean buffer.
    pub fn clear_clean(&mut self) {
        for loc in self.clock.drain(..) {
            self.map.remove(&loc);
        }
        self.clean_bytes = 0;
    }

    /// What of `len` bytes at `loc` is in memory, in order.
    pub fn lookup(&mut self, loc: Loc, len: u32, out: &mut Vec<Cached>) {
        let (mut at, end) = (loc.0, loc.0 + u64::from(len));
        while at < end {
            let next_start = match self.map.range_mut(..=Loc(at)).next_back() {
                Some((start, buffer)) if start.0 + buffer.bytes.len() as u64 > at => {
                    let from = (at - start.0) as usize;
                    let to = ((end - start.0) as usize).min(buffer.bytes.len());
                    buffer.referenced = true;
                    out.push(Cached::Hit(buffer.bytes.slice(from..to)));
                    at = start.0 + to as u64;
                    continue;
                }
                _ => self.map.range(Loc(at + 1)..Loc(end)).next().map_or(end, |(start, _)| start.0),
            };
            out.push(Cached::Miss((next_start - at) as u32));
            at = next_start;
        }
    }
}

#[cfg(test)]
mod tests;
