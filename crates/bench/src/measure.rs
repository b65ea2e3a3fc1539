//! Runs a row: makes the images of both sides, brings them into their first state, and lets the sides alternate.
use crate::fio::{self, Measured, Target};
use crate::matrix::{
    Before, FILL, Face, Figure, Job, Latency, Row, SCATTER, SNAP_FACTOR, SPARSE_FACTOR, Work, sparse_fill,
};
use crate::osds::{Osds, Usage};
use crate::program::{ended_children_cpu, output};
use crate::report::{RowResult, Sample};
use crate::sides::{Place, SIDES, Side};
use anyhow::{Context, Result};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// No image is smaller, and no round moves less than a MiB.
const LEAST_IMAGE: u64 = 4 * MIB;

pub struct Bench {
    pub place: Place,
    pub osds: Option<Osds>,
    pub rounds: u32,
    pub size: u64,
    /// A pause before each measurement, in which the OSDs finish what was left over from the last.
    pub settle: Duration,
}

/// The images of a row on both sides, removed when dropped.
struct Images<'a> {
    place: &'a Place,
    names: Vec<(Side, String)>,
    /// Bytes of each.
    size: u64,
}

impl<'a> Images<'a> {
    fn create(place: &'a Place, row: &str, count: u32, size: u64, journaling: bool) -> Result<Self> {
        let mut images = Self { place, names: Vec::new(), size };
        for side in SIDES {
            for number in 0..count {
                let name = format!("bench-{}-{row}-{}-{number}", std::process::id(), side.name());
                images.names.push((side, name.clone()));
                place.create(side, &name, size, journaling)?;
            }
        }
        Ok(images)
    }

    fn of(&self, side: Side) -> Vec<String> {
        self.names.iter().filter(|(of, _)| *of == side).map(|(_, name)| name.clone()).collect()
    }
}

impl Drop for Images<'_> {
    fn drop(&mut self) {
        for (side, name) in &self.names {
            if let Err(error) = self.place.remove(*side, name) {
                eprintln!("lsd-bench: {name} stays: {error}");
            }
        }
    }
}

impl Bench {
    pub fn row(&self, row: &Row) -> Result<RowResult> {
        let mut result = RowResult::new(row);
        self.rounds_of(row, &mut result).with_context(|| format!("row {}", row.id))?;
        Ok(result)
    }

    fn rounds_of(&self, row: &Row, result: &mut RowResult) -> Result<()> {
        let images = match &row.work {
            Work::Fio(job) => self.prepared(row.id, job)?,
            Work::Open => self.sparse(row.id, SPARSE_FACTOR)?,
            Work::Snap { sparse: true, .. } => self.sparse(row.id, SNAP_FACTOR)?,
            Work::Snap { .. } => self.prepared(row.id, &FILL)?,
        };
        for round in 0..self.rounds {
            // Who is second finds the OSDs warmer, so they take turns in that too.
            let order = if round % 2 == 0 { SIDES } else { [Side::Lsd, Side::Stock] };
            for side in order {
                std::thread::sleep(self.settle);
                let sample = match &row.work {
                    Work::Fio(job) => self.sample(row.figure, job, side, &images)?,
                    Work::Snap { act, .. } => {
                        let value = self.place.snap_ms(side, &images.of(side)[0], *act)?;
                        Sample { value, ..Sample::default() }
                    }
                    Work::Open => Sample { value: self.place.open_ms(side, &images.of(side)[0])?, ..Sample::default() },
                };
                result.of(side).push(sample);
            }
        }
        result.conclude();
        Ok(())
    }

    fn prepared(&self, row: &str, job: &Job) -> Result<Images<'_>> {
        let size = (self.size / u64::from(job.images)).next_multiple_of(MIB).max(LEAST_IMAGE);
        let images = Images::create(&self.place, row, job.images, size, job.journaling)?;
        for side in SIDES {
            self.fio(&FILL, side, &images, None)?;
            if job.before == Before::Scattered {
                self.fio(&SCATTER, side, &images, None)?;
                for image in images.of(side) {
                    self.place.collect_garbage(side, &image)?;
                }
            }
        }
        Ok(images)
    }

    fn sparse(&self, row: &str, factor: u64) -> Result<Images<'_>> {
        let images = Images::create(&self.place, row, 1, self.size * factor, false)?;
        for side in SIDES {
            self.fio(&sparse_fill(factor), side, &images, None)?;
        }
        Ok(images)
    }

    /// One round of one side, with what it cost. The cost includes opening and closing the image, and the NBD server.
    fn sample(&self, figure: Figure, job: &Job, side: Side, images: &Images) -> Result<Sample> {
        let before = self.osd_usage()?;
        let cpu = ended_children_cpu()?;
        let measured = match job.face {
            Face::Librbd => self.fio(job, side, images, None)?,
            Face::Nbd => {
                let server = self.place.serve(side, &images.of(side)[0])?;
                let measured = self.fio(job, side, images, Some(server.socket.display().to_string()))?;
                server.stop()?;
                measured
            }
        };
        let client_cpu = ended_children_cpu()? - cpu;
        let osd = self.osd_usage()?.zip(before).map(|(after, before)| after.since(before));
        let bytes = measured.read_bytes + measured.write_bytes;
        let value = match figure {
            Figure::Iops => (measured.reads + measured.writes) / measured.seconds,
            Figure::Bandwidth | Figure::Time => bytes / measured.seconds / 1e6,
        };
        let latencies = match job.latency {
            Latency::Operation => &measured.operations,
            Latency::Sync => &measured.syncs,
        };
        Ok(Sample {
            value,
            seconds: measured.seconds,
            writes: measured.writes,
            reads: measured.reads,
            bytes,
            p99_ms: latencies.p99_ms(),
            client_cpu_seconds: Some(client_cpu),
            osd,
        })
    }

    fn fio(&self, job: &Job, side: Side, images: &Images, socket: Option<String>) -> Result<Measured> {
        let target = match socket {
            Some(socket) => Target::Nbd { socket },
            None => Target::Librbd { pool: self.place.pool.clone(), images: images.of(side) },
        };
        let io_size = ((images.size as f64 * job.share) as u64).next_multiple_of(MIB).max(MIB);
        let arguments = fio::arguments(&target, images.size, io_size, job.arguments);
        let mut program = self.place.client(side, "fio");
        fio::parse(&output(program.current_dir(&self.place.scratch).args(arguments))?)
    }

    fn osd_usage(&self) -> Result<Option<Usage>> {
        self.osds.as_ref().map(Osds::usage).transpose()
    }

    /// MB/s that `rados bench` writes in objects of 4 MiB at queue depth 16: what the cluster can do.
    pub fn rados_bench(&self, seconds: u32) -> Result<f64> {
        let objects = (self.size * 4 / (4 * MIB)).max(16).to_string();
        let pool = self.place.data_pools.as_ref().map_or(&self.place.pool, |pools| &pools[1]);
        let mut program = self.place.client(Side::Stock, "rados");
        program.args(["-p", pool, "bench", &seconds.to_string(), "write", "-b", "4194304", "-t", "16"]);
        let text = output(program.args(["--max-objects", &objects]))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Bandwidth (MB/sec):"));
        // It counts in MiB.
        let figure: f64 = line.with_context(|| format!("rados bench said no bandwidth: {text}"))?.trim().parse()?;
        Ok(figure * MIB as f64 / 1e6)
    }
}
