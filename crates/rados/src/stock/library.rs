//! The stock librbd, loaded once, at the first need.
//!
//! Owns: the loading, and that it is never lsd's own library. Does not own: where it is looked for (`search.rs`), its functions.
use super::search::candidates;
use nix::libc;
use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Names the file, as the option does in ceph.conf, and counts more; without either it is searched.
const PATH_VARIABLE: &str = "LSD_STOCK_LIBRBD";

/// dlfcn.h: dladdr1() gives the symbol as well.
const RTLD_DL_SYMENT: c_int = 1;
/// elf.h: of a symbol that the file needs and does not have.
const SHN_UNDEF: u16 = 0;

/// Exported by every copy of lsd's library (crates/librbd), and by nothing else.
const MARKER: &CStr = c"lsd_librbd_marker";

#[derive(Debug)]
pub struct Library {
    handle: *mut c_void,
    path: PathBuf,
}

// SAFETY: a handle of dlopen(), which any thread may use; the library is never closed.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

static LIBRARY: OnceLock<Library> = OnceLock::new();
/// Who holds it is loading.
static LOADING: Mutex<()> = Mutex::new(());

/// The library, if somebody needed it before.
pub fn loaded() -> Option<&'static Library> {
    LIBRARY.get()
}

/// The library, loaded now if that was not needed before. `named`: the file that settings name. The error says why there is none, file
/// by file.
pub fn load(named: &dyn Fn() -> Option<String>) -> Result<&'static Library, String> {
    if let Some(library) = loaded() {
        return Ok(library);
    }
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = loaded() {
        return Ok(library);
    }
    let named = std::env::var(PATH_VARIABLE).ok().filter(|path| !path.is_empty()).or_else(named);
    let mut reasons = Vec::new();
    for path in candidates(named.as_deref()) {
        match Library::open(&path) {
            Ok(library) => return Ok(LIBRARY.get_or_init(|| library)),
            Err(reason) => reasons.push(format!("{}: {reason}", path.display())),
        }
    }
    Err(if reasons.is_empty() { "no librbd.so.1 in the system's folders".to_owned() } else { reasons.join("; ") })
}

impl Library {
    fn open(path: &Path) -> Result<Self, String> {
        if !path.is_absolute() {
            return Err("a path from the root is needed".to_owned());
        }
        if is_this_library(path) {
            return Err("that is lsd's own library".to_owned());
        }
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "no path".to_owned())?;
        let flags = flags()?;
        // SAFETY: a C string; what the library runs when it is loaded is what a client of it would run.
        let handle = unsafe { libc::dlopen(name.as_ptr(), flags) };
        if handle.is_null() {
            return Err(error_of_dl());
        }
        let library = Self { handle, path: path.to_owned() };
        let wrong = if library.address(MARKER).is_some() {
            "that is a copy of lsd's own library"
        } else if library.address(c"rbd_open").is_none() {
            "that is no librbd"
        } else {
            return Ok(library);
        };
        // SAFETY: opened above, and nothing of it was taken.
        unsafe { libc::dlclose(handle) };
        Err(wrong.to_owned())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a function is; `None`: an older library that does not have it.
    pub fn address(&self, name: &CStr) -> Option<ptr::NonNull<c_void>> {
        // SAFETY: a handle that is open, and a C string.
        ptr::NonNull::new(unsafe { libc::dlsym(self.handle, name.as_ptr()) })
    }
}

/// All symbols now, so that a library that does not fit fails here; none of them offered to others; and its own before those of
/// the process, for that may have this library's functions, which are called alike.
///
/// Its own before those of the process is also libc's malloc() before another that the process has in its place: memory would go
/// back to the one that it is not from. So such a process gets it without, and not at all if it has this library's functions, too.
fn flags() -> Result<c_int, String> {
    let base = libc::RTLD_NOW | libc::RTLD_LOCAL;
    match (has_own_malloc(), offers_our_functions()) {
        (false, _) => Ok(base | libc::RTLD_DEEPBIND),
        (true, false) => Ok(base),
        (true, true) => {
            Err("this process has a malloc() that is not libc's, and lsd's library in front of all others: \
                             without one of the two it can be loaded"
                .to_owned())
        }
    }
}

/// A symbol as a library that is loaded finds it: the program's, then those that everybody may use.
fn global(name: &CStr) -> *mut c_void {
    global_of(c"", name)
}

fn offers_our_functions() -> bool {
    !global(MARKER).is_null()
}

/// Whether malloc() is not libc's: a file of this process has one of its own.
fn has_own_malloc() -> bool {
    let libc = file_of(global(c"gnu_get_libc_version"));
    loaded_files().iter().any(|file| defines(file, c"malloc") && libc != file_of(global_of(file, c"malloc")))
}

/// A symbol as it is found from a file that is loaded: its own, then those of what it needs. An empty name is the program.
fn global_of(file: &CStr, name: &CStr) -> *mut c_void {
    let path = if file.is_empty() { ptr::null() } else { file.as_ptr() };
    // SAFETY: null or a C string; nothing new is loaded.
    let handle = unsafe { libc::dlopen(path, libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    if handle.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: a handle that is open, and a C string.
    let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
    // SAFETY: opened above; the file stays, for somebody else has loaded it.
    unsafe { libc::dlclose(handle) };
    found
}

/// Whether the file has the function itself. A program that is not position independent has an address of its own for functions of
/// libraries, which dlsym() gives, too.
fn defines(file: &CStr, name: &CStr) -> bool {
    let Some((found, symbol)) = symbol_of(global_of(file, name)) else { return false };
    // SAFETY: null or the loader's own symbol.
    let is_defined = unsafe { symbol.as_ref() }.is_some_and(|symbol| symbol.st_shndx != SHN_UNDEF);
    // SAFETY: the loader's string, which stays while the file is loaded.
    is_defined && (file.is_empty() || unsafe { CStr::from_ptr(found.dli_fname) } == file)
}

/// The files of the process as the loader names them; the program's name is empty.
fn loaded_files() -> Vec<CString> {
    unsafe extern "C" fn note(info: *mut libc::dl_phdr_info, _: usize, files: *mut c_void) -> c_int {
        // SAFETY: what dl_iterate_phdr() gives, and the list below.
        let (name, files) = unsafe { ((*info).dlpi_name, &mut *files.cast::<Vec<CString>>()) };
        // SAFETY: null or the loader's string.
        files.push(if name.is_null() { CString::default() } else { unsafe { CStr::from_ptr(name) }.to_owned() });
        0
    }
    let mut files = Vec::new();
    // SAFETY: a function as it is asked for, which gets the list.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut files).cast()) };
    files
}

/// What the loader knows of an address: the file, and its symbol or null.
fn symbol_of(address: *mut c_void) -> Option<(libc::Dl_info, *const libc::Elf64_Sym)> {
    // SAFETY: a structure of pointers, for which null is a value.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    let mut symbol = ptr::null_mut();
    // SAFETY: any address may be asked for; a structure and a pointer to fill.
    let is_known =
        !address.is_null() && unsafe { libc::dladdr1(address, &mut found, &mut symbol, RTLD_DL_SYMENT) } != 0;
    (is_known && !found.dli_fname.is_null()).then_some((found, symbol.cast_const().cast()))
}

/// The file that an address is in.
fn file_of(address: *mut c_void) -> Option<PathBuf> {
    let (found, _) = symbol_of(address)?;
    // SAFETY: the loader's own string, which stays while the file is loaded.
    Some(OsStr::from_bytes(unsafe { CStr::from_ptr(found.dli_fname) }.to_bytes()).into())
}

fn is_this_library(path: &Path) -> bool {
    let here = is_this_library as fn(&Path) -> bool as *mut c_void;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = file_of(here).and_then(|own| identity(&own));
    own.is_some() && own == identity(path)
}

fn error_of_dl() -> String {
    // SAFETY: the thread's last error, or null.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "it cannot be loaded".to_owned();
    }
    // SAFETY: a C string that stays until the next call of this thread.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_librbd_is_refused_with_the_reason() {
        let no_file = Library::open(Path::new("/nowhere/librbd.so.1")).unwrap_err();
        assert!(no_file.contains("cannot open"), "{no_file}");
        assert_eq!(Library::open(Path::new("librbd.so.1")).unwrap_err(), "a path from the root is needed");
        let libc = file_of(global(c"malloc")).unwrap();
        assert_eq!(Library::open(&libc).unwrap_err(), "that is no librbd");
    }

    #[test]
    fn this_very_file_is_never_taken() {
        let own = std::env::current_exe().unwrap();
        assert!(is_this_library(&own));
        assert_eq!(Library::open(&own).unwrap_err(), "that is lsd's own library");
        assert!(!has_own_malloc());
    }
}
