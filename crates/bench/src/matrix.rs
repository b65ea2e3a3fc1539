//! What is measured: the rows, in the order of the report, with the ratio to stock librbd that each must show.
//!
//! Does not own: how a row is run (`measure`) and shown (`report`).

/// What the ratio of a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Operations per second, the final flush included.
    Iops,
    /// MB (10^6 bytes) per second, the final flush included.
    Bandwidth,
    /// Milliseconds; the ratio is stock's over lsd's, so that more is better in every row.
    Time,
}

impl Figure {
    pub fn unit(self) -> &'static str {
        match self {
            Self::Iops => "IOPS",
            Self::Bandwidth => "MB/s",
            Self::Time => "ms",
        }
    }
}

/// How fio reaches the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// fio's rbd engine, which loads librbd.so.1.
    Librbd,
    /// fio's nbd engine, one connection: `lsd-nbd serve`, or `qemu-nbd` over stock librbd.
    Nbd,
}

/// The state of the image before the first round. Every row has images of its own, so rows do not depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Written once, sequentially.
    Filled,
    /// Filled, half of it overwritten at random in pieces of 4 KiB, and for lsd one `lsd gc`.
    Scattered,
}

/// Which latency the 99th percentile of a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// From submission to completion of reads and writes.
    Operation,
    /// Of fsync: where each write is followed by one, it is what the caller waits for.
    Sync,
}

/// One fio job; the same for both sides.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub face: Face,
    pub arguments: &'static [&'static str],
    /// Bytes moved in a round, as a share of the image.
    pub share: f64,
    /// So many images of `1 / images` of the size, and a job for each.
    pub images: u32,
    pub before: Before,
    pub latency: Latency,
    /// Stock's image has the journaling feature.
    pub journaling: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Work {
    Fio(Job),
    /// `rbd_open` of a sparse image that is `SPARSE_FACTOR` times larger than what is written to it.
    Open,
    /// The median of many snapshots, rollbacks or differences with 1 MiB written in between; in a filled image, or, `sparse`, in one
    /// that is `SNAP_FACTOR` times larger than what is written to it.
    Snap {
        act: SnapAct,
        sparse: bool,
    },
}

/// What is done with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapAct {
    Create,
    Rollback,
    /// Of two snapshots.
    Diff,
    Remove,
    /// A clone of a snapshot is made.
    Clone,
}

impl SnapAct {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rollback => "rollback",
            Self::Diff => "diff",
            Self::Remove => "remove",
            Self::Clone => "clone",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub id: &'static str,
    pub name: &'static str,
    pub figure: Figure,
    pub work: Work,
    /// The ratio to stock that the row must show.
    pub at_least: f64,
    pub aim: Option<f64>,
    /// At most so many OSD write operations per write of the client.
    pub most_osd_writes: Option<f64>,
    /// At most this share of stock's OSD CPU seconds per GiB.
    pub most_osd_cpu: Option<f64>,
    /// Only with `--long`.
    pub long: bool,
}

/// 1 GiB written to an image of 16 TiB.
pub const SPARSE_FACTOR: u64 = 16384;
/// 1 GiB written to an image of 1 TiB.
pub const SNAP_FACTOR: u64 = 1024;

const RAND_4K: &[&str] = &["--rw=randwrite", "--bs=4k", "--iodepth=32", "--end_fsync=1"];
const SYNC_4K: &[&str] = &["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1"];
pub const SEQ_WRITE: &[&str] = &["--rw=write", "--bs=1m", "--iodepth=16", "--end_fsync=1"];
const RAND_READ: &[&str] = &["--rw=randread", "--bs=4k", "--iodepth=32"];
const SEQ_READ: &[&str] = &["--rw=read", "--bs=1m", "--iodepth=16"];

const fn job(arguments: &'static [&'static str], share: f64) -> Job {
    Job {
        face: Face::Librbd,
        arguments,
        share,
        images: 1,
        before: Before::Filled,
        latency: Latency::Operation,
        journaling: false,
    }
}

const fn nbd(arguments: &'static [&'static str], share: f64) -> Job {
    Job { face: Face::Nbd, ..job(arguments, share) }
}

const fn synced(arguments: &'static [&'static str], share: f64, images: u32) -> Job {
    Job { latency: Latency::Sync, images, ..job(arguments, share) }
}

const fn journaled(like: Job) -> Job {
    Job { journaling: true, ..like }
}

const fn row(id: &'static str, name: &'static str, figure: Figure, at_least: f64, job: Job) -> Row {
    Row {
        id,
        name,
        figure,
        work: Work::Fio(job),
        at_least,
        aim: None,
        most_osd_writes: None,
        most_osd_cpu: None,
        long: false,
    }
}

const fn snap(id: &'static str, name: &'static str, act: SnapAct, sparse: bool) -> Row {
    Row { work: Work::Snap { act, sparse }, ..row(id, name, Time, 1.0, job(&[], 0.0)) }
}

const fn aiming(aim: f64, row: Row) -> Row {
    Row { aim: Some(aim), ..row }
}

const fn long(row: Row) -> Row {
    Row { long: true, ..row }
}

use Figure::{Bandwidth, Iops, Time};

/// Every row. A cold read is one of a new process; the OSD's cache is as warm for both sides.
pub const ROWS: &[Row] = &[
    Row {
        most_osd_writes: Some(0.01),
        most_osd_cpu: Some(0.2),
        ..aiming(20.0, row("rand4k", "4 KiB random write, QD32, end_fsync", Iops, 10.0, job(RAND_4K, 0.5)))
    },
    row(
        "rand16k",
        "16 KiB random write, QD32, end_fsync",
        Iops,
        5.0,
        job(&["--rw=randwrite", "--bs=16k", "--iodepth=32", "--end_fsync=1"], 0.5),
    ),
    row(
        "rand64k",
        "64 KiB random write, QD32, end_fsync",
        Bandwidth,
        1.5,
        job(&["--rw=randwrite", "--bs=64k", "--iodepth=32", "--end_fsync=1"], 1.0),
    ),
    row("sync4k", "4 KiB random write, QD1, fsync each", Iops, 1.0, synced(SYNC_4K, 0.008, 1)),
    row("sync4k-16", "the same from 16 jobs on 16 images", Iops, 1.5, synced(SYNC_4K, 0.03, 16)),
    row(
        "fsync8",
        "4 KiB random write, QD32, fsync every 8",
        Iops,
        3.0,
        synced(&["--rw=randwrite", "--bs=4k", "--iodepth=32", "--fsync=8"], 0.06, 1),
    ),
    row("seqwrite", "1 MiB sequential write, QD16, end_fsync", Bandwidth, 1.0, job(SEQ_WRITE, 1.0)),
    row(
        "randread-qd1",
        "4 KiB random read, QD1, cold",
        Iops,
        1.0,
        job(&["--rw=randread", "--bs=4k", "--iodepth=1"], 0.05),
    ),
    row("randread", "4 KiB random read, QD32, cold", Iops, 1.1, job(RAND_READ, 0.25)),
    aiming(1.3, row("seqread", "1 MiB sequential read, QD16, after seq. write", Bandwidth, 1.0, job(SEQ_READ, 1.0))),
    aiming(
        1.0,
        row(
            "seqread-gc",
            "the same after random write and gc",
            Bandwidth,
            0.8,
            Job { before: Before::Scattered, ..job(SEQ_READ, 1.0) },
        ),
    ),
    // fio keeps the two directions at 70 to 30, so the ratio of the sum is the ratio of each.
    aiming(
        4.0,
        row(
            "mixed",
            "4 KiB random, 70 % read, QD32",
            Iops,
            1.5,
            job(&["--rw=randrw", "--rwmixread=70", "--bs=4k", "--iodepth=32", "--end_fsync=1"], 0.25),
        ),
    ),
    row("nbd-rand4k", "NBD: 4 KiB random write, QD32, end_fsync", Iops, 5.0, nbd(RAND_4K, 0.5)),
    row("nbd-randread", "NBD: 4 KiB random read, QD32, cold", Iops, 1.0, nbd(RAND_READ, 0.25)),
    row("nbd-seqwrite", "NBD: 1 MiB sequential write, QD16", Bandwidth, 1.0, nbd(SEQ_WRITE, 1.0)),
    row("nbd-seqread", "NBD: 1 MiB sequential read, QD16", Bandwidth, 1.0, nbd(SEQ_READ, 1.0)),
    snap("snap-create", "snapshot, 1 MiB written since the last, 1 GiB", SnapAct::Create, false),
    snap("snap-create-1t", "the same, 1 TiB", SnapAct::Create, true),
    snap("snap-rollback", "rollback by 1 MiB, 1 GiB", SnapAct::Rollback, false),
    snap("snap-rollback-1t", "the same, 1 TiB", SnapAct::Rollback, true),
    snap("snap-diff", "difference of two snapshots by 1 MiB, 1 GiB", SnapAct::Diff, false),
    snap("snap-diff-1t", "the same, 1 TiB", SnapAct::Diff, true),
    snap("snap-remove", "removal of a snapshot, 1 GiB", SnapAct::Remove, false),
    snap("snap-remove-1t", "the same, 1 TiB", SnapAct::Remove, true),
    snap("clone", "clone of a snapshot, 1 GiB", SnapAct::Clone, false),
    snap("clone-1t", "the same, 1 TiB", SnapAct::Clone, true),
    Row { work: Work::Open, ..row("open", "open of a large sparse image", Time, 1.0, job(&[], 0.0)) },
    long(aiming(6.0, row("overwrite", "4 KiB random overwrite, 10 x the image", Iops, 3.0, job(RAND_4K, 10.0)))),
    long(row("journal-rand4k", "journaling: 4 KiB random write, QD32", Iops, 12.0, journaled(job(RAND_4K, 0.5)))),
    long(row("journal-seqwrite", "journaling: 1 MiB sequential write", Bandwidth, 2.5, journaled(job(SEQ_WRITE, 1.0)))),
    long(row("journal-sync4k", "journaling: 4 KiB, fsync each", Iops, 2.0, journaled(synced(SYNC_4K, 0.008, 1)))),
];

/// What fills an image before its first round.
pub const FILL: Job = job(SEQ_WRITE, 1.0);
/// What scatters it.
pub const SCATTER: Job = job(RAND_4K, 0.5);
/// What is written to a sparse image that is `factor` times larger.
pub const fn sparse_fill(factor: u64) -> Job {
    job(&["--rw=randwrite", "--bs=64k", "--iodepth=16", "--norandommap", "--end_fsync=1"], 1.0 / factor as f64)
}

/// The rows with these ids, or all that belong to a run of this length.
pub fn select(ids: &[String], long: bool) -> anyhow::Result<Vec<&'static Row>> {
    if let Some(unknown) = ids.iter().find(|id| ROWS.iter().all(|row| row.id != **id)) {
        let known: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
        anyhow::bail!("no row {unknown}; the rows are {}", known.join(", "));
    }
    let wanted = |row: &&Row| if ids.is_empty() { long || !row.long } else { ids.iter().any(|id| id == row.id) };
    Ok(ROWS.iter().filter(wanted).collect())
}
