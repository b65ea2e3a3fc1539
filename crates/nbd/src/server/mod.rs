//! A server of several exports over Unix sockets and TCP.
//!
//! Owns: listening, shutdown. Does not own: the handshake's and the requests' meaning (`proto`), one connection's work
//! (`connection`, `transmission`), how many there may be and what they hold (`guests`).
mod connection;
mod execute;
mod exports;
mod failure_log;
mod guests;
mod transmission;
mod writer;

#[cfg(test)]
mod tests;

pub use exports::{Export, ExportError, transmission_flags};
pub use guests::{Bounds, Guests, Held, Seat};
pub use transmission::{MAX_IN_FLIGHT_KIB, SessionEnd, serve_session};

use exports::ExportSet;
use failure_log::tell_line;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long shutdown waits for requests in flight before it drops their connections.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// A pause after accept failed, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A TCP connection on which nothing moved for this long is probed, seconds; this many probes without an answer, this far apart,
/// end it: two minutes in all.
const KEEPALIVE_IDLE_S: u32 = 60;
const KEEPALIVE_INTERVAL_S: u32 = 15;
const KEEPALIVE_PROBES: u32 = 4;

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
    guests: Arc<Guests>,
    stopper: Stopper,
}

impl Server {
    /// The first export also answers the empty name. Fails on none, on a repeated name and on a name that the protocol
    /// cannot carry.
    pub fn new(exports: Vec<Export>) -> Result<Self, ExportError> {
        Self::with_bounds(exports, Bounds::default())
    }

    pub fn with_bounds(exports: Vec<Export>, bounds: Bounds) -> Result<Self, ExportError> {
        Ok(Self {
            exports: Arc::new(ExportSet::new(exports)?),
            guests: Guests::new(bounds),
            stopper: Stopper::default(),
        })
    }

    /// Makes every `serve_*` finish the requests it has, flush, and return.
    pub fn shutdown(&self) {
        self.stopper.stop();
    }

    /// Who is connected, and what each of them holds.
    pub fn held(&self) -> Vec<Held> {
        self.guests.held()
    }

    /// Serves until [`Self::shutdown`].
    pub async fn serve_unix(&self, listener: &UnixListener) {
        let accept = || async {
            let (stream, _) = listener.accept().await?;
            let peer = peer_of(&stream);
            Ok((stream.into_split(), peer))
        };
        self.serve(accept).await;
    }

    /// Serves until [`Self::shutdown`].
    pub async fn serve_tcp(&self, listener: &TcpListener) {
        let accept = || async {
            let (stream, address) = listener.accept().await?;
            prepare(&stream);
            Ok((stream.into_split(), address.to_string()))
        };
        self.serve(accept).await;
    }

    async fn serve<R, W, F>(&self, accept: impl Fn() -> F)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<((R, W), String)>>,
    {
        let mut tasks = JoinSet::new();
        let mut stop = self.stopper.watch();
        loop {
            let accepted = tokio::select! {
                () = stop.wait() => break,
                Some(_) = tasks.join_next() => continue,
                accepted = accept() => accepted,
            };
            let ((reader, writer), peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tell_line(&format!("nbd: accept: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let seat = tokio::select! {
                () = stop.wait() => break,
                seat = self.guests.seat(peer) => seat,
            };
            let Ok(seat) = seat else { break };
            tasks.spawn(connection::run(reader, writer, self.exports.clone(), stop.clone(), seat));
        }
        self.finish(tasks).await;
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

/// The process at the other end of a Unix socket.
fn peer_of(stream: &UnixStream) -> String {
    let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
    process.map_or_else(|| "a local client".to_owned(), |pid| format!("process {pid}"))
}

/// A host that is switched off or cut off says nothing: without probes its connection would stay for ever. One that lives answers
/// them, however long its client is silent.
fn prepare(stream: &TcpStream) {
    // Replies are written whole, so waiting for more to send only adds latency.
    let _ = stream.set_nodelay(true);
    let set = || -> nix::Result<()> {
        setsockopt(stream, sockopt::KeepAlive, &true)?;
        setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
        setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
        setsockopt(stream, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)
    };
    if let Err(error) = set() {
        tell_line(&format!("nbd: keep-alive: {error}"));
    }
}
