//! Clients who ask too much, seen from outside.

use std::net::Ipv4Addr;

use berth_testkit::{Answer, Http, Listening, SteadyUpstream, Wire, eventually};

use crate::site::{Balancer, File};

/// A file with one route to this upstream.
fn file(upstream: &SteadyUpstream, limits: &str) -> String {
    format!("routes:\n  - path: /*\n    servers: ['http://{}']\n{limits}\n", upstream.address())
}

fn ask(balancer: &Balancer, fields: &str) -> Answer {
    Http::connect(balancer.address).send("GET", "/", fields, b"")
}

fn statuses<const N: usize>(balancer: &Balancer, fields: &str) -> [u16; N] {
    [(); N].map(|()| ask(balancer, fields).status)
}

fn reload(balancer: &Balancer) -> String {
    let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[test]
fn a_refusal_says_when_to_come_again_and_the_connection_goes_on() {
    let upstream = SteadyUpstream::saying("x");
    let text =
        file(&upstream, "    rate_limit: {requests: 2, per: 2h}\n  - {path: /free, respond: {body: free}}");
    let balancer = File::with(&text).balancer();
    let mut client = Http::connect(balancer.address);
    assert_eq!([client.get("/").status, client.get("/").status], [200, 200]);
    let answer = client.get("/");
    assert_eq!((answer.status, answer.text()), (429, "Too many requests.\n"));
    for (name, value) in
        [("RateLimit-Limit", "2"), ("RateLimit-Remaining", "0"), ("RateLimit-Policy", "2;w=7200")]
    {
        assert_eq!(answer.field(name), Some(value), "{}", answer.head);
    }
    let number = |name| answer.field(name).and_then(|text| text.parse::<u64>().ok());
    assert!(number("Retry-After").is_some_and(|wait_s| (1..=3600).contains(&wait_s)), "{}", answer.head);
    assert_eq!(number("RateLimit-Reset"), number("Retry-After"));
    assert_eq!(client.get("/free").text(), "free");
    assert_eq!(balancer.metric("balancer_requests_limited_total{limit=\"rate_limit\"} "), Some(1.0));
    assert_eq!(upstream.requests(), 2);
}

#[test]
fn two_keys_do_not_disturb_one_another() {
    let upstream = SteadyUpstream::saying("x");
    let limits = "    rate_limit: [{requests: 5, per: 1h}, {requests: 2, per: 1h, by: {header: X-Key}}]";
    let balancer = File::with(&file(&upstream, limits)).balancer();
    assert_eq!(statuses(&balancer, "X-Key: a\r\n"), [200, 200, 429, 429, 429, 429]);
    assert_eq!(statuses(&balancer, "X-Key: b\r\n"), [200, 200, 429]);
    assert_eq!(statuses(&balancer, ""), [200, 429], "all together have had five");
}

#[test]
fn addresses_are_those_that_trusted_proxies_name() {
    let upstream = SteadyUpstream::saying("x");
    let limits = "    rate_limit: {requests: 1, per: 1h, by: {address: true}}\ntrusted_proxies: 127.0.0.1/32";
    let balancer = File::with(&file(&upstream, limits)).balancer();
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let fields = format!("X-Forwarded-For: 203.0.113.9, {client}\r\n");
        assert_eq!(statuses(&balancer, &fields), [200, 429], "{client}");
    }
    // Who is not trusted may say what he wants.
    let claims = |client: &str| {
        let mut http = Http { wire: Wire::connect_from(Ipv4Addr::new(127, 0, 0, 2), balancer.address) };
        http.send("GET", "/", &format!("X-Forwarded-For: {client}\r\n"), b"").status
    };
    assert_eq!(["192.0.2.3", "192.0.2.4"].map(claims), [200, 429]);
}

#[test]
fn a_reload_forgets_nobody() {
    let upstream = SteadyUpstream::saying("x");
    let limits = "    rate_limit: {requests: 2, per: 1h, by: {header: X-Key}}";
    let file_with = |more: &str| file(&upstream, &format!("{limits}\n{more}"));
    let file = File::with(&file_with(""));
    let balancer = file.balancer();
    assert_eq!(statuses(&balancer, "X-Key: a\r\n"), [200, 200, 429]);
    assert_eq!(statuses(&balancer, "X-Key: b\r\n"), [200]);
    file.set(&file_with("    timeout_answer: 5s\n  - {path: /new, respond: {body: new}}"));
    assert!(reload(&balancer).contains("route /new added"));
    assert_eq!(Http::once(balancer.address, "/new").text(), "new");
    assert_eq!(statuses(&balancer, "X-Key: a\r\n"), [429]);
    assert_eq!(statuses(&balancer, "X-Key: b\r\n"), [200, 429]);
    assert_eq!(statuses(&balancer, "X-Key: c\r\n"), [200, 200, 429]);
}

#[test]
fn connections_of_one_address_are_bounded() {
    let upstream = SteadyUpstream::saying("x");
    let text = |most| file(&upstream, &format!("per_client: {{max_connections: {most}}}"));
    let file = File::with(&text(3));
    let balancer = file.balancer();
    let mut open = [(); 3].map(|()| Http::connect(balancer.address));
    for client in &mut open {
        assert_eq!(client.get("/").status, 200);
    }
    let mut one_more = Http::connect(balancer.address);
    let answer = one_more.read_answer();
    assert_eq!((answer.status, answer.field("Connection")), (429, Some("close")));
    one_more.wire.expect_end();
    assert_eq!(balancer.metric("balancer_client_connections_limited_total "), Some(1.0));
    let other = Wire::connect_from(Ipv4Addr::new(127, 0, 0, 2), balancer.address);
    assert_eq!(Http { wire: other }.get("/").status, 200);
    file.set(&text(4));
    assert!(reload(&balancer).contains("per_client changed"));
    let mut fourth = Http::connect(balancer.address);
    assert_eq!(fourth.get("/").status, 200);
    drop(open);
    eventually("room for three", || {
        let mut clients = [(); 3].map(|()| Http::connect(balancer.address));
        let mut served = clients.iter_mut().map(|client| client.try_get("/").map(|answer| answer.status));
        served.all(|status| status == Ok(200)).then_some(())
    });
}

#[test]
fn requests_of_one_address_are_bounded() {
    let (slow, quick) = (Listening::start(), SteadyUpstream::saying("quick"));
    let slow_route = format!("  - {{path: /slow, servers: ['http://{}']}}", slow.address());
    let text = file(&quick, &format!("{slow_route}\nper_client: {{max_requests: 2}}"));
    let balancer = File::with(&text).balancer();
    let mut under_way = [(); 2].map(|()| {
        let mut client = Http::connect(balancer.address);
        client.wire.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
        let mut server = slow.accept();
        server.read_head();
        (client, server)
    });
    let mut third = Http::connect(balancer.address);
    let refused = third.get("/");
    assert_eq!((refused.status, refused.field("Retry-After")), (429, Some("1")));
    assert_eq!(third.get("/").status, 429);
    let (client, server) = &mut under_way[0];
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    assert_eq!(client.read_answer().text(), "done");
    // A worker may still be noting the end when the client has the answer: that of the first request,
    // and then that of the one that took its place.
    eventually("the place of one that has ended", || (third.get("/").status == 200).then_some(()));
    eventually("the place of the one after it", || (client.get("/").text() == "quick").then_some(()));
}
