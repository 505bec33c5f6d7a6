//! Answers of the deck stand-in: whole, compressed, or broken on purpose.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use hyper::body::Frame;

use super::Fault;

/// Deck compresses no answer below this, in bytes.
const MIN_GZIP: usize = 1400;

pub(super) fn answer(
    content_type: &str,
    body: Bytes,
    asked: &HeaderMap,
    fault: Option<Fault>,
) -> Response {
    match fault {
        None => whole(content_type, body, asked),
        Some(Fault::Answer {
            status,
            content_type,
            body,
        }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, body).into_response();
            set(&mut response, header::CONTENT_TYPE, &content_type);
            response
        }
        Some(Fault::Redirect(to)) => {
            let mut response = StatusCode::FOUND.into_response();
            set(&mut response, header::LOCATION, &to);
            response
        }
        Some(Fault::Cut(length)) => whole(content_type, head(&body, length), asked),
        Some(Fault::Truncate(length)) => broken(
            content_type,
            &body,
            length,
            Err(io::ErrorKind::ConnectionReset),
        ),
        Some(Fault::Hang(length)) => broken(content_type, &body, length, Ok(())),
    }
}

fn head(body: &Bytes, length: usize) -> Bytes {
    body.slice(..length.min(body.len()))
}

fn whole(content_type: &str, body: Bytes, asked: &HeaderMap) -> Response {
    let gzip = asked
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"));
    let compressed = Some(&body)
        .filter(|body| gzip && body.len() >= MIN_GZIP)
        .and_then(|body| compress(body).ok());
    let encoding = if compressed.is_some() { "gzip" } else { "" };
    let mut response = Body::from(compressed.map_or(body, Bytes::from)).into_response();
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::CONTENT_ENCODING, encoding);
    set(
        &mut response,
        header::CACHE_CONTROL,
        "no-store, must-revalidate",
    );
    response
}

fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn broken(
    content_type: &str,
    body: &Bytes,
    length: usize,
    end: Result<(), io::ErrorKind>,
) -> Response {
    let mut response = Body::new(Broken {
        head: Some(head(body, length)).filter(|head| !head.is_empty()),
        flushed: false,
        end,
    })
    .into_response();
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(
        &mut response,
        header::CONTENT_LENGTH,
        &body.len().to_string(),
    );
    response
}

fn set(response: &mut Response, header: HeaderName, value: &str) {
    if value.is_empty() {
        response.headers_mut().remove(header);
    } else if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(header, value);
    }
}

/// A body that begins and then fails, or with `Ok` never goes on.
struct Broken {
    head: Option<Bytes>,
    flushed: bool,
    end: Result<(), io::ErrorKind>,
}

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        match self.end {
            Err(kind) if self.flushed => Poll::Ready(Some(Err(kind.into()))),
            Err(_) => {
                // The server sends what it has only when there is nothing more for the moment.
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(()) => Poll::Pending,
        }
    }
}
