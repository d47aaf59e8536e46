use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use berth_model::{Invalid, Scheme, excerpt};

/// A server that is named on the command line instead of found through a registry: `localhost:3000`,
/// `http://localhost:3000` or `https://example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; the scheme's own where none is given.
    pub port: u16,
    /// Whether it is spoken to through TLS.
    pub scheme: Scheme,
}

impl Upstream {
    /// The host, and the port if it is not the scheme's own: what an https upstream is asked for as. A plain one is
    /// asked for whatever the client asks for.
    pub fn authority(&self) -> Option<String> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.scheme, self.port) {
            (Scheme::Http, _) => None,
            (Scheme::Https, HTTPS_PORT) => Some(host),
            (Scheme::Https, port) => Some(format!("{host}:{port}")),
        }
    }
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

const MEND: &str =
    "Write a host and a port, such as localhost:3000, http://10.0.0.7:3000 or https://example.org.";

impl FromStr for Upstream {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |problem: &str, mend: &str| {
            Invalid::new("upstream", format!("{} {problem}", excerpt(text)), mend)
        };
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Http, text),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(_) => return Err(invalid("has a scheme that is neither http nor https", MEND)),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(invalid("has a path, which requests keep from the client", "Leave the path out."));
        }
        if rest.contains('@') {
            return Err(invalid("has user information", MEND));
        }
        let default = if scheme == Scheme::Https { HTTPS_PORT } else { HTTP_PORT };
        let (host, port) =
            split_port(rest, default).ok_or_else(|| invalid("has a port that is none", MEND))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) || port == 0 {
            return Err(invalid("is no host and port", MEND));
        }
        Ok(Self { host: host.to_owned(), port, scheme })
    }
}

/// Splits `host:port`, `[v6]:port` or just a host.
fn split_port(text: &str, default: u16) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return Some((host, if port.is_empty() { default } else { parse_port(port.strip_prefix(':')?)? }));
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => None,
        Some((host, port)) => Some((host, parse_port(port)?)),
        None => Some((text, default)),
    }
}

/// Digits only: the number's own parser would take a sign.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Https {
            f.write_str("https://")?;
        }
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}
