//! Safe asynchronous librados, and the object store on it.
pub mod conf_file;
