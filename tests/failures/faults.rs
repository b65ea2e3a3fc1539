//! A cluster whose parts fail, are scrubbed or recovered under a writer: a daemon is killed or stopped and comes back, the client
//! is cut from the network. I/O goes on by itself afterwards, and nothing that was flushed is lost: at the end the writer is
//! killed, and what it left is a prefix of what it wrote with all that it had flushed.
//!
//! Each test has a cluster of its own, whose daemons it may harm, on an address of its own, which a network namespace reaches
//! through a pair of virtual interfaces. `LSD_TEST_FAULTS_LONG=1`: every fault lasts a minute and longer, otherwise seconds.
use crate::common::{Cmd, Image, OwnCluster, Running, built, compiled_program, scratch_dir, wait_until};
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

/// How long I/O may take to go on: three missed heartbeats of an OSD, and peering.
const RESUME_TIMEOUT: Duration = Duration::from_secs(150);
const ENDLESS: &str = "100000000";
const DEPTH: &str = "8";
const FLUSH_EVERY: &str = "8";

fn is_long() -> bool {
    std::env::var("LSD_TEST_FAULTS_LONG").is_ok_and(|text| text == "1")
}

/// How long a fault lasts.
fn fault_lasts() -> Duration {
    Duration::from_secs(if is_long() { 75 } else { 8 })
}

/// A network namespace and the pair of interfaces to it; both go with it.
struct Network {
    namespace: String,
    host_addr: String,
}

impl Network {
    fn new() -> Self {
        let number = std::process::id() % 250;
        let namespace = format!("lsd{number}");
        let (outside, inside) = (format!("lsdo{number}"), "eth0");
        let network = Self { host_addr: format!("10.213.{number}.1"), namespace };
        let ip = |line: &str| drop(Cmd::new("ip").args(line.split_whitespace()).ok());
        ip(&format!("netns add {}", network.namespace));
        ip(&format!("link add {outside} type veth peer name {inside} netns {}", network.namespace));
        ip(&format!("addr add {}/24 dev {outside}", network.host_addr));
        ip(&format!("link set {outside} up"));
        network.inside(&format!("addr add 10.213.{number}.2/24 dev {inside}"));
        network.inside("link set lo up");
        network.connect(true);
        network
    }

    fn inside(&self, line: &str) {
        Cmd::new("ip").args(["-n", &self.namespace]).args(line.split_whitespace()).ok();
    }

    fn connect(&self, up: bool) {
        self.inside(&format!("link set eth0 {}", if up { "up" } else { "down" }));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The interfaces go with the namespace.
        Cmd::new("ip").args(["netns", "del", &self.namespace]).run();
    }
}

/// Three OSDs. A test that has one runs alone: another cluster under load would be too much for the machine, and two of these
/// would have networks of one name.
struct Cluster {
    own: OwnCluster,
    network: Network,
}

impl std::ops::Deref for Cluster {
    type Target = OwnCluster;

    fn deref(&self) -> &OwnCluster {
        &self.own
    }
}

impl Cluster {
    /// With so many copies of each object.
    fn start(copies: &str) -> Self {
        let network = Network::new();
        let own = OwnCluster::start(&["--osds", "3", "--size", copies, "--addr", &network.host_addr]);
        Self { own, network }
    }

    /// Scrubs everything deeply, and so slowly that writes have to wait for it.
    fn scrub(&self) {
        for osd in ["osd.0", "osd.1", "osd.2"] {
            for setting in ["osd_max_scrubs 16", "osd_scrub_max_preemptions 0", "osd_debug_deep_scrub_sleep 0.4"] {
                self.tell(&format!("tell {osd} config set {setting}"));
            }
        }
        let groups = self.tell("pg ls-by-pool rbd --format json").json();
        for group in groups["pg_stats"].as_array().unwrap() {
            self.tell(&format!("pg deep-scrub {}", group["pgid"].as_str().unwrap()));
        }
    }

    fn osds_up(&self) -> u64 {
        self.tell("osd stat --format json").json()["num_up_osds"].as_u64().unwrap()
    }

    /// Everything that is written meanwhile is missing on one OSD and is recovered only when somebody writes to it.
    fn degrade(&self, what_is_written: impl FnOnce()) {
        self.tell("osd set norecover");
        self.tell("osd set nobackfill");
        let daemon = self.command_of("osd.2");
        self.signal("osd.2", "-KILL");
        wait_until("the OSD is down", Duration::from_secs(60), || self.osds_up() == 2);
        what_is_written();
        // Not by vstart, which waits until everything is recovered.
        let quietly = "exec \"$@\" >/dev/null 2>&1 </dev/null";
        Cmd::stock("sh").args(["-c", quietly, "sh"]).args(&daemon).ok();
        wait_until("the OSD is up", Duration::from_secs(60), || self.osds_up() == 3);
    }

    fn heal(&self) {
        self.tell("osd unset norecover");
        self.tell("osd unset nobackfill");
        wait_until("everything is recovered", Duration::from_secs(120), || {
            let groups = self.tell("pg ls-by-pool rbd --format json").json();
            let states: Vec<&str> =
                groups["pg_stats"].as_array().unwrap().iter().map(|group| group["state"].as_str().unwrap()).collect();
            states.iter().all(|state| state.starts_with("active+clean"))
        });
    }
}

/// The program that writes and checks, inside the namespace.
fn prefix(cluster: &Cluster, image: &Image, word: &str, state: &Path, more: &[&str]) -> Cmd {
    let enter = ["netns", "exec", &cluster.network.namespace];
    let command = image.ceph.client("ip").args(enter).arg(compiled_program("prefix"));
    command.args([word, &image.pool, &image.name]).arg(state).args(more)
}

/// The number in the last whole line that begins with `word`.
fn last_number(text: &str, word: &str) -> u64 {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().rev().find_map(|line| line.strip_prefix(word)?.trim().parse().ok()).unwrap_or(0)
}

/// Waits until the writer has flushed several times more.
fn goes_on(writer: &mut Running, what: &str) {
    let before = last_number(&writer.text(), "flushed ");
    wait_until(&format!("writing goes on after {what}"), RESUME_TIMEOUT, || {
        assert!(writer.is_alive(), "{what}: the writer ended: {}", writer.text());
        last_number(&writer.text(), "flushed ") > before + 200
    });
}

type Strike = fn(&Cluster);

/// What fails, how, and how it is put right.
const FAULTS: [(&str, Strike, Strike); 4] = [
    ("an OSD killed", |cluster| cluster.signal("osd.0", "-KILL"), |cluster| cluster.vstart(&[])),
    ("an OSD stopped", |cluster| cluster.signal("osd.1", "-STOP"), |cluster| cluster.signal("osd.1", "-CONT")),
    ("the monitor killed", |cluster| cluster.signal("mon.a", "-KILL"), |cluster| cluster.vstart(&[])),
    ("the client cut off", |cluster| cluster.network.connect(false), |cluster| cluster.network.connect(true)),
];

#[test]
fn io_goes_on_after_faults_and_nothing_flushed_is_lost() {
    let _alone = requires_ceph!(alone);
    let cluster = Cluster::start("2");
    let ceph = cluster.ceph().with_short_watches();
    let dir = scratch_dir();
    for (seed, (what, strike, mend)) in (1u64..).zip(FAULTS) {
        let image = ceph.image("faults").create("16M");
        let state = dir.path().join(format!("state-{seed}"));
        let seed = seed.to_string();
        let load = [&seed, ENDLESS, DEPTH, FLUSH_EVERY];
        let mut writer = prefix(&cluster, &image, "write", &state, &load).timeout(Duration::from_secs(900)).start();
        writer.wait_for_text("flushed", Duration::from_secs(60));
        strike(&cluster);
        std::thread::sleep(fault_lasts());
        mend(&cluster);
        goes_on(&mut writer, what);
        let killed = writer.kill();
        let flushed = last_number(&killed.text(), "flushed ");
        let checked = prefix(&cluster, &image, "check", &state, &[&seed, &flushed.to_string()]).run();
        assert!(checked.code == Some(0), "after {what}, {flushed} flushed: {checked}");
        println!(
            "{what} for {:?}: {flushed} flushed, {} survived",
            fault_lasts(),
            last_number(&checked.text(), "prefix ")
        );
    }
    a_server_ends_when_told_twice(&cluster);
}

/// No OSD answers: a server that is told to end waits for its requests and for its image, until it is told again.
fn a_server_ends_when_told_twice(cluster: &Cluster) {
    let image = cluster.ceph().image("served").create("16M");
    let dir = scratch_dir();
    let socket = dir.path().join("socket");
    let serve = image
        .ceph
        .client(built("lsd-nbd"))
        .arg("serve")
        .arg("--socket")
        .arg(&socket)
        .arg(format!("disk={}", image.spec()));
    let mut server = serve.timeout(Duration::from_secs(300)).start();
    server.wait_for_text("nbd+unix:", Duration::from_secs(30));
    let url = format!("nbd+unix:///disk?socket={}", socket.display());
    let write = || Cmd::stock("qemu-io").args(["-f", "raw", "-c", "write 0 4k", &url]);
    write().ok();
    let osds = ["osd.0", "osd.1", "osd.2"];
    osds.iter().for_each(|osd| cluster.signal(osd, "-STOP"));
    let waiting = write().timeout(Duration::from_secs(120)).start();
    std::thread::sleep(Duration::from_secs(1));
    server.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_secs(3));
    assert!(server.is_alive(), "what was written is not durable: {}", server.text());
    let ended = server.stop();
    assert_eq!(ended.code, Some(nix::libc::EINTR), "{ended}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("a second time"), "{ended}");
    waiting.kill();
    osds.iter().for_each(|osd| cluster.signal(osd, "-CONT"));
}

/// An OSD holds back writes to an object that it scrubs or that one of its copies lacks, and serves reads of it: the owner changes all
/// the same, and misses nothing.
#[test]
fn owners_change_while_objects_are_scrubbed_and_recovered() {
    let _alone = requires_ceph!(alone);
    let cluster = Cluster::start("3");
    let ceph = cluster.ceph().with_short_watches();
    let dir = scratch_dir();
    let image = ceph.image("unrest").create("16M");
    let state = dir.path().join("state");
    let rounds: &[bool] = if is_long() { &[false, true, false, true, false] } else { &[false] };
    for (round, degraded) in rounds.iter().copied().enumerate() {
        let seed = (round + 1).to_string();
        let load = [&seed, ENDLESS, DEPTH, FLUSH_EVERY];
        let mut writer = prefix(&cluster, &image, "write", &state, &load).timeout(Duration::from_secs(300)).start();
        writer.wait_for_text("flushed", Duration::from_secs(60));
        if degraded {
            cluster.degrade(|| goes_on(&mut writer, "an OSD was killed"));
        } else {
            goes_on(&mut writer, "it began");
            cluster.scrub();
        }
        let flushed = last_number(&writer.kill().text(), "flushed ");
        let checked = prefix(&cluster, &image, "check", &state, &[&seed, &flushed.to_string()]).run();
        assert!(checked.code == Some(0), "round {round}, degraded: {degraded}, {flushed} flushed: {checked}");
        if degraded {
            cluster.heal();
        }
    }
}
