//! What a command needs before it is worth beginning: files, images, addresses.

use std::{fs::File, path::Path, time::Duration};

use reqwest::{
    Client, StatusCode, Url,
    header::{ACCEPT, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use crate::http::Http;

/// Media types of manifests and of lists of them, Docker's and OCI's
/// (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md>).
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// Docker Hub is known by one name and answers under another.
const HUB: [&str; 2] = ["docker.io", "registry-1.docker.io"];

/// A prerequisite.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need<'a> {
    File(&'a str),
    Url(&'a str),
    Image(Image),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    registry: String,
    repository: String,
    /// Tag or digest.
    reference: String,
}

impl<'a> Need<'a> {
    /// What a word stands for: a URL, `docker://` and an image, a file that is there, else an image if it has a tag, a
    /// digest or a registry's host name, else a file.
    fn parse(word: &'a str) -> Self {
        if word.starts_with("http://") || word.starts_with("https://") {
            return Self::Url(word);
        }
        if let Some(image) = word.strip_prefix("docker://") {
            return Self::Image(Image::parse(image));
        }
        let is_path = word.starts_with(['/', '.', '~']) || Path::new(word).exists();
        let has_host = word
            .split_once('/')
            .is_some_and(|(host, _)| host.contains(['.', ':']));
        if !is_path && (has_host || word.contains([':', '@'])) {
            return Self::Image(Image::parse(word));
        }
        Self::File(word)
    }
}

impl Image {
    fn parse(text: &str) -> Self {
        let (registry, rest) = text
            .split_once('/')
            .filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost")
            .unwrap_or((HUB[0], text));
        let (name, reference) = match rest.split_once('@') {
            Some((name, digest)) => (without_tag(name).0, digest),
            None => without_tag(rest),
        };
        let is_hub = HUB.contains(&registry);
        Self {
            registry: if is_hub { HUB[1] } else { registry }.to_owned(),
            repository: if is_hub && !name.contains('/') {
                format!("library/{name}")
            } else {
                name.to_owned()
            },
            reference: reference.to_owned(),
        }
    }

    /// Registries on this machine speak plain HTTP, as they do for Docker.
    fn scheme(&self) -> &'static str {
        let host = self
            .registry
            .rsplit_once(':')
            .map_or(self.registry.as_str(), |(host, _)| host);
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            "http"
        } else {
            "https"
        }
    }

    fn manifest(&self) -> Result<Url, String> {
        let (scheme, registry) = (self.scheme(), &self.registry);
        let (repository, reference) = (&self.repository, &self.reference);
        Url::parse(&format!(
            "{scheme}://{registry}/v2/{repository}/manifests/{reference}"
        ))
        .map_err(|_| "this is not the name of an image".to_owned())
    }
}

fn without_tag(name: &str) -> (&str, &str) {
    name.rsplit_once(':').unwrap_or((name, "latest"))
}

/// Checks them one after the other, each within `timeout`. Returns what is missing and why, in their order.
pub(super) async fn missing(words: &[String], http: &Http, timeout: Duration) -> Vec<String> {
    let mut missing = Vec::new();
    for word in words {
        let checked = tokio::time::timeout(timeout, check(word, http.open())).await;
        let checked = checked.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")));
        if let Err(why) = checked {
            missing.push(format!("{word}: {why}"));
        }
    }
    missing
}

async fn check(word: &str, client: &Client) -> Result<(), String> {
    match Need::parse(word) {
        Need::File(path) => File::open(path)
            .map(drop)
            .map_err(|error| error.to_string()),
        Need::Url(url) => {
            let answer = client
                .get(url)
                .send()
                .await
                .map_err(|error| words(&error))?;
            good(answer.status())
        }
        Need::Image(image) => check_image(&image, client).await,
    }
}

fn good(status: StatusCode) -> Result<(), String> {
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("the answer is {status}"))
    }
}

async fn check_image(image: &Image, client: &Client) -> Result<(), String> {
    let url = image.manifest()?;
    let ask = |token: Option<String>| {
        let request = client.head(url.clone()).header(ACCEPT, MANIFESTS);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        async move { request.send().await.map_err(|error| words(&error)) }
    };
    let answer = ask(None).await?;
    let status = if answer.status() == StatusCode::UNAUTHORIZED {
        let challenge = answer.headers().get(WWW_AUTHENTICATE).cloned();
        let token = token(client, image, challenge.as_ref()).await?;
        ask(Some(token)).await?.status()
    } else {
        answer.status()
    };
    match status {
        StatusCode::NOT_FOUND => Err("the registry does not have it".to_owned()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err("the registry does not have it, or not for everybody".to_owned())
        }
        other => good(other),
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// A token for nobody in particular
/// (<https://distribution.github.io/distribution/spec/auth/token/>).
async fn token(
    client: &Client,
    image: &Image,
    challenge: Option<&HeaderValue>,
) -> Result<String, String> {
    let refused = || "the registry wants a login that is not for everybody".to_owned();
    let challenge = challenge
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("Bearer "))
        .ok_or_else(refused)?;
    let field = |name: &str| {
        let (_, after) = challenge.split_once(&format!("{name}=\""))?;
        after.split_once('"').map(|(value, _)| value.to_owned())
    };
    let realm = field("realm").ok_or_else(refused)?;
    if image.scheme() == "https" && !realm.starts_with("https://") {
        return Err(refused());
    }
    let scope = field("scope").unwrap_or_else(|| format!("repository:{}:pull", image.repository));
    let service = field("service").map(|service| ("service", service));
    let query: Vec<(&str, String)> = service.into_iter().chain([("scope", scope)]).collect();
    let answer = client.get(realm).query(&query).send().await;
    let answer = answer.map_err(|error| words(&error))?;
    if !answer.status().is_success() {
        return Err(refused());
    }
    let token = answer
        .json::<Token>()
        .await
        .map_err(|error| words(&error))?;
    Ok(token.token)
}

/// The last cause says what happened, the first only that something did.
pub(super) fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(registry: &str, repository: &str, reference: &str) -> Image {
        Image {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            reference: reference.to_owned(),
        }
    }

    #[test]
    fn words_are_taken_as_users_mean_them() {
        assert_eq!(Need::parse("https://a.b/c"), Need::Url("https://a.b/c"));
        for file in [
            "/etc/passwd",
            "./a:b",
            "Cargo.toml",
            "dist/app.tar.gz",
            "~/x",
        ] {
            assert_eq!(Need::parse(file), Need::File(file));
        }
        let hub = HUB[1];
        for (word, wanted) in [
            ("golang:1.24", image(hub, "library/golang", "1.24")),
            ("docker://golang", image(hub, "library/golang", "latest")),
            ("me/app:v1", image(hub, "me/app", "v1")),
            ("docker.io/me/app:v1", image(hub, "me/app", "v1")),
            (
                "public.ecr.aws/a/b/c",
                image("public.ecr.aws", "a/b/c", "latest"),
            ),
            ("localhost:5000/a:v2", image("localhost:5000", "a", "v2")),
            (
                "ghcr.io/a/b:v1@sha256:00",
                image("ghcr.io", "a/b", "sha256:00"),
            ),
        ] {
            assert_eq!(Need::parse(word), Need::Image(wanted), "{word}");
        }
    }
}
