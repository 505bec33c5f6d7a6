//! Reads single files of a run: small ones whole, logs from their end.

use std::ops::Range;

use futures_util::StreamExt as _;
use object_store::{Attribute, GetOptions, GetResult, ObjectMeta, path::Path};

use super::{
    bucket::Bucket,
    failure::{Failure, sort},
    text::{Bounds, GZIP, LogSink},
};
use crate::{
    config::settings::ArtifactSettings, domain::location::Location, evidence::LogText,
    prow::storage::BUILD_LOG,
};

/// Entries of a folder that are looked through for reports.
const MAX_LISTED: usize = 1000;
/// Logs that are read of one run whose containers are not known.
const MAX_LOGS: usize = 20;

/// The folder of a run in a bucket.
pub(super) struct Folder<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) location: &'a Location,
    pub(super) settings: &'a ArtifactSettings,
}

/// What came, `None` when the object is not there.
type Found<T> = Result<Option<T>, Failure>;

impl Folder<'_> {
    fn path(&self, name: &str) -> Result<Path, Failure> {
        let whole = self.location.join(name);
        let whole = whole.map_err(|refused| Failure::of_file(refused.to_string()))?;
        let path = Path::parse(&whole.path);
        path.map_err(|_| Failure::of_file("its name is no valid key"))
    }

    /// A file of a folder of this machine must be in the folder that may be read, links followed.
    fn check_inside(&self, path: &Path) -> Found<()> {
        let Bucket::Folder { path: folder, .. } = self.bucket else {
            return Ok(Some(()));
        };
        match std::fs::canonicalize(format!("/{path}")) {
            Ok(true_path) if true_path.starts_with(folder) => Ok(Some(())),
            Ok(_) => Err(Failure::of_file(
                "it is a link out of the folder that may be read",
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::of_file(format!("it cannot be opened: {error}"))),
        }
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Found<GetResult> {
        if self.check_inside(path)?.is_none() {
            return Ok(None);
        }
        match self.bucket.get(path, options).await {
            Ok(result) => Ok(Some(result)),
            Err(error) => sort(&error).map_or(Ok(None), Err),
        }
    }

    /// A small file, whole; packed ones are unpacked.
    pub(super) async fn small(&self, name: &str) -> Found<Vec<u8>> {
        let path = self.path(name)?;
        let Some(result) = self.get(&path, GetOptions::default()).await? else {
            return Ok(None);
        };
        let max = self.settings.max_file;
        let too_long = || Failure::of_file(format!("{name} is longer than artifacts.max_file"));
        if result.meta.size > max as u64 {
            return Err(too_long());
        }
        let bounds = Bounds {
            whole: max,
            tail: max,
            unpacked: max,
        };
        let text = self.stream(result, bounds, name).await?;
        if text.bytes.len() > max {
            return Err(too_long());
        }
        Ok(Some(text.bytes))
    }

    /// Takes a whole answer.
    async fn stream(
        &self,
        result: GetResult,
        bounds: Bounds,
        name: &str,
    ) -> Result<LogText, Failure> {
        let mut sink = LogSink::new(bounds);
        let mut stream = result.into_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| broken(&error))?;
            sink.push(&chunk)?;
        }
        Ok(sink.finish(name)?)
    }

    /// A log: whole with its line numbers, or its end.
    pub(super) async fn log(&self, name: &str) -> Found<LogText> {
        let path = self.path(name)?;
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let Some(head) = self.get(&path, head).await? else {
            return Ok(None);
        };
        let settings = self.settings;
        let bounds = Bounds {
            whole: settings.max_read,
            tail: settings.tail,
            unpacked: settings.max_unpacked,
        };
        let encoding = head.attributes.get(&Attribute::ContentEncoding);
        let size = head.meta.size;
        let is_large = size > settings.max_read as u64;
        let is_packed = encoding.is_some_and(|encoding| encoding.as_ref() == "gzip")
            || (is_large && self.begins_packed(&path).await?);
        if is_packed && size > settings.max_counted as u64 {
            return Err(Failure::of_file(format!(
                "the log is packed and its {size} bytes are more than artifacts.max_counted"
            )));
        }
        if is_large && !is_packed {
            return self.end(&path, name, size).await;
        }
        let Some(result) = self.get(&path, GetOptions::default()).await? else {
            return Ok(None);
        };
        if result.meta.size > (settings.max_read.max(settings.max_counted)) as u64 {
            return Err(Failure::of_file("the log grew while it was read"));
        }
        self.stream(result, bounds, name).await.map(Some)
    }

    async fn begins_packed(&self, path: &Path) -> Result<bool, Failure> {
        let start = self.range(path, 0..GZIP.len() as u64).await?;
        Ok(start == GZIP)
    }

    async fn range(&self, path: &Path, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let options = GetOptions::default().with_range(Some(range));
        let found = self.bucket.get(path, options).await;
        let read = found.map_err(|error| broken(&error))?.bytes().await;
        Ok(read.map_err(|error| broken(&error))?.to_vec())
    }

    /// The end of a large log, with the number of its first line if the lines before can be counted.
    async fn end(&self, path: &Path, name: &str, size: u64) -> Found<LogText> {
        let start = size.saturating_sub(self.settings.tail as u64);
        // One byte more tells whether a line begins there.
        let mut bytes = self.range(path, start.saturating_sub(1)..size).await?;
        let starts_line = start == 0 || bytes.first() == Some(&b'\n');
        if start > 0 && !bytes.is_empty() {
            bytes.remove(0);
        }
        let first_line = if size <= self.settings.max_counted as u64 {
            self.newlines(path, start).await.map(|before| before + 1)
        } else {
            None
        };
        Ok(Some(LogText {
            file: name.to_owned(),
            bytes,
            first_line,
            starts_line,
        }))
    }

    /// Line ends before a place in a file; `None` when it cannot be read as far.
    async fn newlines(&self, path: &Path, end: u64) -> Option<u64> {
        let options = GetOptions {
            range: Some((0..end).into()),
            ..GetOptions::default()
        };
        let mut stream = self.get(path, options).await.ok()??.into_stream();
        let mut count = 0;
        while let Some(chunk) = stream.next().await {
            count += memchr::memchr_iter(b'\n', &chunk.ok()?).count() as u64;
        }
        Some(count)
    }

    /// Names of logs in the folder, for a run whose containers are not known.
    pub(super) async fn log_names(&self) -> Result<Vec<String>, Failure> {
        let ending = format!("-{BUILD_LOG}");
        let found = self.list("", |name| !name.contains('/') && name.ends_with(&ending));
        let mut names = found.await?;
        names.truncate(MAX_LOGS);
        Ok(names)
    }

    /// Names of JUnit reports, by the path below the run's folder.
    pub(super) async fn reports(&self) -> Result<Vec<String>, Failure> {
        let is_report = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or_default();
            let extension = std::path::Path::new(file).extension();
            file.starts_with("junit")
                && extension.is_some_and(|end| end.eq_ignore_ascii_case("xml"))
        };
        let mut names = self.list("artifacts", is_report).await?;
        names.truncate(self.settings.max_reports);
        Ok(names)
    }

    /// Names below the run's folder, sorted; of the first thousand.
    async fn list(
        &self,
        below: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Failure> {
        let path = self.path(below)?;
        if self.check_inside(&path)?.is_none() {
            return Ok(Vec::new());
        }
        let mut listed = self.bucket.list(&path).take(MAX_LISTED);
        let mut names = Vec::new();
        while let Some(entry) = listed.next().await {
            let entry: ObjectMeta = match entry {
                Ok(entry) => entry,
                Err(error) => return sort(&error).map_or(Ok(Vec::new()), Err),
            };
            let key = entry.location.as_ref();
            let rest = key.strip_prefix(self.location.path.as_str());
            if let Some(name) = rest.and_then(|rest| rest.strip_prefix('/'))
                && wanted(name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// An answer that ended too early, or an object that went away in between.
fn broken(error: &object_store::Error) -> Failure {
    sort(error).unwrap_or_else(|| Failure::of_file("it went away while it was read"))
}
