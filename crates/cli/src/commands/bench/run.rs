//! Keeps a number of requests in flight and counts them.
use super::report::Report;
use super::{IoType, Pattern, Workload};
use crate::error::{Failure, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lsd_engine::{Error, Image};
use rand::Rng;

/// One measurement of an image.
pub struct Run<'a> {
    image: &'a Image,
    workload: Workload,
    /// Where each of the requests in flight goes next (patterns that go forward).
    next: Vec<u64>,
    full_next: u64,
    data: Bytes,
}

/// A request that is done.
struct Done {
    slot: usize,
    is_read: bool,
    result: std::result::Result<(), Error>,
}

impl<'a> Run<'a> {
    /// The image is at least one request long.
    pub fn new(image: &'a Image, workload: Workload) -> Self {
        let io_size = workload.io_size;
        let places = image.size() / io_size;
        let threads = workload.io_threads;
        let next = (0..threads).map(|slot| places * slot / threads * io_size).collect();
        // Never zero: zeroes are what copies and sparse writes leave out.
        let data = vec![rand::rng().random_range(1..=u8::MAX); io_size as usize];
        Self { image, workload, next, full_next: 0, data: data.into() }
    }

    pub async fn run(mut self) -> Result<()> {
        let failed = |error: Error| Failure::engine("bench failed", &error);
        let mut report = Report::start(self.workload.io_type);
        let mut pending = FuturesUnordered::new();
        let mut started = 0;
        for slot in 0..self.next.len() {
            if started >= self.workload.total {
                break;
            }
            started += self.workload.io_size;
            pending.push(self.request(slot));
        }
        while let Some(Done { slot, is_read, result }) = pending.next().await {
            result.map_err(failed)?;
            report.count(is_read, self.workload.io_size)?;
            if started < self.workload.total {
                started += self.workload.io_size;
                pending.push(self.request(slot));
            }
        }
        drop(pending);
        if self.workload.io_type != IoType::Read {
            self.image.flush().await.map_err(failed)?;
        }
        report.finish()
    }

    fn request(&mut self, slot: usize) -> impl Future<Output = Done> + use<'a> {
        let offset = self.offset(slot);
        let is_read = match self.workload.io_type {
            IoType::Read => true,
            IoType::Write => false,
            IoType::Mixed => rand::rng().random_range(0..100) < self.workload.read_percent,
        };
        let (image, len, data) = (self.image, self.workload.io_size, self.data.clone());
        async move {
            let result = match is_read {
                true => image.read(offset, len).await.map(|_| ()),
                false => image.write(offset, data, false).await,
            };
            Done { slot, is_read, result }
        }
    }

    fn offset(&mut self, slot: usize) -> u64 {
        let io_size = self.workload.io_size;
        let places = self.image.size() / io_size;
        let next = match self.workload.pattern {
            Pattern::Random => return rand::rng().random_range(0..places) * io_size,
            Pattern::Sequential => &mut self.next[slot],
            Pattern::FullSequential => &mut self.full_next,
        };
        let offset = *next;
        *next = if offset + 2 * io_size > places * io_size { 0 } else { offset + io_size };
        offset
    }
}
