//! One entry of a list below `artifacts`: YAML to a checked value, or a mistake with its place.

use super::{DEFAULT_KEYS, DefaultLocation, ENDPOINT_KEYS, Endpoint};
use crate::{
    config::{error::Problem, yaml::Node},
    domain::{
        location::{Location, Provider, STRATEGIES, Strategy},
        nearest,
    },
};

/// An entry of `artifacts.defaults`.
pub(super) fn default_location(node: &Node) -> Result<DefaultLocation, Problem> {
    let mut read = DefaultLocation {
        org: None,
        repo: None,
        cluster: None,
        namespace: None,
        root: Location {
            provider: Provider::Gs,
            bucket: String::new(),
            path: String::new(),
        },
        strategy: Strategy::default(),
        default_org: String::new(),
        default_repo: String::new(),
        place: node.place.clone(),
    };
    let (mut root, mut prefix) = (None, None);
    for (key, _, value) in node.entries("a default location", &DEFAULT_KEYS)? {
        let text = value.text(key)?;
        let owned = text.to_owned();
        match key.as_str() {
            "org" => read.org = Some(owned),
            "repo" => read.repo = Some(owned),
            "cluster" => read.cluster = Some(owned),
            "namespace" => read.namespace = Some(owned),
            "location" => root = Some(location(value)?),
            "path_prefix" => prefix = Some((text, value)),
            "path_strategy" => read.strategy = strategy(value)?,
            "default_org" => read.default_org = owned,
            _ => read.default_repo = owned,
        }
    }
    read.root = root.ok_or_else(|| {
        Problem::at(
            node.place.clone(),
            "a default location needs a location",
            "add `location: s3://bucket` or `location: gs://bucket/prefix`",
        )
    })?;
    if let Some((prefix, value)) = prefix {
        let joined = read.root.join(prefix);
        read.root =
            joined.map_err(|refused| Problem::at(value.place.clone(), refused.to_string(), ""))?;
    }
    if read.repo.is_some() && read.org.is_none() {
        return Err(Problem::at(
            node.place.clone(),
            "a repository without its org",
            "add `org: ...`; repositories of one name stand in many orgs",
        ));
    }
    let shortens = read.strategy != Strategy::Explicit;
    if shortens && (read.default_org.is_empty() || read.default_repo.is_empty()) {
        return Err(Problem::at(
            node.place.clone(),
            "this path_strategy needs default_org and default_repo",
            "copy them from Prow's decoration config, or write path_strategy: explicit",
        ));
    }
    Ok(read)
}

fn location(node: &Node) -> Result<Location, Problem> {
    Location::parse(node.text("location")?).map_err(|refused| {
        Problem::at(
            node.place.clone(),
            refused.to_string(),
            "write s3://bucket, gs://bucket/prefix or file:///folder",
        )
    })
}

fn strategy(node: &Node) -> Result<Strategy, Problem> {
    let word = node.text("path_strategy")?;
    Strategy::parse(word).ok_or_else(|| {
        let hint = nearest::hint(word, STRATEGIES.into_iter());
        Problem::at(
            node.place.clone(),
            format!("unknown path_strategy `{word}`{hint}"),
            "write explicit, legacy or single",
        )
    })
}

/// An entry of `artifacts.endpoints`.
pub(super) fn endpoint(node: &Node) -> Result<Endpoint, Problem> {
    let mut read = Endpoint {
        provider: Provider::S3,
        bucket: None,
        endpoint: None,
        region: None,
        path_style: None,
        credentials_file: None,
        ca_file: None,
        anonymous: false,
        instance_credentials: false,
        place: node.place.clone(),
    };
    let mut named = false;
    for (key, _, value) in node.entries("an endpoint", &ENDPOINT_KEYS)? {
        let text = value.text(key)?;
        match key.as_str() {
            "for" => {
                (read.provider, read.bucket) = buckets(value)?;
                named = true;
            }
            "endpoint" => read.endpoint = Some(address(value)?),
            "region" => read.region = Some(text.to_owned()),
            "path_style" => read.path_style = Some(boolean(key, value)?),
            "credentials_file" => read.credentials_file = Some(text.into()),
            "ca_file" => read.ca_file = Some(text.into()),
            "anonymous" => read.anonymous = boolean(key, value)?,
            _ => read.instance_credentials = boolean(key, value)?,
        }
    }
    if !named {
        return Err(Problem::at(
            node.place.clone(),
            "an endpoint needs the buckets it is for",
            "add `for: s3://bucket`, or `for: s3` for all buckets of S3",
        ));
    }
    let sources = [
        read.credentials_file.is_some(),
        read.anonymous,
        read.instance_credentials,
    ];
    if sources.into_iter().filter(|given| *given).count() > 1 {
        return Err(Problem::at(
            node.place.clone(),
            "two sources of credentials for one endpoint",
            "keep one of credentials_file, anonymous and instance_credentials",
        ));
    }
    Ok(read)
}

/// `s3`, `gs`, or one bucket of them.
fn buckets(node: &Node) -> Result<(Provider, Option<String>), Problem> {
    let text = node.text("for")?;
    let wrong = |what: String| {
        Problem::at(
            node.place.clone(),
            what,
            "write s3, gs, or a bucket such as s3://bucket",
        )
    };
    if let Some(provider) = Provider::parse(text).filter(|provider| *provider != Provider::File) {
        return Ok((provider, None));
    }
    let location = Location::parse(text).map_err(|refused| wrong(refused.to_string()))?;
    if location.provider == Provider::File || !location.path.is_empty() || !text.contains("://") {
        return Err(wrong(format!(
            "`{text}` names neither a provider nor a bucket"
        )));
    }
    Ok((location.provider, Some(location.bucket)))
}

fn address(node: &Node) -> Result<String, Problem> {
    let text = node.text("endpoint")?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain = |rest: &str| !rest.is_empty() && !rest.contains(['@', '?', '#']);
    if rest.is_some_and(plain) {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(Problem::at(
        node.place.clone(),
        "endpoint is not the plain address of a server",
        "write https://host:port, or http:// for a server without TLS; credentials stand in credentials_file",
    ))
}

fn boolean(key: &str, node: &Node) -> Result<bool, Problem> {
    match node.text(key)? {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Problem::at(
            node.place.clone(),
            format!("`{key}` is `{other}`"),
            "write true or false",
        )),
    }
}
