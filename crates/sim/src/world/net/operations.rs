//! The way of one operation: to the store, its effect there, and the answer back.
//!
//! Owns: carrying out the fate of each operation, and what is counted of it. Does not own: which fates there are (`faults.rs`), the
//! order of what is under way (`state.rs`).
use crate::world::faults::{Fate, Faults};
use crate::world::net::state::Event;
use crate::world::net::{Action, Net};
use futures::FutureExt;
use lsd_store::{StoreError, StoreErrorKind, StoreFuture};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Operations that change the store.
const CHANGES: [&str; 5] = ["append", "put", "kv_update", "remove", "fence"];

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// One operation's way.
struct Route {
    client: usize,
    what: &'static str,
    object: String,
    fate: Fate,
}

impl Net {
    /// Sends an operation on its way. `torn`: what it is when a power cut tears it.
    pub fn submit<T: Send + 'static>(
        self: &Arc<Self>,
        client: usize,
        what: &'static str,
        object: &str,
        operation: impl FnOnce() -> StoreFuture<T> + Send + 'static,
        torn: Option<Box<dyn FnOnce() + Send>>,
    ) -> StoreFuture<T> {
        let (sender, receiver) = oneshot::channel();
        self.step(client);
        let now = self.now_ms();
        let mut state = self.lock();
        if state.clients[client].dead {
            return std::future::pending().boxed();
        }
        let fate = match state.clients[client].calm {
            true => Faults::calm(),
            false => self.faults.fate(&mut state.random),
        };
        let mut sender = Some(sender);
        if let Some(kind) = fate.error {
            let error = StoreError::new(kind, what, object).with_detail("simulated");
            let sender = sender.take();
            let tell: Action = Box::new(move |net: &Arc<Net>| {
                net.step(client);
                drop(sender.map(|sender| sender.send(Err(error))));
            });
            state.coverage.failed_operations += 1;
            state.schedule(Some(client), now + fate.back_ms, Event::new(tell));
        }
        let route = Route { client, what, object: object.to_owned(), fate };
        let run: Action = Box::new(move |net: &Arc<Net>| net.effect(route, operation, sender));
        let torn = torn.map(|torn| -> Action { Box::new(move |_: &Arc<Net>| torn()) });
        let event = Event { object: Some(object.to_owned()), torn, ..Event::new(run) };
        state.schedule(Some(client), now + fate.there_ms, event);
        drop(state);
        self.wake.notify_one();
        // Whoever is dead waits for ever.
        async move {
            match receiver.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }

    /// The operation arrives.
    fn effect<T: Send + 'static>(
        self: &Arc<Self>,
        route: Route,
        operation: impl FnOnce() -> StoreFuture<T>,
        sender: Option<Answer<T>>,
    ) {
        self.step(route.client);
        // A watch ends with the connection of its client.
        let too_late = route.what == "watch" && self.is_dead(route.client);
        if !route.fate.takes_effect || too_late {
            return self.note(route.client, route.what, &route.object, "is lost");
        }
        let mut answer = operation();
        match (&mut answer).now_or_never() {
            Some(result) => self.answer(&route, result, sender),
            None => {
                let net = self.clone();
                tokio::spawn(async move {
                    let result = answer.await;
                    net.answer(&route, result, sender);
                });
            }
        }
    }

    /// The operation took effect, or was refused; its answer goes back.
    fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        route: &Route,
        result: Result<T, StoreError>,
        sender: Option<Answer<T>>,
    ) {
        let Route { client, what, ref object, fate } = *route;
        let detail = result.as_ref().err().map_or_else(|| "done".to_owned(), |error| format!("{:?}", error.kind));
        self.note(client, what, object, if sender.is_some() { &detail } else { "done, answer lost" });
        let now = self.now_ms();
        let mut state = self.lock();
        state.clients[client].unlocks += u64::from(what == "unlock");
        let fenced = result.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Fenced);
        let goes_on = state.clients[client].cut_in.is_some() && !state.clients[client].dead;
        if goes_on && what == "kv_update" && result.is_ok() {
            state.zombie_update = Some(state.takeovers);
        }
        let late = state.clients[client].cut_in.is_some_and(|then| state.takeovers > then);
        if late && !fenced && CHANGES.contains(&what) {
            state.coverage.zombie_landings += 1;
        }
        match sender {
            None if CHANGES.contains(&what) => state.coverage.lost_answers += 1,
            None => {}
            Some(sender) => {
                let tell: Action = Box::new(move |net: &Arc<Net>| {
                    net.step(client);
                    drop(sender.send(result));
                });
                state.schedule(Some(client), now + fate.back_ms, Event::new(tell));
            }
        }
        drop(state);
        self.wake.notify_one();
    }
}
