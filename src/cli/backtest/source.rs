//! Files as they come: plain, packed with gzip, or standard input; given back as something to seek in, and in
//! lines. Knows nothing of what they say.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use flate2::read::MultiGzDecoder;

use crate::cli::UsageError;

/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What is read at once, in bytes: long enough that lines which stand nearly in order are mostly in it.
const BUFFER: usize = 256 << 10;

/// An open file, unpacked.
#[derive(Debug)]
pub(super) struct Source {
    /// As it was named, for messages.
    pub(super) name: String,
    /// Its length, in bytes, unpacked.
    pub(super) size: u64,
    file: BufReader<File>,
    /// Where the next byte is read from.
    position: u64,
}

/// A line and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinePlace {
    /// Of its first byte.
    pub(super) offset: u64,
    /// In bytes, its end not counted.
    pub(super) length: usize,
    /// Its number, from 1.
    pub(super) number: u32,
}

impl Source {
    /// Opens a file; `-` is standard input. What cannot be sought in is unpacked into a file that goes away with
    /// the process.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |error: io::Error| UsageError(format!("cannot read {name}: {error}"));
        let file = if path.as_os_str() == "-" {
            unpacked(Box::new(io::stdin().lock())).map_err(failed)?
        } else {
            let mut file = File::open(path).map_err(failed)?;
            let seekable = file.metadata().map_err(failed)?.is_file();
            if seekable && !starts_packed(&mut file).map_err(failed)? {
                file
            } else {
                unpacked(Box::new(file)).map_err(failed)?
            }
        };
        let size = file.metadata().map_err(failed)?.len();
        Ok(Self {
            name,
            size,
            file: BufReader::with_capacity(BUFFER, file),
            position: 0,
        })
    }

    /// Reads the next line into `line`, without its end; `None` after the last one. `number` is that of the line
    /// before.
    pub(super) fn next_line(
        &mut self,
        line: &mut Vec<u8>,
        number: u32,
    ) -> Result<Option<LinePlace>> {
        line.clear();
        let offset = self.position;
        let read = self
            .file
            .read_until(b'\n', line)
            .with_context(|| format!("cannot read {}", self.name))?;
        self.position += read as u64;
        while line
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            line.pop();
        }
        Ok((read > 0).then_some(LinePlace {
            offset,
            length: line.len(),
            number: number.saturating_add(1),
        }))
    }

    /// Reads a part of the file into `bytes`.
    pub(super) fn part(&mut self, offset: u64, length: usize, bytes: &mut Vec<u8>) -> Result<()> {
        self.seek(offset)?;
        bytes.resize(length, 0);
        let read = self.file.read_exact(bytes);
        self.position = offset + length as u64;
        read.with_context(|| format!("cannot read {} again, was it changed?", self.name))
    }

    /// Reads all of it.
    pub(super) fn whole(&mut self) -> Result<Vec<u8>> {
        self.seek(0)?;
        let mut bytes = Vec::new();
        let read = self.file.read_to_end(&mut bytes);
        self.position = bytes.len() as u64;
        read.with_context(|| format!("cannot read {}", self.name))?;
        Ok(bytes)
    }

    /// Goes to a place; a short way keeps what was read ahead.
    pub(super) fn seek(&mut self, offset: u64) -> Result<()> {
        let way = i64::try_from(i128::from(offset) - i128::from(self.position))
            .context("a file longer than can be sought in")?;
        self.file
            .seek_relative(way)
            .with_context(|| format!("cannot read {} again", self.name))?;
        self.position = offset;
        Ok(())
    }
}

fn starts_packed(file: &mut File) -> io::Result<bool> {
    let mut head = Vec::new();
    Read::by_ref(file).take(2).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(head == GZIP)
}

/// What comes, unpacked where it is packed, as a file without a name.
fn unpacked(from: Box<dyn Read + '_>) -> io::Result<File> {
    let mut from = BufReader::with_capacity(BUFFER, from);
    let mut to = tempfile::tempfile()?;
    if from.fill_buf()?.starts_with(&GZIP) {
        io::copy(&mut MultiGzDecoder::new(from), &mut to)?;
    } else {
        io::copy(&mut from, &mut to)?;
    }
    to.flush()?;
    to.seek(SeekFrom::Start(0))?;
    Ok(to)
}
