use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use berth_model::Invalid;

/// A server that is named on the command line instead of found through a registry: `localhost:3000` or
/// `http://localhost:3000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 80 where none is given.
    pub port: u16,
}

const MEND: &str = "Write a host and a port, such as localhost:3000 or http://10.0.0.7:3000.";

impl FromStr for Upstream {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid =
            |problem: &str, mend: &str| Invalid::new("upstream", format!("\"{text}\" {problem}"), mend);
        let rest = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(invalid("wants https, which is not supported yet", "Name a plain http server."));
            }
            Some(_) => return Err(invalid("has a scheme that is not http", MEND)),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(invalid("has a path, which requests keep from the client", "Leave the path out."));
        }
        if rest.contains('@') {
            return Err(invalid("has user information", MEND));
        }
        let (host, port) = split_port(rest).ok_or_else(|| invalid("has a port that is none", MEND))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) || port == 0 {
            return Err(invalid("is no host and port", MEND));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Splits `host:port`, `[v6]:port` or just a host.
fn split_port(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return Some((host, if port.is_empty() { 80 } else { parse_port(port.strip_prefix(':')?)? }));
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => None,
        Some((host, port)) => Some((host, parse_port(port)?)),
        None => Some((text, 80)),
    }
}

/// Digits only: the number's own parser would take a sign.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}
