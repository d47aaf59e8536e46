//! What tests of registrations share: an owner that registers, and a registry's part in it.

use std::net::SocketAddr;
use std::time::Duration;

use berth_client::{Registration, Settings};
use serde_json::{Value, json};

use crate::fake::{Call, Fake, Port, pass_until, settle, soon};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

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
    let body = call.json();
    let mut instance = body.clone();
    let fields = instance.as_object_mut().expect("an object");
    fields.remove("verify");
    fields.insert("service".to_owned(), json!("web"));
    fields.insert("id".to_owned(), json!("one"));
    call.ok(&json!({"instance": instance, "revision": "00000000000000aa-7", "renew_s": 5.0}));
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
                assert!(
                    call.line().starts_with("DELETE /v1/services/web/instances/one?run="),
                    "{}",
                    call.line()
                );
                call.answer(204, "", "text/plain", "");
                goodbyes += 1;
            }
        }
    }
}
