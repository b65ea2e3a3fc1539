//! The histories of a run in their order: from when to when each counted, and who owned the image in it.
//!
//! Owns: which history a moment belongs to. Does not own: what is in a history, when one begins (`owners.rs`).
use crate::verdict::history::SharedHistory;
use crate::verdict::ticks::Tick;
use std::sync::Arc;

#[derive(Clone)]
pub struct Era {
    pub history: SharedHistory,
    owner: usize,
    from: Tick,
    to: Option<Tick>,
    /// When its owner was cut off: what it had acknowledged may be lost from here on.
    cut: Option<Tick>,
}

impl Era {
    /// True if its owner was there until then.
    pub fn is_whole_until(&self, moment: Tick) -> bool {
        self.cut.is_none_or(|cut| cut > moment)
    }
}

#[derive(Default)]
pub struct Eras(Vec<Era>);

impl Eras {
    pub fn begin(&mut self, history: &SharedHistory, owner: usize, from: Tick) {
        self.0.push(Era { history: history.clone(), owner, from, to: None, cut: None });
    }

    pub fn end(&mut self, history: &SharedHistory, to: Tick) {
        for era in self.0.iter_mut().filter(|era| Arc::ptr_eq(&era.history, history)) {
            era.to.get_or_insert(to);
        }
    }

    /// It turned out that it never began.
    pub fn forget(&mut self, history: &SharedHistory) {
        self.0.retain(|era| !Arc::ptr_eq(&era.history, history));
    }

    pub fn cut(&mut self, owner: usize, at: Tick) {
        for era in self.0.iter_mut().filter(|era| era.owner == owner && era.to.is_none()) {
            era.cut.get_or_insert(at);
        }
    }

    /// Those that counted at some moment of these, in order.
    pub fn between(&self, from: Tick, to: Tick) -> Vec<Era> {
        let meets = |era: &&Era| era.from <= to && era.to.is_none_or(|end| end >= from);
        self.0.iter().filter(meets).cloned().collect()
    }
}
