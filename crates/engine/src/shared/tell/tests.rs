use super::*;
use crate::api::error::corrupt;

#[test]
fn each_object_is_damaged_once() {
    let told = Told::default();
    let news =
        [("a", 1), ("a", 2), ("b", 1)].map(|(object, at)| told.is_new_damage(&corrupt(&object, format!("at {at}"))));
    assert_eq!(news, [true, false, true]);
}

#[test]
fn damage_of_no_known_object_is_known_by_what_is_wrong() {
    let told = Told::default();
    let news = ["one", "two", "one"].map(|why| told.is_new_damage(&Error::new(ErrorKind::Corrupt, why)));
    assert_eq!(news, [true, true, false]);
}

#[test]
fn damage_everywhere_is_told_so_often_and_no_more() {
    let told = Told::default();
    let news = (0..1000).filter(|object| told.is_new_damage(&corrupt(object, "lost"))).count();
    assert_eq!(news, DAMAGED_TOLD);
}
