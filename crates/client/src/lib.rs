//! Register a service with Berth and follow the list of instances.
