//! Proxmox VE: what its storage plug-in for RBD (`PVE::Storage::RBDPlugin`, of Proxmox VE 9) calls in the life of a virtual machine,
//! word by word, with what it takes out of the answers; and what its QEMU does with the disks. Proxmox is no package of Debian's.
//!
//! Owns: the calls. Does not own: that `lsd` says what `rbd` says (`cli_against_rbd.rs`).
use crate::common::{Ceph, Cmd, Finished, built, pattern, scratch_dir};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const MIB: usize = 1 << 20;
const QEMU_TIMEOUT: Duration = Duration::from_secs(120);
/// The plug-in's name for the snapshot of a template that clones are of.
const BASE: &str = "__base__";

/// A storage of type `rbd` with `monhost`, `pool` and `username`: the cluster is not the host's own, so that nothing but the
/// command line tells where it is.
struct Storage {
    admin: Ceph,
    host: Ceph,
    /// What is /usr/bin/rbd there.
    rbd: PathBuf,
    pool: String,
    user: String,
    monitor: String,
    dir: tempfile::TempDir,
}

impl Storage {
    fn new(admin: &Ceph, hint: &str, rbd: Option<PathBuf>) -> Self {
        let (pool, user) = (format!("pve-{hint}-{}", std::process::id()), format!("pve{hint}{}", std::process::id()));
        admin.make_pool(&pool);
        let dir = scratch_dir();
        let monitors = admin.stock("ceph").args(["mon", "dump", "--format", "json"]).ok().json();
        let addresses = monitors["mons"][0]["public_addrs"]["addrvec"].as_array().unwrap().clone();
        let monitor =
            addresses.iter().find(|address| address["type"] == "v2").unwrap()["addr"].as_str().unwrap().to_owned();
        let host = Ceph::at(dir.path().join("storage.conf"));
        let rbd = rbd.unwrap_or_else(|| {
            let link = dir.path().join("rbd");
            std::os::unix::fs::symlink(built("lsd"), &link).unwrap();
            link
        });
        let storage = Self { admin: admin.clone(), host, rbd, pool, user, monitor, dir };
        let osd = format!("profile rbd pool={}", storage.pool);
        let auth = ["auth", "get-or-create", &storage.entity(), "mon", "profile rbd", "osd", &osd, "-o"];
        admin.stock("ceph").args(auth).arg(storage.keyring()).ok();
        std::fs::write(&storage.host.conf, format!("[global]\nkeyring = {}\n", storage.keyring())).unwrap();
        storage
    }

    fn entity(&self) -> String {
        format!("client.{}", self.user)
    }

    fn keyring(&self) -> String {
        self.dir.path().join("storage.keyring").display().to_string()
    }

    fn conf(&self) -> String {
        self.host.conf.display().to_string()
    }

    fn path(&self, volume: &str) -> String {
        format!("{}/{volume}", self.pool)
    }

    /// What the plug-in's method `path` gives to QEMU and qemu-img.
    fn qemu(&self, volume: &str) -> String {
        let monitor = self.monitor.replace(':', "\\:");
        let (conf, user, keyring) = (self.conf(), &self.user, self.keyring());
        let place = format!("rbd:{}:conf={conf}:mon_host={monitor}", self.path(volume));
        format!("{place}:auth_supported=cephx:id={user}:keyring={keyring}")
    }

    fn rbd(&self, operation: &[&str]) -> Cmd {
        let pool = if operation[0] == "import" { "--dest-pool" } else { "-p" };
        let (conf, entity, keyring) = (self.conf(), self.entity(), self.keyring());
        let place = [pool, &self.pool, "-c", &conf, "-m", &self.monitor, "--auth_supported", "cephx"];
        let who = ["-n", &entity, "--keyring", &keyring];
        self.host.client(&self.rbd).args(place).args(who).args(operation)
    }

    #[track_caller]
    fn json(&self, operation: &[&str]) -> Value {
        let done = self.rbd(operation).ok();
        // It reads lines and joins them, and wants a list or an object from the first byte to the last.
        let text = done.text().replace('\n', "");
        assert!(text.starts_with(['[', '{']) && text.ends_with([']', '}']), "{done}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {done}"))
    }

    fn names(&self) -> Vec<String> {
        self.rbd(&["ls"]).ok().text().lines().map(str::to_owned).collect()
    }

    fn free_name(&self, machine: u32) -> String {
        let names = self.names();
        let name = |number| format!("vm-{machine}-disk-{number}");
        (0..).map(name).find(|name| !names.contains(name)).unwrap()
    }

    fn allocate(&self, machine: u32, mib: &str) -> String {
        let name = self.free_name(machine);
        self.rbd(&["create", "--image-format", "2", "--size", mib, &name]).ok();
        name
    }

    /// Images of virtual machines with their sizes and parents.
    fn list(&self) -> BTreeMap<String, (u64, Option<String>)> {
        let listed = self.json(&["ls", "-l", "--format", "json"]);
        let images = listed.as_array().unwrap().iter().filter(|entry| entry.get("snapshot").is_none());
        let row = |entry: &Value| {
            (entry["image"].as_str().unwrap().to_owned(), (entry["size"].as_u64().unwrap(), parent_of(entry)))
        };
        images.map(row).filter(|(name, _)| name.starts_with("vm-") || name.starts_with("base-")).collect()
    }

    /// Snapshots, and whether each is protected.
    fn snapshots(&self, volume: &str) -> BTreeMap<String, bool> {
        let listed = self.json(&["snap", "ls", volume, "--format", "json"]);
        let row = |entry: &Value| {
            assert!(entry["id"].is_u64() && entry["size"].is_u64(), "{entry}");
            (entry["name"].as_str().unwrap().to_owned(), entry["protected"] == "true")
        };
        listed.as_array().unwrap().iter().map(row).collect()
    }

    /// Size, parent, and whether the snapshot is protected.
    fn info(&self, volume: &str, snapshot: &str) -> (usize, Option<String>, bool) {
        let mut operation = vec!["info", volume, "--format", "json"];
        if !snapshot.is_empty() {
            operation.extend(["--snap", snapshot]);
        }
        let info = self.json(&operation);
        assert!(info["format"] == 2 && info["features"].is_array(), "{info}");
        (info["size"].as_u64().unwrap() as usize, parent_of(&info), info["protected"] == "true")
    }

    fn used(&self, volume: &str) -> u64 {
        let told = self.json(&["du", volume, "--format", "json"]);
        let images = told["images"].as_array().unwrap();
        let image = images.iter().find(|image| image.get("snapshot").is_none() && image["name"] == volume).unwrap();
        image["used_size"].as_u64().unwrap()
    }

    /// As it goes to another storage.
    fn exported(&self, volume: &str) -> Vec<u8> {
        self.rbd(&["export", "--export-format", "1", volume, "-"]).ok().stdout
    }

    fn free(&self, volume: &str) {
        for (snapshot, is_protected) in self.snapshots(volume) {
            if is_protected {
                self.rbd(&["snap", "unprotect", volume, "--snap", &snapshot]).ok();
            }
        }
        self.rbd(&["snap", "purge", volume]).ok();
        self.rbd(&["rm", volume]).ok();
    }

    /// `qm importdisk`, a full clone, and moving a disk of a machine that is off.
    fn convert(&self, from: &str, to: &str) {
        let words = ["convert", "-p", "-n", "-f", "raw", "-O", "raw", from, to];
        self.host.client("qemu-img").args(words).timeout(QEMU_TIMEOUT).ok();
    }

    fn write(&self, volume: &str, command: &str) {
        let words = ["-f", "raw", "-c", command, "-c", "flush", &self.qemu(volume)];
        self.host.client("qemu-io").args(words).ok().says("wrote");
    }

    /// A machine that does not run yet, with these options, is told `commands` on its monitor.
    fn machine(&self, options: &[&str], commands: &[Value]) -> Finished {
        let own = ["-machine", "accel=tcg", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"];
        let (first, last) = (json!({ "execute": "qmp_capabilities" }), json!({ "execute": "quit" }));
        let lines = std::iter::once(&first).chain(commands).chain([&last]).map(|command| format!("{command}\n"));
        let lines: String = lines.collect();
        let qemu = self.host.client("qemu-system-x86_64").args(own).args(options).stdin(lines.into_bytes());
        let done = qemu.timeout(QEMU_TIMEOUT).ok();
        let answers: Vec<Value> = done.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let returned = answers.iter().filter(|answer| answer.get("return").is_some()).count();
        assert!(returned == commands.len() + 2, "a command failed: {done}");
        done
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.admin.stock("ceph").args(["auth", "rm", &self.entity()]).run();
        self.admin.remove_pool(&self.pool);
    }
}

fn parent_of(entry: &Value) -> Option<String> {
    let parent = entry.get("parent")?;
    Some(format!("{}@{}", parent["image"].as_str()?, parent["snapshot"].as_str()?))
}

/// A disk imported, grown, put back to a snapshot; a template of it, a linked and a full clone; a disk that is sent away, taken in,
/// and given to another machine; everything removed.
fn lives_of_machines(storage: &Storage) {
    assert!(storage.names().is_empty() && storage.list().is_empty());
    let disk = storage.allocate(100, "32");
    assert_eq!((disk.as_str(), storage.info(&disk, "")), ("vm-100-disk-0", (32 * MIB, None, false)));
    let file = storage.dir.path().join("imported");
    let mut content = pattern(3 * MIB, 1);
    std::fs::write(&file, &content).unwrap();
    storage.convert(file.to_str().unwrap(), &storage.qemu(&disk));
    assert!(storage.used(&disk) >= 3 * MIB as u64, "{}", storage.used(&disk));
    storage.rbd(&["resize", "--size", "48", &disk]).ok();
    assert_eq!(storage.info(&disk, "").0, 48 * MIB);
    content.resize(48 * MIB, 0);

    storage.rbd(&["snap", "create", "--snap", "before", &disk]).ok();
    storage.write(&disk, "write -P 9 1M 4M");
    assert!(storage.exported(&disk) != content);
    storage.rbd(&["snap", "rollback", "--snap", "before", &disk]).ok();
    assert!(storage.exported(&disk) == content, "not what it was at the snapshot");
    assert_eq!(storage.snapshots(&disk), BTreeMap::from([("before".to_owned(), false)]));
    assert!(!storage.info(&disk, "before").2);
    storage.rbd(&["snap", "rm", "--snap", "before", &disk]).ok();
    // Of a disk with the firmware's variables.
    storage.rbd(&["config", "image", "set", &disk, "rbd_cache_policy", "writeback"]).ok();

    let base = disk.replace("vm-", "base-");
    storage.rbd(&["rename", &storage.path(&disk), &storage.path(&base)]).ok();
    storage.rbd(&["snap", "create", "--snap", BASE, &base]).ok();
    assert!(!storage.info(&base, BASE).2);
    storage.rbd(&["snap", "protect", &base, "--snap", BASE]).ok();
    assert!(storage.info(&base, BASE).2);
    let linked = storage.free_name(101);
    storage.rbd(&["clone", &storage.path(&base), "--snap", BASE, &storage.path(&linked)]).ok();
    let parent = Some(format!("{base}@{BASE}"));
    assert_eq!(storage.info(&linked, "").1, parent);
    let expected = [(base.clone(), (48 * MIB as u64, None)), (linked.clone(), (48 * MIB as u64, parent))];
    assert_eq!(storage.list(), BTreeMap::from(expected));
    let full = storage.allocate(101, "48");
    assert_eq!(full, "vm-101-disk-1");
    storage.convert(&storage.qemu(&format!("{base}@{BASE}")), &storage.qemu(&full));
    assert!(storage.exported(&full) == content);
    storage.write(&linked, "write -P 8 0 1M");
    assert!(storage.exported(&base) == content, "a clone has changed its template");
    // What the guide says against the template: the plug-in itself never calls it.
    storage.rbd(&["flatten", &linked]).ok();
    content[..MIB].fill(8);
    assert!(storage.info(&linked, "").1.is_none() && storage.exported(&linked) == content);

    let sent = storage.exported(&linked);
    storage.rbd(&["import", "--export-format", "1", "-", "vm-102-disk-0"]).stdin(sent).ok();
    storage.rbd(&["rename", "vm-102-disk-0", "vm-103-disk-0"]).ok();
    assert!(storage.exported("vm-103-disk-0") == content);
    let exists = storage.json(&["ls", "--format", "json"]);
    let names = ["vm-103-disk-0", linked.as_str(), full.as_str(), base.as_str()];
    assert!(
        exists.as_array().unwrap().len() == names.len() && names.iter().all(|name| storage.list().contains_key(*name))
    );
    for name in names {
        storage.free(name);
    }
    assert!(storage.names().is_empty());
    let gone = storage.rbd(&["info", &base, "--format", "json"]).fails();
    assert!(gone.stdout.is_empty() && gone.errors().contains("No such file or directory"), "{gone}");
}

#[test]
fn the_plug_in_s_calls_of_lsd_as_rbd() {
    lives_of_machines(&Storage::new(&requires_ceph!(), "lsd", None));
}

#[test]
fn the_plug_in_s_calls_of_ceph_s_rbd_on_the_library() {
    lives_of_machines(&Storage::new(&requires_ceph!(), "rbd", Some("/usr/bin/rbd".into())));
}

/// While a machine runs, QEMU resizes its disks and takes their snapshots. Proxmox's own QEMU has a command `snapshot-drive` for
/// that, which does what `blockdev-snapshot-internal-sync` does.
fn at_run_time(device: &str, size: usize, snapshot: &str) -> [Value; 3] {
    let named = |name: &str| json!({ "device": device, "name": name });
    [
        json!({ "execute": "block_resize", "arguments": { "device": device, "size": size } }),
        json!({ "execute": "blockdev-snapshot-internal-sync", "arguments": named(snapshot) }),
        json!({ "execute": "query-named-block-nodes", "arguments": { "flat": true } }),
    ]
}

/// With `-drive`, as up to Proxmox VE 8.
#[test]
fn a_machine_s_drive() {
    let storage = Storage::new(&requires_ceph!(), "drive", Some("/usr/bin/rbd".into()));
    let disk = storage.allocate(200, "32");
    let file = format!("file={},if=none,id=drive-scsi0,cache=writeback,discard=on", storage.qemu(&disk));
    let drive = format!("{file},format=raw,aio=io_uring,detect-zeroes=unmap");
    let device =
        ["-device", "virtio-scsi-pci,id=scsihw0", "-device", "scsi-hd,bus=scsihw0.0,drive=drive-scsi0,id=scsi0"];
    let told = storage.machine(
        &[&["-drive", drive.as_str()], &device[..]].concat(),
        &at_run_time("drive-scsi0", 40 * MIB, "running"),
    );
    told.says(&disk);
    assert_eq!(storage.info(&disk, "").0, 40 * MIB);
    assert_eq!(storage.snapshots(&disk), BTreeMap::from([("running".to_owned(), false)]));
    storage.free(&disk);
}

/// With `-blockdev` behind a throttle node, as of Proxmox VE 9. Resizing names a node there, and a machine with `cache=none`, the
/// default, asks for no cache.
#[test]
fn a_machine_s_block_device() {
    let storage = Storage::new(&requires_ceph!(), "blockdev", Some("/usr/bin/rbd".into()));
    let disk = storage.allocate(200, "32");
    let (name, port) = storage.monitor.rsplit_once(':').unwrap();
    let common = json!({ "cache": { "direct": true, "no-flush": false }, "read-only": false });
    let with_common = |mut node: Value| {
        node.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
        node
    };
    let image = with_common(json!({
        "driver": "rbd", "pool": storage.pool, "image": disk, "conf": storage.conf(), "user": storage.user,
        "server": [{ "host": name, "port": port }], "auth-client-required": ["cephx"],
        "discard": "unmap", "detect-zeroes": "unmap", "node-name": "e0",
    }));
    let format = with_common(json!({ "driver": "raw", "file": image, "node-name": "f0" }));
    let top = json!({ "driver": "throttle", "throttle-group": "throttle-drive-scsi0", "file": format,
        "node-name": "drive-scsi0" });
    let group = json!({ "qom-type": "throttle-group", "id": "throttle-drive-scsi0", "limits": {} });
    let resize = json!({ "node-name": "drive-scsi0", "size": 40 * MIB });
    let [_, snapshot, query] = at_run_time("drive-scsi0", 0, "running");
    storage.machine(
        &[
            "-object",
            &group.to_string(),
            "-blockdev",
            &top.to_string(),
            "-device",
            "virtio-scsi-pci,id=scsihw0",
            "-device",
            "scsi-hd,bus=scsihw0.0,drive=drive-scsi0,id=scsi0,write-cache=on",
        ],
        &[json!({ "execute": "block_resize", "arguments": resize }), snapshot, query],
    );
    assert_eq!(storage.info(&disk, "").0, 40 * MIB);
    assert_eq!(storage.snapshots(&disk), BTreeMap::from([("running".to_owned(), false)]));
    storage.free(&disk);
}
