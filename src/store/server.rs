//! How a PostgreSQL server is reached: address, password, encryption, and what every connection is told first.

use std::{
    fs,
    future::poll_fn,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{self, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::sql::{Error, error::Result};
use crate::config::store_url::{PostgresUrl, TlsMode};

/// To connect to a host and to log in; another host has its own time, since a node that died does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For each address of a host.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Whoever says nothing in a transaction for so long is paused or cut off, and must not hold up others.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(4);
/// Waiting for another's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The server is to notice that somebody is gone.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// What drives a connection, to be spawned.
pub(super) type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where words of others go.
pub(super) type Told = mpsc::UnboundedSender<String>;

/// A server, which may be one of several hosts, and a database of it.
pub(super) struct Server {
    /// How each host is reached.
    hosts: Vec<Config>,
    /// The host that took us last, which is asked first.
    good: AtomicUsize,
    tls: Option<MakeRustlsConnect>,
    password_file: Option<Arc<Path>>,
}

impl Server {
    /// Reads the address and the certificates; connects nowhere. The error says what is wrong with them.
    pub(super) fn new(url: &PostgresUrl) -> std::result::Result<Self, String> {
        let config: Config =
            url.address.expose_secret().parse().map_err(|error| {
                format!("its address cannot be read, check `store.url`: {error}")
            })?;
        let mut hosts = one_by_one(&config)?;
        for host in &mut hosts {
            host.application_name("prow-notifier")
                .connect_timeout(ADDRESS_TIMEOUT)
                .tcp_user_timeout(CONNECT_TIMEOUT * 2)
                .keepalives_idle(KEEPALIVE)
                .keepalives_interval(KEEPALIVE)
                .keepalives_retries(3)
                .target_session_attrs(TargetSessionAttrs::ReadWrite)
                .ssl_mode(match url.tls {
                    TlsMode::Disable => SslMode::Disable,
                    TlsMode::Prefer => SslMode::Prefer,
                    TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
                });
        }
        let tls = match url.tls {
            TlsMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(encryption(url)?)),
        };
        Ok(Self {
            hosts,
            good: AtomicUsize::new(0),
            tls,
            password_file: url.password_file.as_deref().map(Arc::from),
        })
    }

    /// Opens a connection whose statements may take `patience`; what comes with it must be driven.
    /// What others tell on channels goes to `told`.
    pub(super) async fn connect(
        &self,
        patience: Duration,
        told: Option<Told>,
    ) -> Result<(Client, Driver)> {
        let (client, mut driver) = self.open(told).await?;
        let settings = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
             SET default_transaction_isolation = 'read committed'; SET TIME ZONE 'UTC'; SET jit = off; \
             SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3",
            patience
                .saturating_sub(Duration::from_millis(500))
                .as_millis(),
            LOCK_TIMEOUT.as_millis(),
            IDLE_IN_TRANSACTION.as_millis(),
        );
        let told = async { tokio::time::timeout(patience, client.batch_execute(&settings)).await };
        tokio::select! {
            told = told => told.map_err(|_| Error::Silent(patience))??,
            () = &mut driver => return Err(Error::Lost),
        }
        Ok((client, driver))
    }

    /// Asks one host after the other; gives the error of the last.
    async fn open(&self, told: Option<Told>) -> Result<(Client, Driver)> {
        let password = self.password()?;
        let first = self.good.load(Ordering::Relaxed);
        let hosts = self.hosts.iter().enumerate().cycle().skip(first);
        let mut failed = Error::Lost;
        for (index, host) in hosts.take(self.hosts.len()) {
            let mut host = host.clone();
            if let Some(password) = &password {
                host.password(password.expose_secret());
            }
            match self.open_at(&host, told.clone()).await {
                Ok(opened) => {
                    self.good.store(index, Ordering::Relaxed);
                    return Ok(opened);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn open_at(&self, host: &Config, told: Option<Told>) -> Result<(Client, Driver)> {
        let connected = async {
            Ok::<_, tokio_postgres::Error>(if let Some(tls) = &self.tls {
                let (client, connection) = host.connect(tls.clone()).await?;
                (client, drive(connection, told) as Driver)
            } else {
                let (client, connection) = host.connect(NoTls).await?;
                (client, drive(connection, told) as Driver)
            })
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
        Ok(connected.map_err(|_| Error::Silent(CONNECT_TIMEOUT))??)
    }

    fn password(&self) -> Result<Option<SecretString>> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text = fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            Error::Password(format!("cannot read {path}: {error}"))
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned().into()))
    }
}

/// The same address for each of its hosts alone.
fn one_by_one(config: &Config) -> std::result::Result<Vec<Config>, String> {
    let (hosts, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let count = hosts.len().max(addresses.len());
    let fits = |found: usize| found == 0 || found == count;
    if count == 0 || !fits(hosts.len()) || !fits(addresses.len()) {
        return Err("its address names no host, or not as many as it has hostaddr".to_owned());
    }
    if ports.len() > 1 && !fits(ports.len()) {
        return Err("its address names more than one port, but not one for each host".to_owned());
    }
    let each = (0..count).map(|index| {
        let mut one = Config::new();
        match hosts.get(index) {
            Some(Host::Tcp(name)) => {
                one.host(name);
            }
            Some(Host::Unix(path)) => {
                one.host_path(path);
            }
            None => {}
        }
        if let Some(address) = addresses.get(index) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(index).or(ports.first()) {
            one.port(*port);
        }
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(name) = config.get_dbname() {
            one.dbname(name);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        one.channel_binding(config.get_channel_binding());
        one
    });
    Ok(each.collect())
}

/// Drives a connection to its end, and passes on what others tell.
fn drive<S, T>(mut connection: Connection<S, T>, told: Option<Told>) -> Driver
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match (message, &told) {
                (Ok(AsyncMessage::Notification(news)), Some(told)) => {
                    // Who no longer listens does not need it.
                    drop(told.send(news.payload().to_owned()));
                }
                (Ok(_), _) => {}
                (Err(error), _) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "A connection to the database broke"
                    );
                    return;
                }
            }
        }
    })
}

fn encryption(url: &PostgresUrl) -> std::result::Result<ClientConfig, String> {
    let provider = Arc::new(crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let trusts_anybody =
        matches!(url.tls, TlsMode::Prefer | TlsMode::Require) && url.root_certificates.is_none();
    let authorities = if trusts_anybody {
        None
    } else {
        let roots = Arc::new(roots(url)?);
        if url.tls == TlsMode::VerifyFull {
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| format!("its certificates cannot be checked: {error}"))?;
        Some(verifier)
    };
    let verifier = Lenient {
        authorities,
        algorithms,
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn roots(url: &PostgresUrl) -> std::result::Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &url.root_certificates else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this system knows no certificate authorities: install them, or name the server's with sslrootcert".to_owned());
        }
        return Ok(roots);
    };
    let shown = path.display();
    let unreadable = |error: &dyn std::fmt::Display| {
        format!("sslrootcert {shown} cannot be read as PEM certificates: {error}")
    };
    let pem = fs::read(path).map_err(|error| unreadable(&error))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"there is none in it"));
    }
    Ok(roots)
}

/// Believes certificates for whichever host they are.
#[derive(Debug)]
struct Lenient {
    /// Checks that a known authority vouches for them. `None` believes any: what is sent is encrypted, but nobody
    /// knows for whom.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        match authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The chain is checked before the name is.
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
