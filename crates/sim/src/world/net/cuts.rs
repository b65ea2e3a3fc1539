//! Clients that are cut off, and what becomes of what they had under way.
//!
//! Owns: counting a client's steps, cutting it at one of them, connecting it again, burying it. Does not own: at which step that is
//! (`run/`), which of its operations still arrive (`state.rs`).
use crate::world::net::{Cut, Net};
use lsd_store::{StoreError, StoreErrorKind};
use rand::Rng;
use std::sync::Arc;

impl Net {
    /// A client did something, or something reached it: a step at which it may be cut.
    pub(super) fn step(self: &Arc<Self>, client: usize) {
        let cut = {
            let mut state = self.lock();
            let client = &mut state.clients[client];
            client.steps += 1;
            client.cut_at.take_if(|(step, _)| *step <= client.steps)
        };
        if let Some((_, cut)) = cut {
            self.cut_now(client, cut);
        }
    }

    /// Cuts a client off.
    pub fn cut_now(self: &Arc<Self>, client: usize, cut: Cut) {
        self.note(client, "cut", "", &format!("{cut:?}"));
        {
            let mut state = self.lock();
            let takeovers = state.takeovers;
            state.clients[client].cut_in = Some(takeovers);
            state.coverage.crash_points += u64::from(cut != Cut::Share);
            match cut {
                Cut::Crash => {
                    let (now, mine) = (self.now_ms(), state.take_events(client));
                    state.clients[client].dead = true;
                    state.strand(client, now, mine.into_iter());
                }
                Cut::Partition => state.clients[client].held = Some(state.take_events(client)),
                Cut::Usurp | Cut::Share => {}
            }
        }
        if cut == Cut::Share {
            return self.cut.notify_one();
        }
        let after = if cut == Cut::Usurp { 0 } else { self.lot(2000) };
        self.later(after, move |net| {
            let memory = net.lock().clients[client].memory.clone();
            net.note(client, "expire", "", "");
            memory.iter().for_each(|memory| net.cluster.expire(memory));
        });
        if cut == Cut::Usurp {
            self.later(self.lot(5000), move |net| net.tell_lost(client));
        }
        self.cut.notify_one();
    }

    /// A client that was partitioned is connected again: everything under way arrives.
    pub fn heal(self: &Arc<Self>, client: usize) {
        self.note(client, "heal", "", "");
        {
            let now = self.now_ms();
            let mut state = self.lock();
            let held = state.clients[client].held.take().unwrap_or_default();
            for event in held {
                let at = now + state.random.random_range(0..200);
                state.schedule(Some(client), at, event);
            }
        }
        self.wake.notify_one();
        self.tell_lost(client);
    }

    /// The client is gone for good; what it sent may still arrive.
    pub fn bury(&self, client: usize) {
        let mut state = self.lock();
        let now = self.now_ms();
        let mine = state.take_events(client);
        let held = state.clients[client].held.take().unwrap_or_default();
        state.clients[client].dead = true;
        state.strand(client, now, mine.into_iter().chain(held));
        drop(state);
        let memory = self.lock().clients[client].memory.take();
        memory.iter().for_each(|memory| self.cluster.expire(memory));
        self.wake.notify_one();
    }

    fn tell_lost(&self, client: usize) {
        let handlers = std::mem::take(&mut self.lock().clients[client].handlers);
        for handler in handlers {
            handler.lost(StoreError::new(StoreErrorKind::TimedOut, "watch", "simulated"));
        }
    }
}
