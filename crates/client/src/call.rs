use std::time::Duration;

use berth_model::Invalid;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::{Error, Problem, RegistryAddress};

/// A registry's address resolves and connects within milliseconds, or hardly ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// From the first byte of a call to the last of its answer. A registration includes the dial-back, ≤ 1 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer that is read: more than a registry holds, unless its limits were raised.
const MAX_ANSWER_BYTES: usize = 1024 * 1024 * 1024;

/// The largest problem document that is read.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The longest pause that a `Retry-After` can impose on us.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How one registry is spoken to. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    http: Client,
    address: RegistryAddress,
    base: Url,
}

impl Caller {
    /// # Errors
    /// The token cannot be sent in a header.
    pub(crate) fn new(address: RegistryAddress, token: Option<String>) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        if let Some(mut text) = token {
            text.insert_str(0, "Bearer ");
            let mut value = HeaderValue::try_from(text).map_err(|_| {
                Invalid::new("token", "has characters that a header cannot carry", "Use printable ASCII.")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // A registry is a neighbour: what the environment says of proxies to the world outside is not meant
        // for it, and a redirect would carry the token elsewhere. Repeating a call is the caller's decision.
        let http = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("berth-client/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Error::unreachable(&address, &error))?;
        let base = format!("http://{address}/").parse().map_err(|_| {
            Invalid::new(
                "registry",
                format!("is {address}"),
                "Write a host and a port, such as localhost:9090.",
            )
        })?;
        Ok(Self { http, address, base })
    }

    pub(crate) fn address(&self) -> &RegistryAddress {
        &self.address
    }

    /// The URL of a path; its segments must need no escaping, as names and ids do not.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// A request without a deadline, for streams.
    pub(crate) fn open(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// A request with the deadline of a call.
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.request_within(method, url, Duration::ZERO)
    }

    /// The same for a call whose answer the registry holds back for so long.
    pub(crate) fn request_within(&self, method: Method, url: Url, held_back: Duration) -> RequestBuilder {
        self.open(method, url).timeout(CALL_TIMEOUT.saturating_add(held_back))
    }

    /// Sends a request and reads its JSON answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let answer = self.send(request).await?;
        let body = self.read(answer, MAX_ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| Error::broken(&self.address, error.to_string()))
    }

    /// Sends a request; returns the head of a 2xx answer, everything else is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let answer = request.send().await.map_err(|error| Error::unreachable(&self.address, &error))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status if status.is_client_error() || status.is_server_error() => Err(self.refusal(answer).await),
            status => Err(Error::broken(&self.address, format!("its status is {status}"))),
        }
    }

    async fn refusal(&self, answer: Response) -> Error {
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers());
        let is_problem = has_type(answer.headers(), "application/problem+json");
        // Without a readable document the status alone still tells what to do.
        let document = match self.read(answer, MAX_PROBLEM_BYTES).await {
            Ok(body) if is_problem => serde_json::from_slice::<Problem>(&body).ok(),
            _ => None,
        };
        let problem = Problem { status, ..document.unwrap_or_else(|| Problem::bare(status)) };
        Error::Refused { registry: self.address.clone(), problem: Box::new(problem), retry_after }
    }

    async fn read(&self, mut answer: Response, max_bytes: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| Error::unreachable(&self.address, &error))?
        {
            if body.len() + chunk.len() > max_bytes {
                return Err(Error::broken(&self.address, format!("it is larger than {max_bytes} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Whether the answer is of this media type, whatever its parameters.
pub(crate) fn has_type(headers: &HeaderMap, media_type: &str) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(media_type))
}

/// The pause in seconds; a registry sends no dates here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}
