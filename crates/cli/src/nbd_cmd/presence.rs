//! What tells others that a process serves: its pid file, and the service manager's socket (`NOTIFY_SOCKET`).
//!
//! Does not own: the line on standard output.
use crate::error::{Failure, Result};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Held as long as the process serves; takes the pid file away when dropped.
#[derive(Debug)]
pub(super) struct Presence {
    pid_file: Option<PathBuf>,
}

impl Presence {
    /// Says that this process serves. A service manager that cannot be told fails nothing; a pid file that cannot be written does.
    pub fn announce(pid_file: Option<&Path>) -> Result<Self> {
        let pid = std::process::id();
        if let Some(path) = pid_file {
            std::fs::write(path, format!("{pid}\n")).map_err(|error| Failure::file("failed to write", path, &error))?;
        }
        tell_manager(&format!("READY=1\nMAINPID={pid}\n"));
        Ok(Self { pid_file: pid_file.map(Path::to_owned) })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        tell_manager("STOPPING=1\n");
        let Some(path) = &self.pid_file else { return };
        // Another process may have taken the place meanwhile.
        let ours = std::fs::read_to_string(path).is_ok_and(|text| text.trim() == std::process::id().to_string());
        if ours {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tell_manager(state: &str) {
    let Some(address) = std::env::var_os(NOTIFY_SOCKET).filter(|address| !address.is_empty()) else { return };
    if let Err(error) = send(address.as_bytes(), state) {
        tracing::warn!(target: "lsd::api", op = "notify", %error, "the service manager cannot be told");
    }
}

/// `@NAME` is a name in the abstract name space.
fn send(address: &[u8], state: &str) -> io::Result<()> {
    let address = match address.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(address)))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("lsd-test-{}", std::process::id());
        let of_path = UnixDatagram::bind(&path).unwrap();
        let of_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [(of_path, path.display().to_string()), (of_name, format!("@{name}"))] {
            send(address.as_bytes(), "READY=1\n").unwrap();
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"READY=1\n");
        }
        assert!(send(dir.path().join("none").as_os_str().as_bytes(), "READY=1\n").is_err());
    }

    #[test]
    fn a_pid_file_goes_with_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let presence = Presence::announce(Some(&path)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(presence);
        assert!(!path.exists());
        let presence = Presence::announce(Some(&path)).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(presence);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
        let failure = Presence::announce(Some(&dir.path().join("none/pid"))).unwrap_err();
        assert_eq!(failure.code, nix::libc::ENOENT);
    }
}
