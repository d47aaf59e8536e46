//! HTTP/1.1 over byte slices: heads, framing, forwarding, without clock or socket.
