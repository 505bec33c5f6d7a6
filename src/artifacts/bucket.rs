//! One bucket, or folder of this machine, as an object store: how it is reached and with which credentials.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use object_store::{
    BackoffConfig, GetOptions, GetResult, ObjectMeta, ObjectStore as _, RetryConfig,
    StaticCredentialProvider,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder},
    local::LocalFileSystem,
    path::Path,
};
use reqwest::Url;

use super::{credentials::S3File, guard::Guard};
use crate::{
    config::artifacts::Endpoint,
    domain::location::{Location, Provider},
    http::Trust,
    prow::deck::authority,
};

/// Where clouds hand out credentials; asked only for `instance_credentials`.
const METADATA_HOSTS: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];
/// Settings of the environment that AWS's own tools read, with those of `IAM` roles for service accounts.
const AWS_VARIABLES: [&str; 11] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// A bucket that can be read. Not a trait object: with that the program would hold all that writes to buckets too.
#[derive(Debug, Clone)]
pub(super) enum Bucket {
    S3(AmazonS3),
    Gs(GoogleCloudStorage),
    /// Of this machine.
    Folder {
        store: LocalFileSystem,
        /// Its true path, which files must not lead out of.
        path: PathBuf,
    },
}

impl Bucket {
    pub(super) async fn get(
        &self,
        path: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        match self {
            Self::S3(store) => store.get_opts(path, options).await,
            Self::Gs(store) => store.get_opts(path, options).await,
            Self::Folder { store, .. } => store.get_opts(path, options).await,
        }
    }

    /// All that is below a path.
    pub(super) fn list(
        &self,
        below: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self {
            Self::S3(store) => store.list(Some(below)),
            Self::Gs(store) => store.list(Some(below)),
            Self::Folder { store, .. } => store.list(Some(below)),
        }
    }
}

/// What is needed to reach buckets.
#[derive(Debug)]
pub(super) struct Means<'a> {
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) request_timeout: Duration,
}

/// Opens the bucket of a location; nothing is asked for yet. The error says what to do.
pub(super) fn open(location: &Location, means: &Means<'_>) -> Result<Bucket, String> {
    match location.provider {
        Provider::S3 => means.s3(&location.bucket),
        Provider::Gs => means.gs(&location.bucket),
        Provider::File => Err("a folder is opened by its own path".to_owned()),
    }
}

/// Opens a folder of this machine, if it is one of `allowed` or below one.
pub(super) fn open_folder(location: &Location, allowed: &[PathBuf]) -> Result<Bucket, String> {
    let wanted = PathBuf::from(format!("/{}", location.path));
    let found = allowed.iter().find(|folder| wanted.starts_with(folder));
    let Some(folder) = found else {
        return Err(
            "no folder of artifacts.folders holds it; name the one that may be read".to_owned(),
        );
    };
    let path = fs::canonicalize(folder)
        .map_err(|error| format!("cannot open the folder {}: {error}", folder.display()))?;
    let store = LocalFileSystem::new_with_prefix("/").map_err(|error| error.to_string())?;
    Ok(Bucket::Folder { store, path })
}

impl Means<'_> {
    /// Where credentials for a bucket of this provider come from, in words; never what they are.
    pub(super) fn source(&self, provider: Provider) -> String {
        let set = |name: &str| {
            self.environment
                .get(name)
                .is_some_and(|text| !text.is_empty())
        };
        let file = self.endpoint.and_then(|one| one.credentials_file.as_ref());
        if provider == Provider::File {
            return "none needed".to_owned();
        }
        if self.endpoint.is_some_and(|endpoint| endpoint.anonymous) {
            return "anonymous, as configured".to_owned();
        }
        if let Some(file) = file {
            return format!("file {}", file.display());
        }
        let ambient = match provider {
            Provider::S3 if set("AWS_ACCESS_KEY_ID") => "environment (AWS_ACCESS_KEY_ID)",
            Provider::S3 if self.has_aws_credentials() => "web identity (AWS_ROLE_ARN)",
            Provider::S3
                if set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
                    || set("AWS_CONTAINER_CREDENTIALS_FULL_URI") =>
            {
                "the container's (AWS_CONTAINER_CREDENTIALS_*)"
            }
            Provider::Gs if set("GOOGLE_APPLICATION_CREDENTIALS") => {
                "environment (GOOGLE_APPLICATION_CREDENTIALS)"
            }
            _ if self.uses_instance() => "the instance's metadata service",
            _ => "anonymous, since none are configured",
        };
        ambient.to_owned()
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
            },
            max_retries: 1,
            retry_timeout: self.request_timeout,
        }
    }

    fn s3(&self, bucket: &str) -> Result<Bucket, String> {
        let file = match self.credentials()? {
            Some((path, text)) => S3File::read(&text)
                .map_err(|why| format!("cannot use the credentials in {path}: {why}"))?,
            None => S3File::default(),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_retry(self.retries());
        let (keys, mut named) = self.s3_environment();
        let is_anonymous = self.endpoint.is_some_and(|endpoint| endpoint.anonymous);
        for (key, value) in keys {
            builder = builder.with_config(key, value);
        }
        if file.has_keys() {
            builder = builder
                .with_access_key_id(&file.access_key)
                .with_secret_access_key(&file.secret_key)
                .with_token(&file.session_token);
            if file.session_token.is_empty() {
                builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_retry(self.retries())
                    .with_access_key_id(&file.access_key)
                    .with_secret_access_key(&file.secret_key);
            }
        } else if is_anonymous || (named.is_empty() && !self.has_aws_credentials()) {
            builder = builder.with_skip_signature(true);
        }
        let own_region = self.endpoint.and_then(|endpoint| endpoint.region.clone());
        let of_file = Some(file.region.clone()).filter(|region| !region.is_empty());
        if let Some(region) = own_region.or(of_file).or_else(|| self.aws_region()) {
            builder = builder.with_region(region);
        }
        let server = file.server();
        let any_certificate = server.as_ref().is_some_and(|server| server.any_certificate);
        let own = self.endpoint.and_then(|endpoint| endpoint.endpoint.clone());
        let address = own.or_else(|| server.map(|server| server.address));
        let path_style = self.endpoint.and_then(|endpoint| endpoint.path_style);
        let path_style = path_style
            .unwrap_or(file.s3_force_path_style || address.is_some() || bucket.contains('.'));
        builder = builder.with_virtual_hosted_style_request(!path_style);
        if let Some(address) = address {
            let address = with_bucket(&address, bucket, path_style, &mut named)?;
            builder = builder.with_endpoint(address);
        }
        let guard = self.guard(named, false, any_certificate)?;
        let built = builder.with_http_connector(guard).build();
        built.map(Bucket::S3).map_err(|error| error.to_string())
    }

    /// Credentials of the environment, and the host that they are handed out by.
    fn s3_environment(&self) -> (Vec<(AmazonS3ConfigKey, String)>, Vec<String>) {
        if self.endpoint.is_some_and(|endpoint| endpoint.anonymous) {
            return (Vec::new(), Vec::new());
        }
        let mut named = Vec::new();
        let keys = AWS_VARIABLES.into_iter().filter_map(|name| {
            let value = self
                .environment
                .get(name)
                .filter(|value| !value.is_empty())?;
            match name {
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" => named.push("169.254.170.2".to_owned()),
                "AWS_CONTAINER_CREDENTIALS_FULL_URI" => {
                    named.extend(Url::parse(value).ok().as_ref().map(authority));
                }
                _ => {}
            }
            let key = name.to_ascii_lowercase().parse().ok()?;
            Some((key, value.clone()))
        });
        let keys = keys.collect();
        if self.uses_instance() {
            named.extend(METADATA_HOSTS.map(str::to_owned));
        }
        (keys, named)
    }

    fn has_aws_credentials(&self) -> bool {
        let has = |name: &str| {
            self.environment
                .get(name)
                .is_some_and(|value| !value.is_empty())
        };
        has("AWS_ACCESS_KEY_ID") || (has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN"))
    }

    fn aws_region(&self) -> Option<String> {
        let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let found = names
            .into_iter()
            .find_map(|name| self.environment.get(name));
        found.filter(|region| !region.is_empty()).cloned()
    }

    fn uses_instance(&self) -> bool {
        self.endpoint
            .is_some_and(|endpoint| endpoint.instance_credentials)
    }

    fn gs(&self, bucket: &str) -> Result<Bucket, String> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_retry(self.retries());
        let mut named = Vec::new();
        if let Some(address) = self.endpoint.and_then(|one| one.endpoint.as_deref()) {
            let address = with_bucket(address, bucket, true, &mut named)?;
            builder = builder.with_base_url(&address);
        }
        let is_anonymous = self.endpoint.is_some_and(|endpoint| endpoint.anonymous);
        let ambient = self.environment.get("GOOGLE_APPLICATION_CREDENTIALS");
        if let Some((path, text)) = self.credentials()? {
            builder = if text.contains("\"service_account\"") {
                builder.with_service_account_key(text)
            } else {
                builder.with_application_credentials(path)
            };
        } else if let Some(path) = ambient.filter(|path| !path.is_empty() && !is_anonymous) {
            builder = builder.with_application_credentials(path);
        } else if self.uses_instance() {
            named.extend(METADATA_HOSTS.map(str::to_owned));
        } else {
            let bearer = String::new();
            let nobody = StaticCredentialProvider::new(GcpCredential { bearer });
            builder = builder
                .with_credentials(Arc::new(nobody))
                .with_skip_signature(true);
        }
        let guard = self.guard(named, true, false)?;
        let built = builder.with_http_connector(guard).build();
        built.map(Bucket::Gs).map_err(|error| error.to_string())
    }

    /// The text of the credentials file, with its path.
    fn credentials(&self) -> Result<Option<(String, String)>, String> {
        let file = self
            .endpoint
            .and_then(|endpoint| endpoint.credentials_file.as_ref());
        let Some(file) = file else {
            return Ok(None);
        };
        let path = file.display().to_string();
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot read the credentials in {path}: {error}"))?;
        Ok(Some((path, text)))
    }

    fn guard(
        &self,
        named: Vec<String>,
        as_stored: bool,
        any_certificate: bool,
    ) -> Result<Guard, String> {
        let ca_file = self.endpoint.and_then(|endpoint| endpoint.ca_file.as_ref());
        let trust =
            match ca_file {
                Some(file) => Trust::Also(fs::read(file).map_err(|error| {
                    format!("cannot read the CA in {}: {error}", file.display())
                })?),
                None if any_certificate => Trust::Anybody,
                None => Trust::System,
            };
        Guard::new(named, as_stored, &trust, self.request_timeout).map_err(|error| match ca_file {
            Some(file) => format!("cannot use the CA in {}: is it PEM?", file.display()),
            None => error.to_string(),
        })
    }
}

/// The address of a server for a bucket, whose host is named by being configured.
fn with_bucket(
    address: &str,
    bucket: &str,
    path_style: bool,
    named: &mut Vec<String>,
) -> Result<String, String> {
    let wrong = || "the endpoint is no address of a server, write https://host:port".to_owned();
    let mut url = Url::parse(address).map_err(|_| wrong())?;
    if !path_style {
        let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
        url.set_host(Some(&host)).map_err(|_| wrong())?;
    }
    named.push(authority(&url));
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
