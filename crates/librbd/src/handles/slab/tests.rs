use super::*;
use std::sync::atomic::AtomicUsize;

struct Counted(&'static AtomicUsize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

static SLAB: Slab<Counted> = Slab::new();

impl Handled for Counted {
    const TAG: u64 = 0x3;
    fn slab() -> &'static Slab<Self> {
        &SLAB
    }
}

#[test]
fn a_handle_lives_until_it_is_removed_and_its_value_until_the_last_guard() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let made = SLAB.insert(Counted(&DROPPED)).unwrap();
    let handle = made.handle();
    assert!(SLAB.get(handle).is_ok());
    let last = SLAB.remove(handle).unwrap();
    drop(made);
    assert_eq!(SLAB.get(handle).err(), Some(Errno::EBADF));
    assert_eq!(SLAB.remove(handle).err(), Some(Errno::EBADF));
    assert_eq!(DROPPED.load(Ordering::SeqCst), 0);
    assert_eq!(last.handle(), handle);
    drop(last);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_reused_slot_does_not_answer_to_an_old_handle() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let mut old = Vec::new();
    for _ in 0..100 {
        let handle = SLAB.insert(Counted(&DROPPED)).unwrap().handle();
        assert!(old.iter().all(|known| *known != handle));
        SLAB.remove(handle).unwrap();
        old.push(handle);
    }
    for handle in old {
        assert_eq!(SLAB.get(handle).err(), Some(Errno::EBADF));
    }
    assert_eq!(DROPPED.load(Ordering::SeqCst), 100);
}

#[test]
fn null_foreign_and_invented_handles_are_errors() {
    assert_eq!(SLAB.get(std::ptr::null_mut()).err(), Some(Errno::EINVAL));
    let on_stack = 0_u64;
    assert_eq!(SLAB.get((&raw const on_stack).cast_mut().cast()).err(), Some(Errno::EBADF));
    for invented in [1_usize, usize::MAX, 0x3 << 60, 0x3 << 60 | 0xffff_ffff] {
        assert_eq!(SLAB.get(invented as *mut c_void).err(), Some(Errno::EBADF));
    }
}

#[test]
fn many_threads_end_handles_exactly_once() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    const HANDLES: usize = 2000;
    let handles: Vec<usize> = (0..HANDLES).map(|_| SLAB.insert(Counted(&DROPPED)).unwrap().handle() as usize).collect();
    let removed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for handle in &handles {
                    let guard = SLAB.get(*handle as *mut c_void);
                    if SLAB.remove(*handle as *mut c_void).is_ok() {
                        removed.fetch_add(1, Ordering::SeqCst);
                    }
                    drop(guard);
                }
            });
        }
    });
    assert_eq!(removed.load(Ordering::SeqCst), HANDLES);
    assert_eq!(DROPPED.load(Ordering::SeqCst), HANDLES);
}
