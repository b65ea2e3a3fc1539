//! Ceph's own Python tests of RBD, through Debian's binding and the tested library. Owns: their run, and that each test ends as
//! `ceph_python.left_out` beside this file says. Does not own: the tests, which are fetched (`tests/ceph_sources`), nor how
//! they come to run with an older binding (`tests/ceph_python/binding.py`).
//!
//! A line of the list: how the test ends here, how it ends with the system's library (`LSD_TEST_LIBDIR=`), its name, the reason.
//!
//! A test that is not in the list passes. On stock images, which this library passes on, each ends as with the system's library. `LSD_TEST_CEPH_PYTHON` names a folder with the tests where they cannot be fetched.
use crate::common::{Ceph, Cmd, scratch_dir, tests_own_library};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LEFT_OUT: &str = include_str!("ceph_python.left_out");
const FETCH_TIMEOUT: Duration = Duration::from_secs(300);
/// 41 s on two idle cores, 144 s on busy ones; the other tests of this program run meanwhile.
const TIMEOUT: Duration = Duration::from_secs(900);
const PYTHON: &str = "/usr/bin/python3";
/// layering, exclusive-lock, object-map, fast-diff, deep-flatten: what RBD gives an image by default.
const FEATURES: &str = "61";

const OUTCOMES: [&str; 3] = ["passed", "failed", "skipped"];
/// How each test ended, by name; where it failed, also the place and the error.
type Outcomes<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;
/// How each test in the list should end.
type Expected<'a> = BTreeMap<&'a str, &'a str>;

fn left_out(list: &str, own_library: bool) -> Expected<'_> {
    let mut expected = Expected::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [here, stock, name, _reason, ..] = words[..] else {
            panic!("two outcomes, a name and a reason, not {line:?}")
        };
        let known = |word: &str| OUTCOMES.contains(&word);
        assert!(known(here) && known(stock) && (here, stock) != ("passed", "passed"), "no such outcomes: {line:?}");
        assert!(expected.insert(name, if own_library { here } else { stock }).is_none(), "{name} is there twice");
    }
    expected
}

/// What the plugin wrote: each test's outcome, the test that was under way at last, and whether it came to its end.
fn outcomes(written: &str) -> (Outcomes<'_>, Option<&str>, bool) {
    let (mut ended, mut under_way, mut complete) = (Outcomes::new(), None, false);
    for line in written.lines() {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next()) {
            (Some("begin"), name) => under_way = name,
            (Some(word), Some(name)) if OUTCOMES.contains(&word) => {
                ended.insert(name, (word, words.next().unwrap_or_default()));
                under_way = None;
            }
            (Some("end"), None) => complete = true,
            _ => panic!("what is {line:?}?"),
        }
    }
    (ended, under_way, complete)
}

/// Every test that ended in another way than the list says, and every name in the list that is no test.
fn offences(ended: &Outcomes, expected: &Expected) -> Vec<String> {
    let differs = ended.iter().filter_map(|(name, (outcome, error))| {
        let should = *expected.get(name).unwrap_or(&"passed");
        (*outcome != should)
            .then(|| format!("{name} {outcome}, and not {should} as listed. {error}").trim_end().to_owned())
    });
    let unknown = expected.keys().filter(|name| !ended.contains_key(*name));
    differs.chain(unknown.map(|name| format!("{name} is in the list, and no test"))).collect()
}

/// The folder with the tests, fetched the first time.
fn fetched(tools: &Path) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ceph-python");
    let by_hand = std::env::var_os("LSD_TEST_CEPH_PYTHON").filter(|folder| !folder.is_empty());
    let fetch = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ceph_sources");
    Cmd::stock(fetch).arg(tools.join("SUMS")).arg(&dir).args(by_hand).timeout(FETCH_TIMEOUT).ok();
    dir
}

/// The tests remove their pools, unless they are killed.
fn remove_pools(ceph: &Ceph, process: u32) {
    let pools = ceph.stock("ceph").args(["osd", "pool", "ls"]).ok().text();
    let of_process = format!("-{process}-");
    for pool in pools.lines().filter(|pool| pool.starts_with("test-rbd-api-") && pool.contains(&of_process)) {
        ceph.remove_pool(pool);
    }
}

/// Runs them to their end. Gives what the plugin wrote; what the tests said goes to a file beside them.
fn run(ceph: &Ceph, python: Cmd, log: &str) -> (String, PathBuf) {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ceph_python");
    let tests = fetched(&tools);
    let scratch = scratch_dir();
    let written = scratch.path().join("outcomes");
    std::fs::write(&written, "").unwrap();
    let run = python
        .args(["-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "binding", "-c", "/dev/null"])
        .arg(format!("--rootdir={}", tests.display()))
        .arg("test_rbd.py")
        .dir(&tests)
        .env("PYTHONPATH", &tools)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LSD_OUTCOMES", &written)
        .env("RBD_FEATURES", FEATURES)
        .start();
    let process = run.pid();
    let done = run.wait(TIMEOUT);
    remove_pools(ceph, process);
    let written = std::fs::read_to_string(&written).unwrap();
    let (ended, under_way, complete) = outcomes(&written);
    assert!(
        complete && done.code == Some(0),
        "it did not come to its end, but to {}: {done}",
        under_way.unwrap_or("none")
    );
    let count = |word| ended.values().filter(|(outcome, _)| *outcome == word).count();
    println!("{} passed, {} failed, {} skipped in {:?}", count("passed"), count("failed"), count("skipped"), done.took);
    let log = tests.join(log);
    std::fs::write(&log, &done.stdout).unwrap();
    (written, log)
}

#[test]
fn ceph_s_own_tests_end_as_the_list_says() {
    let ceph = requires_ceph!();
    let (written, log) = run(&ceph, ceph.client(PYTHON), "log");
    let offences = offences(&outcomes(&written).0, &left_out(LEFT_OUT, tests_own_library()));
    assert!(
        offences.is_empty(),
        "tests/librbd/ceph_python.left_out is not right; what the tests said is in {}:\n  {}",
        log.display(),
        offences.join("\n  ")
    );
}

/// Stock images through this library: test by test as the list says of the stock library.
#[test]
fn on_stock_images_they_end_as_without_this_library() {
    let ceph = requires_ceph!();
    if !tests_own_library() {
        return;
    }
    let ceph = ceph.with_client_conf(&["lsd_default_format = rbd"]);
    let (passed_on, log) = run(&ceph, ceph.client(PYTHON), "log-passed-on");
    let offences = offences(&outcomes(&passed_on).0, &left_out(LEFT_OUT, false));
    assert!(offences.is_empty(), "what they said is in {}:\n  {}", log.display(), offences.join("\n  "));
}

#[test]
fn a_list_that_is_not_right_is_seen() {
    let list = "# a comment\nskipped skipped S why\nfailed passed L why\npassed failed T why\nfailed passed GONE why\n";
    let written = "begin S\nskipped S\nbegin L\npassed L\nbegin T\npassed T\nbegin N\nfailed N call: no\nend\n";
    let (ended, under_way, complete) = outcomes(written);
    assert_eq!((ended.len(), under_way, complete), (4, None, true));
    let unlisted = "N failed, and not passed as listed. call: no";
    let gone = "GONE is in the list, and no test";
    assert_eq!(offences(&ended, &left_out(list, true)), ["L passed, and not failed as listed.", unlisted, gone]);
    assert_eq!(offences(&ended, &left_out(list, false)), [unlisted, "T passed, and not failed as listed.", gone]);
    assert_eq!(outcomes("begin A\npassed A\nbegin B\n"), (Outcomes::from([("A", ("passed", ""))]), Some("B"), false));
}
