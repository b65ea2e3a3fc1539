//! A client that does not own the image and changes its snapshots all the same: by asking the owner, or where there is none.
//!
//! Owns: its life, which goes on while owners come and go. Does not own: what it does (`snapshots.rs`).
use crate::run::scenario::Scenario;
use crate::run::snapshots::{Deed, Visitor};
use crate::world::net::{Cut, Net};
use lsd_engine::{Image, OpenOptions, Settings};
use lsd_store::ObjectStore;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// A life that takes longer than this is stuck, virtual time.
const STUCK_AFTER: Duration = Duration::from_secs(3600);

pub fn options() -> OpenOptions {
    let settings = Settings { watch_timeout: Duration::from_millis(1000), ..Settings::default() };
    OpenOptions { settings, ..OpenOptions::default() }
}

/// Ends when the client is dead.
pub async fn died(net: &Net, client: usize) {
    while !net.is_dead(client) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// One life.
pub async fn ask(scenario: Arc<Scenario>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (client, store) = scenario.connect().await;
    if random.random_bool(0.3) {
        scenario.net.cut_at(client, random.random_range(1..150), Cut::Crash);
    }
    tokio::select! {
        biased;
        () = died(&scenario.net, client) => return,
        () = visit(&scenario, client, store, &mut random) => {}
        () = tokio::time::sleep(STUCK_AFTER) => scenario.judge.fail(format!("client {client}, who asks, is stuck")),
    }
    if !scenario.net.is_dead(client) {
        scenario.net.bury(client);
    }
}

async fn visit(scenario: &Arc<Scenario>, client: usize, store: Arc<dyn ObjectStore>, random: &mut StdRng) {
    let (options, clock) = (options(), scenario.site.clock.clone());
    let image = match Image::open_with_clock(&store, &scenario.image(), &options, clock).await {
        Ok(image) => image,
        Err(error) => return scenario.judge.error_of_asker(client, "open", &error),
    };
    let visitor = Visitor { scenario: scenario.clone(), client, store, image, options, is_owner: false };
    for _ in 0..random.random_range(1..5) {
        let deed = scenario.album.as_ref().and_then(|album| Deed::choose(random, scenario, album));
        if let Some(deed) = deed {
            scenario.net.count(|coverage| coverage.asked += 1);
            visitor.act(deed).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..2000))).await;
    }
    if random.random_bool(0.5)
        && let Err(error) = visitor.image.close().await
    {
        scenario.judge.error_of_asker(client, "close", &error);
    }
}
