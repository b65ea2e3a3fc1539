//! A connection to a cluster.
//!
//! Owns: the `rados_t`, connecting and shutting down, configuration, identity, blocklisting, monitor commands, pools
//! by name and number. Does not own: anything about objects (`IoCtx`). Every method that talks to the cluster blocks.
use crate::callback::on_librados_thread;
use crate::error::{RadosError, RadosResult, c_string, check};
use crate::own_settings::{OwnSettings, is_own};
use crate::text::{grown_text, owned_buffer};
use crate::{ConnectOptions, IoCtx, connections};
use lsd_librados_sys as sys;
use std::ffi::{CString, c_int};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

mod pools;

/// Longest blocklisting, about 20 years: the monitors add it to the present time in 32 bits of seconds.
const BLOCKLIST_MAX_SECONDS: u32 = 20 * 365 * 24 * 3600;

/// A connection to a cluster. Clones share it; it is shut down when the last one and everything opened from it is
/// gone.
#[derive(Clone)]
pub struct Cluster {
    handle: Arc<ClusterHandle>,
}

/// Tells whether anything still uses a connection: clones of it, pools and watches opened from it, and operations in
/// flight, also those whose futures were dropped. It does not keep the connection.
#[derive(Clone)]
pub struct ClusterUse(Weak<ClusterHandle>);

impl ClusterUse {
    /// True from when the last user is gone on. A caller's handle may be shut down then.
    pub fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Size and use of the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterStat {
    pub total_kib: u64,
    pub used_kib: u64,
    pub available_kib: u64,
    pub objects: u64,
}

struct ClusterHandle {
    raw: sys::rados_t,
    /// False for a caller's handle, which its caller shuts down.
    owned: bool,
    own_settings: OwnSettings,
}

// SAFETY: a rados_t may be used from any thread, also from several at once (librados locks inside).
unsafe impl Send for ClusterHandle {}
// SAFETY: as above.
unsafe impl Sync for ClusterHandle {}

struct SendHandle(sys::rados_t);
// SAFETY: only moved to the one thread that shuts it down.
unsafe impl Send for SendHandle {}

impl Drop for ClusterHandle {
    fn drop(&mut self) {
        if !self.owned || !connections::may_shut_down() {
            return;
        }
        let handle = SendHandle(self.raw);
        let shut_down = move || {
            let handle = handle;
            // SAFETY: the last user of a handle that was created here; every operation holds a reference until it is
            // complete, so none is in flight.
            unsafe { sys::rados_shutdown(handle.0) };
            connections::closed();
        };
        if on_librados_thread() {
            // Shutting down joins this very thread. If no thread can be had, the connection lives until the end.
            let _ = std::thread::Builder::new().name("rados-shutdown".to_owned()).spawn(shut_down);
        } else {
            shut_down();
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("raw", &self.handle.raw).field("owned", &self.handle.owned).finish()
    }
}

impl Cluster {
    /// Connects; blocks until the monitors answered or `client_mount_timeout` (300 s by default) has passed.
    pub fn connect(options: &ConnectOptions) -> RadosResult<Self> {
        let cluster = Self::create(options)?;
        // SAFETY: configured and not connected yet.
        let code = unsafe { sys::rados_connect(cluster.raw()) };
        connections::wait_for_end_at_exit();
        check(code, "connect", &options.client_name())?;
        Ok(cluster)
    }

    /// What librados takes a setting for, without a connection; `None` if it does not know or have it.
    pub fn configured(options: &ConnectOptions, key: &str) -> RadosResult<Option<String>> {
        Ok(Self::create(options)?.conf_get(key))
    }

    /// A configured handle without a connection.
    fn create(options: &ConnectOptions) -> RadosResult<Self> {
        let name_text = options.client_name();
        let name = c_string(&name_text, "connect")?;
        let cluster_text = options.cluster.as_deref().unwrap_or("ceph");
        let cluster_name = c_string(cluster_text, "connect")?;
        let mut raw: sys::rados_t = ptr::null_mut();
        // SAFETY: the strings live through the call, which copies them.
        check(unsafe { sys::rados_create2(&mut raw, cluster_name.as_ptr(), name.as_ptr(), 0) }, "connect", &name_text)?;
        connections::opened();
        let own_settings = OwnSettings::load(options.conf_file.as_deref(), cluster_text, &name_text);
        let mut handle = ClusterHandle { raw, owned: true, own_settings };
        handle.configure(options)?;
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Adopts a caller's connected handle; it is never shut down here.
    ///
    /// # Safety
    /// `raw` is a connected `rados_t` of this process' librados and stays so until this value, its clones and
    /// everything opened from them are dropped and every operation started with them is complete.
    pub unsafe fn from_raw(raw: sys::rados_t) -> Self {
        let own_settings = OwnSettings::load(None, "ceph", "client.admin");
        Self { handle: Arc::new(ClusterHandle { raw, owned: false, own_settings }) }
    }

    pub fn usage(&self) -> ClusterUse {
        ClusterUse(Arc::downgrade(&self.handle))
    }

    /// The handle for a direct librados call.
    pub(crate) fn raw(&self) -> sys::rados_t {
        self.handle.raw
    }

    /// A setting as librados has it; settings named `lsd_*` come from the connection's options and ceph.conf.
    /// `None` if nobody knows or set it.
    pub fn conf_get(&self, key: &str) -> Option<String> {
        if is_own(key) {
            return self.handle.own_settings.get(key).map(str::to_owned);
        }
        let name = CString::new(key).ok()?;
        // SAFETY: the buffer has the length that is passed with it.
        let get = |buffer: *mut _, len: usize| unsafe { sys::rados_conf_get(self.raw(), name.as_ptr(), buffer, len) };
        grown_text(&[nix::libc::ENAMETOOLONG, nix::libc::ERANGE], get, "conf_get", key).ok()
    }

    /// The names of the `lsd_*` settings that the connection's options and ceph.conf have, known or not.
    pub fn own_settings(&self) -> Vec<String> {
        self.handle.own_settings.names()
    }

    /// The cluster's id.
    pub fn fsid(&self) -> RadosResult<String> {
        // SAFETY: the buffer has the length that is passed with it.
        let get = |buffer: *mut _, len: usize| unsafe { sys::rados_cluster_fsid(self.raw(), buffer, len) };
        grown_text(&[nix::libc::ERANGE], get, "cluster_fsid", "")
    }

    /// The number N of this client, `client.N`.
    pub fn instance_id(&self) -> u64 {
        // SAFETY: a connected handle.
        unsafe { sys::rados_get_instance_id(self.raw()) }
    }

    /// This client's address as lock holders, watchers and the blocklist show it: `ip:port/nonce`.
    pub fn address(&self) -> RadosResult<String> {
        let mut text = ptr::null_mut();
        // SAFETY: on success librados stores a malloc'ed C string.
        check(unsafe { sys::rados_getaddrs(self.raw(), &mut text) }, "getaddrs", "")?;
        // SAFETY: that string, which is ours to free.
        let all = unsafe { crate::text::owned_c_string(text) };
        Ok(plain_address(&all).to_owned())
    }

    /// Size and use of the whole cluster.
    pub fn stat(&self) -> RadosResult<ClusterStat> {
        let mut raw = sys::rados_cluster_stat_t { kb: 0, kb_used: 0, kb_avail: 0, num_objects: 0 };
        // SAFETY: a connected handle and a structure to fill.
        check(unsafe { sys::rados_cluster_stat(self.raw(), &mut raw) }, "cluster_stat", "")?;
        Ok(ClusterStat {
            total_kib: raw.kb,
            used_kib: raw.kb_used,
            available_kib: raw.kb_avail,
            objects: raw.num_objects,
        })
    }

    /// Waits until this client has the newest OSD map.
    pub fn wait_for_latest_osdmap(&self) -> RadosResult<()> {
        // SAFETY: a connected handle.
        check(unsafe { sys::rados_wait_for_latest_osdmap(self.raw()) }, "wait_for_latest_osdmap", "").map(drop)
    }

    /// Fences a client off for `duration` (zero: for about 20 years, the longest there is), and waits until this
    /// client knows the map that says so. An OSD learns of it with that map, at the latest when this client talks to
    /// it next; a write of the fenced client may land before that. EACCES without the monitor capability.
    pub fn blocklist(&self, address: &str, duration: Duration) -> RadosResult<()> {
        let text = c_string(address, "blocklist")?;
        let rounded_up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        let seconds = match u32::try_from(rounded_up) {
            Ok(0) | Err(_) => BLOCKLIST_MAX_SECONDS,
            Ok(seconds) => seconds.min(BLOCKLIST_MAX_SECONDS),
        };
        // SAFETY: librados only reads the string, though its type says otherwise.
        let code = unsafe { sys::rados_blocklist_add(self.raw(), text.as_ptr().cast_mut(), seconds) };
        check(code, "blocklist", address)?;
        self.wait_for_latest_osdmap()
    }

    /// A monitor command in JSON. Returns its output and its status text.
    pub fn mon_command(&self, command: &str, input: &[u8]) -> RadosResult<(Vec<u8>, String)> {
        let text = c_string(command, "mon_command")?;
        let mut list = [text.as_ptr()];
        let (mut output, mut output_len) = (ptr::null_mut(), 0);
        let (mut status, mut status_len) = (ptr::null_mut(), 0);
        // SAFETY: one command, an input of its length, and four places for what librados allocates.
        let code = unsafe {
            sys::rados_mon_command(
                self.raw(),
                list.as_mut_ptr(),
                list.len(),
                input.as_ptr().cast(),
                input.len(),
                &mut output,
                &mut output_len,
                &mut status,
                &mut status_len,
            )
        };
        // SAFETY: null or buffers of these lengths, allocated by librados for us, also on failure.
        let (output, status) = unsafe { (owned_buffer(output, output_len), owned_buffer(status, status_len)) };
        let status = String::from_utf8_lossy(&status).into_owned();
        let object = if code < 0 { format!("{command}: {status}") } else { String::new() };
        check(code, "mon_command", &object)?;
        Ok((output, status))
    }

    /// A pool by name. ENOENT.
    pub fn open_pool(&self, name: &str) -> RadosResult<IoCtx> {
        IoCtx::open(self, name)
    }

    /// A pool by number. ENOENT.
    pub fn open_pool_id(&self, pool: lsd_store::PoolId) -> RadosResult<IoCtx> {
        IoCtx::open_id(self, pool)
    }
}

impl ClusterHandle {
    fn configure(&mut self, options: &ConnectOptions) -> RadosResult<()> {
        self.read_conf_file(options.conf_file.as_deref())?;
        // SAFETY: null: the variable CEPH_ARGS.
        check(unsafe { sys::rados_conf_parse_env(self.raw, ptr::null()) }, "CEPH_ARGS", "")?;
        if let Some(mon_host) = &options.mon_host {
            self.conf_set("mon_host", mon_host)?;
        }
        let paths = [("keyring", &options.keyring), ("keyfile", &options.keyfile)];
        for (key, path) in paths {
            if let Some(path) = path {
                self.conf_set(key, &path.to_string_lossy())?;
            }
        }
        for (key, value) in &options.settings {
            if is_own(key) {
                self.own_settings.set(key, value);
            } else {
                self.conf_set(key, value)?;
            }
        }
        Ok(())
    }

    /// A file that was named must be there; the default ones need not.
    fn read_conf_file(&self, path: Option<&Path>) -> RadosResult<()> {
        let operation = "read of configuration";
        let Some(path) = path else {
            // SAFETY: null: the default search list.
            let code = unsafe { sys::rados_conf_read_file(self.raw, ptr::null()) };
            return if code == -nix::libc::ENOENT { Ok(()) } else { check(code, operation, "").map(drop) };
        };
        let shown = path.display().to_string();
        let text = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| RadosError::new(nix::libc::EINVAL, operation, shown.clone()))?;
        // SAFETY: a C string that lives through the call.
        check(unsafe { sys::rados_conf_read_file(self.raw, text.as_ptr()) }, operation, &shown).map(drop)
    }

    fn conf_set(&self, key: &str, value: &str) -> RadosResult<c_int> {
        let (name, text) = (c_string(key, "conf_set")?, c_string(value, "conf_set")?);
        // SAFETY: two C strings that live through the call.
        check(unsafe { sys::rados_conf_set(self.raw, name.as_ptr(), text.as_ptr()) }, "conf_set", key)
    }
}

/// The address alone: librados may print a list in brackets and the protocol before it.
fn plain_address(text: &str) -> &str {
    let list = text.starts_with("[v") || text.starts_with("[any:");
    let text = if list { text[1..].strip_suffix(']').unwrap_or(&text[1..]) } else { text };
    let first = text.split(',').next().unwrap_or_default();
    ["v1:", "v2:", "any:"].iter().find_map(|prefix| first.strip_prefix(prefix)).unwrap_or(first)
}

#[cfg(test)]
mod tests;
