//! Which segments are worth collecting, and when: pure policy.
//!
//! Owns: the thresholds between which garbage may grow, and the order of victims. Does not own: live bytes (the engine
//! counts them), which segments may be deleted (the engine's `protocol.rs`), reading and rewriting.
use crate::units::SegmentNo;

/// Bytes of the log by what the map needs of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that the map points at.
    pub live: u64,
    /// Bytes of all segments.
    pub stored: u64,
    /// Bytes of segments that have nothing live: they wait for a checkpoint to be deleted.
    pub dead: u64,
}

impl Space {
    /// Bytes of the segments that have something live.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.stored - self.dead
    }
}

/// How much garbage a log may hold, in hundredths of the live bytes. Between `start` and `stop` lies the hysteresis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Collection begins above this.
    pub start_percent: u32,
    /// Collection ends at or below this.
    pub stop_percent: u32,
    /// Above this writers wait for collection.
    pub limit_percent: u32,
    /// An image with fewer live bytes counts as having this many, so that small ones are not churned.
    pub least_live: u64,
}

/// Dead segments beyond this part of the live bytes, in thousandths, are worth a checkpoint, which deletes them. The
/// smaller it is the tighter space is kept, and the more often all leaves that changed are written.
const CHECKPOINT_PERMILLE: u64 = 25;

impl Thresholds {
    /// The live bytes, or what a small image counts as having.
    #[must_use]
    pub fn scale(&self, space: &Space) -> u64 {
        space.live.max(self.least_live)
    }

    fn allowed(&self, space: &Space, percent: u32) -> u64 {
        let live = u128::from(self.scale(space));
        space.live.saturating_add(u64::try_from(live * u128::from(percent) / 100).unwrap_or(u64::MAX))
    }

    /// Collection should begin.
    #[must_use]
    pub fn is_due(&self, space: &Space) -> bool {
        space.active() > self.allowed(space, self.start_percent)
    }

    /// Collection that has begun may end.
    #[must_use]
    pub fn is_done(&self, space: &Space) -> bool {
        space.active() <= self.allowed(space, self.stop_percent.min(self.start_percent))
    }

    /// Garbage has come half way to where collection begins: what is written now will have to be collected.
    #[must_use]
    pub fn is_near(&self, space: &Space) -> bool {
        space.active() > self.allowed(space, self.start_percent / 2)
    }

    /// Writers should wait for collection.
    #[must_use]
    pub fn is_exceeded(&self, space: &Space) -> bool {
        space.stored > self.allowed(space, self.limit_percent.max(self.start_percent))
    }

    /// The dead segments are worth a checkpoint.
    #[must_use]
    pub fn wants_checkpoint(&self, space: &Space) -> bool {
        let live = u128::from(self.scale(space));
        u128::from(space.dead) > live * u128::from(CHECKPOINT_PERMILLE) / 1000
    }
}

/// A segment that may be collected: sealed or fenced, and readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub segment: SegmentNo,
    /// Bytes.
    pub len: u32,
    pub live: u32,
    /// When it was written, nanoseconds since 1970.
    pub timestamp_ns: u64,
}

/// A segment with less garbage than this part of it, in hundredths, is left alone: header pages and padding are never
/// live, and a copy has them too.
const LEAST_GARBAGE_PERCENT: u64 = 10;

impl Candidate {
    fn is_worth_it(&self) -> bool {
        let (len, live) = (u64::from(self.len), u64::from(self.live));
        live > 0 && len.saturating_sub(live) * 100 >= len * LEAST_GARBAGE_PERCENT
    }

    /// Cost-benefit: the space it gives, times its age, over what is to be copied. Old segments with little garbage hold cold
    /// data, which stays put once it was moved together; young ones and hot ones give more if one waits (docs/adr/0007).
    fn score(&self, now_ns: u64) -> f64 {
        let used = f64::from(self.live) / f64::from(self.len.max(1));
        let age = now_ns.saturating_sub(self.timestamp_ns).max(1) as f64;
        age * (1.0 - used) / used
    }
}

/// The segments to collect, the best first, until `budget` live bytes are to be copied (at least one, if any is worth
/// it). Dead segments are none of them: a checkpoint deletes those.
#[must_use]
pub fn choose_victims(candidates: &[Candidate], now_ns: u64, budget: u64) -> Vec<Candidate> {
    let worth = candidates.iter().filter(|candidate| candidate.is_worth_it());
    let mut ranked: Vec<(f64, Candidate)> = worth.map(|candidate| (candidate.score(now_ns), *candidate)).collect();
    // The number decides between equals, so that the choice does not depend on the order of the candidates.
    ranked.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.segment.cmp(&other.segment)));
    let mut planned = 0;
    let fits = |(_, candidate): &(f64, Candidate)| {
        let fits = planned < budget;
        planned += u64::from(candidate.live);
        fits
    };
    ranked.into_iter().take_while(fits).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests;
