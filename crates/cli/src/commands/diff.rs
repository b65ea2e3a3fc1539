//! `lsd diff`: which parts of an image or a snapshot have data, or differ from an earlier snapshot.
use super::changes::{Piece, Start, Unit};
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
use lsd_engine::Image;

const FAILED: &str = "diff error";

pub const FROM_SNAP: OptionSpec = OptionSpec::value("from-snap", "snapshot starting point");
pub const WHOLE_OBJECT: OptionSpec = OptionSpec::switch("whole-object", "compare whole object");

pub const SPEC: CommandSpec = CommandSpec {
    words: &["diff"],
    alias: &[],
    summary: "Print extents that differ since a previous snap, or image creation.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[IMAGE_OR_SNAP, &[FROM_SNAP, WHOLE_OBJECT], FORMAT],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let found = find(session, &location, &image, parsed).await;
    let pieces = closed(&image, FAILED, found).await?;
    let describe = |Piece { range, data }: &Piece| {
        let len = range.end - range.start;
        Tree::Object(vec![("offset", range.start.into()), ("length", len.into()), ("exists", flag(*data).into())])
    };
    format.print("extents", &Tree::List("extent", pieces.iter().map(describe).collect()), || plain(&pieces))
}

async fn find(session: &Session, location: &Location, image: &Image, parsed: &Parsed) -> Result<Vec<Piece>> {
    let object = 1_u64 << image.info().order;
    let unit = if parsed.has("whole-object") { Unit::Whole(object) } else { Unit::Within(object) };
    let start = Start::open(session, location, image, parsed.get("from-snap"), FAILED).await?;
    let found = start.pieces(image, 0..image.size(), unit).await;
    start.close(FAILED, found.map_err(|error| Failure::engine(FAILED, &error))).await
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
