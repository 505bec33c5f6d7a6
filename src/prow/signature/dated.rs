//! Signatures that carry a time and an id, for hooks whose both ends are ours: what was signed long ago or was
//! taken before can be told apart.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use super::{RepositoryKeys, TokenFile, Unauthorized};

/// The header that carries such a signature: `t=UNIX_SECONDS,id=ID,v1=HEX`, the HMAC-SHA256 of `t.id.body`.
pub const DATED_HEADER: &str = "x-prow-notifier-signature";
/// So far may the clocks of both ends be apart, and so long may a body be under way.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Longest id, in bytes; a UUID has 36.
const LONGEST_ID: usize = 64;

/// The header's value for a body.
pub fn sign_dated(token: &str, at: Timestamp, id: &str, body: &[u8]) -> String {
    let seconds = at.as_second();
    let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("any length will do");
    let mac = mac
        .chain_update(signed_head(seconds, id))
        .chain_update(body);
    let digits = hex::encode(mac.finalize().into_bytes());
    format!("t={seconds},id={id},v1={digits}")
}

fn signed_head(seconds: i64, id: &str) -> String {
    format!("{seconds}.{id}.")
}

impl TokenFile {
    /// Checks that `header` (`None` also when there are several) signs `body` under the key of every owner, within
    /// five minutes of `now`. Returns the signature's id, for the caller to remember.
    pub fn verify_dated(
        &self,
        body: &[u8],
        header: Option<&str>,
        owners: &RepositoryKeys,
        now: Timestamp,
    ) -> Result<String, Unauthorized> {
        let header = header.ok_or(Unauthorized::DatedMissing)?;
        let (seconds, id, mac) = parse(header).ok_or(Unauthorized::DatedMalformed)?;
        let head = signed_head(seconds, id);
        self.hold(&[head.as_bytes(), body], &mac, owners)?;
        let at = Timestamp::from_second(seconds).map_err(|_| Unauthorized::DatedMalformed)?;
        if now.duration_since(at).abs() > TOLERANCE {
            return Err(Unauthorized::OutOfTime { signed_at: at });
        }
        Ok(id.to_owned())
    }
}

fn parse(header: &str) -> Option<(i64, &str, [u8; 32])> {
    let (seconds, rest) = header.strip_prefix("t=")?.split_once(",id=")?;
    let (id, digits) = rest.split_once(",v1=")?;
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(is_id) {
        return None;
    }
    let mut mac = [0; 32];
    hex::decode_to_slice(digits, &mut mac).ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    Some((seconds, id, mac))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    const BODY: &[u8] = b"{\"stage\":\"publish\"}";
    const ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

    fn now() -> Timestamp {
        "2026-08-20T10:00:00Z".parse().unwrap()
    }

    fn verify(header: &str, body: &[u8], now: Timestamp) -> Result<String, Unauthorized> {
        let tokens = TokenFile::parse(b"secret", Path::new("hmac")).unwrap();
        tokens.verify_dated(body, Some(header), &RepositoryKeys::default(), now)
    }

    #[test]
    fn a_signature_holds_within_five_minutes_either_way() {
        let header = sign_dated("secret", now(), ID, BODY);
        for seconds in [-300, -299, 0, 299, 300] {
            let then = now() + SignedDuration::from_secs(seconds);
            assert_eq!(verify(&header, BODY, then), Ok(ID.to_owned()), "{seconds}");
        }
        for seconds in [-301, 301, 86_400] {
            let then = now() + SignedDuration::from_secs(seconds);
            let refused = verify(&header, BODY, then);
            assert!(
                matches!(refused, Err(Unauthorized::OutOfTime { .. })),
                "{seconds}: {refused:?}"
            );
        }
    }

    #[test]
    fn time_id_and_body_are_all_signed() {
        let good = sign_dated("secret", now(), ID, BODY);
        let (head, digits) = good.rsplit_once("v1=").unwrap();
        let later = format!("t={},id={ID},v1={digits}", now().as_second() + 1);
        let other = format!("{}v1={digits}", head.replace("-4000-", "-4001-"));
        for forged in [later, other, sign_dated("wrong", now(), ID, BODY)] {
            let refused = verify(&forged, BODY, now());
            assert!(
                matches!(refused, Err(Unauthorized::Mismatch { .. })),
                "{forged}: {refused:?}"
            );
        }
        assert!(verify(&good, b"{}", now()).is_err());
    }

    #[test]
    fn whatever_is_not_whole_is_refused() {
        let good = sign_dated("secret", now(), ID, BODY);
        let long = "a".repeat(LONGEST_ID + 1);
        for malformed in [
            "",
            "t=,id=,v1=",
            good.trim_end_matches(char::is_alphanumeric),
            good.get(..good.len() - 1).unwrap(),
            &format!("{good}00"),
            &good.replace("v1=", "v0="),
            &good.replace(ID, "a b"),
            &good.replace(ID, &long),
            &good.replace("t=", "t=x"),
            &good.replace("t=", "t=9999999999"),
        ] {
            assert!(verify(malformed, BODY, now()).is_err(), "{malformed}");
        }
        let tokens = TokenFile::parse(b"{org: [{value: secret}]}", Path::new("hmac")).unwrap();
        let nobody = RepositoryKeys::default();
        assert!(
            tokens
                .verify_dated(BODY, Some(&good), &nobody, now())
                .is_err()
        );
        let owner = RepositoryKeys(BTreeSet::from([("org".to_owned(), "repo".to_owned())]));
        assert!(
            tokens
                .verify_dated(BODY, Some(&good), &owner, now())
                .is_ok()
        );
        assert!(tokens.verify_dated(BODY, None, &owner, now()).is_err());
    }
}
