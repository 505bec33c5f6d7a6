//! The shape of the source: which module may know which, and how large files may grow. Reads the text of every file
//! under `src`, so a shortcut that compiles is found all the same.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::program::repository;

/// From the inside out. A module may know those of the lines above its own, and of its own line only itself.
const LAYERS: [&[&str]; 10] = [
    &["domain"],
    &["evidence", "yaml"],
    &[
        "clock",
        "cluster",
        "config",
        "http",
        "metrics",
        "priority",
        "telemetry",
    ],
    &["prow", "slack", "store"],
    &["artifacts"],
    &["pipeline"],
    &["board"],
    &["web"],
    &["app"],
    &["cli"],
];
/// Stands beside the layers, for the demo and the tests. Only the command line knows it.
const STANDIN: (&str, [&str; 4]) = ("standin", ["clock", "domain", "prow", "slack"]);
/// Lines of a file, without its tests.
const LONGEST: usize = 500;

/// A file of ours.
struct File {
    /// From `src` on.
    path: PathBuf,
    text: String,
}

fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    gather(&repository(folder), &mut found);
    assert!(!found.is_empty());
    found
}

fn gather(folder: &Path, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(repository(".")).unwrap().to_owned();
            found.push(File { path, text });
        }
    }
}

impl File {
    /// The part of `src` that it belongs to.
    fn module(&self) -> String {
        let first = self.path.components().nth(1).unwrap();
        let name = first.as_os_str().to_string_lossy();
        name.trim_end_matches(".rs").to_owned()
    }

    fn is_test(&self) -> bool {
        let mut names = self.path.iter().map(|name| name.to_string_lossy());
        names.any(|name| name == "tests" || name == "tests.rs")
    }

    /// Its lines without comments and without the tests at its end.
    fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The modules that it names after `crate::`, also in a list.
    fn known(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut known = BTreeSet::new();
        for after in code.split("crate::").skip(1) {
            match after.strip_prefix('{') {
                Some(list) => known.extend(listed(list)),
                None => known.extend(first_word(after)),
            }
        }
        known
    }
}

fn first_word(text: &str) -> Option<String> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let word = text.get(..end).unwrap();
    (!word.is_empty()).then(|| word.to_owned())
}

/// The first words of the items of a list, up to its closing brace.
fn listed(list: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut item) = (0, String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.extend(first_word(&std::mem::take(&mut item))),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    words.extend(first_word(&item));
    words
}

/// What a module may know; `None` for one that is not in the list.
fn allowed(module: &str) -> Option<BTreeSet<&'static str>> {
    if module == STANDIN.0 {
        return Some(STANDIN.1.into_iter().chain([STANDIN.0]).collect());
    }
    let (own, layer) = LAYERS
        .iter()
        .enumerate()
        .find_map(|(index, names)| Some((*names.iter().find(|name| **name == module)?, index)))?;
    let below = LAYERS.iter().take(layer).copied().flatten().copied();
    let standin = (module == "cli").then_some(STANDIN.0);
    Some(below.chain([own]).chain(standin).collect())
}

#[test]
fn every_module_has_its_layer() {
    let lib = fs::read_to_string(repository("src/lib.rs")).unwrap();
    let modules: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let listed: BTreeSet<&str> = LAYERS.concat().into_iter().chain([STANDIN.0]).collect();
    assert_eq!(modules, listed);
}

#[test]
fn imports_point_inwards_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files("src").iter().filter(|file| !file.is_test()) {
        let module = file.module();
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let allowed = allowed(&module).unwrap();
        for known in file.known() {
            seen += 1;
            if !allowed.contains(known.as_str()) {
                wrong.push(format!("{} knows {known}", file.path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 50, "{seen}: the search itself is broken");
}

#[test]
fn the_search_for_imports_sees_every_form() {
    let file = File {
        path: "src/domain/x.rs".into(),
        text: "//! crate::web\nuse crate::{\n    cli::{out, Format},\n    slack,\n};\nfn f() { crate::store::open() }\n\
               #[cfg(test)]\nmod tests {\n    use crate::app;\n}\n"
            .to_owned(),
    };
    let known: Vec<String> = file.known().into_iter().collect();
    assert_eq!(known, ["cli", "slack", "store"]);
    assert_eq!(file.module(), "domain");
}

#[test]
fn the_core_knows_no_input_no_output_and_no_clock() {
    let foreign = [
        "async ",
        ".await",
        "tokio",
        "reqwest",
        "rusqlite",
        "hyper",
        "axum",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "std::env",
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "println!",
        "tracing",
    ];
    let mut found = Vec::new();
    let core = files("src").into_iter();
    for file in core.filter(|file| ["domain", "evidence"].contains(&file.module().as_str())) {
        let code = file.code();
        let named = foreign.iter().filter(|word| code.contains(**word));
        found.extend(named.map(|word| format!("{} has {word}", file.path.display())));
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn files_are_short_without_their_tests() {
    let long: Vec<String> = files("src")
        .iter()
        .filter(|file| !file.is_test())
        .map(|file| {
            let text = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            (&file.path, text.lines().count())
        })
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let silent: Vec<String> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(files)
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.display().to_string())
        .collect();
    assert_eq!(silent, Vec::<String>::new());
}
