//! The trait of an object store, in parts, and the words that each part speaks in.
//!
//! Owns: what a store promises. Does not own: how a store keeps it (`memory/`, `dir/`, crate `lsd-rados`), whether it does
//! (`contract/`).
//!
//! | part | what it is about |
//! |---|---|
//! | [`Blobs`](crate::Blobs) | objects of any kind, as bytes: read, put, remove |
//! | [`Logs`](crate::Logs) | log objects: guarded appends, fences, tails |
//! | [`Keyed`](crate::Keyed) | keyed objects: guarded updates of keys and values |
//! | [`Presence`](crate::Presence) | which clients there are: locks, watches, notifications, fencing a client off |
//! | [`Pools`](crate::Pools) | the pool: what it can do, what is in it, other pools |
//!
//! A store that has all of them is an [`ObjectStore`](crate::ObjectStore). What follows holds in every part:
//!
//! - **Success means durable.** An operation that failed `NotFound`, `Exists`, `Stale`, `Full`, `Busy`, `Invalid` or
//!   `Unsupported` changed nothing; after any other error it may have taken effect, or may still do so.
//! - **Order.** Operations of one client on one object take effect in the order of the calls (the order in which the methods were
//!   called, not in which the futures were polled), so an implementation starts the operation in the call itself. That goes for
//!   writes, and for `log_tail`, `fence` and `kv_get` behind them; what else is read need not have a write whose answer has not come
//!   yet: where the order matters, its caller waits for the answer.
//! - **A dropped future** takes nothing back.
//! - **Units.** Lengths and offsets are bytes of what was written; what a store keeps beside it does not count.
//! - **Errors** are those that a method names. Besides, every operation may fail `TimedOut`, `Io`, `Permission`, and `Fenced` when
//!   this client is shut out.
//! - **Source.** An error names the operation and the object, and has the errno that the store itself was given, with what else it was
//!   told as the detail ([`StoreError`](crate::StoreError)).
pub mod blobs;
pub mod keyed;
pub mod logs;
pub mod object;
pub mod pools;
pub mod presence;
