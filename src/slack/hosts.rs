//! Which hosts a webhook may be on.

use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

use crate::http::is_public;

/// Hosts that may be posted to, from `delivery.allowed_hosts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Allowed>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    /// By https.
    Host(String),
    /// By plain http.
    Loopback { host: String, port: u16 },
}

/// An entry of the list that cannot be one. What was written is not repeated, it may be a webhook.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AllowedHostError {
    /// An address, or no host at all.
    #[error(
        "entry {number} of allowed_hosts is not a host name, write only the host, such as \
         \"hooks.slack.com\""
    )]
    NotAHost {
        /// Its place, from 1.
        number: usize,
    },
    /// A port, and not on loopback.
    #[error(
        "entry {number} of allowed_hosts has a port, which is only for plain http to a loopback address, \
         such as \"127.0.0.1:9000\"; for https write the host without a port"
    )]
    PortNotOnLoopback {
        /// Its place, from 1.
        number: usize,
    },
    /// A private or loopback address without a port.
    #[error(
        "entry {number} of allowed_hosts is an inner address, only public ones are posted to; a \
         receiver on this machine is allowed with its port, such as \"127.0.0.1:9000\""
    )]
    Inner {
        /// Its place, from 1.
        number: usize,
    },
}

/// How a webhook is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Https to a public address.
    Outside,
    /// Plain http on this machine.
    Loopback,
}

impl AllowedHosts {
    /// Reads the list: a host (`hooks.slack.com`), or a loopback address and port named exactly
    /// (`127.0.0.1:9000`, `[::1]:9000`, `localhost:9000`).
    pub fn parse(entries: &[String]) -> Result<Self, AllowedHostError> {
        entries
            .iter()
            .enumerate()
            .map(|(index, entry)| parse_entry(entry, index + 1))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether and how the address may be posted to. `None` when its host is not on the list.
    pub(super) fn way(&self, url: &Url) -> Option<Way> {
        let host = url.host_str()?;
        self.0.iter().find_map(|allowed| match allowed {
            Allowed::Host(name) => {
                (url.scheme() == "https" && name == host).then_some(Way::Outside)
            }
            Allowed::Loopback { host: name, port } => {
                let same = name == host && url.port_or_known_default() == Some(*port);
                (url.scheme() == "http" && same).then_some(Way::Loopback)
            }
        })
    }
}

fn parse_entry(entry: &str, number: usize) -> Result<Allowed, AllowedHostError> {
    let not_a_host = AllowedHostError::NotAHost { number };
    let entry = entry.trim();
    // `*` passes as a host name, yet whoever writes it means something that is not supported.
    if entry.contains(['/', '\\', '@', '?', '#', '*']) {
        return Err(not_a_host);
    }
    let url = Url::parse(&format!("https://{entry}/")).map_err(|_| not_a_host)?;
    let host = url
        .host_str()
        .ok_or(AllowedHostError::NotAHost { number })?
        .to_owned();
    match written_port(entry) {
        None if is_inner(&host) => Err(AllowedHostError::Inner { number }),
        None => Ok(Allowed::Host(host)),
        Some(port) if is_loopback(&host) => Ok(Allowed::Loopback { host, port }),
        Some(_) => Err(AllowedHostError::PortNotOnLoopback { number }),
    }
}

/// The port as written, also where it is a scheme's usual one, which a parsed address drops.
fn written_port(entry: &str) -> Option<u16> {
    let (_, port) = entry.rsplit_once(':')?;
    port.parse().ok()
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

pub(super) fn is_inner(host: &str) -> bool {
    address(host).map_or(host == "localhost", |address| !is_public(address))
}

fn is_loopback(host: &str) -> bool {
    address(host).map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(entry: &str, url: &str) -> Option<Way> {
        AllowedHosts::parse(&[entry.to_owned()])
            .unwrap()
            .way(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_listed_hosts_are_reached_and_only_as_listed() {
        for (entry, url, expected) in [
            (
                "hooks.slack.com",
                "https://hooks.slack.com/s",
                Some(Way::Outside),
            ),
            (
                "Hooks.Slack.com",
                "https://hooks.slack.com/s",
                Some(Way::Outside),
            ),
            ("hooks.slack.com", "http://hooks.slack.com/s", None),
            (
                "hooks.slack.com",
                "https://hooks.slack.com.evil.org/s",
                None,
            ),
            ("hooks.slack.com", "https://evil.org/hooks.slack.com", None),
            ("slack.com", "https://hooks.slack.com/s", None),
            (
                "127.0.0.1:9000",
                "http://127.0.0.1:9000/s",
                Some(Way::Loopback),
            ),
            ("127.0.0.1:80", "http://127.0.0.1/s", Some(Way::Loopback)),
            (
                "127.0.0.1:443",
                "http://127.0.0.1:443/s",
                Some(Way::Loopback),
            ),
            ("127.0.0.1:9000", "http://127.0.0.1:9001/s", None),
            ("127.0.0.1:9000", "http://localhost:9000/s", None),
            ("127.0.0.1:9000", "https://127.0.0.1:9000/s", None),
            ("[::1]:9000", "http://[::1]:9000/s", Some(Way::Loopback)),
            (
                "localhost:9000",
                "http://localhost:9000/s",
                Some(Way::Loopback),
            ),
        ] {
            assert_eq!(way(entry, url), expected, "{entry} {url}");
        }
    }

    #[test]
    fn entries_that_open_more_than_meant_are_refused_without_repeating_them() {
        let number = 1;
        for (entry, error) in [
            (
                "https://hooks.slack.com/services/T0/B0/x",
                AllowedHostError::NotAHost { number },
            ),
            ("*.slack.com", AllowedHostError::NotAHost { number }),
            ("me@hooks.slack.com", AllowedHostError::NotAHost { number }),
            ("", AllowedHostError::NotAHost { number }),
            (
                "hooks.slack.com:8443",
                AllowedHostError::PortNotOnLoopback { number },
            ),
            (
                "10.0.0.1:9000",
                AllowedHostError::PortNotOnLoopback { number },
            ),
            (
                "0.0.0.0:9000",
                AllowedHostError::PortNotOnLoopback { number },
            ),
            (
                "[::ffff:127.0.0.1]:9000",
                AllowedHostError::PortNotOnLoopback { number },
            ),
            ("127.0.0.1", AllowedHostError::Inner { number }),
            ("localhost", AllowedHostError::Inner { number }),
            ("2130706433", AllowedHostError::Inner { number }),
            ("[::ffff:10.0.0.1]", AllowedHostError::Inner { number }),
            ("169.254.169.254", AllowedHostError::Inner { number }),
        ] {
            assert_eq!(
                AllowedHosts::parse(&[entry.to_owned()]),
                Err(error),
                "{entry}"
            );
        }
        let secret = "https://hooks.slack.com/services/T0/B0/secret".to_owned();
        let error = AllowedHosts::parse(&[secret]).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
