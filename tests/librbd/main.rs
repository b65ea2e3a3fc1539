//! The library under its clients: C programs, QEMU, fio, rbd-fuse, tgt, guests; what is left when they are killed, and what they
//! cost. Each module is one behaviour and says in its head what it shows.
//!
//! One program, since each has what they share compiled and linked anew. So nothing here may change what belongs to the process:
//! its environment, its working directory, its signals. Clients are processes of their own (`common/command.rs`).
//!
//! Tests begin in the order of their names. What takes longest and uses one core has an early one (`ceph_...`); `soak`, which waits
//! until it is alone, a late one.
#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod boot_guest;
mod ceph_python;
mod ceph_workunits;
mod client_log;
mod crash_family;
mod crash_prefix;
mod cxx_face;
mod ec_pool;
mod fio_kill;
mod fio_verify;
mod handover;
mod librbd_abi;
mod librbd_capi;
mod librbd_memory;
mod librbd_symbols;
mod libvirt_pool;
mod live_migration;
mod mixed_sizes;
mod openstack;
mod pass_through;
mod qemu_img;
mod qemu_io;
mod rbd_fuse;
mod snapshots_beside_writer;
mod soak;
mod tgt_rbd;
