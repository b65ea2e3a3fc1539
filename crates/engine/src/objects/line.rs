//! The objects of an image's ancestors: a clone reads theirs as it does its own.
//!
//! Owns: which of them a segment or a page is among, opening their pools. Does not own: whose a number is (`lsd_state::lineage`).
//! Nothing of an ancestor is ever changed through this.
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::pools::open_place;
use crate::{Error, ErrorKind, ImageId, Result};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{
    Ancestor, MigrationRecord, MigrationRole, MigrationState, REQUIRES_BASE, REQUIRES_FOREIGN, REQUIRES_MIGRATION,
};
use lsd_core::units::CheckpointId;
use lsd_state::lineage::{Ancestors, Whose};
use lsd_state::pins::{Frozen, PageKey, leaf_pages};
use lsd_store::ObjectStore;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    ancestors: Ancestors,
    objects: Arc<[Objects]>,
    /// The migration that the image is the source or the destination of, as it was when the line was opened.
    migration: Option<Arc<MigrationRecord>>,
    /// What the migration that the header had when it was last read requires of who touches the image.
    migrations_bits: Arc<AtomicU64>,
    /// The image has, or had, a base, or is of the line of one: that never changes.
    had_base: bool,
    /// Of who aborts the migration, which is the only one that writes to its source: whether it became the owner.
    migrator: Option<Arc<AtomicBool>>,
}

impl Line {
    /// `NotFound`: a pool is gone.
    pub(crate) async fn open(store: &Arc<dyn ObjectStore>, header: &Header) -> Result<Self> {
        let (migration, had_base) = (header.migration.as_ref(), header.had_base);
        let above = header.ancestry.as_ref().map(|ancestry| ancestry.ancestors.clone()).unwrap_or_default();
        let ancestors = match migration {
            Some(migration) if needs_source(migration) => Ancestors::with_source(above, migration.source.clone()),
            _ => Ancestors::new(above),
        };
        // A chain of a hundred clones is most often in one pool.
        let mut pools: BTreeMap<(i64, String), Arc<dyn ObjectStore>> = BTreeMap::new();
        let mut objects = Vec::with_capacity(ancestors.all().len());
        for Ancestor { place, uuid, data_pool, .. } in ancestors.all() {
            let mut stores = Vec::with_capacity(2);
            for pool in [place.pool, *data_pool] {
                let key = (pool, place.namespace.clone());
                if !pools.contains_key(&key) {
                    let opened = open_place(store, pool, &place.namespace).await?;
                    pools.insert(key.clone(), opened);
                }
                stores.extend(pools.get(&key).cloned());
            }
            let [meta, data] = [0, 1].map(|index: usize| stores[index].clone());
            let (id, line) = (ImageId(place.id.clone()), Self::default());
            objects.push(Objects { meta, data, id, uuid: *uuid, line, base: None });
        }
        let migrations_bits = Arc::new(AtomicU64::new(bits_of(migration)));
        let migration = migration.cloned().map(Arc::new);
        Ok(Self { ancestors, objects: objects.into(), migration, migrations_bits, had_base, migrator: None })
    }
}

/// The maps of a destination may lead to the source.
fn needs_source(migration: &MigrationRecord) -> bool {
    use MigrationState::{Aborting, Executing, Prepared, Preparing};
    // What an image of another kind has is no map's: it is a base.
    migration.role == MigrationRole::Destination
        && migration.kind.is_none()
        && matches!(migration.state, Preparing | Prepared | Executing | Aborting)
}

fn bits_of(migration: Option<&MigrationRecord>) -> u64 {
    match migration.map(|migration| migration.kind.is_some()) {
        None => 0,
        Some(false) => REQUIRES_MIGRATION,
        Some(true) => REQUIRES_MIGRATION | REQUIRES_FOREIGN,
    }
}

impl Objects {
    /// Whose numbers are whose.
    pub(crate) fn ancestors(&self) -> Ancestors {
        self.line.ancestors.clone()
    }

    /// The same, of who aborts the migration that the image is in.
    #[must_use]
    pub(crate) fn of_migrator(mut self) -> Self {
        self.line.migrator = Some(Arc::default());
        self
    }

    pub(crate) fn is_migrators(&self) -> bool {
        self.line.migrator.is_some()
    }

    /// Rule 40. `Busy`: who aborts the migration has owned the image, and somebody else who aborts it has taken it.
    pub(crate) fn check_never_owned(&self) -> Result<()> {
        match self.line.migrator.as_ref().is_some_and(|it| it.load(Ordering::Acquire)) {
            true => Err(Error::new(ErrorKind::Busy, "somebody else takes the migration back")),
            false => Ok(()),
        }
    }

    /// Rule 40. `Busy`: somebody else has given the source back since; it may have a guest.
    pub(crate) fn check_not_returned(&self, header: &Header) -> Result<()> {
        let Some(was_owner) = &self.line.migrator else { return Ok(()) };
        let other = self.line.migration.as_ref().map(|migration| &migration.other);
        let is_it = |now: &MigrationRecord| {
            now.role == MigrationRole::Source && now.state != MigrationState::Returned && Some(&now.other) == other
        };
        if !header.migration.as_ref().is_some_and(is_it) {
            return Err(Error::new(ErrorKind::Busy, format!("{}: the migration was taken back", header.name)));
        }
        was_owner.store(true, Ordering::Release);
        Ok(())
    }

    /// The header was read anew.
    pub(crate) fn note_migration(&self, header: &Header) {
        self.line.migrations_bits.store(bits_of(header.migration.as_ref()), Ordering::Release);
    }

    /// Rule 47: these bits, with what the image requires of who touches it beside them.
    pub(crate) fn requires(&self, bits: u64) -> u64 {
        let migration = self.line.migrations_bits.load(Ordering::Acquire);
        let base = if self.line.had_base { REQUIRES_BASE } else { 0 };
        bits | migration | base
    }

    /// Rule 38: what nobody deletes, as long as the image is the source of a migration.
    pub(crate) fn frozen(&self) -> Option<Frozen> {
        let migration = self.line.migration.as_ref()?;
        let is_source = migration.role == MigrationRole::Source && migration.state != MigrationState::Returned;
        is_source.then(|| Frozen::of(&migration.source))
    }

    /// The pages of this checkpoint are among those of the source of a migration.
    pub(crate) fn is_sources_page(&self, checkpoint: CheckpointId) -> bool {
        self.line.ancestors.is_source(self.line.ancestors.of_checkpoint(checkpoint))
    }

    /// A leaf is, or a part of it.
    pub(crate) fn is_sources_leaf(&self, at: &LeafPlace) -> bool {
        at.pointers().any(|at| self.is_sources_page(at.checkpoint))
    }

    /// Those of the image itself or of an ancestor.
    pub(crate) fn at(&self, whose: Whose) -> &Objects {
        match whose {
            Whose::Own => self,
            Whose::Ancestor(index) => self.line.objects.get(usize::from(index)).unwrap_or(self),
        }
    }

    /// Those that the pages of a checkpoint are among.
    pub(crate) fn of_page(&self, checkpoint: CheckpointId) -> &Objects {
        self.at(self.line.ancestors.of_checkpoint(checkpoint))
    }

    /// Its pages are the image's own: nobody else's may be counted or deleted.
    pub(crate) fn has_page(&self, checkpoint: CheckpointId) -> bool {
        self.line.ancestors.of_checkpoint(checkpoint) == Whose::Own
    }

    /// The image's own pages that leaves are in: an ancestor's are kept by the snapshot that the image is a clone of.
    pub(crate) fn own_pages<'a>(&self, leaves: impl Iterator<Item = &'a LeafPlace>) -> BTreeSet<PageKey> {
        leaves.flat_map(leaf_pages).filter(|(id, _)| self.has_page(*id)).collect()
    }
}
