//! What a run leaves behind for people: a trace of what happened, counters, failures. Knows nobody else.
pub mod report;
pub mod trace;
