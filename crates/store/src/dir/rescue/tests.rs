use super::*;

fn root() -> (tempfile::TempDir, Root) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = Root::open(directory.path(), true).expect("a store");
    (directory, root)
}

#[test]
fn a_replaced_file_is_opened_again() {
    let (directory, root) = root();
    let (path, next) = (directory.path().join("a"), directory.path().join("next"));
    fs::write(&path, "old").expect("write");
    fs::write(&next, "new").expect("write");
    let old = files::open(&path).expect("open");
    let held = files::lock(&old, LockKind::Exclusive).expect("lock");
    let found = std::thread::scope(|scope| {
        let waiter =
            scope.spawn(|| with_locked(&root, &path, LockKind::Exclusive, |file| files::read_up_to(file, 0, 9)));
        thread::sleep(Duration::from_millis(50));
        fs::rename(&next, &path).expect("rename");
        drop(held);
        waiter.join().expect("no panic").expect("locked")
    });
    assert_eq!(found.as_deref(), Some(&b"new"[..]));
    assert!(!files::is_linked(&old).expect("stat"));
    fs::remove_file(&path).expect("remove");
    assert_eq!(with_locked(&root, &path, LockKind::Shared, |_| Ok(())).expect("missing"), None);
}

/// Who condemned it went away before it was replaced.
#[test]
fn a_condemned_file_whose_lock_is_free_is_used() {
    let (directory, root) = root();
    let path = directory.path().join("a");
    fs::write(&path, "text").expect("write");
    condemn(&files::open(&path).expect("open"), true).expect("condemned");
    let found = with_locked(&root, &path, LockKind::Exclusive, |file| files::read_up_to(file, 0, 9));
    assert_eq!(found.expect("locked").as_deref(), Some(&b"text"[..]));
    assert_eq!(path.metadata().expect("metadata").mode() & CONDEMNED, 0);
}

/// Its lock is held by a client that shows signs of life, however long it takes.
#[test]
fn a_file_of_a_living_client_is_left_alone() {
    let (directory, root) = root();
    let path = directory.path().join("a");
    fs::write(&path, "text").expect("write");
    let file = files::open(&path).expect("open");
    let _held = files::lock(&file, LockKind::Exclusive).expect("lock");
    assert!(holding(&file).expect("the kernel's list").contains(&(std::process::id() as i32)));
    let other = files::open(&path).expect("open");
    rescue(&root, &other, &path).expect("nothing to do");
    assert!(files::is_linked(&file).expect("stat"));
    root.clients.check().expect("not fenced");
}
