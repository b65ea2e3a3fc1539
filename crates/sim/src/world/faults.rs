//! Which faults a run has, and what becomes of one operation.
//!
//! Owns: the probabilities. Does not own: carrying a fate out (`net/`).
use lsd_store::StoreErrorKind;
use rand::Rng;
use rand::rngs::StdRng;

/// The weather of one run.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Longest ordinary way of a packet, milliseconds.
    delay_ms: u64,
    /// Packets in a thousand that take up to three seconds.
    slow: u32,
    /// Operations in a thousand that are never answered: the caller is told `TimedOut`.
    unanswered: u32,
    /// Operations in a thousand that fail with EIO, with or without effect.
    broken: u32,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// Until it takes effect, milliseconds.
    pub there_ms: u64,
    /// From its effect to the answer, or from the call to the error.
    pub back_ms: u64,
    pub takes_effect: bool,
    /// What the caller is told instead of the answer.
    pub error: Option<StoreErrorKind>,
}

impl Faults {
    pub fn new(random: &mut StdRng) -> Self {
        let mut some = |of: u32| if random.random_bool(0.5) { random.random_range(1..=of) } else { 0 };
        let (slow, unanswered, broken) = (some(30), some(20), some(8));
        Self { delay_ms: random.random_range(1..40), slow, unanswered, broken }
    }

    /// True if an operation may fail at all.
    pub fn may_fail(&self) -> bool {
        self.unanswered + self.broken > 0
    }

    pub fn fate(&self, random: &mut StdRng) -> Fate {
        let mut way = || match random.random_range(0..1000) < self.slow {
            true => random.random_range(0..3000),
            false => random.random_range(0..self.delay_ms),
        };
        let (there_ms, back_ms) = (way(), way());
        let lot = random.random_range(0..1000);
        let takes_effect = random.random_bool(0.5);
        let (unanswered, broken) = (self.unanswered, self.unanswered + self.broken);
        let error = match lot {
            _ if lot < unanswered => StoreErrorKind::TimedOut,
            _ if lot < broken => StoreErrorKind::Io,
            _ => return Fate { there_ms, back_ms, takes_effect: true, error: None },
        };
        // A time-out may come before the operation takes effect.
        Fate { there_ms, back_ms: random.random_range(0..2000), takes_effect, error: Some(error) }
    }

    /// The fate of everything while somebody only looks at the outcome.
    pub fn calm() -> Fate {
        Fate { there_ms: 0, back_ms: 0, takes_effect: true, error: None }
    }
}
