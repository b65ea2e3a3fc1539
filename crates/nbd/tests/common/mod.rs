//! A device on a real file, and a server of such devices for real clients.
#![allow(dead_code, reason = "each test file uses its own part")]
use bytes::{Bytes, BytesMut};
use lsd_nbd::server::{Bounds, Export, Server};
use lsd_nbd::{BoxFuture, Device, DeviceError, Extent, Piece};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek64};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, UnixListener};

/// A sparse file; blocking calls run on the runtime's blocking threads, so requests really overlap.
pub struct FileDevice {
    file: Arc<File>,
    size: u64,
    read_only: bool,
    pub counts: Arc<Counts>,
}

#[derive(Default)]
pub struct Counts {
    pub flushes: AtomicU64,
    pub fua_writes: AtomicU64,
}

impl FileDevice {
    pub fn create(path: &Path, size: u64) -> Self {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path).unwrap();
        file.set_len(size).unwrap();
        Self { file: Arc::new(file), size, read_only: false, counts: Arc::default() }
    }

    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&File) -> Result<T, DeviceError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, DeviceError>> {
        let file = self.file.clone();
        Box::pin(async move { tokio::task::spawn_blocking(move || call(&file)).await.unwrap() })
    }
}

fn errno(error: nix::Error) -> DeviceError {
    DeviceError::new(error as i32, error.to_string())
}

/// (length, is data) runs that cover the range.
fn runs(file: &File, offset: u64, len: u64) -> Result<Vec<(u64, bool)>, DeviceError> {
    let end = offset + len;
    let mut at = offset;
    let mut found = Vec::new();
    while at < end {
        let data = match lseek64(file, at as i64, Whence::SeekData) {
            Ok(data) => (data as u64).min(end),
            Err(nix::Error::ENXIO) => end,
            Err(error) => return Err(errno(error)),
        };
        if data > at {
            found.push((data - at, false));
        }
        if data < end {
            let hole = (lseek64(file, data as i64, Whence::SeekHole).map_err(errno)? as u64).min(end);
            found.push((hole - data, true));
            at = hole;
        } else {
            at = end;
        }
    }
    Ok(found)
}

impl Device for FileDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Piece>, DeviceError>> {
        self.call(move |file| {
            let mut at = offset;
            let mut pieces = Vec::new();
            for (len, data) in runs(file, offset, len.into())? {
                if data {
                    let mut buffer = BytesMut::zeroed(len as usize);
                    file.read_exact_at(&mut buffer, at)?;
                    pieces.push(Piece::Data(buffer.freeze()));
                } else {
                    pieces.push(Piece::Zero(len));
                }
                at += len;
            }
            Ok(pieces)
        })
    }

    fn write(&self, offset: u64, data: Bytes, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        self.counts.fua_writes.fetch_add(fua.into(), Ordering::Relaxed);
        self.call(move |file| {
            file.write_all_at(&data, offset)?;
            if fua { Ok(file.sync_data()?) } else { Ok(()) }
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        self.counts.flushes.fetch_add(1, Ordering::Relaxed);
        self.call(|file| Ok(file.sync_data()?))
    }

    fn trim(&self, offset: u64, len: u32, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        self.write_zeroes(offset, len, false, fua)
    }

    fn write_zeroes(&self, offset: u64, len: u32, no_hole: bool, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        self.call(move |file| {
            if no_hole {
                file.write_all_at(&vec![0; len as usize], offset)?;
            } else {
                let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(file, punch, offset as i64, len.into()).map_err(errno)?;
            }
            if fua { Ok(file.sync_data()?) } else { Ok(()) }
        })
    }

    fn extents(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Extent>, DeviceError>> {
        self.call(move |file| {
            let runs = runs(file, offset, len.into())?;
            Ok(runs.into_iter().map(|(len, data)| Extent { len, data }).collect())
        })
    }
}

/// A running server with its directory; ends when dropped.
pub struct Running {
    pub dir: tempfile::TempDir,
    pub server: Arc<Server>,
    pub tcp_port: u16,
    runtime: Option<tokio::runtime::Runtime>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Serves devices made by `make` in a fresh directory, on the socket `s` there and on a TCP port.
    pub fn start(make: impl FnOnce(&Path) -> Vec<(&'static str, Arc<dyn Device>)>) -> Self {
        Self::start_with(Bounds::default(), make)
    }

    pub fn start_with(bounds: Bounds, make: impl FnOnce(&Path) -> Vec<(&'static str, Arc<dyn Device>)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let export = |(name, device): (&str, Arc<dyn Device>)| Export {
            name: name.to_owned(),
            description: Some(format!("the disk {name}")),
            device,
        };
        let exports = make(dir.path()).into_iter().map(export).collect();
        let server = Arc::new(Server::with_bounds(exports, bounds).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let path = dir.path().join("s");
        let (tasks, tcp_port) = runtime.block_on(async {
            let (unix, tcp) = (UnixListener::bind(path).unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
            let port = tcp.local_addr().unwrap().port();
            let (one, two) = (server.clone(), server.clone());
            let tasks = vec![
                tokio::spawn(async move { one.serve_unix(&unix).await }),
                tokio::spawn(async move { two.serve_tcp(&tcp).await }),
            ];
            (tasks, port)
        });
        Self { dir, server, tcp_port, runtime: Some(runtime), tasks }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket().display())
    }

    pub fn tcp_uri(&self, export: &str) -> String {
        format!("nbd://127.0.0.1:{}/{export}", self.tcp_port)
    }

    /// Shuts down and waits for every connection's end.
    pub fn finish(&mut self) {
        self.server.shutdown();
        let runtime = self.runtime.as_ref().unwrap();
        for task in self.tasks.drain(..) {
            runtime.block_on(task).unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.shutdown();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs a client; panics with its output when it fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = try_run(program, args);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn try_run(program: &str, args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["120", program])
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start: {error} (see the README for packages)"))
}

/// Runs a libnbd script with `uri` and `tcp` set; Debian's own Python has the binding.
pub fn nbdsh(running: &Running, script: &str) -> String {
    let prelude = format!(
        "import nbd, sys\nuri='{}'\ntcp='{}'\ndef connect(export='', uri=None):\n    pass\n",
        running.uri(""),
        running.tcp_uri("")
    );
    run("/usr/bin/python3", &["-c", &format!("{prelude}{script}")])
}

/// Bytes that differ everywhere, reproducibly.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(len).collect()
}
