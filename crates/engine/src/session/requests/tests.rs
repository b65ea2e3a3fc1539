use super::{Left, features_to_change, left};
use crate::{ErrorKind, Features};

#[test]
fn a_change_that_comes_again_happens_only_where_it_did_not() {
    assert_eq!(left(false, &7, &1, &2), Left::All);
    assert_eq!(left(true, &1, &1, &2), Left::All);
    assert_eq!(left(true, &2, &1, &2), Left::Nothing);
    assert_eq!(left(true, &7, &1, &2), Left::Overtaken);
}

#[test]
fn features_follow_librbds_rules() {
    const LOCK: u64 = Features::EXCLUSIVE_LOCK;
    const MAPS: u64 = Features::OBJECT_MAP | Features::FAST_DIFF;
    let change = |now, features, enabled| features_to_change(now, features, enabled).map_err(|error| error.kind);
    assert_eq!(change(LOCK | MAPS, Features::OBJECT_MAP, false), Ok(MAPS));
    assert_eq!(change(LOCK | MAPS, Features::FAST_DIFF, false), Ok(MAPS));
    assert_eq!(change(LOCK, Features::OBJECT_MAP, true), Ok(MAPS));
    assert_eq!(change(0, MAPS, true), Err(ErrorKind::Invalid));
    assert_eq!(change(0, MAPS | LOCK, true), Ok(MAPS | LOCK));
    assert_eq!(change(LOCK | MAPS, LOCK, false), Err(ErrorKind::Invalid));
    assert_eq!(change(LOCK, LOCK, false), Ok(LOCK));
    assert_eq!(change(LOCK, LOCK, true), Err(ErrorKind::Invalid));
    assert_eq!(change(LOCK, Features::LAYERING, true), Err(ErrorKind::Invalid));
    assert_eq!(change(LOCK, Features::DEEP_FLATTEN, true), Err(ErrorKind::Invalid));
    assert_eq!(change(LOCK | Features::DEEP_FLATTEN, Features::DEEP_FLATTEN, false), Ok(Features::DEEP_FLATTEN));
    assert_eq!(change(LOCK, Features::JOURNALING, true), Ok(Features::JOURNALING));
    assert_eq!(change(0, Features::JOURNALING, true), Err(ErrorKind::Invalid));
    assert_eq!(change(LOCK | Features::JOURNALING, LOCK, false), Err(ErrorKind::Invalid));
    assert_eq!(change(LOCK, 0, true), Err(ErrorKind::Invalid));
}
