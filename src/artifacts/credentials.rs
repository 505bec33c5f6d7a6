//! Prow's JSON file of S3 credentials, in both of its meanings.

use serde::Deserialize;

/// What the file says. Without keys the environment is asked.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct S3File {
    pub(super) region: String,
    endpoint: String,
    insecure: bool,
    pub(super) s3_force_path_style: bool,
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: String,
}

/// A server as the file names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// With its scheme.
    pub(super) address: String,
    /// Whether any certificate will do.
    pub(super) any_certificate: bool,
}

impl S3File {
    /// Reads the file's text; the error repeats none of it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| {
            format!(
                "it is not Prow's JSON of S3 credentials (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        if read.access_key.is_empty() != read.secret_key.is_empty() {
            return Err("it has one of access_key and secret_key without the other".to_owned());
        }
        Ok(read)
    }

    /// The server. Up to November 2024 an endpoint had no scheme and `insecure` meant plain HTTP; since then
    /// it has one, and `insecure` means not to check the certificate.
    pub(super) fn server(&self) -> Option<Server> {
        let endpoint = self.endpoint.trim().trim_end_matches('/');
        if endpoint.is_empty() {
            return None;
        }
        let (address, any_certificate) = match (endpoint.contains("://"), self.insecure) {
            (true, insecure) => (endpoint.to_owned(), insecure),
            (false, true) => (format!("http://{endpoint}"), false),
            (false, false) => (format!("https://{endpoint}"), false),
        };
        Some(Server {
            address,
            any_certificate,
        })
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.access_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_means_what_it_meant_when_it_was_written() {
        for (endpoint, insecure, expected) in [
            ("minio:9000", true, Some(("http://minio:9000", false))),
            ("minio:9000/", false, Some(("https://minio:9000", false))),
            (
                "https://minio:9000",
                true,
                Some(("https://minio:9000", true)),
            ),
            (
                "https://minio:9000/",
                false,
                Some(("https://minio:9000", false)),
            ),
            (
                "http://minio:9000",
                false,
                Some(("http://minio:9000", false)),
            ),
            ("", true, None),
        ] {
            let text = format!(r#"{{"endpoint":"{endpoint}","insecure":{insecure}}}"#);
            let server = S3File::read(&text).unwrap().server();
            let server = server.as_ref();
            assert_eq!(
                server.map(|server| (server.address.as_str(), server.any_certificate)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_the_file_is_told_without_repeating_it() {
        for (text, expected) in [
            ("hunter2", "line 1"),
            (r#"{"access_key":"hunter2"}"#, "without the other"),
        ] {
            let why = S3File::read(text).err().unwrap();
            assert!(why.contains(expected) && !why.contains("hunter2"), "{why}");
        }
        assert!(!S3File::read("{}").unwrap().has_keys());
    }
}
