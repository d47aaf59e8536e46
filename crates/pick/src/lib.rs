//! Endpoint load and the strategies that choose, without clock or socket.
