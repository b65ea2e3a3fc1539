//! libvirt's own daemon on the tested library: its storage pool of type `rbd`, and a guest whose disk is a volume of it.
//!
//! The daemon runs by hand (`tests/vm/libvirtd`). It and its guests load the library from the path that it is started with.
use crate::common::{Ceph, Cmd, Finished, Image, Running, client_library_dir, pattern, scratch_dir, wait_until};
use std::path::Path;
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A guest that is emulated is at its end after two seconds.
const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
const SECRET: &str = "5a6b7c8d-0000-4000-8000-000000000001";
const MIB: u64 = 1 << 20;
const SECTOR: usize = 512;
const WORDS: &[u8] = b"the guest reads its disk";

/// A daemon of the test's own, with a pool `lsd` of volumes in a pool of the cluster, as a user who may use that and no other.
struct Libvirt {
    ceph: Ceph,
    pool: String,
    user: String,
    dir: tempfile::TempDir,
    daemon: Option<Running>,
}

impl Libvirt {
    fn start(ceph: &Ceph, hint: &str) -> Self {
        let (pool, user) = (format!("{hint}-{}", std::process::id()), format!("{hint}{}", std::process::id()));
        ceph.make_pool(&pool);
        let dir = scratch_dir();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/libvirtd");
        let daemon = ceph.client(script).arg(dir.path()).start();
        let libvirt = Self { ceph: ceph.clone(), pool, user, dir, daemon: Some(daemon) };
        wait_until("libvirtd answers", START_TIMEOUT, || libvirt.virsh("uri").run().code == Some(0));
        libvirt.define_secret();
        libvirt.define("pool-define", &libvirt.pool_xml());
        libvirt
    }

    /// A command and its words.
    fn virsh(&self, words: &str) -> Cmd {
        let socket = self.dir.path().join("libvirt-sock");
        Cmd::stock("virsh")
            .args(["-q", "-c", &format!("qemu+unix:///system?socket={}", socket.display())])
            .args(words.split_whitespace())
    }

    #[track_caller]
    fn define(&self, command: &str, xml: &str) -> Finished {
        let file = self.dir.path().join("definition.xml");
        std::fs::write(&file, xml).unwrap();
        self.virsh(command).arg(file).ok()
    }

    fn define_secret(&self) {
        let entity = format!("client.{}", self.user);
        let osd = format!("profile rbd pool={}", self.pool);
        let made = self
            .ceph
            .stock("ceph")
            .args(["auth", "get-or-create-key", &entity, "mon", "profile rbd", "osd", &osd])
            .ok();
        let key = self.dir.path().join("key");
        std::fs::write(&key, made.text().trim()).unwrap();
        let usage = "<usage type='ceph'><name>a user</name></usage>";
        self.define("secret-define", &format!("<secret private='no'><uuid>{SECRET}</uuid>{usage}</secret>"));
        self.virsh(&format!("secret-set-value {SECRET} --file")).arg(key).ok();
    }

    /// Where a monitor speaks the protocol that libvirt's default port is of.
    fn host(&self) -> String {
        let monitors = self.ceph.stock("ceph").args(["mon", "dump", "--format", "json"]).ok().json();
        let address = monitors["mons"][0]["addr"].as_str().unwrap().to_owned();
        let (name, port) = address.split_once('/').unwrap().0.split_once(':').unwrap();
        format!("<host name='{name}' port='{port}'/>")
    }

    fn auth(&self) -> String {
        format!("<auth type='ceph' username='{}'><secret type='ceph' uuid='{SECRET}'/></auth>", self.user)
    }

    fn pool_xml(&self) -> String {
        let auth = self.auth().replace(" type='ceph' uuid", " uuid");
        let source = format!("<name>{}</name>{}{auth}", self.pool, self.host());
        // Else the allocation is what the capacity is.
        let refresh = "<refresh><volume allocation='default'/></refresh>";
        format!("<pool type='rbd'><name>lsd</name><source>{source}</source>{refresh}</pool>")
    }

    fn disk_xml(&self, volume: &str) -> String {
        let source = format!("<source protocol='rbd' name='{}/{volume}'>{}</source>", self.pool, self.host());
        let driver = "<driver name='qemu' type='raw' cache='writeback' discard='unmap'/>";
        format!(
            "<disk type='network' device='disk'>{driver}{}{source}<target dev='vda' bus='virtio'/></disk>",
            self.auth()
        )
    }

    fn domain_xml(&self, volume: &str, serial: &Path) -> String {
        let disk = self.disk_xml(volume);
        let serial = format!("<serial type='file'><source path='{}'/></serial>", serial.display());
        format!(
            "<domain type='qemu'><name>guest</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>\
             <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{disk}{serial}<memballoon model='none'/></devices></domain>"
        )
    }

    fn volumes(&self) -> Vec<String> {
        let listed = self.virsh("vol-list lsd").ok().text();
        listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }

    fn info(&self, volume: &str, what: &str) -> u64 {
        let told = self.virsh(&format!("vol-info --bytes {volume} lsd")).ok().text();
        let line =
            told.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_else(|| panic!("no {what} in {told}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Names of a volume's snapshots, and whether each is protected.
    fn snapshots(&self, volume: &str) -> String {
        let list = "image = rbd.Image(io, args[0])\nfor snap in list(image.list_snaps()): \
            print(snap['name'].split('-')[0], image.is_protected_snap(snap['name']))\nimage.close()";
        self.ceph.python(&self.pool, list).arg(volume).ok().text()
    }

    fn parent(&self, volume: &str) -> String {
        let tell = "image = rbd.Image(io, args[0])\nprint(image.parent_info()[1])\nimage.close()";
        self.ceph.python(&self.pool, tell).arg(volume).ok().text().trim().to_owned()
    }

    /// A volume, for those who need no libvirt.
    fn image(&self, volume: &str) -> Image {
        Image { ceph: self.ceph.clone(), pool: self.pool.clone(), name: volume.to_owned() }
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log/libvirtd.log")).unwrap_or_default();
            eprintln!("--- libvirtd\n{log}");
        }
        drop(self.daemon.take());
        self.ceph.stock("ceph").args(["auth", "rm", &format!("client.{}", self.user)]).run();
        self.ceph.remove_pool(&self.pool);
    }
}

#[test]
fn a_pool_and_its_volumes() {
    let libvirt = Libvirt::start(&requires_ceph!(), "lvpool");
    libvirt.virsh("pool-start lsd").ok();
    libvirt.virsh("pool-info lsd").ok().says("running");
    assert!(libvirt.volumes().is_empty());

    libvirt.virsh("vol-create-as lsd one 64M --format raw").ok();
    libvirt.virsh("vol-create-as lsd one 64M --format raw").fails().says("exists already");
    assert_eq!((libvirt.volumes(), libvirt.info("one", "Capacity:")), (vec!["one".to_owned()], 64 * MIB));
    let header = if client_library_dir().is_some() { "lsd_header." } else { "rbd_header." };
    let objects = libvirt.ceph.objects(&libvirt.pool);
    assert!(objects.iter().any(|name| name.starts_with(header)), "made by another library: {objects:?}");
    libvirt.virsh("vol-resize one 96M --pool lsd").ok();
    libvirt.virsh("vol-resize nothing 96M --pool lsd").fails().says("Storage volume not found");
    let one = libvirt.image("one");
    one.qemu_io(&["write -P 7 0 3M", "write -P 8 95M 1M", "flush"]);
    assert_eq!(libvirt.info("one", "Capacity:"), 96 * MIB);

    // What others made is seen with the next refresh, and how much of it is in use, where the volume can tell that fast.
    let other = libvirt.image("other").create("32M");
    other.qemu_io(&["write -P 9 8M 8M", "flush"]);
    assert_eq!(libvirt.volumes(), ["one"]);
    libvirt.virsh("pool-refresh lsd").ok();
    assert_eq!(libvirt.volumes(), ["one", "other"]);
    assert_eq!((libvirt.info("other", "Capacity:"), libvirt.info("other", "Allocation:")), (32 * MIB, 8 * MIB));
    libvirt.virsh("vol-resize other 48M --pool lsd").ok();
    assert_eq!(libvirt.info("other", "Capacity:"), 48 * MIB);
    other.qemu_io(&["read -P 0 0 8M", "read -P 9 8M 8M", "read -P 0 16M 32M"]);

    libvirt.virsh("pool-destroy lsd").ok();
    libvirt.virsh("vol-list lsd").fails().says("not active");
    libvirt.virsh("pool-start lsd").ok();
    assert_eq!(libvirt.volumes(), ["one", "other"]);
    for volume in ["one", "other"] {
        libvirt.virsh(&format!("vol-delete {volume} lsd")).ok();
    }
    assert!(libvirt.volumes().is_empty());
    let _again = one.create("8M"); // its name is free
    libvirt.virsh("pool-refresh lsd").ok();
    libvirt.virsh("vol-delete one lsd").ok();
    libvirt.virsh("pool-destroy lsd").ok();
    libvirt.virsh("pool-undefine lsd").ok();
}

#[test]
fn volumes_are_cloned_and_wiped() {
    let libvirt = Libvirt::start(&requires_ceph!(), "lvclone");
    libvirt.virsh("pool-start lsd").ok();
    libvirt.virsh("vol-create-as lsd one 64M --format raw").ok();
    let (one, two, three) = (libvirt.image("one"), libvirt.image("two"), libvirt.image("three"));
    one.qemu_io(&["write -P 7 0 3M", "write -P 8 63M 1M", "flush"]);
    // Two clones of one state are of one snapshot.
    libvirt.virsh("vol-clone one two --pool lsd").ok();
    libvirt.virsh("vol-clone one three --pool lsd").ok();
    assert_eq!(libvirt.snapshots("one"), "libvirt True\n");
    assert_eq!((libvirt.parent("two"), libvirt.parent("three")), ("one".to_owned(), "one".to_owned()));
    two.qemu_io(&["read -P 7 0 3M", "read -P 0 3M 60M", "read -P 8 63M 1M", "write -P 5 2M 1M", "flush"]);
    // libvirt 9.0 takes the difference for an error, with any librbd: its callback ends the search by -1.
    one.qemu_io(&["write -P 6 1M 1M", "flush"]);
    libvirt.virsh("vol-clone one four --pool lsd").fails().says("Failed to clone vol");
    assert_eq!(libvirt.volumes(), ["one", "three", "two"]);

    libvirt.virsh("vol-wipe two lsd").ok();
    libvirt.virsh("vol-wipe three lsd --algorithm trim").ok();
    for wiped in [&two, &three] {
        wiped.qemu_io(&["read -P 0 0 64M"]);
    }
    one.qemu_io(&["read -P 7 0 1M", "read -P 6 1M 1M", "read -P 8 63M 1M"]);
    libvirt.virsh("vol-delete one lsd").fails().says("failed to remove volume");
    for clone in ["two", "three"] {
        libvirt.virsh(&format!("vol-delete {clone} lsd")).ok();
    }
    libvirt.virsh("vol-delete one lsd").fails().says("failed to remove volume");
    libvirt.virsh("vol-delete one lsd --delete-snapshots").ok();
    assert!(libvirt.volumes().is_empty());
}

/// The machine code of `tests/programs/boot_sector.s`.
fn boot_sector(dir: &Path) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/boot_sector.s");
    let (object, code) = (dir.join("boot.o"), dir.join("boot"));
    Cmd::stock("as").arg("--32").arg(source).arg("-o").arg(&object).ok();
    Cmd::stock("ld").args(["-m", "elf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o"]).arg(&code).arg(&object).ok();
    std::fs::read(code).unwrap()
}

#[test]
fn a_guest_lives_on_a_volume() {
    let libvirt = Libvirt::start(&requires_ceph!(), "lvguest");
    libvirt.virsh("pool-start lsd").ok();
    libvirt.virsh("vol-create-as lsd disk 8M --format raw").ok();
    let mut content = boot_sector(libvirt.dir.path());
    content.resize(2 * SECTOR, 0);
    content.extend(WORDS);
    content.resize(3 * SECTOR, 0);
    content.extend(pattern(MIB as usize, 1));
    let (file, back, serial) =
        (libvirt.dir.path().join("file"), libvirt.dir.path().join("back"), libvirt.dir.path().join("serial"));
    std::fs::write(&file, &content).unwrap();
    let disk = libvirt.image("disk");
    disk.ceph.client("qemu-img").args(["convert", "-n", "-f", "raw", "-O", "raw"]).arg(&file).arg(disk.qemu()).ok();

    libvirt.define("define", &libvirt.domain_xml("disk", &serial));
    libvirt.virsh("start guest").ok();
    wait_until("the guest turns itself off", BOOT_TIMEOUT, || {
        libvirt.virsh("domstate guest").ok().text().contains("shut off")
    });
    let told = std::fs::read(&serial).unwrap();
    assert_eq!(String::from_utf8_lossy(&told), String::from_utf8_lossy(WORDS));
    disk.read_to(&back);
    let written: Vec<u8> = content[2 * SECTOR..3 * SECTOR].to_vec();
    content[3 * SECTOR..4 * SECTOR].copy_from_slice(&written);
    content.resize(8 * MIB as usize, 0);
    assert!(std::fs::read(&back).unwrap() == content, "the disk is not what the guest made of it");

    // While it is paused, so that it stays: the disk is the guest's, and grows with it.
    libvirt.virsh("start guest --paused").ok();
    libvirt.virsh("blockresize guest vda 16M").ok();
    libvirt.virsh("domblkinfo guest vda").ok().says(&(16 * MIB).to_string());
    // Its disk moves to a stock image, and back.
    let stock = libvirt.image("stock");
    libvirt.ceph.stock("rbd").args(["create", "--size", "16M", &stock.spec()]).ok();
    for image in [&stock, &disk] {
        let target = libvirt.dir.path().join("target.xml");
        std::fs::write(&target, libvirt.disk_xml(&image.name)).unwrap();
        let copy = libvirt.virsh("blockcopy guest vda --transient-job --reuse-external --wait --pivot --xml");
        copy.arg(target).ok();
        libvirt.virsh("domblklist guest").ok().says(&image.spec());
    }
    libvirt.virsh("vol-delete disk lsd").fails().says("failed to remove volume");
    libvirt.virsh("destroy guest").ok();
    disk.read_to(&back);
    content.resize(16 * MIB as usize, 0);
    assert!(std::fs::read(&back).unwrap() == content, "moving the disk has changed it");
    libvirt.virsh("undefine guest").ok();
    libvirt.virsh("pool-refresh lsd").ok();
    assert_eq!(libvirt.info("disk", "Capacity:"), 16 * MIB);
    libvirt.virsh("vol-delete disk lsd").ok();
}
