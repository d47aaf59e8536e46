use std::net::SocketAddr;
use std::time::{Duration, Instant};

use berth_daemon::Shutdown;
use berth_model::{Change, Revision, Snapshot, Tick};
use berth_registry::{Limits, Settings};
use bytes::BytesMut;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a test waits for something that must happen; no test that passes ever waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until it is so.
pub(crate) async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for what must come.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("what is waited for comes in time")
}

/// A registry that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) async fn start() -> Running {
    start_with(Settings::default()).await
}

pub(crate) async fn start_with(settings: Settings) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::default();
    let stages = shutdown.clone();
    let task = tokio::spawn(async move { berth_registry::run(vec![listener], settings, &stages).await });
    Running { address, client: Client::builder().no_proxy().build().unwrap(), shutdown, task }
}

pub(crate) fn limited(limits: Limits) -> Settings {
    Settings { limits, ..Settings::default() }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.forced.cancel();
    }
}

impl Running {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).timeout(PATIENCE)
    }

    /// Registers `place`, written `web/a`. Nobody listens where these tests register, so that no address is
    /// dialled unless the body asks for it.
    pub(crate) async fn put(&self, place: &str, mut body: Value) -> (StatusCode, Value) {
        if let Some(fields) = body.as_object_mut() {
            fields.entry("verify").or_insert("none".into());
        }
        write(&self.request(Method::PUT, &path(place)).json(&body)).await
    }

    pub(crate) async fn renew(&self, place: &str, run: &str) -> (StatusCode, Value) {
        answer(self.request(Method::PUT, &format!("{}/lease?run={run}", path(place)))).await
    }

    pub(crate) async fn patch(&self, place: &str, body: Value) -> (StatusCode, Value) {
        write(&self.request(Method::PATCH, &path(place)).json(&body)).await
    }

    pub(crate) async fn delete(&self, place: &str, query: &str) -> (StatusCode, Value) {
        write(&self.request(Method::DELETE, &format!("{}{query}", path(place)))).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// The ids of a query's answer.
    pub(crate) async fn ids(&self, path: &str) -> Vec<String> {
        let (status, found) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{found}");
        let instances = found["instances"].as_array().unwrap();
        instances.iter().map(|instance| instance["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn watch(&self, query: &str, last_event_id: Option<&str>) -> Events {
        let mut request = self.client.get(format!("http://{}/v1/watch{query}", self.address));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Events { frames: Frames::of(response) }
    }

    /// Opens a link for runs, written `("web/a", "5")`.
    pub(crate) async fn link(&self, runs: &[(&str, &str)]) -> Link {
        let runs = runs.iter().map(|(place, run)| run_name(place, run)).collect::<Vec<_>>();
        // It may stay silent for longer than an ordinary call may take.
        let request = self.client.post(format!("http://{}/v1/link", self.address));
        let response = request.json(&json!({ "instances": runs })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Link { frames: Frames::of(response) }
    }

    /// What a metric says; 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until so many links are open, and what their loss means at once is done.
    pub(crate) async fn links_are(&self, number: u64) {
        eventually("links come or go", async || self.metric("registry_links").await == number).await;
    }
}

/// A run as it stands in a link's body, and in what a link tells.
pub(crate) fn run_name(place: &str, run: &str) -> Value {
    let (service, id) = place.split_once('/').unwrap();
    json!({"service": service, "id": id, "run": run})
}

pub(crate) fn path(place: &str) -> String {
    let (service, id) = place.split_once('/').unwrap();
    format!("/v1/services/{service}/instances/{id}")
}

/// On a machine so busy that the registry stood still for a second, it refuses writes for another one: a test
/// does what the refusal says, and sends it again.
pub(crate) async fn write(request: &RequestBuilder) -> (StatusCode, Value) {
    loop {
        let (status, body) = answer(request.try_clone().unwrap()).await;
        if !body["detail"].as_str().is_some_and(|detail| detail.contains("stood still")) {
            return (status, body);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let expected = if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, expected, "{status}");
    (status, response.json().await.unwrap())
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Snapshot(Snapshot),
    Change(Change),
    Tick(Tick),
}

/// An open event stream, event by event.
pub(crate) struct Frames {
    response: Response,
    buffer: BytesMut,
    // So many bytes of it hold no end of an event.
    searched: usize,
}

impl Frames {
    fn of(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: BytesMut::new(), searched: 0 }
    }

    /// The text of the next event; none at the clean end of the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.next_unless_cut().await.expect("a clean end")
    }

    async fn next_unless_cut(&mut self) -> reqwest::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer[self.searched..].windows(2).position(|two| two == b"\n\n") {
                let event = self.buffer.split_to(self.searched + end + 2);
                self.searched = 0;
                return Ok(Some(str::from_utf8(&event).unwrap().to_owned()));
            }
            self.searched = self.buffer.len().saturating_sub(1);
            let Some(chunk) = in_time(self.response.chunk()).await? else { return Ok(None) };
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// A link that this test holds. Dropped, it is lost.
pub(crate) struct Link {
    frames: Frames,
}

impl Link {
    /// The next event by name and data; none at the clean end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let event = self.frames.next().await?;
        let id: Revision = field(&event, "id").parse().unwrap();
        let data: Value = serde_json::from_str(field(&event, "data")).unwrap();
        let name = field(&event, "event").to_owned();
        if name == "tick" {
            assert_eq!(data["revision"], id.to_string());
        }
        Some((name, data))
    }

    /// The next event that is no tick.
    pub(crate) async fn word(&mut self) -> (String, Value) {
        in_time(async {
            loop {
                let event = self.next().await.expect("a link that stays open");
                if event.0 != "tick" {
                    return event;
                }
            }
        })
        .await
    }
}

/// A watch.
pub(crate) struct Events {
    pub(crate) frames: Frames,
}

impl Events {
    /// The next event; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        Some(parse(&self.frames.next().await?))
    }

    /// The next event; none when the registry has cut the stream, because it was not read for too long.
    pub(crate) async fn next_unless_cut(&mut self) -> Option<Told> {
        let event = self.frames.next_unless_cut().await.ok()?;
        Some(parse(&event.expect("a stream without end")))
    }

    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        match self.next().await {
            Some(Told::Snapshot(snapshot)) => snapshot,
            other => panic!("no snapshot but {other:?}"),
        }
    }

    /// The next change, ticks apart.
    pub(crate) async fn change(&mut self) -> Change {
        in_time(async {
            loop {
                match self.next().await {
                    Some(Told::Change(change)) => return change,
                    Some(Told::Tick(_)) => {}
                    other => panic!("no change but {other:?}"),
                }
            }
        })
        .await
    }
}

/// One field of an event's text.
pub(crate) fn field<'a>(event: &'a str, name: &str) -> &'a str {
    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {event}"))
}

fn parse(event: &str) -> Told {
    let data = field(event, "data");
    let (told, revision) = match field(event, "event") {
        "snapshot" => {
            let snapshot: Snapshot = serde_json::from_str(data).unwrap();
            (Told::Snapshot(snapshot.clone()), snapshot.revision)
        }
        "change" => {
            let change: Change = serde_json::from_str(data).unwrap();
            (Told::Change(change.clone()), change.revision)
        }
        "tick" => {
            let tick: Tick = serde_json::from_str(data).unwrap();
            (Told::Tick(tick), tick.revision)
        }
        other => panic!("unknown event {other}"),
    };
    assert_eq!(field(event, "id"), revision.to_string(), "the event's id is the revision");
    told
}
