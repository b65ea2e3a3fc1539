//! Who has an image open and does not answer is waited for, until it counts as dead. A person who waits is told for whom.
use crate::output::warn_named;
use lsd_core::format::names;
use lsd_engine::{Catalog, ImageRef};
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;

/// What has not begun by then waits for somebody.
const WAIT_IS_TOLD_AFTER: Duration = Duration::from_secs(1);

/// Does the work, which begins once nobody uses the image.
pub async fn telling_who_is_waited_for<T>(
    store: &Arc<dyn ObjectStore>,
    image: &ImageRef,
    has_begun: &(dyn Fn() -> bool + Sync),
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout(WAIT_IS_TOLD_AFTER, &mut work).await {
        Ok(done) => done,
        Err(_) if has_begun() => work.await,
        Err(_) => futures::join!(work, tell(store, image)).0,
    }
}

async fn tell(store: &Arc<dyn ObjectStore>, image: &ImageRef) {
    let (name, id) = match image {
        // The work itself says what cannot be asked.
        ImageRef::Name(name) => {
            let Ok(id) = Catalog::new(store.clone()).id_of(name).await else { return };
            (name.clone(), id)
        }
        ImageRef::Id(id) => (id.to_string(), id.clone()),
    };
    let Ok(watchers) = store.watchers(&names::header(&id.0).into()).await else { return };
    let clients: Vec<String> =
        watchers.iter().map(|watcher| format!("client.{} at {}", watcher.client, watcher.addr)).collect();
    if !clients.is_empty() {
        warn_named(&format!(
            "{name} is open at {}: waiting for an answer, or until it counts as dead",
            clients.join(", ")
        ));
    }
}
