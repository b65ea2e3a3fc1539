//! The command: reads its arguments, builds lsd for release, and runs.
use anyhow::{Context, Result, bail};
use clap::Parser;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Measures lsd beside stock librbd: same fio, same cluster, alternating; prints ratios.
///
/// Without CEPH_CONF a cluster is started and removed afterwards. Nothing else should run on the machine meanwhile.
#[derive(Parser)]
#[command(name = "lsd-bench")]
struct Arguments {
    /// Only these rows, separated by commas; --list names them
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// The long rows too: ten times the image overwritten, and librbd with its journaling feature
    #[arg(long)]
    long: bool,
    /// Measurements of each side for each row
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// MiB of each image
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// OSDs of the cluster; with three or more there are three replicas
    #[arg(long, default_value_t = 1)]
    osds: u32,
    /// Data in erasure-coded pools (k=2 m=1; with overwrites for stock, without for lsd); needs --osds 3
    #[arg(long)]
    ec: bool,
    /// Clients on one processor and the OSDs on the others, as on machines of their own
    #[arg(long)]
    apart: bool,
    /// Write the figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw them into this SVG file
    #[arg(long)]
    chart: Option<PathBuf>,
    /// Compare with the figures of an earlier --json
    #[arg(long)]
    against: Option<PathBuf>,
    /// A line for lsd's ceph.conf, as "lsd_gc = false"; may be given again
    #[arg(long = "lsd-conf", value_name = "KEY = VALUE")]
    lsd_conf: Vec<String>,
    /// Folder of lsd, lsd-nbd and librbd.so to measure; without it this checkout is built
    #[arg(long)]
    build: Option<PathBuf>,
    /// Print the rows and what they must show
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match measure(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lsd-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(given: Arguments) -> Result<()> {
    if given.list {
        for row in lsd_bench::matrix::ROWS {
            println!("{:18}{:48}{:>5}x{}", row.id, row.name, row.at_least, if row.long { "  --long" } else { "" });
        }
        return Ok(());
    }
    let build = match given.build {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => built()?,
    };
    let options = lsd_bench::Options {
        rows: given.rows,
        long: given.long,
        rounds: given.rounds,
        size: given.size,
        osds: given.osds,
        ec: given.ec,
        apart: given.apart,
        json: given.json,
        chart: given.chart,
        against: given.against,
        lsd_conf: given.lsd_conf,
        build,
        ceph_conf: std::env::var_os("CEPH_CONF").filter(|conf| !conf.is_empty()).map(PathBuf::from),
        hurry: false,
    };
    lsd_bench::run(&options).map(drop)
}

/// Builds the commands and the library for release, beside this program's own folder, and returns theirs.
fn built() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(|profile| profile.parent()).context("this program is not in a target folder")?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "-p", "lsd", "--target-dir"]).arg(target);
    if !cargo.current_dir(lsd_bench::source()).status().context("cannot run cargo")?.success() {
        bail!("the build failed");
    }
    Ok(target.join("release"))
}
