//! The API server of Kubernetes: who we are to it, single requests within bounds of time and size, streams line by
//! line, and what its refusals mean. Knows nothing of what the objects are about.

mod lines;
mod problem;

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client as Transport, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::Deserialize;
use serde_json::json;
use tower::{BoxError, ServiceBuilder};

pub use lines::{Lines, Splitter};
pub use problem::{ClusterError, Problem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that nothing comes over is asked so often whether it still stands.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Of an answer that says no.
const MAX_REFUSAL: usize = 64 << 10;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core's.
    pub group: &'static str,
    /// Version of the group.
    pub version: &'static str,
    /// Plural, lower case.
    pub plural: &'static str,
    /// Our manifest that allows what we do with it.
    pub manifest: &'static str,
}

/// What we may want to do; the words are those of RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Read one by its name.
    Get,
    /// Read all.
    List,
    /// Be told of changes.
    Watch,
    /// Change one.
    Patch,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What is to be done.
    pub verb: Verb,
    /// With which kind.
    pub resource: Resource,
    /// In this namespace; a name that Kubernetes allows.
    pub namespace: &'a str,
    /// With this object; empty for all. A name that Kubernetes allows.
    pub name: &'a str,
}

/// A way to the API server. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Verb {
    /// The word of RBAC.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Patch => "patch",
        }
    }
}

impl Resource {
    /// As `kubectl` takes it: `prowjobs.prow.k8s.io`.
    pub fn name(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

impl Target<'_> {
    fn path(&self) -> String {
        let Resource {
            group,
            version,
            plural,
            ..
        } = self.resource;
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let slash = if self.name.is_empty() { "" } else { "/" };
        let (namespace, name) = (self.namespace, self.name);
        format!("{root}/namespaces/{namespace}/{plural}{slash}{name}")
    }

    fn words(&self) -> String {
        let (verb, kind) = (self.verb.as_str(), self.resource.name());
        let space = if self.name.is_empty() { "" } else { " " };
        let (namespace, name) = (self.namespace, self.name);
        format!("{verb} {kind}{space}{name} in namespace {namespace}")
    }

    /// An error about this.
    pub fn failed(&self, problem: Problem) -> ClusterError {
        ClusterError {
            what: self.words(),
            problem,
        }
    }
}

impl Cluster {
    /// By a kubeconfig's current context, or without one as the service account of the pod that we run in. A token in
    /// a file is read anew as it is renewed. Connects to nothing yet.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Self, ClusterError> {
        let config = match kubeconfig {
            Some(path) => from_file(path).await,
            None => Config::incluster().map_err(|error| error.to_string()),
        };
        let client =
            config.and_then(|config| client(config).map_err(|error| problem::chain(&error)));
        client
            .map(|client| Self { client })
            .map_err(|why| ClusterError {
                what: "find the API server of Kubernetes".to_owned(),
                problem: Problem::Access(why),
            })
    }

    /// Asks for an object or a page of a list; `timeout` covers the whole answer, which has at most `limit` bytes.
    pub async fn get(
        &self,
        target: &Target<'_>,
        query: &[(&str, &str)],
        timeout: Duration,
        limit: usize,
    ) -> Result<Bytes, ClusterError> {
        let request = request(Method::GET, target, query, Body::empty());
        self.whole(target, request, timeout, limit).await
    }

    /// Asks for changes from now on. `timeout` covers the beginning of the answer.
    pub async fn lines(
        &self,
        target: &Target<'_>,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Lines, ClusterError> {
        let request = request(Method::GET, target, query, Body::empty());
        let opened = async {
            let response = self.send(request?).await?;
            check(target, response).await
        };
        let response = within(timeout, opened).await;
        let response = response.map_err(|problem| target.failed(problem))?;
        Ok(Lines::new(response.into_body(), target.words()))
    }

    /// Applies a merge patch (RFC 7386) and gives the object that comes of it.
    pub async fn merge(
        &self,
        target: &Target<'_>,
        patch: &serde_json::Value,
        timeout: Duration,
        limit: usize,
    ) -> Result<Bytes, ClusterError> {
        let body = Body::from(patch.to_string().into_bytes());
        let mut request = request(Method::PATCH, target, &[], body);
        if let Ok(request) = &mut request {
            let kind = header::HeaderValue::from_static("application/merge-patch+json");
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        self.whole(target, request, timeout, limit).await
    }

    /// Whether we may do this, by the word of the API server itself (a `SelfSubjectAccessReview`).
    pub async fn may(&self, target: &Target<'_>, timeout: Duration) -> Result<bool, ClusterError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": target.verb.as_str(),
                "group": target.resource.group,
                "resource": target.resource.plural,
                "namespace": target.namespace,
            }},
        });
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(review.to_string().into_bytes()))
            .map_err(|error| Problem::Unreadable(error.to_string()));
        let body = self.whole(target, request, timeout, MAX_REFUSAL).await?;
        let review: Review = serde_json::from_slice(&body)
            .map_err(|error| target.failed(Problem::Unreadable(error.to_string())))?;
        Ok(review.status.allowed)
    }

    async fn whole(
        &self,
        target: &Target<'_>,
        request: Result<Request<Body>, Problem>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Bytes, ClusterError> {
        let read = async {
            let response = self.send(request?).await?;
            let response = check(target, response).await?;
            bounded(response.into_body(), limit).await
        };
        within(timeout, read)
            .await
            .map_err(|problem| target.failed(problem))
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        self.client
            .send(request)
            .await
            .map_err(|error| Problem::Unreachable(problem::chain(&error)))
    }
}

async fn from_file(path: &Path) -> Result<Config, String> {
    let told =
        |error: &dyn std::error::Error| format!("{}: {}", path.display(), problem::chain(error));
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| told(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| told(&error))
}

/// Without the layers that trace and retry: what fails is told and tried again by whoever asked.
fn client(config: Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(Transport::builder(TokioExecutor::new()).build(connector));
    Ok(Client::new(service, config.default_namespace))
}

fn request(
    method: Method,
    target: &Target<'_>,
    query: &[(&str, &str)],
    body: Body,
) -> Result<Request<Body>, Problem> {
    let mut uri = target.path();
    if !query.is_empty() {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        uri.push('?');
        uri.push_str(&query);
    }
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::ACCEPT, "application/json")
        .body(body)
        .map_err(|error| Problem::Unreadable(error.to_string()))
}

/// What says no becomes a problem.
async fn check(target: &Target<'_>, response: Response<Body>) -> Result<Response<Body>, Problem> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = bounded(response.into_body(), MAX_REFUSAL).await;
    Err(Problem::of(
        target,
        status.as_u16(),
        &body.unwrap_or_default(),
    ))
}

async fn bounded(mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::Broken(problem::chain(&error)))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > limit {
                return Err(Problem::TooLong(limit));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

async fn within<T>(
    timeout: Duration,
    asked: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::time::timeout(timeout, asked)
        .await
        .unwrap_or(Err(Problem::Timeout))
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    allowed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROWJOBS: Resource = Resource {
        group: "prow.k8s.io",
        version: "v1",
        plural: "prowjobs",
        manifest: "deploy/x",
    };

    #[test]
    fn paths_and_words_are_those_of_kubernetes() {
        let target = Target {
            verb: Verb::Patch,
            resource: PROWJOBS,
            namespace: "prow",
            name: "b7ef",
        };
        assert_eq!(
            target.path(),
            "/apis/prow.k8s.io/v1/namespaces/prow/prowjobs/b7ef"
        );
        assert_eq!(
            target.words(),
            "patch prowjobs.prow.k8s.io b7ef in namespace prow"
        );
        let core = Target {
            verb: Verb::List,
            resource: Resource {
                group: "",
                plural: "configmaps",
                ..PROWJOBS
            },
            name: "",
            ..target
        };
        assert_eq!(core.path(), "/api/v1/namespaces/prow/configmaps");
        let request = request(
            Method::GET,
            &core,
            &[("continue", "a+b/=&c")],
            Body::empty(),
        );
        assert_eq!(
            request.unwrap().uri().query(),
            Some("continue=a%2Bb%2F%3D%26c")
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_none_is_told_with_its_path() {
        let error = Cluster::connect(Some(Path::new("/no/such/kubeconfig")))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("/no/such/kubeconfig"), "{error}");
        assert!(error.contains("sources.watch.kubeconfig"), "{error}");
    }
}
