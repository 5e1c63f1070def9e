//! The house rules that a program can check, as tests over the tree's own files.
//!
//! Knows file names and text, nothing of what the code does. Text is looked at with literals blanked,
//! and with comments blanked where only code counts. An exception that nothing needs any more is itself
//! a violation, so the lists below only get shorter.

mod documents;

use std::fs;
use std::ops::Range;
use std::path::Path;

/// Folders with Rust files, from the root of the tree.
const FOLDERS: [&str; 3] = ["src", "benches", "protocol-tests"];
/// Layers by rank. A layer may use itself and those of lower rank; those of equal rank are strangers.
const LAYERS: [(&str, u8); 7] =
    [("base", 0), ("auth", 1), ("client", 1), ("config", 1), ("store", 1), ("protocol", 2), ("server", 3)];
/// The layer that no other may use, but for files of tests: what is in it is no part of the daemon.
const CLIENT: &str = "client";
/// Macros of `base`, which the compiler puts at the root of the crate.
const BASE_MACROS: [&str; 2] = ["counters", "figures"];
/// Files of `src` that stand above the layers.
const TOP_FILES: [&str; 4] = ["src/lib.rs", "src/main.rs", "src/tidy.rs", "src/tidy/documents.rs"];

/// What marks code that no released program holds.
const TEST_ATTRIBUTES: [&str; 2] = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"];

/// Most lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Most lines of a file, tests at its end apart.
const FILE_LINES_MAX: usize = 600;

/// Files that may hold unsafe code, and why.
const UNSAFE_FILES: &[(&str, &str)] = &[];
/// Files that may look at the clock, and how often they do.
const CLOCK_FILES: &[(&str, &str)] = &[
    ("src/base/clock.rs", "is the clock"),
    ("src/protocol/memcached/latency.rs", "for one command in some, and for those that are rare and long"),
    ("src/server/listener.rs", "when it begins to pause"),
    ("src/server/metrics.rs", "on a thread of its own, for how long figures are given out again"),
    ("src/server/pace.rs", "once in some turns, and at the end of a round"),
    ("src/server/tls/certificates.rs", "when they are read, and whether they are over"),
    ("src/server/tls/watch.rs", "on a thread of its own, when they were looked at"),
    ("src/server/worker.rs", "once per wake-up"),
];
/// Functions that may be longer, as `file: name`, and why.
const LONG_FUNCTIONS: &[(&str, &str)] =
    &[("src/config/settings.rs: that_listen_nowhere", "nothing but a line for each default")];
/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// One file of the tree.
struct File {
    /// From the root, with `/`.
    path: String,
    /// Its text without literals.
    prose: String,
    /// Its text without literals and comments, every byte in its place.
    code: String,
    /// Parts of it that are compiled for tests only.
    tests: Vec<Range<usize>>,
    /// All of it is: it lies in a folder of tests, or its module is declared so.
    is_test_file: bool,
}

impl File {
    fn new(path: &str, text: &str) -> File {
        let code = blank(text, true);
        let attributes = TEST_ATTRIBUTES.iter().flat_map(|attribute| find(&code, attribute));
        let tests = attributes.map(|at| at..item_end(&code, at)).collect();
        let is_test_file = !path.starts_with("src/");
        File { path: path.to_owned(), prose: blank(text, false), code, tests, is_test_file }
    }

    /// Whether the byte `at` is compiled for tests only.
    fn is_test(&self, at: usize) -> bool {
        self.is_test_file || self.tests.iter().any(|tests| tests.contains(&at))
    }

    /// Which layer it belongs to, if it is in one.
    fn layer(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        inside.split('/').next().filter(|layer| rank(layer).is_some())
    }

    /// The files that a `mod name;` at `at` may mean.
    fn files_of_module(&self, at: usize) -> Option<[String; 2]> {
        let name = self.code[at..].split_once("mod ")?.1.split([';', '{']).next()?;
        let folder = match self.path.rsplit_once('/')? {
            (folder, "mod.rs" | "lib.rs" | "main.rs") => folder,
            _ => self.path.strip_suffix(".rs")?,
        };
        Some([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")])
    }

    /// One violation, at byte `at`.
    fn report(&self, at: usize, message: &str) -> String {
        format!("{}:{}: {message}", self.path, self.code[..at].matches('\n').count() + 1)
    }

    /// A violation wherever `phrase` occurs outside tests.
    fn reports_outside_tests(&self, phrase: &str, message: &str) -> Vec<String> {
        let places = find(&self.code, phrase).filter(|&at| !self.is_test(at));
        places.map(|at| self.report(at, message)).collect()
    }
}

/// All Rust files of the tree, by path.
fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    FOLDERS.iter().for_each(|folder| read_folder(root, folder, &mut texts));
    files(&texts)
}

fn read_folder(root: &Path, folder: &str, texts: &mut Vec<(String, String)>) {
    let listing = fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut names: Vec<_> = listing.map(|found| found.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    for name in names {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            read_folder(root, &path, texts);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(root.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            texts.push((path, text));
        }
    }
}

/// The files with these paths and texts; those that are modules for tests only are marked as such.
fn files(texts: &[(String, String)]) -> Vec<File> {
    let mut files: Vec<File> = texts.iter().map(|(path, text)| File::new(path, text)).collect();
    let modules =
        |file: &File| file.tests.iter().filter_map(|part| file.files_of_module(part.start)).collect();
    let of_tests: Vec<[String; 2]> = files.iter().flat_map(|file| -> Vec<_> { modules(file) }).collect();
    for file in files.iter_mut().filter(|file| of_tests.iter().flatten().any(|path| *path == file.path)) {
        file.is_test_file = true;
    }
    files
}

/// `text` with its literals blanked, and its comments where asked for. Lines stay lines.
fn blank(text: &str, comments_too: bool) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let (length, is_blanked) = match rest {
            [b'/', b'/', ..] => (position(rest, b"\n"), comments_too),
            [b'/', b'*', ..] => (block_comment_length(rest), comments_too),
            [b'"', ..] => (quoted_length(rest), true),
            [b'\'', ..] => character_length(rest),
            [b'r', b'"' | b'#', ..] => raw_string_length(rest).map_or((1, false), |length| (length, true)),
            _ => (1, false),
        };
        if is_blanked {
            bytes[at..at + length].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        at += length;
    }
    String::from_utf8(bytes).unwrap()
}

/// Where `needle` begins in `text`; the end if nowhere.
fn position(text: &[u8], needle: &[u8]) -> usize {
    text.windows(needle.len()).position(|window| window == needle).unwrap_or(text.len())
}

fn block_comment_length(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// From quote to quote, whichever it is.
fn quoted_length(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != text[0] {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Of a character, which is blanked, or of the mark of a lifetime, which is not.
fn character_length(text: &[u8]) -> (usize, bool) {
    let first =
        text[1..].iter().take(1).chain(text[1..].iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80));
    let closing = 1 + first.count();
    match (text.get(1), text.get(closing)) {
        (Some(b'\\'), _) | (_, Some(b'\'')) => (quoted_length(text), true),
        _ => (1, false),
    }
}

/// `None` if this is no raw string after all.
fn raw_string_length(text: &[u8]) -> Option<usize> {
    let marks = text[1..].iter().take_while(|byte| **byte == b'#').count();
    let start = 2 + marks;
    let end = [b"\"".as_slice(), &text[1..=marks]].concat();
    (text.get(start - 1) == Some(&b'"'))
        .then(|| (start + position(&text[start..], &end) + end.len()).min(text.len()))
}

fn is_of_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// Where `phrase` occurs in `code` without being cut out of a longer word.
fn find<'a>(code: &'a str, phrase: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    let [first, .., last] = *phrase.as_bytes() else { panic!("{phrase:?} is too short") };
    code.match_indices(phrase).map(|(at, _)| at).filter(move |&at| {
        let joins =
            |edge: u8, next: Option<&u8>| is_of_word(edge) && next.is_some_and(|&byte| is_of_word(byte));
        !joins(first, at.checked_sub(1).map(|before| &bytes[before]))
            && !joins(last, bytes.get(at + phrase.len()))
    })
}

/// The end of the item that begins at `start`: behind its closing brace, or its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return at + 1,
            b'}' => braces -= 1,
            b';' if braces == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The word at the beginning of `code`.
fn word(code: &str) -> &str {
    &code[..code.bytes().position(|byte| !is_of_word(byte)).unwrap_or(code.len())]
}

/// The names that follow a `crate::`: one, or those of a list in braces, each with its place.
fn names_behind(code: &str, at: usize) -> Vec<(usize, &str)> {
    if !code[at..].starts_with('{') {
        return vec![(at, word(&code[at..]))];
    }
    let (mut depth, mut names) = (0, Vec::new());
    for (offset, byte) in code[at..item_end(code, at)].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if matches!(byte, b'{' | b',') && depth == 1 {
            let rest = code[at + offset + 1..].trim_start();
            names.push((code.len() - rest.len(), word(rest)));
        }
    }
    names.retain(|(_, name)| !name.is_empty());
    names
}

fn rank(layer: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == layer).map(|(_, rank)| *rank)
}

fn may_use(layer: &str, name: &str) -> bool {
    let used = if BASE_MACROS.contains(&name) { "base" } else { name };
    layer == used || used != CLIENT && rank(used).is_some_and(|used| Some(used) < rank(layer))
}

/// Paths that lead up, sideways or to no layer, in a file of `layer`.
fn imports_of_layer(file: &File, layer: &str) -> Vec<String> {
    let code = &file.code;
    let mut violations = Vec::new();
    for at in find(code, "crate::") {
        for (at, name) in names_behind(code, at + "crate::".len()) {
            let is_allowed = may_use(layer, name) || name == CLIENT && file.is_test_file;
            if !is_allowed {
                violations.push(file.report(at, &format!("{layer} must not use `{name}`")));
            }
        }
    }
    // A chain of `super::` as long as this reaches the root, where other layers are.
    let folders = file.path.trim_end_matches("/mod.rs").matches('/').count();
    for at in find(code, &"super::".repeat(folders)) {
        let is_in_inner_module = file.is_test(at) && !file.is_test_file;
        if !is_in_inner_module || code[at..].starts_with(&"super::".repeat(folders + 1)) {
            violations.push(file.report(at, "reaches the crate's root by `super`: write `crate::`"));
        }
    }
    violations
}

fn imports(files: &[File]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        match file.layer() {
            Some(layer) => violations.extend(imports_of_layer(file, layer)),
            None if file.path == "src/main.rs" => {
                let of_its_own = ["crate::", "mod "].into_iter().flat_map(|phrase| find(&file.code, phrase));
                violations.extend(of_its_own.map(|at| file.report(at, "the program only uses the library")));
            }
            None if TOP_FILES.contains(&file.path.as_str()) => {}
            None => violations.push(file.report(0, "is in no layer: give it one in tidy's LAYERS")),
        }
    }
    violations
}

/// `violations`, each with what it is excepted by, without those in `exceptions`; and the exceptions
/// that nothing needed.
fn except(violations: Vec<(String, String)>, exceptions: &[(&str, &str)]) -> Vec<String> {
    let is_needed = |name: &str| violations.iter().any(|(key, _)| key == name);
    let idle = exceptions.iter().filter(|(name, _)| !is_needed(name));
    let idle: Vec<String> =
        idle.map(|(name, _)| format!("{name}: needs no exception in tidy any more")).collect();
    let is_excepted = |key: &String| exceptions.iter().any(|(name, _)| name == key);
    violations.into_iter().filter(|(key, _)| !is_excepted(key)).map(|(_, text)| text).chain(idle).collect()
}

fn unsafe_code(files: &[File]) -> Vec<String> {
    let found = files.iter().flat_map(|file| {
        let places = find(&file.code, "unsafe");
        places.map(|at| (file.path.clone(), file.report(at, "unsafe code in a file that may have none")))
    });
    except(found.collect(), UNSAFE_FILES)
}

fn long_functions(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for at in find(&file.code, "fn ").filter(|&at| !file.is_test(at)) {
            let name = word(&file.code[at + "fn ".len()..]);
            let lines = file.code[at..item_end(&file.code, at)].lines().count();
            if lines > FUNCTION_LINES_MAX && !name.is_empty() {
                let message = format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}");
                found.push((format!("{}: {name}", file.path), file.report(at, &message)));
            }
        }
    }
    except(found, LONG_FUNCTIONS)
}

/// A module of tests at the end of a file does not count; a file of nothing but tests does.
fn long_files(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let is_last = |part: &&Range<usize>| file.code[part.end..].trim().is_empty();
        let end = file.tests.iter().find(is_last).map_or(file.code.len(), |part| part.start);
        let lines = file.code[..end].lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines before its tests, more than {FILE_LINES_MAX}");
            found.push((file.path.clone(), file.report(end, &message)));
        }
    }
    except(found, LONG_FILES)
}

fn leftovers(files: &[File]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        let code = ["todo!", "unimplemented!", "dbg!"].map(|phrase| (&file.code, phrase));
        let prose = ["FIXME", "XXX", "TODO"].map(|phrase| (&file.prose, phrase));
        for (text, phrase) in code.into_iter().chain(prose) {
            violations
                .extend(find(text, phrase).map(|at| file.report(at, &format!("`{phrase}` was left behind"))));
        }
        if file.path != "src/main.rs" {
            for phrase in ["print!", "println!", "eprint!", "eprintln!"] {
                let message = format!("`{phrase}`: only the program prints, the library logs");
                violations.extend(file.reports_outside_tests(phrase, &message));
            }
        }
    }
    violations
}

fn uses_of_mio(files: &[File]) -> Vec<String> {
    // The load generator is a program of its own.
    let may =
        |file: &File| ["src/server/", "benches/versus/"].iter().any(|folder| file.path.starts_with(folder));
    let elsewhere = files.iter().filter(|file| !may(file));
    let places = elsewhere.flat_map(|file| find(&file.code, "mio::").map(move |at| (file, at)));
    places.map(|(file, at)| file.report(at, "only the server knows mio")).collect()
}

/// A request is not to cost a look at the clock: it gets the time of its worker's wake-up.
fn looks_at_the_clock(files: &[File]) -> Vec<String> {
    let phrases = ["Instant::now", "SystemTime::now", ".elapsed()"];
    let of_daemon = files.iter().filter(|file| file.path.starts_with("src/") && file.layer() != Some(CLIENT));
    let found = of_daemon.flat_map(|file| {
        let places = phrases.iter().flat_map(|phrase| find(&file.code, phrase));
        let places = places.filter(|&at| !file.is_test(at));
        places.map(|at| (file.path.clone(), file.report(at, "looks at the clock: take the time of the turn")))
    });
    except(found.collect(), CLOCK_FILES)
}

fn unwraps(files: &[File]) -> Vec<String> {
    let is_exposed = |file: &&File| matches!(file.layer(), Some("client" | "protocol" | "server"));
    let phrases = [".unwrap()", ".expect("];
    let in_file =
        |file: &File| phrases.map(|phrase| file.reports_outside_tests(phrase, "may panic: handle it"));
    files.iter().filter(is_exposed).flat_map(in_file).flatten().collect()
}

#[track_caller]
fn none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn imports_lead_to_lower_layers() {
    none(&imports(&tree()));
}

#[test]
fn only_listed_files_have_unsafe_code() {
    none(&unsafe_code(&tree()));
}

#[test]
fn functions_are_short() {
    none(&long_functions(&tree()));
}

#[test]
fn files_are_short() {
    none(&long_files(&tree()));
}

#[test]
fn nothing_is_left_behind() {
    none(&leftovers(&tree()));
}

#[test]
fn only_the_server_knows_mio() {
    none(&uses_of_mio(&tree()));
}

#[test]
fn no_request_looks_at_the_clock() {
    none(&looks_at_the_clock(&tree()));
}

#[test]
fn what_clients_send_cannot_meet_an_unwrap() {
    none(&unwraps(&tree()));
}

/// `rule` finds violations in these lines, and in no others, of a file at `path`.
#[track_caller]
fn check(rule: fn(&[File]) -> Vec<String>, path: &str, text: &str, lines: &[usize]) {
    let violations = rule(&files(&[(path.to_owned(), text.to_owned())]));
    let place = |violation: &String| violation.split(':').nth(1).and_then(|line| line.parse().ok());
    assert_eq!(violations.iter().filter_map(place).collect::<Vec<usize>>(), lines, "{violations:?}\n{text}");
}

#[test]
fn an_import_may_not_lead_up_or_sideways() {
    check(
        imports,
        "src/store/slab.rs",
        "use crate::base::clock;\nuse crate::store::Key;\nuse super::item;",
        &[],
    );
    check(
        imports,
        "src/store/slab.rs",
        "use crate::config::Settings;\nfn f() { crate::server::run() }",
        &[1, 2],
    );
    check(
        imports,
        "src/store/slab.rs",
        "use crate::{\n    base::{clock, hash},\n    protocol::output,\n};",
        &[3],
    );
    check(imports, "src/store/slab.rs", "use super::super::config;\nuse crate::figures;", &[1]);
    check(imports, "src/store/slab.rs", "#[cfg(test)]\nmod tests {\n    use super::super::item;\n}", &[]);
    check(imports, "src/store/mod.rs", "use super::config;\nmod item;", &[1]);
    check(imports, "src/base/hash.rs", "//! [`crate::store`]\nconst TEXT: &str = \"crate::store\";", &[]);
    check(imports, "src/metrics/mod.rs", "use std::fmt;", &[1]);
    check(imports, "src/server/mod.rs", "use crate::client;", &[1]);
    check(imports, "src/client/mod.rs", "use crate::base::clock;\nuse crate::store::Store;", &[2]);
    check(imports, "src/main.rs", "use larder::config;\nmod extra;\nuse crate::extra;", &[3, 2]);
}

#[test]
fn unsafe_code_is_found_and_talk_of_it_is_not() {
    let talk = "// unsafe\n/* unsafe /* too */ unsafe */\nconst TEXT: &str = r#\"\"unsafe\"#; // '\n#![deny(unsafe_code)]";
    check(unsafe_code, "src/base/sys.rs", talk, &[]);
    check(
        unsafe_code,
        "benches/store.rs",
        "fn f<'a>(c: char) { c == '\"'; unsafe { g() } }\nunsafe fn g() {}",
        &[1, 2],
    );
}

#[test]
fn lengths_are_measured_without_tests() {
    let body = |lines: usize| format!("\n{{\n{}}}\n", "    let text = \"}\";\n".repeat(lines - 3));
    check(long_functions, "src/base/sys.rs", &format!("pub fn f(x: [u8; 2]){}", body(70)), &[]);
    check(long_functions, "src/base/sys.rs", &format!("\npub fn f(x: [u8; 2]){}", body(71)), &[2]);
    check(long_functions, "src/base/sys.rs", &format!("#[cfg(test)]\nfn f(){}", body(71)), &[]);
    let tests = "#[cfg(test)]\nmod tests {\n}\n";
    check(long_files, "src/base/sys.rs", &("\n".repeat(600) + tests), &[]);
    check(long_files, "src/base/sys.rs", &("\n".repeat(601) + tests), &[602]);
    check(long_files, "src/base/sys.rs", &(tests.to_owned() + &"fn f() {}\n".repeat(600)), &[604]);
}

#[test]
fn words_are_looked_for_where_they_matter() {
    check(
        leftovers,
        "src/base/sys.rs",
        "todo!();\nunimplemented!();\ndbg!(x);\n// FIXME\n// XXX",
        &[1, 2, 3, 4, 5],
    );
    check(leftovers, "src/base/sys.rs", "println!();\n#[cfg(test)]\nfn f() { println!(\"FIXME\") }", &[1]);
    check(leftovers, "src/main.rs", "eprintln!();", &[]);
    check(uses_of_mio, "src/server/worker.rs", "use mio::Poll;", &[]);
    check(uses_of_mio, "src/protocol/output.rs", "// mio::Poll\nuse mio::Poll;", &[2]);
    check(
        |files| looks_at_the_clock(files).into_iter().filter(|text| !text.contains("no exception")).collect(),
        "src/protocol/output.rs",
        "// Instant::now()\nInstant::now();\nstart.elapsed();\n#[cfg(test)]\nfn f() { Instant::now() }",
        &[2, 3],
    );
    check(
        unwraps,
        "src/protocol/output.rs",
        "f().unwrap();\nf()\n    .expect(\"so\");\nf().unwrap_or(1);",
        &[1, 3],
    );
    check(unwraps, "src/client/ping.rs", "f().unwrap();", &[1]);
    check(unwraps, "src/store/slab.rs", "f().unwrap();", &[]);
    check(unwraps, "src/server/bind.rs", "#[cfg(test)]\nmod tests {\n    fn f() { g().unwrap() }\n}", &[]);
}

#[test]
fn an_exception_must_be_needed() {
    let violations = vec![("a".to_owned(), "a:1".to_owned()), ("b".to_owned(), "b:1".to_owned())];
    assert_eq!(except(violations.clone(), &[("a", "why"), ("b", "why")]), Vec::<String>::new());
    let left = except(violations, &[("a", "why"), ("c", "why")]);
    assert_eq!(left, ["b:1", "c: needs no exception in tidy any more"]);
}
