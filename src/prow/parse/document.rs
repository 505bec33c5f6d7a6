//! Bodies and files that hold any number of ProwJobs: lists, watch events, deck's script form, JSON lines,
//! arrays, YAML. One bad element does not spoil the others.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Deserializer;

use super::{
    ParseError, observation,
    raw::{Envelope, Items, Maybe, most_in},
    yaml,
};
use crate::domain::observation::{Observation, Source};

/// What a document held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The runs, in the order of the document.
    pub observations: Vec<Observation>,
    /// What could not be read, each with its place.
    pub problems: Vec<String>,
}

/// Reads a ProwJob, a list of them (`{"items": [..]}` or an array), a `var X = {..};` body of deck, a watch
/// event, lines of any of these, or YAML documents. Events other than ADDED and MODIFIED hold no news: the
/// end of a ProwJob is not the end of its run.
///
/// Fails when nothing in it can be read at all, so that a lone bad ProwJob is an error and not a problem.
pub fn document(bytes: &[u8], source: Source, seen_at: Timestamp) -> Result<Parsed, ParseError> {
    let bytes = script_value(bytes.trim_ascii());
    if !bytes.is_empty() && !matches!(bytes.first(), Some(b'{' | b'[' | b'<')) {
        let mut reading = Reading::new(source, seen_at);
        yaml::documents(bytes, &mut |place, json| match json {
            Ok(json) => elements(&json, &mut |inner, element| {
                let document = place.document;
                reading.take(Place { document, ..inner }, element);
            }),
            Err(error) => reading.problem(place, error),
        })?;
        return reading.end();
    }
    Parts::split(bytes).read(source, seen_at)
}

/// A JSON body split into its elements, so that who may say something of a ProwJob and what is said of it are
/// both read from the same bytes.
pub struct Parts<'a> {
    bytes: &'a [u8],
    pub(crate) elements: Vec<(Place, Result<Element<'a>, ParseError>)>,
}

impl<'a> Parts<'a> {
    /// Splits a body; what cannot be split is kept as an error. Of a body that nobody has signed for yet no more
    /// elements are held than ProwJobs fit in.
    pub fn split(bytes: &'a [u8]) -> Self {
        let most = most_in(bytes.len());
        let mut found = Vec::with_capacity(1);
        elements(bytes, &mut |place, element| {
            if found.len() < most {
                found.push((place, element));
            } else if found.len() == most {
                found.push((place, Err(ParseError::Crowded)));
            }
        });
        Self {
            bytes: bytes.trim_ascii(),
            elements: found,
        }
    }

    /// Reads the runs, as [`document`] does.
    pub fn read(self, source: Source, seen_at: Timestamp) -> Result<Parsed, ParseError> {
        match self.bytes.first() {
            None => return Err(ParseError::Empty),
            Some(b'<') => return Err(ParseError::Html),
            Some(_) => {}
        }
        let mut reading = Reading::new(source, seen_at);
        for (place, element) in self.elements {
            reading.take(place, element);
        }
        reading.end()
    }
}

struct Reading {
    source: Source,
    seen_at: Timestamp,
    parsed: Parsed,
    first_problem: Option<ParseError>,
    /// Lists and events without news, which make an empty document a fine one.
    parts: usize,
}

impl Reading {
    fn new(source: Source, seen_at: Timestamp) -> Self {
        Self {
            source,
            seen_at,
            parsed: Parsed::default(),
            first_problem: None,
            parts: 0,
        }
    }

    fn end(self) -> Result<Parsed, ParseError> {
        match self.first_problem {
            Some(error) if self.parts == 0 && self.parsed.observations.is_empty() => Err(error),
            _ => Ok(self.parsed),
        }
    }

    fn take(&mut self, place: Place, element: Result<Element<'_>, ParseError>) {
        let json = match element {
            Ok(Element::List | Element::Gone(_)) => {
                self.parts += 1;
                return;
            }
            Ok(Element::Present(json)) => json,
            Err(error) => return self.problem(place, error),
        };
        match observation(json, self.source, self.seen_at) {
            Ok(observation) => self.parsed.observations.push(observation),
            Err(error) => self.problem(place, error),
        }
    }

    fn problem(&mut self, place: Place, error: ParseError) {
        let error = error.within(&place.to_string());
        self.parsed.problems.push(error.to_string());
        self.first_problem.get_or_insert(error);
    }
}

/// Strips deck's `var NAME = ` before and the `;` after a value.
fn script_value(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(after) = bytes.strip_prefix(b"var ") else {
        return bytes;
    };
    let Some(equals) = after.iter().position(|byte| *byte == b'=') else {
        return bytes;
    };
    let value = after
        .get(equals + 1..)
        .unwrap_or_default()
        .trim_ascii_start();
    value.strip_suffix(b";").unwrap_or(value)
}

/// Where in a body an element stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// Number of the document from 0, among several in one file.
    document: usize,
    index: Option<usize>,
    item: Option<usize>,
    in_event: bool,
}

impl Place {
    pub(super) fn in_document(number: usize) -> Self {
        Self {
            document: number,
            ..Self::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        if self.document > 0 {
            write!(f, "document {}", self.document + 1)?;
            dot = ".";
        }
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
            dot = ".";
        }
        if let Some(item) = self.item {
            write!(f, "{dot}items[{item}]")?;
            dot = ".";
        }
        if self.in_event {
            write!(f, "{dot}object")?;
        }
        Ok(())
    }
}

/// What a body says.
pub(crate) enum Element<'a> {
    /// A list begins; its items follow as elements of their own.
    List,
    /// This ProwJob, unread.
    Present(&'a [u8]),
    /// A watch event that tells nothing of a run, and its object.
    Gone(&'a [u8]),
}

/// Calls `each` for every element of a JSON body.
fn elements<'a>(json: &'a [u8], each: &mut impl FnMut(Place, Result<Element<'a>, ParseError>)) {
    let mut rest = script_value(json.trim_ascii());
    let mut document = 0;
    while !rest.is_empty() {
        let place = Place::in_document(document);
        let read = if rest.first() == Some(&b'[') {
            array(place, rest, each)
        } else {
            object(place, rest, each)
        };
        match read {
            Ok(length) => rest = rest.get(length..).unwrap_or_default().trim_ascii_start(),
            Err(error) => return each(place, Err(ParseError::json(error))),
        }
        document += 1;
    }
}

/// Reads an array at the start of `bytes`; returns its length in bytes.
fn array<'a>(
    place: Place,
    bytes: &'a [u8],
    each: &mut impl FnMut(Place, Result<Element<'a>, ParseError>),
) -> serde_json::Result<usize> {
    let (items, length) = leading::<Items<'_>>(bytes)?;
    each(place, Ok(Element::List));
    for (index, item) in items.0.unwrap_or_default().into_iter().enumerate() {
        let place = Place {
            index: Some(index),
            ..place
        };
        if let Err(error) = object(place, item.get().as_bytes(), each) {
            each(place, Err(ParseError::json(error)));
        }
    }
    Ok(length)
}

/// A value at the start of `bytes`, and how many of them it takes.
fn leading<'a, T: Deserialize<'a> + Default>(bytes: &'a [u8]) -> serde_json::Result<(T, usize)> {
    let mut values = Deserializer::from_slice(bytes).into_iter::<T>();
    let value = values.next().transpose()?.unwrap_or_default();
    Ok((value, values.byte_offset()))
}

/// Reads a list object, a watch event or a ProwJob at the start of `bytes`; returns its length in bytes.
fn object<'a>(
    place: Place,
    bytes: &'a [u8],
    each: &mut impl FnMut(Place, Result<Element<'a>, ParseError>),
) -> serde_json::Result<usize> {
    let (Maybe(envelope), length) = leading::<Maybe<Envelope<'_>>>(bytes)?;
    let envelope = envelope.unwrap_or_default();
    if let Some(items) = envelope.items.0 {
        each(place, Ok(Element::List));
        for (item, value) in items.into_iter().enumerate() {
            let place = Place {
                item: Some(item),
                ..place
            };
            each(place, Ok(Element::Present(value.get().as_bytes())));
        }
    } else if let Some(object) = envelope.object {
        let object = object.get().as_bytes();
        let element = match envelope.r#type.get() {
            Some("ADDED" | "MODIFIED") => Ok(Element::Present(object)),
            Some("DELETED" | "BOOKMARK" | "ERROR") => Ok(Element::Gone(object)),
            _ => Err(ParseError::UnknownEvent {
                place: String::new(),
            }),
        };
        let place = Place {
            in_event: element.is_ok(),
            ..place
        };
        each(place, element);
    } else {
        each(
            place,
            Ok(Element::Present(bytes.get(..length).unwrap_or_default())),
        );
    }
    Ok(length)
}
