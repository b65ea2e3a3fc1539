//! A pool that is full now and then.
use crate::verdict::judge::Judge;
use crate::world::net::Net;
use lsd_store::PoolId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// Fills the pool up now and then.
pub async fn full_pools(net: Arc<Net>, judge: Arc<Judge>, pool: PoolId, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    if random.random_bool(0.6) {
        return;
    }
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(1_000..60_000))).await;
        net.note(usize::MAX, "full", &format!("pool {}", pool.0), "");
        net.count(|coverage| coverage.full_pools += 1);
        judge.set_full(true);
        net.cluster.set_full(pool, true);
        tokio::time::sleep(Duration::from_millis(random.random_range(100..6_000))).await;
        net.cluster.set_full(pool, false);
        judge.set_full(false);
        net.note(usize::MAX, "room", &format!("pool {}", pool.0), "");
    }
}
