//! What tests of registrations share: an owner that registers, and a registry's part in it.

use std::net::SocketAddr;
use std::time::Duration;

use berth_client::{Links, Registration, Settings, State};
use serde_json::{Value, json};

use crate::fake::{Call, EventsOut, Fake, Port, pass_until, settle, soon};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const REVISION: &str = "00000000000000aa-7";

/// A renewal so far away that no test sees it.
pub(crate) const SELDOM_S: f64 = 3600.0;

pub(crate) fn settings(ports: &[&Port]) -> Settings {
    let bound: SocketAddr = "[::]:41234".parse().expect("an address");
    let mut settings = Settings::new("web@1.2.3".parse().expect("a service"), bound);
    settings.registries = ports.iter().map(|port| port.registry()).collect();
    settings.id = Some("one".parse().expect("an id"));
    settings
}

pub(crate) fn start(ports: &[&Port]) -> Registration {
    Registration::start(settings(ports)).expect("settings that are right")
}

/// Answers a registration as a registry does.
pub(crate) fn accept(call: Call) -> Value {
    assert_eq!(call.line(), "PUT /v1/services/web/instances/one");
    accept_for(call, 5.0)
}

/// Answers the registration of any instance, and asks for a renewal after this time.
pub(crate) fn accept_for(call: Call, renew_s: f64) -> Value {
    let line = call.line();
    let path = line.strip_prefix("PUT /v1/services/").expect("a registration");
    let (service, id) = path.split_once("/instances/").expect("a registration");
    assert!(!id.contains('/'), "{line}");
    let body = call.json();
    let mut instance = body.clone();
    let fields = instance.as_object_mut().expect("an object");
    fields.remove("verify");
    fields.insert("service".to_owned(), json!(service));
    fields.insert("id".to_owned(), json!(id));
    call.ok(&json!({"instance": instance, "revision": REVISION, "renew_s": renew_s}));
    body
}

/// The next call, letting the pauses between tries pass; and how long it took.
pub(crate) async fn next_call(fake: &mut Fake, within: Duration) -> (Call, Duration) {
    pass_until("a call", within, fake.next()).await
}

/// Starts a registration and lets one registry accept it.
pub(crate) async fn registered(fake: &mut Fake, port: &Port) -> (Registration, Value) {
    let registration = start(&[port]);
    let body = accept(fake.next().await);
    soon("registered", registration.registered()).await.expect("not ended");
    (registration, body)
}

pub(crate) fn is_renewal(call: &Call) -> bool {
    call.line().starts_with("PUT /v1/services/web/instances/one/lease?run=")
}

/// Stops while answering the goodbyes; returns how many came.
pub(crate) async fn stop(registration: Registration, fakes: &mut [&mut Fake]) -> usize {
    let mut goodbyes = 0;
    let stopping = registration.stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            biased;
            () = &mut stopping => return goodbyes,
            () = settle() => {}
        }
        for fake in fakes.iter_mut() {
            while !fake.is_quiet() {
                let call = fake.next().await;
                let line = call.line();
                assert!(line.starts_with("DELETE /v1/services/") && line.contains("?run="), "{line}");
                call.answer(204, "", "text/plain", "");
                goodbyes += 1;
            }
        }
    }
}

/// Starts a registration of this service, with these links.
pub(crate) fn start_with(links: &Links, ports: &[&Port], service: &str) -> Registration {
    let service = service.parse().expect("a service");
    Registration::start(Settings { service, links: links.clone(), ..settings(ports) })
        .expect("settings that are right")
}

/// The next call for a link, letting the pauses between tries pass; and how long it took.
pub(crate) async fn next_link(fake: &mut Fake, within: Duration) -> (Call, Duration) {
    let (call, passed) = pass_until("a link", within, fake.next_link()).await;
    assert_eq!(call.line(), "POST /v1/link");
    (call, passed)
}

/// Starts a registration, lets a registry accept it, and opens its link.
pub(crate) async fn linked(fake: &mut Fake, port: &Port) -> (Registration, EventsOut) {
    let registration = start(&[port]);
    accept_for(fake.next().await, SELDOM_S);
    let stream = open_link(fake).await;
    soon("linked", registration.states().wait_for(|state| state.is_linked(port))).await.expect("it runs");
    (registration, stream)
}

/// Answers the next call for a link as a registry does.
pub(crate) async fn open_link(fake: &mut Fake) -> EventsOut {
    let stream = next_link(fake, SECOND).await.0.stream();
    tick(&stream);
    settle().await;
    stream
}

pub(crate) fn tick(stream: &EventsOut) {
    stream.event("tick", REVISION, &json!({"revision": REVISION}));
}

/// Tells something of a run through the link: the event, and what its data has beside the name of the run.
pub(crate) fn tell(stream: &EventsOut, event: &str, name: &Value, more: &Value) {
    let mut data = name.clone();
    let fields = data.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    stream.event(event, REVISION, &data);
}

/// How a link names the run of a registration of this service.
pub(crate) fn name(service: &str, registration: &Registration) -> Value {
    json!({"service": service, "id": registration.id(), "run": registration.run()})
}

/// The runs that a call for a link names, and nothing else; in the order of their services.
pub(crate) fn named(call: &Call) -> Vec<Value> {
    let body = call.json();
    assert_eq!(body.as_object().expect("an object").len(), 1, "{body}");
    let mut names = body["instances"].as_array().expect("a list").clone();
    names.sort_by_key(|name| name["service"].to_string());
    names
}

pub(crate) trait IsLinked {
    fn is_linked(&self, port: &Port) -> bool;
}

impl IsLinked for State {
    fn is_linked(&self, port: &Port) -> bool {
        self.linked_at.contains(&port.registry())
    }
}
