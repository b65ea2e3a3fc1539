//! How fast the store is on a cluster, to compare with `rados bench`: 4 KiB reads at depth 32 and appends of 1 MiB at
//! depth 4 to objects of 8 MiB.
//!
//! `cargo run --release -p lsd-rados --example speed -- CEPH_CONF [POOL [SECONDS]]`
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lsd_rados::{Cluster, ConnectOptions, RadosStore};
use lsd_store::{Append, ObjectName, ObjectStore};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const OBJECT_BYTES: u64 = 8 << 20;
const APPEND_BYTES: u64 = 1 << 20;
const APPENDS_IN_FLIGHT: usize = 4;
const READ_BYTES: u64 = 4096;
const READS_IN_FLIGHT: usize = 32;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let conf = arguments.next().ok_or("usage: speed CEPH_CONF [POOL [SECONDS]]")?;
    let pool = arguments.next().unwrap_or_else(|| "rbd".to_owned());
    let time = Duration::from_secs(arguments.next().map_or(Ok(5), |text| text.parse())?);
    let options = ConnectOptions { conf_file: Some(conf.into()), ..ConnectOptions::default() };
    let store = RadosStore::new(Cluster::connect(&options)?.open_pool(&pool)?, Handle::current())?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let mut names = appends(&store, 1, time).await?;
    names.extend(appends(&store, APPENDS_IN_FLIGHT, time).await?);
    reads(&store, &names, time).await?;
    for name in names {
        store.remove(&name).await?;
    }
    Ok(())
}

/// Appends to `width` objects at a time, `APPENDS_IN_FLIGHT` in all.
async fn appends(store: &Arc<dyn ObjectStore>, width: usize, time: Duration) -> Outcome<Vec<ObjectName>> {
    let piece = Bytes::from(vec![0x5A; APPEND_BYTES as usize]);
    let mut names = Vec::new();
    let mut open = vec![(ObjectName::from(""), OBJECT_BYTES); width];
    let mut flights = FuturesUnordered::new();
    let start = Instant::now();
    let (mut begun, mut done) = (0usize, 0u64);
    while start.elapsed() < time {
        while flights.len() < APPENDS_IN_FLIGHT {
            let (name, at) = &mut open[begun % width];
            if *at == OBJECT_BYTES {
                *name = ObjectName(format!("speed.{}.{width}.{}", std::process::id(), names.len()));
                *at = 0;
                names.push(name.clone());
            }
            flights.push(
                store.append(
                    name,
                    Append { epoch: 1, at: *at, data: vec![piece.clone()], summary_len: 0, urgent: false },
                ),
            );
            *at += APPEND_BYTES;
            begun += 1;
        }
        flights.next().await.transpose()?;
        done += APPEND_BYTES;
    }
    let seconds = start.elapsed().as_secs_f64();
    while flights.next().await.transpose()?.is_some() {}
    let rate = done as f64 / 1e6 / seconds;
    println!("append 1 MiB x {APPENDS_IN_FLIGHT} over {width} objects: {rate:.0} MB/s");
    Ok(names)
}

async fn reads(store: &Arc<dyn ObjectStore>, names: &[ObjectName], time: Duration) -> Outcome<()> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut flights = FuturesUnordered::new();
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        while flights.len() < READS_IN_FLIGHT {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = state >> 33;
            let name = &names[(place % names.len() as u64) as usize];
            let offset = place / 64 % (OBJECT_BYTES / READ_BYTES) * READ_BYTES;
            let (read, begun) = (store.read(name, offset, READ_BYTES), Instant::now());
            flights.push(async move { read.await.map(|data| (data.len(), begun.elapsed())) });
        }
        if let Some((_, latency)) = flights.next().await.transpose()? {
            latencies.push(latency);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
    let rate = latencies.len() as f64 / seconds;
    println!("read 4 KiB x {READS_IN_FLIGHT}: {rate:.0} IOPS, median {:?}, 99 % {:?}", at(50), at(99));
    Ok(())
}
