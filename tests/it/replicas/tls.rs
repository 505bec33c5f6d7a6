//! The way to a real PostgreSQL with TLS: whoever shows the right certificate is believed, and who does not is named
//! with what is wrong.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{
    context::{Setup, failed, postgres, postgres::Postgres, run},
    program::program,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that shows a certificate for `localhost` from this authority.
fn server(authority: &Authority) -> Option<Postgres> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    postgres::with_tls(&certificate.pem(), &key.serialize_pem())
}

fn write(folder: &Path, name: &str, authority: &Authority) -> String {
    let file = folder.join(name);
    fs::write(&file, authority.pem()).unwrap();
    file.display().to_string()
}

/// Tries to copy from there; gives what is said about it.
fn copied(folder: &Path, url: &str) -> Result<(), String> {
    let target = format!("sqlite://{}", folder.join("copy.db").display());
    let ran = program(&["store", "migrate", "--from", url, "--to", &target]).run();
    match ran.code {
        0 => Ok(()),
        _ => Err(ran.stderr),
    }
}

#[tokio::test]
async fn a_server_is_believed_by_the_authority_and_the_name_of_its_certificate() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let Some(postgres) = server(&ours) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (right, wrong) = (
        write(home.path(), "ca.pem", &ours),
        write(home.path(), "other.pem", &theirs),
    );
    postgres.sql("postgres", "CREATE DATABASE notifier");
    let port = postgres.port;
    let url =
        |host: &str, query: &str| format!("postgres://postgres@{host}:{port}/notifier?{query}");
    let full = url(
        "localhost",
        &format!("sslmode=verify-full&sslrootcert={right}"),
    );
    let setup = Setup::default().with(&format!("store: {{ url: \"{full}\" }}"));
    run(setup, async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.messages(2).await;
        let plain = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl \
                     JOIN pg_stat_activity USING (pid) WHERE application_name = 'prow-notifier'";
        assert_eq!(postgres.sql("notifier", plain), "6|0", "encrypted and not");
    })
    .await;

    let untrusted = "the server's certificate is not trusted";
    for (host, query, complaint) in [
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={wrong}"),
            "UnknownIssuer",
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&sslrootcert={wrong}"),
            "UnknownIssuer",
        ),
        (
            "localhost",
            format!("sslmode=require&sslrootcert={wrong}"),
            "UnknownIssuer",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={right}"),
            "not valid for name \"127.0.0.1\"",
        ),
    ] {
        let said = copied(home.path(), &url(host, &query)).unwrap_err();
        assert!(
            said.contains(untrusted) && said.contains(complaint),
            "{query}: {said}"
        );
    }
    for (number, query) in [
        format!("sslmode=verify-ca&sslrootcert={right}"),
        "sslmode=require".to_owned(),
        "sslmode=disable".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let folder = home.path().join(number.to_string());
        fs::create_dir(&folder).unwrap();
        assert_eq!(copied(&folder, &url("127.0.0.1", query)), Ok(()), "{query}");
    }
}
