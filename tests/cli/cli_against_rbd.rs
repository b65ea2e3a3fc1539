//! `lsd` and Ceph's own `rbd`, side by side on one cluster: the same command lines must print the same, on both
//! streams, and end with the same code. Each works on its own images, which do not see each other. The same for `rbd` on our
//! library beside both (`rbd_on_library.rs`): what `rbd` says on the system's is asked for once.
use crate::common::{Ceph, Cmd, built, pattern, scratch_dir, tests_own_library};
use crate::rbd_on_library;
use std::path::{Path, PathBuf};

/// Command lines in the order they run. `{pool}`, `{other}`: pools; `{dir}`: a folder of the program's own with the file
/// `in`; `{id:NAME}`: the id of an image, of the trash or not. A line that starts with `=` need only agree in its exit code: lsd says
/// more there.
const LIFE: &str = "
ls
ls -l
ls -l --format json
create foo
create foo --size 10
create foo --size 10
create --size 10
= create a/b/c/d --size 10
create {pool}/a@b --size 10
create '' --size 10
create nopool/c --size 10
info foo
info foo --format json
info foo --format json --pretty-format
info foo --format xml
info foo --format xml --pretty-format
info foo --format plain
info nofoo
info foo@snap
info --image foo --pool {pool}
info --image {pool}/foo bar
info --image nofoo foo
info -p {other} {pool}/foo
-p {other} info foo
info {pool}//foo
= info {pool}/
= info /foo
info foo@s2@s1
ls
ls --format json --pretty-format
ls --format xml
ls -l
ls -l --format json
ls -l --format xml --pretty-format
ls nopool
ls --pool {other}
ls -lp {other}
status foo
status foo --format json
status foo --format xml --pretty-format
status foo@s1
status nofoo
snap ls foo
snap ls foo --format json
snap list foo --format xml --pretty-format
snap ls --all foo
snap ls nofoo
snap ls foo@s1
snap ls
snap purge foo
snap purge --no-progress foo
snap purge nofoo
snap purge foo@s1
children foo
children foo --format json
children foo --format xml
children nofoo
children foo@s1
children --snap-id 4 foo
diff foo
diff foo --format json
diff foo --format xml
diff nofoo
diff foo@s1
diff foo --from-snap s1
trash ls
trash ls {pool} --format json
trash ls -l {pool}
trash list --all --format xml {pool}
trash ls nopool
resize foo --size 20
resize foo --size 5
resize foo
resize foo --size 20
resize nofoo --size 5
info foo
rename foo bar
rename nofoo bar
rename bar bar
mv bar
mv
= rename bar {other}/x
rename {pool}/bar {pool}/baz
rename {pool}/baz bar --dest-pool {pool}
ls
rm nofoo
rm bar baz
rm bar@s
rm --no-progress bar
info bar
ls --format json
";

const LAYOUTS: &str = "
create t1 --size 1T
create t2 --size 1.5G
create t3 --size 10752K
create t4 --size 1000B
create t5 -s 0
create t6 --size 10MiB
create t7 --size 10MB
create t8 --size 10m
create t9 --size -1
create t10 --size 99999999999T
create t11 --size
create t12 -s 10 -s 20
create t13 10 --size 10
create --pool={pool} --image=t14 --size=3G
ls -l
info t1
info t3
info t4
info t5
create u1 --size 1 --stripe-unit 4096 --stripe-count 4
info u1
info u1 --format json
create u2 --size 10 --stripe-unit 65536 --stripe-count 3
info u2
create u3 --size 1 --image-shared
info u3
create u4 --size 1 --data-pool {other}
info u4
info u4 --format json
= create u5 --size 1 --data-pool nope
create u6 --size 1 --image-feature layering --image-feature exclusive-lock
info u6
create u7 --size 1 --image-feature layering,exclusive-lock,object-map
info u7
create u8 --size 1 --image-feature bogus
create u9 --size 1 --image-feature
create u10 --size 1 --image-feature ''
info u10
create u11 --size 10 --object-size 5K
info u11
create u12 --size 1 --object-size 3M
info u12
= create u13 --size 1 --object-size 64M
create u14 --size 1 --order 20
info u14
create u15 --size 1 --order 30
create u16 --size 1 --image-format 3
create u17 --size 1 --new-format
create u18 --size 8 --rbd_default_order=20
info u18
create u19 --size 8 --rbd-default-features 1
info u19
create u20 --size 4 --thick-provision
create u21 --size 8 --bogus_default_order 23
= create u22 --size 1 --stripe-unit 4K
= create u23 --size 1 --image-feature layering,object-map
= create u24 --size 8 --stripe-unit 5K --stripe-count 1
ls
";

const CONTENT: &str = "
import
import {dir}/nofile
import {dir}/nofile z
import --no-progress /tmp {pool}/dd
import {dir}/in
import {dir}/in
import {dir}/in --dest g
import {dir}/in --dest-pool {other} h
import {dir}/in {other}/h4
import --no-progress {dir}/in {pool}/i --object-size 1M
import --no-progress {dir}/in --export-format 3
info in
info i
export
export in
export in {dir}/e1
export in {dir}/e1
export --no-progress --path {dir}/e2 in
export --no-progress --pool {pool} --image in --path {dir}/e3
= export in /nodir/x
export in@nosnap {dir}/e5
export nofoo {dir}/e5
export in -
= diff in
diff --whole-object in
diff --whole-object in --format json
diff --whole-object i
export --export-format 3 in {dir}/e5
cp in c
cp in c
cp in {other}/c --no-progress
cp nofoo {other}/c
cp in
cp
cp in in
info c
info {other}/c
image-meta get in k
image-meta get in
image-meta get nofoo k
image-meta list in
image-meta set in k v
image-meta set in k
image-meta set in '' v
image-meta list in
image-meta ls in --format json
image-meta list in --format xml
image-meta set in k2 longervalue
image-meta list in
image-meta get in k
cp --no-progress in c2
image-meta ls c2
image-meta rm in k
image-meta rm in k
image-meta remove in k2
image-meta list in
du nofoo
du --pool nopool
du {other}
du in g
";

const USAGE: &str = "
info
info foo bar
info foo --bogus
info foo -Z
info foo --format
info foo --format yaml
info foo --pretty-format
info foo@
ls a/b/c
-c
ls --id
-c /nonexist ls
bench x
bench x --io-type foo
bench x --io-type write --io-pattern foo
bench x --io-type write --io-threads 0
bench x --io-type readwrite --rw-mix-read 101
bench nofoo --io-type write
bench --io-type write
pool init {other}
pool init nopool
pool init
namespace ls
namespace ls --format json
namespace create
namespace create {pool}
namespace create {pool}/n1
namespace create {pool}/n1
namespace create --namespace n2
namespace ls
namespace ls {pool} --format json
namespace ls {pool} --format xml
create {pool}/n1/foo --size 3
create foo --size 4 --namespace n2
create foo --size 4 --namespace n3
ls {pool}/n1
ls --namespace n2
ls {pool}/n4
ls
info {pool}/n1/foo
info --namespace n3 foo
rename {pool}/n1/foo {pool}/n1/bar
namespace rm {pool}/n1
rm --no-progress {pool}/n1/bar
namespace rm {pool}/n1
namespace rm {pool}/n1
namespace rm nopool/n1
rm --no-progress foo --namespace n2
namespace remove --namespace n2
namespace ls
";

const LOCKS: &str = "
create foo --size 10
lock ls foo
lock ls foo --format json
lock add foo id1
lock add foo id1
= lock ls foo
lock ls foo --format json
lock list foo --format xml --pretty-format
lock add foo id2 --shared tag
lock rm foo id1 client.1
lock rm foo id1 bogus
lock add foo
lock add
lock rm foo
lock rm foo id1
lock ls nofoo
lock add nofoo id
create bar --size 10
lock add bar a --shared tag
lock add bar b --shared tag
lock add bar c --shared tug
lock ls bar --format json
create baz --size 10
feature disable baz fast-diff
info baz
feature disable baz object-map
feature disable baz exclusive-lock
info baz
feature enable baz object-map
feature enable baz exclusive-lock
feature enable baz object-map
= info baz
feature enable baz exclusive-lock
feature enable baz layering
feature enable baz bogus
feature enable baz
feature disable baz deep-flatten
feature enable baz deep-flatten
feature disable nobaz exclusive-lock
= info baz
";

/// What is compared with `rbd` on the system's library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Program {
    Lsd,
    RbdOnOurs,
}

/// What a program said, without what must differ.
#[derive(Debug, PartialEq)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Keeps librbd's log off standard error: a thread of its own writes it there, into the middle of rbd's words.
const NO_LOG: &str = "--log_to_stderr=false --err_to_stderr=false";

/// A side of the comparison: the program (`None`: `rbd` on the system's library), and what it works in.
struct Side<'a> {
    ceph: &'a Ceph,
    program: Option<Program>,
    /// Its own, removed at the end: in one pool an image of `lsd` cannot have the name of a stock image.
    pools: [String; 2],
    dir: PathBuf,
}

impl<'a> Side<'a> {
    /// Names are of one length, and so are the columns of tables.
    fn make(ceph: &'a Ceph, hint: &str, program: Option<Program>, dir: &Path, input: &[u8]) -> Self {
        let (folder, parts) = match program {
            None => ("rbd", ["a", "b"]),
            Some(Program::RbdOnOurs) => ("own", ["m", "n"]),
            Some(Program::Lsd) => ("lsd", ["y", "z"]),
        };
        let pools = parts.map(|part| format!("cli-{hint}-{}-{part}", std::process::id()));
        let dir = dir.join(folder);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("in"), input).unwrap();
        // The content of one object of the default size.
        std::fs::write(dir.join("object"), pattern(4 << 20, 6)).unwrap();
        let side = Self { ceph, program, pools, dir };
        side.pools.iter().for_each(|name| ceph.make_pool(name));
        side
    }

    fn call(&self, words: &[String]) -> Cmd {
        let cmd = match self.program {
            None => self.ceph.stock("rbd"),
            Some(Program::Lsd) => self.ceph.client(built("lsd")),
            Some(Program::RbdOnOurs) => self.ceph.client("rbd"),
        };
        cmd.args(words).env("CEPH_ARGS", format!("--rbd_default_pool={} {NO_LOG}", self.pools[0]))
    }

    fn run(&self, line: &str) -> Said {
        let line = line.replace("{pool}", &self.pools[0]).replace("{other}", &self.pools[1]);
        let line = line.replace("{dir}", self.dir.to_str().unwrap());
        let words: Vec<String> = words(&line).iter().map(|word| with_id(word, &|words| self.call(words))).collect();
        let mut said = said(self.call(&words), self.program);
        if line.starts_with("trash l") && !line.contains("--format") {
            said.out = without_first_cells(&said.out);
        }
        let folder = self.dir.file_name().unwrap().to_str().unwrap();
        for text in [&mut said.out, &mut said.err] {
            *text = text.replace(&self.pools[0], "{pool}").replace(&self.pools[1], "{other}");
            *text = text.replace(&format!("/{folder}/"), "/lsd/");
        }
        said
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        self.pools.iter().for_each(|name| self.ceph.remove_pool(name));
    }
}

/// Runs a script with `rbd`, with `lsd`, and with `rbd` on our library, and fails with every difference.
pub fn compare(ceph: &Ceph, hint: &str, script: &str) {
    compare_with(ceph, hint, script, &[Program::Lsd, Program::RbdOnOurs]);
}

/// The same with these programs beside `rbd`. What `rbd_on_library.rs` lists must differ.
pub fn compare_with(ceph: &Ceph, hint: &str, script: &str, programs: &[Program]) {
    let dir = scratch_dir();
    let mut input = pattern(9_000_000, 5);
    input.resize(12_000_000, 0);
    let side = |program| Side::make(ceph, hint, program, dir.path(), &input);
    let stock = side(None);
    // Without our library it would be the same program twice.
    let with_it = |program: &&Program| **program != Program::RbdOnOurs || tests_own_library();
    let sides: Vec<Side> = programs.iter().filter(with_it).map(|program| side(Some(*program))).collect();
    let mut differences = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (exactly, line) = match line.strip_prefix("= ") {
            Some(line) => (false, line),
            None => (true, line),
        };
        let rbd = stock.run(line);
        for side in &sides {
            let (program, ours) = (side.program.unwrap(), side.run(line));
            assert!(!ours.err.contains("panicked"), "{program:?}: {line}: {}", ours.err);
            let differ = if exactly { rbd != ours } else { rbd.code != ours.code };
            if differ != (program == Program::RbdOnOurs && rbd_on_library::differs(hint, line)) {
                differences.push(format!("{line}\n  rbd: {rbd:?}\n  {program:?}: {ours:?}"));
            }
        }
    }
    let exported = sides.iter().flat_map(|side| ["e1", "e2", "e3"].map(|name| side.dir.join(name)));
    for file in exported.filter(|file| file.exists()) {
        assert!(std::fs::read(&file).unwrap() == input, "{} is not what was imported", file.display());
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Words of a command line; quotes only to write an empty one.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| if word == "''" { String::new() } else { word.to_owned() }).collect()
}

/// The id that stands for `{id:NAME}`.
fn with_id(word: &str, call: &dyn Fn(&[String]) -> Cmd) -> String {
    let Some((before, rest)) = word.split_once("{id:") else { return word.to_owned() };
    let (name, after) = rest.split_once('}').unwrap();
    let json = |words: &str| call(&self::words(words)).run().json();
    let trash = json("trash ls --all --format json");
    let trashed = trash.as_array().unwrap().iter().find(|entry| entry["name"] == name);
    let found = trashed.cloned().unwrap_or_else(|| json(&format!("info {name} --format json")));
    format!("{before}{}{after}", found["id"].as_str().unwrap())
}

/// Ids are of different lengths, and say in which order the rows are.
fn without_first_cells(table: &str) -> String {
    let row = |line: &str| line.split_once(' ').map_or(line.to_owned(), |(_, rest)| rest.trim_start().to_owned());
    let mut rows: Vec<String> = table.lines().map(row).collect();
    rows.sort();
    rows.join("\n")
}

fn said(cmd: Cmd, program: Option<Program>) -> Said {
    let done = cmd.run();
    assert!(!done.timed_out && done.signal.is_none(), "{done}");
    let mut errors = done.errors();
    if program == Some(Program::RbdOnOurs) {
        // Our library tells the reason of an error, in a line of its own.
        errors = errors.split_inclusive('\n').filter(|line| !line.starts_with("lsd: ")).collect();
    }
    let name = if program == Some(Program::Lsd) { "lsd" } else { "rbd" };
    Said { code: done.code, out: plain(&done.text(), name), err: plain(&errors, name) }
}

/// Replaces names of programs, ids and times, and leaves of progress only how it ended.
fn plain(text: &str, program: &str) -> String {
    let text = text.replace("rbd_data.", "lsd_data.");
    let text = match program {
        "rbd" => text.replace("rbd: ", "lsd: ").replace("'rbd ", "'lsd ").replace("`rbd ", "`lsd "),
        _ => text,
    };
    let mut plain = String::new();
    for line in text.split_inclusive('\n') {
        let line = line.rsplit('\r').next().unwrap_or(line);
        plain.push_str(&without_times(&without_ids(&without_snapshot_id(line))));
    }
    plain
}

/// In a table it is the first cell, and wide: other tables do not begin so.
fn without_snapshot_id(line: &str) -> String {
    let rest = line.trim_start_matches(' ').trim_start_matches(|c: char| c.is_ascii_digit());
    let is_row = line.starts_with(' ') && rest.starts_with("  ");
    if is_row { format!("SNAPID{rest}") } else { line.to_owned() }
}

/// Ids stand behind one of these; in a data pool's prefix rbd puts the pool's number before the id.
fn without_ids(line: &str) -> String {
    let mut text = line.to_owned();
    let leads = ["\tid: ", "\"id\":\"", "\"id\": \"", "<id>", "lsd_data.", "client.", ":0/"];
    let snapshots = ["\"id\":", "\"id\": ", "\"snapshot_id\":", "\"snapshot_id\": ", "<snapshot_id>"];
    let migration = ["_image_id\":\"", "_image_id\": \"", "_image_id>"];
    for end in ["\tsource: ", "\tdestination: "] {
        if let Some(at) = text.find(" (").filter(|_| text.starts_with(end)) {
            text.replace_range(at.., " (ID)\n");
        }
    }
    for lead in leads.into_iter().chain(snapshots).chain(migration) {
        let mut from = 0;
        while let Some(at) = text[from..].find(lead).map(|at| from + at + lead.len()) {
            let end =
                text[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '.').map_or(text.len(), |end| at + end);
            from = at;
            if end > at {
                text.replace_range(at..end, "ID");
                from += 2;
            }
        }
    }
    text
}

/// Every time is as long as the one here.
fn without_times(line: &str) -> String {
    let mut text = line.to_owned();
    for day in ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "] {
        while let Some(at) = text.find(day) {
            text.replace_range(at..at + "Sat Nov 21 03:01:49 2026".len(), "TIME");
        }
    }
    text
}

#[test]
fn an_image_s_life() {
    compare(&requires_ceph!(), "life", LIFE);
}

#[test]
fn layouts_of_new_images() {
    compare(&requires_ceph!(), "layouts", LAYOUTS);
}

#[test]
fn content_and_metadata() {
    compare(&requires_ceph!(), "content", CONTENT);
}

#[test]
fn wrong_usage_and_namespaces() {
    compare(&requires_ceph!(), "usage", USAGE);
}

#[test]
fn locks_and_features() {
    compare(&requires_ceph!(), "locks", LOCKS);
}
