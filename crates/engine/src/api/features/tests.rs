use super::*;

#[test]
fn numbers_and_names_are_the_same_features() {
    let names = "layering,exclusive-lock,object-map,fast-diff,deep-flatten";
    assert_eq!(Features::from_text("61"), Some(Features(Features::DEFAULT)));
    assert_eq!(Features::from_text(names), Some(Features(Features::DEFAULT)));
    assert_eq!(Features::from_text("layering, exclusive-lock"), Some(Features(5)));
    assert_eq!(Features(Features::DEFAULT).names().join(","), names);
}

#[test]
fn unknown_and_internal_features_are_refused() {
    assert_eq!(Features::from_text("layering,nonsense"), None);
    assert_eq!(Features::from_text("operations"), None);
    assert_eq!(Features::from_text("4096"), None);
    assert_eq!(Features::from_names("13"), None);
}
