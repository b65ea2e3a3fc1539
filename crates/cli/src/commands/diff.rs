//! `lsd diff`: which parts of an image or a snapshot have data, or differ from an earlier snapshot.
use super::snap::flag;
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::session::{Location, Session};
use crate::spec::Strictness;
use lsd_engine::{Error, Extent, Image};
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

/// A range that differs, within one object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    range: Range<u64>,
    /// It has data now.
    data: bool,
}

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let whole_objects = parsed.has("whole-object");
    let found = match parsed.get("from-snap").filter(|name| !name.is_empty()) {
        Some(name) => since(session, &location, &image, name, whole_objects).await,
        None => pieces(&image, None, whole_objects).await.map_err(failed),
    };
    let pieces = closed(&image, "diff error", found).await?;
    let describe = |Piece { range, data }: &Piece| {
        let len = range.end - range.start;
        Tree::Object(vec![("offset", range.start.into()), ("length", len.into()), ("exists", flag(*data).into())])
    };
    format.print("extents", &Tree::List("extent", pieces.iter().map(describe).collect()), || plain(&pieces))
}

fn failed(error: Error) -> Failure {
    Failure::engine("diff error", &error)
}

/// What is different from a snapshot, which must not be younger than what is shown.
async fn since(
    session: &Session,
    location: &Location,
    image: &Image,
    name: &str,
    whole_objects: bool,
) -> Result<Vec<Piece>> {
    let from = image.snapshots().get(name).await.map_err(failed)?;
    match image.shown().map(|shown| from.id.cmp(&shown.id)) {
        Some(Ordering::Greater) => return Err(Failure::errno("diff error", nix::libc::EINVAL)),
        Some(Ordering::Equal) => return Ok(Vec::new()),
        _ => {}
    }
    let from = Location { snap: Some(from.name), ..location.clone() }.open_image(session, true).await?;
    let found = pieces(image, Some(&from), whole_objects).await.map_err(failed);
    closed(&from, "diff error", found).await
}

/// In order, each within one object, as rbd shows them.
async fn pieces(image: &Image, from: Option<&Image>, whole_objects: bool) -> lsd_engine::Result<Vec<Piece>> {
    let (size, object) = (image.size(), 1_u64 << image.info().order);
    let mut found: Vec<Piece> = Vec::new();
    let mut each = |Extent { offset, len, data }| {
        let piece = Piece { range: offset..offset + len, data };
        add(&mut found, piece, object, whole_objects.then_some(size));
        Ok(())
    };
    image.changes(from, 0, size, &mut each).await?;
    if whole_objects {
        // One that lost something may have something left.
        for Piece { range, data } in found.iter_mut().filter(|piece| !piece.data) {
            *data = image.extents(range.start, range.end - range.start).await?.iter().any(|extent| extent.data);
        }
    }
    Ok(found)
}

/// `whole`: the image's size, where objects count as a whole.
fn add(found: &mut Vec<Piece>, new: Piece, object: u64, whole: Option<u64>) {
    let mut start = new.range.start;
    while start < new.range.end {
        let first = start / object * object;
        let end = new.range.end.min(first + object);
        let range = whole.map_or(start..end, |size| first..size.min(first + object));
        let is_same_object = |last: &Piece| last.range.start / object == range.start / object;
        match found.last_mut().filter(|last| is_same_object(last)) {
            Some(last) if whole.is_some() => last.data |= new.data,
            Some(last) if last.range.end >= range.start && last.data == new.data => last.range.end = range.end,
            _ => found.push(Piece { range, data: new.data }),
        }
        start = end;
    }
}

fn plain(pieces: &[Piece]) -> String {
    if pieces.is_empty() {
        return String::new();
    }
    let mut table = Table::default()
        .column("Offset", Align::Left, Align::Left)
        .column("Length", Align::Left, Align::Left)
        .column("Type", Align::Left, Align::Left);
    for Piece { range, data } in pieces {
        let kind = if *data { "data" } else { "zero" };
        table.row(vec![range.start.to_string(), (range.end - range.start).to_string(), kind.to_owned()]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[(Range<u64>, bool)], whole: Option<u64>) -> Vec<(Range<u64>, bool)> {
        let mut found = Vec::new();
        for (range, data) in pieces.iter().cloned() {
            add(&mut found, Piece { range, data }, 100, whole);
        }
        found.into_iter().map(|piece| (piece.range, piece.data)).collect()
    }

    #[test]
    fn extents_end_with_their_object_and_touching_ones_are_joined() {
        let data = [(0..10, true), (10..20, true), (30..250, true), (900..905, true)];
        let ranges = |whole| all(&data, whole).into_iter().map(|(range, _)| range).collect::<Vec<_>>();
        assert_eq!(ranges(None), [0..20, 30..100, 100..200, 200..250, 900..905]);
        assert_eq!(ranges(Some(950)), [0..100, 100..200, 200..300, 900..950]);
    }

    #[test]
    fn what_is_gone_stays_apart_from_what_is_new() {
        let mixed = [(0..10, false), (10..20, true), (20..30, true), (30..40, false), (150..260, false)];
        let wanted = [(0..10, false), (10..30, true), (30..40, false), (150..200, false), (200..260, false)];
        assert_eq!(all(&mixed, None), wanted);
        assert_eq!(all(&mixed, Some(250)), [(0..100, true), (100..200, false), (200..250, false)]);
    }
}
