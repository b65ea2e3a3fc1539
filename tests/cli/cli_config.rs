//! What pools and images have beside data, by `lsd` and by Ceph's own `rbd`, side by side as in `cli_against_rbd.rs`, and by `lsd` on the
//! directory store. What rbd tells by its log alone is compared by the exit code.
use crate::cli_against_rbd::compare;
use crate::common::{Ceph, Cmd, Finished, built, scratch_dir};
use std::time::Instant;

const CONFIG: &str = "
create foo --size 10
config pool get {pool} rbd_cache
config pool get {pool}
config pool get
config pool get nopool rbd_cache
config pool get {pool} osd_x
config pool get {pool} rbd_nonsense
= config pool set {pool} rbd_cache nonsense
= config pool set {pool} rbd_cache
= config pool set {pool} rbd_default_pool x
config pool set {pool} rbd_nonsense 1
config pool set {pool} conf_rbd_cache true
config pool set {pool} rbd_qos_iops_limit 100
config pool get {pool} rbd_qos_iops_limit
config pool set {pool} rbd_default_order 23
config pool set {pool} rbd_default_features layering,exclusive-lock
create bar --size 10
info bar
create baz --size 10 --object-size 1M --image-feature layering
info baz
config pool rm {pool} rbd_default_order
config pool remove {pool} rbd_default_features
config pool rm {pool} rbd_default_order
config pool rm {pool} rbd_qos_iops_limit
config pool list
config pool list nopool
config pool ls {pool} --format yaml
config pool list {pool} --pretty-format
config image set foo rbd_qos_iops_limit 200
config image set foo rbd_cache 1
= config image set foo rbd_default_order 23
= config image set foo rbd_cache nonsense
config image set foo rbd_nonsense 1
config image set foo osd_x 1
config image set foo rbd_cache
config image set foo
config image set nofoo rbd_cache true
config image get foo rbd_qos_iops_limit
config image get rbd_cache --image foo
config image get foo rbd_cache_size
config image get foo@s rbd_cache
config image get foo
image-meta list foo
config image rm foo rbd_qos_iops_limit
config image remove foo rbd_qos_iops_limit
config image rm foo rbd_cache
config image list
config image list nofoo
config image list foo@s
config global ls
config global get
config global get bogus rbd_cache
config global set osd rbd_cache true
config global set client rbd_nonsense 1
config global set client osd_x 1
config global set client rbd_readahead_max_bytes nonsense
config global set client.cli-{pool} rbd_readahead_max_bytes 1000
config global get client.cli-{pool} rbd_readahead_max_bytes
config global get client.cli-{pool} rbd_cache
config global rm client.cli-{pool} rbd_readahead_max_bytes
config global get client.cli-{pool} rbd_readahead_max_bytes
";

const UPKEEP: &str = "
pool stats
create foo --size 10
snap create --no-progress foo@a
resize --no-progress foo --size 20
create x2 --size 3
create x3 --size 5
pool stats
trash mv x2
pool stats {pool}
pool stats --format json
pool stats --format json --pretty-format -p {pool}
pool stats --format xml
pool stats nopool
pool stats {other}
namespace create {pool}/n
pool stats {pool}/n
pool stats -p {pool} --namespace n
sparsify foo
sparsify --no-progress foo
sparsify foo --sparse-size 64K
= sparsify foo --sparse-size 100
= sparsify foo --sparse-size 8M
sparsify foo@a
sparsify nofoo
object-map check foo
object-map check foo@a
object-map check foo@nosnap
object-map rebuild foo
object-map rebuild foo@a
object-map check --no-progress foo
object-map rebuild nofoo
feature disable foo fast-diff
object-map check foo
= object-map rebuild foo
feature disable foo exclusive-lock
feature enable foo fast-diff object-map exclusive-lock
= info foo@a
feature enable foo exclusive-lock fast-diff object-map journaling
feature enable foo journaling
= feature disable foo exclusive-lock
feature disable foo journaling
feature disable foo journaling
feature enable foo data-pool
feature enable foo bogus
= info foo
snap limit set foo --limit 0
snap limit set foo --limit 1
snap limit clear foo
group create {pool}/n/g
group rm {pool}/n/g
namespace rm {pool}/n
";

#[test]
fn options_have_levels() {
    compare(&requires_ceph!(), "config", CONFIG);
}

#[test]
fn images_are_counted_and_kept_up() {
    compare(&requires_ceph!(), "upkeep", UPKEEP);
}

/// The names and sources of what a program lists. rbd sets one option for itself, and lsd has some of its own.
fn listed(done: &Finished) -> Vec<(String, String, String)> {
    let text = |option: &serde_json::Value, field: &str| option[field].as_str().unwrap().to_owned();
    let options = done.json();
    let all = options.as_array().unwrap().iter();
    let all = all.map(|option| (text(option, "name"), text(option, "value"), text(option, "source")));
    all.filter(|(name, ..)| name.starts_with("rbd_") && name != "rbd_cache_writethrough_until_flush").collect()
}

#[test]
fn every_option_of_rbd_is_listed_with_its_value() {
    let ceph = requires_ceph!();
    let pool = format!("cli-listed-{}", std::process::id());
    ceph.make_pool(&pool);
    let image = |kind: &str| format!("{pool}/{kind}");
    for kind in ["rbd", "lsd"] {
        let cmd = |args: &[&str]| run(&ceph, kind).args(args);
        let image = image(kind);
        cmd(&["create", "--size", "1", &image]).ok();
        cmd(&["config", "pool", "set", &pool, "rbd_qos_bps_limit", "1000000"]).ok();
        cmd(&["config", "image", "set", &image, "rbd_balance_snap_reads", "true"]).ok();
    }
    for subject in ["pool", "image"] {
        let list = |kind| {
            let spec = if subject == "pool" { pool.clone() } else { image(kind) };
            listed(&run(&ceph, kind).args(["config", subject, "list", &spec, "--format", "json"]).ok())
        };
        assert_eq!(list("lsd"), list("rbd"));
    }
    let own = run(&ceph, "lsd").args(["config", "image", "list", &image("lsd")]).ok().text();
    assert!(own.starts_with("There are 88 values:\n") && own.contains("lsd_ack "), "{own}");
    ceph.remove_pool(&pool);
}

fn run(ceph: &Ceph, program: &str) -> Cmd {
    if program == "rbd" { ceph.stock("rbd") } else { ceph.client(built("lsd")) }
}

fn lsd(args: &[&str]) -> Cmd {
    Cmd::new(built("lsd")).args(args)
}

#[test]
fn a_directory_has_options_limits_and_statistics_too() {
    let dir = scratch_dir();
    let pool = format!("dir:{}/store", dir.path().display());
    let image = format!("{pool}/a");
    lsd(&["create", "--size", "16", &image]).ok();
    lsd(&["config", "pool", "set", &pool, "rbd_qos_write_iops_limit", "50"]).ok();
    lsd(&["config", "pool", "set", &pool, "rbd_default_order", "20"]).ok();
    assert_eq!(lsd(&["config", "pool", "get", &pool, "rbd_default_order"]).ok().text(), "20\n");
    let listed = lsd(&["config", "image", "list", &image]).ok().text();
    assert!(
        listed.lines().any(|line| line.starts_with("rbd_qos_write_iops_limit ") && line.contains(" pool")),
        "{listed}"
    );
    lsd(&["create", "--size", "16", &format!("{pool}/b")]).ok();
    let info = lsd(&["info", &format!("{pool}/b")]).ok().text();
    assert!(info.contains("order 20"), "{info}");
    // 100 writes and 50 in a second.
    let bench = ["bench", "--io-type", "write", "--io-size", "4K", "--io-total", "400K", "--io-threads", "1", &image];
    let began = Instant::now();
    lsd(&bench).ok();
    assert!(began.elapsed().as_secs_f64() > 1.5, "it took {:?}", began.elapsed());
    lsd(&["config", "image", "set", &image, "rbd_qos_write_iops_limit", "0"]).ok();
    let zeroes = dir.path().join("zeroes");
    std::fs::write(&zeroes, vec![0; 1 << 20]).unwrap();
    let stats = lsd(&["pool", "stats", &pool]).ok().text();
    assert_eq!(stats, "Total Images: 2\nTotal Snapshots: 0\nProvisioned Size: 32 MiB\n");
    lsd(&["sparsify", "--no-progress", &image]).ok();
    lsd(&["object-map", "check", "--no-progress", &image]).ok();
    let unknown = lsd(&["config", "pool", "set", &pool, "lsd_nonsense", "1"]).run();
    unknown.expect_code(22).says("invalid config key: lsd_nonsense");
}
