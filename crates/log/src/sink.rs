//! Where lines go: standard error, or a file.
//!
//! Owns: opening the file, and that a line is written whole and where it belongs. Does not own: the words. Nothing waits here but
//! the write itself: no lock is taken, also not that of the standard library for standard error.
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub(crate) struct Sink(Option<LogFile>);

struct LogFile {
    file: File,
    /// Which file it was when it was opened: device and number. A program that becomes a daemon closes descriptors that it does not
    /// know, and opens others: ours may be one of those.
    identity: (u64, u64),
}

impl Sink {
    pub fn open(path: Option<&Path>) -> Self {
        let Some(path) = path else { return Self(None) };
        let opened = File::options().append(true).create(true).open(path);
        let file = opened.and_then(|file| {
            let identity = identity_of(&file)?;
            Ok(LogFile { file, identity })
        });
        match file {
            Ok(file) => Self(Some(file)),
            Err(error) => {
                let told = format!("lsd: log file {}: {error}: the log goes to standard error\n", path.display());
                write_all(std::io::stderr().as_fd(), told.as_bytes());
                Self(None)
            }
        }
    }

    /// Writes a line. One that cannot be written is lost: nobody is there to be told.
    pub fn write(&self, line: &str) {
        match self.0.as_ref().filter(|log| log.is_ours()) {
            Some(log) => drop((&log.file).write_all(line.as_bytes())),
            None => write_all(std::io::stderr().as_fd(), line.as_bytes()),
        }
    }
}

impl LogFile {
    fn is_ours(&self) -> bool {
        identity_of(&self.file).is_ok_and(|identity| identity == self.identity)
    }
}

fn identity_of(file: &File) -> Result<(u64, u64), Errno> {
    fstat(file).map(|stat| (stat.st_dev, stat.st_ino))
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(written) => bytes = &bytes[written.min(bytes.len())..],
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_and_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        Sink::open(Some(&path)).write("one\n");
        Sink::open(Some(&path)).write("two\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_descriptor_that_became_another_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("log"), dir.path().join("disk"));
        let mut sink = Sink::open(Some(&path));
        sink.0.as_mut().unwrap().file = File::options().append(true).create(true).open(&other).unwrap();
        sink.write("not into somebody's disk\n");
        assert_eq!(std::fs::read(&other).unwrap(), b"");
    }

    #[test]
    fn a_file_that_cannot_be_opened_leaves_standard_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Sink::open(Some(dir.path())).0.is_none());
    }
}
