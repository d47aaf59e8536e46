//! The admin port.

use berth_testkit::{Listening, Refusing};

use crate::harness::{Balancer, expect, forwarded_get, get, ok};

#[test]
fn health_readiness_and_the_end() {
    let upstream = Listening::start();
    let balancer = Balancer::over(&[upstream.address()]);
    let mut admin = balancer.admin();
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.get("/readyz").status, 200);
    let mut client = balancer.connect();
    client.send(get("/"));
    let mut server = upstream.accept();
    expect(&mut server, forwarded_get("/"));
    balancer.begin_end();
    // As long as a request runs it can be asked, and says that it wants no more.
    let mut admin = balancer.admin();
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.get("/readyz").status, 503);
    balancer.wait_for_metric("endpoint_in_flight", 1.0);
    server.send(ok("x"));
    client.read_until(b"x");
    balancer.wait().unwrap();
}

#[test]
fn what_is_counted() {
    let (upstream, refusing) = (Listening::start(), Refusing::start());
    let balancer = Balancer::over(&[upstream.address(), refusing.address]);
    balancer.wait_for_metric("endpoints", 2.0);
    let mut client = balancer.connect();
    let mut server = None;
    for answer in [ok("x"), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(), ok("y")] {
        client.send(get("/"));
        let server = server.get_or_insert_with(|| upstream.accept());
        expect(server, forwarded_get("/"));
        server.send(&answer);
        expect(&mut client, answer);
    }
    balancer.wait_for_metric("answers_total{status=\"2xx\"}", 2.0);
    balancer.wait_for_metric("answers_total{status=\"4xx\"}", 1.0);
    // One of them had the turn of the one that refuses.
    balancer.wait_for_metric("endpoints", 1.0);
    balancer.wait_for_metric("client_connections_total", 1.0);
    balancer.wait_for_metric("client_connections_open", 1.0);
    balancer.wait_for_metric("request_seconds_count", 3.0);
    let (address, id) = (upstream.address(), upstream.address().to_string().replace(':', "-"));
    let labels = format!("service=\"_upstream\",id=\"{id}\",run=\"0\",endpoint=\"{address}\"");
    let at_upstream = format!("endpoint_requests_total{{{labels}}}");
    balancer.wait_for_metric(&at_upstream, 3.0);
    balancer.wait_for_metric("route_requests_total{route=\"/*\"}", 3.0);
    balancer.wait_for_metric("backend_requests_total{backend=\"default\"}", 3.0);
    assert_eq!(balancer.metric("generation"), balancer.metric("generation_oldest"));
}
