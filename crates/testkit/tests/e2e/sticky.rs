//! Clients that are kept at their endpoint, seen from outside.

use berth_testkit::{Answer, Http, Listening, SteadyUpstream, Wire, eventually};

use crate::site::{Balancer, File};

fn servers(upstreams: &[&SteadyUpstream]) -> String {
    let urls: Vec<String> = upstreams.iter().map(|it| format!("'http://{}'", it.address())).collect();
    format!("[{}]", urls.join(", "))
}

fn ask(balancer: &Balancer, cookie: &str) -> Answer {
    Http::connect(balancer.address).send("GET", "/", &format!("Cookie: a=b; {cookie}\r\n"), b"")
}

/// What a client sends back.
fn cookie_of(answer: &Answer) -> String {
    let set = answer.field("Set-Cookie").unwrap_or_else(|| panic!("no cookie: {}", answer.head));
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    pair.to_owned()
}

#[test]
fn a_client_keeps_its_endpoint_for_as_long_as_it_is_there() {
    let upstreams = ["a", "b", "c"].map(SteadyUpstream::saying);
    let [a, b, c] = upstreams.each_ref();
    let text = |upstreams: &[&SteadyUpstream]| {
        format!("routes: [{{path: /*, sticky: cookie, servers: {}}}]\n", servers(upstreams))
    };
    let file = File::with(&text(&[a, b, c]));
    let balancer = file.balancer();
    let first = ask(&balancer, "");
    let (kept, cookie) = (first.text().to_owned(), cookie_of(&first));
    let own = upstreams.iter().find(|it| ask_directly(it) == kept).unwrap();
    assert!(!cookie.contains(&own.address().port().to_string()), "it tells nobody where it leads: {cookie}");
    for _ in 0..10 {
        let answer = ask(&balancer, &cookie);
        assert_eq!((answer.text(), answer.field("Set-Cookie")), (&*kept, None));
    }
    // Nobody else is kept, nor whoever sends what is no cookie of ours.
    let others: Vec<String> = (0..3).map(|_| ask(&balancer, "berth_0=00; x").text().to_owned()).collect();
    assert!(others.iter().any(|other| *other != kept), "{others:?}");
    // Another balancer of the same backend understands it.
    let other = file.balancer();
    assert_eq!(ask(&other, &cookie).text(), kept);
    // It leaves: the client moves on, and stays there from then on.
    let left: Vec<&SteadyUpstream> = upstreams.iter().filter(|it| it.address() != own.address()).collect();
    file.set(&text(&left));
    let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let moved = ask(&balancer, &cookie);
    assert_ne!(moved.text(), kept);
    let cookie = cookie_of(&moved);
    assert!((0..5).all(|_| ask(&balancer, &cookie).text() == moved.text()));
}

#[test]
fn a_client_whose_endpoint_breaks_off_has_its_answer_from_another() {
    let upstreams = [Listening::start(), Listening::start()];
    let urls = upstreams.each_ref().map(|it| format!("'http://{}'", it.address())).join(", ");
    let balancer =
        File::with(&format!("routes: [{{path: /*, sticky: cookie, servers: [{urls}]}}]\n")).balancer();
    let asked = |client: &mut Http, cookie: &str| {
        client.wire.send(format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n"));
        eventually("a request", || {
            let mut both = upstreams.iter().enumerate();
            let (at, mut wire) = both.find_map(|(at, it)| it.try_accept().map(|wire| (at, wire)))?;
            // A doubt is looked into beside it.
            let is_probe = wire.read_head().starts_with("HEAD ");
            wire.send(if is_probe { "HTTP/1.1 200 OK\r\n\r\n" } else { "" });
            (!is_probe).then_some((at, wire))
        })
    };
    let answer = |client: &mut Http, wire: &mut Wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        client.read_answer()
    };
    let mut client = Http::connect(balancer.address);
    let (kept, mut wire) = asked(&mut client, "none=1");
    let cookie = cookie_of(&answer(&mut client, &mut wire));
    // It breaks off: the other one answers, and the client stays there while it has that one's cookie.
    let mut client = Http::connect(balancer.address);
    let (at, wire) = asked(&mut client, &cookie);
    assert_eq!(at, kept);
    drop(wire);
    let mut wire = upstreams[1 - kept].accept();
    wire.read_head();
    let moved = cookie_of(&answer(&mut client, &mut wire));
    assert_ne!(moved, cookie);
    let (at, mut wire) = asked(&mut client, &moved);
    assert_eq!(at, 1 - kept);
    assert_eq!(answer(&mut client, &mut wire).field("Set-Cookie"), None);
}

fn ask_directly(upstream: &SteadyUpstream) -> String {
    Http::once(upstream.address(), "/").text().to_owned()
}

#[test]
fn a_client_that_is_sent_elsewhere_is_sent_to_the_same_place() {
    let balancer = File::with(
        "routes:
  - path: /*
    sticky: cookie
    mode: redirect
    servers:
      - {url: 'http://127.0.0.1:9', public_url: 'https://one.test'}
      - {url: 'http://127.0.0.1:10', public_url: 'https://two.test'}
  - path: /ask
    sticky: cookie
    pick: true
    servers: ['http://127.0.0.1:9', 'http://127.0.0.1:10']
",
    )
    .balancer();
    let first = ask(&balancer, "");
    let cookie = cookie_of(&first);
    assert_eq!(first.status, 307);
    for _ in 0..5 {
        let answer = ask(&balancer, &cookie);
        assert_eq!(answer.field("Location"), first.field("Location"));
        assert_eq!(answer.field("Set-Cookie"), None);
    }
    let pick = |cookie: &str| {
        Http::connect(balancer.address).send("GET", "/ask", &format!("Cookie: {cookie}\r\n"), b"")
    };
    let first = pick(&cookie);
    let own = cookie_of(&first);
    assert_ne!(own, cookie, "each backend has its own");
    let both = format!("{cookie}; {own}");
    assert!((0..5).all(|_| pick(&both).text() == first.text()));
}

#[test]
fn a_client_waits_for_its_endpoint_while_others_are_free() {
    let (slow, quick) = (Listening::start(), SteadyUpstream::saying("quick"));
    let balancer = File::with(&format!(
        "routes: [{{path: /*, sticky: cookie, max_in_flight: 1, servers: ['http://{}', 'http://{}']}}]\n",
        slow.address(),
        quick.address()
    ))
    .balancer();
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow";
    let mut clients: Vec<Http> = (0..2).map(|_| Http::connect(balancer.address)).collect();
    for client in &mut clients {
        client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    slow.accept().send(ANSWER);
    let answers: Vec<Answer> = clients.iter_mut().map(Http::read_answer).collect();
    let cookie = answers.iter().find(|answer| answer.text() == "slow").map(cookie_of).unwrap();
    let mut same: Vec<Http> = (0..2).map(|_| Http::connect(balancer.address)).collect();
    for client in &mut same {
        client.wire.send(format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n"));
    }
    eventually("one of them waits", || {
        (balancer.metric("balancer_queue_waiting{backend=\"/*\"}") == Some(1.0)).then_some(())
    });
    assert_eq!(Http::once(balancer.address, "/").text(), "quick");
    slow.accept().send(ANSWER);
    slow.accept().send(ANSWER);
    assert!(same.iter_mut().all(|client| client.read_answer().text() == "slow"));
}
