//! `lsd-nbd serve`: images for NBD clients, over a Unix socket, TCP, or both.
use super::Invocation;
use super::daemon::{Signals, io_failure, take_lock};
use crate::error::{Failure, Result};
use crate::session::Session;
use lsd_engine::Image;
use lsd_nbd::ImageDevice;
use lsd_nbd::server::{Export, Server};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

pub(super) fn run(invocation: Invocation) -> Result<()> {
    let options = &invocation.options;
    if options.arguments.is_empty() {
        return Err(Failure::usage("must specify image-or-snap-spec"));
    }
    if options.socket.is_none() && options.listen.is_none() {
        return Err(Failure::usage("must specify --socket or --listen"));
    }
    let session = invocation.session()?;
    crate::run_to_end(serve(&invocation, session))
}

async fn serve(invocation: &Invocation, session: Session) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut images = Vec::new();
    let served = match open_all(invocation, &session, &mut images).await {
        Ok(exports) => serve_exports(invocation, exports, &mut signals).await,
        Err(failure) => Err(failure),
    };
    let mut closed = Ok(());
    for image in images {
        // Each is closed, whatever became of the others; the first failure is told.
        let result = image.close().await.map_err(|error| Failure::engine("error closing image", &error));
        closed = closed.and(result);
    }
    served.and(closed)
}

async fn open_all(invocation: &Invocation, session: &Session, images: &mut Vec<Image>) -> Result<Vec<Export>> {
    let mut exports = Vec::new();
    for argument in &invocation.options.arguments {
        let (name, spec) = split_name(argument);
        let location = invocation.options.location(spec)?;
        let read_only = invocation.options.read_only || location.snap.is_some();
        let image = location.open_image(session, read_only).await?;
        images.push(image.clone());
        if invocation.options.exclusive && !read_only {
            take_lock(&image).await?;
        }
        let device = Arc::new(ImageDevice::new(image));
        exports.push(Export { name: name.to_owned(), description: None, device });
    }
    Ok(exports)
}

/// `NAME=SPEC`; without a name the specification is the name.
fn split_name(argument: &str) -> (&str, &str) {
    argument.split_once('=').unwrap_or((argument, argument))
}

async fn serve_exports(invocation: &Invocation, exports: Vec<Export>, signals: &mut Signals) -> Result<()> {
    let server = Server::new(exports).map_err(|error| Failure::usage(error.to_string()))?;
    let unix = invocation.options.socket.as_deref().map(SocketFile::bind).transpose()?;
    let tcp = match &invocation.options.listen {
        Some(address) => {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| io_failure(&format!("listen on {address}"), &error))?;
            Some(listener)
        }
        None => None,
    };
    if let Some(socket) = &unix {
        println!("nbd+unix:///?socket={}", socket.path.display());
    }
    if let Some(address) = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()) {
        println!("nbd://{address}/");
    }
    let serve_unix = async {
        if let Some(socket) = &unix {
            server.serve_unix(&socket.listener).await;
        }
    };
    let serve_tcp = async {
        if let Some(listener) = &tcp {
            server.serve_tcp(listener).await;
        }
    };
    let wait_for_end = async {
        signals.next().await;
        server.shutdown();
    };
    tokio::join!(serve_unix, serve_tcp, wait_for_end);
    Ok(())
}

/// A listening socket in the file system; removed when dropped.
struct SocketFile {
    path: PathBuf,
    listener: UnixListener,
}

impl SocketFile {
    /// EADDRINUSE if somebody listens there. What a killed server left is replaced.
    fn bind(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| io_failure(&format!("listen on {}", path.display()), &error);
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_abandoned(path) => {
                std::fs::remove_file(path).map_err(failed)?;
                UnixListener::bind(path)
            }
            bound => bound,
        };
        Ok(Self { path: path.to_owned(), listener: listener.map_err(failed)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket that nobody listens on.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let connected = std::os::unix::net::UnixStream::connect(path);
    is_socket && connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_named_by_its_specification_or_explicitly() {
        assert_eq!(split_name("rbd/a@s"), ("rbd/a@s", "rbd/a@s"));
        assert_eq!(split_name("disk=dir:/d/a"), ("disk", "dir:/d/a"));
    }

    #[tokio::test]
    async fn only_an_abandoned_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = SocketFile::bind(&path).unwrap();
        assert_eq!(SocketFile::bind(&path).err().unwrap().code, nix::libc::EADDRINUSE);
        drop(first);
        assert!(!path.exists());
        // As after kill -9: the file is there, the listener is not.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        SocketFile::bind(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(SocketFile::bind(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
}
