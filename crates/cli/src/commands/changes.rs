//! Which parts of an image or a snapshot have data, or differ from an earlier snapshot.
//!
//! Owns: from which moment, in which pieces. Does not own: comparing (the engine's `Image::changes`), what is told of it.
use super::transfer::closed;
use crate::error::{Failure, Result};
use crate::session::{Location, Session};
use lsd_engine::{Error, Extent, Image};
use std::cmp::Ordering;
use std::ops::Range;

/// A range that differs, within one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub range: Range<u64>,
    /// It has data now.
    pub data: bool,
}

/// Where a piece ends at the latest, bytes.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Within(u64),
    /// A unit of which anything differs differs as a whole.
    Whole(u64),
}

impl Unit {
    fn bytes(self) -> u64 {
        match self {
            Unit::Within(bytes) | Unit::Whole(bytes) => bytes,
        }
    }
}

/// The moment from which on changes count.
#[derive(Debug)]
pub enum Start {
    /// Nothing was there before.
    Beginning,
    At(Box<Image>),
    /// What is shown itself: nothing differs.
    Same,
}

impl Start {
    /// The snapshot `name`, which must not be younger than what is shown: `EINVAL`, `ENOENT`. `what` fails then.
    pub async fn open(
        session: &Session,
        location: &Location,
        image: &Image,
        name: Option<&str>,
        what: &str,
    ) -> Result<Self> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Start::Beginning) };
        let from = image.snapshots().get(name).await.map_err(|error| Failure::engine(what, &error))?;
        match image.shown().map(|shown| from.id.cmp(&shown.id)) {
            Some(Ordering::Greater) => return Err(Failure::errno(what, nix::libc::EINVAL)),
            Some(Ordering::Equal) => return Ok(Start::Same),
            _ => {}
        }
        let from = Location { snap: Some(from.name), ..location.clone() }.open_image(session, true).await?;
        Ok(Start::At(Box::new(from)))
    }

    /// What differs in a range that begins with a unit: in order, each piece within one.
    pub async fn pieces(&self, image: &Image, range: Range<u64>, unit: Unit) -> lsd_engine::Result<Vec<Piece>> {
        let from = match self {
            Start::Beginning => None,
            Start::At(from) => Some(&**from),
            Start::Same => return Ok(Vec::new()),
        };
        pieces(image, from, range, unit).await
    }

    /// Closes it after `result`; the first failure counts.
    pub async fn close<T>(self, what: &str, result: Result<T>) -> Result<T> {
        match self {
            Start::At(from) => closed(&from, what, result).await,
            Start::Beginning | Start::Same => result,
        }
    }
}

async fn pieces(
    image: &Image,
    from: Option<&Image>,
    range: Range<u64>,
    unit: Unit,
) -> std::result::Result<Vec<Piece>, Error> {
    let size = image.size();
    let mut found: Vec<Piece> = Vec::new();
    let mut each = |Extent { offset, len, data }| {
        add(&mut found, Piece { range: offset..offset + len, data }, unit, size);
        Ok(())
    };
    image.changes(from, range.start, range.end - range.start, &mut each).await?;
    if let Unit::Whole(_) = unit {
        // One that lost something may have something left.
        for Piece { range, data } in found.iter_mut().filter(|piece| !piece.data) {
            *data = image.extents(range.start, range.end - range.start).await?.iter().any(|extent| extent.data);
        }
    }
    Ok(found)
}

/// `size`: where the last unit ends.
fn add(found: &mut Vec<Piece>, new: Piece, unit: Unit, size: u64) {
    let bytes = unit.bytes();
    let mut start = new.range.start;
    while start < new.range.end {
        let first = start / bytes * bytes;
        let end = new.range.end.min(first + bytes);
        let is_same_unit = |last: &Piece| last.range.start / bytes == start / bytes;
        match (found.last_mut().filter(|last| is_same_unit(last)), unit) {
            (Some(last), Unit::Whole(_)) => last.data |= new.data,
            (Some(last), Unit::Within(_)) if last.range.end >= start && last.data == new.data => last.range.end = end,
            (_, Unit::Within(_)) => found.push(Piece { range: start..end, data: new.data }),
            (None, Unit::Whole(_)) => found.push(Piece { range: first..size.min(first + bytes), data: new.data }),
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[(Range<u64>, bool)], unit: Unit, size: u64) -> Vec<(Range<u64>, bool)> {
        let mut found = Vec::new();
        for (range, data) in pieces.iter().cloned() {
            add(&mut found, Piece { range, data }, unit, size);
        }
        found.into_iter().map(|piece| (piece.range, piece.data)).collect()
    }

    #[test]
    fn extents_end_with_their_object_and_touching_ones_are_joined() {
        let data = [(0..10, true), (10..20, true), (30..250, true), (900..905, true)];
        let ranges = |unit| all(&data, unit, 950).into_iter().map(|(range, _)| range).collect::<Vec<_>>();
        assert_eq!(ranges(Unit::Within(100)), [0..20, 30..100, 100..200, 200..250, 900..905]);
        assert_eq!(ranges(Unit::Whole(100)), [0..100, 100..200, 200..300, 900..950]);
    }

    #[test]
    fn what_is_gone_stays_apart_from_what_is_new() {
        let mixed = [(0..10, false), (10..20, true), (20..30, true), (30..40, false), (150..260, false)];
        let wanted = [(0..10, false), (10..30, true), (30..40, false), (150..200, false), (200..260, false)];
        assert_eq!(all(&mixed, Unit::Within(100), 260), wanted);
        assert_eq!(all(&mixed, Unit::Whole(100), 250), [(0..100, true), (100..200, false), (200..250, false)]);
    }
}
