//! Differences and whole images in rbd's file formats: `lsd` and Ceph's own `rbd` side by side as in `cli_against_rbd.rs`, and files
//! of each that the other reads.
use crate::cli_against_rbd::compare;
use crate::common::{Ceph, Cmd, built, scratch_dir};
use std::path::PathBuf;

const DIFFS: &str = "
import --no-progress {dir}/in foo
image-meta set foo key val
snap create --no-progress foo@s1
export-diff
export-diff foo
export-diff foo@s1 {dir}/d1
export-diff foo@s1 {dir}/d1
export-diff nofoo {dir}/x
export-diff foo@nope {dir}/x
export-diff foo --from-snap nope {dir}/x
export-diff foo {dir}/x --bogus
export-diff foo {dir}/x extra
export-diff foo --from-snap
= export-diff foo /nodir/x
= bench foo --io-type write --io-size 1M --io-total 2M --io-threads 1
snap create --no-progress foo@s2
snap protect foo@s2
export-diff foo@s1 --from-snap s2 {dir}/x
export-diff foo@s1 --from-snap s1 {dir}/same
export-diff --no-progress --path {dir}/d12 --from-snap s1 --image foo --snap s2
resize --no-progress foo --size 4M --allow-shrink
export-diff foo --whole-object --from-snap s2 {dir}/d2
export-diff --no-progress foo {dir}/all
export-diff foo --from-snap s2 {dir}/d2
import-diff
import-diff {dir}/d1
import-diff {dir}/d1 nobar
create bar --size 1
import-diff {dir}/d1 bar@s
import-diff {dir}/d12 bar
import-diff --no-progress {dir}/d12 bar
import-diff {dir}/nofile bar
import-diff {dir}/in bar
import-diff {dir} bar
import-diff - bar
import-diff {dir}/d1 bar extra
import-diff {dir}/d1 bar --bogus
info bar
snap ls bar
import-diff {dir}/d1 bar
import-diff {dir}/d1 bar
import-diff {dir}/d12 bar --sparse-size x
import-diff --no-progress {dir}/d12 --image bar --sparse-size 5
import-diff {dir}/d2 bar
info bar
snap ls bar
export --no-progress bar@s1 {dir}/e1
snap limit set bar --limit 2
create baz --size 1
snap create --no-progress baz@x
snap limit set baz --limit 1
= import-diff {dir}/d1 baz --no-progress
snap ls baz
merge-diff
merge-diff {dir}/d1
merge-diff {dir}/d1 {dir}/d12
merge-diff {dir}/d1 {dir}/d12 {dir}/m
merge-diff {dir}/d1 {dir}/d12 {dir}/m
merge-diff {dir}/d1 {dir}/d2 {dir}/m2
merge-diff {dir}/nofile {dir}/d12 {dir}/m2
merge-diff {dir}/d1 {dir}/nofile {dir}/m2
merge-diff {dir}/d1 {dir}/d12 {dir}/m2 extra
merge-diff {dir}/d1 {dir}/in {dir}/m2 --bogus
merge-diff --path {dir}/m3 {dir}/m {dir}/d2
merge-diff --no-progress {dir}/d1 - {dir}/m2
merge-diff - {dir}/d12 {dir}/m2
= merge-diff --no-progress {dir}/in {dir}/d12 {dir}/m2
merge-diff --no-progress {dir}/d1 {dir}/d12 /nodir/x
create qux --size 1
import-diff {dir}/m3 qux
info qux
snap ls qux
rm --no-progress qux
";

const WHOLE: &str = "
import --no-progress {dir}/in foo --object-size 1M
image-meta set foo key val
snap create --no-progress foo@s1
= bench foo --io-type write --io-size 1M --io-total 2M --io-threads 1
snap create --no-progress foo@s2
snap protect foo@s2
resize --no-progress foo --size 4M --allow-shrink
export --export-format 2
export --export-format 2 foo
export --export-format 2 nofoo {dir}/v2
export --export-format 2 foo@nope {dir}/v2
export --export-format 3 foo {dir}/v2
export --export-format foo
export --export-format 2 foo {dir}/v2
export --export-format 2 foo {dir}/v2
export --no-progress --export-format 2 foo@s1 {dir}/v2s1
import --export-format 2
import --export-format 2 {dir}/nofile bar
import --export-format 2 {dir}/in bar
import --export-format 2 - bar
import --export-format 3 {dir}/v2 bar
import --export-format 2 {dir}/v2 bar
import --export-format 2 {dir}/v2 bar
import --no-progress --export-format 2 {dir}/v2s1 {other}/baz --image-feature layering
info bar
info bar@s2
info {other}/baz
snap ls bar
snap ls {other}/baz
image-meta ls bar
export --no-progress bar@s1 {dir}/e1
export --no-progress {other}/baz@s1 {dir}/e2
snap rm bar@s2
";

#[test]
fn differences() {
    compare(&requires_ceph!(), "diffs", DIFFS);
}

#[test]
fn images_with_their_snapshots() {
    compare(&requires_ceph!(), "whole", WHOLE);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Rbd,
    Lsd,
}

const BOTH: [Program; 2] = [Program::Rbd, Program::Lsd];

/// A life of an image, on whichever library: two snapshots, holes that had data, another size.
const LIFE: &str = "
rbd.RBD().create(io, args[0], 12 << 20, order=21, old_format=False, features=5, stripe_unit=1 << 16, stripe_count=2)
image = rbd.Image(io, args[0])
image.metadata_set('key', 'value')
image.write(b'\\x11' * (5 << 20), 1 << 20)
image.write(b'\\x22' * 1000, (9 << 20) + 77)
image.create_snap('s1')
image.write(b'\\x33' * (1 << 20), 3 << 20)
image.discard(1 << 20, 1 << 20)
image.write(bytes(1 << 16), 5 << 20)
image.resize(20 << 20)
image.write(b'\\x44' * 5000, 18 << 20)
image.create_snap('s2')
image.protect_snap('s2')
image.resize(10 << 20)
image.write(b'\\x55' * 4096, 4096)
image.close()
";

/// A pool in which both programs have images, and a folder for files.
struct Place {
    ceph: Ceph,
    pool: String,
    dir: tempfile::TempDir,
}

impl Place {
    fn new(ceph: Ceph, hint: &str) -> Self {
        let pool = format!("diffs-{hint}-{}", std::process::id());
        ceph.make_pool(&pool);
        Self { ceph, pool, dir: scratch_dir() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, program: Program, words: &str) -> Vec<u8> {
        let cmd = match program {
            Program::Rbd => self.ceph.stock("rbd"),
            Program::Lsd => self.ceph.client(built("lsd")),
        };
        let words = words.replace("{dir}", self.dir.path().to_str().unwrap());
        let args = format!("--rbd_default_pool={}", self.pool);
        cmd.args(words.split_whitespace()).env("CEPH_ARGS", args).ok().stdout
    }

    /// The image `name`, made with the program's own library.
    fn make(&self, program: Program, name: &str) {
        let cmd: Cmd = self.ceph.python(&self.pool, LIFE).arg(name);
        match program {
            Program::Rbd => cmd.env("LD_LIBRARY_PATH", "").ok(),
            Program::Lsd => cmd.ok(),
        };
    }

    #[track_caller]
    fn expect_same(&self, (one, image): (Program, &str), (other, copy): (Program, &str)) {
        let content = |program, spec: &str| self.run(program, &format!("export --no-progress {spec} -"));
        assert!(content(one, image) == content(other, copy), "{image} of {one:?} and {copy} of {other:?} are the same");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ceph.remove_pool(&self.pool);
    }
}

/// Each program writes what both read.
#[test]
fn files_go_from_one_to_the_other() {
    let place = Place::new(requires_ceph!(), "files");
    // Both kinds of images share their names.
    let name_of = |program: Program| format!("image{program:?}").to_lowercase();
    for from in BOTH {
        let image = name_of(from);
        place.make(from, &image);
        let export = |words: &str| drop(place.run(from, &format!("{words} --no-progress")));
        export(&format!("export-diff {image}@s1 {{dir}}/{from:?}1"));
        export(&format!("export-diff {image}@s2 --from-snap s1 {{dir}}/{from:?}2"));
        export(&format!("export-diff {image} --from-snap s2 {{dir}}/{from:?}3"));
        export(&format!("export --export-format 2 {image} {{dir}}/{from:?}image"));
    }
    for from in BOTH {
        let image = name_of(from);
        // What is merged is the same to the byte, whoever merges it.
        for by in BOTH {
            let merge = |words: String| drop(place.run(by, &format!("merge-diff --no-progress {words}")));
            merge(format!("{{dir}}/{from:?}1 {{dir}}/{from:?}2 {{dir}}/{from:?}12{by:?}"));
            merge(format!("{{dir}}/{from:?}12{by:?} {{dir}}/{from:?}3 {{dir}}/{from:?}123{by:?}"));
        }
        for parts in ["12", "123"] {
            let [one, other] = BOTH.map(|by| std::fs::read(place.path(&format!("{from:?}{parts}{by:?}"))).unwrap());
            assert!(one == other, "{parts} of {from:?}, merged by both");
        }
        for to in BOTH {
            let copy = format!("from{from:?}to{to:?}");
            let import = |words: String| drop(place.run(to, &format!("{words} --no-progress")));
            import(format!("create {copy} --size 1"));
            for part in 1..=3 {
                import(format!("import-diff {{dir}}/{from:?}{part} {copy}"));
            }
            import(format!("create merged{copy} --size 30"));
            import(format!("import-diff {{dir}}/{from:?}123{to:?} merged{copy}"));
            place.expect_same((from, &image), (to, &format!("merged{copy}")));
            import(format!("import --export-format 2 {{dir}}/{from:?}image whole{copy}"));
            for moment in ["@s1", "@s2", ""] {
                place.expect_same((from, &format!("{image}{moment}")), (to, &format!("{copy}{moment}")));
                place.expect_same((from, &format!("{image}{moment}")), (to, &format!("whole{copy}{moment}")));
            }
            let json = |program, words: &str| -> serde_json::Value {
                serde_json::from_slice(&place.run(program, &format!("{words} --format json"))).unwrap()
            };
            let layout = |program, image: &str| {
                let info = json(program, &format!("info {image}"));
                ["size", "order", "features", "stripe_unit", "stripe_count"].map(|key| info[key].clone())
            };
            let whole = format!("whole{copy}");
            assert_eq!(layout(to, &whole), layout(from, &image), "from {from:?} to {to:?}");
            assert_eq!(json(to, &format!("image-meta ls {whole}")), serde_json::json!({"key": "value"}));
            let protected: Vec<_> = json(to, &format!("snap ls {whole}"))
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["protected"].clone())
                .collect();
            assert_eq!(protected, ["false", "true"]);
        }
    }
    // Neither told more than the other.
    let size =
        |program: Program, part: &str| std::fs::metadata(place.path(&format!("{program:?}{part}"))).unwrap().len();
    for part in ["1", "2", "3", "image"] {
        let (rbd, lsd) = (size(Program::Rbd, part), size(Program::Lsd, part));
        assert!(lsd <= rbd + 200, "{part}: {lsd} bytes, and {rbd} of rbd");
    }
}
