//! What a registry says through the link of a run, and what its owner does.

use berth_client::{Registration, State};
use serde_json::{Value, json};

use crate::fake::{EventsOut, Fake, Port, hold_clock, pass, settle, soon};
use crate::scene::{
    IsLinked, SECOND, SELDOM_S, accept, accept_for, is_renewal, linked, name, named, next_call, next_link,
    open_link, registered, start, tell, tick,
};

/// A registration with two registries, and its link to each.
struct Pair {
    fakes: [Fake; 2],
    streams: [EventsOut; 2],
    registration: Registration,
}

impl Pair {
    async fn linked() -> Self {
        let ports = [Port::reserve(), Port::reserve()];
        let mut fakes = ports.each_ref().map(Port::listen);
        let registration = start(&[&ports[0], &ports[1]]);
        for fake in &mut fakes {
            accept_for(fake.next().await, SELDOM_S);
        }
        let streams = [open_link(&mut fakes[0]).await, open_link(&mut fakes[1]).await];
        Self { fakes, streams, registration }
    }

    /// Says something of the run through one of the links.
    fn say(&self, from: usize, event: &str, more: &Value) {
        tell(&self.streams[from], event, &name("web", &self.registration), more);
    }

    /// The same; returns what both registries are told of it at once.
    async fn spread(&mut self, from: usize, event: &str, more: &Value) -> [Value; 2] {
        self.say(from, event, more);
        let mut bodies = [Value::Null, Value::Null];
        for (fake, body) in self.fakes.iter_mut().zip(&mut bodies) {
            *body = accept_for(fake.next().await, SELDOM_S);
            assert_eq!(body["run"], self.registration.run().to_string());
        }
        settle().await;
        bodies
    }

    fn is_quiet(&mut self) -> bool {
        self.fakes.iter_mut().all(|fake| fake.is_quiet() && fake.has_no_link_call())
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_to_every_registry_at_once_until_an_undrain() {
    let _clock = hold_clock();
    let mut pair = Pair::linked().await;
    assert!(!pair.registration.is_draining());
    for (from, event, draining) in [(0, "drain", true), (1, "undrain", false), (1, "drain", true)] {
        for body in pair.spread(from, event, &json!({})).await {
            assert_eq!(body["draining"], draining, "{event}");
        }
        assert_eq!(pair.registration.is_draining(), draining);
        // The other registry was asked the same: there its word holds until it is repeated, and nothing is new here.
        pair.say(1 - from, event, &json!({}));
        assert_eq!(accept_for(pair.fakes[1 - from].next().await, SELDOM_S)["draining"], draining);
        settle().await;
        assert!(pair.is_quiet());
    }
    pair.registration.set_draining(false);
    for fake in &mut pair.fakes {
        assert_eq!(accept_for(fake.next().await, SELDOM_S)["draining"], false, "its own word counts as well");
    }
    assert!(!pair.registration.is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_to_every_registry_at_once() {
    let _clock = hold_clock();
    let mut pair = Pair::linked().await;
    let cases = [
        (json!({"weight": 7}), 7, json!(null)),
        (json!({"meta": {"color": "blue", "size": "big"}}), 7, json!({"color": "blue", "size": "big"})),
        (json!({"weight": 9, "meta": {"color": "red"}}), 9, json!({"color": "red"})),
        (json!({"meta": {}}), 9, json!(null)),
    ];
    for (from, (change, weight, meta)) in cases.into_iter().enumerate() {
        let from = from % 2;
        for body in pair.spread(from, "changed", &change).await {
            assert_eq!((&body["weight"], &body["meta"]), (&json!(weight), &meta), "{change}");
            assert_eq!((&body["version"], &body["draining"]), (&json!("1.2.3"), &json!(false)));
        }
        pair.say(1 - from, "changed", &change);
        assert_eq!(accept_for(pair.fakes[1 - from].next().await, SELDOM_S)["weight"], weight);
        settle().await;
        assert!(pair.is_quiet(), "nothing new here");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_is_repeated_to_a_registry_that_forgot_the_run() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, _) = registered(&mut fake, &port).await;
    let stream = open_link(&mut fake).await;
    let mine = name("web", &registration);
    tell(&stream, "drain", &mine, &json!({}));
    tell(&stream, "changed", &mine, &json!({"weight": 7, "meta": {"color": "blue"}}));
    settle().await;
    let says_it = |body: &Value| {
        body["draining"] == true && body["weight"] == 7 && body["meta"] == json!({"color": "blue"})
    };
    // The second word may have come while the first was being told.
    while !says_it(&accept(fake.next().await)) {
        settle().await;
    }
    for _ in 0..3 {
        let (call, _) = next_call(&mut fake, 8 * SECOND).await;
        assert!(is_renewal(&call), "{}", call.line());
        call.problem(404, "", &json!({"status": 404}));
        let body = accept(fake.next().await);
        assert!(says_it(&body), "{body}");
        // It is started again.
        drop(fake);
        settle().await;
        fake = port.listen();
    }
    assert!(registration.is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_word_that_comes_during_a_call_is_not_lost() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    registration.set_draining(true);
    let call = fake.next().await;
    tell(&stream, "undrain", &name("web", &registration), &json!({}));
    pass(SECOND).await;
    assert!(fake.is_quiet(), "one call at a time");
    assert_eq!(accept_for(call, SELDOM_S)["draining"], true);
    assert_eq!(accept_for(fake.next().await, SELDOM_S)["draining"], false);
    assert!(!registration.is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_removed_or_replaced_ends_everywhere() {
    let _clock = hold_clock();
    for reason in ["removed", "replaced"] {
        let mut pair = Pair::linked().await;
        let run = pair.registration.run();
        pair.say(0, "ended", &json!({"reason": reason}));
        let has_ended = |state: &State| state.ended.is_some();
        let mut states = pair.registration.states();
        let why = soon("it ends", states.wait_for(has_ended)).await.expect("it ran").ended.clone();
        assert!(why.is_some_and(|why| why.contains(reason)));
        let error = pair.registration.registered().await.expect_err("ended");
        assert!(error.to_string().contains(reason), "{error}");

        let goodbye = pair.fakes[1].next().await;
        assert_eq!(goodbye.line(), format!("DELETE /v1/services/web/instances/one?run={run}"));
        assert!(!pair.streams[1].is_closed(), "the goodbye comes first");
        goodbye.answer(204, "", "text/plain", "");
        pair.streams[0].closed().await;
        pair.streams[1].closed().await;
        pass(60 * SECOND).await;
        assert!(pair.is_quiet(), "it registers no more, and needs no link");
        let Pair { mut fakes, registration, .. } = pair;
        registration.stop().await;
        assert!(fakes.iter_mut().all(|fake| fake.is_quiet()), "everybody knows");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_otherwise_is_registered_and_linked_again() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, mut stream) = linked(&mut fake, &port).await;
    let mut states = registration.states();
    let reasons = ["expired", "crashed", "deregistered"].map(|reason| json!({"reason": reason}));
    for reason in reasons.into_iter().chain([json!({}), json!({"reason": null})]) {
        tell(&stream, "ended", &name("web", &registration), &reason);
        let call = fake.next().await;
        assert!(states.borrow().registered_at.is_empty(), "{reason}");
        assert!(!states.borrow().is_linked(&port), "nobody would see a crash: {reason}");
        pass(SECOND).await;
        assert!(fake.has_no_link_call(), "the registry does not know it again yet");
        assert_eq!(accept_for(call, SELDOM_S)["run"], registration.run().to_string());
        let (call, _) = next_link(&mut fake, SECOND).await;
        assert_eq!(named(&call), [name("web", &registration)]);
        assert!(!stream.is_closed() && !states.borrow().is_linked(&port));
        let new_stream = call.stream();
        tick(&new_stream);
        stream.closed().await;
        soon("linked", states.wait_for(|state| state.is_linked(&port))).await.expect("it runs");
        stream = new_stream;
    }
    assert!(states.borrow().ended.is_none());
    assert!(fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_otherwise_stays_elsewhere() {
    let _clock = hold_clock();
    let mut pair = Pair::linked().await;
    pair.say(0, "ended", &json!({"reason": "expired"}));
    accept_for(pair.fakes[0].next().await, SELDOM_S);
    let _stream = open_link(&mut pair.fakes[0]).await;
    pass(SECOND).await;
    assert!(pair.is_quiet() && !pair.streams[1].is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_forgotten_is_linked_again_once_it_is_registered() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, _) = registered(&mut fake, &port).await;
    let stream = open_link(&mut fake).await;
    let (call, _) = next_call(&mut fake, 6 * SECOND).await;
    assert!(is_renewal(&call) && fake.has_no_link_call());
    call.problem(404, "", &json!({"status": 404}));
    let call = fake.next().await;
    assert!(!registration.states().borrow().is_linked(&port));
    pass(SECOND).await;
    assert!(fake.has_no_link_call(), "it is not registered yet");
    accept_for(call, SELDOM_S);
    let (call, _) = next_link(&mut fake, SECOND).await;
    assert_eq!(named(&call), [name("web", &registration)]);
    let new_stream = call.stream();
    tick(&new_stream);
    stream.closed().await;
}
