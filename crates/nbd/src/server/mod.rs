//! A server of several exports over Unix sockets and TCP.
//!
//! Owns: listening, the number of connections, shutdown. Does not own: the handshake's and the requests' meaning
//! (`proto`), one connection's work (`connection`, `transmission`).
mod connection;
mod execute;
mod exports;
mod transmission;
mod writer;

#[cfg(test)]
mod tests;

pub use exports::{Export, ExportError, transmission_flags};
pub use transmission::serve_session;

use exports::ExportSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at one time; further ones wait in the listener's backlog.
pub const MAX_CONNECTIONS: usize = 256;
/// How long shutdown waits for requests in flight before it drops their connections.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// A pause after accept failed, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells every part of a server that it is to end. Clones watch the same server.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns once the server is to end.
    pub async fn wait(&mut self) {
        // An error means that the server itself is gone.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// The owner of [`Stop`]s.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Default for Stopper {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub fn watch(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

pub struct Server {
    exports: Arc<ExportSet>,
    connections: Arc<Semaphore>,
    stopper: Stopper,
}

impl Server {
    /// The first export also answers the empty name. Fails on none, on a repeated name and on a name that the protocol
    /// cannot carry.
    pub fn new(exports: Vec<Export>) -> Result<Self, ExportError> {
        Ok(Self {
            exports: Arc::new(ExportSet::new(exports)?),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            stopper: Stopper::default(),
        })
    }

    /// Makes every `serve_*` finish the requests it has, flush, and return.
    pub fn shutdown(&self) {
        self.stopper.stop();
    }

    /// Serves until [`Self::shutdown`].
    pub async fn serve_unix(&self, listener: &UnixListener) {
        let mut tasks = JoinSet::new();
        let mut stop = self.stopper.watch();
        loop {
            let Some((stream, permit)) = self.next(&mut stop, &mut tasks, || listener.accept()).await else { break };
            let (exports, stop) = (self.exports.clone(), stop.clone());
            tasks.spawn(async move {
                let (reader, writer) = stream.0.into_split();
                connection::run(reader, writer, exports, stop).await;
                drop(permit);
            });
        }
        self.finish(tasks).await;
    }

    /// Serves until [`Self::shutdown`].
    pub async fn serve_tcp(&self, listener: &TcpListener) {
        let mut tasks = JoinSet::new();
        let mut stop = self.stopper.watch();
        loop {
            let Some((stream, permit)) = self.next(&mut stop, &mut tasks, || listener.accept()).await else { break };
            let (exports, stop) = (self.exports.clone(), stop.clone());
            tasks.spawn(async move {
                // Replies are written whole, so waiting for more to send only adds latency.
                let _ = stream.0.set_nodelay(true);
                let (reader, writer) = stream.0.into_split();
                connection::run(reader, writer, exports, stop).await;
                drop(permit);
            });
        }
        self.finish(tasks).await;
    }

    /// The next connection with its place among [`MAX_CONNECTIONS`]; `None` on shutdown.
    async fn next<T, F>(
        &self,
        stop: &mut Stop,
        tasks: &mut JoinSet<()>,
        accept: impl Fn() -> F,
    ) -> Option<(T, tokio::sync::OwnedSemaphorePermit)>
    where
        F: Future<Output = io::Result<T>>,
    {
        let permit = tokio::select! {
            () = stop.wait() => return None,
            permit = self.connections.clone().acquire_owned() => permit.ok()?,
        };
        loop {
            let accepted = tokio::select! {
                () = stop.wait() => return None,
                Some(_) = tasks.join_next() => continue,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok(stream) => return Some((stream, permit)),
                Err(error) => {
                    eprintln!("nbd: accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits for the connections of a listener, then flushes every export.
    async fn finish(&self, mut tasks: JoinSet<()>) {
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, all).await.is_err() {
            tasks.shutdown().await;
        }
        self.exports.flush().await;
    }
}
