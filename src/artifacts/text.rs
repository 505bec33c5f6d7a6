//! Takes a log as it streams in: unpacks it, keeps its end, counts the lines before. Bounded whatever comes.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use crate::evidence::LogText;

/// The first bytes of a gzip file.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Logs up to this size are kept whole.
    pub(super) whole: usize,
    /// Of larger ones so much of the end.
    pub(super) tail: usize,
    /// A packed log that unpacks to more is refused.
    pub(super) unpacked: usize,
}

/// A log while it streams in from its beginning.
pub(super) struct LogSink {
    state: State,
    bounds: Bounds,
}

enum State {
    /// The first bytes, until it is clear whether they are packed.
    Start(Vec<u8>),
    Plain(Tail),
    Packed(Box<MultiGzDecoder<Capped>>),
}

/// Why a log cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SinkError {
    #[error("the packed log unpacks to more than {0} bytes (artifacts.max_unpacked)")]
    Bomb(usize),
    #[error("the log is not validly packed: {0}")]
    Corrupt(io::Error),
}

impl LogSink {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            state: State::Start(Vec::new()),
            bounds,
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        if let State::Start(start) = &mut self.state {
            start.extend_from_slice(bytes);
            if start.len() < GZIP.len() {
                return Ok(());
            }
            let start = std::mem::take(start);
            return self.begin(&start);
        }
        self.write(bytes)
    }

    fn begin(&mut self, start: &[u8]) -> Result<(), SinkError> {
        let tail = Tail::new(self.bounds);
        self.state = if start.starts_with(&GZIP) {
            let capped = Capped {
                tail,
                left: self.bounds.unpacked,
            };
            State::Packed(Box::new(MultiGzDecoder::new(capped)))
        } else {
            State::Plain(tail)
        };
        self.write(start)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        match &mut self.state {
            State::Start(_) => Ok(()),
            State::Plain(tail) => {
                tail.push(bytes);
                Ok(())
            }
            State::Packed(decoder) => {
                let written = decoder.write_all(bytes);
                written.map_err(|error| self.bounds.error(error))
            }
        }
    }

    /// The log; its name is `file`.
    pub(super) fn finish(mut self, file: &str) -> Result<LogText, SinkError> {
        if let State::Start(start) = &mut self.state {
            let start = std::mem::take(start);
            self.begin(&start)?;
        }
        let tail = match self.state {
            State::Start(_) => Tail::new(self.bounds),
            State::Plain(tail) => tail,
            State::Packed(decoder) => {
                let finished = decoder.finish();
                finished.map_err(|error| self.bounds.error(error))?.tail
            }
        };
        Ok(tail.finish(file))
    }
}

impl Bounds {
    fn error(&self, error: io::Error) -> SinkError {
        if error.kind() == io::ErrorKind::StorageFull {
            SinkError::Bomb(self.unpacked)
        } else {
            SinkError::Corrupt(error)
        }
    }
}

/// Refuses what comes after so many bytes, before it is kept.
struct Capped {
    tail: Tail,
    left: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len());
        self.left = left.ok_or(io::ErrorKind::StorageFull)?;
        self.tail.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the end of what is pushed, at most twice as much as is wanted whole.
struct Tail {
    bounds: Bounds,
    kept: Vec<u8>,
    lines_before: u64,
    starts_line: bool,
}

impl Tail {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            kept: Vec::new(),
            lines_before: 0,
            starts_line: true,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > self.bounds.whole.saturating_mul(2) {
            self.cut(self.bounds.whole);
        }
    }

    /// Lets go of all but the last bytes.
    fn cut(&mut self, keep: usize) {
        let gone = self.kept.len().saturating_sub(keep);
        let lost = self.kept.get(..gone).unwrap_or_default();
        self.lines_before += memchr::memchr_iter(b'\n', lost).count() as u64;
        if let Some(last) = lost.last() {
            self.starts_line = *last == b'\n';
        }
        self.kept.drain(..gone);
    }

    fn finish(mut self, file: &str) -> LogText {
        let was_cut = self.lines_before > 0 || !self.starts_line;
        if was_cut || self.kept.len() > self.bounds.whole {
            self.cut(self.bounds.tail);
        }
        LogText {
            file: file.to_owned(),
            bytes: self.kept,
            first_line: Some(self.lines_before + 1),
            starts_line: self.starts_line,
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        whole: 100,
        tail: 10,
        unpacked: 5000,
    };

    fn take(bytes: &[u8], piece: usize) -> Result<LogText, SinkError> {
        let mut sink = LogSink::new(BOUNDS);
        for chunk in bytes.chunks(piece) {
            sink.push(chunk)?;
        }
        sink.finish("build-log.txt")
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_log_is_the_same_packed_or_not_and_in_any_pieces() {
        let lines: Vec<String> = (1..=300).map(|line| format!("l{line}\n")).collect();
        let long = lines.concat();
        for text in ["", "a", "a\nb\r\n\x1b[31m\u{fffd}", &long] {
            for piece in [1, 7, 10_000] {
                let plain = take(text.as_bytes(), piece).unwrap();
                assert_eq!(take(&packed(text.as_bytes()), piece).unwrap(), plain);
                if text.len() <= BOUNDS.whole {
                    assert_eq!(plain.bytes, text.as_bytes());
                    assert_eq!((plain.first_line, plain.starts_line), (Some(1), true));
                }
            }
        }
        let end = take(long.as_bytes(), 7).unwrap();
        assert_eq!(end.bytes, b"l299\nl300\n");
        assert_eq!((end.first_line, end.starts_line), (Some(299), true));
    }

    #[test]
    fn a_cut_line_is_told() {
        let long = "x".repeat(1000);
        let end = take(long.as_bytes(), 9).unwrap();
        assert_eq!(
            (end.bytes.len(), end.first_line, end.starts_line),
            (10, Some(1), false)
        );
    }

    #[test]
    fn a_bomb_and_a_broken_file_are_refused() {
        let bomb = packed(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert!(matches!(take(&bomb, 1000), Err(SinkError::Bomb(5000))));
        let mut broken = packed(b"hello hello hello");
        broken.truncate(15);
        assert!(matches!(take(&broken, 1000), Err(SinkError::Corrupt(_))));
        assert!(matches!(
            take(b"\x1f\x8bno gzip at all", 3),
            Err(SinkError::Corrupt(_))
        ));
    }
}
