//! `lsd bench`.
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE};
use crate::command::parsed::invalid_value;
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result, describe_errno};
use crate::output::{print, size, warn_named};
use crate::session::Session;
use crate::spec::Strictness;
use lsd_engine::Image;
use nix::libc;
use run::Run;

mod report;
mod run;

const TUNING: &[OptionSpec] = &[
    OptionSpec::value("io-size", "IO size (in B/K/M/G/T) [default: 4K]"),
    OptionSpec::value("io-threads", "ios in flight [default: 16]"),
    OptionSpec::value("io-total", "total size for IO (in B/K/M/G/T) [default: 1G]"),
    OptionSpec::value("io-pattern", "IO pattern (rand, seq, or full-seq) [default: seq]"),
    OptionSpec::value("rw-mix-read", "read proportion in readwrite (<= 100) [default: 50]"),
];

pub const BENCH: CommandSpec = CommandSpec {
    words: &["bench"],
    alias: &[],
    summary: "Simple benchmark.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        TUNING,
        &[OptionSpec::value("io-type", "IO type (read, write, or readwrite(rw))").required()],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed, None)),
};

pub const BENCH_WRITE: CommandSpec = CommandSpec {
    words: &["bench-write"],
    alias: &[],
    summary: "Simple write benchmark. (Deprecated, please use `lsd bench` instead.)",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, TUNING],
    run: |session, parsed| Box::pin(execute(session, parsed, Some(IoType::Write))),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoType {
    Read,
    Write,
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Random,
    /// Each of the requests in flight has its own region, in which it goes forward.
    Sequential,
    /// All go forward together through the whole image.
    FullSequential,
}

/// What is measured. Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub io_type: IoType,
    pub io_size: u64,
    pub io_threads: u64,
    pub total: u64,
    pub pattern: Pattern,
    /// Percentage of reads in a mixed workload.
    pub read_percent: u64,
}

impl Workload {
    fn of(parsed: &Parsed, fixed_type: Option<IoType>) -> Result<Self> {
        let number = |text: &str| text.parse::<u64>().ok();
        let io_type = parsed.get_with("io-type", |text| match text {
            "read" => Some(IoType::Read),
            "write" => Some(IoType::Write),
            "readwrite" | "rw" => Some(IoType::Mixed),
            _ => None,
        })?;
        let pattern = parsed.get_with("io-pattern", |text| match text {
            "rand" => Some(Pattern::Random),
            "seq" => Some(Pattern::Sequential),
            "full-seq" => Some(Pattern::FullSequential),
            _ => None,
        })?;
        let workload = Self {
            io_type: IoType::Write,
            io_size: parsed.get_with("io-size", size::parse_bytes)?.unwrap_or(4096),
            io_threads: parsed.get_with("io-threads", number)?.unwrap_or(16),
            total: parsed.get_with("io-total", size::parse_bytes)?.unwrap_or(1 << 30),
            pattern: pattern.unwrap_or(Pattern::Sequential),
            read_percent: parsed.get_with("rw-mix-read", number)?.unwrap_or(50),
        };
        if workload.io_size == 0 {
            return Err(invalid_value("io-size"));
        }
        let Some(io_type) = fixed_type.or(io_type) else {
            return Err(Failure::invalid("--io-type must be specified."));
        };
        Ok(Self { io_type, ..workload })
    }

    /// What rbd checks only once it knows the image.
    fn check(&self, image_size: u64) -> Result<()> {
        if self.io_size > image_size {
            let (io, image) = (size::format(self.io_size), size::format(image_size));
            warn_named(&format!("io-size {io} larger than image size {image}"));
            return Err(Failure::bare(libc::EINVAL, format!("bench failed: {}", describe_errno(libc::EINVAL))));
        }
        if self.io_size > u64::from(u32::MAX) {
            return Err(Failure::invalid("io-size should be less than 4G"));
        }
        Ok(())
    }

    fn first_line(&self) -> String {
        let io_type = match self.io_type {
            IoType::Read => "read".to_owned(),
            IoType::Write => "write".to_owned(),
            IoType::Mixed => {
                let read = self.read_percent;
                format!("readwrite read:write={read}:{}", 100 - read)
            }
        };
        let pattern = match self.pattern {
            Pattern::Random => "random",
            Pattern::Sequential => "sequential",
            Pattern::FullSequential => "full sequential",
        };
        let Self { io_size, io_threads, total, .. } = self;
        format!("bench  type {io_type} io_size {io_size} io_threads {io_threads} bytes {total} pattern {pattern}\n")
    }
}

async fn execute(session: &Session, parsed: &Parsed, fixed_type: Option<IoType>) -> Result<()> {
    if fixed_type.is_some() {
        warn_named("bench-write is deprecated, use lsd bench --io-type write ...");
    }
    // Only reads can be of a snapshot.
    let only_reads = fixed_type.is_none() && parsed.get("io-type") == Some("read");
    let snap = if only_reads { Snap::Permitted } else { Snap::No };
    let location = image_location(parsed, Role::Only, Strictness::Lenient, snap)?;
    let workload = Workload::of(parsed, fixed_type)?;
    if workload.io_threads == 0 {
        return Err(Failure::invalid("--io-threads should be greater than zero."));
    }
    if workload.read_percent > 100 {
        return Err(Failure::invalid("--rw-mix-read should not be larger than 100."));
    }
    let image = location.open_image(session, location.snap.is_some()).await?;
    let done = measure(&image, workload).await;
    closed(&image, "bench failed", done).await
}

async fn measure(image: &Image, workload: Workload) -> Result<()> {
    workload.check(image.size())?;
    print(&workload.first_line())?;
    let failed = |error: lsd_engine::Error| Failure::engine("bench failed", &error);
    // From here on writes are cached, as for a guest that flushes.
    image.flush().await.map_err(failed)?;
    Run::new(image, workload).run().await
}
