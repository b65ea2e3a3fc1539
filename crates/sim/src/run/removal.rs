//! The end of a run: the image is removed.
//!
//! Owns: what may stay of it. Does not own: the removal (the engine).
use crate::run::scenario::Scenario;
use crate::world::store::SimStore;
use lsd_engine::Image;

/// Pages of a checkpoint of the run's small image: leaves, patches, root.
const PAGES_LEFT: u64 = 3;

/// Empty objects that a dead taker's packets may make after everybody has looked for them.
const TOMBSTONES_LEFT: u64 = 16;

/// Removes the image; nothing of it may stay in the pools.
pub async fn remove(scenario: &Scenario) {
    let (net, judge, site) = (&scenario.net, &scenario.judge, &scenario.site);
    let (client, memory) = net.add_client();
    net.set_calm(client, true);
    let store = SimStore::open(net, client, &memory, site.pool, false).await;
    if let Err(error) = Image::remove(&store, &scenario.image(), &|_, _| Ok(())).await {
        return judge.fail(format!("the image cannot be removed: {:?}: {error}", error.kind));
    }
    // Nothing leads to the pages of a checkpoint that was cut short; each crash and each failed operation may leave one behind.
    let covered = net.outcome().0;
    let pages = (covered.crash_points + covered.failed_operations) * PAGES_LEFT;
    for pool in [site.pool, site.data_pool] {
        let store = SimStore::open(net, client, &memory, pool, false).await;
        for (prefix, allowed) in [("lsd_data.", TOMBSTONES_LEFT), ("lsd_header.", 0), ("lsd_map.", pages)] {
            let left = store.list(prefix).await.unwrap_or_default();
            let mut data = 0;
            for name in left.iter().filter(|_| prefix == "lsd_data.") {
                data += store.stat(name).await.unwrap_or_default();
            }
            if left.len() as u64 > allowed || data > 0 {
                judge.fail(format!("{} orphans after the removal: {left:?}", left.len()));
            }
        }
    }
    net.bury(client);
}
