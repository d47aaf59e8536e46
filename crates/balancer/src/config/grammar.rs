//! How single values are written, on the command line and in the file alike.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use berth_model::Invalid;
use berth_web::Token;

use super::{Admin, parse_size};
use crate::tls::UpstreamTls;

/// The largest body; nothing without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostBody(pub Option<u64>);

/// Reads `8080`, which is the port on all addresses, `127.0.0.1:8080` or `localhost:8080`.
///
/// # Errors
/// It is none of these.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    let spelled = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = spelled.as_deref().unwrap_or(text).parse();
    address.map_err(|_| "write a port or an address and a port, such as 8080 or 127.0.0.1:8080".to_owned())
}

/// Reads where the admin port is: as [`parse_listen`], or `none`.
///
/// # Errors
/// It is neither.
pub fn parse_admin(text: &str) -> Result<Admin, String> {
    match text {
        "none" => return Ok(Admin::None),
        // A bare port: what the admin port tells is nobody else's business.
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => parse_listen(&format!("127.0.0.1:{port}")),
        address => parse_listen(address),
    }
    .map(Admin::Required)
}

/// Reads a bearer token. An empty variable in the environment is as good as none.
///
/// # Errors
/// It has characters that no token has.
pub fn parse_token(text: &str) -> Result<String, Invalid> {
    if text.is_empty() { Ok(String::new()) } else { text.parse::<Token>().map(|_| text.to_owned()) }
}

/// Reads a size or `none`.
///
/// # Errors
/// It is neither.
pub fn parse_most_body(text: &str) -> Result<MostBody, Invalid> {
    if text == "none" {
        return Ok(MostBody(None));
    }
    parse_size(text).map(|bytes| MostBody(Some(bytes as u64)))
}

/// Reads the certificates in a file.
///
/// # Errors
/// There is no such file, or no certificate in it.
pub fn parse_ca(text: &str) -> Result<UpstreamTls, String> {
    UpstreamTls::trusting(Path::new(text))
        .map_err(|error| format!("{error}; name a file of certificates in PEM"))
}

/// Reads a time such as `500ms`.
///
/// # Errors
/// It is no time, or none at all.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 10s or 1h"))?;
    if time.is_zero() {
        return Err("a time of 0 would end everything at once; write 500ms, 10s or 1h".to_owned());
    }
    Ok(time)
}
