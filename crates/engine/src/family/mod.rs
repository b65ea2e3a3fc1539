//! Clones: images whose maps begin as those of snapshots.
//!
//! Owns: making one, the tie between the two headers, flattening, who is whose parent and child. Does not own: reading through the
//! line of ancestors (`objects/line.rs`), whose a number is (`lsd_state::lineage`).
//!
//! A clone keeps nothing in the store by itself: the snapshot does, as long as it has children. So a tie is made before the clone
//! is there, and loosed when nothing of the clone leads to the parent any more (rule 35).
pub(crate) mod clone;
pub(crate) mod flatten;
pub(crate) mod kin;
pub(crate) mod stale;
pub(crate) mod tie;

pub use clone::{CloneFormat, CloneOptions};
pub use kin::{Child, Parent};
