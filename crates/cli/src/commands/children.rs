//! `lsd children`: no image of this format version has any, for images that are there.
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::{Location, Session};
use crate::spec::Strictness;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["children"],
    alias: &[],
    summary: "Display children of an image or its snapshot.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        &[
            OptionSpec::value("snap-id", "snapshot id"),
            OptionSpec::switch("all", "list all children (include trash)").short('a'),
            OptionSpec::switch("descendants", "include all descendants"),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = image_location(parsed, Role::Only, Strictness::Lenient, Snap::Permitted)?;
    let format = Format::of(parsed)?;
    // The image first: one that is not there has no snapshots either.
    let whole = Location { snap: None, ..location.clone() };
    let image = whole.open_image(session, true).await?;
    image.close().await.map_err(|error| Failure::engine("error closing image", &error))?;
    if location.snap.is_some() || parsed.get("snap-id").is_some() {
        return Err(Failure::new(nix::libc::ENOENT, "snapshot does not exist."));
    }
    format.print("children", &Tree::List("child", Vec::new()), String::new)
}
