use super::*;

const TEXT: &str = "
lsd_early = before any section
[global]
  fsid = x   ; a comment
  lsd ack = writeback # another
[client]
lsd-max-age-ms= 5
lsd_ack = journal
[client.bob]
lsd_segment_bytes = \"1048576\"
lsd_ack =writeback
lsd_long = one \\
two
[osd]
lsd_ack = nonsense
not a setting
";

#[test]
fn the_nearest_section_counts() {
    let file = ConfFile::parse(TEXT);
    assert_eq!(file.get("client.admin", "lsd_ack"), Some("journal"));
    assert_eq!(file.get("client.bob", "lsd_ack"), Some("writeback"));
    assert_eq!(file.get("client.bob", "lsd_max_age_ms"), Some("5"));
    assert_eq!(file.get("mgr.x", "lsd_ack"), Some("writeback"));
    assert_eq!(file.get("client.admin", "lsd_segment_bytes"), None);
    assert_eq!(file.get("client.admin", "lsd_early"), Some("before any section"));
    assert_eq!(file.options("client.bob").get("lsd_ack").map(String::as_str), Some("writeback"));
    assert_eq!(file.options("client.bob").get("fsid").map(String::as_str), Some("x"));
}

#[test]
fn quotes_comments_and_continued_lines() {
    let file = ConfFile::parse(TEXT);
    assert_eq!(file.get("client.bob", "lsd segment bytes"), Some("1048576"));
    assert_eq!(file.get("client.bob", "lsd_long"), Some("one two"));
    let file = ConfFile::parse("a = 'x # y' # z\nb = c\\;d\ne = \"un=even");
    assert_eq!(file.get("client", "a"), Some("x # y"));
    assert_eq!(file.get("client", "b"), Some("c;d"));
    assert_eq!(file.get("client", "e"), Some("\"un=even"));
}

#[test]
fn any_text_is_taken_apart() {
    for text in ["", "[", "]", "=", "[a", "\\", "a\\\n", "[]\n=\n", "\u{0}=\u{ffff}"] {
        let _ = ConfFile::parse(text);
    }
}
