//! Those who wait for a sequence number to become durable.
use crate::{Error, Result};
use lsd_core::units::Seq;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_seq: BTreeMap<(Seq, u64), oneshot::Sender<Result<()>>>,
    next: u64,
}

impl Waiters {
    /// Resolves when everything up to `seq` is durable, or with the error that says why it may not be.
    pub(crate) fn add(&mut self, seq: Seq) -> oneshot::Receiver<Result<()>> {
        let (sender, receiver) = oneshot::channel();
        self.next += 1;
        self.by_seq.insert((seq, self.next), sender);
        receiver
    }

    pub(crate) fn advance(&mut self, frontier: Seq) {
        while let Some(first) = self.by_seq.first_entry() {
            if first.key().0 > frontier {
                return;
            }
            // A waiter that went away needs no answer.
            let _ = first.remove().send(Ok(()));
        }
    }

    /// Everybody gets the error.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.fail_beyond(None, error);
    }

    /// Everybody who waits for more than `seq` gets the error.
    pub(crate) fn fail_beyond(&mut self, seq: Option<Seq>, error: &Error) {
        let beyond = match seq {
            Some(seq) => self.by_seq.split_off(&(seq.next(), 0)),
            None => std::mem::take(&mut self.by_seq),
        };
        for (_, sender) in beyond {
            let _ = sender.send(Err(error.clone()));
        }
    }
}
