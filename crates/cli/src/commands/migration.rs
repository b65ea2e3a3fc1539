//! `lsd migration`: moving an image to another pool, namespace, name or layout.
//!
//! Owns: the words of the commands, and how a migration is shown. Does not own: what is done (`Migrations`).
use super::clone::over_stock;
use super::kin::Kin;
use super::layout::Layout;
use super::transfer::closed;
use crate::command::image_args::{Role, Snap, existing_image, image_location, spec_of};
use crate::command::options::{
    DEST_IMAGE_SPEC, DESTINATION, FEATURES_EPILOGUE, IMAGE_SPEC, LAYOUT, NO_PROGRESS, ONE_IMAGE, PROGRESS,
    SOURCE_IMAGE_OR_SNAP_SPEC, SOURCE_OR_SNAP,
};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::Tree;
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use crate::spec::{Place, Strictness};
use lsd_engine::{MigrationOptions, MigrationSide, MigrationState, MigrationStatus, Migrations};
use lsd_store::{ObjectStore, PoolId};
use nix::libc;
use std::sync::Arc;

pub const PREPARE: CommandSpec = CommandSpec {
    words: &["migration", "prepare"],
    alias: &[],
    summary: "Prepare image migration.",
    epilogue: FEATURES_EPILOGUE,
    positionals: &[SOURCE_IMAGE_OR_SNAP_SPEC, DEST_IMAGE_SPEC],
    options: &[
        &[
            OptionSpec::switch("import-only", "only import data from source"),
            OptionSpec::value("source-spec-path", "source-spec file (or '-' for stdin)"),
            OptionSpec::value("source-spec", "source-spec"),
        ],
        SOURCE_OR_SNAP,
        DESTINATION,
        LAYOUT,
        &[OptionSpec::switch("flatten", "fill clone with parent data (make it independent)")],
    ],
    run: |session, parsed| Box::pin(prepare(session, parsed)),
};

pub const EXECUTE: CommandSpec = CommandSpec {
    words: &["migration", "execute"],
    alias: &[],
    summary: "Execute image migration.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

pub const COMMIT: CommandSpec = CommandSpec {
    words: &["migration", "commit"],
    alias: &[],
    summary: "Commit image migration.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, &[NO_PROGRESS, OptionSpec::switch("force", "proceed even if the image has children")]],
    run: |session, parsed| Box::pin(commit(session, parsed)),
};

pub const ABORT: CommandSpec = CommandSpec {
    words: &["migration", "abort"],
    alias: &[],
    summary: "Cancel interrupted image migration.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, PROGRESS],
    run: |session, parsed| Box::pin(abort(session, parsed)),
};

/// Options of rbd's for other sources than an image of the same cluster.
const IMPORTS: [&str; 3] = ["import-only", "source-spec-path", "source-spec"];

async fn prepare(session: &Session, parsed: &Parsed) -> Result<()> {
    if let Some(option) = IMPORTS.iter().find(|option| parsed.has(option) || parsed.get(option).is_some()) {
        return Err(Failure::errno(&format!("--{option} is not supported yet"), libc::EOPNOTSUPP));
    }
    let source = image_location(parsed, Role::Source, Strictness::Lenient, Snap::No)?;
    let mut to = destination(parsed, &source.image)?;
    if to.place == Place::default() && matches!(source.place, Place::Directory(_)) {
        to.place = source.place.clone();
    }
    let layout = Layout::of(parsed)?;
    let (from, store) = (session.store(&source.place).await?, session.store(&to.place).await?);
    let is_stock = !matches!(source.place, Place::Directory(_)) && over_stock::is_stock(session, &source).await?;
    let sources = match layout.needs_parent() && !is_stock {
        true => {
            let image = source.open_image(session, true).await?;
            closed(&image, PREPARING_FAILED, Ok(image.info().features)).await?
        }
        false => 0,
    };
    let options = layout.for_migration(session, &store, sources).await?;
    let options = MigrationOptions { flatten: parsed.has("flatten"), ..options };
    let migrations = Migrations::new(from, session.open_options(&source.place, false).await?);
    let prepare = migrations.prepare(&source.image, (&store, &to.image), &options);
    // A stock image may give its own name away: then the engine looks who has the new one.
    let made = if is_stock { prepare.await } else { to.give_name(session, prepare).await };
    made.map(drop).map_err(|error| Failure::engine(PREPARING_FAILED, &error))
}

const PREPARING_FAILED: &str = "preparing migration failed";

/// What is not named is called as the source is.
fn destination(parsed: &Parsed, source: &str) -> Result<Location> {
    let spec = spec_of(parsed, Role::Destination, Strictness::Strict)?;
    Snap::No.check(Role::Only, spec.snap.as_ref())?;
    let image = spec.image.unwrap_or_else(|| source.to_owned());
    Ok(Location { place: spec.place, image, snap: None })
}

async fn migrations(session: &Session, location: &Location) -> Result<Migrations> {
    let options = session.open_options(&location.place, false).await?;
    Ok(Migrations::new(session.store(&location.place).await?, options))
}

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let migrations = migrations(session, &location).await?;
    let line = ProgressLine::new("Image migration", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let done = line.end(migrations.execute(&location.image, &progress).await);
    done.map_err(|error| Failure::engine("migration failed", &error))
}

async fn commit(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let migrations = migrations(session, &location).await?;
    let status = migrations.status(&location.image).await;
    status.map_err(|error| Failure::engine("getting migration status failed", &error))?;
    let line = ProgressLine::new("Commit image migration", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let done = line.end(migrations.commit(&location.image, &progress).await);
    done.map_err(|error| Failure::engine("committing migration failed", &error))
}

async fn abort(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let migrations = migrations(session, &location).await?;
    let line = ProgressLine::new("Abort image migration", !parsed.has("no-progress"));
    let progress = |done, total| {
        line.update(done, total);
        Ok(())
    };
    let done = line.end(migrations.abort(&location.image, &progress).await);
    done.map_err(|error| Failure::engine("aborting migration failed", &error))
}

/// A migration as `status` shows it, with the names of its pools.
pub struct Shown {
    status: MigrationStatus,
    source: Kin,
    destination: Kin,
}

impl Shown {
    /// `store`: any of the cluster.
    pub async fn of(store: &Arc<dyn ObjectStore>, status: MigrationStatus) -> lsd_engine::Result<Self> {
        let kin = async |side: &MigrationSide| Kin::of(store, PoolId(side.pool), &side.namespace, &side.name).await;
        Ok(Self { source: kin(&status.source).await?, destination: kin(&status.destination).await?, status })
    }

    fn state(&self) -> &'static str {
        match self.status.state {
            MigrationState::Preparing => "preparing",
            MigrationState::Prepared => "prepared",
            MigrationState::Executing => "executing",
            MigrationState::Executed | MigrationState::Committing => "executed",
            MigrationState::Aborting | MigrationState::Returned => "aborting",
        }
    }

    pub fn tree(&self) -> Tree {
        let Self { status, source, destination } = self;
        Tree::Object(vec![
            ("source_pool_name", source.pool.as_str().into()),
            ("source_pool_namespace", source.namespace.as_str().into()),
            ("source_image_name", source.image.as_str().into()),
            ("source_image_id", status.source.id.0.as_str().into()),
            ("dest_pool_name", destination.pool.as_str().into()),
            ("dest_pool_namespace", destination.namespace.as_str().into()),
            ("dest_image_name", destination.image.as_str().into()),
            ("dest_image_id", status.destination.id.0.as_str().into()),
            ("state", self.state().into()),
            ("state_description", status.description.as_str().into()),
        ])
    }

    pub fn plain(&self) -> String {
        let Self { status, source, destination } = self;
        let description = match status.description.as_str() {
            "" => String::new(),
            words => format!(" ({words})"),
        };
        format!(
            "Migration:\n\tsource: {} ({})\n\tdestination: {} ({})\n\tstate: {}{description}\n",
            source.spec(),
            status.source.id,
            destination.spec(),
            status.destination.id,
            self.state(),
        )
    }
}
