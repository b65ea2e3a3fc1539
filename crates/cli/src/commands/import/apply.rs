//! Doing to an image what a difference says.
//!
//! Owns: the order in which it is done, and what was done where it cannot go on. Does not own: the file (`steps.rs`).
use super::steps::{Begin, Step, Steps};
use crate::commands::transfer::{CHUNK_BYTES, data_runs};
use crate::error::{Failure, Result, describe_errno};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt, try_join_all};
use futures::stream::FuturesOrdered;
use lsd_engine::{Error, Image};
use nix::libc;

/// Requests under way, however small they are.
const REQUESTS_MAX: usize = 1024;

/// How it is done.
#[derive(Clone, Copy, Debug)]
pub struct Apply<'a> {
    pub image: &'a Image,
    /// Zeroes at least so long are no data, bytes.
    pub granule: usize,
    /// Requests under way, if they are large.
    pub in_flight: usize,
    /// The image has nothing yet: zeroes need not be written.
    pub is_blank: bool,
}

/// Why a difference could not be applied to its end.
#[derive(Debug)]
pub struct Broken {
    /// A line of its own, as rbd has it; none where the image refused.
    pub line: Option<Failure>,
    pub errno: i32,
    /// `(22) Invalid argument`, and what is known beyond it.
    pub reason: String,
    /// The image has another size than before, or what the file says of it up to there: bytes.
    pub changed: Option<u64>,
}

impl Broken {
    pub fn report(&self) {
        if let Some(line) = &self.line {
            crate::report(line);
        }
    }
}

impl From<Failure> for Broken {
    fn from(line: Failure) -> Self {
        Self { errno: line.code, reason: describe_errno(line.code), line: Some(line), changed: None }
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        let failure = Failure::engine("", &error);
        let reason = failure.message.trim_start_matches(": ").to_owned();
        Self { errno: failure.code, reason, line: None, changed: None }
    }
}

type Done<T> = std::result::Result<T, Broken>;

impl Apply<'_> {
    /// One difference. Its snapshot is made when everything before it is durable. `progress`: bytes of the file, and of the image.
    pub async fn run(self, steps: &mut Steps, progress: &(dyn Fn(u64, u64) + Sync)) -> Done<()> {
        let Step::Begin(begin) = next(steps, progress).await? else {
            return Err(Failure::invalid("a diff does not begin").into());
        };
        self.check(&begin).await?;
        let before = self.image.size();
        if let Some(size) = begin.size.filter(|size| *size != before) {
            self.image.resize(size, true, &|_, _| Ok(())).await?;
        }
        let mut applied = 0;
        let content = self.content(steps, progress, &mut applied).await;
        let finished = match content {
            Ok(()) => self.finish(&begin).await,
            Err(broken) => Err(broken),
        };
        finished.map_err(|broken| {
            let has_changed = applied > 0 || self.image.size() != before;
            Broken { changed: has_changed.then_some(applied), ..broken }
        })
    }

    async fn check(self, begin: &Begin) -> Done<()> {
        let snapshots = self.image.snapshots().list().await?;
        let is_there = |name: &str| snapshots.iter().any(|snapshot| snapshot.name == name);
        if let Some(from) = begin.from.as_ref().filter(|from| !is_there(from)) {
            let line = format!("start snapshot '{from}' does not exist in the image, aborting");
            return Err(Failure::bare(libc::EINVAL, line).into());
        }
        if let Some(to) = begin.to.as_ref().filter(|to| is_there(to)) {
            let line = format!("end snapshot '{to}' already exists, aborting");
            return Err(Failure::bare(libc::EEXIST, line).into());
        }
        Ok(())
    }

    /// `applied`: up to which byte of the image everything is done. What is under way is awaited, also where it fails.
    async fn content(self, steps: &mut Steps, progress: &(dyn Fn(u64, u64) + Sync), applied: &mut u64) -> Done<()> {
        let mut under_way = UnderWay::default();
        let read = self.start_all(steps, progress, &mut under_way).await;
        let drained = under_way.drain(0, 0).await;
        *applied = under_way.applied;
        read.and(drained.map_err(Broken::from))
    }

    async fn start_all<'a>(
        &'a self,
        steps: &mut Steps,
        progress: &(dyn Fn(u64, u64) + Sync),
        under_way: &mut UnderWay<'a>,
    ) -> Done<()> {
        // From the first flush on a write need not be durable when it is acknowledged.
        self.image.flush().await?;
        let mut end = 0;
        loop {
            let step = next(steps, progress).await?;
            let (offset, len, bytes) = match &step {
                Step::Data { offset, data } => (*offset, data.len() as u64, data.len() as u64),
                Step::Zero { offset, len } => (*offset, *len, 0),
                Step::End => return Ok(()),
                Step::Begin(_) => return Err(Failure::invalid("a diff begins within another").into()),
            };
            self.check_range(&step)?;
            // What stands later in the file counts, so it waits for what it may overlap.
            match offset < end {
                true => under_way.drain(0, 0).await?,
                false => under_way.drain(REQUESTS_MAX, self.in_flight as u64 * CHUNK_BYTES).await?,
            }
            end = offset.saturating_add(len);
            under_way.start(self.apply(step).boxed(), bytes, end);
        }
    }

    fn check_range(self, step: &Step) -> Result<()> {
        let size = self.image.size();
        match step {
            Step::Data { offset, data } if offset + data.len() as u64 > size => {
                Err(Failure::invalid(format!("a write of {} bytes at {offset} is beyond the image's end", data.len())))
            }
            _ => Ok(()),
        }
    }

    async fn apply(&self, step: Step) -> lsd_engine::Result<()> {
        match step {
            Step::Data { offset, data } => self.write(offset, data).await,
            Step::Zero { offset, len } => self.zero(offset, len).await,
            Step::Begin(_) | Step::End => Ok(()),
        }
    }

    async fn write(self, offset: u64, data: Bytes) -> lsd_engine::Result<()> {
        let runs = data_runs(&data, self.granule);
        let starts = std::iter::once(0).chain(runs.iter().map(|run| run.end));
        let ends = runs.iter().map(|run| run.start).chain([data.len()]);
        let gaps = starts.zip(ends).filter(|(start, end)| start < end);
        let zeroes = gaps.map(|(start, end)| self.zero(offset + start as u64, (end - start) as u64));
        let writes = runs.iter().map(|run| self.image.write(offset + run.start as u64, data.slice(run.clone()), false));
        try_join_all(writes).await?;
        try_join_all(zeroes).await?;
        Ok(())
    }

    /// What is beyond the image's end is nothing already.
    async fn zero(self, offset: u64, len: u64) -> lsd_engine::Result<()> {
        let len = len.min(self.image.size().saturating_sub(offset));
        if self.is_blank || len == 0 {
            return Ok(());
        }
        self.image.write_zeroes(offset, len, false, false).await
    }

    async fn finish(self, begin: &Begin) -> Done<()> {
        self.image.flush().await?;
        let Some(to) = begin.to.as_ref().filter(|to| !to.is_empty()) else { return Ok(()) };
        self.image.snapshots().create(to).await?;
        if begin.is_protected {
            self.image.snapshots().protect(to).await?;
        }
        Ok(())
    }
}

async fn next(steps: &mut Steps, progress: &(dyn Fn(u64, u64) + Sync)) -> Done<Step> {
    let (step, at) = match steps.recv().await {
        Some(taken) => taken?,
        None => return Err(Failure::new(libc::EIO, "the reading thread stopped").into()),
    };
    let offset = match &step {
        Step::Data { offset, .. } | Step::Zero { offset, .. } => *offset,
        Step::Begin(_) | Step::End => 0,
    };
    progress(at, offset);
    Ok(step)
}

/// Requests in the order of the file.
#[derive(Default)]
struct UnderWay<'a> {
    requests: FuturesOrdered<BoxFuture<'a, (lsd_engine::Result<()>, u64, u64)>>,
    /// Of their data.
    bytes: u64,
    /// Up to which byte of the image everything is done.
    applied: u64,
}

impl<'a> UnderWay<'a> {
    fn start(&mut self, request: BoxFuture<'a, lsd_engine::Result<()>>, bytes: u64, end: u64) {
        self.bytes += bytes;
        self.requests.push_back(request.map(move |done| (done, bytes, end)).boxed());
    }

    /// Waits until there are at most so many, with at most so much data; the first error counts, when all the others are done.
    async fn drain(&mut self, count: usize, bytes: u64) -> lsd_engine::Result<()> {
        while self.requests.len() > count || self.bytes > bytes {
            let Some((done, bytes, end)) = self.requests.next().await else { break };
            self.bytes -= bytes;
            if let Err(error) = done {
                while self.requests.next().await.is_some() {}
                self.bytes = 0;
                return Err(error);
            }
            self.applied = end;
        }
        Ok(())
    }
}
