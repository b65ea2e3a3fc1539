//! Appends and fences of different processes.
use crate::child::{PIECE, Process, piece};
use lsd_store::{Append, Blobs, DirStore, LogTail, Logs, ObjectName};
use std::path::Path;
use std::time::Duration;

/// Asserts that the log holds exactly the pieces up to `len`, the last of them perhaps in part.
async fn check_pieces(store: &DirStore, name: &ObjectName, len: u64) {
    let found = store.read(name, 0, u64::MAX).await.expect("read");
    assert_eq!(found.len() as u64, len);
    for (index, found) in found.chunks(PIECE).enumerate() {
        assert!(found == &piece(index as u64)[..found.len()], "piece {index} is damaged");
    }
}

#[tokio::test]
async fn a_fence_stops_an_appending_process_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = DirStore::open(directory.path()).expect("open");
    for round in 0..5 {
        let name = ObjectName(format!("log.{round}"));
        let mut writer = Process::start("append", directory.path(), &name.0);
        for _ in 0..3 + round * 7 {
            writer.hear().expect("it goes on");
        }
        let fenced = store.fence(&name, 2).await.expect("fence");
        let mut words = writer.hear_all();
        assert_eq!(words.pop().as_deref(), Some("refused"));
        let acknowledged: u64 = words.last().map_or(3 + round * 7, |word| word.parse().expect("a number"));
        // Nothing acknowledged is missing, nothing beyond the tail that the fence returned was ever acknowledged.
        assert_eq!(fenced, LogTail { epoch: 2, len: acknowledged * PIECE as u64, summary_len: 0 });
        assert_eq!(store.log_tail(&name).await.expect("tail"), fenced);
        check_pieces(&store, &name, fenced.len).await;
        let next = Append { epoch: 2, at: fenced.len, data: vec![piece(acknowledged)], summary_len: 0, urgent: false };
        store.append(&name, next).await.expect("append of the new owner");
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_a_prefix_with_everything_acknowledged() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for round in 0..8 {
        let name = ObjectName(format!("log.{round}"));
        let mut writer = Process::start("append", directory.path(), &name.0);
        for _ in 0..=round * 3 {
            writer.hear().expect("it goes on");
        }
        std::thread::sleep(Duration::from_micros(700 * round));
        writer.kill();
        let said = writer.hear_all();
        let acknowledged: u64 = said.last().map_or(round * 3 + 1, |word| word.parse().expect("a number"));
        let store = DirStore::open(directory.path()).expect("open");
        let tail = store.log_tail(&name).await.expect("tail");
        assert_eq!((tail.epoch, tail.summary_len), (1, 0));
        assert!(
            tail.len >= acknowledged * PIECE as u64,
            "{acknowledged} were acknowledged, {} bytes are left",
            tail.len
        );
        check_pieces(&store, &name, tail.len).await;
        assert_eq!(store.fence(&name, 2).await.expect("fence").len, tail.len);
        check_leftovers(directory.path());
    }
}

/// No file of a dead process outlives the next opening: there is only the folder of the client that did it.
fn check_leftovers(directory: &Path) {
    let left: Vec<_> =
        std::fs::read_dir(directory.join("tmp")).expect("tmp").map(|entry| entry.expect("entry")).collect();
    assert!(left.len() == 1 && std::fs::read_dir(left[0].path()).expect("a folder").count() == 0, "{left:?}");
}

#[test]
fn a_file_that_cannot_grow_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // 512-byte blocks; ignoring the signal turns the limit into an error of the write, after a short one.
    let mut writer = Process::start_after("trap '' XFSZ; ulimit -f 200", "fill", directory.path(), "");
    assert_eq!(writer.hear().as_deref(), Some("Invalid after 19"));
}

#[test]
fn a_full_disk_is_told_and_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mount =
        "exec unshare -rm sh -c 'mount -t tmpfs -o size=400k tmpfs \"$LSD_STORE_DIRECTORY\" && exec \"$@\"' sh \"$@\"";
    let mut writer = Process::start_after(mount, "fill", directory.path(), "");
    let said = writer.hear().expect("a word");
    assert!(said.starts_with("Full after "), "{said}");
}
