//! Passing a call on to the stock library.
//!
//! Owns: what becomes of a handle that is dead, and whether there is a stock library to ask. Does not own: which function.
use crate::api::data::io::ReadCallback;
use crate::api::diff::DiffCallback;
use crate::ffi::ctypes::{Progress, Update, rados_ioctx_t, rados_t, rbd_callback_t};
use crate::ffi::errno::{CReturn, Errno, Outcome};
use crate::handles::pool::Pool;
use crate::handles::slab::Ref;
use crate::stock::images::StockImage;
use lsd_engine::STOCK_LIBRARY_OPTION;
use lsd_rados::Cluster;
use lsd_rados::stock::loaded;
use std::ffi::{c_int, c_void};

/// A call on a stock image. No panic is possible in it, so it needs no guard.
#[inline]
pub fn passed<R: CReturn>(found: Outcome<Ref<StockImage>>, call: impl FnOnce(&Ref<StockImage>) -> Outcome<R>) -> R {
    found.and_then(|stock| call(&stock)).unwrap_or_else(R::from_errno)
}

/// A callback for the stock library, which calls whatever it was given: one that does nothing for nobody.
pub fn told(callback: Progress) -> Progress {
    unsafe extern "C" fn nobody(_: u64, _: u64, _: *mut c_void) -> c_int {
        0
    }
    callback.or(Some(nobody))
}

/// An argument on its way to the stock library.
pub trait Passing: Sized {
    /// The same, but for what the stock library would use without looking.
    #[inline]
    fn to_stock(self) -> Self {
        self
    }
}

impl Passing for Progress {
    #[inline]
    fn to_stock(self) -> Self {
        told(self)
    }
}

impl<T> Passing for *const T {}
impl<T> Passing for *mut T {}

macro_rules! as_they_are {
    ($($type:ty),*) => {$(impl Passing for $type {})*};
}

as_they_are!(
    bool,
    u8,
    c_int,
    u32,
    i64,
    u64,
    usize,
    Update,
    Option<DiffCallback>,
    Option<ReadCallback>,
    Option<rbd_callback_t>
);

/// # Safety
/// None; it is one question of several.
pub unsafe fn is_loaded() -> Outcome<bool> {
    Ok(loaded().is_some())
}

/// Whether there is a stock library. Nobody is told if there is none.
///
/// # Safety
/// Null, or a live io context.
pub unsafe fn is_there_for(io: rados_ioctx_t) -> Outcome<bool> {
    if loaded().is_some() {
        return Ok(true);
    }
    // SAFETY: the same contract.
    let pool = unsafe { Pool::adopt(io) }?;
    Ok(is_there(&pool))
}

/// Loads it if nobody did before. The error says why it cannot be had.
fn load(named: &dyn Fn() -> Option<String>) -> Result<(), String> {
    if loaded().is_none() {
        let library = lsd_rados::stock::load(named)?;
        tracing::info!(target: "lsd::api", path = %library.path().display(), "the stock librbd is loaded");
    }
    Ok(())
}

/// The same, by a pool that was adopted.
pub fn is_there(pool: &Pool) -> bool {
    load(&|| pool.setting(STOCK_LIBRARY_OPTION)).is_ok()
}

/// The same, by a cluster handle.
///
/// # Safety
/// Null, or a connected cluster handle.
pub unsafe fn is_there_in(rados: rados_t) -> Outcome<bool> {
    if rados.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: connected by the contract, and only its settings are asked for.
    let cluster = unsafe { Cluster::from_raw(rados) };
    Ok(load(&|| cluster.conf_get(STOCK_LIBRARY_OPTION)).is_ok())
}

/// The same, for something that was asked for by its name: a person is told why it cannot be had.
pub fn is_there_to_reach(pool: &Pool, what: &str) -> bool {
    match load(&|| pool.setting(STOCK_LIBRARY_OPTION)) {
        Ok(()) => true,
        Err(reason) => {
            crate::ffi::log::once(format!(
                "{what} is a stock RBD image's, and there is no stock librbd to reach it ({reason}): install librbd1, or name the \
                 file with the option lsd_stock_librbd"
            ));
            false
        }
    }
}
