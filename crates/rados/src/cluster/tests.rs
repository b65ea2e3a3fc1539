use super::plain_address;

#[test]
fn an_address_is_as_lock_holders_show_it() {
    for printed in
        ["127.0.0.1:0/77", "v2:127.0.0.1:0/77", "[v2:127.0.0.1:0/77,v1:127.0.0.1:0/77]", "any:127.0.0.1:0/77"]
    {
        assert_eq!(plain_address(printed), "127.0.0.1:0/77", "{printed}");
    }
    for printed in ["[::1]:0/77", "v1:[::1]:0/77", "[v2:[::1]:0/77,v1:[::1]:0/77]"] {
        assert_eq!(plain_address(printed), "[::1]:0/77", "{printed}");
    }
    assert_eq!(plain_address(""), "");
}
