//! What asks a process to end.
//!
//! Owns: SIGTERM and SIGINT. Does not own: what ends then, nor how.
use crate::error::{Failure, Result};
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. They end the process no more by themselves once this was made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> Result<Self> {
        let open = |kind| signal(kind).map_err(|error| Failure::io("signal handler", &error));
        Ok(Self { terminate: open(SignalKind::terminate())?, interrupt: open(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Does the work unless a signal comes first, which then is the failure. Nothing is to be cleaned up.
pub async fn unless_cut_short<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut signals = Signals::new()?;
    tokio::select! {
        done = work => done,
        () = signals.next() => Err(Failure::errno("told to end", libc::EINTR)),
    }
}

/// Does the work unless a signal comes first: then the work is dropped, and the caller cleans up. A signal that comes after the work
/// does not wait for that: it ends the process.
pub async fn unless_told_to_end<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut signals = Signals::new()?;
    let mut work = Box::pin(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = signals.next() => Err(Failure::errno("told to end", libc::EINTR)),
    };
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(libc::EINTR)
    });
    // It may wait for what it had begun: a second signal is heard meanwhile.
    drop(work);
    done
}
