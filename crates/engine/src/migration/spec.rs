//! The source of a migration as librbd tells it: a small JSON text.
//!
//! Owns: the text. Does not own: what it is about.
use super::MigrationSide;
use std::fmt::Write;

impl MigrationSide {
    /// What librbd writes of a source that is an image of the same cluster.
    pub fn source_spec(&self) -> String {
        let Self { pool, namespace, name, id } = self;
        let [id, name, namespace] = [&id.0, name, namespace].map(|text| quoted(text));
        format!(
            r#"{{"image_id":{id},"image_name":{name},"pool_id":{pool},"pool_namespace":{namespace},"type":"native"}}"#
        )
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for one in text.chars() {
        match one {
            '"' | '\\' => out.extend(['\\', one]),
            one if one < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(one));
            }
            one => out.push(one),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageId;

    #[test]
    fn a_source_is_told_as_json() {
        let side =
            MigrationSide { pool: 3, namespace: String::new(), name: "a\"b\\c\n".into(), id: ImageId("1f".into()) };
        let wanted =
            r#"{"image_id":"1f","image_name":"a\"b\\c\u000a","pool_id":3,"pool_namespace":"","type":"native"}"#;
        assert_eq!(side.source_spec(), wanted);
    }
}
