//! Clients that are cut off, and what becomes of what they had under way.
//!
//! Owns: cutting, connecting again, burying. Does not own: when it happens (`run.rs`), carrying what arrives (`net.rs`).
use super::{Cut, Net};
use lsd_store::{StoreError, StoreErrorKind};
use rand::Rng;
use std::sync::Arc;

impl Net {
    /// Cuts a client off.
    pub fn cut_now(self: &Arc<Self>, client: usize, cut: Cut) {
        self.note(client, "cut", "", &format!("{cut:?}"));
        {
            let mut state = self.lock();
            let takeovers = state.takeovers;
            let mine: Vec<_> = state.queue.extract_if(.., |_, event| event.client == Some(client)).collect();
            let cutting = &mut state.clients[client];
            cutting.cut_in = Some(takeovers);
            match cut {
                Cut::Crash => {
                    cutting.dead = true;
                    state.coverage.crash_points += 1;
                    let now = self.now_ms();
                    state.strand(client, now, mine.into_iter().map(|(_, event)| event));
                }
                Cut::Partition => {
                    cutting.held = Some(mine.into_iter().map(|(_, event)| event).collect());
                    state.coverage.crash_points += 1;
                }
                Cut::Share => state.queue.extend(mine),
                Cut::Usurp => {
                    state.queue.extend(mine);
                    state.coverage.crash_points += 1;
                }
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
        let mine: Vec<_> = state.queue.extract_if(.., |_, event| event.client == Some(client)).collect();
        let held = state.clients[client].held.take().unwrap_or_default();
        state.clients[client].dead = true;
        state.strand(client, now, mine.into_iter().map(|(_, event)| event).chain(held));
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
