//! What the log of a client says when something fails below it on a cluster: one line for what began and one for its end, each with
//! image, object, operation and cause, however often calls fail meanwhile.
use super::check::{in_cluster, objects};
use super::full_pool::Pool;
use crate::common::{Ceph, Image, OwnCluster, Running, built, pattern, scratch_dir, wait_until};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(120);

/// Writes and flushes until it is killed. Says `at work` at first, `failing` after eight calls that failed, and `well again` once
/// calls succeed after that.
const WRITER: &str = "
import time
image = rbd.Image(io, args[0])
failed, said = 0, False
def say(text):
    print(text, flush=True)
def write(number):
    image.write(bytes([number % 251 + 1]) * 65536, (64 << 20) + number % 64 * 65536)
    image.flush()
if not args[1:]:
    write(0)
say('at work')
for number in range(1, 1 << 30):
    try:
        write(number)
        if failed >= 8 and not said:
            say('well again')
            said = True
    except rbd.Error as error:
        failed += 1
        if failed == 8:
            say('failing')
    time.sleep(0.02)
";

/// A client whose log is asked for.
struct Logged {
    ceph: Ceph,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Logged {
    /// With more lines for its ceph.conf.
    fn new(ceph: &Ceph, more: &[&str]) -> Self {
        let dir = scratch_dir();
        let file = dir.path().join("log");
        let place = format!("lsd_log_file = {}", file.display());
        let ceph = ceph.with_client_conf(&[&["lsd_log_level = info", &place], more].concat());
        Self { ceph, file, _dir: dir }
    }

    /// `waits`: its first write is one of those that may fail.
    fn writer(&self, image: &Image, waits: bool) -> Running {
        let words = waits.then_some("waits");
        let command = self.ceph.python(&image.pool, WRITER).arg(&image.name).args(words);
        let mut writer = command.timeout(Duration::from_secs(600)).start();
        writer.wait_for_text("at work", LONG);
        writer
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// The lines about the image that have all of these.
    fn lines(&self, image: &Image, parts: &[&str]) -> Vec<String> {
        let name = format!(" image={} ", image.name);
        let has = |line: &&str| format!("{line} ").contains(&name) && parts.iter().all(|part| line.contains(part));
        self.text().lines().filter(has).map(str::to_owned).collect()
    }

    /// What comes again later has a count with it.
    #[track_caller]
    fn once(&self, image: &Image, parts: &[&str]) {
        let first = self.lines(image, parts).into_iter().filter(|line| !line.contains(" left_out="));
        assert_eq!(first.count(), 1, "{parts:?} of {} in\n{}", image.name, self.text());
    }

    /// Nothing else is told than that it opened and owned the image, what these are, and one call that failed.
    #[track_caller]
    fn nothing_but(&self, parts: &[&str]) {
        let usual = ["the image is open", "this client owns the image", "the image is being closed", " left_out="];
        let known = |line: &str| usual.iter().chain(parts).any(|part| line.contains(part));
        let others: Vec<String> = self.text().lines().filter(|line| !known(line)).map(str::to_owned).collect();
        let is_call =
            |line: &String| line.contains(" ERROR lsd::api: ") && line.contains(" op=") && line.contains(" object=");
        assert!(others.len() == 1 && others.iter().all(is_call), "{others:#?} in\n{}", self.text());
    }
}

#[test]
fn a_full_pool_is_one_line_and_its_end_is_another() {
    let ceph = requires_ceph!();
    let pool = Pool::new(&ceph, "quota-log");
    let image = pool.filled_image();
    let logged = Logged::new(&ceph, &[]);
    let mut writer = logged.writer(&image, true);
    writer.wait_for_text("failing", LONG);
    pool.set_quota(0);
    writer.wait_for_text("well again", LONG);
    writer.kill();
    let begins = [" WARN lsd::append: ", "the pool is full", " op=append", " object=lsd_data.", " error="];
    logged.once(&image, &begins);
    logged.once(&image, &[" INFO lsd::append: ", "the pool takes data again", " op=append"]);
    logged.nothing_but(&["the pool is full", "the pool takes data again"]);
}

#[test]
fn an_osd_that_is_stopped_is_one_line_and_its_return_is_another() {
    let _alone = requires_ceph!(alone);
    let cluster = OwnCluster::start(&["--osds", "1"]);
    let ceph = cluster.ceph();
    let image = ceph.image("stopped").create("128M");
    let logged = Logged::new(&ceph, &["rados_osd_op_timeout = 2"]);
    let mut writer = logged.writer(&image, false);
    cluster.signal("osd.0", "-STOP");
    writer.wait_for_text("failing", LONG);
    cluster.signal("osd.0", "-CONT");
    writer.wait_for_text("well again", LONG);
    writer.kill();
    let begins = [" WARN lsd::append: ", "does not take the log", " op=append", " object=lsd_data.", "timed out"];
    logged.once(&image, &begins);
    logged.once(&image, &[" INFO lsd::append: ", "takes the log again", " op=append"]);
    logged.nothing_but(&["the log"]);
}

#[test]
fn a_client_on_the_blocklist_is_told_once_that_its_image_failed() {
    let ceph = requires_ceph!();
    let image = ceph.image("fenced").create("128M");
    let logged = Logged::new(&ceph, &[]);
    let mut writer = logged.writer(&image, false);
    let status = ceph.client(built("lsd")).args(["status", "--format", "json", &image.spec()]).ok().json();
    let addr = status["watchers"][0]["address"].as_str().unwrap().to_owned();
    ceph.stock("ceph").args(["osd", "blocklist", "add", &addr, "3600"]).ok();
    writer.wait_for_text("failing", LONG);
    writer.kill();
    ceph.stock("ceph").args(["osd", "blocklist", "rm", &addr]).ok();
    logged.once(&image, &[" ERROR lsd::image: ", "the image failed", " op=", " object=lsd_", " error=", "(108)"]);
    logged.nothing_but(&["the image failed"]);
}

/// The owner is stopped, and its watch lasts for longer than anybody waits for an answer.
#[test]
fn a_takeover_that_waits_for_a_silent_owner_is_one_line() {
    let ceph = requires_ceph!();
    let image = ceph.image("silent").create("128M");
    let owner_log = Logged::new(&ceph, &[]);
    let owner = owner_log.writer(&image, false);
    owner.signal(Signal::SIGSTOP);
    let logged = Logged::new(&ceph, &[]);
    let heir = logged.writer(&image, true);
    let silent =
        [" WARN lsd::ownership: ", "the owner is silent", " op=takeover", " object=lsd_header.", " error=\"client."];
    wait_until("the log says that the owner is silent", LONG, || !logged.lines(&image, &silent).is_empty());
    // It asks once more before the owner goes on.
    std::thread::sleep(Duration::from_secs(6));
    owner.signal(Signal::SIGCONT);
    wait_until("it owns the image", LONG, || !logged.lines(&image, &["this client owns the image"]).is_empty());
    heir.kill();
    owner.kill();
    logged.once(&image, &silent);
    let waits = [
        " INFO lsd::ownership: ",
        "waiting for it",
        " op=takeover",
        " object=lsd_header.",
        " holder=client.",
        " addr=",
    ];
    logged.once(&image, &waits);
    logged.once(&image, &["this client owns the image"]);
    let given = [" INFO lsd::ownership: ", "gives the image away", " op=hand-over", " object=lsd_header."];
    assert!(!owner_log.lines(&image, &given).is_empty(), "{}", owner_log.text());
}

/// An owner that died: who takes the image says whom it has cut off.
#[test]
fn an_owner_that_died_is_told_when_it_is_fenced_off() {
    let ceph = requires_ceph!().with_short_watches();
    let image = ceph.image("dead").create("128M");
    let owner = Logged::new(&ceph, &[]).writer(&image, false);
    owner.kill();
    let logged = Logged::new(&ceph, &[]);
    logged.writer(&image, false).kill();
    let dead = [
        " WARN lsd::ownership: ",
        "it was fenced off",
        " op=evict",
        " object=lsd_header.",
        " holder=client.",
        " addr=",
    ];
    logged.once(&image, &dead);
}

#[test]
fn a_flipped_byte_is_one_line_however_often_it_is_read() {
    let ceph = requires_ceph!();
    let image = in_cluster(&ceph, &pattern(12 << 20, 51));
    let object = objects(&image, "data").remove(0);
    let dir = scratch_dir();
    let file = dir.path().join("object");
    ceph.rados(&image.pool).args(["get", &object]).arg(&file).ok();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4096 + 777] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    ceph.rados(&image.pool).args(["put", &object]).arg(&file).ok();
    let logged = Logged::new(&ceph, &[]);
    let reader = "
failed = 0
with rbd.Image(io, args[0], read_only=True) as image:
    for again in range(3):
        for block in range(image.size() // 65536):
            try: image.read(block * 65536, 65536)
            except rbd.Error: failed += 1
print(failed)
";
    let failed = logged.ceph.python(&image.pool, reader).arg(&image.name).ok().text();
    assert!(failed.trim().parse::<u32>().unwrap() >= 3, "{failed}");
    let damaged = format!(" object={object}");
    logged
        .once(&image, &[" ERROR lsd::damage: ", "stored data is damaged", " op=read", &damaged, " error=", "checksum"]);
    let damage = |line: &&str| line.contains("lsd::damage");
    assert_eq!(logged.text().lines().filter(damage).count(), 1, "{}", logged.text());
}
