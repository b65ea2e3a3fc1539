//! A file system without room: what has no effect is told, what frees space passes, and reading always works. As root only:
//! the file systems are mounted for the test.
use lsd_store::{
    Append, Blobs, DirStore, Keyed, KvPresence, KvUpdate, Logs, ObjectName, Pools, Presence, StoreErrorKind,
};
use std::path::Path;
use std::process::Command;

const PIECE: usize = 256 << 10;

/// A small file system, unmounted when it is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn run(program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).output().expect(program);
        assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn tmpfs() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mounted = directory.path().join("fs");
        std::fs::create_dir(&mounted).expect("create");
        Self::run("mount", &["-t", "tmpfs", "-o", "size=64m", "lsd-test", mounted.to_str().expect("text")]);
        Self(directory)
    }

    fn ext4() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (image, mounted) = (directory.path().join("image"), directory.path().join("fs"));
        std::fs::create_dir(&mounted).expect("create");
        std::fs::File::create(&image).expect("image").set_len(100 << 20).expect("length");
        let (image, mounted) = (image.to_str().expect("text"), mounted.to_str().expect("text"));
        Self::run("mkfs.ext4", &["-q", image]);
        Self::run("mount", &["-o", "loop", image, mounted]);
        Self(directory)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("fs")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).output());
    }
}

fn append(at: usize, urgent: bool) -> Append {
    Append { epoch: 1, at: at as u64, data: vec![vec![7; PIECE].into()], summary_len: 0, urgent }
}

/// Appends until there is no room; the length of the log.
async fn fill(store: &DirStore, name: &ObjectName) -> usize {
    let mut len = 0;
    loop {
        match store.append(name, append(len, false)).await {
            Ok(()) => len += PIECE,
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Full, "{error}");
                return len;
            }
        }
    }
}

/// Another program takes every byte that is left.
fn take_the_rest(directory: &Path) -> std::path::PathBuf {
    use std::io::Write;
    let path = directory.join("foreign");
    let mut file = std::fs::File::create(&path).expect("create");
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file.sync_all());
    path
}

async fn passes_when_full(store: &DirStore, log: &ObjectName, len: usize) {
    let keys = ObjectName::from("keys");
    let change = KvUpdate::default().presence(KvPresence::MustExist).set("a", "2");
    store.kv_update(&keys, change).await.expect("the header changes");
    store.append(log, append(len, true)).await.expect("an urgent append");
    store.put(&"page".into(), vec![1; PIECE].into()).await.expect("a page of the map");
    let tomb = Append { data: Vec::new(), ..append(0, true) };
    store.append(&"tomb".into(), tomb).await.expect("a tombstone");
    store.fence(log, 2).await.expect("a fence");
    assert_eq!(store.read(log, 0, PIECE as u64).await.expect("read"), vec![7; PIECE]);
}

async fn a_full_store_frees_space(mounted: Mounted) {
    let path = mounted.path().join("store");
    let store = DirStore::open(&path).expect("open");
    let (log, keys) = (ObjectName::from("log"), ObjectName::from("keys"));
    store.kv_update(&keys, KvUpdate::default().set("a", "1")).await.expect("create");
    let len = fill(&store, &log).await;
    assert!(len > 32 << 20, "only {len} bytes went in");
    assert!(
        store.room().is_some_and(|room| room.ordinary < PIECE as u64 && room.urgent >= room.reserve),
        "it knows: {:?}",
        store.room()
    );
    assert_eq!(store.log_tail(&log).await.expect("tail").len, len as u64, "the refused append left nothing");
    passes_when_full(&store, &log, len).await;
    store.append(&"other".into(), append(0, false)).await.expect_err("no room for anything new");
    store.remove(&log).await.expect("remove");
    store.append(&"other".into(), append(0, false)).await.expect("there is room again");
    drop(store);
    let store = DirStore::open_existing(&path).expect("open");
    store.remove(&"other".into()).await.expect("remove");
    store.remove(&"page".into()).await.expect("remove");
    store.remove(&"tomb".into()).await.expect("remove");
    // Somebody else fills what the store leaves free: the reserve is there for that.
    let log = ObjectName::from("again");
    let len = fill(&store, &log).await;
    let foreign = take_the_rest(&mounted.path());
    let beside = DirStore::open_existing(&path).expect("another client");
    assert_eq!(beside.read(&log, 0, 4096).await.expect("read"), vec![7; 4096]);
    passes_when_full(&beside, &log, len).await;
    // Until it is used up: then it is still read.
    let mut index = 0;
    while store.put(&format!("more.{index}").into(), vec![1; 4096].into()).await.is_ok() {
        index += 1;
    }
    std::fs::File::options().write(true).open(path.join("reserve")).expect("reserve").set_len(0).expect("length");
    let more = take_the_rest(&path);
    let reader = DirStore::open_existing(&path).expect("a reader");
    assert_eq!(reader.kv_get(&keys, "").await.expect("keys")["a"], "2");
    assert_eq!(reader.read(&log, 0, 4096).await.expect("read"), vec![7; 4096]);
    store.remove(&log).await.expect("removing needs no room");
    for file in [foreign, more] {
        std::fs::remove_file(file).expect("remove");
    }
    store.append(&"last".into(), append(0, false)).await.expect("there is room again");
}

#[tokio::test]
async fn a_full_tmpfs_frees_space() {
    a_full_store_frees_space(Mounted::tmpfs()).await;
}

#[tokio::test]
async fn a_full_ext4_frees_space() {
    a_full_store_frees_space(Mounted::ext4()).await;
}

/// A store on a mount that takes no writes: everything is read, nothing is changed, and why is said.
#[tokio::test]
async fn a_read_only_mount_is_read() {
    let mounted = Mounted::tmpfs();
    let path = mounted.path().join("store");
    let store = DirStore::open(&path).expect("open");
    let (log, keys) = (ObjectName::from("log"), ObjectName::from("keys"));
    store.kv_update(&keys, KvUpdate::default().set("a", "1")).await.expect("create");
    store.append(&log, append(0, false)).await.expect("append");
    drop(store);
    Mounted::run("mount", &["-o", "remount,ro", mounted.path().to_str().expect("text")]);
    let store = DirStore::open_existing(&path).expect("open");
    assert_eq!(store.kv_get(&keys, "").await.expect("keys")["a"], "1");
    assert_eq!(store.log_tail(&log).await.expect("tail").len, PIECE as u64);
    assert_eq!(store.read(&log, 0, PIECE as u64).await.expect("read"), vec![7; PIECE]);
    assert_eq!(store.list("").await.expect("list"), [keys.clone(), log.clone()]);
    assert_eq!(store.watchers(&keys).await.expect("watchers"), []);
    let refused = [
        store.append(&log, append(PIECE, true)).await,
        store.kv_update(&keys, KvUpdate::default().set("a", "2")).await,
        store.remove(&log).await,
        store.put(&"new".into(), "x".into()).await,
    ];
    for result in refused {
        let error = result.expect_err("nothing can be written");
        assert_eq!((error.kind, error.errno), (StoreErrorKind::Permission, nix::libc::EROFS), "{error}");
    }
    DirStore::open(&mounted.path().join("new")).expect_err("nothing can be made");
}
