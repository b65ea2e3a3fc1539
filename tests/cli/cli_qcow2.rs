//! `lsd import --format qcow2` and `lsd export --format qcow2`, on a directory and on the cluster: content, holes, snapshots, and what
//! is left when something is wrong.
use crate::common::{Cmd, built, pattern, scratch_dir, wait_until};
use nix::sys::signal::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: usize = 1 << 20;
/// Of the disk; what is written lies at its beginning, at its middle, and before its end.
const DISK: usize = 48 * MIB;
const WRITTEN: usize = 3 * MIB;

struct Place {
    dir: tempfile::TempDir,
    /// A specification up to the image's name.
    images: String,
    ceph_conf: Option<PathBuf>,
}

impl Place {
    fn directory() -> Self {
        let dir = scratch_dir();
        Self { images: format!("dir:{}/store/", dir.path().display()), dir, ceph_conf: None }
    }

    fn spec(&self, image: &str) -> String {
        format!("{}{image}", self.images)
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn lsd<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        let command = Cmd::new(built("lsd")).args(args);
        match &self.ceph_conf {
            Some(conf) => command.env("CEPH_CONF", conf),
            None => command,
        }
    }

    fn import(&self, file: &str, image: &str) -> Cmd {
        self.lsd(["import", "--no-progress", "--format", "qcow2", file, &self.spec(image)])
    }

    fn export(&self, image: &str, file: &str) -> Cmd {
        self.lsd(["export", "--no-progress", "--format", "qcow2", &self.spec(image), file])
    }

    /// A raw disk with holes, and the same as qcow2.
    fn disk(&self, seed: u64) -> (String, String) {
        let (raw, qcow2) = (self.file(&format!("{seed}.raw")), self.file(&format!("{seed}.qcow2")));
        let file = std::fs::File::create(&raw).unwrap();
        file.set_len(DISK as u64).unwrap();
        for (index, at) in [0, DISK / 2, DISK - MIB].into_iter().enumerate() {
            let bytes = pattern(MIB, seed + index as u64);
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at as u64).unwrap();
        }
        qemu_img(&["convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2]);
        (raw, qcow2)
    }

    /// What the image takes, bytes.
    fn used(&self, image: &str) -> usize {
        let usage = self.lsd(["du", "--format", "json", &self.spec(image)]).ok().json();
        usage["images"][0]["used_size"].as_u64().unwrap() as usize
    }

    fn has_content(&self, image: &str, raw: &str) {
        let content = self.lsd(["export", "--no-progress", &self.spec(image), "-"]).ok().stdout;
        assert!(content == std::fs::read(raw).unwrap(), "{image} is not {raw}");
    }

    fn has_no(&self, image: &str) {
        self.lsd(["info", &self.spec(image)]).run().expect_code(2);
    }

    fn round_trip(&self, image: &str) {
        let (raw, qcow2) = self.disk(1);
        self.import(&qcow2, image).ok();
        self.has_content(image, &raw);
        let used = self.used(image);
        assert!((WRITTEN..WRITTEN + 2 * MIB).contains(&used), "{used} bytes are in use, and {WRITTEN} were written");
        self.lsd(["snap", "create", "--no-progress", &self.spec(&format!("{image}@s"))]).ok();
        let (out, of_snapshot) = (self.file("out.qcow2"), self.file("snapshot.qcow2"));
        let write = ["bench", "--io-type", "write", "--io-size", "64K", "--io-total", "1M", &self.spec(image)];
        self.lsd(write).ok();
        self.export(&format!("{image}@s"), &of_snapshot).ok();
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &raw, &of_snapshot]);
        qemu_img(&["check", "-q", &of_snapshot]);
        let blocks = std::fs::metadata(&of_snapshot).unwrap().blocks() * 512;
        assert!(blocks < (WRITTEN + MIB) as u64, "{blocks} bytes for {WRITTEN}");
        self.export(image, &out).ok();
        let changed = self.file("changed.raw");
        self.lsd(["export", "--no-progress", "--format", "raw", &self.spec(image), &changed]).ok();
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &changed, &out]);
    }
}

fn qemu_img(args: &[&str]) {
    Cmd::stock("qemu-img").args(args).ok();
}

/// The folders that an import or an export makes for a socket.
fn rooms(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_directory_takes_and_gives_qcow2() {
    Place::directory().round_trip("a");
}

#[test]
fn a_cluster_takes_and_gives_qcow2() {
    let ceph = requires_ceph!();
    let image = ceph.image("qcow2");
    let place = Place { images: "rbd/".to_owned(), ceph_conf: Some(ceph.conf.clone()), dir: scratch_dir() };
    place.round_trip(&image.name);
    place.lsd(["snap", "purge", "--no-progress", &image.spec()]).ok();
}

#[test]
fn compressed_files_and_odd_sizes() {
    let place = Place::directory();
    let (raw, qcow2) = place.disk(4);
    let compressed = place.file("a name, with=a comma:colon.qcow2");
    qemu_img(&["convert", "-c", "-f", "qcow2", "-O", "qcow2", &qcow2, &format!("file:{compressed}")]);
    place.import(&compressed, "a").ok();
    place.has_content("a", &raw);
    // A qcow2 file's disk has whole sectors: what is behind the image's end is zeroes.
    let bytes = pattern(5 * MIB + 4321, 9);
    std::fs::write(place.file("odd"), &bytes).unwrap();
    place.lsd(["import", "--no-progress", &place.file("odd"), &place.spec("odd")]).ok();
    let done = place.lsd(["export", "--format", "qcow2", &place.spec("odd"), "x:y.qcow2"]).dir(place.dir.path()).ok();
    assert!(done.errors().ends_with("\rExporting image: 100% complete...done.\n"), "{}", done.errors());
    qemu_img(&[
        "convert",
        "-f",
        "qcow2",
        "-O",
        "raw",
        &format!("file:{}", place.file("x:y.qcow2")),
        &place.file("back"),
    ]);
    let back = std::fs::read(place.file("back")).unwrap();
    assert!(back.len() == bytes.len().next_multiple_of(512) && back[..bytes.len()] == bytes, "{}", back.len());
    assert!(back[bytes.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn without_the_option_a_qcow2_file_is_bytes() {
    let place = Place::directory();
    let (_, qcow2) = place.disk(1);
    let done = place.lsd(["import", "--no-progress", &qcow2, &place.spec("a")]).ok();
    assert_eq!((done.text(), done.errors()), (String::new(), String::new()));
    place.has_content("a", &qcow2);
}

#[test]
fn what_cannot_be_read_leaves_no_image() {
    let place = Place::directory();
    let (raw, qcow2) = place.disk(1);
    place.import(&raw, "a").run().expect_code(22).says("Image is not in qcow2 format");
    place.import(&place.file("none"), "a").run().expect_code(2).says("error opening").says("import failed: (2)");
    place.import("-", "a").run().expect_code(22).says("a qcow2 file is neither read from a stream");
    let cut = place.file("cut.qcow2");
    std::fs::copy(&qcow2, &cut).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
    file.set_len(file.metadata().unwrap().len() - MIB as u64).unwrap();
    place.import(&cut, "a").run().expect_code(22).says("cut.qcow2 is damaged: ERROR").says("end of the file");
    file.set_len(50).unwrap();
    place.import(&cut, "a").run().expect_code(22).says("qcow2 header too short");
    let over = place.file("over.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", &raw, "-F", "raw", &over]);
    place
        .import(&over, "a")
        .run()
        .expect_code(22)
        .says("has a backing file: make one file")
        .says("qemu-img convert first");
    let beside = place.file("beside.qcow2");
    let options = format!("data_file={}", place.file("data"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &options, &beside, "1M"]);
    place.import(&beside, "a").run().expect_code(22).says("has its data in another file");
    let no_program = place.import(&qcow2, "a").env("PATH", place.dir.path()).run();
    no_program.expect_code(2).says("there is no qemu-img: for qcow2 install qemu-utils (Debian, Ubuntu)");
    for more in [&["--lazy"][..], &["--export-format", "2"]] {
        place.import(&qcow2, "a").args(more).run().expect_code(22);
    }
    place.lsd(["import", "--format", "vmdk", &qcow2, &place.spec("a")]).run().expect_code(1);
    assert!(!Path::new(&place.file("store")).exists(), "a store was made");
}

#[test]
fn what_cannot_be_written_leaves_no_file() {
    let place = Place::directory();
    let (_, qcow2) = place.disk(1);
    place.import(&qcow2, "a").ok();
    place.import(&qcow2, "a").run().expect_code(17).says("image creation failed");
    let before = std::fs::read(&qcow2).unwrap();
    place.export("a", &qcow2).run().expect_code(17).says("export error: (17) File exists");
    assert!(std::fs::read(&qcow2).unwrap() == before);
    place.export("a", "-").run().expect_code(22);
    place.export("a", &place.file("none/out")).run().expect_code(2).says("there is no directory");
    place.export("a@none", &place.file("out")).run().expect_code(2);
    place.export("a", &place.file("out")).env("PATH", place.dir.path()).run().expect_code(2).says("install qemu-utils");
    assert!(!Path::new(&place.file("out")).exists());
    // A device that is full.
    let limit = format!(
        "ulimit -f 1024; trap '' XFSZ; exec \"$0\" export --no-progress --format qcow2 {} {}",
        place.spec("a"),
        place.file("out")
    );
    let done = Cmd::new("bash").args(["-c", &limit]).arg(built("lsd")).run();
    done.expect_code(27).says("export error: qemu-img: ").says("File too large");
    assert!(!Path::new(&place.file("out")).exists());
}

/// Ctrl+C, and a service that is stopped.
#[test]
fn who_is_told_to_end_takes_away_what_is_not_complete() {
    let place = Place::directory();
    let (_, qcow2) = place.disk(1);
    let rooms_in = place.dir.path().join("tmp");
    std::fs::create_dir(&rooms_in).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let slowly = place.lsd(["import", "--format", "qcow2", "--rbd_qos_bps_limit", "262144"]);
        let mut run = slowly.args([&qcow2, &place.spec("a")]).env("TMPDIR", &rooms_in).start();
        wait_until("qemu-img is at work", Duration::from_secs(20), || rooms(&rooms_in) == 1 && run.is_alive());
        std::thread::sleep(Duration::from_millis(500));
        run.signal(signal);
        run.wait(Duration::from_secs(20))
            .expect_code(4)
            .says("import failed: told to end: (4) Interrupted system call");
        place.has_no("a");
        assert_eq!(rooms(&rooms_in), 0, "a folder with a socket is left");
    }
    assert_eq!(place.lsd(["ls", &format!("dir:{}", place.file("store"))]).ok().text(), "");
}

/// In the middle of the work: a file system that is full, below a directory.
#[test]
fn a_full_store_ends_an_import() {
    let place = Place::directory();
    let (_, qcow2) = place.disk(1);
    let store = place.dir.path().join("small");
    std::fs::create_dir(&store).unwrap();
    let lines = format!(
        "mount --make-rprivate / && mount -t tmpfs -o size=2m none {small}\n\
         code=0; \"$0\" import --no-progress --format qcow2 {qcow2} dir:{small}/store/a || code=$?\n\
         \"$0\" ls dir:{small}/store; exit $code",
        small = store.display()
    );
    let done = Cmd::new("unshare").args(["-m", "bash", "-c", &lines]).arg(built("lsd")).run();
    done.expect_code(28).says("import failed: (28) No space left on device");
}

#[test]
fn a_full_pool_takes_no_disk() {
    let ceph = requires_ceph!();
    let pool = format!("qcow2-full-{}", std::process::id());
    ceph.make_pool(&pool);
    let place = Place { images: format!("{pool}/"), ceph_conf: Some(ceph.conf.clone()), dir: scratch_dir() };
    let (_, qcow2) = place.disk(1);
    ceph.stock("ceph").args(["osd", "pool", "set-quota", &pool, "max_bytes", "65536"]).ok();
    place.import(&qcow2, "first").run();
    wait_until("the pool is full", Duration::from_secs(60), || {
        let pools = ceph.stock("ceph").args(["osd", "pool", "ls", "detail"]).ok().text();
        pools.lines().any(|line| line.contains(&pool) && line.contains("full_quota"))
    });
    let done = place.import(&qcow2, "second").run();
    ceph.remove_pool(&pool);
    done.expect_code(28).says("import failed: (28) No space left on device");
}
