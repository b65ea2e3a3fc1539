//! Migrations of stock RBD images to lsd: the new image is there at once, and the old one until the end, or comes back with what was
//! written since. `LSD_TEST_KILL_ROUNDS` sets the number of rounds (2), `LSD_TEST_SEED` the first seed.
use crate::cli_over_stock::{World, refused};
use crate::common::{Ceph, pattern, wait_until};
use std::time::Duration;

/// What is written to the image of lsd, as python has it: over a base, beyond it, and where zeroes shall be.
const CHANGE: &str = "
with rbd.Image(io, 'disk') as image:
  image.write(b'x' * 100000, 5000000)
  image.discard(1 << 20, 3 << 20)
  image.write_zeroes(16 << 20, 5000)
  image.resize(22 << 20)
  image.resize(30 << 20)
  image.write(b'y' * 4096, 29 << 20)
  image.metadata_set('new', 'one')
  image.metadata_set('old', 'three')
  image.metadata_remove('old')
";

/// The same of its content.
fn changed(mut content: Vec<u8>) -> Vec<u8> {
    content[5_000_000..5_100_000].fill(b'x');
    content[1 << 20..4 << 20].fill(0);
    content[16 << 20..(16 << 20) + 5000].fill(0);
    content.truncate(22 << 20);
    content.resize(30 << 20, 0);
    content[29 << 20..(29 << 20) + 4096].fill(b'y');
    content
}

/// With the stock image `disk`, itself a clone, and what it has.
fn world<'a>(ceph: &'a Ceph, hint: &str) -> (World<'a>, Vec<u8>) {
    let (world, mut content) = World::new(ceph, hint);
    world.rbd("clone {pool}/gold@s {pool}/disk");
    let at = 13 << 20;
    content[at..at + 50_000].copy_from_slice(&pattern(50_000, 11));
    std::fs::write(world.file("own"), &content[at..at + 50_000]).unwrap();
    let program = format!("with rbd.Image(io, 'disk') as image: image.write(open(args[0], 'rb').read(), {at})\n");
    ceph.stock_python(&world.pool, &program).arg(world.file("own")).ok();
    world.rbd("image-meta set {pool}/disk old two");
    (world, content)
}

/// What a stock image shows to the stock library.
fn stock_content(world: &World, image: &str) -> Vec<u8> {
    let _ = std::fs::remove_file(world.file("stock"));
    world.rbd(&format!("export --no-progress {{pool}}/{image} {{dir}}/stock"));
    std::fs::read(world.file("stock")).unwrap()
}

/// Nothing of a migration is left with the stock image, which has its name.
fn expect_as_before(world: &World, image: &str) {
    let stock = |line: &str| world.stock(&line.replace("IMAGE", image)).ok().text();
    assert_eq!(stock("trash ls {pool} --all"), "");
    assert_eq!(stock("snap ls {pool}/IMAGE --all"), "");
    assert!(!stock("image-meta ls {pool}/IMAGE").contains("lsd_migration"));
    assert!(stock("ls {pool}").lines().any(|name| name == image));
    assert!(!ceph_objects(world).iter().any(|object| object.starts_with("lsd_header.")));
}

fn ceph_objects(world: &World) -> Vec<String> {
    world.ceph.objects(&world.pool)
}

#[test]
fn a_stock_image_becomes_one_of_lsd() {
    let ceph = requires_ceph!();
    let (world, content) = world(&ceph, "over");
    world.lsd("migration prepare {pool}/disk {pool}/disk").ok();
    assert!(world.exported("disk") == content, "it is there at once");
    world.lsd("info {pool}/disk").ok().says("base: rbd:");
    assert_eq!(world.lsd("image-meta get {pool}/disk old").ok().text(), "two\n");
    refused(world.stock("info {pool}/disk"), 2, "No such file");
    // Nobody takes the old one away.
    let id = world.stock("trash ls {pool}").ok().text().split_whitespace().next().unwrap().to_owned();
    world.stock(&format!("trash rm --force {{pool}}/{id}")).fails();
    refused(world.lsd("rm {pool}/disk"), 16, "watchers");
    refused(world.lsd("migration commit {pool}/disk"), 22, "prepared");
    let status = world.lsd("status {pool}/disk").ok();
    status.says(&format!("source: {}/disk ({id})", world.pool)).says("state: prepared");
    world.ceph.python(&world.pool, CHANGE).ok();
    let content = changed(content);
    assert!(world.exported("disk") == content);
    world.lsd("migration execute --no-progress {pool}/disk").ok();
    world.lsd("status {pool}/disk").ok().says("state: executed");
    assert!(world.exported("disk") == content);
    world.lsd("migration commit --no-progress {pool}/disk").ok();
    assert_eq!(world.stock("trash ls {pool} --all").ok().text(), "");
    assert!(world.exported("disk") == content, "nothing of the stock image is needed");
    world.lsd("check {pool}/disk").ok();
    refused(world.lsd("migration commit {pool}/disk"), 22, "not migrating");
    // An image like any other.
    world.lsd("snap create --no-progress {pool}/disk@own").ok();
    world.lsd("snap rm --no-progress {pool}/disk@own").ok();
    assert!(world.stock("children {pool}/gold@s").ok().text().is_empty());
    world.lsd("rm --no-progress {pool}/disk").ok();
}

#[test]
fn a_migration_that_is_taken_back_loses_no_write() {
    let ceph = requires_ceph!();
    let (world, content) = world(&ceph, "back");
    world.lsd("migration prepare {pool}/disk {pool}/other --data-pool {pool}").ok();
    world.lsd("migration abort --no-progress {pool}/other").ok();
    expect_as_before(&world, "disk");
    assert!(stock_content(&world, "disk") == content);
    let mut content = content;
    for executed in [false, true] {
        world.lsd("migration prepare {pool}/disk {pool}/disk").ok();
        if executed {
            world.lsd("migration execute --no-progress {pool}/disk").ok();
        }
        world.ceph.python(&world.pool, CHANGE).ok();
        content.resize(content.len().max(30 << 20), 0);
        content = changed(content);
        world.lsd("migration abort --no-progress {pool}/disk").ok();
        expect_as_before(&world, "disk");
        assert!(stock_content(&world, "disk") == content, "executed: {executed}");
        let metadata = world.stock("image-meta ls {pool}/disk").ok().text();
        assert!(metadata.contains("new") && !metadata.contains("old"), "{metadata}");
    }
}

#[test]
fn what_cannot_move_stays_as_it_is() {
    let ceph = requires_ceph!();
    let (world, content) = world(&ceph, "stays");
    refused(world.lsd("migration prepare {pool}/gold {pool}/gold"), 16, "has snapshots");
    refused(world.lsd("migration prepare {pool}/nothing {pool}/nothing"), 2, "No such file");
    refused(world.lsd("migration prepare {pool}/disk {pool}/gold"), 17, "File exists");
    world.lsd("create --size 4M {pool}/own").ok();
    refused(world.lsd("migration prepare {pool}/disk {pool}/own"), 17, "File exists");
    world.lsd("rm --no-progress {pool}/own").ok();
    let program = "import os, time\nwith rbd.Image(io, 'disk') as image:\n  print('open', flush=True)\n  \
                   while not os.path.exists(args[0]): time.sleep(0.1)\n";
    let mut user = ceph.stock_python(&world.pool, program).arg(world.file("end")).start();
    user.wait_for_text("open", Duration::from_secs(60));
    refused(world.lsd("migration prepare {pool}/disk {pool}/disk"), 16, "in use");
    std::fs::write(world.file("end"), "").unwrap();
    user.wait(Duration::from_secs(60)).expect_code(0);
    world.rbd("feature disable {pool}/disk object-map,fast-diff,exclusive-lock");
    refused(world.lsd("migration prepare {pool}/disk {pool}/disk"), 16, "exclusive-lock");
    expect_as_before(&world, "disk");
    assert!(stock_content(&world, "disk") == content);
    let without =
        world.lsd("migration prepare {pool}/disk {pool}/disk").env("LSD_STOCK_LIBRBD", "/nowhere/librbd.so.1");
    refused(without, 95, "no stock librbd");
}

/// By the functions of the library, which Ceph's own `rbd` calls.
#[test]
fn the_library_moves_what_its_options_say() {
    let ceph = requires_ceph!();
    let (world, content) = world(&ceph, "library");
    let spec = format!("{}/disk", world.pool);
    // What new images are is lsd's, and said: a default that nobody has said makes no image another.
    let said = ceph.with_client_conf(&["lsd_default_format = lsd"]);
    said.client("rbd").args(["migration", "prepare", &spec, &spec]).ok();
    for step in ["execute", "commit"] {
        ceph.client("rbd").args(["migration", step, "--no-progress", &spec]).ok();
    }
    assert!(world.exported("disk") == content);
    assert_eq!(world.stock("trash ls {pool} --all").ok().text(), "");
    world.lsd("rm --no-progress {pool}/disk").ok();
}

/// Every step killed at some moment, and begun anew: nothing is lost, and in the end nothing is left.
#[test]
fn a_migration_that_is_killed_at_any_moment_goes_on() {
    let ceph = requires_ceph!();
    let (world, mut content) = world(&ceph, "killed");
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let first = number("LSD_TEST_SEED", 1);
    for seed in first..first + number("LSD_TEST_KILL_ROUNDS", 2) {
        // 1. Prepared, or taken back where the killed one cannot be gone on with.
        killed(&world, "migration prepare {pool}/disk {pool}/disk", seed);
        let prepared = world.lsd("migration execute --no-progress {pool}/disk").run();
        if prepared.code != Some(0) {
            println!("{prepared}\n{}", world.lsd("migration abort --no-progress {pool}/disk").run());
            expect_as_before(&world, "disk");
            assert!(stock_content(&world, "disk") == content, "seed {seed}: {prepared}");
            prepared_again(&world);
        }
        // 2. Written to, and executed while somebody kills that.
        world.ceph.python(&world.pool, CHANGE).ok();
        content.resize(content.len().max(30 << 20), 0);
        content = changed(content);
        killed(&world, "migration execute --no-progress {pool}/disk", seed + 1);
        assert!(world.exported("disk") == content, "seed {seed}");
        // 3. Taken back, killed, and taken back again.
        killed(&world, "migration abort --no-progress {pool}/disk", seed + 2);
        killed(&world, "migration abort --no-progress {pool}/disk", seed + 3);
        println!("{}", world.lsd("migration abort --no-progress {pool}/disk").run());
        expect_as_before(&world, "disk");
        assert!(stock_content(&world, "disk") == content, "seed {seed}");
    }
    prepared_again(&world);
    world.lsd("migration execute --no-progress {pool}/disk").ok();
    for seed in 0..6 {
        killed(&world, "migration commit --no-progress {pool}/disk", seed);
    }
    let _ = world.lsd("migration commit --no-progress {pool}/disk").run();
    assert!(world.exported("disk") == content);
    assert_eq!(world.stock("trash ls {pool} --all").ok().text(), "");
    world.lsd("check {pool}/disk").ok();
    world.lsd("rm --no-progress {pool}/disk").ok();
}

/// Who died a moment ago is seen for a while as one who uses the image.
fn prepared_again(world: &World) {
    wait_until("the end of dead clients' watches", Duration::from_secs(90), || {
        let done = world.lsd("migration prepare {pool}/disk {pool}/disk").run();
        assert!(done.code == Some(0) || done.errors().contains("in use"), "{done}");
        done.code == Some(0)
    });
}

/// Runs a command of `lsd` and kills it, most often before it is done.
fn killed(world: &World, line: &str, seed: u64) {
    let running = world.lsd(line).start();
    // Up to the time that each of these takes, in another order for each seed.
    std::thread::sleep(Duration::from_millis(40 + seed * 7919 % 397));
    running.kill();
}
