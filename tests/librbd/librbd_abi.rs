//! The prototypes of the library against the installed `rbd/librbd.h`: as many arguments, of the same widths and
//! kinds, the same results, structs laid out alike. A wrong one would compile and pass garbage.
use crate::common::{Cmd, compiled_program};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Arguments and result, each as a Rust type.
type Signature = (Vec<String>, String);
type Signatures = BTreeMap<String, Signature>;

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text between the parenthesis that opens at the start and the one that closes it, and what follows.
fn parenthesised(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[1..at], &text[at + 1..]);
        }
    }
    panic!("no end: {text:.60}");
}

/// Splits at commas outside all brackets.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '<' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// A C type as the Rust type that must stand for it; structs and unknown types are `c_void`.
fn from_c(text: &str, named: bool) -> String {
    if text.contains("(*") {
        return "function".to_owned();
    }
    let constant = text.contains("const ");
    let stars = text.matches('*').count();
    let words = text.replace('*', " ").replace("const ", " ");
    let words: Vec<&str> = words.split_whitespace().filter(|word| *word != "struct" && *word != "enum").collect();
    // The last word is the argument's name, unless it is all there is.
    let base = if named && words.len() > 1 { words[..words.len() - 1].join(" ") } else { words.join(" ") };
    let rust = match base.as_str() {
        "int" => "c_int",
        "char" => "c_char",
        "void" if stars == 0 => "()",
        "float" => "f32",
        "_Bool" | "bool" => "bool",
        "uint8_t" => "u8",
        "uint32_t" => "u32",
        "uint64_t" => "u64",
        "int64_t" => "i64",
        "size_t" => "usize",
        "ssize_t" => "isize",
        "time_t" => "time_t",
        "rados_t"
        | "rados_ioctx_t"
        | "rbd_image_t"
        | "rbd_image_options_t"
        | "rbd_pool_stats_t"
        | "rbd_completion_t" => "handle",
        "rbd_encryption_options_t" => "*mut c_void",
        "rbd_callback_t" | "librbd_progress_fn_t" | "rbd_update_callback_t" => "function",
        enumeration if ENUMERATIONS.contains(&enumeration) => "c_int",
        _ => "c_void",
    };
    (0..stars).fold(rust.to_owned(), |inner, level| {
        let kind = if constant && level == 0 { "*const" } else { "*mut" };
        format!("{kind} {inner}")
    })
}

const ENUMERATIONS: [&str; 7] = [
    "rbd_mirror_mode_t",
    "rbd_mirror_peer_direction_t",
    "rbd_mirror_image_mode_t",
    "rbd_mirror_image_status_state_t",
    "rbd_lock_mode_t",
    "rbd_encryption_format_t",
    "rbd_snap_namespace_type_t",
];

/// A Rust type in the same terms as [`from_c`].
fn from_rust(text: &str) -> String {
    let text = squeeze(text);
    if text.starts_with("Option<") || text == "Progress" || text == "Update" {
        return "function".to_owned();
    }
    for pointer in ["*mut ", "*const "] {
        if let Some(inner) = text.strip_prefix(pointer) {
            return format!("{pointer}{}", from_rust(inner));
        }
    }
    let last = text.rsplit("::").next().unwrap();
    match last {
        "rados_t"
        | "rados_ioctx_t"
        | "rbd_image_t"
        | "rbd_image_options_t"
        | "rbd_pool_stats_t"
        | "rbd_completion_t" => "handle".to_owned(),
        "c_int" | "c_char" | "f32" | "bool" | "u8" | "u32" | "u64" | "i64" | "usize" | "isize" | "time_t" | "()" => {
            last.to_owned()
        }
        _ => "c_void".to_owned(),
    }
}

fn header() -> Signatures {
    let source = "#include <rbd/librbd.h>\n";
    let text = Cmd::stock("cc").args(["-E", "-P", "-x", "c", "-"]).stdin(source).ok().text();
    let mut found = Signatures::new();
    for declaration in text.split(';').map(squeeze) {
        let declaration = declaration.replace("__attribute__ ((visibility (\"default\")))", "");
        let Some(at) = declaration.find("rbd_").filter(|at| declaration[*at..].contains('(')) else { continue };
        let Some(open) = declaration[at..].find('(').map(|open| at + open) else { continue };
        let head = declaration[..open].trim();
        let Some((result, name)) = head.rsplit_once([' ', '*']) else { continue };
        if declaration.contains("typedef") || !name.starts_with("rbd_") {
            continue;
        }
        let result = if head.contains('*') { format!("{result} *") } else { result.to_owned() };
        let (inside, _) = parenthesised(&declaration[open..]);
        let all = arguments(inside).into_iter().map(|argument| from_c(argument, true)).collect();
        found.insert(name.to_owned(), (all, from_c(result.trim(), false)));
    }
    found
}

/// Rows of a table macro, without comments: everything between its braces.
fn rows(text: &str, invocation: &str) -> Vec<String> {
    let blocks = text.match_indices(invocation).filter(|(at, _)| text[..*at].ends_with('\n'));
    let bodies = blocks.map(|(at, _)| text[at + invocation.len()..].split("\n}").next().unwrap());
    let uncommented =
        |row: &str| row.lines().filter(|line| !line.trim().starts_with("//")).collect::<Vec<_>>().join(" ");
    bodies.flat_map(|body| body.split(';').map(|row| squeeze(&uncommented(row)))).collect()
}

fn plain_functions(text: &str, found: &mut Signatures) {
    for (at, start) in text.match_indices("extern \"C\" fn rbd_") {
        let from = at + start.len() - "rbd_".len();
        let open = from + text[from..].find('(').unwrap();
        let (inside, rest) = parenthesised(&text[open..]);
        let kinds = arguments(inside).into_iter().map(|argument| from_rust(argument.split_once(':').unwrap().1));
        let result = rest.split('{').next().unwrap().trim().strip_prefix("->").map_or("()".to_owned(), from_rust);
        found.insert(text[from..open].to_owned(), (kinds.collect(), result));
    }
}

fn table_functions(text: &str, found: &mut Signatures) {
    // As they are exported: whatever is behind them, the compiler holds to these.
    // A completion, which the tables tell from other arguments, is one; what follows it does, too.
    let text_of_tables = text.replace("; c: rbd_", ", c: rbd_").replace("completion_t; ", "completion_t, ");
    for row in rows(&text_of_tables, "functions! {").into_iter().filter(|row| row.contains("fn ")) {
        let open = row.find('(').unwrap();
        let name = row[..open].rsplit([' ', ':']).next().unwrap();
        let (inside, rest) = parenthesised(&row[open..]);
        let kinds = arguments(inside).into_iter().map(|argument| from_rust(argument.split_once(':').unwrap().1));
        let result = rest.trim().strip_prefix("->").map_or("()".to_owned(), from_rust);
        found.insert(name.to_owned(), (kinds.collect(), result));
    }
    for invocation in ["unsupported! {", "nothing_to_clean! {"] {
        for row in rows(text, invocation).into_iter().filter(|row| row.contains('(')) {
            let open = row.find('(').unwrap();
            let (inside, rest) = parenthesised(&row[open..]);
            let kinds: Vec<String> = arguments(inside).into_iter().map(from_rust).collect();
            let cleans = invocation.starts_with("nothing");
            let result = if cleans && !rest.contains("->") { "()" } else { "c_int" };
            found.insert(row[..open].to_owned(), (kinds, result.to_owned()));
        }
    }
    for row in rows(text, "numbers! {").into_iter().filter(|row| row.contains("->")) {
        let (name, rest) = row.split_once(" -> ").unwrap();
        let kind = from_rust(rest.split('=').next().unwrap().trim());
        found.insert(name.to_owned(), (vec!["handle".into(), format!("*mut {kind}")], "c_int".into()));
    }
    for row in rows(text, "open_entries! {").into_iter().filter(|row| row.contains("By::")) {
        let names: Vec<&str> = row.split(' ').collect();
        let mut kinds: Vec<String> =
            ["handle", "*const c_char", "*mut handle", "*const c_char"].map(String::from).into();
        found.insert(names[0].to_owned(), (kinds.clone(), "c_int".into()));
        kinds.push("handle".into());
        found.insert(names[1].to_owned(), (kinds, "c_int".into()));
    }
    let linked = rows(text, "no_linked_images! {");
    for name in linked.iter().flat_map(|row| row.split('}').next().unwrap().split_whitespace()) {
        let kinds = ["handle", "*mut c_void", "*mut usize"].map(String::from).into();
        found.insert(name.to_owned(), (kinds, "c_int".into()));
    }
}

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn ours() -> Signatures {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/librbd/src"), &mut files);
    let mut found = Signatures::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        plain_functions(&text, &mut found);
        table_functions(&text, &mut found);
    }
    found.remove("");
    found
}

#[test]
fn every_prototype_is_the_headers() {
    let (header, ours) = (header(), ours());
    assert!(header.len() >= 280, "only {} prototypes found in the header", header.len());
    let mut offences = Vec::new();
    for (name, wanted) in &header {
        match ours.get(name) {
            None => offences.push(format!("{name}: not found in the sources")),
            Some(given) if given != wanted => offences.push(format!("{name}: is {given:?}, in C {wanted:?}")),
            Some(_) => {}
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// The program holds static assertions only; that it compiles is the test.
#[test]
fn structs_are_laid_out_as_the_header_says() {
    compiled_program("capi_layout");
}
