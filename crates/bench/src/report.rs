//! The figures of a run, as they are stored and as they are concluded: medians, ratios, what misses its target.
//!
//! The layout of the JSON is these types. Does not own: the text (`table`) and the picture (`chart`).
use crate::matrix::{Figure, Row, Work};
use crate::osds::Usage;
use crate::sides::Side;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

pub mod chart;
pub mod table;

const GIB: f64 = (1u64 << 30) as f64;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The commit that was measured.
    pub commit: String,
    pub date: String,
    pub setup: Setup,
    /// MB/s of `rados bench`, 4 MiB, queue depth 16; before the rows and after them.
    pub rados_bench: Vec<f64>,
    pub rows: Vec<RowResult>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub rounds: u32,
    pub size_mib: u64,
    /// Number of OSDs; 0 for a cluster that was given.
    pub osds: u32,
    pub ec: bool,
    /// Clients and OSDs shared no processor.
    #[serde(default)]
    pub apart: bool,
    pub lsd_conf: Vec<String>,
    pub cores: usize,
    /// Of the last minute when the run began: a figure from a busy machine should be seen as one.
    pub load: f64,
    pub ceph: String,
    pub fio: String,
}

impl Setup {
    /// The cluster, for people.
    fn cluster(&self) -> String {
        let cluster = match self.osds {
            0 => "a given cluster".to_owned(),
            1 => "1 OSD".to_owned(),
            osds => format!("{osds} OSDs{}", if self.ec { ", erasure-coded data pools" } else { "" }),
        };
        cluster + if self.apart { ", on processors of its own" } else { "" }
    }
}

/// One round of one side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// In the unit of the row.
    pub value: f64,
    pub seconds: f64,
    /// Operations of the client.
    pub writes: f64,
    pub reads: f64,
    /// Read and written by the client.
    pub bytes: f64,
    pub p99_ms: Option<f64>,
    /// Of fio, of the library in it and of NBD servers.
    pub client_cpu_seconds: Option<f64>,
    /// `None` where an OSD is on another machine.
    pub osd: Option<Usage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowResult {
    pub id: String,
    pub name: String,
    pub unit: String,
    pub at_least: f64,
    pub aim: Option<f64>,
    pub stock: Vec<Sample>,
    pub lsd: Vec<Sample>,
    /// Between the medians of both sides; its spread is that of the rounds' own ratios.
    pub ratio: Spread,
    /// What the row misses, in words; empty when it shows all it must.
    pub missed: Vec<String>,
    #[serde(default)]
    most_osd_writes: Option<f64>,
    #[serde(default)]
    most_osd_cpu: Option<f64>,
}

/// What a client's writes and bytes cost. Medians over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Costs {
    pub value: Spread,
    pub p99_ms: Option<f64>,
    pub osd_cpu_per_gib: Option<f64>,
    pub client_cpu_per_gib: Option<f64>,
    pub osd_writes_per_write: Option<f64>,
    pub osd_reads_per_read: Option<f64>,
    /// Bytes on the OSDs' disks for each byte of the client.
    pub disk_bytes_per_byte: Option<f64>,
}

impl Report {
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no report of lsd-bench", path.display()))
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

impl RowResult {
    pub fn new(row: &Row) -> Self {
        let empty = Spread::default();
        debug_assert_eq!(!matches!(row.work, Work::Fio(_)), row.figure == Figure::Time);
        Self {
            id: row.id.into(),
            name: row.name.into(),
            unit: row.figure.unit().into(),
            at_least: row.at_least,
            aim: row.aim,
            stock: Vec::new(),
            lsd: Vec::new(),
            ratio: empty,
            missed: Vec::new(),
            most_osd_writes: row.most_osd_writes,
            most_osd_cpu: row.most_osd_cpu,
        }
    }

    pub fn of(&mut self, side: Side) -> &mut Vec<Sample> {
        match side {
            Side::Stock => &mut self.stock,
            Side::Lsd => &mut self.lsd,
        }
    }

    /// True where a smaller figure is better.
    fn counts_down(&self) -> bool {
        self.unit == Figure::Time.unit()
    }

    /// Takes the ratio from the samples and compares it with what was asked for.
    pub fn conclude(&mut self) {
        let down = self.counts_down();
        let over = move |stock: f64, lsd: f64| if down { stock / lsd } else { lsd / stock };
        let rounds: Vec<f64> = self.stock.iter().zip(&self.lsd).map(|(s, l)| over(s.value, l.value)).collect();
        let (stock, lsd) = (Costs::of(&self.stock), Costs::of(&self.lsd));
        self.ratio = Spread { median: over(stock.value.median, lsd.value.median), ..Spread::of(&rounds) };
        let mut missed = Vec::new();
        if self.ratio.median < self.at_least {
            missed.push(format!("{:.2} of {}", self.ratio.median, self.at_least));
        }
        if stock.p99_ms.zip(lsd.p99_ms).is_some_and(|(stock, lsd)| lsd > stock) {
            missed.push("p99".into());
        }
        if self.most_osd_writes.zip(lsd.osd_writes_per_write).is_some_and(|(most, is)| is > most) {
            missed.push("OSD writes".into());
        }
        let cpu = lsd.osd_cpu_per_gib.zip(stock.osd_cpu_per_gib).map(|(lsd, stock)| lsd / stock);
        if self.most_osd_cpu.zip(cpu).is_some_and(|(most, is)| is > most) {
            missed.push(format!("OSD CPU {:.2} of stock's", cpu.unwrap_or_default()));
        }
        self.missed = missed;
    }

    pub fn costs(&self, side: Side) -> Costs {
        Costs::of(match side {
            Side::Stock => &self.stock,
            Side::Lsd => &self.lsd,
        })
    }
}

impl Costs {
    fn of(samples: &[Sample]) -> Self {
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        let middle = |of: &dyn Fn(&Sample) -> Option<f64>| {
            let known: Vec<f64> = samples.iter().filter_map(of).filter(|value| value.is_finite()).collect();
            (!known.is_empty()).then(|| Spread::of(&known).median)
        };
        Self {
            value: Spread::of(&values),
            p99_ms: middle(&|s| s.p99_ms),
            osd_cpu_per_gib: middle(&|s| s.osd.map(|osd| osd.cpu_seconds / s.bytes * GIB)),
            client_cpu_per_gib: middle(&|s| s.client_cpu_seconds.map(|cpu| cpu / s.bytes * GIB)),
            osd_writes_per_write: middle(&|s| s.osd.map(|osd| osd.writes / s.writes)),
            osd_reads_per_read: middle(&|s| s.osd.map(|osd| osd.reads / s.reads)),
            disk_bytes_per_byte: middle(&|s| s.osd.map(|osd| osd.disk_write_bytes / s.bytes)),
        }
    }
}

impl Spread {
    /// Of nothing: zeros.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else { return Self::default() };
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
        Self { median, min: *min, max: *max }
    }
}

#[cfg(test)]
mod tests;
