//! A balancer that stood still loses nothing of what came meanwhile.

use std::time::{Duration, Instant};

use berth_testkit::{Answer, Http, Listening, Process, Signal, Wire, eventually};

const CLIENTS: usize = 20;
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";

fn serve(upstream: &Listening) -> Wire {
    let mut wire = upstream.accept();
    wire.read_head();
    wire.send(ANSWER);
    wire
}

/// Its upstream closes all idle connections meanwhile. A POST that one of these took with it could not be sent again.
#[test]
fn no_post_goes_out_on_a_connection_that_ended_while_the_balancer_stood_still() {
    let upstream = Listening::start();
    let url = upstream.address().to_string();
    let balancer =
        Process::start("balancer", &["--upstream", &url, "--listen", "127.0.0.1:0", "--admin", "none"]);
    let address = balancer.address();
    let mut clients: Vec<Http> = (0..CLIENTS).map(|_| Http::connect(address)).collect();
    // All at once, so that each has a connection of its own.
    clients.iter_mut().for_each(|client| client.wire.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    let mut idle: Vec<Wire> = (0..CLIENTS).map(|_| upstream.accept()).collect();
    for wire in &mut idle {
        wire.read_head();
        wire.send(ANSWER);
    }
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.read_answer().status).collect();
    assert_eq!(statuses, [200; CLIENTS]);

    balancer.freeze();
    let frozen = Instant::now();
    for client in &mut clients {
        client.wire.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    }
    drop(idle);
    eventually("two seconds of standing still", || (frozen.elapsed() > Duration::from_secs(2)).then_some(()));
    balancer.signal(Signal::CONT);

    let _serving: Vec<Wire> = (0..CLIENTS).map(|_| serve(&upstream)).collect();
    let answers: Vec<Answer> = clients.iter_mut().map(Http::read_answer).collect();
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
}
