//! The client library against a scripted registry, on a clock that moves only where a test moves it.

#![allow(clippy::expect_used, reason = "a test that cannot go on shall fail")]

mod address;
mod backoff;
mod event_stream;
mod fake;
mod link;
mod link_words;
mod links;
mod logs;
mod lookup;
mod register;
mod scene;
mod watch;
