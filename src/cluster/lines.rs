//! A stream of lines, as a watch is: one JSON document a line, for as long as both sides like.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::client::Body;
use memchr::memchr;

use super::{ClusterError, Problem, problem};

/// Longest line, in bytes; etcd takes no object of even half of that.
const MAX_LINE: usize = 4 << 20;

/// Lines of an answer as they come.
#[derive(Debug)]
pub struct Lines {
    body: Body,
    splitter: Splitter,
    what: String,
    ended: bool,
}

/// Cuts bytes into lines, however they come.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: BytesMut,
    /// So many bytes hold no end of a line.
    searched: usize,
}

impl Splitter {
    /// Takes more bytes.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole line, without its end.
    pub fn line(&mut self) -> Option<Bytes> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr(b'\n', rest) else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + found + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        Some(line.freeze())
    }

    /// How many bytes wait for the end of their line.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }
}

impl Lines {
    pub(super) fn new(body: Body, what: String) -> Self {
        Self {
            body,
            splitter: Splitter::default(),
            what,
            ended: false,
        }
    }

    /// The next line; `None` at the end. Fails when nothing at all comes `within` that time.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, ClusterError> {
        self.read(within).await.map_err(|problem| ClusterError {
            what: self.what.clone(),
            problem,
        })
    }

    async fn read(&mut self, within: Duration) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(line) = self.splitter.line() {
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            if self.splitter.waiting() > MAX_LINE {
                return Err(Problem::TooLong(MAX_LINE));
            }
            let frame = tokio::time::timeout(within, self.body.frame()).await;
            match frame.map_err(|_| Problem::Silent(within.as_secs()))? {
                None => self.ended = true,
                Some(Err(error)) => return Err(Problem::Broken(problem::chain(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.splitter.push(&data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_come(
            lines in prop::collection::vec("[a-z{}\" ]{0,40}", 0..20),
            cuts in prop::collection::vec(1_usize..30, 1..60),
        ) {
            let text = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
            let (mut rest, mut splitter, mut found) = (text.as_bytes(), Splitter::default(), Vec::new());
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (data, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                splitter.push(data);
                while let Some(line) = splitter.line() {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                }
                rest = after;
            }
            prop_assert_eq!(found, lines);
            prop_assert_eq!(splitter.waiting(), 0);
        }
    }
}
