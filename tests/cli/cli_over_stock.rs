//! Clones of stock RBD images' snapshots: images of lsd that show them, whatever becomes of both, until they need them no more.
use crate::cli_rbd::lsd;
use crate::common::{Ceph, Cmd, pattern, scratch_dir};
use std::path::PathBuf;
use std::time::Duration;

const SIZE: usize = 24 << 20;
/// Where `gold` has bytes of its own: within an object of its parent's, and beyond what that has.
const OWN: [usize; 2] = [1 << 20, 16 << 20];
const OWN_LEN: usize = 300_000;

/// A pool with the stock image `gold`, itself a clone, and its protected snapshot `s`.
pub struct World<'a> {
    pub ceph: &'a Ceph,
    pub pool: String,
    dir: tempfile::TempDir,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.ceph.remove_pool(&self.pool);
    }
}

impl<'a> World<'a> {
    /// With what `gold@s` has.
    pub fn new(ceph: &'a Ceph, hint: &str) -> (Self, Vec<u8>) {
        let world = Self { ceph, pool: format!("over-stock-{hint}-{}", std::process::id()), dir: scratch_dir() };
        ceph.make_pool(&world.pool);
        let mut content = pattern(9 << 20, 7);
        content.resize(SIZE, 0);
        std::fs::write(world.file("in"), &content).unwrap();
        for line in [
            "import --no-progress {dir}/in {pool}/base",
            "snap create --no-progress {pool}/base@b",
            "snap protect {pool}/base@b",
            "clone {pool}/base@b {pool}/gold",
        ] {
            world.rbd(line);
        }
        for at in OWN {
            content[at..at + OWN_LEN].copy_from_slice(&pattern(OWN_LEN, at as u64));
        }
        std::fs::write(world.file("in"), &content).unwrap();
        world.write("gold", "in", Ceph::stock_python);
        world.rbd("snap create --no-progress {pool}/gold@s");
        world.rbd("snap protect {pool}/gold@s");
        (world, content)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn words(&self, line: &str) -> Vec<String> {
        let line = line.replace("{pool}", &self.pool).replace("{dir}", self.dir.path().to_str().unwrap());
        line.split(' ').map(str::to_owned).collect()
    }

    pub fn rbd(&self, line: &str) {
        self.stock(line).ok();
    }

    /// Ceph's own `rbd` on its own library.
    pub fn stock(&self, line: &str) -> Cmd {
        self.ceph.stock("rbd").args(self.words(line))
    }

    pub fn lsd(&self, line: &str) -> Cmd {
        lsd(self.ceph, &self.words(line).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Writes what a file has at the places of [`OWN`].
    fn write(&self, image: &str, file: &str, python: fn(&Ceph, &str, &str) -> Cmd) {
        let program = format!(
            "data = open(args[0], 'rb').read()\nwith rbd.Image(io, '{image}') as image:\n  \
             for at in {OWN:?}: image.write(data[at:at + {OWN_LEN}], at)\n"
        );
        python(self.ceph, &self.pool, &program).arg(self.file(file)).ok();
    }

    pub fn exported(&self, image: &str) -> Vec<u8> {
        let _ = std::fs::remove_file(self.file("out"));
        self.lsd(&format!("export --no-progress {{pool}}/{image} {{dir}}/out")).ok();
        std::fs::read(self.file("out")).unwrap()
    }

    /// As if nobody had ever kept a snapshot in the pool.
    fn forget_children(&self) {
        self.ceph.rados(&self.pool).args(["rm", "rbd_children"]).ok();
    }

    /// Whether the snapshot can lose its protection; it has it afterwards.
    fn can_go(&self) -> bool {
        let done = self.stock("snap unprotect {pool}/gold@s").run();
        if done.code == Some(0) {
            self.rbd("snap protect {pool}/gold@s");
        }
        done.code == Some(0)
    }
}

#[test]
fn a_clone_of_a_stock_snapshot_reads_writes_and_becomes_independent() {
    let ceph = requires_ceph!();
    let (world, content) = World::new(&ceph, "life");
    world.lsd("clone {pool}/gold@s {pool}/disk").ok();
    assert!(world.exported("disk") == content, "what the snapshot has");
    assert!(!world.can_go(), "it is kept");
    world.lsd("info {pool}/disk").ok().says("base: rbd:");
    // Through the library, over what lies in one object with bytes of the parent.
    let mut changed = content.clone();
    for at in OWN {
        changed[at..at + OWN_LEN].copy_from_slice(&pattern(OWN_LEN, 99 + at as u64));
    }
    std::fs::write(world.file("in"), &changed).unwrap();
    world.write("disk", "in", Ceph::python);
    assert!(world.exported("disk") == changed);
    // The parent goes its own way.
    std::fs::write(world.file("in"), vec![0xee; SIZE]).unwrap();
    world.write("gold", "in", Ceph::stock_python);
    assert!(world.exported("disk") == changed);
    world.lsd("check {pool}/disk").ok();
    let header = || world.lsd("inspect header {pool}/disk --format json").ok().json();
    assert_eq!(header()["base"]["kind"], "rbd");
    world.lsd("flatten --no-progress {pool}/disk").ok();
    assert!(world.can_go(), "nobody needs it");
    let after = header();
    assert!(after["base"].is_null() && after["former_base"].is_null(), "{after}");
    assert!(after["requires"].as_array().unwrap().contains(&"base".into()), "{after}");
    for line in ["snap unprotect {pool}/gold@s", "snap purge --no-progress {pool}/gold", "rm --no-progress {pool}/gold"]
    {
        world.rbd(line);
    }
    assert!(world.exported("disk") == changed);
    world.lsd("check {pool}/disk").ok();
    world.lsd("rm --no-progress {pool}/disk").ok();
}

#[test]
fn what_keeps_a_stock_snapshot_goes_with_the_clone() {
    let ceph = requires_ceph!();
    let (world, content) = World::new(&ceph, "keep");
    world.lsd("clone {pool}/gold@s {pool}/one").ok();
    world.lsd("clone {pool}/gold@s {pool}/two --object-size 1M").ok();
    world.lsd("rm --no-progress {pool}/one").ok();
    assert!(!world.can_go(), "the other one needs it");
    assert!(world.exported("two") == content);
    world.lsd("rm --no-progress {pool}/two").ok();
    assert!(world.can_go());
}

pub fn refused(command: Cmd, code: i32, why: &str) {
    let done = command.run().expect_code(code);
    assert!(done.errors().contains(why), "{done}");
}

#[test]
fn what_cannot_be_cloned_or_read_says_why() {
    let ceph = requires_ceph!();
    let (world, content) = World::new(&ceph, "why");
    refused(world.lsd("clone {pool}/gold@none {pool}/disk"), 2, "No such file");
    refused(world.lsd("clone {pool}/nothing@s {pool}/disk"), 2, "No such file");
    world.rbd("snap create --no-progress {pool}/gold@free");
    refused(world.lsd("clone {pool}/gold@free {pool}/disk"), 22, "not protected");
    let without = world.lsd("clone {pool}/gold@s {pool}/disk").env("LSD_STOCK_LIBRBD", "/nowhere/librbd.so.1");
    refused(without, 95, "no stock librbd");
    assert_eq!(world.lsd("ls {pool}").ok().text(), "");
    world.lsd("clone {pool}/gold@s {pool}/disk").ok();
    let without = world.lsd("export --no-progress {pool}/disk {dir}/none");
    let done = without.env("LSD_STOCK_LIBRBD", "/nowhere/librbd.so.1").fails();
    assert!(done.errors().contains("stock"), "{done}");
    assert!(world.exported("disk") == content);
    world.lsd("rm --no-progress {pool}/disk").ok();
}

#[test]
fn a_stock_image_keeps_its_name() {
    let ceph = requires_ceph!();
    let (world, content) = World::new(&ceph, "names");
    world.lsd("create --size 4M {pool}/own").ok();
    world.lsd("snap create --no-progress {pool}/own@s").ok();
    for line in [
        "create --size 4M {pool}/gold",
        "import --no-progress {dir}/in {pool}/gold",
        "import --lazy {dir}/in {pool}/gold",
        "rename {pool}/own {pool}/gold",
        "copy --no-progress {pool}/own {pool}/gold",
        "deep copy --no-progress {pool}/own {pool}/gold",
        "clone {pool}/own@s {pool}/gold",
        "clone {pool}/gold@s {pool}/gold",
        "migration prepare {pool}/own {pool}/gold",
    ] {
        refused(world.lsd(line), 17, "File exists");
    }
    world.lsd("trash mv {pool}/own").ok();
    let id = world.lsd("trash ls {pool}").ok().text().split_whitespace().next().unwrap().to_owned();
    let restored = |name: &str| world.lsd(&format!("trash restore {{pool}}/{id} --image {name}"));
    refused(restored("gold"), 17, "an image with the same name already exists");
    restored("own").ok();
    assert_eq!(world.lsd("ls {pool}").ok().text(), "own\n");
    world.rbd("export --no-progress {pool}/gold@s {dir}/out");
    assert!(std::fs::read(world.file("out")).unwrap() == content);
    world.lsd("snap purge --no-progress {pool}/own").ok();
    world.lsd("rm --no-progress {pool}/own").ok();
}

#[test]
fn every_removal_lets_go_of_the_snapshot() {
    let ceph = requires_ceph!();
    let (world, _) = World::new(&ceph, "gone");
    let clone = || {
        world.lsd("clone {pool}/gold@s {pool}/disk").ok();
        assert!(!world.can_go(), "it is kept");
    };
    clone();
    ceph.python(&world.pool, "rbd.RBD().remove(io, 'disk')").ok();
    assert!(world.can_go(), "by the library");
    for remove in ["trash rm --no-progress {pool}/ID", "trash purge --no-progress {pool}"] {
        clone();
        world.lsd("trash mv {pool}/disk").ok();
        assert!(!world.can_go(), "it can be brought back");
        let listed = world.lsd("trash ls {pool}").ok().text();
        let id = listed.split_whitespace().next().unwrap_or_default();
        world.lsd(&remove.replace("ID", id)).ok();
        assert!(world.can_go(), "{remove}");
    }
}

/// The stock library gives zeroes for objects that are gone: nobody gets those of a snapshot that nothing keeps.
#[test]
fn a_snapshot_that_nothing_keeps_is_not_read_on() {
    let ceph = requires_ceph!();
    let (world, content) = World::new(&ceph, "unkept");
    world.lsd("clone {pool}/gold@s {pool}/disk").ok();
    world.forget_children();
    assert!(world.lsd("check {pool}/disk").run().expect_code(2).text().contains("is not kept for it"));
    world.lsd("check --repair {pool}/disk").ok();
    assert!(!world.can_go(), "a repair keeps it again");
    assert!(world.exported("disk") == content);
    // Who has it open meanwhile.
    let program = "import os, time\nwith rbd.Image(io, 'disk', read_only=True) as image:\n  image.read(0, 4096)\n  \
                   print('open', flush=True)\n  while not os.path.exists(args[0]): time.sleep(0.1)\n  \
                   try: print('read', any(image.read(16 << 20, 4096)))\n  except Exception as error: print('refused', error)\n";
    let mut reader = ceph.python(&world.pool, program).arg(world.file("gone")).start();
    reader.wait_for_text("open", Duration::from_secs(60));
    world.forget_children();
    world.rbd("snap unprotect {pool}/gold@s");
    world.rbd("snap rm --no-progress {pool}/gold@s");
    std::fs::write(world.file("gone"), "").unwrap();
    let done = reader.wait(Duration::from_secs(60)).expect_code(0);
    assert!(done.text().contains("refused"), "{done}");
    world.lsd("export --no-progress {pool}/disk {dir}/none").fails();
    world.lsd("rm --no-progress {pool}/disk").ok();
}
