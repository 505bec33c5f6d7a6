//! The HTTP client: timeouts, no redirects, address checks, no proxies from the environment. All outgoing
//! requests go through here.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use thiserror::Error;

const USER_AGENT: &str = concat!("prow-notifier/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, Error)]
#[error("cannot set up the HTTP client, are there CA certificates on this system?")]
pub struct HttpError(#[from] reqwest::Error);

/// A host name led to addresses that the client must not talk to.
#[derive(Debug, Error)]
#[error("host resolves to no {wanted} address")]
pub struct WrongAddress {
    wanted: &'static str,
}

/// Clients for the places we talk to, which differ in the addresses they may reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {
    guarded: Client,
    open: Client,
    loopback: Client,
}

impl Http {
    /// Sets up TLS for the process and the clients.
    pub fn new() -> Result<Self, HttpError> {
        // An error means that somebody has installed one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Self {
            guarded: builder(Reach::Public).build()?,
            open: builder(Reach::Any).build()?,
            loopback: builder(Reach::Loopback).build()?,
        })
    }

    /// For hosts outside, such as Slack: connects to public addresses only, checked when it connects. A
    /// literal address in a URL is not resolved; the caller checks it with [`is_public`].
    pub fn guarded(&self) -> &Client {
        &self.guarded
    }

    /// For deck and buckets, which are often inside the cluster: connects anywhere.
    pub fn open(&self) -> &Client {
        &self.open
    }

    /// A client for buckets, whose answers come as they are stored and in at most `timeout`. Without
    /// `anywhere` it connects to public addresses only, as [`Self::guarded`] does.
    pub fn for_bucket(
        anywhere: bool,
        trust: &Trust,
        timeout: Duration,
    ) -> Result<Client, HttpError> {
        let reach = if anywhere { Reach::Any } else { Reach::Public };
        let mut client = builder(reach).gzip(false).timeout(timeout);
        match trust {
            Trust::System => {}
            Trust::Also(pem) => {
                let certificates = reqwest::Certificate::from_pem_bundle(pem)?;
                client = client.tls_certs_merge(certificates);
            }
            Trust::Anybody => client = client.tls_danger_accept_invalid_certs(true),
        }
        Ok(client.build()?)
    }

    /// For receivers on this machine: connects to loopback addresses only.
    pub fn loopback(&self) -> &Client {
        &self.loopback
    }
}

/// Whose certificates a client believes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those of the authorities that the system knows.
    System,
    /// Also those of the authorities in this PEM text.
    Also(Vec<u8>),
    /// Any, because the configuration of the server says so.
    Anybody,
}

fn builder(reach: Reach) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .gzip(true)
        .no_proxy()
        .dns_resolver(Arc::new(reach))
}

/// Which addresses a client may connect to. Checking the very address that is then connected to leaves no
/// gap for a name that resolves differently the second time.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Any,
    Public,
    Loopback,
}

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public => is_public(address),
            Self::Loopback => address.is_loopback(),
        }
    }

    fn select(
        self,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, WrongAddress> {
        let kept: Vec<SocketAddr> = found.filter(|found| self.allows(found.ip())).collect();
        let wanted = match self {
            Self::Any => "usable",
            Self::Public => "public",
            Self::Loopback => "loopback",
        };
        if kept.is_empty() {
            return Err(WrongAddress { wanted });
        }
        Ok(kept)
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = reach.select(found)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// Whether a request failed because [`Http`] refused the address, and nothing was sent.
pub fn is_wrong_address(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<WrongAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The innermost reason of a failed request, which is the one that says something and, unlike the outermost, repeats no
/// URL.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "the connection failed".to_owned(), ToString::to_string)
}

/// Whether an address is one that the Internet at large can reach: not private, loopback, link-local,
/// shared, multicast, reserved, or a cloud's metadata service, in whichever form it is written.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Azure's metadata service, the one such address in a public range.
const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // "This network"; shared address space (RFC 6598); protocol assignments; 6to4 relays;
        // benchmarking; reserved, which includes broadcast.
        [0 | 240.., ..]
        | [100, 64..=127, ..]
        | [192, 0, 0, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..] => true,
        _ => address == AZURE_WIRE_SERVER,
    };
    !(special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // An IPv4 address in IPv6 clothes: mapped, or behind NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments with Teredo, documentation, 6to4, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "3.120.14.3",
            "8.8.8.8",
            "100.63.0.1",
            "172.32.0.1",
            "2600:9000::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inner in [
            "0.0.0.0",
            "10.0.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
    }

    #[test]
    fn of_several_addresses_only_those_in_reach_are_kept() {
        let found = || {
            ["8.8.8.8:0", "10.0.0.1:0", "[::1]:0"]
                .iter()
                .map(|address| address.parse::<SocketAddr>().unwrap())
        };
        for (reach, kept) in [
            (Reach::Any, vec!["8.8.8.8:0", "10.0.0.1:0", "[::1]:0"]),
            (Reach::Public, vec!["8.8.8.8:0"]),
            (Reach::Loopback, vec!["[::1]:0"]),
        ] {
            let selected = reach.select(found()).unwrap();
            let selected: Vec<String> = selected.iter().map(ToString::to_string).collect();
            assert_eq!(selected, kept, "{reach:?}");
        }
        assert!(Reach::Public.select(found().skip(1)).is_err());
    }

    #[tokio::test]
    async fn the_guarded_client_refuses_a_name_that_leads_inside() {
        let http = Http::new().unwrap();
        let url = "https://localhost:9/";
        let refused = http.guarded().get(url).send().await.unwrap_err();
        assert!(is_wrong_address(&refused), "{refused:?}");
        let tried = http.open().get(url).send().await.unwrap_err();
        assert!(!is_wrong_address(&tried), "{tried:?}");
    }
}
