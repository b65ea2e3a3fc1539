//! A running guest moves while it writes: from one QEMU process to another, where both have the image open and the lock moves with
//! the guest; in one QEMU process from a stock image to one of lsd and back; and over a stop, with a migration that goes on below
//! it. Every file that the guest saw synced is there afterwards, on a file system without a fault.
use crate::common::{Cmd, Image, Running, built, debian_kernel, scratch_dir, system_disk, wait_until};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An emulated boot takes 8 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Writes files with an fsync each, and says so, until the word comes over the serial line.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mkdir -p /data
# Of the boot before.
rm -f /stop
(read word; : >/stop) </dev/console &
n=0
while [ ! -e /stop ]; do
    n=$((n + 1))
    yes "file $n" | head -c $((n % 37 * 1000 + 512)) | dd of=/data/f$n bs=64k conv=fsync 2>/dev/null || echo "guest: FAILED $n"
    echo "guest: synced $n"
done
sync
mount -o remount,ro / || echo "guest: FAILED remount"
echo "guest: done"
poweroff -f
"#;

/// What the guest wrote into file `number`.
fn content(number: usize) -> Vec<u8> {
    format!("file {number}\n").bytes().cycle().take(number % 37 * 1000 + 512).collect()
}

/// One QEMU process with its monitor and the guest's serial line.
struct Machine {
    process: Running,
    monitor: BufReader<UnixStream>,
    serial: UnixStream,
    printed: Arc<Mutex<String>>,
}

impl Machine {
    fn start(image: &Image, kernel: &Path, dir: &Path, incoming: Option<&Path>) -> Machine {
        let name = if incoming.is_some() { "target" } else { "source" };
        let path = |what: &str| -> PathBuf { dir.join(format!("{name}.{what}")) };
        let (monitor, serial) = (path("monitor"), path("serial"));
        let drive = format!("file={},if=virtio,format=raw,cache=writeback,discard=unmap", image.qemu());
        let mut cmd = image
            .ceph
            .client("qemu-system-x86_64")
            .args(["-accel", "tcg", "-cpu", "qemu64", "-M", "q35", "-m", "256", "-nodefaults", "-display", "none"])
            .args(["-no-reboot", "-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-drive", &drive])
            .arg("-kernel")
            .arg(kernel.join("vmlinuz"))
            .arg("-initrd")
            .arg(kernel.join("initrd"))
            .args(["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())])
            .args(["-chardev", &format!("socket,id=line,path={},server=on,wait=off", serial.display())])
            .args(["-serial", "chardev:line"]);
        if let Some(socket) = incoming {
            cmd = cmd.args(["-incoming", &format!("unix:{}", socket.display())]);
        }
        let process = cmd.start();
        let serial = connect(&serial);
        let printed = Arc::new(Mutex::new(String::new()));
        let (mut line, target) = (serial.try_clone().unwrap(), printed.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = line.read(&mut buffer) {
                target.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..len]));
            }
        });
        let monitor = BufReader::new(connect(&monitor));
        let mut machine = Machine { process, monitor, serial, printed };
        machine.answer();
        machine.ask("qmp_capabilities", serde_json::json!({}));
        machine
    }

    /// The next line of the monitor that is no event.
    fn answer(&mut self) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert!(self.monitor.read_line(&mut line).unwrap() > 0, "QEMU closed its monitor");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            if value.get("event").is_none() {
                return value;
            }
        }
    }

    fn ask(&mut self, command: &str, arguments: serde_json::Value) -> serde_json::Value {
        let text = serde_json::json!({ "execute": command, "arguments": arguments }).to_string();
        self.monitor.get_mut().write_all(text.as_bytes()).unwrap();
        let answer = self.answer();
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer["return"].clone()
    }

    /// QEMU copies the guest's disk to an image that has its size, and puts that in the disk's place. The guest goes on.
    fn moves_to(&mut self, image: &Image) {
        let place = serde_json::json!({
            "driver": "rbd", "pool": image.pool, "image": image.name, "conf": image.ceph.conf,
        });
        let node = serde_json::json!({ "driver": "raw", "node-name": image.name, "file": place });
        self.ask("blockdev-add", node);
        let mirror = serde_json::json!({ "job-id": "move", "device": "virtio0", "target": image.name, "sync": "full" });
        self.ask("blockdev-mirror", mirror);
        wait_until("the copy", PATIENCE, || self.jobs()[0]["ready"] == true);
        self.ask("job-complete", serde_json::json!({ "id": "move" }));
        wait_until("the copy in its place", PATIENCE, || self.jobs() == serde_json::json!([]));
        let disk = self.ask("query-block", serde_json::json!({}))[0]["inserted"].to_string();
        assert!(disk.contains(&image.name), "{disk}");
    }

    fn jobs(&mut self) -> serde_json::Value {
        self.ask("query-block-jobs", serde_json::json!({}))
    }

    fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// The numbers of the files that the guest saw synced.
    fn synced(&self) -> Vec<usize> {
        let text = self.printed();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().filter_map(|line| line.trim().strip_prefix("guest: synced ")?.parse().ok()).collect()
    }

    fn wait_for_synced(&self, more: usize) {
        let until = self.synced().len() + more;
        wait_until(&format!("{until} synced files"), PATIENCE, || self.synced().len() >= until);
    }
}

fn connect(path: &Path) -> UnixStream {
    let mut stream = None;
    wait_until("QEMU's socket", PATIENCE, || {
        stream = UnixStream::connect(path).ok();
        stream.is_some()
    });
    stream.unwrap()
}

#[test]
fn a_guest_that_writes_moves_to_another_qemu_and_loses_nothing() {
    let ceph = requires_ceph!();
    let kernel = debian_kernel();
    let image = system_disk(&ceph, INIT);
    let dir = scratch_dir();
    let mut source = Machine::start(&image, &kernel, dir.path(), None);
    source.wait_for_synced(20);
    let socket = dir.path().join("migration");
    let mut target = Machine::start(&image, &kernel, dir.path(), Some(&socket));
    source.ask("migrate-set-parameters", serde_json::json!({ "max-bandwidth": 1u64 << 30, "downtime-limit": 2000 }));
    source.ask("migrate", serde_json::json!({ "uri": format!("unix:{}", socket.display()) }));
    wait_until("the migration", PATIENCE, || {
        let status = source.ask("query-migrate", serde_json::json!({}));
        assert!(status["status"] != "failed", "{status}");
        status["status"] == "completed"
    });
    assert_eq!(target.ask("query-status", serde_json::json!({}))["running"], true);
    // The source is still there, with the image open, while the guest writes on elsewhere.
    target.wait_for_synced(20);
    source.ask("quit", serde_json::json!({}));
    target.wait_for_synced(20);
    target.serial.write_all(b"stop\n").unwrap();
    wait_until("the guest's end", PATIENCE, || target.printed().contains("guest: done"));
    let mut synced = source.synced();
    synced.extend(target.synced());
    assert!(synced.is_sorted() && synced.len() >= 60, "{synced:?}");
    for text in [source.printed(), target.printed()] {
        assert!(!text.contains("FAILED") && !text.contains("I/O error"), "{text}");
    }
    let source_ended = source.process.wait(PATIENCE);
    assert_eq!(source_ended.code, Some(0), "{source_ended}");
    let target_ended = target.process.wait(PATIENCE);
    assert_eq!(target_ended.code, Some(0), "{target_ended}");
    check_files(&image, &synced);
}

#[test]
fn a_guest_that_writes_moves_from_rbd_to_lsd_and_back_and_loses_nothing() {
    let ceph = requires_ceph!();
    let kernel = debian_kernel();
    let stock = system_disk(&ceph.with_client_conf(&["lsd_default_format = rbd"]), INIT);
    ceph.stock("rbd").args(["info", &stock.spec()]).ok();
    let image = ceph.image("moved").create("512M");
    let dir = scratch_dir();
    let mut machine = Machine::start(&stock, &kernel, dir.path(), None);
    machine.wait_for_synced(20);
    machine.moves_to(&image);
    machine.wait_for_synced(20);
    machine.moves_to(&stock);
    machine.wait_for_synced(20);
    machine.serial.write_all(b"stop\n").unwrap();
    wait_until("the guest's end", PATIENCE, || machine.printed().contains("guest: done"));
    let (synced, text) = (machine.synced(), machine.printed());
    assert!(synced.is_sorted() && synced.len() >= 60, "{synced:?}");
    assert!(!text.contains("FAILED") && !text.contains("I/O error"), "{text}");
    let ended = machine.process.wait(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended}");
    check_files(&stock, &synced);
}

#[test]
fn a_guest_goes_on_with_an_image_that_was_rbds_and_loses_nothing() {
    let ceph = requires_ceph!();
    let kernel = debian_kernel();
    let image = system_disk(&ceph.with_client_conf(&["lsd_default_format = rbd"]), INIT);
    ceph.stock("rbd").args(["info", &image.spec()]).ok();
    let stopped = |mut machine: Machine| {
        machine.serial.write_all(b"stop\n").unwrap();
        wait_until("the guest's end", PATIENCE, || machine.printed().contains("guest: done"));
        let (synced, text) = (machine.synced(), machine.printed());
        assert!(!text.contains("FAILED") && !text.contains("I/O error"), "{text}");
        let ended = machine.process.wait(PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended}");
        synced
    };
    let dirs = [scratch_dir(), scratch_dir()];
    let machine = Machine::start(&image, &kernel, dirs[0].path(), None);
    machine.wait_for_synced(30);
    let mut synced = stopped(machine);
    let migration = |step: &str| ceph.client(built("lsd")).args(["migration", step, &image.spec()]);
    migration("prepare").arg(image.spec()).ok();
    // From here on it is lsd's, and the guest writes while the rest comes over; whoever has that done may die.
    let machine = Machine::start(&image, &kernel, dirs[1].path(), None);
    machine.wait_for_synced(5);
    let execute = migration("execute").start();
    machine.wait_for_synced(1);
    execute.kill();
    migration("execute").ok();
    machine.wait_for_synced(5);
    migration("commit").ok();
    machine.wait_for_synced(5);
    synced.extend(stopped(machine));
    ceph.stock("rbd").args(["info", &image.spec()]).fails();
    check_files(&image, &synced);
}

/// The file system as a whole, and the files in it, looked at from outside.
fn check_files(image: &Image, synced: &[usize]) {
    let dir = scratch_dir();
    let file = dir.path().join("disk");
    image.read_to(&file);
    Cmd::stock("fsck.ext4").args(["-f", "-n"]).arg(&file).ok();
    let found = dir.path().join("found");
    std::fs::create_dir(&found).unwrap();
    Cmd::stock("debugfs").args(["-R", &format!("rdump /data {}", found.display())]).arg(&file).ok();
    let read = |number: &usize| (*number, std::fs::read(found.join(format!("data/f{number}"))).ok());
    let files: BTreeMap<usize, Option<Vec<u8>>> = synced.iter().map(read).collect();
    for (number, data) in files {
        assert!(data.as_deref() == Some(content(number).as_slice()), "file {number} is not what was synced");
    }
}
