//! fio: its command line, and what its report says.
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where a job's data is.
pub enum Target {
    /// One job for each image.
    Librbd { pool: String, images: Vec<String> },
    /// A socket that an NBD server listens at; its only export is called "".
    Nbd { socket: String },
}

/// What one run of fio measured, all its jobs together.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Of the longest job, with its final flush.
    pub seconds: f64,
    pub reads: f64,
    pub read_bytes: f64,
    pub writes: f64,
    pub write_bytes: f64,
    pub operations: Histogram,
    pub syncs: Histogram,
}

/// Counts by latency in nanoseconds, in fio's classes (1.6 % wide).
#[derive(Clone, Debug, Default)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    fn add(&mut self, latency: &Value) {
        for (nanoseconds, count) in latency["bins"].as_object().into_iter().flatten() {
            if let (Ok(at), Some(count)) = (nanoseconds.parse(), count.as_u64()) {
                *self.0.entry(at).or_default() += count;
            }
        }
    }

    /// Milliseconds; `None` if nothing was counted.
    pub fn p99_ms(&self) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let mut seen = 0;
        let at = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen * 100 >= total * 99
        });
        at.map(|(nanoseconds, _)| *nanoseconds as f64 / 1e6)
    }
}

/// The arguments of a run. `size` and `io_size` are bytes of each job.
pub fn arguments(target: &Target, size: u64, io_size: u64, job: &[&str]) -> Vec<String> {
    let common = |args: &mut Vec<String>| {
        args.extend([format!("--size={size}"), format!("--io_size={io_size}")]);
        args.extend(job.iter().map(|word| (*word).to_owned()));
    };
    let mut args = vec!["--output-format=json+".to_owned()];
    match target {
        Target::Librbd { pool, images } => {
            for image in images {
                args.extend([format!("--name={image}"), "--ioengine=rbd".into(), "--clientname=admin".into()]);
                args.extend([format!("--pool={pool}"), format!("--rbdname={image}")]);
                common(&mut args);
            }
        }
        Target::Nbd { socket } => {
            args.extend(["--name=nbd".into(), "--ioengine=nbd".into(), format!("--uri=nbd+unix:///?socket={socket}")]);
            common(&mut args);
        }
    }
    args
}

/// Reads the report. What libraries print before it is skipped.
pub fn parse(text: &str) -> Result<Measured> {
    let begin = text.find("\n{").map(|at| at + 1).or_else(|| text.starts_with('{').then_some(0));
    let json = &text[begin.with_context(|| format!("fio printed no JSON: {text}"))?..];
    let report: Value =
        serde_json::Deserializer::from_str(json).into_iter().next().context("fio printed nothing")??;
    let mut sum = Measured::default();
    for job in report["jobs"].as_array().context("fio's report has no jobs")? {
        if job["error"].as_i64() != Some(0) {
            bail!("fio's job {} failed with error {}", job["jobname"], job["error"]);
        }
        let number = |side: &str, name: &str| {
            job[side][name].as_f64().with_context(|| format!("fio's report has no {side}.{name}"))
        };
        sum.reads += number("read", "total_ios")?;
        sum.read_bytes += number("read", "io_bytes")?;
        sum.writes += number("write", "total_ios")?;
        sum.write_bytes += number("write", "io_bytes")?;
        sum.operations.add(&job["read"]["clat_ns"]);
        sum.operations.add(&job["write"]["clat_ns"]);
        sum.syncs.add(&job["sync"]["lat_ns"]);
        let runtime = job["job_runtime"].as_f64().context("fio's report has no job_runtime")?;
        sum.seconds = sum.seconds.max(runtime / 1000.0);
    }
    if sum.reads + sum.writes == 0.0 || sum.seconds == 0.0 {
        bail!("fio did nothing: {text}");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
