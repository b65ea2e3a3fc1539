//! Migrations by the `lsd` program on the directory store: there an image gets another name or layout.
use crate::common::{Cmd, built, pattern, scratch_dir};
use serde_json::json;

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

#[test]
fn an_image_of_a_directory_gets_another_name_and_layout() {
    let dir = scratch_dir();
    let content = pattern(5 << 20, 4);
    let file = dir.path().join("in").display().to_string();
    std::fs::write(&file, &content).unwrap();
    let of = |image: &str| format!("dir:{}/store/{image}", dir.path().display());
    let export = |image: &str| lsd(&["export", "--no-progress", &of(image), "-"]).ok().stdout;
    lsd(&["import", "--no-progress", &file, &of("old")]).ok();
    lsd(&["snap", "create", "--no-progress", &of("old@s")]).ok();
    lsd(&["migration", "commit", &of("old")])
        .run()
        .expect_code(22)
        .says("getting migration status failed: (22) Invalid argument");
    lsd(&["migration", "prepare", &of("old"), "new", "--object-size", "1M"]).ok();
    let status = lsd(&["status", &of("new"), "--format", "json"]).ok().json();
    let shown = &status["migration"];
    assert_eq!((&shown["source_image_name"], &shown["dest_image_name"]), (&json!("old"), &json!("new")));
    assert_eq!((&shown["state"], &shown["state_description"]), (&json!("prepared"), &json!("")));
    lsd(&["status", &of("new")]).ok().says("Migration:\n\tsource: ").says("\tstate: prepared\n");
    lsd(&["info", &of("new")]).ok().says("migrating").says("order 20");
    lsd(&["info", &of("old")]).run().expect_code(2);
    assert!(export("new") == content);
    lsd(&["inspect", "header", &of("new")]).ok().says("role: destination");
    // There and back.
    lsd(&["migration", "abort", "--no-progress", &of("new")]).ok();
    assert!(export("old") == content);
    lsd(&["status", &of("old")]).ok();
    lsd(&["migration", "prepare", &of("old"), &of("old")]).ok();
    lsd(&["migration", "execute", "--no-progress", &of("old")]).ok();
    lsd(&["check", &of("old")]).ok();
    lsd(&["migration", "commit", "--no-progress", &of("old")]).ok();
    assert!(export("old") == content && export("old@s") == content);
    lsd(&["check", &of("old")]).ok();
    assert_eq!(lsd(&["trash", "ls", "--all", &format!("dir:{}/store", dir.path().display())]).ok().text(), "");
    lsd(&["migration", "prepare", &of("old"), "x", "--import-only"]).run().expect_code(95);
}
