//! `lsd-nbd serve` under other people's NBD clients: libnbd's tools, QEMU, and nbdfuse with a loop device and ext4.
use crate::common::{Cmd, Finished, Running, built, pattern, scratch_dir, wait_until};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server of images in a directory store, and the directory.
struct Served {
    server: Option<Running>,
    socket: PathBuf,
    dir: tempfile::TempDir,
}

fn start_server(socket: &Path, options: &[&str], exports: &[String]) -> Running {
    let mut server =
        Cmd::new(built("lsd-nbd")).args(["serve", "--socket"]).arg(socket).args(options).args(exports).start();
    wait_until("the server listens", Duration::from_secs(30), || {
        assert!(server.is_alive(), "the server ended before it listened");
        UnixStream::connect(socket).is_ok()
    });
    server
}

impl Served {
    fn new(images: &[(&str, &str)], options: &[&str]) -> Self {
        let dir = scratch_dir();
        for (name, size) in images {
            Cmd::new(built("lsd")).args(["create", "--size", size]).arg(spec(dir.path(), name)).ok();
        }
        let socket = dir.path().join("socket");
        let mut served = Self { server: None, socket, dir };
        served.serve(images.iter().map(|(name, _)| *name), options);
        served
    }

    fn serve<'a>(&mut self, images: impl Iterator<Item = &'a str>, options: &[&str]) {
        let exports: Vec<String> = images.map(|name| format!("{name}={}", spec(self.dir.path(), name))).collect();
        let _ = std::fs::remove_file(&self.socket);
        self.server = Some(start_server(&self.socket, options, &exports));
    }

    fn url(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket.display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `kill -9`, as a crash of the server.
    fn crash(&mut self) {
        self.server.take().unwrap().kill();
    }
}

fn spec(dir: &Path, name: &str) -> String {
    format!("dir:{}/store/{name}", dir.display())
}

fn qemu_io(url: &str, commands: &[&str]) {
    let args = commands.iter().flat_map(|command| ["-c", command]);
    let done = Cmd::stock("qemu-io").args(["-f", "raw", "-t", "writeback", "-d", "unmap"]).args(args).arg(url).ok();
    assert!(!done.text().contains("verification failed") && !done.text().contains("failed:"), "{done}");
}

#[test]
fn nbdinfo_sees_what_the_export_can_do() {
    let served = Served::new(&[("disk", "64M")], &[]);
    let info = Cmd::stock("nbdinfo").args(["--json", &served.url("disk")]).ok().json();
    assert_eq!(info["protocol"], "newstyle-fixed");
    let export = &info["exports"][0];
    assert_eq!(export["export-size"], 64 << 20);
    for ability in ["can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn", "can_df"] {
        assert_eq!(export[ability], true, "{ability}: {export}");
    }
    assert_eq!(export["is_read_only"], false);
    let contexts: Vec<_> =
        export["contexts"].as_array().unwrap().iter().map(|context| context.as_str().unwrap()).collect();
    assert!(contexts.contains(&"base:allocation"), "{contexts:?}");
}

#[test]
fn several_exports_are_listed_and_kept_apart() {
    let served = Served::new(&[("one", "16M"), ("two", "32M")], &[]);
    let list = Cmd::stock("nbdinfo").args(["--list", "--json", &served.url("")]).ok().json();
    let mut names: Vec<_> =
        list["exports"].as_array().unwrap().iter().map(|e| e["export-name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "two"]);
    qemu_io(&served.url("one"), &["write -P 1 0 8M", "flush"]);
    qemu_io(&served.url("two"), &["read -P 0 0 32M"]);
    Cmd::stock("nbdinfo").args(["--size", &served.url("three")]).fails();
}

#[test]
fn nbdcopy_in_and_out() {
    let served = Served::new(&[("disk", "48M")], &[]);
    let mut bytes = pattern(20 << 20, 21);
    bytes.resize(40 << 20, 0);
    bytes.extend(pattern(8 << 20, 22));
    std::fs::write(served.path("in"), &bytes).unwrap();
    Cmd::stock("nbdcopy").arg(served.path("in")).arg(served.url("disk")).arg("--flush").ok();
    Cmd::stock("nbdcopy").arg(served.url("disk")).arg(served.path("out")).ok();
    assert!(std::fs::read(served.path("out")).unwrap() == bytes, "other bytes came out");
    let map = Cmd::stock("nbdinfo").args(["--map", "--json", &served.url("disk")]).ok().json();
    let hole = |entry: &&serde_json::Value| entry["offset"].as_u64() <= Some(24 << 20) && entry["type"] != 0;
    assert!(map.as_array().unwrap().iter().any(|entry| hole(&entry)), "the hole is not in the block status: {map}");
}

#[test]
fn qemu_img_over_a_unix_socket() {
    let served = Served::new(&[("disk", "32M")], &[]);
    std::fs::write(served.path("in"), pattern(32 << 20, 23)).unwrap();
    let raw = ["-f", "raw"];
    let convert = Cmd::stock("qemu-img").args(["convert", "-n"]).args(raw).args(["-O", "raw"]);
    convert.arg(served.path("in")).arg(served.url("disk")).ok();
    let compare = Cmd::stock("qemu-img").arg("compare").args(raw).args(["-F", "raw"]);
    compare.arg(served.path("in")).arg(served.url("disk")).ok().says("Images are identical");
    qemu_io(&served.url("disk"), &["write -z 4M 4M", "discard 16M 8M", "write -f -P 7 1000 3000", "flush"]);
    qemu_io(&served.url("disk"), &["read -P 0 4M 4M", "read -P 0 16M 8M", "read -P 7 1000 3000"]);
}

#[test]
fn qemu_img_over_tcp() {
    let dir = scratch_dir();
    let image = spec(dir.path(), "disk");
    Cmd::new(built("lsd")).args(["create", "--size", "16M", &image]).ok();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let _server = Cmd::new(built("lsd-nbd")).args(["serve", "--listen", &address, &format!("disk={image}")]).start();
    wait_until("the server listens", Duration::from_secs(30), || std::net::TcpStream::connect(&address).is_ok());
    qemu_io(&format!("nbd://{address}/disk"), &["write -P 9 0 16M", "flush", "read -P 9 0 16M"]);
}

#[test]
fn a_read_only_export_refuses_writes() {
    let mut served = Served::new(&[("disk", "16M")], &[]);
    qemu_io(&served.url("disk"), &["write -P 5 0 1M", "flush"]);
    drop(served.server.take().unwrap().stop());
    served.serve(["disk"].into_iter(), &["--read-only"]);
    let info = Cmd::stock("nbdinfo").args(["--json", &served.url("disk")]).ok().json();
    assert_eq!(info["exports"][0]["is_read_only"], true);
    let write = ["-f", "raw", "-c", "write -P 6 0 1M"];
    Cmd::stock("qemu-io").args(write).arg(served.url("disk")).fails();
    let read = ["-r", "-f", "raw", "-c", "read -P 5 0 1M"];
    Cmd::stock("qemu-io").args(read).arg(served.url("disk")).ok();
}

#[test]
fn what_was_flushed_survives_a_crash_of_the_server() {
    let mut served = Served::new(&[("disk", "64M")], &[]);
    qemu_io(&served.url("disk"), &["write -P 0x71 0 16M", "write -P 0x72 4097 70000", "flush"]);
    served.crash();
    served.serve(["disk"].into_iter(), &[]);
    qemu_io(&served.url("disk"), &["read -P 0x71 0 4097", "read -P 0x72 4097 70000", "read -P 0x71 1M 15M"]);
}

#[test]
fn many_connections_at_once() {
    let served = Served::new(&[("disk", "64M")], &[]);
    std::fs::write(served.path("in"), pattern(64 << 20, 24)).unwrap();
    let many = ["--connections=8", "--requests=64", "--request-size=65536"];
    Cmd::stock("nbdcopy").args(many).arg(served.path("in")).arg(served.url("disk")).ok();
    Cmd::stock("nbdcopy").args(many).arg(served.url("disk")).arg(served.path("out")).ok();
    assert!(std::fs::read(served.path("in")).unwrap() == std::fs::read(served.path("out")).unwrap());
}

/// A real file system of the host's kernel: NBD export -> nbdfuse -> loop device -> ext4.
#[test]
fn ext4_over_nbdfuse_and_a_loop_device() {
    let served = Served::new(&[("disk", "256M")], &[]);
    std::fs::create_dir(served.path("fuse")).unwrap();
    std::fs::create_dir(served.path("mnt")).unwrap();
    let script = r#"
        set -eux
        cleanup() {
            mountpoint -q mnt && umount mnt
            [ -z "${loop:-}" ] || losetup -d "$loop"
            mountpoint -q fuse && fusermount3 -u fuse
            wait
        }
        trap cleanup EXIT
        nbdfuse fuse/disk "$1" &
        for i in $(seq 200); do [ -e fuse/disk ] && break; sleep 0.05; done
        loop=$(losetup --direct-io=on --show -f fuse/disk)
        mkfs.ext4 -q "$loop"
        mount "$loop" mnt
        cp -rL /usr/share/common-licenses mnt/
        dd if=/dev/urandom of=mnt/random bs=1M count=48 conv=fsync
        (cd mnt && find . -type f -exec sha256sum {} +) >sums
        umount mnt
        fsck.ext4 -f -n "$loop"
        mount -o discard "$loop" mnt
        (cd mnt && sha256sum --quiet -c ../sums)
        rm mnt/random && sync && fstrim -v mnt
        umount mnt
        fsck.ext4 -f -n "$loop"
    "#;
    let url = served.url("disk");
    let bash = Cmd::stock("bash").args(["-c", script, "bash", &url]).dir(served.dir.path());
    bash.timeout(Duration::from_secs(180)).ok().says("trimmed");
}

/// A second server of the image `served` serves alone: its client cannot write, and with `--exclusive` it does not start.
fn nobody_else_writes(start: impl Fn(&Path, &[&str]) -> Cmd, lsd_gc: Cmd) {
    let dir = scratch_dir();
    let listen = |name: &str, options: &[&str]| {
        let socket = dir.path().join(name);
        let mut server = start(&socket, options).start();
        wait_until("the server listens", Duration::from_secs(30), || {
            assert!(server.is_alive(), "the server ended before it listened");
            UnixStream::connect(&socket).is_ok()
        });
        (server, format!("nbd+unix:///?socket={}", socket.display()))
    };
    // It has the image and gives it away, as any writer does.
    let (second, of_second) = listen("second", &[]);
    qemu_io(&of_second, &["write -P 1 0 1M", "flush"]);
    let (first, of_first) = listen("first", &["--exclusive"]);
    qemu_io(&of_first, &["read -P 1 0 1M", "write -P 2 0 1M", "flush"]);
    let write = |url: &str| Cmd::stock("qemu-io").args(["-f", "raw", "-c", "write -P 3 0 1M"]).arg(url).run();
    let refused = write(&of_second);
    assert!(refused.says("write failed").code == Some(1), "{refused}");
    let third = start(&dir.path().join("third"), &["--exclusive"]).run().expect_code(1);
    third.says("lsd-nbd: failed to acquire exclusive lock: (30) Read-only file system").says("took the lock by hand");
    lsd_gc.run().expect_code(30).says("lsd: gc failed: (30) Read-only file system").says("took the lock by hand");
    // What was refused changed nothing, and the first goes on.
    qemu_io(&of_first, &["read -P 2 0 1M", "write -P 4 1M 1M", "flush"]);
    first.stop().expect_code(0);
    qemu_io(&of_second, &["write -P 5 2M 1M", "flush", "read -P 2 0 1M", "read -P 4 1M 1M", "read -P 5 2M 1M"]);
    second.stop().expect_code(0);
}

#[test]
fn an_exclusive_server_is_the_only_writer() {
    let dir = scratch_dir();
    let image = spec(dir.path(), "disk");
    Cmd::new(built("lsd")).args(["create", "--size", "16M", &image]).ok();
    let start = |socket: &Path, options: &[&str]| {
        Cmd::new(built("lsd-nbd")).args(["serve", "--socket"]).arg(socket).args(options).arg(&image)
    };
    nobody_else_writes(start, Cmd::new(built("lsd")).args(["gc", "--no-progress", &image]));
    // Where there is no lock to take, nothing pretends to have it.
    let shared = spec(dir.path(), "shared");
    Cmd::new(built("lsd")).args(["create", "--size", "16M", "--image-feature", "layering", &shared]).ok();
    let socket = dir.path().join("socket");
    let refused = Cmd::new(built("lsd-nbd")).args(["serve", "--exclusive", "--socket"]).arg(socket).arg(&shared).run();
    refused.expect_code(1).says("failed to acquire exclusive lock: (22) Invalid argument");
}

#[test]
fn an_exclusive_server_of_an_image_in_ceph_is_the_only_writer() {
    let ceph = requires_ceph!();
    let image = ceph.image("exclusive").create("16M");
    let start = |socket: &Path, options: &[&str]| {
        ceph.client(built("lsd-nbd")).args(["serve", "--socket"]).arg(socket).args(options).arg(image.spec())
    };
    nobody_else_writes(start, ceph.client(built("lsd")).args(["gc", "--no-progress", &image.spec()]));
}

#[test]
fn a_server_tells_what_failed_and_who_is_connected() {
    let mut served = Served::new(&[("disk", "16M")], &[]);
    qemu_io(&served.url("disk"), &["write -P 7 0 4M", "flush"]);
    served.server.take().unwrap().stop().expect_code(0);
    for entry in std::fs::read_dir(served.path("store/objects")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("lsd_data") {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].fill(0xa5);
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let log = served.path("log");
    let options = ["--log-level", "error", "--log-file", log.to_str().unwrap()];
    served.serve(["disk"].into_iter(), &options);
    let read = Cmd::stock("qemu-io").args(["-r", "-f", "raw", "-c", "read 0 4M"]).arg(served.url("disk")).run();
    read.says("Input/output error");
    let server = served.server.take().unwrap();
    let idle = UnixStream::connect(&served.socket).unwrap();
    // It may not have taken the connection yet when it is asked first.
    wait_until("it tells who is connected", Duration::from_secs(30), || {
        server.signal(nix::sys::signal::Signal::SIGUSR1);
        server.errors().contains("in the handshake")
    });
    drop(idle);
    let said = server.stop().expect_code(0);
    said.says("nbd: \"disk\": read of 4194304 bytes at 0 for process ").says("(errno 5)").says("of 256 connections");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(" ERROR lsd::api: nbd: \"disk\": read of 4194304 bytes at 0 for process "), "{log}");
}

#[test]
fn wrong_command_lines_of_a_server_say_what_is_wrong() {
    let dir = scratch_dir();
    let image = spec(dir.path(), "disk");
    let serve = |args: &[&str]| Cmd::new(built("lsd-nbd")).arg("serve").args(args).arg(&image).run().expect_code(1);
    for address in ["127.0.0.1", ":33501"] {
        serve(&["--listen", address])
            .says(&format!("lsd-nbd: invalid address '{address}' for --listen: expected HOST:PORT"));
    }
    serve(&["--socket", &"s".repeat(200)]).says("200 bytes, and at most 107 are possible: (36) File name too long");
    Cmd::new(built("lsd")).args(["create", "--size", "16M", &image]).ok();
    serve(&["--listen", "no-such-host.invalid:10809"])
        .says("lsd-nbd: listen on no-such-host.invalid:10809: failed to lookup");
    let version = |program: &str| Cmd::new(built(program)).arg("--version").ok().text();
    assert_eq!(version("lsd-nbd"), version("lsd"));
}

/// The block of the README as it is pasted, in a folder of the test's own.
#[test]
fn the_readme_s_block_for_a_directory_works() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme.split("In a directory, without Ceph").nth(1).unwrap().split("On Ceph").next().unwrap();
    let lines =
        block.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with("cargo build"));
    let dir = scratch_dir();
    let own = dir.path().display().to_string();
    let script = lines.collect::<Vec<_>>().join("\n").replace("/var/tmp/", &format!("{own}/"));
    let script = script.replace("/tmp/one.sock", &format!("{own}/one.sock"));
    assert!(script.contains("lsd-nbd serve") && !script.contains("/tmp/one"), "{script}");
    let bin = built("lsd").parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let done = Cmd::new("bash").args(["-euc", &script]).env("PATH", path).dir(dir.path()).ok();
    done.says("size 10 GiB");
    assert!(!done.errors().contains("rror"), "{done}");
}

#[test]
fn an_image_in_ceph_is_served() {
    let ceph = requires_ceph!();
    let image = ceph.image("served").create("32M");
    let dir = scratch_dir();
    let socket = dir.path().join("socket");
    let mut server = ceph.client(built("lsd-nbd")).args(["serve", "--socket"]).arg(&socket).arg(image.spec()).start();
    wait_until("the server listens", Duration::from_secs(30), || {
        assert!(server.is_alive(), "the server ended before it listened");
        UnixStream::connect(&socket).is_ok()
    });
    let url = format!("nbd+unix:///?socket={}", socket.display());
    qemu_io(&url, &["write -P 0x44 1M 9M", "flush", "read -P 0x44 1M 9M"]);
    server.stop();
    image.qemu_io(&["read -P 0 0 1M", "read -P 0x44 1M 9M", "read -P 0 10M 22M"]);
}

/// A small file system; unmounted when it is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(script: &str) -> Self {
        let dir = scratch_dir();
        std::fs::create_dir(dir.path().join("fs")).unwrap();
        Cmd::stock("sh").args(["-exc", script]).dir(dir.path()).ok();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("fs")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Cmd::stock("umount").arg("-l").arg(self.path()).run();
    }
}

/// Commands of `qemu-io` that may fail. Of a flush that fails it says nothing, only its exit code does.
fn try_qemu_io(url: &str, commands: &[&str]) -> Finished {
    let args = commands.iter().flat_map(|command| ["-c", command]);
    Cmd::stock("qemu-io").args(["-f", "raw", "-t", "writeback", "-d", "unmap"]).args(args).arg(url).run()
}

/// Writes pieces of 1 MiB until one is refused; how many are durable.
fn fill(url: &str, from: usize) -> usize {
    for index in from..1024 {
        let done = try_qemu_io(url, &[&format!("write -P {} {index}M 1M", index % 255 + 1), "flush"]);
        if done.code != Some(0) {
            done.says("No space left on device");
            return index;
        }
    }
    panic!("a small file system took everything");
}

fn check_pieces(url: &str, pieces: std::ops::Range<usize>) {
    let reads: Vec<String> = pieces.map(|index| format!("read -P {} {index}M 1M", index % 255 + 1)).collect();
    qemu_io(url, &reads.iter().map(String::as_str).collect::<Vec<_>>());
}

/// What cannot be kept is refused as by a local disk; what frees space passes; everything ends when it is told to, and
/// whatever was flushed is there.
fn a_full_directory_goes_on(mounted: &Mounted) {
    let lsd = |args: &[&str]| Cmd::new(built("lsd")).args(args);
    let dir = mounted.0.path();
    let spec = format!("dir:{}/store/disk", mounted.path().display());
    std::fs::write(dir.join("large"), pattern(200 << 20, 5)).unwrap();
    let import = lsd(&["import", "--no-progress", dir.join("large").to_str().unwrap(), &spec]).run();
    import.expect_code(28).says("No space left on device");
    let pool = spec.trim_end_matches("/disk").to_owned();
    assert_eq!(lsd(&["ls", &pool]).ok().text(), "", "an import that failed leaves no image");
    lsd(&["create", "--size", "1G", &spec]).ok();
    let socket = dir.join("socket");
    let url = format!("nbd+unix:///disk?socket={}", socket.display());
    let exports = [format!("disk={spec}")];
    let server = start_server(&socket, &[], &exports);
    let durable = fill(&url, 0);
    assert!(durable > 20, "only {durable} MiB went in");
    check_pieces(&url, 0..durable);
    // A file system on the disk that is full trims, and goes on.
    qemu_io(&url, &["discard 0 12M", "flush"]);
    wait_until("the space is there again", Duration::from_secs(30), || {
        try_qemu_io(&url, &["write -P 200 0 4M", "flush"]).code == Some(0)
    });
    qemu_io(&url, &["read -P 200 0 4M", "read -P 0 4M 8M"]);
    check_pieces(&url, 12..durable);
    let full = fill(&url, durable);
    server.stop().expect_code(0);
    lsd(&["check", &spec]).ok();
    // Another program takes what the store leaves free.
    let server = start_server(&socket, &[], &exports);
    let foreign = mounted.path().join("foreign");
    Cmd::stock("sh").args(["-c", "dd if=/dev/zero bs=64k of=$1 2>&1; true", "sh"]).arg(&foreign).ok();
    try_qemu_io(&url, &["write -P 9 900M 4M", "flush"]);
    server.kill();
    lsd(&["export", "--no-progress", &spec, dir.join("out").to_str().unwrap()]).ok();
    let out = std::fs::read(dir.join("out")).unwrap();
    assert!(out[..4 << 20].iter().all(|byte| *byte == 200));
    for index in 12..full {
        assert!(
            out[index << 20..(index + 1) << 20].iter().all(|byte| *byte == (index % 255 + 1) as u8),
            "piece {index}"
        );
    }
    lsd(&["info", &spec]).ok();
    let server = start_server(&socket, &[], &exports);
    qemu_io(&url, &["discard 12M 4M", "flush"]);
    server.stop().expect_code(0);
    lsd(&["gc", "--no-progress", &spec]).ok();
    lsd(&["rm", "--no-progress", &spec]).ok();
    assert_eq!(lsd(&["ls", &pool]).ok().text(), "");
}

#[test]
fn a_full_tmpfs_goes_on() {
    a_full_directory_goes_on(&Mounted::new("mount -t tmpfs -o size=64m lsd-test fs"));
}

#[test]
fn a_full_ext4_goes_on() {
    a_full_directory_goes_on(&Mounted::new("truncate -s 100M image; mkfs.ext4 -q image; mount -o loop image fs"));
}

/// Other programs have taken everything, the reserve too, while the server held data that is not durable: it says so, and ends
/// when it is told to. What was flushed is there.
#[test]
fn a_directory_without_any_room_hangs_nobody() {
    let mounted = Mounted::new("mount -t tmpfs -o size=64m lsd-test fs");
    let dir = mounted.0.path();
    let (conf, socket) = (dir.join("ceph.conf"), dir.join("socket"));
    std::fs::write(&conf, "[global]\nlsd_max_age_ms = 600000\n").unwrap();
    let spec = format!("dir:{}/store/disk", mounted.path().display());
    let url = format!("nbd+unix:///disk?socket={}", socket.display());
    Cmd::new(built("lsd")).args(["create", "--size", "64M", &spec]).ok();
    let server = start_server(&socket, &["--conf", conf.to_str().unwrap()], &[format!("disk={spec}")]);
    qemu_io(&url, &["write -P 1 0 1M", "flush"]);
    let commands = ["-c", "write -P 2 8M 64k", "-c", "sleep 3000", "-c", "flush", "-c", "discard 0 64k", "-c", "flush"];
    let load =
        Cmd::stock("qemu-io").args(["-f", "raw", "-t", "writeback", "-d", "unmap"]).args(commands).arg(&url).start();
    std::thread::sleep(Duration::from_secs(1));
    let fill = "dd if=/dev/zero of=one bs=4k; : > store/reserve; dd if=/dev/zero of=two bs=4k; true";
    Cmd::stock("sh").args(["-c", fill]).dir(mounted.path()).ok();
    let said = load.wait(Duration::from_secs(30));
    assert_eq!(said.code, Some(1), "{said}");
    let ended = server.stop();
    assert!(ended.errors().contains("flush of \"disk\"") && !ended.timed_out, "{ended}");
    assert!(ended.errors().contains("error closing image: (28) No space left on device"), "{ended}");
    let out = dir.join("out");
    Cmd::new(built("lsd")).args(["export", "--no-progress", &spec, out.to_str().unwrap()]).ok();
    let bytes = std::fs::read(&out).unwrap();
    assert!(bytes[..1 << 20].iter().all(|byte| *byte == 1) && bytes[1 << 20..].iter().all(|byte| *byte == 0));
    for file in ["one", "two"] {
        std::fs::remove_file(mounted.path().join(file)).unwrap();
    }
    let server = start_server(&socket, &[], &[format!("disk={spec}")]);
    qemu_io(&url, &["write -P 4 8M 1M", "flush", "read -P 4 8M 1M", "read -P 1 0 1M"]);
    server.stop().expect_code(0);
    Cmd::new(built("lsd")).args(["check", &spec]).ok();
}

/// As on the cluster (`tests/librbd/handover.rs`): after the watch time-out another server takes over, and the stopped one is fenced.
#[test]
fn a_stopped_owner_of_a_directory_store_is_taken_over() {
    for round in 0..3 {
        let dir = scratch_dir();
        let conf = dir.path().join("ceph.conf");
        std::fs::write(&conf, "[global]\nlsd_watch_timeout_ms = 3000\n").unwrap();
        let options = ["--conf", conf.to_str().unwrap()];
        let image = spec(dir.path(), "disk");
        Cmd::new(built("lsd")).args(["create", "--size", "64M", &image]).ok();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let url = |socket: &Path| format!("nbd+unix:///disk?socket={}", socket.display());
        let exports = [format!("disk={image}")];
        let first = start_server(&one, &options, &exports);
        qemu_io(&url(&one), &["write -P 1 0 1M", "flush"]);
        // Stopped in the middle of its work: it holds locks on files then.
        let script =
            "for i in $(seq 400); do echo write -P 2 $((i % 50 + 1))M 256k; echo flush; done | qemu-io -f raw $1";
        let load = Cmd::stock("bash").args(["-c", script, "bash", &url(&one)]).start();
        std::thread::sleep(Duration::from_millis(700 + 13 * round));
        first.signal(nix::sys::signal::Signal::SIGSTOP);
        let second = start_server(&two, &options, &exports);
        qemu_io(&url(&two), &["read -P 1 0 1M", "write -P 3 0 512k", "flush"]);
        first.signal(nix::sys::signal::Signal::SIGCONT);
        load.wait(Duration::from_secs(60));
        let refused = try_qemu_io(&url(&one), &["write -P 4 0 1M", "flush"]);
        assert!(refused.code != Some(0) && !refused.timed_out, "{refused}");
        qemu_io(&url(&two), &["read -P 3 0 512k", "read -P 1 512k 512k", "write -P 5 60M 1M", "flush"]);
        first.kill();
        second.stop().expect_code(0);
        Cmd::new(built("lsd")).args(["check", &image]).ok();
        let third = start_server(&two, &options, &exports);
        qemu_io(&url(&two), &["read -P 3 0 512k", "read -P 1 512k 512k", "read -P 5 60M 1M"]);
        third.stop().expect_code(0);
    }
}
