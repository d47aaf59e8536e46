//! axum glue that both binaries share.
