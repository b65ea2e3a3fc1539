//! A copy from an image of one kind to one of the other, by reading and writing: data and metadata, no snapshots.
//!
//! Owns: what is read and written. Does not own: reading and writing, which are the exported functions, whatever the handles are.
use crate::face::create::rbd_create4;
use crate::face::data_table::{rbd_diff_iterate2, rbd_flush, rbd_read, rbd_write, rbd_write_zeroes};
use crate::face::formats::Format;
use crate::face::image_table::{rbd_get_size, rbd_metadata_list, rbd_metadata_set, rbd_stat};
use crate::face::merge::pairs;
use crate::face::open::{rbd_close, rbd_open};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_image_info_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::progress::CallerProgress;
use crate::handles::options::{ImageOptions, Value, name};
use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::zeroed;
use std::ops::Range;
use std::ptr;

/// How much of the source is asked at a time for what has data: bounds the memory for the answer.
const WINDOW_BYTES: u64 = 1 << 30;
/// How much is read and written at a time, and after which progress is reported.
const CHUNK_BYTES: u64 = 4 << 20;
/// Metadata that overrides an option, of which the other kind may know none.
const OVERRIDE: &str = "conf_";

fn checked(code: c_int) -> Outcome<()> {
    if code < 0 { Err(Errno(-code)) } else { Ok(()) }
}

/// Copies into a new image. Its order is the source's, its features are the default ones, but for what the options say. A failed
/// copy leaves it there, as librbd does.
///
/// # Safety
/// An open image, a live io context and a string.
pub unsafe fn to_new(
    source: rbd_image_t,
    (io, image_name): (rados_ioctx_t, *const c_char),
    options: Option<&ImageOptions>,
    format: Format,
    progress: CallerProgress,
) -> Outcome<()> {
    // SAFETY: a structure of numbers and arrays of them, for which zero is a value.
    let mut info: rbd_image_info_t = unsafe { zeroed() };
    // SAFETY: an open image, and a structure to fill.
    checked(unsafe { rbd_stat(source, &mut info, size_of::<rbd_image_info_t>()) })?;
    let wanted = ImageOptions::register()?;
    if let Some(options) = options {
        wanted.values().clone_from(&*options.values());
    }
    wanted.values().entry(name::ORDER).or_insert(Value::Number(info.order as u64));
    wanted.values().insert(name::LSD_FORMAT, Value::Text(format.word().to_owned()));
    // SAFETY: the same contract, with options of our own.
    let made = checked(unsafe { rbd_create4(io, image_name, info.size, wanted.handle()) });
    crate::handles::options::take_options(wanted.handle())?;
    made?;
    let mut target = ptr::null_mut();
    // SAFETY: the same contract, and a place for the image.
    checked(unsafe { rbd_open(io, image_name, &mut target, ptr::null()) })?;
    // SAFETY: two open images.
    let copied = unsafe { to_open(source, target, true, progress) };
    // SAFETY: opened above.
    let closed = checked(unsafe { rbd_close(target) });
    copied.and(closed)
}

/// Copies into an image. One that is not fresh gets zeroes where the source has nothing. EINVAL: it is smaller than the source.
///
/// # Safety
/// Two open images.
pub unsafe fn to_open(
    source: rbd_image_t,
    target: rbd_image_t,
    is_fresh: bool,
    progress: CallerProgress,
) -> Outcome<()> {
    let (mut size, mut room) = (0, 0);
    // SAFETY: two open images, and places for numbers.
    unsafe {
        checked(rbd_get_size(source, &mut size))?;
        checked(rbd_get_size(target, &mut room))?;
    }
    if room < size {
        return Err(Errno::EINVAL);
    }
    let mut buffer = vec![0_u8; CHUNK_BYTES.min(size) as usize];
    for at in (0..size).step_by(WINDOW_BYTES as usize) {
        let window = at..size.min(at + WINDOW_BYTES);
        let mut done = window.start;
        // SAFETY: an open image.
        for extent in unsafe { extents(source, &window) }? {
            if !is_fresh {
                // SAFETY: an open image.
                unsafe { zero(target, done..extent.start) }?;
            }
            for from in extent.clone().step_by(CHUNK_BYTES as usize) {
                let len = CHUNK_BYTES.min(extent.end - from) as usize;
                // SAFETY: two open images.
                unsafe { chunk(source, target, from, &mut buffer[..len]) }?;
                progress.report(from + len as u64, size)?;
            }
            done = extent.end;
        }
        if !is_fresh {
            // SAFETY: an open image.
            unsafe { zero(target, done..window.end) }?;
        }
        progress.report(window.end, size)?;
    }
    // SAFETY: two open images.
    unsafe {
        metadata(source, target)?;
        checked(rbd_flush(target))
    }
}

/// What has data in a part of an image, in order.
///
/// # Safety
/// An open image.
unsafe fn extents(image: rbd_image_t, window: &Range<u64>) -> Outcome<Vec<Range<u64>>> {
    /// Adds an extent to the vector that is its argument.
    unsafe extern "C" fn add(offset: u64, len: usize, exists: c_int, found: *mut c_void) -> c_int {
        if exists != 0 {
            // SAFETY: the vector below, which nobody else uses meanwhile.
            unsafe { &mut *found.cast::<Vec<Range<u64>>>() }.push(offset..offset + len as u64);
        }
        0
    }
    let mut found: Vec<Range<u64>> = Vec::new();
    let (at, len, place) = (window.start, window.end - window.start, (&raw mut found).cast());
    // SAFETY: an open image; the vector outlives the call.
    checked(unsafe { rbd_diff_iterate2(image, ptr::null(), at, len, 1, 0, Some(add), place) })?;
    found.sort_by_key(|extent| extent.start);
    Ok(found)
}

/// # Safety
/// Two open images.
unsafe fn chunk(source: rbd_image_t, target: rbd_image_t, at: u64, buffer: &mut [u8]) -> Outcome<()> {
    // SAFETY: an open image, and a buffer of that length.
    let read = unsafe { rbd_read(source, at, buffer.len(), buffer.as_mut_ptr().cast()) };
    let read = usize::try_from(read).map_err(|_| Errno(-read as c_int))?;
    // SAFETY: an open image, and a buffer of at least that length.
    let written = unsafe { rbd_write(target, at, read, buffer.as_ptr().cast()) };
    usize::try_from(written).map(drop).map_err(|_| Errno(-written as c_int))
}

/// # Safety
/// An open image.
unsafe fn zero(image: rbd_image_t, range: Range<u64>) -> Outcome<()> {
    for at in range.clone().step_by(WINDOW_BYTES as usize) {
        let len = WINDOW_BYTES.min(range.end - at) as usize;
        // SAFETY: an open image.
        let zeroed = unsafe { rbd_write_zeroes(image, at, len, 0, 0) };
        usize::try_from(zeroed).map_err(|_| Errno(-zeroed as c_int))?;
    }
    Ok(())
}

/// # Safety
/// Two open images.
unsafe fn metadata(source: rbd_image_t, target: rbd_image_t) -> Outcome<()> {
    let all = pairs(|keys, key_len, values, vals_len| {
        // SAFETY: an open image, and buffers of those sizes.
        unsafe { rbd_metadata_list(source, c"".as_ptr(), 0, keys, key_len, values, vals_len) }
    })?;
    for (key, value) in all {
        let text = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
        // SAFETY: an open image and two strings.
        match checked(unsafe { rbd_metadata_set(target, text(&key)?.as_ptr(), text(&value)?.as_ptr()) }) {
            Err(Errno::EINVAL) if key.starts_with(OVERRIDE) => {}
            set => set?,
        }
    }
    Ok(())
}
