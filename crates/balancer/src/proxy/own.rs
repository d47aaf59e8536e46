//! Answers that a route gives itself: fixed ones, redirects, and which endpoint it would be.

use berth_http1::RequestHead;
use serde::Serialize;

use super::asking::Asking;
use super::candidates::Candidates;
use super::chosen::Chosen;
use super::reply::Told;
use super::request::Request;
use super::view::Routed;
use crate::routing::{Action, Fixed, Placeholder, Template};

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It goes to an endpoint: this one first, if it has been chosen already.
    Forward(Option<Chosen>),
    /// The client is told this.
    Answer(Box<Told>),
    /// There is nobody to send the client to.
    Nobody,
}

/// Decides what is to be done with a request.
#[inline]
pub(crate) fn decide(asking: &Asking, request: &mut Request) -> Decision {
    if let Some(told) = request.extras_mut().and_then(|extras| extras.told.take()) {
        return Decision::Answer(told);
    }
    match request.routed.as_ref().map(|routed| (routed, &routed.route().action)) {
        None | Some((_, Action::Forward(_))) => Decision::Forward(None),
        Some((routed, action)) => decide_otherwise(asking, request, routed, action),
    }
}

#[cold]
fn decide_otherwise(asking: &Asking, request: &Request, routed: &Routed, action: &Action) -> Decision {
    let told = match action {
        // Where `redirect_to` leads was told with the head at hand.
        Action::Forward(_) | Action::RedirectTo { .. } => return Decision::Forward(None),
        Action::Respond(fixed) => respond(fixed),
        Action::Redirect { .. } | Action::Pick(_) => return lead(asking, request, routed, action),
    };
    Decision::Answer(Box::new(told))
}

/// Tells the client to which endpoint it may go by itself.
fn lead(asking: &Asking, request: &Request, routed: &Routed, action: &Action) -> Decision {
    let mut candidates = Candidates::of(routed.clone());
    let Some(chosen) = candidates.next(asking) else { return Decision::Nobody };
    let mut told = if let Action::Redirect { permanent, .. } = action {
        let target = request.upload.target();
        // An upgrade cannot be sent elsewhere, nor can the `*` of OPTIONS: no URL asks for it.
        let is_upgrade = request.extras().is_some_and(|extras| extras.upgrade.is_some());
        let may_go = !is_upgrade && target != b"*";
        match chosen.public_url().filter(|_| may_go) {
            Some(url) => redirect(*permanent, &[url.as_str().as_bytes(), target]),
            // Where a place is needed, it is asked for with the choice.
            None if candidates.backend().is_limited => return Decision::Forward(None),
            None => return Decision::Forward(Some(chosen)),
        }
    } else {
        pick(&chosen)
    };
    told.fields.extend(candidates.cookie(&chosen).unwrap_or_default().bytes());
    Decision::Answer(Box::new(told))
}

fn respond(fixed: &Fixed) -> Told {
    let mut fields = Vec::new();
    for (name, value) in &fixed.headers {
        for part in [name, ": ", value, "\r\n"] {
            fields.extend_from_slice(part.as_bytes());
        }
    }
    Told { status: fixed.status, fields, body: fixed.body.clone().into_bytes(), ..Told::default() }
}

/// RFC 9110 §15.4.8, §15.4.9: the client repeats the request as it is, whatever its method.
fn redirect(permanent: bool, url: &[&[u8]]) -> Told {
    let fields = [b"Location: ", url.concat().as_slice(), b"\r\n"].concat();
    Told { status: if permanent { 308 } else { 307 }, fields, ..Told::default() }
}

fn pick(chosen: &Chosen) -> Told {
    #[derive(Serialize)]
    struct Pick<'a> {
        url: &'a str,
    }
    let address = chosen.address().to_string();
    // A name that it goes by is what its certificate proves.
    let own = format!("{}://{}", chosen.identity().scheme.as_str(), chosen.authority().unwrap_or(&address));
    let url = chosen.public_url().map_or(own.as_str(), |public| public.as_str());
    // A string always becomes JSON.
    let mut body = serde_json::to_vec(&Pick { url }).unwrap_or_default();
    body.push(b'\n');
    // Another time it is another one.
    let fields = b"Cache-Control: no-store\r\n".to_vec();
    Told { status: 200, content_type: "application/json", fields, body }
}

/// Tells the client where it is sent, if its route has a URL for that.
#[inline]
pub(crate) fn locate(request: &mut Request, head: &RequestHead<'_>, fallback_host: &str) {
    if let Some(routed) = &request.routed
        && let Action::RedirectTo { location, permanent } = &routed.route().action
    {
        let url = fill(location, head, fallback_host);
        request.more().told = Some(Box::new(redirect(*permanent, &[url.as_bytes()])));
    }
}

#[cold]
fn fill(template: &Template, head: &RequestHead<'_>, fallback_host: &str) -> String {
    let host = head.host.map_or(fallback_host.into(), String::from_utf8_lossy);
    let host = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => &host,
    };
    let target = String::from_utf8_lossy(head.target);
    let mut url = String::new();
    for (text, placeholder) in &template.parts {
        url.push_str(text);
        match placeholder {
            Placeholder::Host => url.push_str(host),
            // Of the whole server there is no path.
            Placeholder::Path if target == "*" => {}
            Placeholder::Path => {
                if !target.starts_with('/') {
                    url.push('/');
                }
                url.push_str(&target);
            }
        }
    }
    url + &template.rest
}
