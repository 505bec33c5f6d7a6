//! Where state is kept: a file, or a PostgreSQL server, and how far that server is trusted.

use std::{fmt, path::PathBuf, sync::Arc};

use secrecy::SecretString;

/// Where state is kept. What it displays as holds no secret.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(Arc<PostgresUrl>),
}

/// A database of a PostgreSQL server.
#[derive(Debug, Clone)]
pub struct PostgresUrl {
    /// The address as the driver reads it, without what stands below.
    pub address: SecretString,
    /// The address as it may be shown.
    pub shown: String,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// Certificates of the authorities that the server's must come from; `None` means those that browsers know.
    pub root_certificates: Option<PathBuf>,
    /// A file with the password, read for every connection.
    pub password_file: Option<PathBuf>,
}

/// How a connection is encrypted, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// If the server can; whose certificate it shows does not matter.
    Prefer,
    /// Always; whose certificate does not matter, unless root certificates are given.
    Require,
    /// Always, and the certificate must come from a known authority.
    VerifyCa,
    /// Always, and the certificate must be of this very host.
    VerifyFull,
}

impl TlsMode {
    const WORDS: [(&str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&url.shown),
        }
    }
}

impl StoreUrl {
    /// Whether it must be there already because nobody would see a new one: `false` only for a file that is missing.
    pub fn may_exist(&self) -> bool {
        match self {
            Self::Sqlite(path) => path.exists(),
            Self::Postgres(_) => true,
        }
    }

    /// Reads `sqlite:///path` or `postgres://user@host/database?sslmode=...`. The error says what to write.
    pub fn parse(text: &str, password_file: Option<PathBuf>) -> Result<Self, String> {
        if let Some(path) = text
            .strip_prefix("sqlite://")
            .filter(|path| !path.is_empty())
        {
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err(
                "write sqlite:// and a path, such as sqlite:///var/lib/prow-notifier/state.db, or \
                        postgres://user@host/database"
                    .to_owned(),
            );
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut rest = form_urlencoded::Serializer::new(String::new());
        let (mut tls, mut root_certificates) = (None, None);
        let mut is_near = is_near(host(address));
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sslmode" => {
                    let word = TlsMode::WORDS.iter().find(|(word, _)| *word == value);
                    tls = Some(word.map(|(_, mode)| *mode).ok_or_else(|| {
                        "write sslmode=disable, prefer, require, verify-ca or verify-full"
                            .to_owned()
                    })?);
                }
                "sslrootcert" => root_certificates = Some(PathBuf::from(&*value)),
                "password" => {
                    return Err(
                        "write the password into a file and its path into store.password_file"
                            .to_owned(),
                    );
                }
                _ => {
                    if key == "host" {
                        is_near = value.split(',').all(is_near_host);
                    }
                    rest.append_pair(&key, &value);
                }
            }
        }
        let rest = rest.finish();
        let separator = if rest.is_empty() { "" } else { "?" };
        let default = if is_near {
            TlsMode::Prefer
        } else {
            TlsMode::VerifyFull
        };
        Ok(Self::Postgres(Arc::new(PostgresUrl {
            address: format!("{address}{separator}{rest}").into(),
            shown: without_password(address),
            tls: tls.unwrap_or(default),
            root_certificates,
            password_file,
        })))
    }
}

/// The hosts of `scheme://user@host:port,host:port/database`.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority);
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts)
}

fn is_near(hosts: &str) -> bool {
    hosts.split(',').all(|host| {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        is_near_host(name)
    })
}

/// Whether what is sent there stays on this machine: nobody, a socket, or a loopback address.
fn is_near_host(host: &str) -> bool {
    host.is_empty()
        || host.starts_with('/')
        || host.starts_with("%2F")
        || host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// `postgres://user:password@host/database` without the password.
fn without_password(address: &str) -> String {
    let split = address
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    match split {
        Some((scheme, (login, rest))) => {
            let user = login.split_once(':').map_or(login, |(user, _)| user);
            format!("{scheme}://{user}@{rest}")
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn postgres(text: &str) -> PostgresUrl {
        match StoreUrl::parse(text, None).unwrap() {
            StoreUrl::Postgres(url) => (*url).clone(),
            StoreUrl::Sqlite(path) => panic!("{} is a file", path.display()),
        }
    }

    #[test]
    fn what_is_far_away_is_verified_unless_told_otherwise() {
        for (text, tls) in [
            ("postgres://db.example.org/notifier", TlsMode::VerifyFull),
            ("postgres://127.0.0.1:5433/notifier", TlsMode::Prefer),
            ("postgres://u@[::1]:5433/notifier", TlsMode::Prefer),
            ("postgres://localhost,db.example.org/n", TlsMode::VerifyFull),
            ("postgres:///n?host=/run/postgresql", TlsMode::Prefer),
            ("postgres:///n?host=db.example.org", TlsMode::VerifyFull),
            ("postgres://db/n?sslmode=require", TlsMode::Require),
            ("postgresql://db/n?sslmode=disable", TlsMode::Disable),
        ] {
            assert_eq!(postgres(text).tls, tls, "{text}");
        }
    }

    #[test]
    fn what_the_driver_does_not_know_is_kept_from_it() {
        let url = postgres("postgres://u@db/n?sslmode=verify-ca&sslrootcert=/etc/ca.pem&port=6000");
        assert_eq!(url.address.expose_secret(), "postgres://u@db/n?port=6000");
        assert_eq!(url.root_certificates, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = StoreUrl::parse("postgres://u:hunter2@db/n", None).unwrap();
        assert_eq!(url.to_string(), "postgres://u@db/n");
        assert!(!format!("{url:?}").contains("hunter2"));
        assert!(StoreUrl::parse("postgres://u@db/n?password=hunter2", None).is_err());
        assert!(StoreUrl::parse("mysql://db/n", None).is_err());
    }
}
