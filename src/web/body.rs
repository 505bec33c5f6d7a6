//! Reading a request body: capped in size before anything else is looked at, and in time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

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

/// Reads a body of at most `cap` bytes. Compressed bodies are not unpacked.
pub async fn read(headers: &HeaderMap, body: Body, cap: usize) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > cap as u64) {
        return Err(BodyError::TooLarge);
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, cap).collect()).await;
    match read {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
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
