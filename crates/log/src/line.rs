//! How an event looks: `TIMESTAMP LEVEL target: message image=... object=... op=... error=...`.
//!
//! Owns: the words of a line, and that it is one line. Does not own: where it goes (`sink.rs`). A value with a space in it stands in
//! quotation marks, so that a program can take a line apart.
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// The longest line, bytes, with the end of the line; what is beyond is cut off. A pipe takes as much in one piece.
pub(crate) const MOST_BYTES: usize = 4096;
/// What a line ends with that was cut.
const CUT: &str = " ...";

/// The line of an event.
pub(crate) fn of(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    ended(format!("{}{}{}", head(event.metadata()), fields.message, fields.others))
}

/// A line of our own about the events of one place in the source.
pub(crate) fn about(place: &Metadata<'_>, what: &str) -> String {
    let (file, number) = (place.file().unwrap_or("?"), place.line().unwrap_or_default());
    ended(format!("{}{what} at={file}:{number}", head(place)))
}

/// `2026-11-29T09:13:03.123456Z  WARN lsd::append: `
fn head(place: &Metadata<'_>) -> String {
    let mut head = String::new();
    // A string takes everything; a clock that cannot be shown leaves its place empty.
    let _ = SystemTime.format_time(&mut Writer::new(&mut head));
    let _ = write!(head, " {:>5} {}: ", place.level().as_str(), place.target());
    head
}

fn ended(mut line: String) -> String {
    if line.len() >= MOST_BYTES {
        let end = line.floor_char_boundary(MOST_BYTES - CUT.len() - 1);
        line.truncate(end);
        line.push_str(CUT);
    }
    line.push('\n');
    line
}

/// The message, and the other fields in their order.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn take(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            escape(&mut self.message, text);
            return;
        }
        let _ = write!(self.others, " {}=", field.name());
        let plain =
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"=".contains(c));
        if plain {
            self.others.push_str(text);
        } else {
            let _ = write!(self.others, "{text:?}");
        }
    }
}

/// Names of images and words of other programs come in here: none of them may begin a line.
fn escape(to: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() { to.extend(c.escape_default()) } else { to.push(c) }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // As far as the value could be shown.
        let _ = write!(text, "{value:?}");
        self.take(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }
}
