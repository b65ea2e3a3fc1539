//! The part of the header that clients see, as an open image has it.
use crate::Error;
use crate::objects::header::{Header, Snapshots};
use lsd_core::format::header::{AncestryRecord, BaseRecord, GroupRef, MigrationRecord, StateRecord};
use lsd_store::KvMap;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) state: StateRecord,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) snapshots: Snapshots,
    /// Of a clone.
    pub(crate) ancestry: Option<AncestryRecord>,
    pub(crate) group: Option<GroupRef>,
    pub(crate) migration: Option<MigrationRecord>,
    /// What is shown where nothing was ever written.
    pub(crate) base: Option<BaseRecord>,
    /// What the image needs no more, and is not let go of yet.
    pub(crate) left_base: Option<BaseRecord>,
    /// Who wants to be quiet before snapshots: keys and values of the header.
    pub(crate) quiesce: KvMap,
    /// What in the metadata overrides an option and is not understood.
    pub(crate) option_faults: Vec<Error>,
}

impl Described {
    /// A flatten has something to do: the image is a clone, or has a base, or has one yet to let go of.
    pub(crate) fn can_be_flattened(&self) -> bool {
        let is_clone = self.ancestry.as_ref().is_some_and(|ancestry| ancestry.overlap.is_some());
        is_clone || self.base.is_some() || self.left_base.is_some()
    }

    pub(crate) fn of(header: &Header) -> Self {
        Self {
            name: header.name.clone(),
            state: header.state,
            metadata: header.metadata.clone(),
            snapshots: header.snapshots.clone(),
            ancestry: header.ancestry.clone(),
            group: header.group.clone(),
            migration: header.migration.clone(),
            base: header.base.clone(),
            left_base: header.left_base.clone(),
            quiesce: header.quiesce.clone(),
            option_faults: Vec::new(),
        }
    }

    /// True if clients see the same; times are no part of it.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        let state_of = |described: &Self| described.migration.as_ref().map(|migration| migration.state);
        let seen = |state: &StateRecord| (state.size, state.features, state.op_features, state.flags);
        self.name == other.name
            && seen(&self.state) == seen(&other.state)
            && self.metadata == other.metadata
            && self.snapshots == other.snapshots
            && self.ancestry == other.ancestry
            && self.group == other.group
            && self.base == other.base
            && state_of(self) == state_of(other)
    }
}
