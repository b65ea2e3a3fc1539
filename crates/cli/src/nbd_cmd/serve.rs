//! `lsd-nbd serve`: images for NBD clients, over a Unix socket, TCP, or both.
use super::Invocation;
use super::daemon::take_lock;
use super::presence::Presence;
use crate::error::{Failure, Result};
use crate::session::Session;
use crate::signals::Signals;
use lsd_engine::Image;
use lsd_nbd::ImageDevice;
use lsd_nbd::server::{Bounds, Export, Held, Server};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn run(invocation: Invocation) -> Result<()> {
    let options = &invocation.options;
    if options.arguments.is_empty() {
        return Err(Failure::usage("must specify image-or-snap-spec"));
    }
    if options.socket.is_none() && options.listen.is_none() {
        return Err(Failure::usage("must specify --socket or --listen"));
    }
    options.listen.as_deref().map_or(Ok(()), check_address)?;
    options.socket.as_deref().map_or(Ok(()), check_path)?;
    let session = invocation.session()?;
    crate::run_to_end(serve(&invocation, session))
}

/// `HOST:PORT`; only whether there are both: names are looked up later.
fn check_address(address: &str) -> Result<()> {
    let parts =
        address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && (host.starts_with('[') || !host.contains(':')));
    match parts.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(()),
        None => {
            let wanted = "expected HOST:PORT, such as 127.0.0.1:10809, or 0.0.0.0:10809 for every address of this host";
            Err(Failure::usage(format!("invalid address '{address}' for --listen: {wanted}")))
        }
    }
}

/// A socket's path has to fit into the address, with a NUL behind it.
const MOST_PATH_BYTES: usize =
    size_of::<nix::libc::sockaddr_un>() - std::mem::offset_of!(nix::libc::sockaddr_un, sun_path) - 1;

fn check_path(path: &Path) -> Result<()> {
    let len = path.as_os_str().len();
    if len <= MOST_PATH_BYTES {
        return Ok(());
    }
    let what = format!("the path of the socket has {len} bytes, and at most {MOST_PATH_BYTES} are possible");
    Err(Failure::errno(&what, nix::libc::ENAMETOOLONG))
}

async fn serve(invocation: &Invocation, session: Session) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut images = Vec::new();
    let served = match open_all(invocation, &session, &mut images).await {
        Ok(exports) => serve_exports(invocation, exports, &images, &mut signals).await,
        Err(failure) => Err(failure),
    };
    let close_all = async {
        let mut closed = Ok(());
        for image in images {
            // Each is closed, whatever became of the others; the first failure is told.
            let result = image.close().await.map_err(|error| Failure::engine("error closing image", &error));
            closed = closed.and(result);
        }
        closed
    };
    match served {
        Ok(End::GivenUp) => give_up(),
        served => tokio::select! {
            closed = close_all => served.map(drop).and(closed),
            () = signals.next() => give_up(),
        },
    }
}

/// How serving came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Every request was answered.
    Drained,
    /// A second signal came before that.
    GivenUp,
}

/// A cluster that does not answer can keep requests and the close waiting for ever, and so it can the end of its client's threads:
/// the process ends here and now.
fn give_up() -> ! {
    let what = "told to end a second time: left the images without closing them; what was not flushed may be lost";
    crate::report(&Failure::errno(what, nix::libc::EINTR));
    std::process::exit(nix::libc::EINTR)
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

async fn serve_exports(
    invocation: &Invocation,
    exports: Vec<Export>,
    images: &[Image],
    signals: &mut Signals,
) -> Result<End> {
    let server = Server::new(exports).map_err(|error| Failure::usage(error.to_string()))?;
    let unix = invocation.options.socket.as_deref().map(SocketFile::bind).transpose()?;
    let tcp = match &invocation.options.listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.map_err(|error| Failure::io(&format!("listen on {address}"), &error))?)
        }
        None => None,
    };
    if let Some(socket) = &unix {
        println!("nbd+unix:///?socket={}", socket.path.display());
    }
    if let Some(address) = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()) {
        println!("nbd://{address}/");
    }
    let _presence = Presence::announce(invocation.options.pid_file.as_deref())?;
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
        // What is under way ends without waiting for a limit.
        images.iter().for_each(Image::lift_limits);
        signals.next().await;
    };
    let mut asked = signal(SignalKind::user_defined1()).map_err(|error| Failure::io("signal handler", &error))?;
    let tell_held = async {
        while asked.recv().await.is_some() {
            eprint!("{}", held_words(&server.held()));
        }
    };
    Ok(tokio::select! {
        _ = async { tokio::join!(serve_unix, serve_tcp) } => End::Drained,
        () = wait_for_end => End::GivenUp,
        () = tell_held => End::Drained,
    })
}

/// What SIGUSR1 asks for: a line for the server, and one for each connection.
fn held_words(connections: &[Held]) -> String {
    let bounds = Bounds::default();
    let in_flight: u32 = connections.iter().map(|held| held.in_flight_kib).sum();
    let mut text = format!(
        "nbd: {} of {} connections, {in_flight} of {} KiB in flight\n",
        connections.len(),
        bounds.connections,
        bounds.in_flight_kib
    );
    for Held { peer, serving, working, in_flight_kib, silent } in connections {
        let stage = if *serving { "" } else { "in the handshake, " };
        let silent = silent.as_secs();
        text += &format!(
            "nbd: {peer}: {stage}{working} requests in work, {in_flight_kib} KiB in flight, silent for {silent} s\n"
        );
    }
    text
}

/// A listening socket in the file system; removed when dropped.
struct SocketFile {
    path: PathBuf,
    listener: UnixListener,
}

impl SocketFile {
    /// EADDRINUSE if somebody listens there. What a killed server left is replaced.
    fn bind(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Failure::io(&format!("listen on {}", path.display()), &error);
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

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for right in ["127.0.0.1:10809", "[::1]:0", "[::]:33501", "localhost:10809"] {
            assert!(check_address(right).is_ok(), "{right}");
        }
        for wrong in ["127.0.0.1", ":33501", "::1:10809", "[::1]", "host:", "host:70000", "host:nbd", ""] {
            let failure = check_address(wrong).unwrap_err();
            assert!(
                failure.message.starts_with(&format!("invalid address '{wrong}' for --listen: expected HOST:PORT"))
            );
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_said_to_be() {
        let longest = "/".repeat(MOST_PATH_BYTES);
        assert!(check_path(longest.as_ref()).is_ok());
        assert!(std::os::unix::net::SocketAddr::from_pathname(&longest).is_ok());
        let failure = check_path(format!("{longest}x").as_ref()).unwrap_err();
        let words = "the path of the socket has 108 bytes, and at most 107 are possible: (36) File name too long";
        assert_eq!((failure.code, failure.message.as_str()), (nix::libc::ENAMETOOLONG, words));
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
