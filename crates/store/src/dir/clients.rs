//! Who has the store open: one file per client, locked as long as the client lives.
//!
//! Owns: this client's number, presence and signs of life, the questions whether another client is there and whether it
//! answers, fencing one off, the removal of what dead clients left. Does not own: what clients hold (locks, watches).
//!
//! A client number is random and never used twice, so that something a dead client left can never seem to belong to a
//! living one. The kernel releases the file's lock when the process ends, however it ends.
//!
//! Everything that gets a name, a new state or an end in the store passes through the client's own folder in `tmp`: it is
//! made there and moved out of it, or moved into it. Who takes that folder away has fenced the client: whatever it was in
//! the middle of, and however long it was stopped there, its next such step finds no folder.
use super::fault::{Fault, Outcome};
use super::files::{self, LockKind};
use super::presence::{self, DEFAULT_TIMEOUT, Presence};
use crate::StoreErrorKind;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A bit that every number has, so that none is short.
const CLIENT_MARK: u64 = 1 << 52;

/// Client numbers have at most this many bits, so that they survive in JSON read by programs that know only doubles.
const CLIENT_BITS: u32 = 53;

/// A presence may be cleared away between its creation and its lock; then the client tries again, this often.
const JOIN_TRIES: usize = 100;

/// Longest line in a presence file that is read, bytes.
const PRESENCE_MAX_BYTES: usize = 256;

/// A client gives this many signs of life within the time that it may be silent.
const BEATS: u32 = 6;

#[derive(Debug)]
pub(super) struct Clients {
    directory: PathBuf,
    temporary: PathBuf,
    /// Kept open so that the socket's path can be short: see [`Clients::socket`].
    handle: File,
    number: u64,
    /// Holds this client's lock. Else why it could not join: then it only reads.
    presence: Result<File, Fault>,
    /// Milliseconds that this client may be silent.
    timeout: AtomicU64,
}

impl Clients {
    /// Joins the store as a new client and removes what dead ones left in `clients` and `temporary`. Waits for nobody.
    /// `enter`: what may change the directory runs in it.
    pub fn join(directory: PathBuf, temporary: PathBuf, room: &super::room::Room) -> Outcome<Self> {
        let mut clients = Self {
            handle: File::open(&directory)?,
            directory,
            temporary,
            number: new_number(),
            presence: Err(Fault::new(StoreErrorKind::Io, "no number was free")),
            timeout: AtomicU64::new(DEFAULT_TIMEOUT.as_millis() as u64),
        };
        for _ in 0..JOIN_TRIES {
            clients.number = new_number();
            match room.spend_urgently(PRESENCE_MAX_BYTES as u64, || clients.enter()) {
                // Who removes what dead clients left looks at what is just being made as well.
                Err(fault) if matches!(fault.kind, StoreErrorKind::NotFound | StoreErrorKind::Busy) => {}
                // Who may not write here, or finds no room for it, can still read.
                Err(fault) if matches!(fault.kind, StoreErrorKind::Permission | StoreErrorKind::Full) => {
                    clients.presence = Err(fault);
                    return Ok(clients);
                }
                entered => {
                    clients.presence = Ok(entered?);
                    break;
                }
            }
        }
        clients.presence.as_ref().map_err(Clone::clone)?;
        clients.scavenge()?;
        Ok(clients)
    }

    /// The presence has its name only when it is locked: one without a lock is dead.
    fn enter(&self) -> Outcome<File> {
        let forming = self.directory.join(format!("{}.new", self.number));
        let presence = OpenOptions::new().read(true).write(true).create_new(true).open(&forming)?;
        let entered = files::lock(&presence, LockKind::Exclusive).map(std::mem::forget).and_then(|()| {
            self.write_presence(&presence)?;
            fs::rename(&forming, self.directory.join(self.number.to_string()))?;
            Ok(fs::create_dir(self.folder(self.number))?)
        });
        if entered.is_err() {
            drop(fs::remove_file(&forming));
            drop(fs::remove_file(self.directory.join(self.number.to_string())));
        }
        entered.map(|()| presence)
    }

    fn write_presence(&self, file: &File) -> Outcome<()> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let line = Presence { pid, beat: presence::now()?, timeout: self.timeout() }.encode();
        Ok(file.write_all_at(line.as_bytes(), 0)?)
    }

    /// Shows that this client runs.
    pub fn beat(&self) -> Outcome<()> {
        self.presence.as_ref().map_or(Ok(()), |file| self.write_presence(file))
    }

    /// How long this client may be silent before it counts as one that does not answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.load(Ordering::Relaxed))
    }

    /// It may be silent as long as its watches allow.
    pub fn set_timeout(&self, timeout: Duration) -> Outcome<()> {
        self.timeout.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        self.beat()
    }

    pub fn beat_pause(&self) -> Duration {
        self.timeout() / BEATS
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn name(&self) -> String {
        format!("client.{}", self.number)
    }

    /// There is no network; the number makes the address different from any other client's.
    pub fn addr(&self) -> String {
        addr_of(self.number)
    }

    /// The folder of a client, through which everything goes that it changes.
    fn folder(&self, client: u64) -> PathBuf {
        self.temporary.join(client.to_string())
    }

    /// This client's folder; the reason if it may only read.
    pub fn own_folder(&self) -> Outcome<PathBuf> {
        self.presence.as_ref().map_err(Clone::clone)?;
        Ok(self.folder(self.number))
    }

    /// `Fenced` if this client was fenced off. Called after a change in place, before anybody is told of its success: who
    /// fences a client copies the files it has locked afterwards, so what was not told may be missing there.
    pub fn check(&self) -> Outcome<()> {
        match self.own_folder()?.try_exists()? {
            true => Ok(()),
            false => Err(Fault::new(StoreErrorKind::Fenced, "another client has taken over from this one")),
        }
    }

    /// True as long as the client can change anything: it has not gone and was not fenced, however silent it may be.
    pub fn is_there(&self, client: u64) -> bool {
        self.seen(client).is_some()
    }

    /// True if the client is there and has shown lately that it runs.
    pub fn answers(&self, client: u64) -> bool {
        self.seen(client).is_some_and(|presence| {
            let now = presence::now().unwrap_or_default();
            client == self.number || presence.is_none_or(|presence| !presence.is_silent(now))
        })
    }

    /// `None` if the client cannot change anything any more; its presence if it says when it was last seen.
    fn seen(&self, client: u64) -> Option<Option<Presence>> {
        let file = match File::open(self.directory.join(client.to_string())) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            // Who cannot tell must not take a living client's lock.
            Err(_) => return Some(None),
        };
        if client != self.number && files::try_lock(&file, LockKind::Shared).is_ok_and(|taken| taken) {
            return None;
        }
        let presence = files::read_up_to(&file, 0, PRESENCE_MAX_BYTES).ok().and_then(|line| Presence::decode(&line));
        // Clients of an earlier version have no folder, and cannot be fenced.
        (presence.is_none() || self.folder(client).exists()).then_some(presence)
    }

    /// The clients of a process; `None` if one of them may still be at work.
    pub fn silent_clients_of(&self, pid: i32) -> Outcome<Option<Vec<u64>>> {
        let mut silent = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let Some(client) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            let Ok(file) = File::open(self.directory.join(client.to_string())) else { continue };
            let line = files::read_up_to(&file, 0, PRESENCE_MAX_BYTES)?;
            match Presence::decode(&line) {
                Some(presence) if presence.pid != pid => {}
                Some(presence) if presence.is_silent(presence::now()?) => silent.push(client),
                Some(_) => return Ok(None),
                None if String::from_utf8_lossy(&line).trim_end() == format!("pid {pid}") => return Ok(None),
                None => {}
            }
        }
        Ok(Some(silent))
    }

    /// Fences a client off: it changes nothing any more, and is told of no success. No error if it has gone.
    pub fn fence(&self, client: u64) -> Outcome<()> {
        self.own_folder()?;
        let fenced = self.temporary.join(format!("{client}.fenced"));
        match fs::rename(self.folder(client), &fenced) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        // A step of the client that had found its folder before, and is under way in the kernel, is done by the time that the
        // folder is removed with what is in it, or is not done at all.
        loop {
            match fs::remove_dir_all(&fenced) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                removed => return Ok(removed?),
            }
        }
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

    fn scavenge(&self) -> Outcome<()> {
        for directory in [&self.temporary, &self.directory] {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let file = entry.file_name();
                let Some((client, rest)) = file.to_str().and_then(client_of) else { continue };
                let is_forming = rest == "new";
                let is_left = if is_forming { is_unlocked(&entry.path()) } else { self.has_gone(client) };
                if is_left && client != self.number {
                    // Somebody else may have been quicker, and nothing depends on it.
                    drop(fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path())));
                }
            }
        }
        Ok(())
    }

    /// True if nothing of the client's process is left.
    fn has_gone(&self, client: u64) -> bool {
        match File::open(self.directory.join(client.to_string())) {
            Ok(file) => files::try_lock(&file, LockKind::Shared).is_ok_and(|taken| taken),
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        if let Ok(presence) = &self.presence {
            drop(fs::remove_file(self.socket(self.number)));
            drop(fs::remove_dir_all(self.folder(self.number)));
            drop(fs::remove_file(self.directory.join(self.number.to_string())));
            drop(presence.unlock());
        }
    }
}

fn new_number() -> u64 {
    (uuid::Uuid::new_v4().as_u64_pair().0 >> (64 - CLIENT_BITS)) | CLIENT_MARK
}

fn addr_of(client: u64) -> String {
    format!("127.0.0.1:0/{client}")
}

/// The client that has this address.
pub(super) fn client_at(addr: &str) -> Option<u64> {
    let client = addr.rsplit_once('/')?.1.parse().ok()?;
    (addr_of(client) == addr).then_some(client)
}

/// A file's client, and what follows it in the name.
fn client_of(file: &str) -> Option<(u64, &str)> {
    let (client, rest) = file.split_once('.').unwrap_or((file, ""));
    Some((client.parse().ok()?, rest))
}

fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| files::try_lock(&file, LockKind::Shared).is_ok_and(|taken| taken))
}
