//! Reading from a folder of this machine that holds what the buckets hold.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use super::{Inner, Reader};
use crate::{
    clock::Clock,
    config::Config,
    domain::{
        location::{Location, Provider},
        observation::Observation,
    },
    http::Http,
    prow::storage::{self, Layout, Logs, Place},
};

impl Reader {
    /// A reader of a folder that holds copies of buckets, and of nothing else: `FOLDER/s3/BUCKET/logs/..`,
    /// `FOLDER/BUCKET/logs/..` or `FOLDER/logs/..`. The error says what is wrong with the folder.
    pub fn of_copy(
        folder: &Path,
        config: &Config,
        http: Http,
        clock: Clock,
    ) -> Result<Self, String> {
        let shown = folder.display();
        let path = fs::canonicalize(folder)
            .map_err(|error| format!("cannot open the folder {shown}: {error}"))?;
        if !path.is_dir() {
            return Err(format!("{shown} is no folder"));
        }
        let copy = Location::parse(&path.to_string_lossy()).map_err(|why| why.to_string())?;
        let mut inner = Inner::new(config, &BTreeMap::new(), http, clock);
        inner.namespaces = None;
        inner.configmaps = None;
        inner.settings.folders = vec![path];
        inner.copy = Some(copy);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Inner {
    /// Where a run's files are.
    pub(super) fn place(&self, run: &Observation, layout: Option<&Layout>) -> Place {
        let Some(copy) = &self.copy else {
            return storage::place(run, layout);
        };
        let below_copy = Layout::explicit(copy.clone());
        match storage::place(run, layout.or(Some(&below_copy))) {
            Place::Stored(mut stored) => match in_copy(copy, &stored.folder) {
                Some(folder) => {
                    stored.folder = folder;
                    Place::Stored(stored)
                }
                None => Place::Nothing(match stored.logs {
                    Logs::None(why) => why,
                    Logs::Named(_) | Logs::Unnamed => {
                        let (folder, copy) = (&stored.folder, &copy.path);
                        format!("there is nothing of {folder} in the folder /{copy}")
                    }
                }),
            },
            Place::OnlyDeck(why) => Place::Nothing(why),
            nothing @ Place::Nothing(_) => nothing,
        }
    }
}

/// Where a folder with copies of buckets holds what a bucket holds at `folder`.
fn in_copy(copy: &Location, folder: &Location) -> Option<Location> {
    let (provider, bucket, path) = (folder.provider.as_str(), &folder.bucket, &folder.path);
    let below = |path: &str| copy.join(path).ok();
    let candidates = match folder.provider {
        Provider::File => vec![Some(folder.clone()), below(path)],
        Provider::Gs | Provider::S3 => vec![
            below(&format!("{provider}/{bucket}/{path}")),
            below(&format!("{bucket}/{path}")),
            below(path),
        ],
    };
    let root = format!("/{}", copy.path);
    let there = |found: &Location| {
        let path = format!("/{}", found.path);
        Path::new(&path).starts_with(&root) && Path::new(&path).is_dir()
    };
    candidates.into_iter().flatten().find(there)
}
