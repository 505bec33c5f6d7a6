//! Who may read and who may act: settings, and the file of tokens.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use ipnet::IpNet;
use secrecy::SecretString;

use crate::yaml::to_json;

/// A shorter token could be guessed.
const SHORTEST: usize = 16;

/// Settings under `server.access`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// Who may read.
    pub reads: Reads,
    /// The file of tokens; without it nobody has one.
    pub tokens_file: Option<std::path::PathBuf>,
    /// The header in which a trusted proxy names the person.
    pub proxy_header: String,
    /// The proxies that are trusted; none by default.
    pub proxy_from: Vec<IpNet>,
    /// Whether `/metrics` and `/readyz` are read by the same rule as pages.
    pub metrics: bool,
}

/// Who may read. Whoever may act may read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Everybody.
    Open,
    /// Who shows a token, or has logged in with one.
    Token,
    /// Whom a trusted proxy names, and programs with a token.
    Proxy,
}

impl Reads {
    /// The words, for errors.
    pub const WORDS: [&str; 3] = ["open", "token", "proxy"];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "open" => Some(Self::Open),
            "token" => Some(Self::Token),
            "proxy" => Some(Self::Proxy),
            _ => None,
        }
    }
}

/// Reads an address or a range of them: `10.0.0.0/8`, `127.0.0.1`, `fd00::/8`.
pub fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse::<IpNet>().ok().or_else(|| {
        let address: std::net::IpAddr = text.parse().ok()?;
        Some(IpNet::from(address))
    })
}

/// Tokens by the name of who has them.
#[derive(Clone, Default)]
pub struct AccessTokens(BTreeMap<String, SecretString>);

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessTokens")
            .field(&self.0.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl AccessTokens {
    /// Reads a file: a YAML map of names to tokens, or one token a line, named `token 1` and so on. No error
    /// holds a token.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", file.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let tokens: BTreeMap<String, String> = if lines.iter().all(|line| is_bare(line)) {
            (1..)
                .map(|number| format!("token {number}"))
                .zip(lines.iter().map(|line| (*line).to_owned()))
                .collect()
        } else {
            to_json(text)
                .ok()
                .and_then(|json| serde_json::from_slice(&json).ok())
                .ok_or("it is neither a map of names to tokens nor one token a line")?
        };
        if tokens.is_empty() {
            return Err("there is no token in it".to_owned());
        }
        let mut known = BTreeMap::new();
        for (name, token) in tokens {
            let name = name.trim().to_owned();
            let token = token.trim().to_owned();
            if token.len() < SHORTEST {
                return Err(format!(
                    "the token of {name:?} is shorter than {SHORTEST} characters and could be guessed"
                ));
            }
            known.insert(name, SecretString::from(token));
        }
        Ok(Self(known))
    }

    /// Names and tokens.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.0.iter().map(|(name, token)| (name.as_str(), token))
    }

    /// The token of a name.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// Whether nobody has a token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a line can only be a token, and not part of a map.
fn is_bare(line: &str) -> bool {
    !line.contains(char::is_whitespace) && !line.contains(':')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const ANN: &str = "aaaaaaaaaaaaaaaaaaaa";
    const BOB: &str = "bbbbbbbbbbbbbbbbbbbb";

    fn names(text: &str) -> Vec<(String, String)> {
        let tokens = AccessTokens::parse(text).unwrap();
        let pairs = tokens.iter();
        pairs
            .map(|(name, token)| (name.to_owned(), token.expose_secret().to_owned()))
            .collect()
    }

    #[test]
    fn tokens_have_names_or_a_line_each() {
        let named = names(&format!("# who\nann: {ANN}\nbob: \"{BOB}\"\n"));
        assert_eq!(named[0], ("ann".to_owned(), ANN.to_owned()));
        assert_eq!(named[1], ("bob".to_owned(), BOB.to_owned()));
        let bare = names(&format!("{ANN}\n\n{BOB}\n"));
        assert_eq!(bare[1], ("token 2".to_owned(), BOB.to_owned()));
    }

    #[test]
    fn a_bad_file_is_refused_without_telling_a_token() {
        let too_short = "short1";
        for (text, told) in [
            (String::new(), "no token"),
            ("# nothing\n".to_owned(), "no token"),
            (format!("ann: {too_short}"), "shorter than 16"),
            (too_short.to_owned(), "shorter than 16"),
            (format!("ann {ANN}"), "neither"),
            (format!("ann: [{ANN}]"), "neither"),
        ] {
            let error = AccessTokens::parse(&text).unwrap_err();
            assert!(error.contains(told), "{error}");
            assert!(
                !error.contains(ANN) && !error.contains(too_short),
                "{error}"
            );
        }
        let tokens = AccessTokens::parse(&format!("ann: {ANN}")).unwrap();
        assert_eq!(format!("{tokens:?}"), "AccessTokens([\"ann\"])");
    }

    #[test]
    fn proxies_are_addresses_or_ranges() {
        let range = network("10.0.0.0/8").unwrap();
        assert!(range.contains(&"10.1.2.3".parse::<std::net::IpAddr>().unwrap()));
        assert!(network("127.0.0.1").is_some() && network("::1").is_some());
        assert!(network("proxy.example.com").is_none());
    }
}
