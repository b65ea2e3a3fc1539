//! The distribution's own librbd: its functions, and what belongs to its images.
//!
//! A stock RBD image is opened by that library, and everything done to it is a call into it: nothing is copied, no thread stands
//! between. What a caller holds is a handle of this library, as for an image of lsd (ADR 0015).
//!
//! Owns: handles of stock images, and the end of their operations. Does not own: when it is asked (layer
//! `face`), the loading (`lsd_rados::stock`).

/// Tells copies of this library from others (`lsd_rados::stock`). No client calls it.
#[unsafe(no_mangle)]
pub extern "C" fn lsd_librbd_marker() {}

pub mod bridge;
pub mod context;
pub mod functions;
pub mod images;
pub mod options;
pub mod symbol;
