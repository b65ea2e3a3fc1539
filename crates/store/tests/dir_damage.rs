//! Files of a directory store that are cut off, changed, foreign, or as a crash leaves them: every one gives a clear
//! error or the state before, never a panic and never wrong bytes as if they were right.
use bytes::Bytes;
use lsd_store::{
    Append, Blobs, DirStore, Keyed, KvUpdate, LockMode, LockRequest, LogTail, Logs, ObjectName, Pools, Presence,
    StoreError, StoreErrorKind,
};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where the data of a log or whole object begins in its file: docs/FORMAT-dir-store.md.
const DATA: u64 = 4096;

struct Fixture {
    directory: TempDir,
    store: DirStore,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = DirStore::open(directory.path()).expect("open");
        Self { directory, store }
    }

    fn file(&self, object: &str) -> PathBuf {
        self.directory.path().join("objects").join(object)
    }

    /// A log of `AAAABBBB` in epoch 3, sealed or not.
    async fn log(&self, object: &str, summary_len: u32) {
        let append = |at, data: &'static str, summary_len| Append {
            epoch: 3,
            at,
            data: vec![data.into()],
            summary_len,
            urgent: false,
        };
        self.store.append(&object.into(), append(0, "AAAA", 0)).await.expect("append");
        self.store.append(&object.into(), append(4, "BBBB", summary_len)).await.expect("append");
    }

    /// The same directory as a new process finds it.
    fn again(&self) -> DirStore {
        DirStore::open(self.directory.path()).expect("open")
    }

    async fn append(&self, object: &str, epoch: u64, at: u64) -> Result<(), StoreError> {
        self.store
            .append(&object.into(), Append { epoch, at, data: vec!["CCCC".into()], summary_len: 0, urgent: false })
            .await
    }
}

fn flip(path: &Path, place: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], place).expect("write");
}

fn cut(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).expect("open").set_len(len).expect("cut");
}

#[track_caller]
fn is_damage<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.expect_err("damage must be an error");
    assert_eq!(error.kind, StoreErrorKind::Io, "{error}");
    assert!(!error.detail.is_empty() && !error.object.is_empty(), "the error says what is wrong: {error}");
}

/// Every operation that looks into an object refuses it, and it can still be removed.
async fn refuses_everything(fixture: &Fixture, object: &str) {
    let (store, name) = (&fixture.store, ObjectName::from(object));
    is_damage(store.read(&name, 0, 10).await);
    is_damage(store.stat(&name).await);
    is_damage(store.log_tail(&name).await);
    is_damage(store.fence(&name, 9).await);
    is_damage(fixture.append(object, 3, 8).await);
    is_damage(store.kv_get(&name, "").await);
    is_damage(store.kv_update(&name, KvUpdate::default().set("a", "1")).await);
    assert_eq!(fixture.append(object, 3, 0).await.expect_err("there is something").kind, StoreErrorKind::Exists);
    assert_eq!(store.put(&name, "x".into()).await.expect_err("there is something").kind, StoreErrorKind::Exists);
    assert_eq!(store.list(object).await.expect("list"), std::slice::from_ref(&name));
    store.remove(&name).await.expect("remove");
    store.put(&name, "x".into()).await.expect("put");
}

#[tokio::test]
async fn foreign_and_cut_files_are_refused() {
    let fixture = Fixture::new();
    for (object, content) in [("empty", &b""[..]), ("text", b"hello, world\n"), ("long", &[7; 9000])] {
        fs::write(fixture.file(object), content).expect("write");
        refuses_everything(&fixture, object).await;
    }
    for len in [0, 8, 63] {
        let object = format!("log.{len}");
        fixture.log(&object, 0).await;
        cut(&fixture.file(&object), len);
        refuses_everything(
            &Fixture { store: fixture.again(), directory: tempfile::tempdir().expect("unused") },
            &object,
        )
        .await;
    }
}

#[tokio::test]
async fn a_log_cut_within_its_head_is_refused() {
    let fixture = Fixture::new();
    for len in [64, 600, 1100, 4095] {
        let object = format!("log.{len}");
        fixture.log(&object, 0).await;
        cut(&fixture.file(&object), len);
        // Also by the store that has the file open.
        is_damage(fixture.store.log_tail(&object.as_str().into()).await);
        is_damage(fixture.store.read(&object.as_str().into(), 0, 4).await);
        is_damage(fixture.append(&object, 3, 8).await);
        fixture.store.remove(&object.as_str().into()).await.expect("remove");
    }
}

#[tokio::test]
async fn every_changed_byte_of_a_head_is_seen() {
    let fixture = Fixture::new();
    fixture.log("log", 0).await;
    for place in 0..64 {
        flip(&fixture.file("log"), place);
        let error = fixture.again().read(&"log".into(), 0, 10).await.expect_err("a changed head");
        assert!(matches!(error.kind, StoreErrorKind::Io | StoreErrorKind::Unsupported), "byte {place}: {error}");
        flip(&fixture.file("log"), place);
    }
    assert_eq!(fixture.again().read(&"log".into(), 0, 10).await.expect("read"), "AAAABBBB");
}

/// The two tail records: one that is torn leaves the state before it, two damaged ones are an error.
#[tokio::test]
async fn a_torn_tail_record_is_the_state_before_it() {
    let fixture = Fixture::new();
    fixture.log("log", 0).await;
    // Generation 1 (epoch 3) lies at 1024, generation 2 (epoch 5) at 512.
    fixture.store.fence(&"log".into(), 5).await.expect("fence");
    flip(&fixture.file("log"), 512 + 9);
    let before = LogTail { epoch: 3, len: 8, summary_len: 0 };
    assert_eq!(fixture.store.log_tail(&"log".into()).await.expect("tail"), before);
    // The fence that was cut short is done again.
    let after = LogTail { epoch: 5, ..before };
    assert_eq!(fixture.store.fence(&"log".into(), 5).await.expect("fence"), after);
    assert_eq!(fixture.again().log_tail(&"log".into()).await.expect("tail"), after);
    assert_eq!(fixture.append("log", 3, 8).await.expect_err("fenced").kind, StoreErrorKind::Stale);
    flip(&fixture.file("log"), 512);
    flip(&fixture.file("log"), 1024 + 63);
    is_damage(fixture.store.log_tail(&"log".into()).await);
    is_damage(fixture.store.fence(&"log".into(), 9).await);
    is_damage(fixture.append("log", 3, 8).await);
}

/// A seal writes its data first: cut between the two, the object is open and has the data.
#[tokio::test]
async fn a_seal_cut_short_leaves_an_open_object() {
    let fixture = Fixture::new();
    fixture.log("log", 4).await;
    let sealed = LogTail { epoch: 3, len: 8, summary_len: 4 };
    assert_eq!(fixture.store.log_tail(&"log".into()).await.expect("tail"), sealed);
    flip(&fixture.file("log"), 512 + 24);
    let open = LogTail { summary_len: 0, ..sealed };
    assert_eq!(fixture.again().log_tail(&"log".into()).await.expect("tail"), open);
    assert_eq!(fixture.again().fence(&"log".into(), 4).await.expect("fence"), LogTail { epoch: 4, ..open });
}

/// An append cut short leaves a torn end that the tail counts; the next owner goes on behind it.
#[tokio::test]
async fn an_append_cut_short_leaves_a_torn_end() {
    let fixture = Fixture::new();
    fixture.log("log", 0).await;
    cut(&fixture.file("log"), DATA + 6);
    let store = fixture.again();
    let torn = LogTail { epoch: 3, len: 6, summary_len: 0 };
    assert_eq!(store.log_tail(&"log".into()).await.expect("tail"), torn);
    assert_eq!(store.read(&"log".into(), 0, 10).await.expect("read"), "AAAABB");
    assert_eq!(fixture.append("log", 3, 8).await.expect_err("not the end").kind, StoreErrorKind::Stale);
    assert_eq!(store.fence(&"log".into(), 4).await.expect("fence"), LogTail { epoch: 4, ..torn });
    fixture.append("log", 4, 6).await.expect("append of the next owner");
}

/// A sealed object was whole on the disk before it was sealed: any other length is damage.
#[tokio::test]
async fn a_sealed_object_of_another_length_is_refused() {
    let fixture = Fixture::new();
    fixture.log("log", 4).await;
    for len in [DATA, DATA + 7, DATA + 9] {
        cut(&fixture.file("log"), len);
        is_damage(fixture.store.log_tail(&"log".into()).await);
        is_damage(fixture.store.fence(&"log".into(), 9).await);
    }
    cut(&fixture.file("log"), DATA + 8);
    fixture.store.log_tail(&"log".into()).await.expect("tail");
}

#[tokio::test]
async fn damaged_keyed_and_whole_objects_are_refused() {
    let fixture = Fixture::new();
    let (kv, whole) = (ObjectName::from("kv"), ObjectName::from("whole"));
    fixture.store.kv_update(&kv, KvUpdate::default().set("key", "value")).await.expect("create");
    let len = fs::metadata(fixture.file("kv")).expect("file").len();
    for place in 0..len {
        flip(&fixture.file("kv"), place);
        let error = fixture.store.kv_get(&kv, "").await.expect_err("a changed byte");
        assert!(matches!(error.kind, StoreErrorKind::Io | StoreErrorKind::Unsupported), "byte {place}: {error}");
        fixture.store.kv_update(&kv, KvUpdate::default().set("a", "1")).await.expect_err("no update of damage");
        flip(&fixture.file("kv"), place);
    }
    fixture.store.kv_get(&kv, "").await.expect("whole again");
    for wrong in [len - 1, len + 1] {
        cut(&fixture.file("kv"), wrong);
        is_damage(fixture.store.kv_get(&kv, "").await);
    }
    fixture.store.remove(&kv).await.expect("remove");
    fixture.store.put(&whole, Bytes::from(vec![1; 10_000])).await.expect("put");
    for wrong in [100, DATA, DATA + 9_999, DATA + 10_001] {
        cut(&fixture.file("whole"), wrong);
        is_damage(fixture.store.read(&whole, 0, 10).await);
        is_damage(fixture.store.stat(&whole).await);
    }
}

#[tokio::test]
async fn objects_of_another_kind_are_refused() {
    let fixture = Fixture::new();
    fixture.log("log", 0).await;
    fixture.store.put(&"whole".into(), "x".into()).await.expect("put");
    fixture.store.kv_update(&"kv".into(), KvUpdate::default().set("a", "1")).await.expect("create");
    let invalid = |error: StoreError| assert_eq!(error.kind, StoreErrorKind::Invalid, "{error}");
    for object in ["whole", "kv"] {
        invalid(fixture.store.log_tail(&object.into()).await.expect_err("not a log"));
        invalid(fixture.store.fence(&object.into(), 9).await.expect_err("not a log"));
        invalid(fixture.append(object, 3, 1).await.expect_err("not a log"));
    }
    for object in ["whole", "log"] {
        invalid(fixture.store.kv_get(&object.into(), "").await.expect_err("not keyed"));
        let update = KvUpdate::default().set("a", "1");
        invalid(fixture.store.kv_update(&object.into(), update).await.expect_err("not keyed"));
    }
    assert!(fixture.store.read(&"kv".into(), 0, 10).await.expect("keys are not data").is_empty());
}

#[tokio::test]
async fn a_damaged_list_of_locks_is_told_and_goes_with_its_object() {
    let fixture = Fixture::new();
    let name = ObjectName::from("kv");
    let request =
        || LockRequest { name: "lock".into(), cookie: "c".into(), mode: LockMode::Exclusive, tag: String::new() };
    fixture.store.kv_update(&name, KvUpdate::default().set("a", "1")).await.expect("create");
    fixture.store.lock(&name, request()).await.expect("lock");
    flip(&fixture.directory.path().join("advisory/kv"), 70);
    is_damage(fixture.store.lock_state(&name, "lock").await);
    is_damage(fixture.store.lock(&name, request()).await);
    is_damage(fixture.store.watchers(&name).await);
    fixture.store.remove(&name).await.expect("remove");
    fixture.store.kv_update(&name, KvUpdate::default().set("a", "1")).await.expect("create");
    fixture.store.lock(&name, request()).await.expect("lock");
}

#[test]
fn a_directory_that_is_no_store_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = |name: &str| DirStore::open(&directory.path().join(name));
    let file = directory.path().join("file");
    fs::write(&file, "x").expect("write");
    open("file").expect_err("a file");
    open("file/below").expect_err("below a file");
    let foreign = directory.path().join("foreign/objects");
    fs::create_dir_all(&foreign).expect("create");
    fs::write(foreign.join("x"), "x").expect("write");
    assert_eq!(open("foreign").expect_err("foreign objects").kind, StoreErrorKind::Invalid);
    assert_eq!(fs::read(foreign.join("x")).expect("untouched"), b"x");
    // An opening that was cut short before the marker is done again.
    fs::create_dir_all(directory.path().join("begun/objects")).expect("create");
    drop(open("begun").expect("open"));
    let marker = directory.path().join("begun/lsd-store");
    flip(&marker, 20);
    assert_eq!(open("begun").expect_err("damaged marker").kind, StoreErrorKind::Io);
    flip(&marker, 20);
    flip(&marker, 9);
    assert_eq!(open("begun").expect_err("a newer version").kind, StoreErrorKind::Unsupported);
    flip(&marker, 9);
    drop(open("begun").expect("whole again"));
    // Other files beside the store's own do not disturb.
    fs::create_dir_all(directory.path().join("mixed/mine")).expect("create");
    drop(open("mixed").expect("open"));
}

#[tokio::test]
async fn files_without_an_object_name_are_left_alone() {
    let fixture = Fixture::new();
    fs::write(fixture.file("a~"), "backup").expect("write");
    fs::create_dir(fixture.file("directory")).expect("create");
    fixture.store.put(&"a".into(), "1".into()).await.expect("put");
    let listed = fixture.store.list("").await.expect("list");
    assert_eq!(listed, ["a".into()]);
    let error = fixture.store.read(&"directory".into(), 0, 1).await.expect_err("a directory");
    assert_eq!(error.kind, StoreErrorKind::Io);
    assert_eq!(fs::read(fixture.file("a~")).expect("untouched"), b"backup");
}
