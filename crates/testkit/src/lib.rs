//! Scripted peers and process harness for Berth's tests.
