//! An image as the device that `qemu-img` reads or writes.
//!
//! Owns: the socket, in a folder that nobody else can look into, and that the first error of the image ends the work. Does not own: the
//! protocol (`lsd_nbd`), the program's arguments.
use super::escaped;
use super::followed::Followed;
use super::program::Program;
use crate::error::{Failure, Result, describe_errno};
use crate::output::progress::ProgressLine;
use lsd_engine::Image;
use lsd_nbd::server::{Export, Server};
use lsd_nbd::{Device, DeviceError};
use nix::libc;
use nix::unistd::mkdtemp;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

const PROGRESS_PERIOD: Duration = Duration::from_millis(100);

/// An image that can be reached, for as long as this lives.
pub struct Served {
    room: Room,
    listener: UnixListener,
    device: Arc<Followed>,
    failed: mpsc::UnboundedReceiver<DeviceError>,
}

impl Served {
    /// Pieces of `granule` bytes that are zeroes are not written: an image that is written has nothing else so far.
    pub fn start(image: &Image, granule: usize) -> Result<Self> {
        let room = Room::new()?;
        let path = room.socket();
        let failure = |error: std::io::Error| Failure::file("listen on", &path, &error);
        let listener = UnixListener::bind(&path).map_err(failure)?;
        let (sender, failed) = mpsc::unbounded_channel();
        let device = Arc::new(Followed::new(image, granule, sender));
        Ok(Self { room, listener, device, failed })
    }

    /// How QEMU's programs find it.
    pub fn options(&self) -> String {
        let path = self.room.socket();
        format!(
            "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={}",
            escaped(&path.to_string_lossy())
        )
    }

    /// Serves until the program ends.
    pub async fn run(self, program: Program, line: &ProgressLine) -> Result<()> {
        let Self { room: _room, listener, device, mut failed } = self;
        let size = device.size();
        let export = Export { name: String::new(), description: None, device: device.clone() };
        let server = Server::new(vec![export]).map_err(|error| Failure::invalid(error.to_string()))?;
        let mut period = tokio::time::interval(PROGRESS_PERIOD);
        tokio::pin! {
            let ended = program.output();
            let serving = server.serve_unix(&listener);
        }
        loop {
            tokio::select! {
                output = &mut ended => return output.map(drop),
                Some(DeviceError { errno, message }) = failed.recv() => {
                    return Err(Failure::new(errno, format!("{}: {message}", describe_errno(errno))));
                }
                // Nobody shuts it down.
                () = &mut serving => return Err(Failure::errno("the server ended", libc::EIO)),
                _ = period.tick() => line.update(device.reached(), size),
            }
        }
    }
}

/// A folder that only this user can look into; removed when dropped.
struct Room(PathBuf);

impl Room {
    fn new() -> Result<Self> {
        let folder = mkdtemp(&std::env::temp_dir().join("lsd-XXXXXX"));
        Ok(Self(folder.map_err(|errno| Failure::errno("cannot make a folder for a socket", errno as i32))?))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("nbd")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed is an empty folder among temporary ones.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
