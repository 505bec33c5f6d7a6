//! Looks around in buckets: which folders there are, and single small files of one.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use object_store::{
    ObjectStore as _,
    list::{PaginatedListOptions, PaginatedListStore as _},
    local::LocalFileSystem,
    path::Path,
};
use tokio::time::{Instant, timeout};

use super::{FOLDERS, Folder, Inner, Location, Reader, name_of, name_of_deck, within};
use crate::artifacts::{bucket::Bucket, failure::sort};

/// Folders that are asked for at once; buckets give no more.
const PAGE: usize = 1000;

/// Some folders directly below another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Their names, in the order of keys.
    pub names: Vec<String>,
    /// To be asked with for the next ones; `None` when these are the last.
    pub next: Option<String>,
}

impl Reader {
    /// The endpoints that the configuration names, as in [`super::EndpointHealth`]; runs may name others.
    pub fn named(&self) -> BTreeSet<String> {
        let inner = &self.inner;
        if !inner.settings.enabled {
            return BTreeSet::new();
        }
        let roots = inner.lists.defaults.iter();
        let roots = roots.map(|default| name_of(&default.root));
        let reached = inner.lists.endpoints.iter().filter_map(|endpoint| {
            let bucket = endpoint.bucket.as_ref()?;
            Some(format!("{}://{bucket}", endpoint.provider.as_str()))
        });
        let deck = inner.deck.as_ref().map(name_of_deck);
        let has_folders = !inner.settings.folders.is_empty();
        let folders = has_folders.then(|| FOLDERS.to_owned());
        roots.chain(reached).chain(deck).chain(folders).collect()
    }

    /// Small files of a folder, `None` for each that is not there. The error says for people why not.
    pub async fn files(
        &self,
        folder: &Location,
        names: &[&str],
    ) -> Result<Vec<Option<Vec<u8>>>, String> {
        let inner = &self.inner;
        let bucket = inner.ready(folder)?;
        let deadline = Instant::now() + inner.settings.timeout;
        let folder = Folder {
            bucket: &bucket,
            location: folder,
            settings: &inner.settings,
        };
        let reads = names
            .iter()
            .map(|name| within(deadline, folder.small(name)));
        let read: Result<Vec<_>, _> = join_all(reads).await.into_iter().collect();
        let endpoint = name_of(folder.location);
        match read {
            Ok(found) => {
                inner.note(&endpoint, None);
                Ok(found)
            }
            Err(failure) => {
                if failure.of_endpoint {
                    inner.note(&endpoint, Some(&failure.why));
                }
                Err(format!("{}: {}", folder.location, failure.why))
            }
        }
    }

    /// Folders directly below one, from the first whose key lies behind `after`. For the next page
    /// the same is asked with `next` of the one before.
    pub async fn folders(
        &self,
        above: &Location,
        after: Option<&str>,
        next: Option<String>,
    ) -> Result<Page, String> {
        let inner = &self.inner;
        let bucket = inner.ready(above)?;
        let limit = inner.settings.timeout;
        let listed = timeout(limit, listed(&bucket, above, after, next)).await;
        let listed =
            listed.unwrap_or_else(|_| Err("not done in time (artifacts.timeout)".to_owned()));
        inner.note(&name_of(above), listed.as_ref().err().map(String::as_str));
        listed.map_err(|why| format!("{above} cannot be listed: {why}"))
    }
}

impl Inner {
    /// A bucket, unless it is left alone for a while.
    fn ready(&self, location: &Location) -> Result<Bucket, String> {
        let endpoint = name_of(location);
        if let Some(why) = self.left_alone(&endpoint) {
            return Err(format!("{endpoint} cannot be read: {why}"));
        }
        self.open(location)
            .inspect_err(|why| self.note(&endpoint, Some(why)))
    }
}

async fn listed(
    bucket: &Bucket,
    above: &Location,
    after: Option<&str>,
    next: Option<String>,
) -> Result<Page, String> {
    let wrong = |error: object_store::Error| match sort(&error) {
        Some(failure) => failure.why,
        None => "it is not there".to_owned(),
    };
    let prefix = format!("{}/", above.path);
    let options = PaginatedListOptions {
        offset: after.map(|name| format!("{prefix}{name}")),
        delimiter: Some("/".into()),
        max_keys: Some(PAGE),
        page_token: next,
        ..PaginatedListOptions::default()
    };
    let page = match bucket {
        Bucket::S3(store) => store.list_paginated(Some(&prefix), options).await,
        Bucket::Gs(store) => store.list_paginated(Some(&prefix), options).await,
        Bucket::Folder { store, .. } => {
            return listed_at_once(store, above, after).await.or_else(|error| {
                sort(&error).map_or(Ok(Page::default()), |failure| Err(failure.why))
            });
        }
    };
    let page = page.map_err(wrong)?;
    let folders = page.result.common_prefixes.iter();
    Ok(Page {
        names: folders.filter_map(name).collect(),
        next: page.page_token,
    })
}

/// A folder of this machine has no pages.
async fn listed_at_once(
    store: &LocalFileSystem,
    above: &Location,
    after: Option<&str>,
) -> Result<Page, object_store::Error> {
    let path = Path::from(above.path.as_str());
    let found = store.list_with_delimiter(Some(&path)).await?;
    let mut names: Vec<String> = found.common_prefixes.iter().filter_map(name).collect();
    names.retain(|name| after.is_none_or(|after| format!("{name}/").as_str() > after));
    names.sort_by_cached_key(|name| format!("{name}/"));
    Ok(Page { names, next: None })
}

fn name(folder: &Path) -> Option<String> {
    folder.as_ref().rsplit('/').next().map(str::to_owned)
}
