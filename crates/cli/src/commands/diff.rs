//! `lsd diff`: which parts of an image or a snapshot have data. What differs from a snapshot cannot be told yet.
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::session::Session;
use crate::spec::Strictness;
use lsd_engine::{Error, ErrorKind, Image};
use std::cmp::Ordering;
use std::ops::Range;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["diff"],
    alias: &[],
    summary: "Print extents that differ since a previous snap, or image creation.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        &[
            OptionSpec::value("from-snap", "snapshot starting point"),
            OptionSpec::switch("whole-object", "compare whole object"),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let found = match parsed.get("from-snap").filter(|name| !name.is_empty()) {
        Some(name) => since(&image, name).await,
        None => extents(&image, parsed.has("whole-object")).await,
    };
    let found = found.map_err(|error| Failure::engine("diff error", &error));
    let extents = closed(&image, "diff error", found).await?;
    let describe = |extent: &Range<u64>| {
        let len = extent.end - extent.start;
        Tree::Object(vec![("offset", extent.start.into()), ("length", len.into()), ("exists", "true".into())])
    };
    format.print("extents", &Tree::List("extent", extents.iter().map(describe).collect()), || plain(&extents))
}

/// What changed since a snapshot cannot be told yet, but where it is nothing. `NotFound`; `Invalid`: it is younger than what is shown.
async fn since(image: &Image, name: &str) -> lsd_engine::Result<Vec<Range<u64>>> {
    let from = image.snapshots().get(name).await?;
    match image.shown().map(|shown| from.id.cmp(&shown.id)) {
        Some(Ordering::Greater) => Err(Error::new(ErrorKind::Invalid, "")),
        Some(Ordering::Equal) => Ok(Vec::new()),
        _ => Err(Error::new(ErrorKind::Unsupported, "differences to a snapshot are not supported yet")),
    }
}

/// Ranges with data in order, each within one object, as rbd shows them.
async fn extents(image: &Image, whole_objects: bool) -> lsd_engine::Result<Vec<Range<u64>>> {
    let (size, object) = (image.size(), 1_u64 << image.info().order);
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < size {
        for extent in image.first_extents(at, size - at).await? {
            at = extent.offset + extent.len;
            if extent.data {
                add(&mut found, extent.offset..at, object, whole_objects.then_some(size));
            }
        }
    }
    Ok(found)
}

/// `whole`: the image's size, where objects count as a whole.
fn add(found: &mut Vec<Range<u64>>, extent: Range<u64>, object: u64, whole: Option<u64>) {
    let mut start = extent.start;
    while start < extent.end {
        let first = start / object * object;
        let end = extent.end.min(first + object);
        let piece = whole.map_or(start..end, |size| first..size.min(first + object));
        match found.last_mut() {
            Some(last) if last.end >= piece.start && last.start / object == piece.start / object => {
                last.end = piece.end
            }
            _ => found.push(piece),
        }
        start = end;
    }
}

fn plain(extents: &[Range<u64>]) -> String {
    if extents.is_empty() {
        return String::new();
    }
    let mut table = Table::default()
        .column("Offset", Align::Left, Align::Left)
        .column("Length", Align::Left, Align::Left)
        .column("Type", Align::Left, Align::Left);
    for extent in extents {
        table.row(vec![extent.start.to_string(), (extent.end - extent.start).to_string(), "data".to_owned()]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_end_with_their_object_and_touching_ones_are_joined() {
        let all = |whole| {
            let mut found = Vec::new();
            for extent in [0..10, 10..20, 30..250, 900..905] {
                add(&mut found, extent, 100, whole);
            }
            found
        };
        assert_eq!(all(None), [0..20, 30..100, 100..200, 200..250, 900..905]);
        assert_eq!(all(Some(950)), [0..100, 100..200, 200..300, 900..950]);
    }
}
