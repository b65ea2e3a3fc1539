use super::*;
use lsd_engine::{CreateOptions, ImageRef, OpenOptions, Quiesce};
use lsd_store::{MemoryCluster, ObjectStore};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1 << 20;

async fn opened(store: &Arc<dyn ObjectStore>) -> Image {
    Image::open(store, &ImageRef::Name("disk".into()), &OpenOptions::default()).await.unwrap()
}

/// Notes how it was called, waits while there is a file `wait`, and exits with what is in the file `exit`.
fn hook(directory: &Path) -> PathBuf {
    let path = directory.join("hook");
    let text = "#!/bin/sh
d=$(dirname \"$0\")
echo \"$*\" >>\"$d/calls\"
while [ -e \"$d/wait\" ]; do sleep 0.1; done
[ $2 = unquiesce ] || exit $(cat \"$d/exit\")
";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.join("exit"), "0").unwrap();
    path
}

fn calls(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn until_calls(directory: &Path, wanted: &[&str]) {
    for _ in 0..500 {
        if calls(directory) == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(calls(directory), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_is_called_around_a_snapshot_and_can_forbid_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let cluster = MemoryCluster::new();
    let (of_device, of_taker): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) =
        (Arc::new(cluster.client()), Arc::new(cluster.client()));
    Image::create(&of_device, "disk", &CreateOptions { size: MIB, ..CreateOptions::default() }).await.unwrap();
    let (image, taker) = (opened(&of_device).await, opened(&of_taker).await);
    let quieter = Quieter::start(&image, hook(directory).into(), "/dev/nbd7".into()).await.unwrap();
    taker.snapshots().create("one").await.unwrap();
    let once = ["/dev/nbd7 quiesce", "/dev/nbd7 unquiesce"];
    until_calls(directory, &once).await;
    fs::write(directory.join("exit"), "5").unwrap();
    let failed = taker.snapshots().create("two").await.unwrap_err();
    assert_eq!(failed.errno(), 5, "how the hook exited: {failed}");
    // It is not asked to undo what it could not do.
    let failed = [&once[..], &once[..1]].concat();
    until_calls(directory, &failed).await;
    taker.snapshots().create_with("two", Quiesce::IgnoreErrors, &|_, _| Ok(())).await.unwrap();
    fs::remove_file(directory.join("hook")).unwrap();
    let failed = taker.snapshots().create("three").await.unwrap_err();
    assert_eq!(failed.errno(), 1, "there is none: {failed}");
    quieter.end().await;
    taker.snapshots().create("three").await.unwrap();
    assert_eq!(taker.snapshots().list().await.unwrap().len(), 3);
}

/// The device goes while the file system on it is frozen: it must not stay so.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_ends_is_not_left_quiet() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let cluster = MemoryCluster::new();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    Image::create(&store, "disk", &CreateOptions { size: MIB, ..CreateOptions::default() }).await.unwrap();
    let (image, other) = (opened(&store).await, opened(&store).await);
    let quieter = Quieter::start(&image, hook(directory).into(), "/dev/nbd8".into()).await.unwrap();
    // Another one keeps the snapshot waiting.
    let slow = other.quiesce_watch(Arc::new(|_| {})).await.unwrap();
    let taking = {
        let taker = other.clone();
        tokio::spawn(async move { taker.snapshots().create("one").await })
    };
    until_calls(directory, &["/dev/nbd8 quiesce"]).await;
    // Until the hook has returned nobody is quiet.
    tokio::time::sleep(Duration::from_secs(1)).await;
    quieter.end().await;
    until_calls(directory, &["/dev/nbd8 quiesce", "/dev/nbd8 unquiesce"]).await;
    other.quiesce_complete(slow, 0);
    taking.await.unwrap().unwrap();
}

async fn device_of(directory: &Path) -> (Image, Quieter) {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryCluster::new().client());
    Image::create(&store, "disk", &CreateOptions { size: MIB, ..CreateOptions::default() }).await.unwrap();
    let image = opened(&store).await;
    let quieter = Quieter::start(&image, hook(directory).into(), "/dev/nbd9".into()).await.unwrap();
    (image, quieter)
}

fn taking(image: &Image) -> JoinHandle<std::result::Result<(), lsd_engine::Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.snapshots().create("one").await })
}

/// The hook may wait for the device for as long as that needs: as long as it is served, nobody ends before the hook.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_served_is_not_left_before_its_hook_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("wait"), "").unwrap();
    let (image, quieter) = device_of(directory).await;
    let snapshot = taking(&image);
    until_calls(directory, &["/dev/nbd9 quiesce"]).await;
    let mut quieting = Quieting::On(quieter);
    // Who gives up waiting may wait again.
    for seconds in [1, 11] {
        let ended = tokio::time::timeout(Duration::from_secs(seconds), quieting.end()).await;
        assert!(ended.is_err(), "the hook has not ended");
    }
    fs::remove_file(directory.join("wait")).unwrap();
    quieting.end().await;
    assert_eq!(calls(directory), ["/dev/nbd9 quiesce", "/dev/nbd9 unquiesce"]);
    quieting.end().await;
    snapshot.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_cannot_be_started_is_tried_again_until_the_device_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (image, quieter) = device_of(directory).await;
    // Another one keeps the snapshot waiting until the hook is away.
    let slow = image.quiesce_watch(Arc::new(|_| {})).await.unwrap();
    let snapshot = taking(&image);
    until_calls(directory, &["/dev/nbd9 quiesce"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    fs::rename(directory.join("hook"), directory.join("away")).unwrap();
    image.quiesce_complete(slow, 0);
    snapshot.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fs::rename(directory.join("away"), directory.join("hook")).unwrap();
    until_calls(directory, &["/dev/nbd9 quiesce", "/dev/nbd9 unquiesce"]).await;
    quieter.end().await;
    assert_eq!(calls(directory).len(), 2);
}
