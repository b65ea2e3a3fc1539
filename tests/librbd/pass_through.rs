//! Stock RBD images through this library: the system's own librbd does what is asked of them, and both kinds share their names.
//!
//! That Ceph's Python tests end alike on stock images with and without this library is `ceph_python.rs`.
use crate::common::{
    Ceph, Cmd, Finished, client_library_dir, compiled_program, pattern, scratch_dir, tests_own_library,
};
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(240);
/// Names the stock library; counts more than the option in ceph.conf.
const STOCK: &str = "LSD_STOCK_LIBRBD";

/// A pool that goes with the test.
struct Pool<'a> {
    ceph: &'a Ceph,
    name: String,
}

impl<'a> Pool<'a> {
    fn new(ceph: &'a Ceph, hint: &str) -> Self {
        let name = format!("pass-{hint}-{}", std::process::id());
        ceph.make_pool(&name);
        Self { ceph, name }
    }

    fn spec(&self, image: &str) -> String {
        format!("{}/{image}", self.name)
    }

    /// As QEMU names an image.
    fn qemu(&self, image: &str) -> String {
        format!("rbd:{}:conf={}", self.spec(image), self.ceph.conf.display())
    }

    /// Ceph's own tool on the system's librbd.
    fn rbd(&self, args: &[&str]) -> Cmd {
        self.ceph.stock("rbd").args(["-p", &self.name]).args(args)
    }

    /// An image of lsd and a stock one.
    fn with_both(self, lsd: &str, stock: &str, size: &str) -> Self {
        self.ceph.client("qemu-img").args(["create", "-q", "-f", "raw", &self.qemu(lsd), size]).ok();
        self.rbd(&["create", "--size", size, stock]).ok();
        self
    }

    /// A Python program on this library, with `io`.
    fn python(&self, program: &str) -> Cmd {
        self.ceph.python(&self.name, program)
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.ceph.remove_pool(&self.name);
    }
}

#[test]
fn both_kinds_in_one_process() {
    let ceph = requires_ceph!();
    if tests_own_library() {
        let pool = Pool::new(&ceph, "both").with_both("of-lsd", "of-rbd", "16M");
        let program = compiled_program("pass_through");
        ceph.client(program).args([&pool.name, "of-lsd", "of-rbd"]).timeout(TIMEOUT).ok();
    }
}

fn fio(cmd: Cmd, pool: &Pool, options: &[&str]) -> Finished {
    let dir = scratch_dir();
    let base = ["--name=job", "--ioengine=rbd", "--clientname=admin", "--size=64m", "--randseed=7", "--verify=crc32c"];
    let place = [format!("--pool={}", pool.name), "--rbdname=stock".to_owned()];
    cmd.args(base).args(place).args(options).dir(dir.path()).timeout(TIMEOUT).ok()
}

/// Written and verified through this library, and verified once more without it.
#[test]
fn fio_verifies_a_stock_image() {
    let ceph = requires_ceph!();
    let pool = Pool::new(&ceph, "fio");
    pool.rbd(&["create", "--size", "128M", "stock"]).ok();
    let options = ["--rw=randwrite", "--bssplit=512/5:4k/45:16k/20:64k/20:1m/10", "--iodepth=32"];
    let written = [&options[..], &["--verify_fatal=1", "--do_verify=1", "--fsync=64"]].concat();
    fio(ceph.client("fio"), &pool, &written);
    let verified = [&options[..], &["--verify_fatal=1", "--verify_only=1"]].concat();
    fio(ceph.stock("fio"), &pool, &verified);
    let polled = [&options[..], &["--verify_fatal=1", "--verify_backlog=64", "--busy_poll=1"]].concat();
    fio(ceph.client("fio"), &pool, &polled);
}

#[test]
fn qemu_works_on_a_stock_image() {
    let ceph = requires_ceph!();
    let pool = Pool::new(&ceph, "qemu");
    let dir = scratch_dir();
    let (source, back) = (dir.path().join("source"), dir.path().join("back"));
    std::fs::write(&source, pattern(24 << 20, 5)).unwrap();
    pool.rbd(&["create", "--size", "32M", "stock"]).ok();
    let image = pool.qemu("stock");
    ceph.client("qemu-img").args(["convert", "-n", "-f", "raw", "-O", "raw"]).arg(&source).arg(&image).ok();
    let commands = ["write -P 0xa1 512 70000", "write -z 8M 4M", "discard 12M 4M", "flush", "read -P 0xa1 512 70000"];
    let io = commands.iter().flat_map(|command| ["-c", command]);
    let done = ceph.client("qemu-io").args(["-f", "raw"]).args(io).arg(&image).ok();
    assert!(!done.text().contains("Pattern verification failed"), "{done}");
    for python in [ceph.client("qemu-img"), ceph.stock("qemu-img")] {
        python.args(["convert", "-f", "raw", "-O", "raw", &image]).arg(&back).ok();
        let (mut expected, read) = (std::fs::read(&source).unwrap(), std::fs::read(&back).unwrap());
        expected.resize(32 << 20, 0);
        expected[512..70512].fill(0xa1);
        expected[8 << 20..16 << 20].fill(0);
        assert!(read == expected, "the image has other bytes");
    }
    ceph.client("qemu-img").args(["resize", "-f", "raw", &image, "40M"]).ok();
    ceph.client("qemu-img").args(["snapshot", "-c", "one", &image]).ok();
    assert_eq!(pool.rbd(&["info", "--format", "json", "stock"]).ok().json()["size"], 40 << 20);
    pool.rbd(&["snap", "ls", "stock"]).ok().says("one");
}

/// What is made goes by the option of the call, then of the pool, then of the client.
#[test]
fn a_new_image_is_of_the_kind_that_is_wanted() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let pool = Pool::new(&ceph, "kind");
    let stock_images = || pool.rbd(&["ls"]).ok().text().lines().map(str::to_owned).collect::<Vec<_>>();
    let create = "rbd.RBD().create(io, args[0], 1 << 22)";
    pool.python(create).arg("by-default").ok();
    let wants_rbd = ceph.with_client_conf(&["lsd_default_format = rbd"]);
    wants_rbd.python(&pool.name, create).arg("by-client").ok();
    assert_eq!(stock_images(), ["by-client"]);
    let metadata = "rbd.RBD().pool_metadata_set(io, 'conf_lsd_default_format', args[0])";
    pool.python(metadata).arg("lsd").ok();
    wants_rbd.python(&pool.name, create).arg("by-pool").ok();
    pool.python(metadata).arg("rbd").ok();
    pool.python(create).arg("by-pool-too").ok();
    assert_eq!(stock_images(), ["by-client", "by-pool-too"]);
    let refused = pool.python(metadata).arg("qcow2").fails();
    refused.says("InvalidArgument");
    let listed = pool.python("print(*rbd.RBD().list(io))").ok().text();
    assert_eq!(listed.trim(), "by-client by-default by-pool by-pool-too");
    let wrong = ceph.with_client_conf(&["lsd_default_format = qcow2"]);
    pool.python("rbd.RBD().pool_metadata_remove(io, 'conf_lsd_default_format')").ok();
    let refused = wrong.python(&pool.name, create).arg("by-nobody").fails();
    assert!(refused.errors().contains("lsd_default_format is lsd or rbd"), "{refused}");
}

/// A host that has only the stock library does not look at lsd's names. Then a name has two images, and means lsd's.
#[test]
fn a_name_that_two_images_have_means_lsds() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let pool = Pool::new(&ceph, "same").with_both("same", "same", "8M");
    let program = "
with rbd.Image(io, 'same') as image:
    print(image.id())
print(rbd.RBD().list(io), len(list(rbd.RBD().list2(io))))
with rbd.Image(io, image_id=args[0]) as image:
    print(image.id())
try:
    rbd.RBD().remove(io, 'same')
except rbd.ImageBusy:
    print('busy')
";
    let stock = pool.rbd(&["info", "--format", "json", "same"]).ok().json()["id"].as_str().unwrap().to_owned();
    let told = pool.python(program).arg(&stock).ok().text();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0] != stock && lines[1] == "['same'] 2", "{told}");
    assert_eq!(lines[2..], [stock.as_str(), "busy"]);
    pool.rbd(&["rm", "--no-progress", "same"]).ok();
    pool.python("rbd.RBD().remove(io, 'same')\nprint(rbd.RBD().list(io))").ok().says("[]");
}

const OPEN: &str = "
rbd.Image(io, 'of-lsd').close()
print(rbd.RBD().list(io))
try:
    rbd.Image(io, 'of-rbd').close()
    print('opened')
except rbd.ImageNotFound:
    print('not found')
try:
    rbd.Image(io, 'of-nobody').close()
except rbd.ImageNotFound:
    print('not found')
";

/// Without a stock library, stock images are not there, and whoever asks for one is told why; nobody else is.
#[test]
fn a_host_without_a_stock_library_says_so_when_a_stock_image_is_asked_for() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let pool = Pool::new(&ceph, "absent").with_both("of-lsd", "of-rbd", "8M");
    let done = pool.python(OPEN).env(STOCK, "/nowhere/librbd.so.1").ok();
    assert_eq!(done.text(), "['of-lsd']\nnot found\nnot found\n", "{done}");
    let told: Vec<String> = done.errors().lines().map(str::to_owned).collect();
    assert_eq!(told.len(), 1, "{done}");
    let words = ["image of-rbd is a stock RBD image", "/nowhere/librbd.so.1", "lsd_stock_librbd"];
    assert!(words.iter().all(|word| told[0].contains(word)), "{done}");
    let quiet = "rbd.Image(io, 'of-lsd').close(); rbd.RBD().create(io, 'more', 1 << 22); print(rbd.RBD().list(io))";
    let done = pool.python(quiet).env(STOCK, "/nowhere/librbd.so.1").ok();
    assert_eq!((done.text().as_str(), done.errors().as_str()), ("['more', 'of-lsd']\n", ""), "{done}");
    let create = "rbd.RBD().create(io, 'of-rbd', 1 << 22)";
    pool.python(create).env(STOCK, "/nowhere/librbd.so.1").fails().says("ImageExists");
    let ceph = ceph.with_client_conf(&["lsd_stock_librbd = /nowhere/else"]);
    assert!(ceph.python(&pool.name, OPEN).ok().errors().contains("/nowhere/else"));
}

/// Whatever is named or preloaded, the library passes nothing on to itself.
#[test]
fn the_library_never_takes_itself_for_the_stock_one() {
    let ceph = requires_ceph!();
    let Some(own) = client_library_dir().filter(|_| tests_own_library()) else { return };
    let pool = Pool::new(&ceph, "itself").with_both("of-lsd", "of-rbd", "8M");
    let dir = scratch_dir();
    let own = own.join("librbd.so.1");
    let copy = dir.path().join("librbd.so.1");
    std::fs::copy(&own, &copy).unwrap();
    let open = |library: &Path| pool.python(OPEN).env(STOCK, library).ok();
    for (library, why) in [(&own, "that is lsd's own library"), (&copy, "that is a copy of lsd's own library")] {
        let done = open(library);
        assert!(done.text().contains("not found\nnot found") && done.errors().contains(why), "{done}");
    }
    let found = "['of-lsd', 'of-rbd']\nopened\nnot found\n";
    let done = pool.python(OPEN).ok();
    assert_eq!((done.text().as_str(), done.errors().as_str()), (found, ""), "{done}");
    // Its functions are then the whole process's, and the stock library's own calls must not end up in them.
    let done = pool.python(OPEN).env("LD_PRELOAD", &own).ok();
    assert_eq!((done.text().as_str(), done.errors().as_str()), (found, ""), "{done}");
}

/// Neither directory has its name any more, and RBD has a trash in the pool, too.
#[test]
fn the_source_of_a_migration_is_found_by_its_name_beside_stock_images() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let pool = Pool::new(&ceph, "moved").with_both("of-lsd", "of-rbd", "8M");
    pool.rbd(&["trash", "mv", "of-rbd"]).ok();
    let moved = "r = rbd.RBD(); r.migration_prepare(io, 'of-lsd', io, 'there'); s = r.migration_status(io, 'of-lsd'); \
        print(s['source_image_name'], s['dest_image_name']); r.migration_abort(io, 'of-lsd'); print(r.list(io))";
    assert_eq!(pool.python(moved).ok().text(), "of-lsd there\n['of-lsd']\n");
}

/// What lsd keeps in a pool is nothing to RBD's tools, and the reverse.
#[test]
fn neither_kind_is_in_the_way_of_the_others_tools() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let pool = Pool::new(&ceph, "objects").with_both("of-lsd", "of-rbd", "8M");
    pool.python("rbd.RBD().trash_move(io, 'of-lsd', 0); rbd.RBD().group_create(io, 'group')").ok();
    assert_eq!(pool.rbd(&["ls"]).ok().text(), "of-rbd\n");
    assert_eq!(pool.rbd(&["trash", "ls", "--format", "json"]).ok().json(), serde_json::json!([]));
    assert_eq!(pool.rbd(&["group", "ls", "--format", "json"]).ok().json(), serde_json::json!([]));
    assert_eq!(pool.rbd(&["pool", "stats", "--format", "json"]).ok().json()["images"]["count"], 1);
    pool.rbd(&["trash", "mv", "of-rbd"]).ok();
    let both = "print(sorted(entry['name'] for entry in rbd.RBD().trash_list(io)))";
    assert_eq!(pool.python(both).ok().text(), "['of-lsd', 'of-rbd']\n");
    pool.rbd(&["trash", "purge"]).ok();
    assert_eq!(pool.python(both).ok().text(), "['of-lsd']\n");
    let counted = "print(rbd.RBD().pool_stats_get(io)['trash_count'])";
    assert_eq!(pool.python(counted).ok().text(), "1\n");
}
