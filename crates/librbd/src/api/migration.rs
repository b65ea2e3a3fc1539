//! Migrations of images within a cluster. What they do is the engine's (`Migrations`).
use crate::api::clone::clone_format;
use crate::ffi::caller::{duplicate, put_sized_text, release, string};
use crate::ffi::ctypes::{
    librbd_progress_fn_t, rados_ioctx_t, rbd_image_migration_status_t, rbd_image_options_t, rbd_image_t,
};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::ffi::progress::CallerProgress;
use crate::handles::entry::with_image;
use crate::handles::options::{ImageOptions, name, options_of};
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::{MigrationOptions, MigrationState, MigrationStatus, Migrations};
use std::ffi::{c_char, c_int, c_void};

/// What a new image of format 1 would be.
const FORMAT_1: u64 = 1;

fn migration_options(pool: &Pool, options: &ImageOptions) -> Outcome<MigrationOptions> {
    if options.number(name::FORMAT) == Some(FORMAT_1) {
        return Err(Errno::EINVAL);
    }
    let [unit, count] = [name::STRIPE_UNIT, name::STRIPE_COUNT].map(|option| options.number(option).unwrap_or(0));
    let order = options.number(name::ORDER).filter(|order| *order != 0);
    let data_pool = options.text(name::DATA_POOL).or_else(|| pool.default_of("rbd_default_data_pool"));
    Ok(MigrationOptions {
        order: order.map(|order| u8::try_from(order).map_err(|_| Errno::EDOM)).transpose()?,
        features: options.number(name::FEATURES),
        stripe: (unit != 0 || count != 0).then_some((unit, count)),
        data_pool: match data_pool.filter(|pool| !pool.is_empty()) {
            Some(data_pool) => Some(pool.pool_id_of(&data_pool)?),
            None => None,
        },
        flatten: options.number(name::FLATTEN).is_some_and(|flatten| flatten > 0),
        format: clone_format(pool, options.number(name::CLONE_FORMAT))?,
    })
}

/// An empty name of the destination is the source's.
pub unsafe extern "C" fn rbd_migration_prepare(
    ioctx: rados_ioctx_t,
    image_name: *const c_char,
    dest_ioctx: rados_ioctx_t,
    dest_image_name: *const c_char,
    opts: rbd_image_options_t,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        // SAFETY: live io contexts and strings by the contract of librbd.h.
        let (pool, image) = unsafe { (Pool::adopt(ioctx)?, string(image_name)?) };
        // SAFETY: the same contract.
        let (to, to_name) = unsafe { (Pool::adopt(dest_ioctx)?, string(dest_image_name)?) };
        let to_name = if to_name.is_empty() { image.clone() } else { to_name };
        let prepared = async {
            to.look_at_overrides().await?;
            let wanted = migration_options(&to, &options)?;
            let migrations = Migrations::new(pool.store.clone(), pool.open_options(false)?);
            migrations.prepare(&image, (&to.store, &to_name), &wanted).await?;
            Ok(0)
        };
        core()?.block_on(prepared)
    })
}

/// One of the steps that follow.
#[derive(Clone, Copy)]
enum Step {
    Execute,
    Commit,
    Abort,
}

/// # Safety
/// The contract of rbd_migration_execute.
unsafe fn step(step: Step, ioctx: rados_ioctx_t, image_name: *const c_char, progress: CallerProgress) -> c_int {
    guard(|| {
        // SAFETY: the same contract.
        let (pool, image) = unsafe { (Pool::adopt(ioctx)?, string(image_name)?) };
        let migrations = Migrations::new(pool.store.clone(), pool.open_options(false)?);
        let end = pool.end();
        let report = |done, total| progress.report(done, total);
        let done = async move {
            let done = match step {
                Step::Execute => migrations.execute(&image, &report).await,
                Step::Commit => migrations.commit(&image, &report).await,
                Step::Abort => migrations.abort(&image, &report).await,
            };
            drop((migrations, pool));
            end.reached().await;
            done?;
            Ok(0)
        };
        core()?.block_on(done)
    })
}

macro_rules! steps {
    ($($name:ident, $with_progress:ident: $step:expr;)*) => {$(
        pub unsafe extern "C" fn $name(ioctx: rados_ioctx_t, image_name: *const c_char) -> c_int {
            // SAFETY: the same contract.
            unsafe { step($step, ioctx, image_name, CallerProgress::new(None, std::ptr::null_mut())) }
        }

        pub unsafe extern "C" fn $with_progress(
            ioctx: rados_ioctx_t,
            image_name: *const c_char,
            cb: Option<librbd_progress_fn_t>,
            cbdata: *mut c_void,
        ) -> c_int {
            // SAFETY: the same contract.
            unsafe { step($step, ioctx, image_name, CallerProgress::new(cb, cbdata)) }
        }
    )*};
}

steps! {
    rbd_migration_execute, rbd_migration_execute_with_progress: Step::Execute;
    rbd_migration_commit, rbd_migration_commit_with_progress: Step::Commit;
    rbd_migration_abort, rbd_migration_abort_with_progress: Step::Abort;
}

fn c_state(state: MigrationState) -> c_int {
    match state {
        MigrationState::Preparing => 1,
        MigrationState::Prepared => 2,
        MigrationState::Executing => 3,
        MigrationState::Executed | MigrationState::Committing => 4,
        MigrationState::Aborting | MigrationState::Returned => 5,
    }
}

fn c_status(status: &MigrationStatus) -> rbd_image_migration_status_t {
    let MigrationStatus { source, destination, state, description } = status;
    rbd_image_migration_status_t {
        source_pool_id: source.pool,
        source_pool_namespace: duplicate(&source.namespace),
        source_image_name: duplicate(&source.name),
        source_image_id: duplicate(&source.id.0),
        dest_pool_id: destination.pool,
        dest_pool_namespace: duplicate(&destination.namespace),
        dest_image_name: duplicate(&destination.name),
        dest_image_id: duplicate(&destination.id.0),
        state: c_state(*state),
        state_description: duplicate(description),
    }
}

/// ERANGE if the caller knows another structure.
pub unsafe extern "C" fn rbd_migration_status(
    ioctx: rados_ioctx_t,
    image_name: *const c_char,
    status: *mut c_void,
    status_size: usize,
) -> c_int {
    guard(|| {
        if status_size != size_of::<rbd_image_migration_status_t>() {
            return Err(Errno::ERANGE);
        }
        // SAFETY: a live io context and a string by the contract of librbd.h.
        let (pool, image) = unsafe { (Pool::adopt(ioctx)?, string(image_name)?) };
        let migrations = Migrations::new(pool.store.clone(), pool.open_options(false)?);
        let found = core()?.block_on(migrations.status(&image))?;
        if status.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: not null, and a place of that size by the contract of librbd.h.
        unsafe { status.cast::<rbd_image_migration_status_t>().write(c_status(&found)) };
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_migration_status_cleanup(status: *mut c_void) {
    // SAFETY: null or a filled status by the contract of librbd.h.
    if let Some(status) = unsafe { status.cast::<rbd_image_migration_status_t>().as_mut() } {
        for text in [
            &mut status.source_pool_namespace,
            &mut status.source_image_name,
            &mut status.source_image_id,
            &mut status.dest_pool_namespace,
            &mut status.dest_image_name,
            &mut status.dest_image_id,
            &mut status.state_description,
        ] {
            // SAFETY: it came from `duplicate`.
            unsafe { release(text) };
        }
    }
}

pub unsafe extern "C" fn rbd_get_migration_source_spec(
    image: rbd_image_t,
    source_spec: *mut c_char,
    max_len: *mut usize,
) -> c_int {
    with_image(image, |image| {
        let source = image.core.block_on(image.view.head().migration_source())?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(source_spec, max_len, &source.source_spec()) }
    })
}
