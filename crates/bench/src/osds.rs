//! What the OSDs did: their counters, from the admin sockets, and their CPU time and disk writes, from /proc.
//!
//! Only OSDs of this machine can be asked. Where one is elsewhere the figures are missing, not too small.
use crate::program::{command, output, process_cpu};
use anyhow::{Context, Result, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOCKET_TIMEOUT: Duration = Duration::from_secs(60);

/// What all OSDs together have done since they started, or between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// Client operations that write, those that also read (guards, object classes) included; replicas are not counted.
    pub writes: f64,
    pub write_bytes: f64,
    pub reads: f64,
    pub read_bytes: f64,
    /// What the processes gave to their disks: data, metadata and replicas.
    pub disk_write_bytes: f64,
}

/// The admin sockets of every OSD of the cluster.
pub struct Osds {
    sockets: Vec<PathBuf>,
}

impl Osds {
    /// `None` if one of them is not on this machine.
    pub fn find(conf: &Path) -> Result<Option<Self>> {
        let ids: Vec<u32> =
            serde_json::from_str(&output(command("ceph", conf, None).args(["osd", "ls", "-f", "json"]))?)?;
        let mut sockets = Vec::new();
        for id in ids {
            let mut ask = command("ceph-conf", conf, None);
            let path = output(ask.args(["--name", &format!("osd.{id}"), "--show-config-value", "admin_socket"]))?;
            let path = PathBuf::from(path.trim());
            if UnixStream::connect(&path).is_err() {
                return Ok(None);
            }
            sockets.push(path);
        }
        Ok(Some(Self { sockets }))
    }

    pub fn pids(&self) -> Result<Vec<i32>> {
        self.sockets.iter().map(|socket| Ok(perf_dump(socket)?.0)).collect()
    }

    pub fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        for socket in &self.sockets {
            let (pid, dump) = perf_dump(socket).with_context(|| format!("asking {}", socket.display()))?;
            let counter = |name: &str| dump["osd"][name].as_f64().with_context(|| format!("no counter osd.{name}"));
            sum.cpu_seconds += process_cpu(pid)?;
            sum.writes += counter("op_w")? + counter("op_rw")?;
            sum.write_bytes += counter("op_w_in_bytes")? + counter("op_rw_in_bytes")?;
            sum.reads += counter("op_r")?;
            sum.read_bytes += counter("op_r_out_bytes")?;
            sum.disk_write_bytes += disk_write_bytes(pid)?;
        }
        Ok(sum)
    }
}

impl Usage {
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            writes: self.writes - earlier.writes,
            write_bytes: self.write_bytes - earlier.write_bytes,
            reads: self.reads - earlier.reads,
            read_bytes: self.read_bytes - earlier.read_bytes,
            disk_write_bytes: self.disk_write_bytes - earlier.disk_write_bytes,
        }
    }
}

/// Ceph's admin socket: a request ends with a zero byte; the answer is four bytes of length, the text, and the end. Without
/// `ceph daemon`, whose start-up would cost more CPU than some rows. Also the id of the process at the other end.
fn perf_dump(socket: &Path) -> Result<(i32, Value)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
    let pid = getsockopt(&stream, PeerCredentials)?.pid();
    stream.write_all(b"{\"prefix\": \"perf dump\"}\0")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.len() < 4 {
        bail!("no answer");
    }
    Ok((pid, serde_json::from_slice(&answer[4..])?))
}

fn disk_write_bytes(pid: i32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).context("reading an OSD's I/O counters")?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no write_bytes")?;
    Ok(line.trim().parse()?)
}
