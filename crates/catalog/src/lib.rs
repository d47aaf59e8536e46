//! What the registry knows: runs, leases, tombstones and the change log, without clock or socket.
