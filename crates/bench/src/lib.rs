//! `lsd-bench`: lsd beside stock librbd, by the same fio on the same cluster, the two alternating. Figures are ratios of one
//! run; what must be shown is in [`matrix::ROWS`]. It judges nothing but the targets: a slow run is no failure.
//!
//! This file owns the course of a run. What is measured: [`matrix`]; one row: [`measure`]; fio: [`fio`]; the cluster:
//! [`cluster`]; what the OSDs did: [`osds`]; the two sides: [`sides`]; processors: [`apart`]; what comes out: [`report`].
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub mod apart;
pub mod cluster;
pub mod fio;
pub mod matrix;
pub mod measure;
pub mod osds;
pub mod program;
pub mod report;
pub mod sides;

use cluster::{Cluster, EC_OVERWRITES_POOL, EC_POOL};
use measure::Bench;
use report::{Report, Setup, chart, table};
use sides::{Place, library_folder};

const POOL: &str = "rbd";
const RADOS_BENCH_SECONDS: u32 = 10;
const SETTLE: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ids of rows; empty: all, the long ones where `long` is true.
    pub rows: Vec<String>,
    pub long: bool,
    pub rounds: u32,
    /// MiB of each image.
    pub size: u64,
    /// Of the cluster that is started.
    pub osds: u32,
    /// The data is in erasure-coded pools.
    pub ec: bool,
    /// Clients and OSDs share no processor.
    pub apart: bool,
    pub json: Option<PathBuf>,
    pub chart: Option<PathBuf>,
    pub against: Option<PathBuf>,
    /// Lines for the `[client]` section of lsd's ceph.conf.
    pub lsd_conf: Vec<String>,
    /// Folder of `lsd`, `lsd-nbd` and `librbd.so`.
    pub build: PathBuf,
    /// A running cluster with pool `rbd`; `None`: one is started.
    pub ceph_conf: Option<PathBuf>,
    /// Only to see that it runs: no pauses, and a second of `rados bench`.
    pub hurry: bool,
}

/// The checkout that this was built from.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Measures, prints as it goes, and writes the files; those that are there after an error hold the rows until then.
pub fn run(options: &Options) -> Result<Report> {
    let rows = matrix::select(&options.rows, options.long)?;
    check(options)?;
    let old = options.against.as_deref().map(Report::load).transpose()?;
    let load = load();
    let scratch = tempfile::Builder::new().prefix("lsd-bench-").tempdir()?;
    let cluster = match &options.ceph_conf {
        Some(conf) => Cluster::given(conf.clone()),
        None => Cluster::start(&source(), scratch.path(), options.osds, options.size)?,
    };
    let bench = bench(options, &cluster, scratch.path())?;
    if bench.osds.is_none() {
        eprintln!("lsd-bench: there are OSDs that are not on this machine, so what they did is not in the figures");
    }
    let mut report = Report {
        commit: commit(&options.build),
        date: chrono::Local::now().format("%Y-%m-%d %H:%M").to_string(),
        setup: setup(options, &bench.place, load)?,
        rados_bench: Vec::new(),
        rows: Vec::new(),
    };
    // After the setup was noted, which counts the processors that this process may use.
    let _apart = match (&bench.osds, options.apart) {
        (Some(osds), true) => Some(apart::Apart::new(osds.pids()?)?),
        (None, true) => bail!("--apart needs OSDs on this machine"),
        (_, false) => None,
    };
    let seconds = if options.hurry { 1 } else { RADOS_BENCH_SECONDS };
    report.rados_bench.push(bench.rados_bench(seconds)?);
    print!("{}", table::header());
    for row in rows {
        report.rows.push(bench.row(row)?);
        print!("{}", report.rows.last().map(table::line).unwrap_or_default());
        write_files(options, &report)?;
    }
    report.rados_bench.push(bench.rados_bench(seconds)?);
    write_files(options, &report)?;
    print!("{}", table::footer(&report));
    if let Some(old) = old {
        print!("{}", table::comparison(&old, &report));
    }
    Ok(report)
}

fn check(options: &Options) -> Result<()> {
    if options.rounds == 0 || options.size == 0 {
        bail!("--rounds and --size take at least 1");
    }
    if options.ec && (options.ceph_conf.is_some() || options.osds < 3) {
        bail!("--ec needs a cluster of its own (no CEPH_CONF) with at least three OSDs (--osds 3)");
    }
    Ok(())
}

fn bench(options: &Options, cluster: &Cluster, scratch: &Path) -> Result<Bench> {
    if options.ec {
        cluster.make_overwrites_pool()?;
    }
    let lsd_conf = scratch.join("lsd.conf");
    let text = std::fs::read_to_string(&cluster.conf).with_context(|| cluster.conf.display().to_string())?;
    std::fs::write(&lsd_conf, format!("{text}\n[client]\n{}\n", options.lsd_conf.join("\n")))?;
    let place = Place {
        conf: cluster.conf.clone(),
        lsd_conf,
        library: library_folder(scratch, &options.build)?,
        build: options.build.clone(),
        scratch: scratch.to_owned(),
        pool: POOL.to_owned(),
        data_pools: options.ec.then(|| [EC_OVERWRITES_POOL.to_owned(), EC_POOL.to_owned()]),
    };
    let settle = if options.hurry { Duration::ZERO } else { SETTLE };
    let osds = osds::Osds::find(&cluster.conf)?;
    Ok(Bench { place, osds, rounds: options.rounds, size: options.size << 20, settle })
}

fn write_files(options: &Options, report: &Report) -> Result<()> {
    if let Some(path) = &options.json {
        report.save(path)?;
    }
    if let Some(path) = &options.chart {
        std::fs::write(path, chart::svg(report)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn setup(options: &Options, place: &Place, load: f64) -> Result<Setup> {
    let version = |program: &str| {
        let text = program::output(program::command(program, &place.conf, None).arg("--version"))?;
        anyhow::Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    Ok(Setup {
        rounds: options.rounds,
        size_mib: options.size,
        osds: if options.ceph_conf.is_some() { 0 } else { options.osds },
        ec: options.ec,
        apart: options.apart,
        lsd_conf: options.lsd_conf.clone(),
        cores: std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        load,
        ceph: version("ceph")?,
        fio: version("fio")?,
    })
}

/// The load average of the last minute; 0 where it cannot be read.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// What the checkout that holds the build is at; else the one this was built from.
fn commit(build: &Path) -> String {
    let describe = |folder: &Path| {
        let mut git = std::process::Command::new("git");
        let git = git.arg("-C").arg(folder).args(["describe", "--always", "--dirty", "--abbrev=12"]);
        program::output(git).ok().map(|text| text.trim().to_owned())
    };
    describe(build).or_else(|| describe(&source())).unwrap_or_else(|| "unknown".into())
}
