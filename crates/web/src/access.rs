use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use berth_model::Invalid;
use subtle::ConstantTimeEq;

use crate::Problem;

/// Who may do what on a port.
#[derive(Clone, Debug)]
pub struct Access {
    /// The bearer token that callers must show: for writes on loopback, for reads as well beyond it.
    /// Without one everybody may call, within the other rules.
    pub token: Option<Token>,
    /// Whether the port listens on loopback addresses only.
    pub loopback: bool,
}

impl Access {
    /// Whether a caller at this address may register that host: with a token any, else only its own. All of
    /// loopback counts as one address.
    pub fn may_register(&self, caller: IpAddr, host: IpAddr) -> bool {
        let (caller, host) = (caller.to_canonical(), host.to_canonical());
        self.token.is_some() || caller == host || (caller.is_loopback() && host.is_loopback())
    }

    pub(crate) fn check(&self, parts: &Parts) -> Result<(), Problem> {
        let write = !matches!(parts.method, Method::GET | Method::HEAD);
        if write {
            check_origin(&parts.headers)?;
            if self.loopback {
                check_host(parts)?;
            }
        }
        // Whether a process is alive is no secret, and what asks has often no way to hold one.
        let open = matches!(parts.uri.path(), "/healthz" | "/readyz");
        match &self.token {
            Some(token) if write || !(self.loopback || open) => token.check(&parts.headers),
            _ => Ok(()),
        }
    }
}

/// A bearer token. It never appears in a log: its debug form hides it.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mend = "Send the header Authorization: Bearer TOKEN (option --token or BERTH_TOKEN).";
        let refuse =
            |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, detail).field("Authorization").mend(mend);
        let sent = headers.get(header::AUTHORIZATION).ok_or_else(|| refuse("A token is required here."))?;
        let sent = sent.as_bytes().split_at_checked("bearer ".len());
        match sent {
            Some((scheme, sent)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
                // The time of the comparison tells the token's length and nothing else.
                let same: bool = sent.ct_eq(self.0.as_bytes()).into();
                same.then_some(()).ok_or_else(|| refuse("The token is not the right one."))
            }
            _ => Err(refuse("The header Authorization holds no bearer token.")),
        }
    }
}

impl FromStr for Token {
    type Err = Invalid;
    /// Reads the text of a token file: white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new(
                "token",
                "is empty",
                "Write one line of printable ASCII into the file.",
            ));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            let mend = "Use one line of printable ASCII without spaces.";
            return Err(Invalid::new("token", "has characters that no header can carry", mend));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// A browser says on whose behalf it writes; only pages that this very port served may.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    for origin in headers.get_all(header::ORIGIN) {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")));
        let same = authority.zip(own).is_some_and(|(origin, own)| origin.eq_ignore_ascii_case(own));
        if !same {
            return Err(Problem::new(StatusCode::FORBIDDEN, "Pages of other origins may not write here.")
                .field("Origin")
                .mend("Call from a program instead of a web page."));
        }
    }
    Ok(())
}

/// A page may make its own name resolve to 127.0.0.1 (DNS rebinding), but the Host still tells its name.
fn check_host(parts: &Parts) -> Result<(), Problem> {
    let refuse = || {
        Problem::new(StatusCode::FORBIDDEN, "On a loopback port writes must name it by a loopback address.")
            .field("Host")
            .mend("Call it as localhost, 127.0.0.1 or [::1].")
    };
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host =
        hosts.next().and_then(|host| host.to_str().ok()?.parse::<Authority>().ok()).ok_or_else(refuse)?;
    let target = parts.uri.authority();
    if hosts.next().is_none() && is_loopback(&host) && target.is_none_or(is_loopback) {
        return Ok(());
    }
    Err(refuse())
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
