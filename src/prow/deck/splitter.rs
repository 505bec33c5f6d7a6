//! Cuts a body `{"items":[..]}` into its elements while it comes, holding at most one of them.

/// Longest element that is held, in bytes; ProwJobs are limited to 1.5 MiB by etcd.
const MAX_ELEMENT: usize = 4 << 20;

/// Longest `var NAME =` before the list.
const MAX_PREFIX: usize = 256;

/// How much of a key is kept, in bytes: enough to tell `items` from others.
const MAX_KEY: usize = 8;

/// Why a body is not a whole list of ProwJobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// No bytes.
    #[error("the answer is empty; ask deck's operator, or check that a proxy does not eat it")]
    Empty,
    /// A page for people.
    #[error(
        "an HTML page came, most likely of a login or of a failing proxy; give the address that answers without one"
    )]
    Html,
    /// Something else.
    #[error("what came is not a JSON object; check that the address is that of deck")]
    NotJson,
    /// An object without the list: deck says `{}` when it cannot write its list.
    #[error(
        "the answer has no items; deck could not write its list, or the address is not that of deck"
    )]
    NoItems,
    /// It ended too early.
    #[error("the list ends in the middle; the next poll reads it again")]
    Truncated,
    /// Something follows the list.
    #[error("the list is followed by something else; a proxy or deck itself mixes up answers")]
    Trailing,
    /// Not JSON inside.
    #[error("the list is not valid JSON; a proxy or deck itself mangles it")]
    Malformed,
}

/// Cuts the elements of `items` out of a list that comes in pieces.
#[derive(Debug, Default)]
pub struct Splitter {
    state: State,
    scan: Scan,
    /// Head of an element that began in an earlier piece.
    held: Vec<u8>,
    key: Vec<u8>,
    seen_items: bool,
}

/// What a splitter gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// All there is from the start of an element on; the element may end in it or go on beyond.
    Begun(&'a [u8]),
    /// Exactly one element.
    Whole(&'a [u8]),
    /// An element passed over because it is longer than 4 MiB.
    TooLong,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before the object.
    #[default]
    Start,
    /// In `var NAME =`, this many bytes of it.
    Prefix(usize),
    /// Expects a key, or with `true` also the end of the object.
    Key(bool),
    InKey,
    Colon,
    Value,
    /// Within a value that is not looked at.
    Skip,
    AfterValue,
    /// Expects an element, or with `true` also the end of the list.
    Element(bool),
    /// Within an element that began in an earlier piece.
    InElement,
    /// Within an element too long to be held.
    TooLong,
    AfterElement,
    /// After the object; with `false` a semicolon may come.
    End(bool),
}

impl Splitter {
    /// Takes the next piece and calls `each` with every element that ends in it.
    pub fn push(&mut self, chunk: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), SplitError> {
        self.push_reading(chunk, &mut |piece| {
            if let Piece::Whole(element) = piece {
                each(element);
            }
            None
        })
    }

    /// As [`push`](Self::push), but lets `read` find the end of an element by reading it, which spares a
    /// pass: it answers [`Piece::Begun`] with the number of bytes that the element took. Whenever it answers
    /// `None`, it is given the element again once that is whole.
    pub fn push_reading(
        &mut self,
        chunk: &[u8],
        read: &mut impl FnMut(Piece<'_>) -> Option<usize>,
    ) -> Result<(), SplitError> {
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::InKey => self.key_byte(byte, after),
                State::Skip => self.skip(rest, State::AfterValue),
                State::TooLong => self.skip(rest, State::AfterElement),
                State::InElement => self.continue_element(rest, read),
                _ if byte.is_ascii_whitespace() => after,
                State::Element(_) if !matches!(byte, b',' | b':' | b']' | b'}') => {
                    self.start_element(rest, read)
                }
                State::Value if !(byte == b'[' && self.key == b"items") => self.start_skip(rest)?,
                _ => {
                    self.state = self.punctuation(byte)?;
                    after
                }
            };
        }
        Ok(())
    }

    /// Ends the body; fails when the list is not whole.
    pub fn finish(&self) -> Result<(), SplitError> {
        match self.state {
            State::Start => Err(SplitError::Empty),
            State::Prefix(_) => Err(SplitError::NotJson),
            State::End(_) => Ok(()),
            _ => Err(SplitError::Truncated),
        }
    }

    /// What comes next after a byte outside of keys and values.
    fn punctuation(&mut self, byte: u8) -> Result<State, SplitError> {
        Ok(match (self.state, byte) {
            // Byte order mark.
            (State::Start, 0xef | 0xbb | 0xbf) => State::Start,
            (State::Start | State::Prefix(_), b'{') => State::Key(true),
            (State::Start, b'<') => return Err(SplitError::Html),
            (State::Start, b'v') => State::Prefix(1),
            (State::Prefix(length), _) if is_prefix(byte) && length < MAX_PREFIX => {
                State::Prefix(length + 1)
            }
            (State::Start | State::Prefix(_), _) => return Err(SplitError::NotJson),
            (State::Key(_), b'"') => {
                self.key.clear();
                self.scan = Scan {
                    in_string: true,
                    ..Scan::default()
                };
                State::InKey
            }
            (State::Colon, b':') => State::Value,
            (State::Value, b'[') => {
                self.seen_items = true;
                State::Element(true)
            }
            (State::AfterValue, b',') => State::Key(false),
            (State::Key(true) | State::AfterValue, b'}') => self.end_object()?,
            (State::AfterElement, b',') => State::Element(false),
            (State::Element(true) | State::AfterElement, b']') => State::AfterValue,
            (State::End(false), b';') => State::End(true),
            (State::End(_), _) => return Err(SplitError::Trailing),
            _ => return Err(SplitError::Malformed),
        })
    }

    fn end_object(&self) -> Result<State, SplitError> {
        if self.seen_items {
            Ok(State::End(false))
        } else {
            Err(SplitError::NoItems)
        }
    }

    fn key_byte<'a>(&mut self, byte: u8, after: &'a [u8]) -> &'a [u8] {
        self.scan.string_byte(byte);
        if !self.scan.in_string {
            self.state = State::Colon;
        } else if self.key.len() < MAX_KEY {
            self.key.push(byte);
        }
        after
    }

    fn start_skip<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], SplitError> {
        if self.key == b"items" {
            // Go writes an empty list as null.
            if rest.first() != Some(&b'n') {
                return Err(SplitError::NoItems);
            }
            self.seen_items = true;
        }
        if matches!(rest.first(), Some(b',' | b':' | b'}' | b']')) {
            return Err(SplitError::Malformed);
        }
        self.scan = Scan::default();
        self.state = State::Skip;
        Ok(rest)
    }

    fn skip<'a>(&mut self, rest: &'a [u8], then: State) -> &'a [u8] {
        match self.scan.end(rest) {
            Some(end) => {
                self.state = then;
                rest.get(end..).unwrap_or_default()
            }
            None => &[],
        }
    }

    fn start_element<'a>(
        &mut self,
        rest: &'a [u8],
        read: &mut impl FnMut(Piece<'_>) -> Option<usize>,
    ) -> &'a [u8] {
        // Only objects show their end without what follows them.
        let taken = rest
            .first()
            .filter(|byte| **byte == b'{')
            .and_then(|_| read(Piece::Begun(rest)));
        if let Some(rest) = taken.and_then(|taken| rest.get(taken..)) {
            self.state = State::AfterElement;
            return rest;
        }
        self.scan = Scan::default();
        self.held.clear();
        self.state = State::InElement;
        self.continue_element(rest, read)
    }

    fn continue_element<'a>(
        &mut self,
        rest: &'a [u8],
        read: &mut impl FnMut(Piece<'_>) -> Option<usize>,
    ) -> &'a [u8] {
        let end = self.scan.end(rest);
        let (head, after) = rest.split_at(end.unwrap_or(rest.len()));
        if self.held.len() + head.len() > MAX_ELEMENT {
            self.held = Vec::new();
            read(Piece::TooLong);
            self.state = State::TooLong;
        } else if end.is_none() {
            self.held.extend_from_slice(head);
        } else if self.held.is_empty() {
            read(Piece::Whole(head));
        } else {
            self.held.extend_from_slice(head);
            read(Piece::Whole(&self.held));
            self.held.clear();
        }
        if end.is_some() {
            self.state = State::AfterElement;
        }
        after
    }
}

fn is_prefix(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'=')
}

/// Position within a JSON value that may cross pieces.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// How many bytes belong to the value, if it ends among these.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                self.string_byte(byte);
                if !self.in_string && self.depth == 0 {
                    return Some(at + 1);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // A number or a word ends before what follows it.
                b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                    return Some(at);
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn string_byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else {
            match byte {
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        }
    }
}
