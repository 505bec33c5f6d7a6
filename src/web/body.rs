//! Reading a request body: capped in size before anything else is looked at, and in time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

/// A whole body must have come by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than the cap, as announced or as counted.
    TooLarge,
    /// Not all of it came in time.
    TooSlow,
    /// The connection broke.
    Broken,
}

/// Of a body that is too large, this much is still taken and thrown away, as a multiple of the cap, so that
/// a client that writes first and reads then gets its answer instead of a broken connection.
const LINGER_CAPS: usize = 4;
/// And for no longer than this.
const LINGER: Duration = Duration::from_secs(2);

/// Reads a body of at most `cap` bytes. Compressed bodies are not unpacked.
pub async fn read(headers: &HeaderMap, mut body: Body, cap: usize) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    let read = if announced.is_some_and(|length| length > cap as u64) {
        Err(BodyError::TooLarge)
    } else {
        tokio::time::timeout(BODY_TIMEOUT, collect(&mut body, cap))
            .await
            .unwrap_or(Err(BodyError::TooSlow))
    };
    if read == Err(BodyError::TooLarge) {
        // Whether it all came or not, the answer is the same.
        drop(
            tokio::time::timeout(
                LINGER,
                throw_away(&mut body, cap.saturating_mul(LINGER_CAPS)),
            )
            .await,
        );
    }
    read
}

async fn collect(body: &mut Body, cap: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > cap {
            return Err(BodyError::TooLarge);
        }
        // Most bodies come in one piece, which need not be copied.
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn throw_away(body: &mut Body, mut left: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
            return;
        };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll, ready},
    };

    use hyper::body::Frame;
    use tokio::time::{Instant, Interval, interval};

    use super::*;

    /// A byte a second, without end.
    struct Drip(Interval);

    impl hyper::body::Body for Drip {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            ready!(self.0.poll_tick(context));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up() {
        let begun = Instant::now();
        let body = Body::new(Drip(interval(Duration::from_secs(1))));
        let read = read(&HeaderMap::new(), body, 1 << 20).await;
        assert_eq!(read, Err(BodyError::TooSlow));
        assert_eq!(begun.elapsed(), BODY_TIMEOUT);
    }
}
