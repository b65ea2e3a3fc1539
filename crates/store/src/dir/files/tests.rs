use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn pieces_of_any_number_land_in_order() {
    let directory = directory();
    let file = File::create_new(directory.path().join("a")).expect("create");
    let bytes: Vec<u8> = (0..5000_u32).map(|place| (place % 253) as u8).collect();
    let pieces: Vec<&[u8]> = bytes.chunks(1).flat_map(|piece| [piece, &[]]).collect();
    write_pieces(&file, &pieces, 3).expect("write");
    let file = open(&directory.path().join("a")).expect("open");
    assert_eq!(read_up_to(&file, 3, 1 << 20).expect("read"), bytes);
    assert_eq!(read_up_to(&file, 0, 3).expect("read"), [0, 0, 0]);
    write_pieces(&file, &[b"x"], u64::MAX).expect_err("beyond every file");
}

#[test]
fn a_lock_keeps_another_open_file_out() {
    let directory = directory();
    let path = directory.path().join("a");
    drop(File::create_new(&path).expect("create"));
    let (one, two) = (open(&path).expect("open"), open(&path).expect("open"));
    let held = lock(&one, LockKind::Shared).expect("lock");
    assert!(try_lock(&two, LockKind::Shared).expect("lock"));
    two.unlock().expect("unlock");
    assert!(!try_lock(&two, LockKind::Exclusive).expect("lock"));
    drop(held);
    assert!(try_lock(&two, LockKind::Exclusive).expect("lock"));
    assert!(!try_lock(&one, LockKind::Shared).expect("lock"));
}

#[test]
fn a_new_file_leaves_nothing_behind() {
    let directory = directory();
    let (temporary, name) = (directory.path().join("t"), directory.path().join("a"));
    let new = NewFile::write(&temporary, &[b"one", b"two"]).expect("write");
    assert!(temporary.exists() && !name.exists());
    new.publish(&name).expect("publish");
    drop(new);
    assert!(!temporary.exists());
    assert_eq!(fs::read(&name).expect("read"), b"onetwo");
    let new = NewFile::write(&temporary, &[b"three"]).expect("write");
    assert_eq!(new.publish(&name).expect_err("taken").kind, StoreErrorKind::Exists);
    new.replace(&name).expect("replace");
    drop(new);
    assert_eq!(fs::read(&name).expect("read"), b"three");
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let directory = directory();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    assert_eq!(open(&fifo).expect_err("a fifo").kind, StoreErrorKind::Io);
    assert_eq!(open(directory.path()).expect_err("a directory").kind, StoreErrorKind::Io);
    assert_eq!(open(&directory.path().join("none")).expect_err("nothing").kind, StoreErrorKind::NotFound);
}

#[test]
fn waiting_flushes_are_shared() {
    let directory = directory();
    let synced = SyncedDir::open(directory.path()).expect("open");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| synced.sync().expect("flush")));
        }
    });
    let state = synced.state.lock().expect("state");
    assert_eq!((state.asked, state.done, state.running), (160, 160, false));
}
