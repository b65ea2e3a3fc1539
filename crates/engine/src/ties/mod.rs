//! The ties between clones and the snapshots that they are clones of.
//!
//! Owns: both headers' part of it. Does not own: making a clone (`lifecycle/clone.rs`), flattening one (`session/flatten.rs`), reading
//! through the line of ancestors (`objects/line.rs`), whose a number is (`lsd_state::lineage`).
//!
//! A clone keeps nothing in the store by itself: the snapshot does, as long as it has children. So a tie is made before the clone
//! is there, and loosed when nothing of the clone leads to the parent any more (rule 35).
pub(crate) mod stale;
pub(crate) mod tie;
