//! Makes good what Prow's reporter makes of a run's address: it cuts `job_url_prefix` off, whether it fits or not.

use crate::domain::location::{Location, Provider};

/// The folder that a text names, if it is one of this job.
///
/// The reporter puts `gs://` or `s3://` before what is left of the page's address. A prefix without its last slash
/// leaves `gs:///gs/bucket`, one that names no provider `gs://gs/bucket` or `gs://s3/bucket`, a wrong one all of the
/// address.
pub(super) fn repaired(text: &str, job: &str) -> Option<Location> {
    let text = text.split(['?', '#']).next()?;
    let mut parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    let mut provider = None;
    while let Some(scheme) = parts.first().and_then(|part| part.strip_suffix(':')) {
        provider = provider.or_else(|| Provider::parse(scheme));
        let is_web = matches!(scheme, "http" | "https");
        // The host goes with its scheme.
        parts.drain(..if is_web { 2.min(parts.len()) } else { 1 });
    }
    // Of an address that was left whole, what follows the page's name.
    let view = parts.windows(2).position(
        |pair| matches!(pair, [view, word] if *view == "view" && Provider::parse(word).is_some()),
    );
    parts.drain(..view.map_or(0, |at| at + 1));
    // No bucket has so short a name; `gcs` is one that nobody has.
    if let Some(inner) = parts.first().and_then(|part| Provider::parse(part))
        && inner != Provider::File
    {
        provider = Some(inner);
        parts.remove(0);
    }
    let [.., above, named, _build] = parts.as_slice() else {
        return None;
    };
    let is_folder = *above == "logs" || parts.contains(&"pr-logs");
    if *named != job || !is_folder {
        return None;
    }
    match provider.unwrap_or(Provider::Gs) {
        Provider::File => Location::new(Provider::File, "", &parts.join("/")).ok(),
        provider => {
            let (bucket, path) = parts.split_first()?;
            // A run's folder stands below its bucket.
            if matches!(*bucket, "logs" | "pr-logs") {
                return None;
            }
            Location::new(provider, bucket, &path.join("/")).ok()
        }
    }
}

/// The build id at the end of a page's address, if it is of this job.
pub(super) fn build_in_page<'a>(url: &'a str, job: &str) -> Option<&'a str> {
    let path = url.split(['?', '#']).next()?;
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let (build, named) = (parts.next()?, parts.next()?);
    (named == job && build.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(build)
}
