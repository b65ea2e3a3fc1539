//! Output for programs: `--format json|xml`, `--pretty-format`.
//!
//! Owns: the tree a command describes its result with, and its texts. Does not own: plain output.
use crate::command::Parsed;
use crate::error::{Failure, Result};
use crate::output::print;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// A result. Objects keep the order of their fields.
#[derive(Clone, Debug)]
pub enum Tree {
    Text(String),
    Number(u64),
    Real(f64),
    Bool(bool),
    Object(Vec<(&'static str, Tree)>),
    /// The name of each item matters in XML only.
    List(&'static str, Vec<Tree>),
    /// A list whose items do not all have the same name.
    Mixed(Vec<(&'static str, Tree)>),
    /// A list of `{"key": ..}` whose names are data (metadata).
    Map(Vec<(String, Tree)>),
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Tree::Text(text.to_owned())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Tree::Text(text)
    }
}

impl From<u64> for Tree {
    fn from(number: u64) -> Self {
        Tree::Number(number)
    }
}

/// What `--format` and `--pretty-format` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Plain,
    Json { pretty: bool },
    Xml { pretty: bool },
}

impl Format {
    /// The formats of rbd. `--pretty-format` alone is an error, as in rbd.
    pub fn of(parsed: &Parsed) -> Result<Self> {
        let pretty = parsed.has("pretty-format");
        let read = |text: &str| match text {
            "plain" => Some(Format::Plain),
            "json" => Some(Format::Json { pretty }),
            "xml" => Some(Format::Xml { pretty }),
            _ => None,
        };
        let format = parsed.get_with("format", read)?.unwrap_or(Format::Plain);
        if pretty && format == Format::Plain {
            return Err(Failure::invalid("--pretty-format only works when --format is json or xml"));
        }
        Ok(format)
    }

    /// Prints a result named `root` in this format, or what `plain` says.
    pub fn print(self, root: &str, tree: &Tree, plain: impl FnOnce() -> String) -> Result<()> {
        print(&self.render(root, tree).unwrap_or_else(plain))
    }

    /// The text of a result named `root`; `None` for plain output, which each command words itself.
    pub fn render(self, root: &str, tree: &Tree) -> Option<String> {
        match self {
            Format::Plain => None,
            Format::Json { pretty: false } => Some(format!("{}\n", to_json(tree))),
            Format::Json { pretty: true } => Some(pretty_json(&to_json(tree)) + "\n"),
            Format::Xml { pretty } => {
                let mut text = String::new();
                write_xml(&mut text, root, tree, pretty.then_some(0));
                Some(text + "\n")
            }
        }
    }
}

fn to_json(tree: &Tree) -> Value {
    match tree {
        Tree::Text(text) => Value::from(text.as_str()),
        Tree::Number(number) => Value::from(*number),
        Tree::Real(number) => Value::from(*number),
        Tree::Bool(value) => Value::from(*value),
        Tree::Object(fields) => fields.iter().map(|(name, tree)| ((*name).to_owned(), to_json(tree))).collect(),
        Tree::List(_, items) => items.iter().map(to_json).collect(),
        Tree::Mixed(items) => items.iter().map(|(_, tree)| to_json(tree)).collect(),
        Tree::Map(fields) => fields.iter().map(|(name, tree)| (name.clone(), to_json(tree))).collect(),
    }
}

/// Four spaces a level, as Ceph's.
fn pretty_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    // A Value always serializes into memory.
    let _ = value.serialize(&mut serializer);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `depth`: how far to indent; `None` for one line.
fn write_xml(text: &mut String, name: &str, tree: &Tree, depth: Option<usize>) {
    let indent = |text: &mut String, depth: usize| text.push_str(&" ".repeat(depth));
    let line_end = if depth.is_some() { "\n" } else { "" };
    let inner = depth.map(|depth| depth + 1);
    indent(text, depth.unwrap_or(0));
    match tree {
        Tree::Text(value) => text.push_str(&format!("<{name}>{}</{name}>{line_end}", escape_xml(value))),
        Tree::Number(value) => text.push_str(&format!("<{name}>{value}</{name}>{line_end}")),
        Tree::Real(value) => text.push_str(&format!("<{name}>{value}</{name}>{line_end}")),
        Tree::Bool(value) => text.push_str(&format!("<{name}>{value}</{name}>{line_end}")),
        Tree::Object(_) | Tree::List(..) | Tree::Mixed(_) | Tree::Map(_) => {
            text.push_str(&format!("<{name}>{line_end}"));
            match tree {
                Tree::Object(fields) | Tree::Mixed(fields) => {
                    fields.iter().for_each(|(name, tree)| write_xml(text, name, tree, inner));
                }
                Tree::Map(fields) => fields.iter().for_each(|(name, tree)| write_xml(text, name, tree, inner)),
                Tree::List(name, items) => items.iter().for_each(|tree| write_xml(text, name, tree, inner)),
                Tree::Text(_) | Tree::Number(_) | Tree::Real(_) | Tree::Bool(_) => {}
            }
            indent(text, depth.unwrap_or(0));
            text.push_str(&format!("</{name}>{line_end}"));
        }
    }
}

fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let features = Tree::List("feature", vec!["layering".into(), "<x>".into()]);
        Tree::Object(vec![("name", "foo".into()), ("size", 5.into()), ("features", features)])
    }

    #[test]
    fn json_has_no_spaces_unless_pretty() {
        let text = Format::Json { pretty: false }.render("image", &tree()).unwrap();
        assert_eq!(text, "{\"name\":\"foo\",\"size\":5,\"features\":[\"layering\",\"<x>\"]}\n");
        let text = Format::Json { pretty: true }.render("image", &tree()).unwrap();
        assert!(
            text.starts_with("{\n    \"name\": \"foo\",\n    \"size\": 5,\n    \"features\": [\n        \"lay"),
            "{text}"
        );
    }

    #[test]
    fn items_of_a_list_may_have_names_of_their_own() {
        let list = Tree::Mixed(vec![("image", 1.into()), ("snapshot", 2.into())]);
        assert_eq!(Format::Json { pretty: false }.render("images", &list).unwrap(), "[1,2]\n");
        let xml = "<images><image>1</image><snapshot>2</snapshot></images>\n";
        assert_eq!(Format::Xml { pretty: false }.render("images", &list).unwrap(), xml);
    }

    #[test]
    fn xml_names_every_item() {
        let text = Format::Xml { pretty: false }.render("image", &tree()).unwrap();
        let wanted = "<image><name>foo</name><size>5</size><features><feature>layering</feature>\
                      <feature>&lt;x&gt;</feature></features></image>\n";
        assert_eq!(text, wanted);
        let text = Format::Xml { pretty: true }.render("image", &tree()).unwrap();
        assert!(text.starts_with("<image>\n <name>foo</name>\n"), "{text}");
    }
}
