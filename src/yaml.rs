//! YAML as JSON, so that what is written in either is read by one reader. Scalars stay as written: an unquoted `1.10`
//! is a branch and `12e4567` a commit, never a number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// More nesting than any ProwJob has.
const MAX_DEPTH: usize = 64;
/// Bytes that aliases may repeat in all: a few lines of them ask for more than any memory holds.
const MAX_REPEATED: usize = 16 << 20;

/// Why a text is not read; names line and column.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub struct Unreadable {
    what: String,
    line: usize,
    column: usize,
}

/// The one document of a text; `null` where there is none.
pub fn to_json(text: &str) -> Result<Vec<u8>, Unreadable> {
    let mut writer = Writer {
        events: Parser::new_from_str(text),
        json: Vec::with_capacity(text.len()),
        anchors: BTreeMap::new(),
        repeated: 0,
    };
    loop {
        match writer.next()? {
            (Event::DocumentStart(..), _) => break,
            (Event::StreamEnd, _) => return Ok(b"null".to_vec()),
            _ => {}
        }
    }
    let root = writer.next()?;
    writer.node(root, 0)?;
    loop {
        match writer.next()? {
            (Event::StreamEnd, _) => return Ok(writer.json),
            (Event::DocumentStart(..), span) => {
                return Err(unreadable("a second document", span));
            }
            _ => {}
        }
    }
}

struct Writer<'a> {
    events: Parser<'a, StrInput<'a>>,
    json: Vec<u8>,
    /// Where in the JSON a node stands that has one.
    anchors: BTreeMap<usize, Range<usize>>,
    repeated: usize,
}

type Found<'a> = (Event<'a>, Span);

impl<'a> Writer<'a> {
    fn next(&mut self) -> Result<Found<'a>, Unreadable> {
        loop {
            match self.events.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(found)) => return Ok(found),
                Some(Err(error)) => {
                    let at = *error.marker();
                    return Err(unreadable(error.info(), Span::empty(at)));
                }
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn node(&mut self, (event, span): Found<'a>, depth: usize) -> Result<(), Unreadable> {
        if depth > MAX_DEPTH {
            return Err(unreadable("nested too deeply", span));
        }
        let (begin, anchor) = (self.json.len(), event.anchor_id());
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    self.json.extend_from_slice(b"null");
                } else {
                    self.text(&text);
                }
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(id) => self.repeat(id, span)?,
            _ => return Err(unreadable("a value is missing", span)),
        }
        if let Some(id) = anchor {
            self.anchors.insert(id, begin..self.json.len());
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        self.json.extend_from_slice(quoted.as_bytes());
    }

    fn list(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.json.push(b'[');
        let mut is_first = true;
        loop {
            let item = self.next()?;
            if item.0 == Event::SequenceEnd {
                self.json.push(b']');
                return Ok(());
            }
            self.separate(&mut is_first);
            self.node(item, depth + 1)?;
        }
    }

    fn map(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.json.push(b'{');
        let mut known = BTreeSet::new();
        let mut is_first = true;
        loop {
            let (key, span) = self.next()?;
            let key = match key {
                Event::MappingEnd => {
                    self.json.push(b'}');
                    return Ok(());
                }
                Event::Scalar(key, style, ..) if style != ScalarStyle::Plain || key != "<<" => key,
                Event::Scalar(..) => {
                    let what = "merge keys (`<<`) are not supported, write the fields out";
                    return Err(unreadable(what, span));
                }
                _ => return Err(unreadable("a key must be text", span)),
            };
            self.separate(&mut is_first);
            self.text(&key);
            if let Some(twice) = known.replace(key) {
                return Err(unreadable(format!("key {twice:?} is given twice"), span));
            }
            self.json.push(b':');
            let value = self.next()?;
            self.node(value, depth + 1)?;
        }
    }

    fn separate(&mut self, is_first: &mut bool) {
        if !std::mem::take(is_first) {
            self.json.push(b',');
        }
    }

    fn repeat(&mut self, id: usize, span: Span) -> Result<(), Unreadable> {
        let node = self.anchors.get(&id).cloned();
        let node =
            node.ok_or_else(|| unreadable("an alias stands inside what it repeats", span))?;
        self.repeated += node.len();
        if self.repeated > MAX_REPEATED {
            return Err(unreadable("aliases repeat more than 16 MiB", span));
        }
        self.json.extend_from_within(node);
        Ok(())
    }
}

fn unreadable(what: impl Into<String>, at: Span) -> Unreadable {
    Unreadable {
        what: what.into(),
        line: at.start.line(),
        column: at.start.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::to_json;

    fn json(text: &str) -> String {
        let read = to_json(text).map(|json| String::from_utf8(json).unwrap());
        read.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn scalars_stay_as_written_and_the_rest_keeps_its_shape() {
        for (yaml, expected) in [
            ("", "null"),
            ("# nothing\n", "null"),
            ("---\na: b\n...\n", r#"{"a":"b"}"#),
            (
                "a: 1.10\nb: 0x1F\nc: yes\nd: 12e4567",
                r#"{"a":"1.10","b":"0x1F","c":"yes","d":"12e4567"}"#,
            ),
            (
                "a:\nb: ~\nc: null\nd: 'null'\ne: \"\"",
                r#"{"a":null,"b":null,"c":null,"d":"null","e":""}"#,
            ),
            (
                "- a # why\n- [b, {c: d}]\n- - e\n",
                r#"["a",["b",{"c":"d"}],["e"]]"#,
            ),
            ("a: \"\\x07\\\"\\u2028\"", "{\"a\":\"\\u0007\\\"\u{2028}\"}"),
            (
                "a: |\n  one\n  two\nb: >-\n  one\n  two",
                r#"{"a":"one\ntwo\n","b":"one two"}"#,
            ),
            (
                "a: &x {b: [c]}\nd: *x\ne: [*x, *x]",
                r#"{"a":{"b":["c"]},"d":{"b":["c"]},"e":[{"b":["c"]},{"b":["c"]}]}"#,
            ),
            ("1: !!str 2\n\"<<\": c", r#"{"1":"2","<<":"c"}"#),
        ] {
            assert_eq!(json(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn what_is_not_read_is_told_with_its_place() {
        for (yaml, expected) in [
            ("a: b\na: c", "key \"a\" is given twice at line 2 column 1"),
            (
                "a: &x {b: c}\nd:\n  <<: *x",
                "merge keys (`<<`) are not supported, write the fields out at line 3 column 3",
            ),
            ("a: b\n---\nc: d", "a second document at line 2 column 1"),
            ("? [a]\n: b", "a key must be text at line 1 column 3"),
            (
                "a: &x [*x]",
                "an alias stands inside what it repeats at line 1 column 8",
            ),
        ] {
            assert_eq!(json(yaml), expected, "{yaml}");
        }
        for yaml in [
            "a: *x",
            "a: [b",
            "a: b: c",
            "a:\n\t- b",
            "%YAML 9\n---\na",
            "\"a",
        ] {
            let error = to_json(yaml).unwrap_err().to_string();
            assert!(error.contains(" at line "), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_few_lines_of_aliases_do_not_fill_the_memory() {
        let level = |level: usize| {
            let last = format!("*a{}", level - 1);
            format!("a{level}: &a{level} [{}]\n", [last.as_str(); 9].join(", "))
        };
        let bomb = format!("a0: &a0 [lol]\n{}", (1..12).map(level).collect::<String>());
        let error = to_json(&bomb).unwrap_err().to_string();
        assert!(
            error.starts_with("aliases repeat more than 16 MiB at line "),
            "{error}"
        );
    }
}
