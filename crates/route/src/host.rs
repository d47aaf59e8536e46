use std::fmt;
use std::io::Write;
use std::net::Ipv6Addr;
use std::str::FromStr;

use berth_model::{Invalid, excerpt};

/// The longest name of the DNS, written out (RFC 1035 §2.3.4, without the root's dot).
const MAX_NAME_BYTES: usize = 253;

/// What a request's host may have at most to be compared at all; no pattern is as long.
pub(crate) const HOST_ROOM_BYTES: usize = 256;

/// Which hosts a route is for: `example.com`, or `*.example.com` for every name below it, however deep, but not for
/// `example.com` itself. An IPv6 address stands in brackets: `[::1]`.
///
/// Case, the request's port and one dot at its end do not count; IPv6 addresses are the same however they are
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// In lower case, without the star and its dot.
    pub(crate) name: String,
    pub(crate) wildcard: bool,
}

impl HostPattern {
    /// How many labels its name has, the star not counted.
    pub(crate) fn labels(&self) -> usize {
        self.name.split('.').count()
    }
}

impl FromStr for HostPattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.starts_with('[') {
            return Ok(Self { name: bracketed(text)?, wildcard: false });
        }
        let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        check_name(text, name)?;
        Ok(Self { name: name.to_ascii_lowercase(), wildcard })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

fn is(text: &str, mend: impl Into<String>) -> Invalid {
    Invalid::new("host", format!("is {}", excerpt(text)), mend)
}

fn bracketed(text: &str) -> Result<String, Invalid> {
    let (address, rest) = text[1..].split_once(']').unwrap_or((&text[1..], ""));
    let address: Ipv6Addr =
        address.parse().map_err(|_| is(text, "Write an IPv6 address in brackets, such as [::1]."))?;
    match rest {
        "" if text.ends_with(']') => Ok(format!("[{address}]")),
        _ if rest.starts_with(':') => Err(is(text, "Leave the port out.")),
        _ => Err(is(text, format!("Write [{address}]."))),
    }
}

/// Checks a name; `text` is what the operator wrote, with the star.
fn check_name(text: &str, name: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("host", "is empty", "Leave it out for every host."));
    }
    if text == "*" {
        return Err(is(text, "Leave the host out for every host."));
    }
    if name.contains('*') {
        return Err(is(text, "Write *. in front of a name, and no star elsewhere: *.example.com."));
    }
    if let Some((_, port)) = name.split_once(':') {
        if name.parse::<Ipv6Addr>().is_ok() {
            return Err(is(text, format!("Write the address in brackets: [{name}].")));
        }
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(is(text, "Leave the port out."));
        }
    }
    if name.len() > MAX_NAME_BYTES {
        let mend = format!("Write a name of at most {MAX_NAME_BYTES} bytes.");
        return Err(Invalid::new("host", format!("has {} bytes", name.len()), mend));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(is_plain) {
        let mend = "Write letters, digits, hyphens, underscores and dots: example.com or *.example.com.";
        return Err(is(text, mend));
    }
    if name.split('.').any(str::is_empty) {
        return Err(is(text, "Write one dot between labels and none at the ends, such as example.com."));
    }
    Ok(())
}

/// A request's host as patterns name it, written into `room`: in lower case, without port and without the dot at its
/// end. None if no pattern can be for it.
pub(crate) fn asked_name<'r>(host: &[u8], room: &'r mut [u8; HOST_ROOM_BYTES]) -> Option<&'r [u8]> {
    if let Some(inside) = host.strip_prefix(b"[") {
        let end = inside.iter().position(|byte| *byte == b']')?;
        let address: Ipv6Addr = std::str::from_utf8(&inside[..end]).ok()?.parse().ok()?;
        let mut rest = room.as_mut_slice();
        write!(rest, "[{address}]").ok()?;
        let written = HOST_ROOM_BYTES - rest.len();
        return Some(&room[..written]);
    }
    let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
    let name = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
    let lower = room.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(lower)
}
