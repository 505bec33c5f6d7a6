//! What a running process obeys: the configuration with its secrets read, and a hash of all of it that
//! tells when something changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::{
    Config,
    error::{ConfigError, Place, Problem},
    rules::{Receiver, SecretSource},
};
use crate::{
    domain::{
        policy::Policy,
        route::{Reach, Routing},
    },
    evidence::redact::Redactor,
};

/// A concrete receiver with its secret.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The webhook URL.
    pub url: SecretString,
    /// Put before critical messages.
    pub mention: Option<String>,
    /// Where the receiver stands.
    pub place: Place,
    /// Where the URL was read, for people: a file, or a variable.
    pub read_from: String,
}

/// A configuration with its secrets.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// Its deciding part.
    pub policy: Policy,
    /// Takes secrets out of logs.
    pub redactor: Redactor,
    /// Concrete receivers by name: `platform`, `by-service/s3`.
    pub destinations: BTreeMap<String, Destination>,
    /// Of files and secrets; equal means nothing changed.
    pub hash: [u8; 32],
}

impl Config {
    /// What the domain obeys, every service taken to have its file where a folder is missing. For
    /// previews, which need no secrets.
    pub fn preview_policy(&self) -> Policy {
        let reach = |receiver: &Receiver| match &receiver.secret {
            SecretSource::Dir(folder) => match services_in(folder) {
                Ok(services) => Reach::PerService(services),
                Err(_) => Reach::EveryService,
            },
            SecretSource::File(_) | SecretSource::Env(_) => Reach::Single,
        };
        let receivers = self
            .rules
            .receivers
            .iter()
            .map(|receiver| (receiver.name.clone(), reach(receiver)))
            .collect();
        self.policy(receivers, None)
    }

    fn policy(&self, receivers: Vec<(String, Reach)>, first_start: Option<Timestamp>) -> Policy {
        Policy {
            types: self.settings.types.clone(),
            max_age: self.settings.max_age,
            window: self.settings.window,
            group_wait: self.settings.group_wait,
            reads_evidence: false,
            rules: self.rules.classify.clone(),
            keeps_deadlines: true,
            pipelines: self.rules.pipelines.clone(),
            mass: self.settings.mass,
            stops: self.settings.stops.clone(),
            routing: Routing {
                routes: self.rules.routes.clone(),
                receivers,
                default_receiver: self.settings.default_receiver.clone(),
            },
            mutes: self.rules.mute.clone(),
            first_start,
        }
    }

    /// What takes secrets out of logs: the built-in patterns and those of the list `redact`.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.rules.redact.clone())
    }

    /// Reads the secrets and checks what only a daemon needs: a default receiver, readable secret files.
    pub fn snapshot(
        self,
        environment: &BTreeMap<String, String>,
        first_start: Option<Timestamp>,
    ) -> Result<Snapshot, ConfigError> {
        // Before anything is read, so that a change in the meantime is a difference at the next look.
        let hash = self.content_hash();
        let mut problems = Vec::new();
        if self.settings.default_receiver.is_none() {
            problems.push(Problem::general(
                "default_receiver is not set, so runs that no route takes would fall into the void",
                "add `default_receiver: NAME` with the name of a receiver",
            ));
        }
        let mut destinations = BTreeMap::new();
        let mut receivers = Vec::new();
        for receiver in &self.rules.receivers {
            match read_receiver(receiver, environment, &mut destinations) {
                Ok(reach) => receivers.push((receiver.name.clone(), reach)),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let policy = self.policy(receivers, first_start);
        Ok(Snapshot {
            redactor: self.redactor(),
            config: self,
            policy,
            destinations,
            hash,
        })
    }

    /// A hash over the configuration files as they were read, and every secret they name as it is on disk
    /// now.
    fn content_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(self.files_hash);
        let mut add = |path: &Path| {
            hash.update(path.to_string_lossy().as_bytes());
            hash.update(fs::read(path).map_or([0; 32], |bytes| Sha256::digest(&bytes).into()));
        };
        let settings = &self.settings;
        settings.hmac_file.iter().for_each(|file| add(file));
        if let Some(tokens) = &settings.access.tokens_file {
            add(tokens);
        }
        for endpoint in &self.artifacts.endpoints {
            let files = [&endpoint.credentials_file, &endpoint.ca_file];
            files.into_iter().flatten().for_each(|file| add(file));
        }
        for receiver in &self.rules.receivers {
            match &receiver.secret {
                SecretSource::File(file) => add(file),
                SecretSource::Dir(folder) => secret_files(folder)
                    .unwrap_or_default()
                    .iter()
                    .for_each(|(_, file)| add(file)),
                SecretSource::Env(_) => {}
            }
        }
        hash.finalize().into()
    }
}

fn read_receiver(
    receiver: &Receiver,
    environment: &BTreeMap<String, String>,
    destinations: &mut BTreeMap<String, Destination>,
) -> Result<Reach, Problem> {
    let mut add = |name: String, url: String, read_from: String| {
        destinations.insert(
            name,
            Destination {
                url: url.into(),
                mention: receiver.mention_on_critical.clone(),
                place: receiver.place.clone(),
                read_from,
            },
        );
    };
    match &receiver.secret {
        SecretSource::File(file) => {
            let url = read_url(receiver, file)?;
            add(receiver.name.clone(), url, file.display().to_string());
            Ok(Reach::Single)
        }
        SecretSource::Env(variable) => {
            let url = environment
                .get(variable)
                .map(|url| url.trim())
                .filter(|url| !url.is_empty())
                .ok_or_else(|| {
                    Problem::at(
                        receiver.place.clone(),
                        format!(
                            "receiver `{}`: environment variable {variable} is not set",
                            receiver.name
                        ),
                        "set it to the webhook URL",
                    )
                })?;
            let read_from = format!("the environment variable {variable}");
            add(receiver.name.clone(), url.to_owned(), read_from);
            Ok(Reach::Single)
        }
        SecretSource::Dir(folder) => {
            let files = secret_files(folder).map_err(|error| {
                let what = format!(
                    "receiver `{}`: cannot list {}: {error}",
                    receiver.name,
                    folder.display()
                );
                Problem::at(
                    receiver.place.clone(),
                    what,
                    "mount the secret with one file per service there",
                )
            })?;
            for (service, file) in &files {
                let name = format!("{}/{service}", receiver.name);
                add(name, read_url(receiver, file)?, file.display().to_string());
            }
            Ok(Reach::PerService(files.into_keys().collect()))
        }
    }
}

/// What to do about a file that is not where its name leads from.
const NOT_FOUND_FROM_HERE: &str = "put the webhook URL, and nothing else, into that file; its path is relative, so it \
                                   begins in the folder where prow-notifier is started";

fn read_url(receiver: &Receiver, file: &Path) -> Result<String, Problem> {
    let failed = |why: String, hint: &str| {
        let what = format!("receiver `{}`: {why}", receiver.name);
        Problem::at(receiver.place.clone(), what, hint)
    };
    let fill = "put the webhook URL, and nothing else, into that file";
    let text = fs::read_to_string(file).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "let the user that runs this read that file",
            io::ErrorKind::IsADirectory => {
                "name a file, or the folder as webhook_url_dir if it holds one file per service"
            }
            io::ErrorKind::NotFound if file.is_relative() => NOT_FOUND_FROM_HERE,
            _ => fill,
        };
        failed(format!("cannot read {}: {error}", file.display()), hint)
    })?;
    let url = text.trim();
    if url.is_empty() {
        Err(failed(format!("{} is empty", file.display()), fill))
    } else {
        Ok(url.to_owned())
    }
}

/// Files of a mounted secret by name. Hidden entries are Kubernetes' own.
fn secret_files(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_file() {
            files.insert(name, entry.path());
        }
    }
    Ok(files)
}

fn services_in(folder: &Path) -> io::Result<BTreeSet<String>> {
    Ok(secret_files(folder)?.into_keys().collect())
}
