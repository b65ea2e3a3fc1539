//! Files that can be read only once, such as the pipe of `-K <(...)`, kept in memory: librados reads a key more than once, and
//! ceph.conf is read by it and by us.
//!
//! Owns: the copies, which end with the process and lie on no disk. Does not own: which files are read.
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Copies, each with the path it came from and that under which it can be read.
#[derive(Debug, Default)]
pub struct Kept(Vec<Copied>);

#[derive(Debug)]
struct Copied {
    from: PathBuf,
    path: PathBuf,
    _memory: File,
}

impl Kept {
    /// A path to read instead of `path`: the same, unless that is no regular file.
    pub fn keep(&mut self, path: &Path) -> io::Result<PathBuf> {
        if std::fs::metadata(path)?.is_file() {
            return Ok(path.to_owned());
        }
        let mut content = Vec::new();
        File::open(path)?.read_to_end(&mut content)?;
        let mut memory = File::from(memfd_create(c"lsd", MFdFlags::MFD_CLOEXEC)?);
        memory.write_all(&content)?;
        let copy = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
        self.0.push(Copied { from: path.to_owned(), path: copy.clone(), _memory: memory });
        Ok(copy)
    }

    /// `text` with the paths that the user knows.
    pub fn in_users_words(&self, text: &str) -> String {
        let named = |text: String, copied: &Copied| {
            text.replace(&*copied.path.to_string_lossy(), &copied.from.to_string_lossy())
        };
        self.0.iter().fold(text.to_owned(), named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_once_is_read_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (file, fifo) = (dir.path().join("file"), dir.path().join("fifo"));
        std::fs::write(&file, "content").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let writer = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::write(fifo, "a secret").unwrap()
        });
        let mut kept = Kept::default();
        assert_eq!(kept.keep(&file).unwrap(), file);
        let copy = kept.keep(&fifo).unwrap();
        writer.join().unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "a secret");
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "a secret");
        let words = kept.in_users_words(&format!("no key in {}", copy.display()));
        assert_eq!(words, format!("no key in {}", fifo.display()));
        assert!(kept.keep(&dir.path().join("none")).is_err());
    }
}
