//! Which parts of an image or a snapshot have data, or differ from an older snapshot (`rbd_diff_iterate*`).
//!
//! Extents are byte-exact unless whole objects are asked for. Does not own: comparing two maps (the engine's `Image::changes`).
use crate::api::data::operation::clip;
use crate::ffi::caller::optional_string;
use crate::ffi::ctypes::rbd_image_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::with_image;
use crate::handles::image::OpenImage;
use crate::handles::layout::Layout;
use crate::handles::slab::Ref;
use lsd_engine::{Extent, Image, SnapInfo};
use std::ffi::{c_char, c_int, c_void};

/// Called for each extent: (offset, length, 1 for data and 0 for a hole, argument); negative ends the listing.
pub type DiffCallback = unsafe extern "C" fn(u64, usize, c_int, *mut c_void) -> c_int;

/// `RBD_DIFF_ITERATE_FLAG_WHOLE_OBJECT` of rbd_diff_iterate3.
const FLAG_WHOLE_OBJECT: u32 = 1 << 1;
/// `RBD_DIFF_ITERATE_FLAG_INCLUDE_PARENT`: else what a clone has of its parent is no data.
const FLAG_INCLUDE_PARENT: u32 = 1 << 0;

/// Bytes of an image that are compared before anything of them is told: what differs there, at worst in blocks of 4 KiB, is in memory.
const COMPARED_AT_ONCE: u64 = 4 << 30;

/// Joins what the engine gives in steps and tells the caller.
struct Teller {
    callback: DiffCallback,
    argument: *mut c_void,
    layout: Layout,
    whole_object: bool,
    include_parent: bool,
    /// Told extents lie within this range.
    window: (u64, u64),
    /// The extent that may still grow, and whether it has data.
    pending: Option<(u64, u64, bool)>,
}

impl Teller {
    /// The objects around it, where whole ones are asked for: those that are striped together are taken as one.
    fn widened(&self, start: u64, end: u64) -> (u64, u64) {
        if !self.whole_object {
            return (start, end);
        }
        let unit = self.layout.period();
        ((start / unit * unit).max(self.window.0), end.next_multiple_of(unit).min(self.window.1))
    }

    /// Extents come in order; of a whole object that has data somewhere, whatever changed in it, `data` is true.
    fn extent(&mut self, start: u64, end: u64, data: bool) -> Outcome<()> {
        let (start, end) = self.widened(start, end);
        match &mut self.pending {
            Some((_, pending_end, pending_data)) if *pending_end >= start && *pending_data == data => {
                *pending_end = end.max(*pending_end);
                Ok(())
            }
            _ => {
                self.tell()?;
                self.pending = Some((start, end, data));
                Ok(())
            }
        }
    }

    fn has_data(&self, image: &Ref<OpenImage>, shown: &Image, (start, end): (u64, u64)) -> Outcome<bool> {
        let mut found = false;
        let mut look = |extent: Extent| {
            found |= extent.data;
            Ok(())
        };
        self.changes(image, (shown, None), (start, end - start), &mut look)?;
        Ok(found)
    }

    /// What of a range is not as in the second image, or has data, as far as it is to be told.
    fn changes(
        &self,
        image: &Ref<OpenImage>,
        (shown, from): (&Image, Option<&Image>),
        (start, len): (u64, u64),
        each: &mut (dyn FnMut(Extent) -> lsd_engine::Result<()> + Send),
    ) -> Outcome<()> {
        match self.include_parent {
            true => image.core.block_on(shown.changes(from, start, len, each))?,
            false => image.core.block_on(shown.own_changes(from, start, len, each))?,
        }
        Ok(())
    }

    /// Whole objects are told one by one, as librbd does.
    fn tell(&mut self) -> Outcome<()> {
        let Some((mut start, end, data)) = self.pending.take() else { return Ok(()) };
        while start < end {
            let unit = self.layout.period();
            let stop = if self.whole_object { ((start / unit + 1) * unit).min(end) } else { end };
            // SAFETY: the caller gave this function for exactly this call.
            let result = unsafe { (self.callback)(start, (stop - start) as usize, c_int::from(data), self.argument) };
            if result < 0 {
                return Err(Errno(-result));
            }
            start = stop;
        }
        Ok(())
    }
}

/// `from`: nothing is told of what is the same there.
fn iterate(
    image: &Ref<OpenImage>,
    from: Option<SnapInfo>,
    (ofs, len): (u64, u64),
    (whole_object, include_parent): (bool, bool),
    (callback, argument): (Option<DiffCallback>, *mut c_void),
) -> Outcome<c_int> {
    let callback = callback.ok_or(Errno::EINVAL)?;
    let shown = image.view.image()?;
    let len = clip(shown.size(), ofs, len)?;
    let layout = image.layout;
    let window = (ofs, ofs + len);
    let mut teller = Teller { callback, argument, layout, whole_object, include_parent, window, pending: None };
    if let Some(from) = from {
        return match image.view.snapshot()? {
            Some(to) if from.id == to => Ok(0),
            Some(to) if from.id > to => Err(Errno::EINVAL),
            _ => differences(image, &shown, &from, teller),
        };
    }
    if !include_parent && image.core.block_on(shown.overlap())? > 0 {
        return own_data(image, &shown, teller);
    }
    let mut at = ofs;
    while at < window.1 {
        for extent in image.core.block_on(shown.first_extents(at, window.1 - at))? {
            at = extent.offset + extent.len;
            if extent.data && extent.len > 0 {
                teller.extent(extent.offset, at, true)?;
            }
        }
    }
    teller.tell()?;
    Ok(0)
}

/// What of the window is not as in the snapshot.
fn differences(image: &Ref<OpenImage>, shown: &Image, from: &SnapInfo, mut teller: Teller) -> Outcome<c_int> {
    let from = image.core.block_on(image.view.open_at(from.id))?;
    let told = tell_parts(image, (shown, Some(&from)), &mut teller);
    let closed = image.core.block_on(from.close());
    told?;
    closed?;
    teller.tell()?;
    Ok(0)
}

/// What of the window a clone has by itself.
fn own_data(image: &Ref<OpenImage>, shown: &Image, mut teller: Teller) -> Outcome<c_int> {
    tell_parts(image, (shown, None), &mut teller)?;
    teller.tell()?;
    Ok(0)
}

fn tell_parts(image: &Ref<OpenImage>, images: (&Image, Option<&Image>), teller: &mut Teller) -> Outcome<()> {
    let (mut at, end) = teller.window;
    while at < end {
        let len = (end - at).min(COMPARED_AT_ONCE);
        tell_part(image, images, (at, len), teller)?;
        at += len;
    }
    Ok(())
}

/// The same of a part of the window.
fn tell_part(
    image: &Ref<OpenImage>,
    (shown, from): (&Image, Option<&Image>),
    (start, len): (u64, u64),
    teller: &mut Teller,
) -> Outcome<()> {
    let mut found: Vec<Extent> = Vec::new();
    let mut collect = |change: Extent| {
        match found.last_mut() {
            Some(last) if last.data == change.data && last.offset + last.len == change.offset => last.len += change.len,
            _ => found.push(change),
        }
        Ok(())
    };
    teller.changes(image, (shown, from), (start, len), &mut collect)?;
    for Extent { offset, len, data } in found {
        let (start, end) = teller.widened(offset, offset + len);
        // An object that something went from may have other data.
        let has_data = !data && teller.whole_object && teller.has_data(image, shown, (start, end))?;
        teller.extent(offset, offset + len, data || has_data)?;
    }
    Ok(())
}

pub unsafe extern "C" fn rbd_diff_iterate(
    image: rbd_image_t,
    fromsnapname: *const c_char,
    ofs: u64,
    len: u64,
    cb: Option<DiffCallback>,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { rbd_diff_iterate2(image, fromsnapname, ofs, len, 1, 0, cb, arg) }
}

/// ENOENT: no such snapshot to start from; EINVAL: it is younger than what the handle shows.
pub unsafe extern "C" fn rbd_diff_iterate2(
    image: rbd_image_t,
    fromsnapname: *const c_char,
    ofs: u64,
    len: u64,
    include_parent: u8,
    whole_object: u8,
    cb: Option<DiffCallback>,
    arg: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        // SAFETY: null or a string by the contract of librbd.h.
        let from = unsafe { optional_string(fromsnapname) }?;
        let from = from.map(|name| image.core.block_on(image.view.head().snapshots().get(&name))).transpose()?;
        iterate(image, from, (ofs, len), (whole_object != 0, include_parent != 0), (cb, arg))
    })
}

/// As rbd_diff_iterate2. `from_snap_id` 0 is the beginning of time. EINVAL for an unknown flag.
pub unsafe extern "C" fn rbd_diff_iterate3(
    image: rbd_image_t,
    from_snap_id: u64,
    ofs: u64,
    len: u64,
    flags: u32,
    cb: Option<DiffCallback>,
    arg: *mut c_void,
) -> c_int {
    with_image(image, |image| {
        if flags & !(FLAG_WHOLE_OBJECT | FLAG_INCLUDE_PARENT) != 0 {
            return Err(Errno::EINVAL);
        }
        let from = (from_snap_id != 0).then_some(from_snap_id);
        let from = from.map(|id| image.core.block_on(image.view.head().snapshots().get_by_id(id))).transpose()?;
        let [whole_object, include_parent] = [FLAG_WHOLE_OBJECT, FLAG_INCLUDE_PARENT].map(|flag| flags & flag != 0);
        iterate(image, from, (ofs, len), (whole_object, include_parent), (cb, arg))
    })
}
