use super::*;
use crate::ffi::panic::guard;
use crate::handles::layout::Layout;
use crate::handles::pool::PoolEnd;
use crate::handles::view::View;
use crate::runtime::process::core;
use lsd_engine::{CreateOptions, Image, ImageRef, OpenOptions};
use lsd_store::{MemoryCluster, ObjectStore};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::Arc;

/// The handle of an image on the memory store.
fn open_image() -> *mut c_void {
    let core = core().unwrap();
    core.block_on(async {
        let cluster = MemoryCluster::new();
        cluster.add_pool("rbd", MemoryCluster::replicated());
        let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
        let options = CreateOptions { size: 1 << 20, ..CreateOptions::default() };
        Image::create(&store, "image", &options).await.unwrap();
        let image = ImageRef::Name("image".into());
        let view = View::open(&store, &image, OpenOptions::default(), None).await.unwrap();
        let layout = Layout::of(&view.head().info());
        OpenImage::register(view, core, layout, BTreeMap::new(), PoolEnd::default()).unwrap().handle()
    })
}

#[test]
fn a_panic_is_an_errno_and_poisons_its_image_only() {
    let (poisoned, healthy) = (open_image(), open_image());
    let answer: c_int = with_image(poisoned, |_| panic!("for the test"));
    assert_eq!(answer, -Errno::EIO.0);
    let later: isize = with_image(poisoned, |_| Ok(1));
    assert_eq!(later, -(Errno::EIO.0 as isize));
    let other: c_int = with_image(healthy, |_| Ok(1));
    assert_eq!(other, 1);
    let without_image: c_int = guard(|| panic!("for the test"));
    assert_eq!(without_image, -Errno::EIO.0);
    // SAFETY: live handles.
    unsafe {
        assert_eq!(crate::api::open::rbd_close(poisoned), -Errno::EIO.0);
        assert_eq!(crate::api::open::rbd_close(healthy), 0);
        assert_eq!(crate::api::open::rbd_close(poisoned), -Errno::EBADF.0);
    }
}

#[test]
fn errors_come_in_the_type_of_the_entry() {
    let pointer: *mut c_void = guard(|| Err(Errno::ENOENT));
    assert!(pointer.is_null());
    let number: i64 = guard(|| Err(Errno::ENOENT));
    assert_eq!(number, -2);
    with_image::<()>(std::ptr::null_mut(), |_| Ok(()));
}
