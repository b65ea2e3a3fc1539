//! The `lsd` program on the directory store: streams, pipes, output for programs, a look inside.
use crate::common::{Cmd, built, pattern, scratch_dir, wait_until};
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

struct Store {
    dir: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        Self { dir: scratch_dir() }
    }

    fn spec(&self, image: &str) -> String {
        format!("dir:{}/store/{image}", self.dir.path().display())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

fn import(store: &Store, image: &str, file: &Path) {
    lsd(&["import", "--no-progress", file.to_str().unwrap(), &store.spec(image)]).ok();
}

#[test]
fn streams_in_and_out() {
    let store = Store::new();
    let mut bytes = pattern((9 << 20) + 4321, 7);
    bytes[(4 << 20)..(6 << 20)].fill(0);
    let done = lsd(&["import", "-", &store.spec("a")]).stdin(bytes.clone()).ok();
    assert_eq!(done.errors(), "\rImporting image: 100% complete...done.\n");
    let out = lsd(&["export", "--no-progress", &store.spec("a"), "-"]).ok();
    assert!(out.stdout == bytes, "a stream came back different");
    let info = lsd(&["info", &store.spec("a"), "--format", "json"]).ok().json();
    assert_eq!(info["size"], bytes.len());
    lsd(&["import", "--no-progress", "-", &store.spec("empty")]).ok();
    assert!(lsd(&["export", "--no-progress", &store.spec("empty"), "-"]).ok().stdout.is_empty());
}

/// Who forgets the image's name would make a store of the folder that holds the store's.
#[test]
fn a_folder_is_no_image() {
    let store = Store::new();
    let folder = store.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let spec = format!("dir:{}", folder.display());
    let file = store.file("file", &[1; 4096]);
    lsd(&["create", "--size", "4M", &spec]).run().expect_code(22).says("is a folder");
    lsd(&["import", "--no-progress", file.to_str().unwrap(), &spec]).run().expect_code(22).says("is a folder");
    assert_eq!(std::fs::read_dir(store.dir.path()).unwrap().count(), 2, "a store was made");
    // A store has folders, too, which are no images.
    lsd(&["create", "--size", "4M", &store.spec("a")]).ok();
    lsd(&["create", "--size", "4M", &store.spec("objects")]).ok();
}

#[test]
fn a_stream_that_breaks_leaves_no_image() {
    let store = Store::new();
    // Reading a directory fails, but only after the image was made.
    let line = format!("{} import --no-progress - {} < /", built("lsd").display(), store.spec("a"));
    Cmd::new("bash").args(["-c", &line]).run().expect_code(21).says("import failed: error reading the source: (21)");
    lsd(&["info", &store.spec("a")]).run().expect_code(2);
    assert_eq!(lsd(&["ls", &format!("dir:{}/store", store.dir.path().display())]).ok().text(), "");
}

#[test]
fn progress_is_on_standard_error_and_can_be_silenced() {
    let store = Store::new();
    let file = store.file("file", &pattern(12 << 20, 1));
    let done = lsd(&["import", file.to_str().unwrap(), &store.spec("a")]).ok();
    assert!(done.stdout.is_empty());
    let text = done.errors();
    let first = text.split('\r').nth(1).unwrap();
    assert!(first.starts_with("Importing image: ") && first.ends_with("% complete..."), "{text:?}");
    assert!(text.ends_with("\rImporting image: 100% complete...done.\n"), "{text:?}");
    let done = lsd(&["export", "--no-progress", &store.spec("a")]).arg(store.dir.path().join("out")).ok();
    assert_eq!((done.text(), done.errors()), (String::new(), String::new()));
    let again = lsd(&["export", &store.spec("a")]).arg(store.dir.path().join("out")).run();
    again.expect_code(17).says("lsd: export error: (17) File exists");
}

/// What somebody tries who has not read the help.
#[test]
fn newcomers_are_told_what_to_write() {
    let store = Store::new();
    import(&store, "a", &store.file("file", &pattern(1 << 20, 1)));
    let missing = store.dir.path().join("none");
    let done = lsd(&["export", "--no-progress", &store.spec("a")]).arg(missing.join("out")).run();
    let wanted =
        format!("lsd: export error: (2) No such file or directory: there is no directory {}", missing.display());
    done.expect_code(2).says(&wanted);
    let path = store.dir.path().join("store/b").display().to_string();
    let wanted = format!("lsd: invalid spec '{path}' (an image in a directory is dir:{path})");
    lsd(&["create", "--size", "1M", &path]).run().expect_code(22).says(&wanted);
    let no_cluster = lsd(&["create", "--size", "1M", "b"]).env("CEPH_CONF", "/dev/null").run();
    no_cluster
        .says("couldn't connect to the cluster!")
        .says("an image in a directory, without a cluster, is dir:PATH/IMAGE");
    for command in ["create", "info", "export", "cp"] {
        lsd(&["help", command]).ok().says("dir:<path>/<image-name>");
    }
}

#[test]
fn a_removal_says_whom_it_waits_for() {
    let store = Store::new();
    import(&store, "a", &store.file("file", &pattern(1 << 20, 1)));
    let socket = store.dir.path().join("socket");
    let serve = Cmd::new(built("lsd-nbd")).args(["serve", "--socket"]).arg(&socket).arg(store.spec("a"));
    let mut server = serve.start();
    server.wait_for_text("nbd+unix:", Duration::from_secs(30));
    server.signal(Signal::SIGSTOP);
    let mut removal = lsd(&["rm", "--no-progress", &store.spec("a")]).start();
    wait_until("it says that it waits", Duration::from_secs(30), || {
        assert!(removal.is_alive(), "{}", removal.errors());
        removal.errors().contains("lsd: a is open at client.")
    });
    server.kill();
    let done = removal.wait(Duration::from_secs(60)).expect_code(0);
    assert_eq!(done.errors().lines().count(), 1, "{done}");
}

#[test]
fn a_closed_pipe_ends_the_program_without_a_panic() {
    let store = Store::new();
    import(&store, "a", &store.file("file", &pattern(8 << 20, 2)));
    let line = format!("{} export --no-progress {} - | head -c 1000 | wc -c", built("lsd").display(), store.spec("a"));
    let done = Cmd::new("bash").args(["-c", &line]).ok();
    assert_eq!(done.text().trim(), "1000");
    assert!(!done.errors().contains("panicked"), "{done}");
    // How far it came is what was written, not what was read.
    let line = format!("{} export {} - | head -c 100 >/dev/null", built("lsd").display(), store.spec("a"));
    let done = Cmd::new("bash").args(["-c", &line]).ok();
    done.says("Exporting image: 0% complete...failed.").says("lsd: export error: (32) Broken pipe");
    let line = format!("set -o pipefail; {} help | true", built("lsd").display());
    let done = Cmd::new("bash").args(["-c", &line]).run();
    assert!(!done.errors().contains("panicked"), "{done}");
}

#[test]
fn the_log_can_be_looked_into() {
    let store = Store::new();
    import(&store, "a", &store.file("file", &pattern(3 << 20, 3)));
    let spec = store.spec("a");
    let json = |args: &[&str]| lsd(args).args([spec.as_str(), "--format", "json"]).ok().json();
    let header = json(&["inspect", "header"]);
    assert_eq!((&header["name"], &header["size"]), (&"a".into(), &(3 << 20).into()));
    assert_eq!(header["log"]["closed_cleanly"], true);

    let map = json(&["inspect", "map"]);
    assert_eq!(map["mapped"], 3 << 20);
    let extents = json(&["inspect", "map", "--leaf", "0"]);
    let lengths = extents.as_array().unwrap().iter().map(|extent| extent["length"].as_u64().unwrap());
    assert_eq!(lengths.sum::<u64>(), 3 << 20);

    // Every write in the log, in order, covers the whole image once.
    let mut records = Vec::new();
    for segment in json(&["inspect", "segment"]).as_array().unwrap() {
        let number = segment["segment"].to_string();
        let args = ["inspect", "segment", "--records", "--check", &spec, &number, "--format", "json"];
        for batch in lsd(&args).ok().json()["batches"].as_array().unwrap() {
            let first = batch["first_seq"].as_u64().unwrap();
            for (index, record) in batch["records"].as_array().unwrap().iter().enumerate() {
                assert_eq!(record["kind"], "write");
                let range = (record["offset"].as_u64().unwrap(), record["length"].as_u64().unwrap());
                records.push((first + index as u64, range));
            }
        }
    }
    records.sort_unstable();
    assert!(records.iter().zip(1..).all(|((seq, _), wanted)| *seq == wanted), "{records:?}");
    assert_eq!(records.iter().map(|(_, (_, len))| len).sum::<u64>(), 3 << 20);
    lsd(&["inspect", "segment", &spec, "99"]).run().expect_code(2);
}

/// A leaf that is stored as a base and a patch.
#[test]
fn a_patched_leaf_is_shown_with_both_parts() {
    let store = Store::new();
    let spec = store.spec("a");
    lsd(&["create", "--size", "16M", &spec]).ok();
    for total in ["8M", "64K"] {
        let args = ["bench", "--io-type", "write", "--io-pattern", "rand", "--io-size", "4K", "--io-total", total];
        lsd(&args).arg(&spec).ok();
    }
    let map = lsd(&["inspect", "map", &spec, "--format", "json"]).ok().json();
    let leaf = &map["leaves"][0];
    let (base, patch) = (leaf["encoded_length"].as_u64().unwrap(), leaf["patch_length"].as_u64().unwrap());
    assert!(patch < base / 10, "{leaf}");
    assert_ne!(leaf["object"], leaf["patch_object"]);
    let plain = lsd(&["inspect", "map", &spec]).ok().text();
    assert!(plain.contains(leaf["patch_object"].as_str().unwrap()), "{plain}");
    let extents = lsd(&["inspect", "map", "--leaf", "0", &spec, "--format", "json"]).ok().json();
    let lengths = extents.as_array().unwrap().iter().map(|extent| extent["length"].as_u64().unwrap());
    assert_eq!(lengths.sum::<u64>(), leaf["mapped"].as_u64().unwrap());
    lsd(&["check", &spec]).ok();
}

/// What is damaged is named, what is not is still shown, and the rest of the pool is not hidden by it.
#[test]
fn damage_is_named_and_hides_nothing_else() {
    let store = Store::new();
    let file = store.file("file", &pattern(3 << 20, 3));
    import(&store, "good", &file);
    import(&store, "bad", &file);
    let (spec, pool) = (store.spec("bad"), format!("dir:{}/store", store.dir.path().display()));
    let id = lsd(&["info", &spec, "--format", "json"]).ok().json()["id"].as_str().unwrap().to_owned();
    let flip = |name: &str, at: usize| {
        let path = find_file(&store.dir.path().join("store/objects"), &format!("{name}.{id}"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    flip("lsd_data", 9000);
    let segment = lsd(&["inspect", "segment", &spec, "1", "--check"]).run().expect_code(5);
    segment.says("checksum does not match").says("segment 1 of epoch 1");
    flip("lsd_map", usize::MAX);
    lsd(&["inspect", "map", &spec]).run().expect_code(5);
    lsd(&["info", &spec]).run().expect_code(5).says("error opening image bad: (5)");
    for command in [&["ls", "-l", &pool][..], &["du", &format!("{pool}/")]] {
        let listed = lsd(command).run().expect_code(5);
        assert!(listed.text().contains("good") && !listed.text().contains("bad"), "{listed}");
        listed.says("error opening bad: (5)");
    }
    let good = lsd(&["inspect", "segment", &store.spec("good"), "1", "--check"]).ok();
    good.says("writes 1..");
}

/// The file in `dir` whose name starts with `prefix`: of segments the first, of map pages the last, which is the root.
fn find_file(dir: &Path, prefix: &str) -> std::path::PathBuf {
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let below = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    found.retain(below);
    if prefix.starts_with("lsd_map") {
        found.reverse();
    }
    found.first().unwrap_or_else(|| panic!("no {prefix} in {}", dir.display())).clone()
}

#[test]
fn bench_reports_what_it_did() {
    let store = Store::new();
    lsd(&["create", &store.spec("a"), "--size", "16M"]).ok();
    let args = ["--io-size", "4K", "--io-total", "1M", "--io-threads", "4"];
    for io_type in ["write", "read", "rw"] {
        for pattern in ["seq", "rand", "full-seq"] {
            let head = ["bench", &store.spec("a"), "--io-type", io_type, "--io-pattern", pattern];
            let text = lsd(&head).args(args).ok().text();
            assert!(text.contains("io_size 4096 io_threads 4 bytes 1048576"), "{text}");
            assert!(text.contains("ops: 256   ops/sec: "), "{text}");
        }
    }
    let info = lsd(&["du", &store.spec("a"), "--format", "json"]).ok().json();
    let used = info["images"][0]["used_size"].as_u64().unwrap();
    assert!((1 << 20..=6 << 20).contains(&used), "{used}");
    let too_big = lsd(&["bench", &store.spec("a"), "--io-type", "write", "--io-size", "32M"]).run();
    too_big.expect_code(22).says("io-size 32 MiB larger than image size 16 MiB");
}

#[test]
fn one_writer_at_a_time_and_the_second_is_told_why() {
    let store = Store::new();
    let spec = store.spec("a");
    lsd(&["create", &spec, "--size", "64M"]).ok();
    // Few writes: nobody reclaims the log's space here.
    let bench = ["bench", &spec, "--io-type", "rw", "--rw-mix-read", "99", "--io-threads", "1", "--io-total", "1000T"];
    let writer = lsd(&bench).start();
    wait_until("the writer has the image", std::time::Duration::from_secs(10), || {
        let watchers = lsd(&["status", &spec, "--format", "json"]).ok().json();
        watchers["watchers"].as_array().is_some_and(|list| !list.is_empty())
    });
    let pool = format!("dir:{}/store", store.dir.path().display());
    wait_until("the writer has the lock", std::time::Duration::from_secs(10), || {
        lsd(&["ls", "-l", &pool, "--format", "json"]).ok().json()[0]["lock_type"] == "exclusive"
    });
    let removed = lsd(&["rm", "--no-progress", &spec]).run().expect_code(16);
    removed.says("error: image still has watchers");
    writer.kill();
    wait_until("the dead writer's watch is gone", std::time::Duration::from_secs(40), || {
        lsd(&["rm", "--no-progress", &spec]).run().code == Some(0)
    });
}

#[test]
fn what_a_writer_does_is_seen_from_elsewhere() {
    let store = Store::new();
    let spec = store.spec("a");
    lsd(&["create", &spec, "--size", "64M"]).ok();
    lsd(&["perf", &spec]).ok().says("No client has the image open for writing.");
    assert_eq!(lsd(&["perf", &spec, "--format", "json"]).ok().text(), "[]\n");
    let status = ["status", spec.as_str(), "--counters"];
    assert_eq!(lsd(&status[..2]).ok().text(), "Watchers: none\n");
    // Few writes: nobody reclaims the log's space here.
    let bench = ["bench", &spec, "--io-type", "rw", "--rw-mix-read", "99", "--io-threads", "1", "--io-total", "1000T"];
    let writer = lsd(&bench).start();
    wait_until("the writer has written", std::time::Duration::from_secs(10), || {
        let clients = lsd(&["perf", &spec, "--format", "json"]).ok().json();
        clients[0]["counters"]["io"]["writes"].as_u64() > Some(0)
    });
    let counted = lsd(&status).args(["--format", "json"]).ok().json();
    let (watcher, client) = (&counted["watchers"][0], &counted["counters"][0]);
    for field in ["client", "address", "cookie"] {
        assert_eq!(watcher[field], client[field], "{counted}");
    }
    assert_eq!(client["counters"]["retry"]["takeovers"], 1, "{counted}");
    let (plain, more) = (lsd(&status[..2]).ok().text(), lsd(&status).ok().text());
    assert!(plain.starts_with("Watchers:\n") && !plain.contains("COUNTER"), "{plain}");
    let table = more.strip_prefix(&plain).expect("what rbd prints comes first");
    assert!(table.starts_with("COUNTER ") && table.contains(&format!("client.{}", client["client"])), "{table}");
    let rates = lsd(&["perf", &spec, "--interval", "1", "--count", "2", "--format", "json"]).ok().text();
    let rates: Vec<serde_json::Value> = rates.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rates.len(), 2);
    for rate in rates {
        let io = &rate[0]["counters"]["io"];
        assert!(io["reads"].as_f64() > io["writes"].as_f64() && io["reads"].as_f64() > Some(1.0), "{rate}");
    }
    lsd(&["perf", &spec, "--interval", "1", "--count", "1"]).ok().says("PER SECOND").says("io.reads");
    writer.kill();
}

#[test]
fn perf_is_not_the_command_of_rbd() {
    let store = Store::new();
    for word in ["iotop", "iostat"] {
        lsd(&["perf", "image", word]).run().expect_code(95).says("'perf image' is not supported yet");
    }
    lsd(&["perf", &store.spec("none")]).run().expect_code(2);
    lsd(&["perf", &store.spec("none"), "--count", "1"]).run().expect_code(1).says("--count needs --interval");
}
