//! The two sides that are compared, and what each does in its own way: images, garbage collection, NBD servers.
use crate::matrix::SnapAct;
use crate::program::{self, command, output};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Stock,
    Lsd,
}

pub const SIDES: [Side; 2] = [Side::Stock, Side::Lsd];

/// Where everything is that the two sides need.
pub struct Place {
    pub conf: PathBuf,
    /// As `conf`, with the lines that lsd is to be measured with.
    pub lsd_conf: PathBuf,
    /// Holds nothing but our librbd.so.1, so that no client finds another library there.
    pub library: PathBuf,
    /// Holds `lsd` and `lsd-nbd`.
    pub build: PathBuf,
    pub scratch: PathBuf,
    pub pool: String,
    /// Pools for the data: stock's and ours.
    pub data_pools: Option<[String; 2]>,
}

/// An NBD server of one image, ended when dropped.
pub struct Server {
    child: Child,
    pub socket: PathBuf,
}

const SERVER_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// Opens an image read-only by librbd's C API, as Debian's python3-rbd does, and prints the milliseconds that took.
const OPEN: &str = "\
import rados, rbd, sys, time
with rados.Rados(conffile='') as cluster, cluster.open_ioctx(sys.argv[1]) as io:
    began = time.monotonic()
    image = rbd.Image(io, sys.argv[2], read_only=True)
    print((time.monotonic() - began) * 1000)
    image.close()
";

/// Each time 1 MiB is written somewhere else, durably, before the clock starts.
const SNAP: &str = "\
import rados, random, rbd, statistics, sys, time
pool, name, act = sys.argv[1:]
MIB, TIMES = 1 << 20, 20
chance = random.Random(1)
with rados.Rados(conffile='') as cluster, cluster.open_ioctx(pool) as io, rbd.Image(io, name) as image:
    def write():
        image.write(chance.randbytes(MIB), chance.randrange(image.size() // MIB) * MIB)
        image.flush()
    def timed(call):
        began = time.monotonic()
        call()
        return (time.monotonic() - began) * 1000
    names = ['bench-%d' % number for number in range(TIMES)]
    times = []
    if act == 'rollback':
        image.create_snap('base')
        for _ in names:
            write()
            times.append(timed(lambda: image.rollback_to_snap('base')))
        image.remove_snap('base')
    elif act == 'clone':
        write()
        image.create_snap('base')
        image.protect_snap('base')
        for clone in names:
            times.append(timed(lambda: rbd.RBD().clone(io, name, 'base', io, clone)))
        for clone in names:
            rbd.RBD().remove(io, clone)
        image.unprotect_snap('base')
        image.remove_snap('base')
    else:
        for snap in names:
            write()
            times.append(timed(lambda: image.create_snap(snap)))
        if act == 'diff':
            times = []
            with rbd.Image(io, name, snapshot=names[-1]) as last:
                for _ in names:
                    found = []
                    compare = lambda: last.diff_iterate(0, last.size(), names[-2], lambda at, len, data: found.append(len))
                    times.append(timed(compare))
                    assert sum(found) >= MIB
        removals = [timed(lambda: image.remove_snap(snap)) for snap in names]
        times = removals if act == 'remove' else times
    print(statistics.median(times))
";

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Lsd => "lsd",
        }
    }
}

impl Place {
    /// A client program on this side's librbd.
    pub fn client(&self, side: Side, program: &str) -> Command {
        match side {
            Side::Stock => command(program, &self.conf, None),
            Side::Lsd => command(program, &self.lsd_conf, Some(&self.library)),
        }
    }

    /// The command line tool of this side: `rbd` needs the system's librbd, `lsd` none.
    fn tool(&self, side: Side) -> Command {
        match side {
            Side::Stock => command("rbd", &self.conf, None),
            Side::Lsd => command(self.build.join("lsd"), &self.lsd_conf, None),
        }
    }

    pub fn create(&self, side: Side, image: &str, bytes: u64, journaling: bool) -> Result<()> {
        let mut tool = self.tool(side);
        tool.args(["create", "--size", &format!("{}M", bytes >> 20)]);
        if let Some(pools) = &self.data_pools {
            tool.args(["--data-pool", &pools[side as usize]]);
        }
        if side == Side::Stock && journaling {
            tool.args(["--image-feature", "layering,exclusive-lock,object-map,fast-diff,deep-flatten,journaling"]);
        }
        output(tool.arg(self.spec(image))).map(drop)
    }

    pub fn remove(&self, side: Side, image: &str) -> Result<()> {
        output(self.tool(side).args(["rm", "--no-progress", &self.spec(image)])).map(drop)
    }

    /// Stock has nothing to collect.
    pub fn collect_garbage(&self, side: Side, image: &str) -> Result<()> {
        match side {
            Side::Stock => Ok(()),
            Side::Lsd => output(self.tool(side).args(["gc", "--no-progress", &self.spec(image)])).map(drop),
        }
    }

    pub fn open_ms(&self, side: Side, image: &str) -> Result<f64> {
        let text = output(self.client(side, "/usr/bin/python3").args(["-c", OPEN, &self.pool, image]))?;
        text.trim().parse().with_context(|| format!("not a time: {text}"))
    }

    /// The median of what `act` takes.
    pub fn snap_ms(&self, side: Side, image: &str, act: SnapAct) -> Result<f64> {
        let text = output(self.client(side, "/usr/bin/python3").args(["-c", SNAP, &self.pool, image, act.name()]))?;
        text.trim().parse().with_context(|| format!("not a time: {text}"))
    }

    pub fn serve(&self, side: Side, image: &str) -> Result<Server> {
        let socket = self.scratch.join(format!("{}.sock", side.name()));
        let _ = std::fs::remove_file(&socket);
        let mut server = match side {
            Side::Stock => {
                let mut server = program::server("qemu-nbd", &self.conf, None);
                let image = format!("rbd:{}:conf={}", self.spec(image), self.conf.display());
                server.args(["--format=raw", "--persistent", "--cache=writeback"]).arg("-k").arg(&socket).arg(image);
                server
            }
            Side::Lsd => {
                let mut server = program::server(self.build.join("lsd-nbd"), &self.lsd_conf, None);
                server.arg("serve").arg("--socket").arg(&socket).arg(self.spec(image));
                server
            }
        };
        let said = socket.with_extension("log");
        let log = File::create(&said)?;
        let child = server.stdout(log.try_clone()?).stderr(log).spawn().context("cannot start an NBD server")?;
        let mut server = Server { child, socket };
        let ready = server.wait_until_it_listens().and_then(|()| self.first_flush(&server));
        ready.with_context(|| std::fs::read_to_string(&said).unwrap_or_default())?;
        Ok(server)
    }

    /// Until a client's first flush both libraries write through. fio's rbd engine flushes when it opens an image and its nbd
    /// engine does not, so somebody else flushes first; QEMU passes a flush on only after a write.
    fn first_flush(&self, server: &Server) -> Result<()> {
        let url = format!("nbd+unix:///?socket={}", server.socket.display());
        let mut qemu_io = command("qemu-io", &self.conf, None);
        output(qemu_io.args(["-f", "raw", "-t", "writeback", "-c", "write 0 4k", "-c", "flush", &url])).map(drop)
    }

    fn spec(&self, image: &str) -> String {
        format!("{}/{image}", self.pool)
    }
}

impl Server {
    fn wait_until_it_listens(&mut self) -> Result<()> {
        let until = Instant::now() + SERVER_TIMEOUT;
        while UnixStream::connect(&self.socket).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the NBD server ended before it listened: {status}");
            }
            if Instant::now() > until {
                bail!("the NBD server does not listen at {}", self.socket.display());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends it politely: the image is closed, and what that costs counts.
    pub fn stop(mut self) -> Result<()> {
        kill(pid(&self.child), Signal::SIGTERM)?;
        let until = Instant::now() + SERVER_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                bail!("the NBD server does not end");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Makes the folder for `LD_LIBRARY_PATH`.
pub fn library_folder(scratch: &Path, build: &Path) -> Result<PathBuf> {
    let library = build.join("librbd.so");
    if !library.exists() {
        bail!("{} is missing: build package lsd first", library.display());
    }
    let folder = scratch.join("lib");
    std::fs::create_dir_all(&folder)?;
    std::os::unix::fs::symlink(library, folder.join("librbd.so.1"))?;
    Ok(folder)
}
