//! Who has the store open: one file per client, locked as long as the client lives.
//!
//! Owns: this client's number and presence, the question whether another client is alive, the removal of what dead
//! clients left. Does not own: what clients hold (locks, watches).
//!
//! A client number is random and never used twice, so that something a dead client left can never seem to belong to a
//! living one. The kernel releases the file's lock when the process ends, however it ends.
use super::fault::Outcome;
use super::files::{self, LockKind};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A bit that every number has, so that none is short.
const CLIENT_MARK: u64 = 1 << 52;

/// Client numbers have at most this many bits, so that they survive in JSON read by programs that know only doubles.
const CLIENT_BITS: u32 = 53;

#[derive(Debug)]
pub(super) struct Clients {
    directory: PathBuf,
    /// Kept open so that the socket's path can be short: see [`Clients::socket`].
    handle: File,
    number: u64,
    /// Holds this client's lock.
    presence: File,
}

impl Clients {
    /// Joins the store as a new client and removes what dead ones left in `clients` and `temporary`.
    pub fn join(directory: PathBuf, temporary: &Path) -> Outcome<Self> {
        let handle = File::open(&directory)?;
        // Between its creation and its lock a presence looks dead: nobody may look meanwhile.
        let guard = files::lock(&handle, LockKind::Exclusive)?;
        let number = (uuid::Uuid::new_v4().as_u64_pair().0 >> (64 - CLIENT_BITS)) | CLIENT_MARK;
        let path = directory.join(number.to_string());
        let mut presence = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        // For people only.
        writeln!(presence, "pid {}", std::process::id())?;
        files::lock(&presence, LockKind::Exclusive).map(std::mem::forget)?;
        drop(guard);
        let clients = Self { directory, handle, number, presence };
        clients.scavenge(temporary)?;
        Ok(clients)
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn name(&self) -> String {
        format!("client.{}", self.number)
    }

    /// There is no network; the number makes the address different from any other client's.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:0/{}", self.number)
    }

    /// False if the client has gone, or never was.
    pub fn is_alive(&self, client: u64) -> bool {
        if client == self.number {
            return true;
        }
        let Ok(file) = File::open(self.directory.join(client.to_string())) else { return false };
        // Who cannot tell must not take a living client's lock.
        files::try_lock(&file, LockKind::Shared).map_or(true, |taken| !taken)
    }

    /// Where a client's socket is; a socket's path may have 107 bytes only, so a long one goes through the open
    /// directory.
    pub fn socket(&self, client: u64) -> PathBuf {
        use std::os::fd::AsRawFd;
        const SOCKET_PATH_MAX_BYTES: usize = 107;
        let name = format!("{client}.sock");
        let path = self.directory.join(&name);
        if path.as_os_str().len() <= SOCKET_PATH_MAX_BYTES {
            return path;
        }
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.handle.as_raw_fd()))
    }

    fn scavenge(&self, temporary: &Path) -> Outcome<()> {
        let _guard = files::lock(&self.handle, LockKind::Exclusive)?;
        for directory in [temporary, &self.directory] {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let file = entry.file_name();
                let owner = file.to_str().and_then(|file| file.split('.').next()?.parse().ok());
                if owner.is_some_and(|client: u64| !self.is_alive(client)) {
                    // Somebody else may have been quicker, and nothing depends on it.
                    drop(fs::remove_file(entry.path()));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        drop(fs::remove_file(self.socket(self.number)));
        drop(fs::remove_file(self.directory.join(self.number.to_string())));
        drop(self.presence.unlock());
    }
}
