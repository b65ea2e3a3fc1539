//! What is fetched before it is asked for: data for readers in order (`data.rs`), leaves of the map (`leaves.rs`), and carrying it
//! out (`task.rs`).
pub(crate) mod data;
pub(crate) mod leaves;
pub(crate) mod task;
