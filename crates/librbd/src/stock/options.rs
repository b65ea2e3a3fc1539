//! A caller's image options as the stock library takes them.
//!
//! Owns: the stock library's bag, made for one call. Does not own: which options there are (`api/options.rs`).
use crate::ffi::ctypes::rbd_image_options_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::options::{ImageOptions, Value, name};
use crate::stock::functions;
use std::ffi::CString;
use std::ptr;

pub struct StockOptions(rbd_image_options_t);

impl StockOptions {
    /// EINVAL: an option that the stock library does not know.
    pub fn like(options: &ImageOptions) -> Outcome<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: a place for the handle.
        unsafe { functions::rbd_image_options_create(&mut raw) };
        if raw.is_null() {
            return Err(Errno::EOPNOTSUPP);
        }
        let made = Self(raw);
        for (option, value) in options.values().iter().filter(|(option, _)| **option != name::LSD_FORMAT) {
            let code = match value {
                // SAFETY: a live handle.
                Value::Number(number) => unsafe { functions::rbd_image_options_set_uint64(raw, *option, *number) },
                Value::Text(text) => {
                    let text = CString::new(text.as_str()).map_err(|_| Errno::EINVAL)?;
                    // SAFETY: a live handle, and a C string that is copied.
                    unsafe { functions::rbd_image_options_set_string(raw, *option, text.as_ptr()) }
                }
            };
            if code < 0 {
                return Err(Errno(-code));
            }
        }
        Ok(made)
    }

    pub fn raw(&self) -> rbd_image_options_t {
        self.0
    }

    /// Tells the caller of the order that was chosen.
    pub fn tell(&self, options: &ImageOptions) {
        let mut order = 0;
        // SAFETY: a live handle and a place for the number.
        if unsafe { functions::rbd_image_options_get_uint64(self.0, name::ORDER, &mut order) } == 0 {
            options.set_number(name::ORDER, order);
        }
    }
}

impl Drop for StockOptions {
    fn drop(&mut self) {
        // SAFETY: made here, and nobody else has it.
        unsafe { functions::rbd_image_options_destroy(self.0) };
    }
}
