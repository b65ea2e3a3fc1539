//! Commands on the directory store, run in this process, and what they left behind read through the engine.
mod common;

use common::{Bench, MIB, holey_file};
use std::os::unix::fs::MetadataExt;

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_comes_out_and_holes_stay_holes() {
    let bench = Bench::new();
    let file = bench.path("file");
    let bytes = holey_file(&file);
    let file = file.to_str().unwrap();
    bench.lsd(&["import", "--no-progress", file, &bench.spec("a")]).await.unwrap();
    assert!(bench.content("a").await == bytes, "import changed the content");

    let image = bench.open("a").await;
    let data = 70_000u64.next_multiple_of(4096) + 3 * MIB + 300_000;
    assert!(image.used_bytes() < data, "{} bytes were stored, zeroes among them", image.used_bytes());
    image.close().await.unwrap();

    let out = bench.path("out");
    bench.lsd(&["export", "--no-progress", &bench.spec("a"), out.to_str().unwrap()]).await.unwrap();
    assert!(std::fs::read(&out).unwrap() == bytes, "export changed the content");
    let blocks = std::fs::metadata(&out).unwrap().blocks() * 512;
    assert!(blocks < 12 * MIB, "the exported file has {blocks} bytes on disk: its holes were written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_import_shows_the_file_until_it_is_flattened() {
    let bench = Bench::new();
    let file = bench.path("file");
    let mut bytes = holey_file(&file);
    let (path, a) = (file.to_str().unwrap(), bench.spec("a"));
    bench.lsd(&["import", "--lazy", "--no-progress", path, &a]).await.unwrap();
    let image = bench.open("a").await;
    let base = image.base().unwrap();
    assert_eq!((base.kind.as_str(), base.overlap, image.used_bytes()), ("file", bytes.len() as u64, 0));
    image.close().await.unwrap();
    assert!(bench.content("a").await == bytes, "the image does not show the file");
    bench.write("a", 1000, b"written").await;
    bytes[1000..1007].copy_from_slice(b"written");
    // What is copied from it is complete, without a base.
    bench.lsd(&["cp", "--no-progress", &a, &bench.spec("copy")]).await.unwrap();
    let out = bench.path("out");
    bench.lsd(&["export", "--no-progress", &a, out.to_str().unwrap()]).await.unwrap();
    assert!(std::fs::read(&out).unwrap() == bytes, "export changed the content");
    assert_eq!(bench.fails(&["snap", "create", &format!("{a}@s")]).await.0, 95);
    bench.lsd(&["info", &a]).await.unwrap();
    bench.lsd(&["check", &a]).await.unwrap();
    bench.lsd(&["flatten", "--no-progress", &a]).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(bench.content("a").await == bytes, "flattening changed the content");
    assert!(bench.content("copy").await == bytes, "the copy differs");
    bench.lsd(&["check", &a]).await.unwrap();
    bench.lsd(&["snap", "create", &format!("{a}@s")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_import_needs_a_file_that_stays() {
    let bench = Bench::new();
    let file = bench.path("file");
    holey_file(&file);
    let (path, a) = (file.to_str().unwrap(), bench.spec("a"));
    assert_eq!(bench.fails(&["import", "--lazy", "-", &a]).await.0, 22);
    let other = bench.fails(&["import", "--lazy", "--export-format", "2", path, &a]).await;
    assert_eq!(other.0, 22);
    let missing = bench.fails(&["import", "--lazy", bench.path("none").to_str().unwrap(), &a]).await;
    assert_eq!(missing.0, 2);
    assert!(bench.names().await.is_empty(), "an import that failed left an image");
    bench.lsd(&["import", "--lazy", path, &a]).await.unwrap();
    std::fs::write(&file, b"short").unwrap();
    let (code, words) = bench.fails(&["info", &a]).await;
    assert!(code == 5 && words.contains("base"), "{code}: {words}");
    assert_ne!(bench.fails(&["check", &a]).await.0, 0);
    bench.lsd(&["rm", "--no-progress", &a]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_content_metadata_and_layout_of_its_source() {
    let bench = Bench::new();
    let file = bench.path("file");
    let bytes = holey_file(&file);
    let (a, b, c) = (bench.spec("a"), bench.spec("b"), bench.spec("c"));
    bench.lsd(&["import", "--no-progress", "--object-size", "1M", file.to_str().unwrap(), &a]).await.unwrap();
    bench.lsd(&["image-meta", "set", &a, "key", "value"]).await.unwrap();
    bench.lsd(&["cp", "--no-progress", &a, &b]).await.unwrap();
    assert!(bench.content("b").await == bytes, "the copy differs");
    let (source, copy) = (bench.info("a").await, bench.info("b").await);
    assert_eq!((copy.order, copy.features, copy.size), (20, source.features, source.size));
    assert_ne!(copy.id, source.id);
    let image = bench.open("b").await;
    assert_eq!(image.metadata().get("key").await.unwrap(), "value");
    image.close().await.unwrap();
    bench.lsd(&["cp", "--no-progress", "--object-size", "8M", &a, &c]).await.unwrap();
    assert_eq!(bench.info("c").await.order, 23);
    let twice = bench.fails(&["cp", "--no-progress", &a, &b]).await;
    assert_eq!(twice, (17, "copy failed: (17) File exists".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_s_life() {
    let bench = Bench::new();
    let a = bench.spec("a");
    bench.lsd(&["create", &a, "--size", "3G", "--image-feature", "layering,exclusive-lock"]).await.unwrap();
    assert_eq!(bench.fails(&["create", &a, "--size", "1"]).await, (17, "create error: (17) File exists".into()));
    bench.lsd(&["resize", "--no-progress", &a, "-s", "4G"]).await.unwrap();
    let shrink = bench.fails(&["resize", "--no-progress", &a, "-s", "1"]).await;
    assert_eq!(shrink, (22, "shrinking an image is only allowed with the --allow-shrink flag".into()));
    bench.lsd(&["resize", "--no-progress", &a, "-s", "1", "--allow-shrink"]).await.unwrap();
    let info = bench.info("a").await;
    assert_eq!((info.size, info.features), (MIB, 5));
    bench.lsd(&["rename", &a, "b"]).await.unwrap();
    assert_eq!(bench.names().await, ["b"]);
    for command in [&["info", &a][..], &["status", &a], &["ls", &bench.spec("nowhere/x")]] {
        assert_eq!(bench.fails(command).await.0, 2, "{command:?}");
    }
    bench.lsd(&["rm", "--no-progress", &bench.spec("b")]).await.unwrap();
    assert_eq!(bench.names().await, [""; 0]);
    let left = std::fs::read_dir(bench.path("store")).unwrap().count();
    assert_eq!(bench.fails(&["rm", "--no-progress", &bench.spec("b")]).await.0, 2);
    assert_eq!(std::fs::read_dir(bench.path("store")).unwrap().count(), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_fails_leaves_no_image() {
    let bench = Bench::new();
    let missing = bench.path("missing");
    let spec = bench.spec("a");
    let failed = bench.fails(&["import", "--no-progress", missing.to_str().unwrap(), &spec]).await;
    assert_eq!(failed, (2, "import failed: (2) No such file or directory".into()));
    let directory = bench.fails(&["import", "--no-progress", bench.dir.path().to_str().unwrap(), &spec]).await;
    assert_eq!(directory, (21, "import failed: (21) Is a directory".into()));
    assert!(!bench.path("store").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_there_is_made_for_new_images_only() {
    let bench = Bench::new();
    assert_eq!(bench.fails(&["info", &bench.spec("a")]).await.0, 2);
    assert!(!bench.path("store").exists());
    bench.lsd(&["create", &bench.spec("a"), "--size", "1"]).await.unwrap();
    assert!(bench.path("store").is_dir());
    let file = bench.path("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(bench.fails(&["info", &format!("dir:{}/a", file.display())]).await.0, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_too_large_is_refused_in_words() {
    let bench = Bench::new();
    let a = bench.spec("a");
    let words = "(22) Invalid argument: an image has at most 64 PiB, and 9223372036854775808 bytes are more";
    assert_eq!(bench.fails(&["create", &a, "--size", "8E"]).await, (22, format!("create error: {words}")));
    bench.lsd(&["create", &a, "--size", "1"]).await.unwrap();
    let resized = bench.fails(&["resize", "--no-progress", &a, "--size", "8E"]).await;
    assert_eq!(resized, (22, format!("resize error: {words}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_snapshots_works_without_them() {
    let bench = Bench::new();
    let a = bench.spec("a");
    bench.lsd(&["create", &a, "--size", "1"]).await.unwrap();
    for words in ["snap ls", "snap purge", "children", "diff"] {
        let args: Vec<&str> = words.split(' ').chain([a.as_str()]).collect();
        bench.lsd(&args).await.unwrap();
        let missing = bench.spec("none");
        let args: Vec<&str> = words.split(' ').chain([missing.as_str()]).collect();
        assert_eq!(bench.fails(&args).await.0, 2, "{words}");
    }
    bench.lsd(&["trash", "ls", &bench.spec("")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_yet_says_so() {
    let bench = Bench::new();
    let spec = bench.spec("a");
    for words in ["trash purge schedule ls", "mirror image status", "journal info", "encryption format"] {
        let args: Vec<&str> = words.split(' ').chain([spec.as_str()]).collect();
        let (code, message) = bench.fails(&args).await;
        assert_eq!(code, 95, "{words}");
        assert!(message.contains("not supported yet"), "{words}: {message}");
    }
    assert_eq!(bench.fails(&["create", &spec, "--size", "1", "--journal-pool", "p"]).await.0, 95);
}

/// What somebody meant to be kept apart must not be taken for the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_no_namespaces_and_no_pools() {
    let bench = Bench::new();
    let a = bench.spec("a");
    bench.lsd(&["create", &a, "--size", "1M"]).await.unwrap();
    let no_namespaces = (95, "a directory has no namespaces".to_owned());
    assert_eq!(bench.fails(&["rm", "--no-progress", "--namespace", "ns", &a]).await, no_namespaces);
    assert_eq!(bench.fails(&["snap", "purge", "--namespace", "ns", &a]).await, no_namespaces);
    let directory = bench.spec("");
    assert_eq!(bench.fails(&["ls", "--namespace", "ns", &directory]).await, no_namespaces);
    assert_eq!(bench.fails(&["ls", "--namespace", "ns", "-p", &directory]).await, no_namespaces);
    let (code, words) = bench.fails(&["rm", "--no-progress", "-p", "other", &a]).await;
    assert_eq!((code, words.as_str()), (22, "a directory has no pools, but pool 'other' was given"));
    // It may stand where a pool does.
    bench.lsd(&["info", "-p", &directory, "--image", "a"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lock_is_left_in_a_directory() {
    let bench = Bench::new();
    let a = bench.spec("a");
    bench.lsd(&["create", &a, "--size", "1M"]).await.unwrap();
    let (code, words) = bench.fails(&["lock", "add", &a, "id"]).await;
    assert_eq!((code, words.as_str()), (95, "a lock in a directory ends with the process that takes it"));
}
