//! The distribution's own librbd: finding and loading it, its functions, and what belongs to its images.
//!
//! A stock RBD image is opened by that library, and everything done to it is a call into it: nothing is copied, no thread stands
//! between. What a caller holds is a handle of this library, as for an image of lsd (ADR 0015).
//!
//! Owns: the loaded library, handles of stock images, and the end of their operations. Does not own: when it is asked (layer
//! `face`).
pub mod bridge;
pub mod context;
pub mod functions;
pub mod images;
pub mod library;
pub mod options;
mod search;
pub mod symbol;
