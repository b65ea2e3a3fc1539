//! How many lines one place in the source may write.
//!
//! Owns: counting them, and who may write. Does not own: the words for what was left out. Whoever emits events tells a state when it
//! begins and when it ends; this is for what repeats all the same, so that a failing image does not fill a disk.
//!
//! Nothing here waits. Two threads that meet at the end of a window may let a line more pass, or count one less.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tracing::Metadata;

/// A place writes at most this many lines in a window; what is beyond is counted.
pub(crate) const LINES_IN_WINDOW: u32 = 100;
pub(crate) const WINDOW_SECONDS: u32 = 10;
/// Places that are counted one by one; all beyond share the last count. The engine and the libraries have some sixty.
const PLACES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Pass,
    /// The first that is left out.
    First,
    LeftOut,
}

#[derive(Default)]
struct Place {
    /// The address of its metadata; 0: nobody's.
    key: AtomicUsize,
    /// Set by whoever took the place, and by nobody else, so nobody waits for it.
    metadata: OnceLock<&'static Metadata<'static>>,
    window: AtomicU64,
}

impl Place {
    /// False if it is another's: somebody was first.
    fn take(&self, key: usize, metadata: &'static Metadata<'static>) -> bool {
        match self.key.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => self.metadata.set(metadata).is_ok(),
            Err(current) => current == key,
        }
    }
}

/// The window of a place: when it began, and the lines in it.
#[derive(Clone, Copy)]
struct Window {
    since: u32,
    lines: u32,
}

impl Window {
    fn is_over(self, now: u32) -> bool {
        now.saturating_sub(self.since) >= WINDOW_SECONDS
    }

    fn pack(self) -> u64 {
        u64::from(self.since) << 32 | u64::from(self.lines)
    }

    fn unpack(packed: u64) -> Self {
        Self { since: (packed >> 32) as u32, lines: packed as u32 }
    }
}

/// Taken in order, so the places in use are the first ones.
pub(crate) struct Limit(Box<[Place]>);

impl Default for Limit {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Place::default()).collect())
    }
}

impl Limit {
    /// Whether an event of the place may be written. `now` in seconds.
    pub fn admit(&self, metadata: &'static Metadata<'static>, now: u32) -> Admission {
        let mut lines = 0;
        let count = |packed| {
            let window = Window::unpack(packed);
            let counted = match window.is_over(now) {
                true => Window { since: now, lines: 1 },
                false => Window { lines: window.lines.saturating_add(1), ..window },
            };
            lines = counted.lines;
            Some(counted.pack())
        };
        let _ = self.place_of(metadata).window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        match lines {
            ..=LINES_IN_WINDOW => Admission::Pass,
            lines if lines == LINES_IN_WINDOW + 1 => Admission::First,
            _ => Admission::LeftOut,
        }
    }

    /// The places whose window has ended, and how many lines were left out there. Each is given once.
    pub fn ended(&self, now: u32) -> impl Iterator<Item = (&'static Metadata<'static>, u32)> {
        let used = self.0.iter().take_while(|place| place.key.load(Ordering::Acquire) != 0);
        used.filter_map(move |place| {
            let packed = place.window.load(Ordering::Relaxed);
            let window = Window::unpack(packed);
            let left_out = window.lines.checked_sub(LINES_IN_WINDOW).filter(|left_out| *left_out > 0)?;
            if !window.is_over(now) {
                return None;
            }
            let metadata = *place.metadata.get()?;
            let fresh = Window { since: now, lines: 0 }.pack();
            let taken = place.window.compare_exchange(packed, fresh, Ordering::Relaxed, Ordering::Relaxed);
            taken.ok().map(|_| (metadata, left_out))
        })
    }

    fn place_of(&self, metadata: &'static Metadata<'static>) -> &Place {
        let key = std::ptr::from_ref(metadata).addr();
        let ours = self.0.iter().find(|place| match place.key.load(Ordering::Acquire) {
            0 => place.take(key, metadata),
            current => current == key,
        });
        ours.unwrap_or(&self.0[PLACES - 1])
    }
}

#[cfg(test)]
mod tests;
