//! Where an open image's appender runs: a choice of whoever opens the image.
//!
//! Owns: the choice. Does not own: ending the work, which is its handle's (module `session`).
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// Runs work to its end or until its handle drops it; in any thread, inside a tokio runtime.
#[derive(Clone)]
pub struct Executor(Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>);

impl Executor {
    pub fn new(run: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(run))
    }

    pub(crate) fn run(&self, work: BoxFuture<'static, ()>) {
        (self.0)(work);
    }
}

impl Default for Executor {
    /// A task of the runtime in which the image is opened.
    fn default() -> Self {
        Self::new(|work| drop(tokio::spawn(work)))
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Executor")
    }
}
