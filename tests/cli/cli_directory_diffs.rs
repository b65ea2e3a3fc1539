//! Differences and whole images in rbd's file formats, on the directory store: they carry an image from one place to another, and
//! what is damaged does no harm.
use crate::cli_directory_snapshots::Store;
use crate::common::{Cmd, Finished, built, pattern};

const MIB: usize = 1 << 20;

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

impl Store {
    fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Another image of the store.
    fn other(&self, name: &str) -> String {
        format!("dir:{}/store/{name}", self.dir.path().display())
    }

    /// Differences up to the first snapshot, from there to the second, and from there to the image.
    fn export_diffs(&self) -> [String; 3] {
        let files = ["f1", "f2", "f3"].map(|name| self.file(name));
        lsd(&["export-diff", "--no-progress", &self.at("one"), &files[0]]).ok();
        lsd(&["export-diff", "--no-progress", "--from-snap", "one", &self.at("two"), &files[1]]).ok();
        lsd(&["export-diff", "--no-progress", "--from-snap", "two", &self.spec, &files[2]]).ok();
        files
    }

    #[track_caller]
    fn expect_same(&self, other: &str) {
        for moment in ["@one", "@two", ""] {
            expect_same_content(&format!("{}{moment}", self.spec), &format!("{other}{moment}"));
        }
    }
}

fn content(spec: &str) -> Vec<u8> {
    lsd(&["export", "--no-progress", spec, "-"]).ok().stdout
}

#[track_caller]
fn expect_same_content(one: &str, other: &str) {
    assert!(content(one) == content(other), "{one} and {other} have the same content");
}

fn snapshots(spec: &str) -> Vec<(String, String)> {
    let list = lsd(&["snap", "ls", spec, "--format", "json"]).ok().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(|snapshot| (text(&snapshot["name"]), text(&snapshot["protected"]))).collect()
}

fn import_diff(file: &str, spec: &str) -> Finished {
    lsd(&["import-diff", "--no-progress", file, spec]).run()
}

#[test]
fn differences_carry_an_image_to_another() {
    let store = Store::new();
    let copy = store.other("copy");
    lsd(&["create", "--size", "1M", &copy]).ok();
    let [first, second, third] = store.export_diffs();
    import_diff(&second, &copy).expect_code(22).says("start snapshot 'one' does not exist in the image, aborting");
    assert!(content(&copy).len() == MIB, "an image without the snapshot stays as it is");
    import_diff(&first, &copy).expect_code(0);
    import_diff(&first, &copy).expect_code(17).says("end snapshot 'one' already exists, aborting");
    // Through a pipe, and with words of progress.
    let piped = lsd(&["import-diff", "-", &copy]).stdin(std::fs::read(&second).unwrap()).ok();
    assert!(piped.errors().ends_with("\rImporting image diff: 100% complete...done.\n"), "{piped}");
    import_diff(&third, &copy).expect_code(0);
    store.expect_same(&copy);
    assert_eq!(snapshots(&copy).len(), 2);

    // What was given up is told as zeroes: the file has no data, and the image has a hole there again.
    assert!(std::fs::metadata(&third).unwrap().len() < 100);
    let used = store.json(&["inspect", "map"], &copy)["mapped"].clone();
    assert_eq!(used, 6 * MIB);
    let out = lsd(&["export-diff", "--no-progress", "--from-snap", "one", &store.at("two"), "-"]).ok().stdout;
    assert!(out == std::fs::read(&second).unwrap(), "standard output is no other file");
    let size = out.len();
    assert!((3 * MIB..3 * MIB + 200).contains(&size), "{size}");
    // Whole objects have everything that is in them.
    let whole = store.file("whole");
    lsd(&["export-diff", "--no-progress", "--whole-object", "--from-snap", "one", &store.at("two"), &whole]).ok();
    assert!(std::fs::metadata(&whole).unwrap().len() > 8 * MIB as u64);
}

#[test]
fn two_differences_become_one() {
    let store = Store::new();
    let [first, second, third] = store.export_diffs();
    let (merged, all) = (store.file("merged"), store.file("all"));
    lsd(&["merge-diff", "--no-progress", &first, &second, &merged]).ok();
    lsd(&["merge-diff", "--no-progress", "-", &third, &all]).stdin(std::fs::read(&merged).unwrap()).ok();
    for (file, moment, name) in [(&merged, "@two", "a"), (&all, "", "b")] {
        let copy = store.other(name);
        lsd(&["create", "--size", "1M", &copy]).ok();
        import_diff(file, &copy).expect_code(0);
        expect_same_content(&format!("{}{moment}", store.spec), &copy);
    }
    assert_eq!(snapshots(&store.other("a")).len(), 1);
    let refused = lsd(&["merge-diff", "--no-progress", &first, &third, &store.file("none")]).run().expect_code(22);
    refused.says("The first TO snapshot must be equal with the second FROM snapshot, aborting");
    assert!(!store.path("none").exists());
    lsd(&["merge-diff", "--no-progress", &first, &second, &merged]).run().expect_code(17);
    assert!(std::fs::metadata(&merged).is_ok(), "a file that was there stays");
}

/// The second may say that the image became larger or smaller.
#[test]
fn sizes_are_merged() {
    let store = Store::new();
    let spec = store.other("sized");
    let at = |name: &str| format!("{spec}@{name}");
    let resize = |size| drop(lsd(&["resize", "--no-progress", "--allow-shrink", "--size", size, &spec]).ok());
    let file = store.file("content");
    std::fs::write(&file, pattern(8 * MIB, 5)).unwrap();
    lsd(&["import", "--no-progress", &file, &spec]).ok();
    for (name, size) in [("a", "3M"), ("b", "12M"), ("c", "5M")] {
        lsd(&["snap", "create", "--no-progress", &at(name)]).ok();
        resize(size);
    }
    let diff = |from: &str, to: &str| {
        let file = store.file(&format!("{from}-{to}"));
        let spec = if to.is_empty() { spec.clone() } else { at(to) };
        let words = ["export-diff", "--no-progress", &spec, &file, "--from-snap", from];
        lsd(if from.is_empty() { &words[..4] } else { &words }).ok();
        file
    };
    let merge = |first: &str, second: &str, out: &str| {
        let out = store.file(out);
        lsd(&["merge-diff", "--no-progress", first, second, &out]).ok();
        out
    };
    let ab = merge(&diff("", "a"), &diff("a", "b"), "ab");
    let abc = merge(&ab, &diff("b", "c"), "abc");
    let all = merge(&abc, &diff("c", ""), "all");
    for (file, spec, name) in [(ab, at("b"), "x"), (abc, at("c"), "y"), (all, spec.clone(), "z")] {
        let copy = store.other(name);
        lsd(&["create", "--size", "20M", &copy]).ok();
        import_diff(&file, &copy).expect_code(0);
        expect_same_content(&spec, &copy);
    }
}

#[test]
fn a_file_that_is_not_whole_makes_no_snapshot() {
    let store = Store::new();
    let [first, second, _] = store.export_diffs();
    let bytes = std::fs::read(&first).unwrap();
    let cut = store.file("cut");
    for (index, len) in [0, 5, 12, 20, 40, 60, 4 * MIB, bytes.len() - 1].into_iter().enumerate() {
        std::fs::write(&cut, &bytes[..len]).unwrap();
        let copy = store.other(&format!("cut{index}"));
        lsd(&["create", "--size", "1M", &copy]).ok();
        let broken = import_diff(&cut, &copy).expect_code(74);
        broken.says("lsd: failed to decode ").says("lsd: import-diff failed: (74) Bad message");
        if len == bytes.len() - 1 {
            broken.says(&format!("the image's first {} bytes was done, and no snapshot was made", 5 * MIB));
        }
        assert_eq!(snapshots(&copy), [], "{len} bytes");
        // The whole file puts it right.
        import_diff(&first, &copy).expect_code(0);
        expect_same_content(&store.at("one"), &copy);
        lsd(&["merge-diff", "--no-progress", &cut, &second, &store.file("none")]).run().expect_code(33);
        assert!(!store.path("none").exists());
    }
    // A length that is nonsense is no reason to take that much memory, nor an address beyond the image's end.
    let mut absurd = b"rbd diff v1\nt\x01\0\0\0xs\0\0\x10\0\0\0\0\0w\0\0\0\0\0\0\0\0".to_vec();
    absurd.extend(u64::MAX.to_le_bytes());
    std::fs::write(&cut, &absurd).unwrap();
    let copy = store.other("absurd");
    lsd(&["create", "--size", "1M", &copy]).ok();
    import_diff(&cut, &copy).expect_code(74);
    absurd.truncate(absurd.len() - 16);
    absurd.extend((1_u64 << 20).to_le_bytes());
    absurd.extend(4_u64.to_le_bytes());
    absurd.extend(b"datae");
    std::fs::write(&cut, &absurd).unwrap();
    import_diff(&cut, &copy).expect_code(22).says("beyond the image's end");
    assert_eq!(snapshots(&copy), []);
}

#[test]
fn a_whole_image_goes_through_a_file() {
    let store = Store::new();
    lsd(&["snap", "protect", &store.at("two")]).ok();
    lsd(&["image-meta", "set", &store.spec, "key", "a value"]).ok();
    let (file, copy) = (store.file("image"), store.other("copy"));
    let words = ["export", "--export-format", "2", &store.spec, &file];
    let done = lsd(&words).ok();
    assert!(done.errors().ends_with("\rExporting image: 100% complete...done.\n"), "{done}");
    lsd(&words).run().expect_code(17).says("lsd: export error: (17) File exists");
    lsd(&["import", "--no-progress", "--export-format", "2", &file, &copy]).ok();
    store.expect_same(&copy);
    let flags = [("one", "false"), ("two", "true")].map(|(name, flag)| (name.to_owned(), flag.to_owned()));
    assert_eq!(snapshots(&copy), flags);
    assert_eq!(lsd(&["image-meta", "get", &copy, "key"]).ok().text(), "a value\n");

    // The layout is the file's, where nothing else is asked for.
    let striped = store.other("striped");
    let layout = ["--object-size", "1M", "--stripe-unit", "64K", "--stripe-count", "4"];
    lsd(&["create", "--size", "3M", "--image-feature", "layering,exclusive-lock", &striped]).args(layout).ok();
    let piped = lsd(&["export", "--no-progress", "--export-format", "2", &striped, "-"]).ok().stdout;
    let again = store.other("again");
    lsd(&["import", "--no-progress", "--export-format", "2", "-", &again]).stdin(piped).ok();
    let layout = |spec: &str| {
        let info = store.json(&["info"], spec);
        ["size", "object_size", "stripe_unit", "stripe_count", "features"].map(|key| info[key].clone())
    };
    assert_eq!(layout(&again), layout(&striped));
    assert_eq!(layout(&again)[2], 64 << 10);
    let smaller = store.other("smaller");
    lsd(&["import", "--no-progress", "--export-format", "2", &file, &smaller, "--object-size", "1M"]).ok();
    assert_eq!(layout(&smaller)[1], MIB);
    store.expect_same(&smaller);

    // What is not whole leaves nothing, though it had a snapshot already.
    let bytes = std::fs::read(&file).unwrap();
    for len in [5, 20, 100, 200, bytes.len() / 2, bytes.len() - MIB, bytes.len() - 1] {
        std::fs::write(store.path("cut"), &bytes[..len]).unwrap();
        let broken = store.other("broken");
        let done = lsd(&["import", "--no-progress", "--export-format", "2", &store.file("cut"), &broken]).run();
        done.expect_code(33).says("lsd: failed to decode ").says("lsd: import failed: (33)");
        lsd(&["info", &broken]).run().expect_code(2);
    }
    lsd(&["import", "--no-progress", "--export-format", "2", &file, &copy]).run().expect_code(17);
    store.expect_same(&copy);
}

/// A difference by hand: what is written at an offset, or how much is zeroed there.
fn difference(parts: &[(usize, Result<Vec<u8>, usize>)]) -> Vec<u8> {
    let mut diff = b"rbd diff v1\n".to_vec();
    for (offset, part) in parts {
        let (tag, len) = match part {
            Ok(data) => (b'w', data.len()),
            Err(len) => (b'z', *len),
        };
        diff.push(tag);
        diff.extend((*offset as u64).to_le_bytes());
        diff.extend((len as u64).to_le_bytes());
        diff.extend(part.as_deref().unwrap_or_default());
    }
    diff.push(b'e');
    diff
}

/// Bytes of everything in a folder.
fn stored(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let sizes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => stored(&entry.path()),
        false => entry.metadata().unwrap().len(),
    });
    sizes.sum()
}

/// The collector moves what changed and clears away what was written beside it; neither makes a difference larger.
#[test]
fn a_difference_behind_a_collection_is_as_large_as_what_changed() {
    let store = Store::new();
    let spec = store.other("large");
    let (base, changes) = (store.file("base"), store.file("changes"));
    let mut bytes = pattern(48 * MIB, 11);
    std::fs::write(&base, &bytes).unwrap();
    lsd(&["import", "--no-progress", &base, &spec]).ok();
    lsd(&["resize", "--no-progress", "--size", "96M", &spec]).ok();
    lsd(&["snap", "create", "--no-progress", &format!("{spec}@before")]).ok();
    // 1 MiB in blocks of 4 KiB, far from one another, and with each of them in the log 128 KiB that are given up later.
    let blocks = (0..256).map(|block| (block * (192 << 10), pattern(4 << 10, 1000 + block as u64)));
    let mut parts = Vec::new();
    for (index, (offset, data)) in blocks.enumerate() {
        bytes[offset..offset + data.len()].copy_from_slice(&data);
        parts.push((offset, Ok(data)));
        parts.push((48 * MIB + index * (128 << 10), Ok(pattern(128 << 10, 5000 + index as u64))));
    }
    for parts in [parts, vec![(48 * MIB, Err(48 * MIB))]] {
        std::fs::write(&changes, difference(&parts)).unwrap();
        import_diff(&changes, &spec).expect_code(0);
    }
    bytes.resize(96 * MIB, 0);
    let place = || store.json(&["inspect", "map", "--leaf", "0"], &spec)[0].clone();
    let (before, at_first) = (stored(&store.path("store")), place());
    lsd(&["gc", "--no-progress", &spec]).ok();
    let after = stored(&store.path("store"));
    assert!(
        after + 24 * MIB as u64 <= before,
        "the collection cleared away little: {after} of {before} bytes are left"
    );
    assert_ne!(place(), at_first, "the collection moved what changed");
    let file = store.file("since");
    lsd(&["export-diff", "--no-progress", "--from-snap", "before", &spec, &file]).ok();
    let size = std::fs::metadata(&file).unwrap().len();
    assert!((MIB as u64..MIB as u64 * 12 / 10).contains(&size), "{size} bytes for 1 MiB of changes");
    // And it is all that there is.
    let copy = store.other("copy");
    lsd(&["cp", "--no-progress", &format!("{spec}@before"), &copy]).ok();
    lsd(&["snap", "create", "--no-progress", &format!("{copy}@before")]).ok();
    import_diff(&file, &copy).expect_code(0);
    assert!(content(&copy) == bytes);
}
