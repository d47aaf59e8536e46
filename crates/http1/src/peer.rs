use std::io::Write;
use std::net::IpAddr;

/// The longest address: eight groups of four digits, and the colons between them.
const MOST_BYTES: usize = 39;

/// A client's address as text, without memory of its own to go for. An IPv4 address in IPv6 clothes is written as what
/// it is.
#[derive(Clone, Copy, Debug)]
pub struct PeerText {
    bytes: [u8; MOST_BYTES],
    length: u8,
}

impl PeerText {
    /// The text of this address.
    pub fn of(address: IpAddr) -> Self {
        let mut bytes = [0; MOST_BYTES];
        let length = match address.to_canonical() {
            IpAddr::V4(address) => {
                let mut digits = itoa::Buffer::new();
                let mut at = 0;
                for octet in address.octets() {
                    let text = digits.format(octet).as_bytes();
                    bytes[at..at + text.len()].copy_from_slice(text);
                    bytes[at + text.len()] = b'.';
                    at += text.len() + 1;
                }
                // Without the last dot.
                at - 1
            }
            IpAddr::V6(address) => {
                let mut left = bytes.as_mut_slice();
                // There is room for the longest.
                let _ = write!(left, "{address}");
                MOST_BYTES - left.len()
            }
        };
        Self { bytes, length: length as u8 }
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}
