//! Passes on what commands print, byte by byte as it comes, and keeps the end of it.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind, IsTerminal as _, PipeReader, PipeWriter, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

use crate::{cli::out, prow::stage::LONGEST_TAIL};

/// Read at once; as much as a pipe holds.
const CHUNK: usize = 64 << 10;

/// The end of all that was printed, both streams in the order in which it came.
#[derive(Debug, Default, Clone)]
pub(super) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let kept = bytes
            .get(bytes.len().saturating_sub(LONGEST_TAIL)..)
            .unwrap_or_default();
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LONGEST_TAIL {
            tail.clear();
        }
        let surplus = (tail.len() + kept.len()).saturating_sub(LONGEST_TAIL);
        tail.drain(..surplus);
        tail.extend(kept);
    }

    /// As text; what is not text is marked.
    pub(super) fn text(&self) -> String {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(tail.make_contiguous()).into_owned()
    }
}

/// Where one of our own streams leads to. Shared by commands that run at once, so that lines stay whole.
#[derive(Debug, Clone)]
struct Sink(Arc<Mutex<File>>);

impl Sink {
    fn to(stream: impl AsFd) -> io::Result<Self> {
        let own = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(Arc::new(Mutex::new(File::from(own)))))
    }

    /// Writes all of it, also where the other end made the stream a non-blocking one.
    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait_for(&mut [PollFd::new(&*file, PollFlags::OUT)])?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits without end.
fn wait_for(what: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match poll(what, None) {
            Err(rustix::io::Errno::INTR) => {}
            ended => return ended.map(drop).map_err(io::Error::from),
        }
    }
}

/// What commands print, on its way to our own streams.
#[derive(Debug)]
pub(super) struct Output {
    /// Its end.
    pub(super) tail: Tail,
    sinks: [Sink; 2],
    /// Dropped when nobody is left who could print.
    over: (PipeReader, Option<PipeWriter>),
    pumps: Vec<oneshot::Receiver<()>>,
}

impl Output {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            tail: Tail::default(),
            sinks: [Sink::to(io::stdout())?, Sink::to(io::stderr())?],
            over: (reader, Some(writer)),
            pumps: Vec::new(),
        })
    }

    /// Standard output and error for a command that has our terminal to itself: terminals are handed on as they
    /// are, the rest goes through us. Where both lead to one place they stay one stream, in order.
    pub(super) fn for_one(&mut self) -> io::Result<[Stdio; 2]> {
        let [out, err] = self.sinks.clone();
        if io::stdout().is_terminal() {
            let err = if io::stderr().is_terminal() {
                Stdio::inherit()
            } else {
                self.pump(err, None)?.into()
            };
            return Ok([Stdio::inherit(), err]);
        }
        if io::stderr().is_terminal() {
            return Ok([self.pump(out, None)?.into(), Stdio::inherit()]);
        }
        let to_out = self.pump(out, None)?;
        let to_err = if is_same(io::stdout().as_fd(), io::stderr().as_fd()) {
            to_out.try_clone()?
        } else {
            self.pump(err, None)?
        };
        Ok([to_out.into(), to_err.into()])
    }

    /// The same for one of several commands: its lines are passed on whole, marked with its number.
    pub(super) fn for_one_of_many(&mut self, number: usize) -> io::Result<[Stdio; 2]> {
        let [out, err] = self.sinks.clone();
        let mark = format!("[{number}] ");
        Ok([
            self.pump(out, Some(mark.clone()))?.into(),
            self.pump(err, Some(mark))?.into(),
        ])
    }

    fn pump(&mut self, sink: Sink, mark: Option<String>) -> io::Result<PipeWriter> {
        let (from, to) = io::pipe()?;
        let over = self.over.0.try_clone()?;
        let (ended, end) = oneshot::channel();
        let tail = self.tail.clone();
        let mut lines = mark.map(Lines::new);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                let passed = pass_on(from, &over, &sink, &tail, lines.as_mut());
                if let Err(error) = passed
                    && error.kind() != ErrorKind::BrokenPipe
                {
                    out::say(&format!("prow-notifier: cannot pass on output: {error}"));
                }
                // Nobody waits any more when the process is about to end.
                drop(ended);
            })?;
        self.pumps.push(end);
        Ok(to)
    }

    /// Waits until every writer has closed its end, and all is passed on.
    pub(super) async fn drained(&mut self) {
        while let Some(pump) = self.pumps.last_mut() {
            // Resolves when the thread ends, always with an error, since nothing is ever sent.
            drop(pump.await);
            self.pumps.pop();
        }
    }

    /// From now on what is in the pipes is passed on, and nothing more is waited for.
    pub(super) fn is_over(&mut self) {
        self.over.1 = None;
    }
}

/// Whether two streams lead to the same file, pipe or socket.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let identity = |fd: BorrowedFd<'_>| {
        let file = File::from(fd.try_clone_to_owned().ok()?);
        let metadata = file.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let one = identity(one);
    one.is_some() && one == identity(other)
}

/// Ends at the end of `from`, or once it is empty and `over` is closed, or when nobody reads any more. Then `from` is
/// closed, and the command learns of it as if it had written there itself.
fn pass_on(
    mut from: PipeReader,
    over: &PipeReader,
    sink: &Sink,
    tail: &Tail,
    mut lines: Option<&mut Lines>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut ready = [
            PollFd::new(&from, PollFlags::IN),
            PollFd::new(over, PollFlags::IN),
        ];
        wait_for(&mut ready)?;
        let [data, end] = ready.map(|fd| !fd.revents().is_empty());
        if !data && end {
            break;
        }
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match &mut lines {
            None => give(sink, tail, read)?,
            Some(lines) => give(sink, tail, &lines.take(read))?,
        }
    }
    lines.map_or(Ok(()), |lines| give(sink, tail, &lines.rest()))
}

fn give(sink: &Sink, tail: &Tail, bytes: &[u8]) -> io::Result<()> {
    tail.push(bytes);
    sink.write(bytes)
}

/// Marks lines. A line that is longer than [`CHUNK`] is cut into several.
#[derive(Debug)]
struct Lines {
    mark: String,
    begun: Vec<u8>,
}

impl Lines {
    fn new(mark: String) -> Self {
        Self {
            mark,
            begun: Vec::new(),
        }
    }

    /// The lines that end in `bytes`, marked.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(bytes.len() + self.begun.len() + 64);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= CHUNK {
                whole.extend(self.rest());
            }
        }
        whole
    }

    /// The line that has not ended, as if it had.
    fn rest(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.begun);
        if line.is_empty() {
            return line;
        }
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        [self.mark.as_bytes(), line.as_slice()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_end_and_no_more() {
        let tail = Tail::default();
        tail.push(b"begin ");
        tail.push(&vec![b'x'; LONGEST_TAIL - 4]);
        tail.push(b"end");
        let text = tail.text();
        assert_eq!(text.len(), LONGEST_TAIL);
        assert!(text.starts_with(" x") && text.ends_with("xend"));
        tail.push(&vec![b'y'; 2 * LONGEST_TAIL]);
        assert_eq!(tail.text(), "y".repeat(LONGEST_TAIL));
    }

    #[test]
    fn lines_are_marked_and_stay_whole() {
        let mut lines = Lines::new("[2] ".to_owned());
        assert_eq!(lines.take(b"on"), b"");
        assert_eq!(lines.take(b"e\ntwo\nthr"), b"[2] one\n[2] two\n");
        assert_eq!(lines.rest(), b"[2] thr\n");
        assert_eq!(lines.rest(), b"");
    }
}
