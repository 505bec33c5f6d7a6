//! The HTTP client under the object store: goes to public addresses only, and to what the configuration names.

use std::{future::Future, io::ErrorKind, pin::Pin, time::Duration};

use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use reqwest::{Client, StatusCode, header};

use super::failure::causes;
use crate::http::{Http, HttpError as SetupError, Trust, is_public};

/// Why a request was not made, or its answer not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0} is not a public address and no entry of artifacts.endpoints names it")]
    Address(String),
    #[error("{0} would be asked without TLS and no entry of artifacts.endpoints names it")]
    Plain(String),
    #[error("an HTML page came, most likely of a login or of a failing proxy")]
    Html,
}

/// An answer that is no object. Typed here because the object store makes text of it.
#[derive(Debug, thiserror::Error)]
#[error("it answered {status} {code}")]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    /// The word for the error in S3's and GCS's XML; empty without one.
    pub(super) code: String,
}

/// Length of an error's body that is looked at, in bytes.
const MAX_ERROR: usize = 8192;

/// Makes [`Guarded`] clients for an object store and its credentials.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    guarded: Guarded,
}

#[derive(Debug, Clone)]
struct Guarded {
    public: Client,
    anywhere: Client,
    /// Hosts with their ports that may be at any address, and be asked without TLS.
    named: Vec<String>,
    /// Whether to ask for packed objects as they are stored; GCS unpacks them otherwise, with no length.
    as_stored: bool,
}

impl Guard {
    pub(super) fn new(
        named: Vec<String>,
        as_stored: bool,
        trust: &Trust,
        timeout: Duration,
    ) -> Result<Self, SetupError> {
        let guarded = Guarded {
            public: Http::for_bucket(false, trust, timeout)?,
            anywhere: Http::for_bucket(true, trust, timeout)?,
            named,
            as_stored,
        };
        Ok(Self { guarded })
    }
}

impl HttpConnector for Guard {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.guarded.clone()))
    }
}

impl Guarded {
    /// The client that may make a request.
    fn client_for(&self, uri: &str) -> Result<&Client, Refusal> {
        let parsed = reqwest::Url::parse(uri).ok();
        let url = parsed.ok_or_else(|| Refusal::Address("an unreadable address".to_owned()))?;
        let authority = crate::prow::deck::authority(&url);
        if self.named.contains(&authority) {
            return Ok(&self.anywhere);
        }
        if url.scheme() != "https" {
            return Err(Refusal::Plain(authority));
        }
        // A name is checked when it is resolved.
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_matches(['[', ']']).parse();
        match literal {
            Ok(address) if !is_public(address) => Err(Refusal::Address(authority)),
            _ => Ok(&self.public),
        }
    }

    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let refused = |refusal| HttpError::new(HttpErrorKind::Unknown, refusal);
        let client = self
            .client_for(&request.uri().to_string())
            .map_err(refused)?;
        if self.as_stored {
            let packed = header::HeaderValue::from_static("gzip");
            request
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, packed);
        }
        let response = ask(client, request).await?;
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_html = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if is_html && response.status().is_success() {
            return Err(refused(Refusal::Html));
        }
        if response.status().is_success() {
            return Ok(response);
        }
        Err(answered(response).await)
    }
}

/// Asks as [`reqwest`] does. The object store can do so itself, but only with HTTP/2, which nothing else here speaks.
async fn ask(client: &Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let (parts, body) = request.into_parts();
    let url = reqwest::Url::parse(&parts.uri.to_string())
        .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
    let mut asked = reqwest::Request::new(parts.method, url);
    *asked.headers_mut() = parts.headers;
    *asked.body_mut() = Some(match body.as_bytes() {
        Some(whole) => whole.clone().into(),
        None => reqwest::Body::wrap(body),
    });
    let answer = client.execute(asked).await.map_err(failed)?;
    let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
    let body = HttpResponseBody::new(body.map_err(failed));
    Ok(HttpResponse::from_parts(parts, body))
}

/// Tells the object store what is worth another attempt: no connection, and one that broke.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else {
        broke(&error).unwrap_or(HttpErrorKind::Unknown)
    };
    // The object store names the address itself.
    HttpError::new(kind, error.without_url())
}

/// How a connection broke, which only the causes tell.
fn broke(error: &reqwest::Error) -> Option<HttpErrorKind> {
    causes(error).find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && (error.is_closed() || error.is_incomplete_message())
        {
            return Some(HttpErrorKind::Request);
        }
        let kind = cause.downcast_ref::<std::io::Error>()?.kind();
        match kind {
            ErrorKind::TimedOut => Some(HttpErrorKind::Timeout),
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(HttpErrorKind::Interrupted),
            _ => None,
        }
    })
}

/// Makes an error of an answer that is no object; one that may pass is tried again at once.
async fn answered(response: HttpResponse) -> HttpError {
    let status = response.status();
    let mut body = response.into_body();
    let mut text = Vec::new();
    while text.len() < MAX_ERROR
        && let Some(Ok(frame)) = body.frame().await
    {
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    let text = String::from_utf8_lossy(&text);
    let code = text.split_once("<Code>");
    let code = code.and_then(|(_, rest)| Some(rest.split_once("</Code>")?.0));
    let plain = |code: &&str| code.len() < 60 && code.chars().all(|c| c.is_ascii_alphanumeric());
    let kind = if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        HttpErrorKind::Request
    } else {
        HttpErrorKind::Unknown
    };
    let code = code.filter(plain).unwrap_or_default().to_owned();
    HttpError::new(kind, Answered { status, code })
}

impl HttpService for Guarded {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_hosts_may_be_inside_or_without_tls() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let named = vec!["minio:9000".to_owned(), "10.0.0.1".to_owned()];
        let guard = Guard::new(named, false, &Trust::System, Duration::from_secs(1)).unwrap();
        let refusal = |uri: &str| {
            guard
                .guarded
                .client_for(uri)
                .err()
                .map(|why| why.to_string())
        };
        for fine in [
            "https://s3.amazonaws.com/x",
            "https://8.8.8.8/x",
            "http://minio:9000/x",
            "https://10.0.0.1/x",
        ] {
            assert_eq!(refusal(fine), None, "{fine}");
        }
        for refused in [
            "http://s3.amazonaws.com/x",
            "http://minio:9001/x",
            "https://10.0.0.2/x",
            "https://169.254.169.254/latest",
            "http://169.254.169.254/latest",
            "https://127.0.0.1:9000/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.2]/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
        ] {
            assert!(refusal(refused).is_some(), "{refused}");
        }
    }
}
