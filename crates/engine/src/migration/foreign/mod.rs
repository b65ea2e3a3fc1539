//! Migrations whose source is an image of another kind, which another library keeps.
//!
//! Owns: finding such a migration, and its states. Does not own: what such an image does (`lsd_store::ForeignImage`), copying what it has
//! (`session/migrate.rs`: the source is the destination's base).
//!
//! The source has no header of lsd's: only a note leads from it to the destination, whose header has everything else. It is set
//! aside, so that nobody finds it by its name, and what it had is frozen as the base of the destination.
mod abort;
mod bring;
mod prepare;

pub(super) use abort::abort;
pub(super) use prepare::prepare;

use super::abort::name_of;
use super::pair::Half;
use super::{MigrationSide, MigrationStatus, Migrations, store_of};
use crate::api::error::invalid;
use crate::image::{Image, kin_open_options};
use crate::objects::header::Header;
use crate::objects::pools::place_of;
use crate::{Catalog, Error, ErrorKind, ImageId, ImageRef, Progress, Result};
use lsd_core::format::header::{ImagePlace, MigrationRecord, MigrationState};
use lsd_store::{ForeignFound, ForeignImage, ForeignPlace, ObjectStore};
use std::sync::Arc;

/// One such migration.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) source: Arc<dyn ForeignImage>,
    pub(super) place: ForeignPlace,
    /// What the source was called.
    pub(super) name: String,
    pub(super) destination: Half,
}

impl Moved {
    /// By the name of the destination, or of a source that was set aside. `None`: nothing of that name is in such a migration. `Invalid`: more
    /// than one source is called so.
    pub(super) async fn find(migrations: &Migrations, name: &str) -> Result<Option<Self>> {
        let store = &migrations.store;
        match Catalog::new(store.clone()).id_of(name).await {
            Ok(id) => return Self::of_destination(migrations, &id).await,
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut noted =
            named(migrations, store, name).await?.into_iter().filter_map(|found| Some((found.note?, found.place)));
        let Some((note, place)) = noted.next() else { return Ok(None) };
        if noted.next().is_some() {
            let reason = format!("{name}: the sources of several migrations are called so: say the destination");
            return Err(invalid(reason));
        }
        Self::of_source(migrations, (name, &place), &note).await.map(Some)
    }

    /// `None`: the image is not the destination of such a migration.
    pub(super) async fn of_destination(migrations: &Migrations, id: &ImageId) -> Result<Option<Self>> {
        let mut half = Half { store: migrations.store.clone(), id: id.clone(), name: id.0.clone(), record: None };
        let Some(header) = half.header().await? else { return Ok(None) };
        half.name = header.name;
        let Some(record) = header.migration else { return Ok(None) };
        let Some(place) = place_in(&record) else { return Ok(None) };
        let source = migrations.options.bases.0.foreign(&place).await?;
        let name = record.name.clone();
        half.record = Some(record);
        Ok(Some(Self { source, place, name, destination: half }))
    }

    /// `note`: what was noted with the source.
    async fn of_source(migrations: &Migrations, (name, place): (&str, &ForeignPlace), note: &str) -> Result<Self> {
        let to = parse_note(note).ok_or_else(|| invalid(format!("{name}: what is noted with it names no image")))?;
        let store = store_of(&migrations.store, to.pool, &to.namespace).await?;
        let source = migrations.options.bases.0.foreign(place).await?;
        let destination = Half { store, id: ImageId(to.id), name: name.to_owned(), record: None };
        let mut moved = Self { source, place: place.clone(), name: name.to_owned(), destination };
        moved.look_again().await?;
        Ok(moved)
    }

    /// What the destination's header says by now.
    async fn look_again(&mut self) -> Result<()> {
        let record = self.destination.header().await?.and_then(|header| header.migration);
        self.destination.record = record.filter(|record| place_in(record).as_ref() == Some(&self.place));
        Ok(())
    }

    /// The source, as the destination's header has it.
    pub(super) fn other(&self) -> ImagePlace {
        let ForeignPlace { pool, namespace, id, .. } = self.place.clone();
        ImagePlace { pool: pool.0, namespace, id }
    }

    fn state(&self) -> MigrationState {
        self.destination.record.as_ref().map_or(MigrationState::Preparing, |record| record.state)
    }

    /// `Invalid`.
    fn check_state(&self, allowed: &[MigrationState], wanted: &str) -> Result<()> {
        super::pair::check_state(self.state(), allowed, wanted)
    }

    pub(super) async fn status(&self) -> Result<MigrationStatus> {
        let ImagePlace { pool, namespace, id } = self.other();
        let source = MigrationSide { pool, namespace, name: self.name.clone(), id: ImageId(id) };
        let description = self.destination.record.as_ref().map(|it| it.description.clone()).unwrap_or_default();
        Ok(MigrationStatus { source, destination: self.destination.side().await?, state: self.state(), description })
    }

    /// The destination gets everything that the source had.
    pub(super) async fn execute(mut self, migrations: &Migrations, progress: Progress<'_>) -> Result<()> {
        const MAY_EXECUTE: [MigrationState; 2] = [MigrationState::Prepared, MigrationState::Executing];
        if self.state() == MigrationState::Aborting {
            // Without a name it was never prepared: nobody is to lose the source for it.
            if name_of(&self.destination).await?.is_none() {
                return Err(invalid(format!("{}: its preparation or its end was broken off: abort it", self.name)));
            }
            self.destination.lead_back().await?;
        }
        self.check_state(&MAY_EXECUTE, "prepared")?;
        self.destination.set_state(&MAY_EXECUTE, MigrationState::Executing).await?;
        migrations.run(&mut self.destination, progress).await
    }

    /// The source goes. Rule 49: from the first step on the migration is not taken back.
    pub(super) async fn commit(mut self, migrations: &Migrations, progress: Progress<'_>) -> Result<()> {
        const MAY_COMMIT: [MigrationState; 2] = [MigrationState::Executed, MigrationState::Committing];
        self.check_state(&MAY_COMMIT, "executed")?;
        self.destination.set_state(&MAY_COMMIT, MigrationState::Committing).await?;
        // Rule 46: the destination has everything already, and looks once more.
        let Half { store, id, .. } = &self.destination;
        let options = kin_open_options(store, &migrations.options).await?;
        let image = ImageRef::Id(id.clone());
        let image = Image::open_with_clock(store, &image, &options, migrations.clock.clone()).await?;
        let has_base = image.session.described().can_be_flattened();
        let flattened = match has_base {
            true => image.session.flatten(progress).await,
            false => Ok(()),
        };
        let closed = image.close().await;
        flattened.and(closed)?;
        self.source.remove(&id.0).await?;
        self.destination.forget(&self.other()).await
    }
}

/// Of the destination of such a migration, where the source is.
fn place_in(record: &MigrationRecord) -> Option<ForeignPlace> {
    let ImagePlace { pool, namespace, id } = record.other.clone();
    Some(ForeignPlace { kind: record.kind.clone()?, pool: lsd_store::PoolId(pool), namespace, id })
}

/// What is noted with the source: pool, namespace, id of the destination.
fn note_of(destination: &Half) -> String {
    let ImagePlace { pool, namespace, id } = place_of(&destination.store, &destination.id);
    format!("{pool}/{namespace}/{id}")
}

fn parse_note(note: &str) -> Option<ImagePlace> {
    let (pool, rest) = note.split_once('/')?;
    let (namespace, id) = rest.split_once('/')?;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then_some(ImagePlace { pool: pool.parse().ok()?, namespace: namespace.to_owned(), id: id.to_owned() })
}

/// `Canceled`: the source is not in this migration any more.
async fn check_is_noted(source: &Arc<dyn ForeignImage>, destination: &Half) -> Result<()> {
    match source.note().await?.is_some_and(|note| note == note_of(destination)) {
        true => Ok(()),
        false => {
            let reason = format!("{}: the migration was taken back", destination.name);
            Err(Error::new(ErrorKind::Canceled, reason))
        }
    }
}

/// The images of other kinds that a name leads to.
pub(super) async fn named(
    migrations: &Migrations,
    store: &Arc<dyn ObjectStore>,
    name: &str,
) -> Result<Vec<ForeignFound>> {
    Ok(migrations.options.bases.0.find_foreign((store.pool_id(), &store.namespace()), name).await?)
}

/// The header of an image that nobody is removing.
async fn in_use(half: &Half) -> Result<Option<Header>> {
    Ok(half.header().await?.filter(|header| !header.removing))
}

#[cfg(test)]
mod tests {
    use super::parse_note;
    use lsd_core::format::header::ImagePlace;

    #[test]
    fn a_note_leads_to_an_image() {
        let place = ImagePlace { pool: -1, namespace: "n".into(), id: "1f".into() };
        assert_eq!(parse_note("-1/n/1f"), Some(place));
        for wrong in ["", "1/2", "x//1f", "1//", "1//../x"] {
            assert_eq!(parse_note(wrong), None, "{wrong}");
        }
    }
}
