//! The log of the commands: off unless somebody asks; who asks, where it goes, and that a mistake there fails nothing else.
use crate::common::{Cmd, built, scratch_dir};
use std::path::PathBuf;

/// A directory store with an image `disk`.
struct Store(tempfile::TempDir);

impl Store {
    fn new() -> Self {
        let store = Self(scratch_dir());
        store.lsd(&["create", "--size", "8M", &store.spec("disk")]).ok();
        store
    }

    fn spec(&self, name: &str) -> String {
        format!("dir:{}/store/{name}", self.0.path().display())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn lsd(&self, args: &[&str]) -> Cmd {
        Cmd::new(built("lsd")).env("RUST_LOG", "").args(args)
    }

    /// `lsd info` of the image, which opens it.
    fn info(&self) -> Cmd {
        self.lsd(&["info", &self.spec("disk")])
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

/// A line of the log about an open of the image `disk`.
fn has_open(text: &str) -> bool {
    text.lines().any(|line| line.contains(" DEBUG lsd::api: ") && line.contains(" image=disk op=open "))
}

#[test]
fn nobody_asks_and_there_is_none() {
    let store = Store::new();
    let file = store.file("log").display().to_string();
    assert_eq!(store.info().ok().errors(), "");
    assert_eq!(store.info().args(["--log-file", &file]).ok().errors(), "");
    assert!(!store.file("log").exists());
}

#[test]
fn options_stand_anywhere_and_append_to_a_file() {
    let store = Store::new();
    let file = store.file("log").display().to_string();
    std::fs::write(&file, "what was there\n").unwrap();
    for args in
        [["--log-level", "debug", "--log-file", &file], ["--log_level", "lsd=debug,off", "--lsd-log-file", &file]]
    {
        let length = store.log().len();
        let done = store.info().args(args).ok();
        assert_eq!(done.errors(), "", "{done}");
        assert!(has_open(&store.log()[length..]), "{}", store.log());
    }
    assert!(store.log().starts_with("what was there\n"));
}

#[test]
fn without_a_file_it_goes_to_standard_error() {
    let store = Store::new();
    let done = store.info().args(["--log-level", "debug"]).ok();
    assert!(has_open(&done.errors()), "{done}");
    assert_eq!(done.text(), store.info().ok().text());
    // Opening the image is no warning.
    assert_eq!(store.info().args(["--log-level", "warn"]).ok().errors(), "");
}

#[test]
fn the_command_line_counts_more_than_the_variable_and_that_more_than_ceph_conf() {
    let store = Store::new();
    let conf = store.file("ceph.conf");
    std::fs::write(&conf, format!("[client]\nlsd_log_level = debug\nlsd log file = {}\n", store.file("log").display()))
        .unwrap();
    let info = || store.info().arg("-c").arg(&conf);
    assert_eq!(info().ok().errors(), "", "the options are known, and the lines are in the file");
    assert!(has_open(&store.log()));
    let length = store.log().len();
    info().env("RUST_LOG", "error").ok();
    info().env("RUST_LOG", "debug").args(["--log-level", "off"]).ok();
    assert_eq!(store.log().len(), length, "{}", store.log());
    info().env("RUST_LOG", "lsd::api=debug").ok();
    assert!(has_open(&store.log()[length..]));
}

#[test]
fn what_a_command_fails_with_is_in_it() {
    let store = Store::new();
    let file = store.file("log").display().to_string();
    let args = ["info", &store.spec("none"), "--log-level", "error", "--log-file", &file];
    let done = store.lsd(&args).run().expect_code(2);
    let told = done.errors();
    assert!(store.log().contains(&format!(" ERROR lsd::api: {}", told.trim_end())), "{told}: {}", store.log());
}

#[test]
fn a_mistake_in_it_fails_nothing_but_its_own_option() {
    let store = Store::new();
    let words = "\"inof\" is not off, error, warn, info, debug, trace, or a list such as lsd::append=debug,warn";
    let wrong = store.info().args(["--log-level", "inof"]).run().expect_code(1);
    assert_eq!(wrong.errors(), format!("lsd: --log-level: {words}\n"));
    let told = store.info().env("RUST_LOG", "inof").ok();
    assert_eq!(told.errors(), format!("lsd: RUST_LOG: {words}: there is no log\n"));
    let folder = store.0.path().display().to_string();
    let unopened = store.info().args(["--log-level", "debug", "--log-file", &folder]).ok();
    assert!(has_open(&unopened.errors()), "{unopened}");
    assert!(unopened.errors().starts_with(&format!("lsd: log file {folder}: Is a directory")), "{unopened}");
}
