use super::*;
use std::sync::Mutex;
use tracing::subscriber::with_default;
use tracing::{Event, Level};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The metadata of the events that `emit` emits.
fn places(emit: impl FnOnce()) -> Vec<&'static Metadata<'static>> {
    #[derive(Clone, Default)]
    struct Seen(std::sync::Arc<Mutex<Vec<&'static Metadata<'static>>>>);
    impl<S: tracing::Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata());
        }
    }
    let seen = Seen::default();
    with_default(tracing_subscriber::registry().with(seen.clone()), emit);
    seen.0.lock().unwrap().clone()
}

fn two_places() -> [&'static Metadata<'static>; 2] {
    places(|| {
        tracing::event!(target: "lsd::one", Level::WARN, "one");
        tracing::event!(target: "lsd::two", Level::WARN, "two");
    })
    .try_into()
    .unwrap()
}

#[test]
fn a_place_writes_so_many_lines_in_a_window_and_others_as_many() {
    let (limit, [one, two]) = (Limit::default(), two_places());
    for _ in 0..LINES_IN_WINDOW {
        assert_eq!(limit.admit(one, 50), Admission::Pass);
    }
    assert_eq!(limit.admit(one, 50), Admission::First);
    assert_eq!(limit.admit(one, 50 + WINDOW_SECONDS - 1), Admission::LeftOut);
    assert_eq!(limit.admit(two, 50), Admission::Pass);
    assert_eq!(limit.admit(one, 50 + WINDOW_SECONDS), Admission::Pass);
}

#[test]
fn what_was_left_out_is_told_once_when_the_window_has_ended() {
    let (limit, [one, two]) = (Limit::default(), two_places());
    for _ in 0..LINES_IN_WINDOW + 7 {
        limit.admit(one, 0);
    }
    limit.admit(two, 0);
    let ended = |now| limit.ended(now).map(|(place, left_out)| (place.target(), left_out)).collect::<Vec<_>>();
    assert_eq!(ended(WINDOW_SECONDS - 1), []);
    assert_eq!(ended(WINDOW_SECONDS), [("lsd::one", 7)]);
    assert_eq!(ended(WINDOW_SECONDS), []);
    assert_eq!(limit.admit(one, WINDOW_SECONDS), Admission::Pass);
}
