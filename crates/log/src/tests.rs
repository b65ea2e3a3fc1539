//! Events as lines in a file, each test with a subscriber of its own.
use super::*;
use crate::limit::LINES_IN_WINDOW;
use std::sync::atomic::AtomicU32;
use tracing::subscriber::with_default;

/// The lines of a file that `emit` leaves, without their times.
fn lines(emit: impl FnOnce()) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let written = Lines::new(Sink::open(Some(&path)));
    let targets = filter::parse("info").unwrap().unwrap();
    with_default(tracing_subscriber::registry().with(targets).with(written), emit);
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

#[test]
fn a_line_has_the_message_and_then_the_fields_in_their_order() {
    let error = std::io::Error::from_raw_os_error(28);
    let found = lines(|| {
        let object = "lsd_data.1.2";
        tracing::warn!(target: "lsd::append", image = %"disk", object, bytes = 42, error = %error, "writes wait");
        tracing::info!(target: "lsd::api", "opened");
        tracing::debug!(target: "lsd::api", "too low");
    });
    let error = "error=\"No space left on device (os error 28)\"";
    assert_eq!(
        found,
        [
            format!(" WARN lsd::append: writes wait image=disk object=lsd_data.1.2 bytes=42 {error}"),
            " INFO lsd::api: opened".to_owned()
        ]
    );
}

#[test]
fn a_line_begins_with_the_time_in_utc() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let written = Lines::new(Sink::open(Some(&path)));
    with_default(tracing_subscriber::registry().with(written), || tracing::info!("now"));
    let text = std::fs::read_to_string(&path).unwrap();
    let shape: String = text.chars().take(27).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
}

/// Names come from users: none of them may pretend to be a line of its own.
#[test]
fn an_event_is_one_line_whatever_is_in_it() {
    let found = lines(|| tracing::info!(target: "lsd::api", image = %"a\nb", "opened\nall"));
    assert_eq!(found, [r#" INFO lsd::api: opened\nall image="a\nb""#]);
}

#[test]
fn a_line_has_a_greatest_length() {
    let found = lines(|| tracing::info!(target: "lsd::api", "{}", "ä".repeat(line::MOST_BYTES)));
    let time = "2026-11-29T09:13:03.123456Z ".len();
    assert!((line::MOST_BYTES - 2..line::MOST_BYTES).contains(&(found[0].len() + time)), "{}", found[0].len());
    assert!(found[0].ends_with("ä ..."));
}

#[test]
fn a_flood_is_cut_and_counted() {
    /// The window has ended when the last event comes.
    struct Aged(Lines, AtomicU32);
    impl<S: Subscriber> Layer<S> for Aged {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let is_last = self.1.fetch_add(1, Ordering::Relaxed) == LINES_IN_WINDOW + 5;
            self.0.write(event, if is_last { WINDOW_SECONDS } else { 0 });
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let aged = Aged(Lines::new(Sink::open(Some(&path))), AtomicU32::new(0));
    with_default(tracing_subscriber::registry().with(aged), || {
        (0..LINES_IN_WINDOW + 6).for_each(|_| tracing::error!(target: "lsd::append", "it fails"));
    });
    let text = std::fs::read_to_string(&path).unwrap();
    let told: Vec<&str> = text.lines().map(|line| line.split_once("lsd::append: ").unwrap().1).collect();
    let place = "at=crates/log/src/tests.rs:";
    assert_eq!(told.iter().filter(|line| **line == "it fails").count(), LINES_IN_WINDOW as usize + 1, "{text}");
    let [first, count, last] = &told[LINES_IN_WINDOW as usize..] else { panic!("{text}") };
    assert!(first.starts_with("more lines of this kind are left out for up to 10 s at=") && first.contains(place));
    assert!(count.starts_with("5 more lines of this kind were left out in 10 s at=") && count.contains(place));
    assert_eq!(*last, "it fails");
}
