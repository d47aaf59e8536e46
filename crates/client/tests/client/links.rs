//! Registrations that share their links.

use berth_client::{Links, Registration, Settings};
use serde_json::json;

use crate::fake::{EventsOut, Fake, Port, hold_clock, pass, pass_until, settle, soon};
use crate::scene::{
    IsLinked, SECOND, SELDOM_S, accept_for, linked, name, named, next_link, open_link, settings, start_with,
    stop, tell, tick,
};

/// Two registrations with the same registry, and the one link for both.
async fn two_linked(fake: &mut Fake, port: &Port) -> (Registration, Registration, EventsOut) {
    let links = Links::default();
    let api = start_with(&links, &[port], "api");
    let web = start_with(&links, &[port], "web");
    for _ in 0..2 {
        accept_for(fake.next().await, SELDOM_S);
    }
    let (call, _) = next_link(fake, SECOND).await;
    assert_eq!(named(&call), [name("api", &api), name("web", &web)]);
    let stream = call.stream();
    tick(&stream);
    for registration in [&api, &web] {
        soon("linked", registration.states().wait_for(|state| state.is_linked(port))).await.expect("it runs");
    }
    (api, web, stream)
}

#[tokio::test(start_paused = true)]
async fn registrations_with_the_same_links_use_one_link_per_registry() {
    let _clock = hold_clock();
    let ports = [Port::reserve(), Port::reserve()];
    let mut fakes = ports.each_ref().map(Port::listen);
    let links = Links::default();
    let [api, web] = ["api", "web"].map(|service| start_with(&links, &[&ports[0], &ports[1]], service));
    for fake in &mut fakes {
        accept_for(fake.next().await, SELDOM_S);
        accept_for(fake.next().await, SELDOM_S);
    }
    let mut streams = Vec::new();
    for fake in &mut fakes {
        let (call, _) = next_link(fake, SECOND).await;
        assert_eq!(named(&call), [name("api", &api), name("web", &web)]);
        streams.push(call.stream());
    }
    streams.iter().for_each(tick);
    pass(10 * SECOND).await;
    assert!(fakes.iter_mut().all(Fake::has_no_link_call), "one is enough");
    for registration in [&api, &web] {
        assert_eq!(registration.states().borrow().linked_at.len(), 2);
    }

    // Each hears what is meant for it.
    tell(&streams[0], "drain", &name("api", &api), &json!({}));
    for fake in &mut fakes {
        let call = fake.next().await;
        assert_eq!(call.target, "/v1/services/api/instances/one");
        assert_eq!(accept_for(call, SELDOM_S)["draining"], true);
    }
    settle().await;
    assert!(fakes.iter_mut().all(Fake::is_quiet));
    assert!(api.is_draining() && !web.is_draining());
}

#[tokio::test(start_paused = true)]
async fn registrations_with_links_of_their_own_share_none() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let [api, web] = ["api", "web"].map(|service| start_with(&Links::default(), &[&port], service));
    accept_for(fake.next().await, SELDOM_S);
    accept_for(fake.next().await, SELDOM_S);
    let mut calls = [next_link(&mut fake, SECOND).await.0, next_link(&mut fake, SECOND).await.0];
    calls.sort_by_key(|call| named(call)[0]["service"].to_string());
    assert_eq!(named(&calls[0]), [name("api", &api)]);
    assert_eq!(named(&calls[1]), [name("web", &web)]);
    let streams = calls.map(|call| call.stream());
    streams.iter().for_each(tick);
    pass(10 * SECOND).await;
    assert!(fake.has_no_link_call());
    drop(api);
    streams[0].closed().await;
    assert!(!streams[1].is_closed());
}

#[tokio::test(start_paused = true)]
async fn registrations_with_other_tokens_share_none() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let links = Links::default();
    let _registrations = ["a", "b"].map(|text| {
        let (token, service) = (Some(text.to_owned()), text.parse().expect("a service"));
        Registration::start(Settings { token, service, links: links.clone(), ..settings(&[&port]) })
            .expect("right settings")
    });
    accept_for(fake.next().await, SELDOM_S);
    accept_for(fake.next().await, SELDOM_S);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (call, _) = next_link(&mut fake, SECOND).await;
        let [only] = &named(&call)[..] else { panic!("not one run: {}", call.body) };
        seen.push((only["service"].clone(), call.header("authorization").expect("a token").to_owned()));
    }
    seen.sort_by_key(|(_, token)| token.clone());
    assert_eq!(seen, [(json!("a"), "Bearer a".to_owned()), (json!("b"), "Bearer b".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn the_link_stays_until_the_last_registration_stops() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (api, web, stream) = two_linked(&mut fake, &port).await;
    let api_name = name("api", &api);
    assert_eq!(stop(api, &mut [&mut fake]).await, 1);
    pass(SECOND).await;
    assert!(!stream.is_closed() && fake.has_no_link_call());
    // What is said of the one that has gone is nobody's business.
    tell(&stream, "ended", &api_name, &json!({"reason": "deregistered"}));
    tell(&stream, "drain", &name("web", &web), &json!({}));
    assert_eq!(accept_for(fake.next().await, SELDOM_S)["draining"], true);
    assert!(fake.is_quiet());

    drop(stream);
    let (call, _) = next_link(&mut fake, SECOND).await;
    assert_eq!(named(&call), [name("web", &web)], "only what still runs");
    let stream = call.stream();
    tick(&stream);
    settle().await;
    assert_eq!(stop(web, &mut [&mut fake]).await, 1);
    stream.closed().await;
    pass(20 * SECOND).await;
    assert!(fake.has_no_link_call());
}

#[tokio::test(start_paused = true)]
async fn the_link_is_closed_when_the_last_registration_is_dropped() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (api, web, stream) = two_linked(&mut fake, &port).await;
    drop(web);
    pass(SECOND).await;
    assert!(!stream.is_closed());
    drop(api);
    stream.closed().await;
    pass(20 * SECOND).await;
    assert!(fake.has_no_link_call() && fake.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_being_opened_is_given_up_when_the_registration_is_dropped() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (registration, stream) = linked(&mut fake, &port).await;
    drop(stream);
    let (call, _) = next_link(&mut fake, SECOND).await;
    drop(registration);
    call.given_up().await;
    pass(20 * SECOND).await;
    assert!(fake.has_no_link_call());
}

#[tokio::test(start_paused = true)]
async fn links_serve_again_after_the_last_registration_has_gone() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let links = Links::default();
    for service in ["api", "web"] {
        let registration = start_with(&links, &[&port], service);
        accept_for(fake.next().await, SELDOM_S);
        let (call, _) = next_link(&mut fake, SECOND).await;
        assert_eq!(named(&call), [name(service, &registration)]);
        let stream = call.stream();
        tick(&stream);
        settle().await;
        drop(registration);
        stream.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_joins_is_named_by_a_new_link_before_the_old_one_is_closed() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let links = Links::default();
    let api = start_with(&links, &[&port], "api");
    accept_for(fake.next().await, SELDOM_S);
    let old = open_link(&mut fake).await;
    let web = start_with(&links, &[&port], "web");
    accept_for(fake.next().await, SELDOM_S);
    let (call, _) = next_link(&mut fake, SECOND).await;
    assert_eq!(named(&call), [name("api", &api), name("web", &web)]);

    // Neither the call nor the head of its answer is enough.
    let hears = async |fake: &mut Fake, event: &str, draining: bool| {
        tell(&old, event, &name("api", &api), &json!({}));
        assert_eq!(accept_for(fake.next().await, SELDOM_S)["draining"], draining);
        settle().await;
        assert!(!old.is_closed(), "the registry would take its loss for a crash");
    };
    hears(&mut fake, "drain", true).await;
    let new = call.stream();
    hears(&mut fake, "undrain", false).await;
    assert!(!web.states().borrow().is_linked(&port) && api.states().borrow().is_linked(&port));
    tick(&new);
    soon("linked", web.states().wait_for(|state| state.is_linked(&port))).await.expect("it runs");
    old.closed().await;
    assert!(api.states().borrow().is_linked(&port), "its link was never lost");
    tell(&new, "drain", &name("api", &api), &json!({}));
    assert_eq!(accept_for(fake.next().await, SELDOM_S)["draining"], true);
    pass(10 * SECOND).await;
    assert!(fake.has_no_link_call() && !new.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_new_link_that_is_refused_does_not_cost_the_old_one() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let links = Links::default();
    let api = start_with(&links, &[&port], "api");
    accept_for(fake.next().await, SELDOM_S);
    let old = open_link(&mut fake).await;
    let web = start_with(&links, &[&port], "web");
    accept_for(fake.next().await, SELDOM_S);
    for _ in 0..3 {
        let (call, _) = next_link(&mut fake, 2 * SECOND).await;
        assert_eq!(named(&call), [name("api", &api), name("web", &web)]);
        call.problem(503, "", &json!({"status": 503}));
        settle().await;
        assert!(!old.is_closed() && api.states().borrow().is_linked(&port));
        assert!(!web.states().borrow().is_linked(&port));
        tick(&old);
    }
    let new = next_link(&mut fake, 4 * SECOND).await.0.stream();
    tick(&new);
    old.closed().await;
    soon("linked", web.states().wait_for(|state| state.is_linked(&port))).await.expect("it runs");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_asked_for_before_a_run_joined_is_not_its_link() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let links = Links::default();
    let api = start_with(&links, &[&port], "api");
    accept_for(fake.next().await, SELDOM_S);
    let (call, _) = next_link(&mut fake, SECOND).await;
    let web = start_with(&links, &[&port], "web");
    accept_for(fake.next().await, SELDOM_S);
    soon("registered", web.registered()).await.expect("not ended");
    // The answer comes before the new run is asked for.
    let first = call.stream();
    tick(&first);
    soon("linked", api.states().wait_for(|state| state.is_linked(&port))).await.expect("it runs");
    settle().await;
    assert!(!web.states().borrow().is_linked(&port), "it is not named by that link");

    let (call, _) = next_link(&mut fake, SECOND).await;
    assert_eq!(named(&call), [name("api", &api), name("web", &web)]);
    let second = call.stream();
    tick(&second);
    let (_, _) = pass_until("the old one is closed", SECOND, first.closed()).await;
    soon("linked", web.states().wait_for(|state| state.is_linked(&port))).await.expect("it runs");
}
