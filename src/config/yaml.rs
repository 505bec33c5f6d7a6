//! YAML as a tree of text with places. Scalars stay as written: `1.10` is not a number here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

use super::error::{Place, Problem};

/// One file's text, shared by all places in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A node and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// Text as written, quotes taken off.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their places, in order.
    Map(Vec<(String, Place, Node)>),
}

/// More nesting than any configuration has.
const MAX_DEPTH: usize = 32;

/// Reads one file. An empty one is an empty map.
pub fn parse(path: &Path, text: String) -> Result<Node, Problem> {
    let source = Arc::new(Source {
        path: path.to_owned(),
        text,
    });
    let mut reader = Reader {
        events: Parser::new_from_str(&source.text),
        source: &source,
    };
    loop {
        match reader.next()? {
            (Event::DocumentStart(..), _) => break,
            (Event::StreamEnd, place) => {
                return Ok(Node {
                    place,
                    kind: Kind::Map(Vec::new()),
                });
            }
            _ => {}
        }
    }
    let first = reader.next()?;
    let root = reader.node(first, 0)?;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(..), place) => {
                return Err(Problem::at(
                    place,
                    "a second YAML document in one file",
                    "put it in a file of its own",
                ));
            }
            _ => {}
        }
    }
    match root.kind {
        Kind::Map(_) => Ok(root),
        Kind::Null => Ok(Node {
            kind: Kind::Map(Vec::new()),
            ..root
        }),
        Kind::Text(_) | Kind::List(_) => Err(Problem::at(
            root.place,
            "the file must be a map of settings",
            "begin with a key such as `classify:`",
        )),
    }
}

struct Reader<'a> {
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    source: &'a Arc<Source>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Problem> {
        loop {
            let place = |line, column| Place {
                source: Arc::clone(self.source),
                line,
                column,
            };
            match self.events.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => {
                    return Ok((event, place(span.start.line(), span.start.col() + 1)));
                }
                Some(Err(error)) => {
                    let at = place(error.marker().line(), error.marker().col() + 1);
                    return Err(Problem::at(
                        at,
                        format!("not valid YAML: {}", error.info()),
                        "check indentation and quotes",
                    ));
                }
                None => return Ok((Event::StreamEnd, place(1, 1))),
            }
        }
    }

    fn node(&mut self, (event, place): (Event<'a>, Place), depth: usize) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(Problem::at(
                place,
                "nested too deeply",
                "no setting is nested deeper than a few levels",
            ));
        }
        let kind = match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                if plain && matches!(&*text, "" | "~" | "null") {
                    Kind::Null
                } else {
                    Kind::Text(text.into_owned())
                }
            }
            Event::SequenceStart(..) => Kind::List(self.list(depth)?),
            Event::MappingStart(..) => Kind::Map(self.map(depth)?),
            Event::Alias(_) => {
                return Err(Problem::at(
                    place,
                    "YAML aliases are not supported",
                    "write the value out",
                ));
            }
            _ => Kind::Null,
        };
        Ok(Node { place, kind })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(String, Place, Node)>, Problem> {
        let mut entries: Vec<(String, Place, Node)> = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::MappingEnd) {
                return Ok(entries);
            }
            let key = self.node(event, depth + 1)?;
            let Kind::Text(name) = key.kind else {
                return Err(Problem::at(
                    key.place,
                    "a key must be text",
                    "write `key: value`",
                ));
            };
            if let Some((_, earlier, _)) = entries.iter().find(|(known, ..)| *known == name) {
                let hint = format!(
                    "it stands on line {} already; keep one of them",
                    earlier.line
                );
                return Err(Problem::at(
                    key.place,
                    format!("key `{name}` is given twice"),
                    hint,
                ));
            }
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            entries.push((name, key.place, value));
        }
    }
}

impl Node {
    /// The entries of a map, each of which must be one of `known`.
    pub fn entries(&self, what: &str, known: &[&str]) -> Result<&[(String, Place, Self)], Problem> {
        let entries = self.map(what, known)?;
        match unknown_keys(entries, what, known).next() {
            Some(problem) => Err(problem),
            None => Ok(entries),
        }
    }

    /// The same, but every unknown key is told, and the others are given all the same.
    pub fn known_entries<'a>(
        &'a self,
        what: &str,
        known: &'a [&'a str],
        problems: &mut Vec<Problem>,
    ) -> impl Iterator<Item = (&'a str, &'a Self)> + use<'a> {
        let entries = self.map(what, known).unwrap_or_else(|problem| {
            problems.push(problem);
            &[]
        });
        problems.extend(unknown_keys(entries, what, known));
        entries
            .iter()
            .filter(|(key, ..)| known.contains(&key.as_str()))
            .map(|(key, _, node)| (key.as_str(), node))
    }

    fn map(&self, what: &str, known: &[&str]) -> Result<&[(String, Place, Self)], Problem> {
        match &self.kind {
            Kind::Map(entries) => Ok(entries),
            Kind::Null | Kind::Text(_) | Kind::List(_) => Err(Problem::at(
                self.place.clone(),
                format!("{what} must be a map"),
                format!("its keys are {}", known.join(", ")),
            )),
        }
    }

    /// The items of a list; nothing is an empty list.
    pub fn items(&self, what: &str) -> Result<&[Self], Problem> {
        match &self.kind {
            Kind::List(items) => Ok(items),
            Kind::Null => Ok(&[]),
            Kind::Text(_) | Kind::Map(_) => Err(Problem::at(
                self.place.clone(),
                format!("{what} must be a list"),
                "begin each item with `- `",
            )),
        }
    }

    /// Text as written.
    pub fn text(&self, what: &str) -> Result<&str, Problem> {
        match &self.kind {
            Kind::Text(text) => Ok(text),
            Kind::Null | Kind::List(_) | Kind::Map(_) => Err(Problem::at(
                self.place.clone(),
                format!("{what} must be text"),
                "",
            )),
        }
    }
}

fn unknown_keys(
    entries: &[(String, Place, Node)],
    what: &str,
    known: &[&str],
) -> impl Iterator<Item = Problem> {
    let unknown = entries
        .iter()
        .filter(|(key, ..)| !known.contains(&key.as_str()));
    unknown.map(move |(key, place, _)| {
        let hint = crate::domain::nearest::hint(key, known.iter().copied());
        Problem::at(
            place.clone(),
            format!("unknown key `{key}` in {what}{hint}"),
            "",
        )
    })
}
