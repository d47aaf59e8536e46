use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::{Access, Problem, body};

/// Puts a finished router behind the rules that hold for every call, and lets it answer unknown paths and
/// methods with problem documents.
///
/// - 403: a write (anything but GET and HEAD) with a foreign Origin, or on loopback with the Host of another.
/// - 401: the token is missing or wrong where [`Access`] asks for one; `/healthz` and `/readyz` never ask.
/// - 413, 415, 408: a body over `max_body_bytes`, not JSON, or slower than 10 s.
///
/// A write's body is complete in memory when a handler sees it, so that `Bytes` cannot fail as an extractor.
pub fn protect(router: Router, access: Access, max_body_bytes: usize) -> Router {
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state((access, max_body_bytes), check))
}

type Rules = (Access, usize);

async fn check(
    State((access, max_body_bytes)): State<Rules>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    access.check(&parts)?;
    let bytes = body::read(&parts, body, max_body_bytes).await?;
    Ok(next.run(Request::from_parts(parts, Body::from(bytes))).await)
}

async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!("There is nothing at {}.", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
        .mend("See docs/registry-api.md and docs/operations.md for the calls.")
}

async fn unknown_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}.", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).mend("Use a method that the header Allow lists.")
}
