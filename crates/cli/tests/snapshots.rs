//! Snapshots by command on the directory store, run in this process, and what is in them read through the engine.
mod common;

use common::{Bench, MIB, holey_file};
use lsd_engine::{Image, ImageRef, OpenOptions, QuiesceEvent, SnapRef};

impl Bench {
    async fn run(&self, words: &str, spec: &str) -> lsd_cli::error::Result<()> {
        let args: Vec<&str> = words.split(' ').chain([spec]).collect();
        self.lsd(&args).await
    }

    async fn refused(&self, words: &str, spec: &str) -> (i32, String) {
        let args: Vec<&str> = words.split(' ').chain([spec]).collect();
        self.fails(&args).await
    }

    /// Names of the snapshots, a protected one with a mark.
    async fn snapshots(&self, image: &str) -> Vec<String> {
        let image = self.open(image).await;
        let list = image.snapshots().list().await.unwrap();
        image.close().await.unwrap();
        list.into_iter().map(|one| if one.is_protected { format!("{}!", one.name) } else { one.name }).collect()
    }

    async fn content_at(&self, image: &str, snapshot: &str) -> Vec<u8> {
        let snapshot = Some(SnapRef::Name(snapshot.to_owned()));
        let options = OpenOptions { read_only: true, snapshot, ..OpenOptions::default() };
        let image = Image::open(&self.store(), &ImageRef::Name(image.to_owned()), &options).await.unwrap();
        let bytes = image.read(0, image.size()).await.unwrap().to_bytes().to_vec();
        image.close().await.unwrap();
        bytes
    }

    async fn overwrite(&self, image: &str, offset: u64, bytes: Vec<u8>) {
        let image =
            Image::open(&self.store(), &ImageRef::Name(image.to_owned()), &OpenOptions::default()).await.unwrap();
        image.write(offset, bytes::Bytes::from(bytes), false).await.unwrap();
        image.close().await.unwrap();
    }
}

const NOT_THERE: &str = "(2) No such file or directory";

#[tokio::test(flavor = "multi_thread")]
async fn names_are_given_changed_and_taken_away() {
    let bench = Bench::new();
    let a = bench.spec("a");
    let at = |name: &str| format!("{a}@{name}");
    bench.lsd(&["create", &a, "--size", "10"]).await.unwrap();
    bench.run("snap create --no-progress", &at("s1")).await.unwrap();
    bench.run("snap add --no-progress --skip-quiesce --snap s2", &a).await.unwrap();
    let exists = (17, "failed to create snapshot: (17) File exists".to_owned());
    assert_eq!(bench.refused("snap create --no-progress", &at("s1")).await, exists);
    assert_eq!(bench.refused("snap create", &a).await, (22, "snapshot name was not specified".into()));
    assert_eq!(bench.refused("snap create", &at("s@t")).await, (22, format!("invalid spec '{}'", at("s@t"))));
    assert_eq!(bench.refused("snap create --snap s/t", &a).await, (22, "invalid snap name 's/t'".into()));
    assert_eq!(bench.refused("snap create", &bench.spec("b@s")).await.0, 2);
    let both = bench.refused("snap create --skip-quiesce --ignore-quiesce-error", &at("s3")).await;
    assert_eq!(both, (22, "ignore-quiesce-error cannot be used together with skip-quiesce".into()));

    bench.lsd(&["snap", "rename", &at("s1"), &at("s3")]).await.unwrap();
    bench.lsd(&["snap", "rename", &at("s3"), "a@s4"]).await.unwrap();
    assert_eq!(bench.snapshots("a").await, ["s4", "s2"]);
    let renamed = |from: &str, to: &str| [at(from), to.to_owned()];
    for ([from, to], code, words) in [
        (renamed("s4", &at("s2")), 17, "renaming snap failed: (17) File exists"),
        (renamed("s9", &at("s5")), 2, "renaming snap failed: (2) No such file or directory"),
        (renamed("s4", "s5"), 22, "destination snapshot name was not specified"),
        (renamed("s4", &bench.spec("b@s5")), 22, "source and destination image name must be the same"),
        (renamed("s4", "rbd/a@s5"), 22, "source and destination pool must be the same"),
    ] {
        assert_eq!(bench.fails(&["snap", "rename", &from, &to]).await, (code, words.to_owned()), "{from} {to}");
    }

    bench.run("snap protect", &at("s4")).await.unwrap();
    assert_eq!(bench.refused("snap protect", &at("s4")).await, (16, "snap is already protected".into()));
    let refused = bench.refused("snap rm --no-progress", &at("s4")).await;
    assert_eq!(refused, (16, "snapshot 's4' is protected from removal.".into()));
    let refused = bench.refused("rm --no-progress", &a).await;
    let words = "image has snapshots - these must be deleted with 'lsd snap purge' before the image can be removed.";
    assert_eq!(refused, (39, words.into()));
    bench.run("snap purge --no-progress", &a).await.unwrap();
    assert_eq!(bench.snapshots("a").await, ["s4!"], "what is protected stays");
    bench.run("snap unprotect", &at("s4")).await.unwrap();
    assert_eq!(bench.refused("snap unprotect", &at("s4")).await, (22, "snap is already unprotected".into()));
    bench.run("snap protect", &at("s4")).await.unwrap();
    bench.run("snap rm --no-progress --force", &at("s4")).await.unwrap();
    for (words, failed) in [
        ("snap rm --no-progress", "failed to remove snapshot"),
        ("snap rm --no-progress --force", "failed to remove snapshot"),
        ("snap protect", "protecting snap failed"),
        ("snap unprotect", "unprotecting snap failed"),
        ("snap rollback --no-progress", "rollback failed"),
    ] {
        assert_eq!(bench.refused(words, &at("s4")).await, (2, format!("{failed}: {NOT_THERE}")), "{words}");
    }
    bench.run("rm --no-progress", &a).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_until_it_is_cleared() {
    let bench = Bench::new();
    let a = bench.spec("a");
    let at = |name: &str| format!("{a}@{name}");
    bench.lsd(&["create", &a, "--size", "10"]).await.unwrap();
    bench.run("snap limit set --limit 1", &a).await.unwrap();
    bench.run("snap create --no-progress", &at("s1")).await.unwrap();
    let full = (122, "failed to create snapshot: (122) Disk quota exceeded".to_owned());
    assert_eq!(bench.refused("snap create --no-progress", &at("s2")).await, full);
    let below = (34, "setting snapshot limit failed: (34) Numerical result out of range".to_owned());
    assert_eq!(bench.refused("snap limit set --limit 0", &a).await, below);
    assert_eq!(bench.refused("snap limit set", &a).await, (34, "must specify --limit <num>".into()));
    let wrong = (1, "the argument ('x') for option '--limit' is invalid".to_owned());
    assert_eq!(bench.refused("snap limit set --limit x", &a).await, wrong);
    bench.run("snap limit clear", &a).await.unwrap();
    bench.run("snap create --no-progress", &at("s2")).await.unwrap();
    bench.run("snap limit set --limit 2", &a).await.unwrap();
    bench.run("snap limit set --limit -1", &a).await.unwrap();
    bench.run("snap create --no-progress", &at("s3")).await.unwrap();
    assert_eq!(bench.snapshots("a").await, ["s1", "s2", "s3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_can_be_read_copied_exported_and_gone_back_to() {
    let bench = Bench::new();
    let file = bench.path("file");
    let then = holey_file(&file);
    let (a, at) = (bench.spec("a"), bench.spec("a@then"));
    bench.lsd(&["import", "--no-progress", file.to_str().unwrap(), &a]).await.unwrap();
    bench.run("snap create --no-progress", &at).await.unwrap();
    bench.overwrite("a", 0, vec![0xee; MIB as usize]).await;
    bench.run("resize --no-progress --allow-shrink -s 8M", &a).await.unwrap();
    assert!(bench.content_at("a", "then").await == then, "the snapshot changed with the image");
    let out = bench.path("out");
    bench.lsd(&["export", "--no-progress", &at, out.to_str().unwrap()]).await.unwrap();
    assert!(std::fs::read(&out).unwrap() == then, "export of the snapshot");
    bench.lsd(&["cp", "--no-progress", &at, "b"]).await.unwrap();
    assert!(bench.content("b").await == then, "copy of the snapshot");
    assert_eq!(bench.snapshots("b").await, [""; 0]);
    let missing = bench.spec("a@never");
    let no_snapshot = (2, format!("error setting snapshot context: {NOT_THERE}"));
    for command in ["info", "diff", "bench --io-type read"] {
        assert_eq!(bench.refused(command, &missing).await, no_snapshot, "{command}");
    }
    assert_eq!(bench.fails(&["cp", &missing, "c"]).await, no_snapshot);
    assert_eq!(bench.fails(&["export", &missing, "-"]).await, no_snapshot);
    assert_eq!(
        bench.refused("info", &bench.spec("none@then")).await.1,
        format!("error opening image none: {NOT_THERE}")
    );
    let whole = "snapshot name specified for a command that doesn't use it";
    for command in ["status", "resize -s 1", "rm", "snap ls", "snap purge", "lock ls", "bench --io-type write"] {
        assert_eq!(bench.refused(command, &at).await, (22, whole.into()), "{command}");
    }
    assert_eq!(bench.refused("children", &missing).await, (2, "snapshot does not exist.".into()));
    bench.run("children", &at).await.unwrap();
    bench.run("diff --from-snap then", &a).await.unwrap();
    assert_eq!(bench.refused("diff --from-snap never", &a).await, (2, format!("diff error: {NOT_THERE}")));
    bench.run("snap rollback --no-progress", &at).await.unwrap();
    assert!(bench.content("a").await == then, "the image is not what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_snapshots_that_are_gone() {
    let bench = Bench::new();
    let a = bench.spec("a");
    bench.lsd(&["create", &a, "--size", "16M"]).await.unwrap();
    for round in 0..4u8 {
        bench.overwrite("a", 0, vec![round; 4 * MIB as usize]).await;
        bench.run("snap create --no-progress", &format!("{a}@s{round}")).await.unwrap();
    }
    for round in 0..4u8 {
        let content = bench.content_at("a", &format!("s{round}")).await;
        assert!(content[..4 * MIB as usize].iter().all(|byte| *byte == round), "snapshot {round}");
    }
    bench.run("check --no-progress", &a).await.unwrap();
    bench.run("snap purge --no-progress", &a).await.unwrap();
    bench.run("gc --no-progress", &a).await.unwrap();
    bench.run("check --no-progress", &a).await.unwrap();
    let mut bytes = 0;
    let store = bench.store();
    for name in store.list("lsd_data.").await.unwrap() {
        bytes += store.stat(&name).await.unwrap();
    }
    assert!(bytes < 6 * MIB, "{bytes} bytes are left for 4 MiB");
    bench.run("rm --no-progress", &a).await.unwrap();
    for prefix in ["lsd_data.", "lsd_map.", "lsd_header."] {
        assert_eq!(store.list(prefix).await.unwrap(), [], "{prefix}");
    }
}

/// It writes what it has in memory before it says that it is quiet, and the snapshot waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_to_be_quiet_is_asked_by_the_command() {
    let bench = Bench::new();
    let a = bench.spec("a");
    let at = |name: &str| format!("{a}@{name}");
    bench.lsd(&["create", &a, "--size", "1"]).await.unwrap();
    let image = Image::open(&bench.store(), &ImageRef::Name("a".into()), &OpenOptions::default()).await.unwrap();
    let (tell, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let watch = image.quiesce_watch(std::sync::Arc::new(move |event| tell.send(event).unwrap_or(()))).await.unwrap();
    let errno = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (of_task, answer) = (image.clone(), errno.clone());
    let task = tokio::spawn(async move {
        let mut calls = 0;
        while let Some(event) = asked.recv().await {
            calls += 1;
            if event == QuiesceEvent::Quiesce {
                of_task.write(0, bytes::Bytes::from(vec![7; 4096]), false).await.unwrap();
                of_task.quiesce_complete(watch, answer.load(std::sync::atomic::Ordering::SeqCst));
            }
        }
        calls
    });
    bench.run("snap create --no-progress", &at("one")).await.unwrap();
    assert_eq!(&bench.content_at("a", "one").await[..4096], vec![7; 4096]);
    errno.store(5, std::sync::atomic::Ordering::SeqCst);
    // rbd's words, and the reason.
    let refused = |(code, text): (i32, String), words: &str| {
        let reason = text.strip_prefix(&format!("{words}: (5) Input/output error: client."));
        let reason = reason.map(|reason| reason.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        assert_eq!((code, reason), (5, Some(" could not become quiet for a snapshot")), "{text}");
    };
    refused(bench.refused("snap create --no-progress", &at("two")).await, "failed to create snapshot");
    bench.run("snap create --no-progress --ignore-quiesce-error", &at("two")).await.unwrap();
    bench.run("snap create --no-progress --skip-quiesce", &at("three")).await.unwrap();
    let group = bench.spec("g");
    bench.lsd(&["group", "create", &group]).await.unwrap();
    bench.lsd(&["group", "image", "add", &group, &a]).await.unwrap();
    let failed = bench.refused("group snap create", &format!("{group}@one")).await;
    refused(failed, "failed to create group snapshot");
    bench.run("group snap create --ignore-quiesce-error", &format!("{group}@one")).await.unwrap();
    bench.run("group snap create --skip-quiesce", &format!("{group}@two")).await.unwrap();
    assert_eq!(bench.snapshots("a").await.iter().filter(|name| !name.starts_with('.')).count(), 3);
    image.close().await.unwrap();
    drop(image);
    bench.run("snap create --no-progress", &at("four")).await.unwrap();
    assert_eq!(task.await.unwrap(), 10, "each of five that asked, and let it go on");
}
