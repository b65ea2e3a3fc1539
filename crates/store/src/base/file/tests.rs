//! A file as a base: its bytes and holes, and an error where it is not what it was.
use super::*;
use crate::{FileBases, OpenBases};

async fn made(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, BaseSpec) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    std::fs::write(&path, bytes).unwrap();
    let spec = FileBase::look_at(&path).await.unwrap();
    (dir, path, spec)
}

#[tokio::test]
async fn a_file_is_read_as_it_was() {
    let (_dir, path, spec) = made(b"0123456789").await;
    let base = FileBases.open(&spec).await.unwrap();
    assert_eq!((base.size(), base.name()), (10, path.canonicalize().unwrap().display().to_string()));
    assert_eq!(base.read(3, 4).await.unwrap(), "3456");
    assert_eq!(base.data(2, 8).await.unwrap(), vec![2..10]);
}

#[tokio::test]
async fn holes_are_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    file.write_all_at(&[7; 65536], 4 << 20).unwrap();
    file.sync_all().unwrap();
    let spec = FileBase::look_at(&path).await.unwrap();
    let base = FileBases.open(&spec).await.unwrap();
    let found = base.data(0, 8 << 20).await.unwrap();
    let bytes: u64 = found.iter().map(|range| range.end - range.start).sum();
    // File systems round, and one without holes has one range.
    assert!(found.iter().any(|range| range.start <= 4 << 20 && range.end >= (4 << 20) + 65536), "{found:?}");
    assert!(bytes < 1 << 20 || found.first() == Some(&(0..8 << 20)), "{found:?}");
}

#[tokio::test]
async fn what_was_changed_or_is_gone_is_an_error() {
    let (_dir, path, spec) = made(&[1; 8192]).await;
    let base = FileBases.open(&spec).await.unwrap();
    let touch = |seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    touch(5);
    let error = base.read(0, 10).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Stale);
    assert!(error.to_string().contains("modified"), "{error}");
    assert_eq!(base.data(0, 10).await.unwrap_err().kind, StoreErrorKind::Stale);
    assert_eq!(FileBases.open(&spec).await.unwrap_err().kind, StoreErrorKind::Stale);
    File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let error = FileBases.open(&spec).await.unwrap_err();
    assert!(error.to_string().contains("8192 bytes"), "{error}");
    assert_eq!(base.read(4096, 4096).await.unwrap_err().kind, StoreErrorKind::Stale, "it ends early");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(FileBases.open(&spec).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(FileBase::look_at(Path::new("/proc")).await.unwrap_err().kind, StoreErrorKind::Invalid);
    let other = BaseSpec { kind: "tape".into(), ..spec };
    assert_eq!(FileBases.open(&other).await.unwrap_err().kind, StoreErrorKind::Unsupported);
}
