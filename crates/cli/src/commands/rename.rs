//! `lsd rename`.
use crate::command::image_args::{Role, Snap, image_location};
use crate::command::options::{DEST_IMAGE_SPEC, DESTINATION, SOURCE, SOURCE_IMAGE_SPEC};
use crate::command::{CommandSpec, Parsed};
use crate::error::{Failure, Result};
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use lsd_engine::Catalog;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["rename"],
    alias: &["mv"],
    summary: "Rename image within pool.",
    epilogue: "",
    positionals: &[SOURCE_IMAGE_SPEC, DEST_IMAGE_SPEC],
    options: &[SOURCE, DESTINATION],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let source = image_location(parsed, Role::Source, Strictness::Lenient, Snap::No)?;
    let destination = image_location(parsed, Role::Destination, Strictness::Strict, Snap::No)?;
    check_places(session, &source, &destination)?;
    let catalog = Catalog::new(source.store(session).await?);
    let to = Location { place: source.place.clone(), ..destination.clone() };
    let renamed = to.give_name(session, catalog.rename(&source.image, &destination.image)).await;
    renamed.map_err(|error| Failure::engine("rename error", &error))
}

/// The destination lies where the source does, or says nothing of where it lies.
fn check_places(session: &Session, source: &Location, destination: &Location) -> Result<()> {
    if destination.place == Place::default() {
        return Ok(());
    }
    let (source_pool, source_namespace) = session.pool_and_namespace(&source.place);
    let (dest_pool, dest_namespace) = session.pool_and_namespace(&destination.place);
    if source_pool != dest_pool {
        let pools = format!("source pool: {source_pool} dest pool: {dest_pool}");
        return Err(Failure::invalid(format!("mv/rename across pools not supported\n{pools}")));
    }
    if source_namespace != dest_namespace {
        let namespaces = format!("source namespace: {source_namespace} dest namespace: {dest_namespace}");
        return Err(Failure::invalid(format!("mv/rename across namespaces not supported\n{namespaces}")));
    }
    Ok(())
}
