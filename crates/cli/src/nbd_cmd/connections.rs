//! The daemon's end of the driver's connections: sockets, the tasks that serve them, and how they ended.
use crate::error::{Failure, Result};
use lsd_nbd::Device;
use lsd_nbd::proto::{ExportInfo, Session as NbdSession};
use lsd_nbd::server::{Bounds, Guests, SessionEnd, Stopper, serve_session};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::task::JoinSet;

pub(super) struct Connections {
    tasks: JoinSet<SessionEnd>,
    stopper: Stopper,
    /// Second handles of this side's ends, until it was asked whether the driver has the others.
    probes: Vec<UnixStream>,
    end: SessionEnd,
}

impl Connections {
    /// Serves `count` connections; the sockets are the driver's ends.
    pub async fn open(count: u32, export: &ExportInfo, device: &Arc<dyn Device>) -> Result<(Self, Vec<OwnedFd>)> {
        let mut connections =
            Self { tasks: JoinSet::new(), stopper: Stopper::default(), probes: Vec::new(), end: SessionEnd::Lost };
        let mut drivers = Vec::new();
        let guests = Guests::new(Bounds::default());
        for _ in 0..count.max(1) {
            let (ours, theirs) = UnixStream::pair().map_err(|error| Failure::io("socketpair", &error))?;
            connections.probes.push(ours.try_clone().map_err(|error| Failure::io("socket", &error))?);
            drivers.push(theirs.into());
            let ours = ours.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(ours));
            let (reader, writer) = ours.map_err(|error| Failure::io("socket", &error))?.into_split();
            let seat = guests.seat("the kernel".to_owned()).await;
            let seat = seat.map_err(|error| Failure::new(libc::EIO, format!("no place for the driver: {error}")))?;
            // The driver knows simple replies only.
            let session = NbdSession { export: export.clone(), structured_replies: false, base_allocation: false };
            let (device, stop) = (device.clone(), connections.stopper.watch());
            connections.tasks.spawn(async move {
                serve_session(reader, writer, bytes::BytesMut::new(), session, device, stop, &seat).await
            });
        }
        Ok((connections, drivers))
    }

    /// Whether the driver keeps at least one of the sockets, once nobody else has them.
    pub fn taken(&mut self) -> bool {
        let open = |probe: &UnixStream| {
            let peeked = recv(probe.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
            matches!(peeked, Ok(1..) | Err(Errno::EAGAIN | Errno::EINTR))
        };
        self.probes.drain(..).filter(open).count() > 0
    }

    /// Makes every connection answer the requests it has and end. What the driver sent since waits for another server.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Returns when the last one ended. May be dropped and called again.
    pub async fn ended(&mut self) -> SessionEnd {
        while let Some(ended) = self.tasks.join_next().await {
            self.end = match (self.end, ended) {
                (SessionEnd::Disconnected, _) | (_, Ok(SessionEnd::Disconnected)) => SessionEnd::Disconnected,
                (SessionEnd::Stopped, _) | (_, Ok(SessionEnd::Stopped)) => SessionEnd::Stopped,
                (SessionEnd::Lost, _) => SessionEnd::Lost,
            };
        }
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_taken_while_somebody_has_its_other_end() {
        let mut connections = Connections {
            tasks: JoinSet::new(),
            stopper: Stopper::default(),
            probes: Vec::new(),
            end: SessionEnd::Lost,
        };
        let (probe, theirs) = UnixStream::pair().unwrap();
        let (second, gone) = UnixStream::pair().unwrap();
        drop(gone);
        connections.probes = vec![probe.try_clone().unwrap(), second.try_clone().unwrap()];
        assert!(connections.taken());
        connections.probes = vec![second];
        assert!(!connections.taken());
        drop(theirs);
        connections.probes = vec![probe];
        assert!(!connections.taken());
    }

    #[tokio::test]
    async fn a_disconnect_of_one_is_the_end_of_the_device() {
        for (ends, wanted) in [
            (vec![SessionEnd::Lost, SessionEnd::Disconnected, SessionEnd::Lost], SessionEnd::Disconnected),
            (vec![SessionEnd::Lost, SessionEnd::Stopped], SessionEnd::Stopped),
            (vec![SessionEnd::Lost], SessionEnd::Lost),
        ] {
            let mut tasks = JoinSet::new();
            for end in ends {
                tasks.spawn(async move { end });
            }
            let end = SessionEnd::Lost;
            let mut connections = Connections { tasks, stopper: Stopper::default(), probes: Vec::new(), end };
            assert_eq!(connections.ended().await, wanted);
        }
    }
}
