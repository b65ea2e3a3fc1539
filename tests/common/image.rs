//! The cluster of the run and images in it.
use super::{Cmd, Turn};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The one that Ceph's packages are for.
const PYTHON: &str = "/usr/bin/python3";

/// A crashed client counts as alive, and its image as in use, until its watch times out: 30 s if nothing is set.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(45);

#[derive(Clone)]
pub struct Ceph {
    pub conf: PathBuf,
    /// Holds a ceph.conf of the test's own.
    _dir: Option<Arc<tempfile::TempDir>>,
    /// `None`: a cluster of the test's own.
    turn: Option<Rc<Turn>>,
}

/// A name of this test's own in a pool; the image, if it was made, is removed when this is dropped.
pub struct Image {
    pub ceph: Ceph,
    pub pool: String,
    pub name: String,
}

impl Ceph {
    /// The cluster of `LSD_TEST_CEPH_CONF`, once it is the test's turn. Without one the skip is printed and recorded, and the
    /// answer is `None`.
    pub fn of_this_run(test: &str, turn: fn() -> Turn) -> Option<Self> {
        if let Some(conf) = std::env::var_os("LSD_TEST_CEPH_CONF").filter(|conf| !conf.is_empty()) {
            return Some(Self { conf: conf.into(), _dir: None, turn: Some(Rc::new(turn())) });
        }
        eprintln!("SKIPPED {test}: LSD_TEST_CEPH_CONF is not set, and this test needs a cluster");
        if let Some(record) = std::env::var_os("LSD_TEST_SKIPPED") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(record).unwrap();
            writeln!(file, "{test}").unwrap();
        }
        None
    }

    /// A cluster that the test started itself.
    pub fn at(conf: PathBuf) -> Self {
        Self { conf, _dir: None, turn: None }
    }

    /// The same cluster, seen through a ceph.conf with more lines for clients.
    pub fn with_client_conf(&self, lines: &[&str]) -> Self {
        let dir = super::scratch_dir();
        let conf = dir.path().join("ceph.conf");
        let text = std::fs::read_to_string(&self.conf).unwrap();
        std::fs::write(&conf, format!("{text}\n[client]\n{}\n", lines.join("\n"))).unwrap();
        Self { conf, _dir: Some(Arc::new(dir)), turn: self.turn.clone() }
    }

    /// The same cluster with dead clients noticed after four seconds; a watch is renewed at every tick of librados,
    /// hence the shorter tick.
    pub fn with_short_watches(&self) -> Self {
        self.with_client_conf(&["lsd_watch_timeout_ms = 4000", "objecter_tick_interval = 1"])
    }

    /// A client program on the tested library and this cluster.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Cmd {
        Cmd::new(program).env("CEPH_CONF", &self.conf)
    }

    /// One of Ceph's own tools, on the system's libraries.
    pub fn stock(&self, program: &str) -> Cmd {
        Cmd::stock(program).env("CEPH_CONF", &self.conf)
    }

    pub fn rados(&self, pool: &str) -> Cmd {
        self.stock("rados").args(["-p", pool])
    }

    pub fn objects(&self, pool: &str) -> Vec<String> {
        self.rados(pool).arg("ls").ok().text().lines().map(str::to_owned).collect()
    }

    /// A python3 program with `rbd`, `rados`, `io` (a pool's context) and `args` at hand. It disconnects before it ends: one
    /// process in 200 that ends with a connection open is killed in librados (16.2.15, a thread that outlives the settings).
    pub fn python(&self, pool: &str, program: &str) -> Cmd {
        Self::python_of(self.client(PYTHON), pool, program)
    }

    /// The same on the system's library.
    pub fn stock_python(&self, pool: &str, program: &str) -> Cmd {
        Self::python_of(self.stock(PYTHON), pool, program)
    }

    fn python_of(python: Cmd, pool: &str, program: &str) -> Cmd {
        let prelude = "import atexit, sys, rados, rbd\nargs = sys.argv[2:]\n\
            cluster = rados.Rados(conffile=''); cluster.connect(); io = cluster.open_ioctx(sys.argv[1])\n\
            atexit.register(lambda: (io.close(), cluster.shutdown()))\n";
        python.arg("-c").arg(format!("{prelude}{program}")).arg(pool)
    }

    /// A pool of the test's own; removed by `remove_pool`.
    #[track_caller]
    pub fn make_pool(&self, name: &str) {
        let create = json!({"prefix": "osd pool create", "pool": name, "pg_num": 8, "pgp_num": 8});
        let enable = json!({"prefix": "osd pool application enable", "pool": name, "app": "rbd"});
        self.monitor(&[create, enable]).ok();
    }

    pub fn remove_pool(&self, name: &str) {
        let sure = "yes_i_really_really_mean_it";
        self.monitor(&[json!({"prefix": "osd pool rm", "pool": name, "pool2": name, sure: true})]).run();
    }

    /// Commands for the monitor, as `ceph` sends them. That program first asks for all there are and takes half a second of a
    /// processor, each time.
    fn monitor(&self, commands: &[Value]) -> Cmd {
        let send = "import rados, sys\nwith rados.Rados(conffile='') as cluster:\n    for command in sys.argv[1:]:\n        \
            code, _, why = cluster.mon_command(command, b'')\n        if code: sys.exit(f'{command}: {why} ({code})')";
        self.stock(PYTHON).args(["-c", send]).args(commands.iter().map(Value::to_string))
    }

    pub fn image(&self, hint: &str) -> Image {
        self.image_in("rbd", hint)
    }

    pub fn image_in(&self, pool: &str, hint: &str) -> Image {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{hint}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Image { ceph: self.clone(), pool: pool.to_owned(), name }
    }
}

impl Image {
    /// Makes the image, as QEMU does.
    #[track_caller]
    pub fn create(self, size: &str) -> Self {
        self.ceph.client("qemu-img").args(["create", "-q", "-f", "raw", &self.qemu(), size]).ok();
        self
    }

    /// `rbd:pool/name:conf=FILE`, as QEMU names it.
    pub fn qemu(&self) -> String {
        format!("rbd:{}:conf={}", self.spec(), self.ceph.conf.display())
    }

    /// `pool/name`
    pub fn spec(&self) -> String {
        format!("{}/{}", self.pool, self.name)
    }

    /// Writes the image's whole content from a file of the host, making it.
    #[track_caller]
    pub fn fill_from(self, file: &Path) -> Self {
        let target = self.qemu();
        self.ceph.client("qemu-img").args(["convert", "-f", "raw", "-O", "raw"]).arg(file).arg(&target).ok();
        self
    }

    /// The image's whole content, read back by QEMU into `file`.
    #[track_caller]
    pub fn read_to(&self, file: &Path) {
        self.ceph.client("qemu-img").args(["convert", "-f", "raw", "-O", "raw", &self.qemu()]).arg(file).ok();
    }

    /// Runs qemu-io commands on it; every one must succeed and verify.
    #[track_caller]
    pub fn qemu_io(&self, commands: &[&str]) {
        let mut cmd = self.ceph.client("qemu-io").args(["-f", "raw", "-t", "writeback", "-d", "unmap"]);
        for command in commands {
            cmd = cmd.args(["-c", command]);
        }
        let done = cmd.arg(self.qemu()).ok();
        let text = format!("{}{}", done.text(), done.errors());
        for bad in ["verification failed", "failed:", "error"] {
            assert!(!text.to_lowercase().contains(bad), "{done}");
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let remove =
            "try: rbd.RBD().remove(io, args[0])\nexcept rbd.ImageNotFound: pass\nexcept rbd.ImageBusy: sys.exit(16)";
        let until = Instant::now() + REMOVE_TIMEOUT;
        loop {
            let done = self.ceph.python(&self.pool, remove).arg(&self.name).run();
            match done.code {
                Some(0) => return,
                Some(16) if Instant::now() < until => std::thread::sleep(Duration::from_secs(1)),
                _ if std::thread::panicking() => return,
                _ => panic!("{} was not removed: {done}", self.spec()),
            }
        }
    }
}
