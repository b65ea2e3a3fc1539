//! Which library has an image: by its name, by its id, in the trash.
//!
//! An image's name is in one of two directories: lsd's, and RBD's, of which an object for each name is looked at. Both are asked
//! side by side. Somebody else may make the other one at that moment, for there is no lock over both; then there are two, and
//! the one of lsd is the one that its name means (ADR 0015).
//!
//! Owns: these questions. Does not own: what is done with the answer.
use crate::face::passing::{is_there, is_there_to_reach};
use crate::ffi::caller::string;
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{Catalog, ErrorKind, ImageId, Migrations, Trash, TrashSource};
use std::ffi::c_char;

/// RBD's objects in a pool: a name's, one of format 1, a header, the trash, and who has been there at all.
const NAME_OBJECT: &str = "rbd_id.";
const OLD_HEADER_SUFFIX: &str = ".rbd";
const HEADER_OBJECT: &str = "rbd_header.";
const TRASH_OBJECT: &str = "rbd_trash";
pub const DIRECTORY_OBJECT: &str = "rbd_directory";
/// lsd's.
const OWN_HEADER_OBJECT: &str = "lsd_header.";

/// Who has an image of a name.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    pub ours: bool,
    pub stock: bool,
}

pub async fn owners(pool: &Pool, name: &str) -> Outcome<Owners> {
    let catalog = Catalog::new(pool.store.clone());
    let ours = async {
        match catalog.id_of(name).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Errno::from(error)),
        }
    };
    let (new, old) = (format!("{NAME_OBJECT}{name}"), format!("{name}{OLD_HEADER_SUFFIX}"));
    let (ours, new, old) = futures::join!(ours, pool.has_object(&new), pool.has_object(&old));
    Ok(Owners { ours: ours?, stock: new? || old? })
}

/// EEXIST: one of the other kind than `wanted_stock` has that name. The own directory of each kind is looked at by whoever makes
/// the image.
pub async fn free_in_other(pool: &Pool, name: &str, wanted_stock: bool) -> Outcome<()> {
    let owners = owners(pool, name).await?;
    let taken = if wanted_stock { owners.ours } else { owners.stock };
    if taken { Err(Errno::EEXIST) } else { Ok(()) }
}

/// Whether a name means an image of the stock library, which is there.
pub fn is_stock(pool: &Pool, name: &str) -> Outcome<bool> {
    let owners = core()?.block_on(owners(pool, name))?;
    Ok(!owners.ours && owners.stock && is_there_to_reach(pool, &format!("image {name}")))
}

/// The same of an id.
pub fn is_stock_id(pool: &Pool, id: &str) -> Outcome<bool> {
    let (own, stock) = (format!("{OWN_HEADER_OBJECT}{id}"), format!("{HEADER_OBJECT}{id}"));
    let (own, stock) = core()?.block_on(async { futures::join!(pool.has_object(&own), pool.has_object(&stock)) });
    Ok(!own? && stock? && is_there_to_reach(pool, &format!("image {id}")))
}

/// Whether a call that names an image is the stock library's. EBUSY: both libraries have one of that name. So is one that names nothing
/// of either: it finds by its name what is half removed, and in its trash.
///
/// # Safety
/// A live io context and a string, by the contract of librbd.h.
pub unsafe fn stock_has(io: rados_ioctx_t, name: *const c_char) -> Outcome<bool> {
    // SAFETY: the same contract.
    let (name, pool) = unsafe { (string(name)?, Pool::adopt(io)?) };
    let owners = core()?.block_on(owners(&pool, &name))?;
    if owners.ours && owners.stock && is_there(&pool) {
        // Whoever repeats a removal would remove both, one after the other.
        crate::ffi::log::line(&format_args!(
            "two images are called {name}, one of lsd's and one of RBD's: what is to go or to move cannot be told by the name"
        ));
        return Err(Errno::EBUSY);
    }
    if owners.ours {
        return Ok(false);
    }
    if owners.stock {
        return Ok(is_there_to_reach(&pool, &format!("image {name}")));
    }
    Ok(stock_lists_trash(&pool)? && !core()?.block_on(is_source(&pool, &name))?)
}

/// Whether the source of a migration to an image of lsd, which is found by its name, is in the trash, of either kind.
async fn is_source(pool: &Pool, name: &str) -> Outcome<bool> {
    let trash = Trash::new(pool.store.clone()).list().await?;
    if trash.iter().any(|entry| entry.source == TrashSource::Migration && entry.name == name) {
        return Ok(true);
    }
    Ok(Migrations::new(pool.store.clone(), pool.open_options(false)?).is_foreign_source(name).await?)
}

/// Whether an id that may be in the trash is the stock library's.
///
/// # Safety
/// A live io context and a string, by the contract of librbd.h.
pub unsafe fn stock_trash_may_have(io: rados_ioctx_t, id: *const c_char) -> Outcome<bool> {
    // SAFETY: the same contract.
    let (id, pool) = unsafe { (string(id)?, Pool::adopt(io)?) };
    match core()?.block_on(Trash::new(pool.store.clone()).get(&ImageId(id.clone()))) {
        Err(error) if error.kind == ErrorKind::NotFound => {}
        found => return found.map(|_| false).map_err(Errno::from),
    }
    stock_lists_trash(&pool)
}

/// Whether RBD has made that object in the pool, and the stock library is there. Nobody is told if it is not.
pub fn stock_lists(pool: &Pool, object: &str) -> Outcome<bool> {
    Ok(core()?.block_on(pool.has_object(object))? && is_there(pool))
}

/// Whether there may be something in the pool's trash that the stock library can list.
pub fn stock_lists_trash(pool: &Pool) -> Outcome<bool> {
    stock_lists(pool, TRASH_OBJECT)
}
