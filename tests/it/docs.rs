//! What the documents promise: their configurations load, and the commands and flags that they name exist.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser as _};
use prow_notifier::{cli::Cli, config::Config};

use crate::program::{no_environment, repository};

/// A fenced block of a document.
#[derive(Debug)]
struct Block {
    /// Document and line, for messages.
    place: String,
    language: String,
    text: String,
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.extend(Some(repository("README.md")).filter(|readme| readme.exists()));
    found
}

fn blocks() -> Vec<Block> {
    let documents = documents();
    assert!(!documents.is_empty());
    documents.iter().flat_map(blocks_of).collect()
}

fn blocks_of(document: &PathBuf) -> Vec<Block> {
    let text = fs::read_to_string(document).unwrap();
    let name = document.strip_prefix(repository(".")).unwrap().display();
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(language) if !inside => {
                inside = true;
                blocks.push(Block {
                    place: format!("{name}:{}", number + 1),
                    language: language.trim().to_owned(),
                    text: String::new(),
                });
            }
            Some(_) => inside = false,
            None if inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!inside, "{name} leaves a block open");
    blocks
}

/// YAML that is not ours says so in its first line; manifests have a kind.
fn is_configuration(block: &Block) -> bool {
    let first = block.text.lines().next().unwrap_or_default();
    let foreign = first.starts_with('#') && first.contains("not of prow-notifier");
    let manifest = block
        .text
        .lines()
        .any(|line| line.starts_with("apiVersion:"));
    block.language == "yaml" && !foreign && !manifest
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let mut loaded = 0;
    for block in blocks().iter().filter(|block| is_configuration(block)) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config.yaml");
        fs::write(&file, &block.text).unwrap();
        if let Err(problems) = Config::load(&[file], &no_environment()) {
            panic!("{}:\n{problems}", block.place);
        }
        loaded += 1;
    }
    assert!(loaded >= 5, "{loaded}");
}

/// Command lines of the program in a block: each from its name to the end, as words. Pipes, redirections and comments
/// end one; `cargo run -- ...` is one as well.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let parts = joined.lines().flat_map(|line| line.split(['|', ';']));
    parts.filter_map(command_line).collect()
}

fn command_line(part: &str) -> Option<Vec<String>> {
    let part = part.trim().trim_start_matches("$ ");
    let words: Vec<String> = part
        .split_whitespace()
        .take_while(|word| !word.starts_with(['#', '>', '<']) && *word != "&&")
        .map(|word| word.trim_matches(['"', '\'', '`']).to_owned())
        .collect();
    let first = words.first()?.rsplit('/').next()?.to_owned();
    let own = match first.as_str() {
        "prow-notifier" => words.into_iter().skip(1).collect(),
        "cargo" if words.get(1).is_some_and(|word| word == "run") => words
            .into_iter()
            .skip_while(|word| word != "--")
            .skip(1)
            .collect(),
        _ => return None,
    };
    Some(own)
}

fn understands(words: &[String]) -> Result<(), String> {
    let named = ["prow-notifier".to_owned()]
        .into_iter()
        .chain(words.iter().cloned());
    match Cli::try_parse_from(named) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[test]
fn every_command_line_in_the_documents_is_understood() {
    let mut seen = 0;
    for block in blocks() {
        if !["console", "sh", "bash", "shell", ""].contains(&block.language.as_str()) {
            continue;
        }
        for words in command_lines(&block.text) {
            seen += 1;
            if let Err(error) = understands(&words) {
                panic!("{}: {}\n{error}", block.place, words.join(" "));
            }
        }
    }
    assert!(seen >= 5 || !repository("README.md").exists(), "{seen}");
}

/// All flags of a command and those below it.
fn flags(command: &clap::Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    let below = command.get_subcommands().flat_map(flags);
    own.map(|name| format!("--{name}"))
        .chain(below)
        .chain(["--help".to_owned(), "--version".to_owned()])
        .collect()
}

/// Pieces of text in single backticks, outside of blocks.
fn code_spans(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|part| part.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn commands_and_flags_named_in_the_text_exist() {
    let command = Cli::command();
    let subcommands: Vec<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    let flags = flags(&command);
    let mut seen = 0;
    for document in documents() {
        let name = document.display();
        for span in code_spans(&fs::read_to_string(&document).unwrap()) {
            let mut words = span.split_whitespace();
            let first = words.next().unwrap_or_default();
            if first == "prow-notifier"
                && let Some(word) = words.find(|word| !word.starts_with('-'))
            {
                seen += 1;
                assert!(
                    subcommands.contains(&word),
                    "{name}: `{span}`: no command {word}"
                );
            }
            if subcommands.contains(&first) || first.starts_with("--") || first == "prow-notifier" {
                let named = span
                    .split_whitespace()
                    .filter(|word| word.starts_with("--") && word.len() > 2);
                for flag in named {
                    seen += 1;
                    let flag = flag.split('=').next().unwrap().trim_end_matches([',', '.']);
                    assert!(
                        flags.iter().any(|known| known == flag),
                        "{name}: `{span}`: no flag {flag}"
                    );
                }
            }
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// The names by which the headings of a document can be linked to, as GitHub makes them.
fn anchors(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let prose = text.split("```").step_by(2);
    let headings = prose.flat_map(str::lines).filter_map(|line| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.trim().to_lowercase())
    });
    headings
        .map(|heading| {
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn links_within_the_repository_lead_somewhere() {
    let (mut broken, mut seen) = (Vec::new(), 0);
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for part in text.split("](").skip(1) {
            let link = part.split([')', ' ']).next().unwrap();
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if target.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(target)
            };
            if !file.exists()
                || (!anchor.is_empty() && !anchors(&file).contains(&anchor.to_owned()))
            {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(seen >= 5, "{seen}");
}

#[test]
fn the_search_for_command_lines_sees_what_a_reader_would_type() {
    let lines = command_lines(
        "$ prow-notifier --config a.yaml \\\n  check\nkubectl get x -o json | prow-notifier preview --format json\n\
         cargo run --release -- demo --once # a comment\ncargo test\nprow-notifier check > prow-notifier\n",
    );
    let lines: Vec<String> = lines.iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        lines,
        [
            "--config a.yaml check",
            "preview --format json",
            "demo --once",
            "check"
        ]
    );
    assert!(understands(&["preview".to_owned(), "--formt".to_owned()]).is_err());
}

#[test]
fn every_command_and_every_flag_has_a_meaning() {
    fn check(command: &clap::Command, silent: &mut Vec<String>) {
        if command.get_about().is_none() {
            silent.push(command.get_name().to_owned());
        }
        for argument in command.get_arguments() {
            if argument.get_help().is_none()
                && !["help", "version"].contains(&argument.get_id().as_str())
            {
                silent.push(format!("{} {}", command.get_name(), argument.get_id()));
            }
        }
        command
            .get_subcommands()
            .for_each(|below| check(below, silent));
    }
    let mut silent = Vec::new();
    check(&Cli::command(), &mut silent);
    assert_eq!(silent, Vec::<String>::new());
    Cli::command().debug_assert();
    let names: BTreeMap<String, usize> = Cli::command()
        .get_subcommands()
        .map(|command| {
            (
                command.get_name().to_owned(),
                command.get_arguments().count(),
            )
        })
        .collect();
    for name in [
        "serve",
        "preview",
        "check",
        "demo",
        "config",
        "explain",
        "send-test",
    ] {
        assert!(names.contains_key(name), "{name}");
    }
}
