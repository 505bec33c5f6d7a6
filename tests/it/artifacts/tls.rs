//! A server whose certificate only an authority of the house vouches for.

use std::{fs, sync::Arc};

use hyper_util::rt::TokioIo;
use prow_notifier::{artifacts::Outcome, http::Http};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use s3s::service::S3Service;
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::{KEYS, reader, s3_service, sample, unreadable};

/// Serves S3 over TLS; the port, and the certificate in PEM.
async fn start(service: S3Service) -> (u16, String) {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), service.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let builder = hyper::server::conn::http1::Builder::new();
                    drop(
                        builder
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                }
            });
        }
    });
    (port, cert.pem())
}

#[tokio::test]
async fn a_self_signed_server_is_believed_only_with_its_authority() {
    drop(Http::new());
    let folder = tempfile::tempdir().unwrap();
    let (port, pem) = start(s3_service(&folder.path().join("s3"))).await;
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let ca = write("ca.pem", &pem);
    let plain = write("plain.json", &format!("{{{KEYS}}}"));
    let insecure = write(
        "insecure.json",
        &format!(r#"{{{KEYS},"endpoint":"https://localhost:{port}","insecure":true}}"#),
    );
    let endpoint = format!("endpoint: 'https://localhost:{port}'");
    for (with, is_believed) in [
        (format!("credentials_file: {plain}, {endpoint}"), false),
        (
            format!("credentials_file: {plain}, {endpoint}, ca_file: {ca}"),
            true,
        ),
        // What Prow's file means by it since it names servers with their scheme.
        (format!("credentials_file: {insecure}"), true),
    ] {
        let config = format!("  endpoints: [{{ for: s3, {with} }}]\n");
        let (reader, _) = reader(folder.path(), &config);
        let gathered = reader.gather(&sample("01-")).await;
        if is_believed {
            assert_eq!(gathered.outcome, Outcome::Read, "{with}: {gathered:?}");
        } else {
            assert!(
                unreadable(&gathered).contains("certificate"),
                "{gathered:?}"
            );
        }
    }
}
