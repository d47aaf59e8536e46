#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::cell::RefCell;
use std::collections::VecDeque;

use berth_client::Update;

use super::*;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn next(heard: &mut mpsc::Receiver<Said>) -> Vec<(SocketAddr, String)> {
    match heard.recv().await.unwrap() {
        (7, Update::Snapshot(snapshot)) => snapshot
            .instances
            .iter()
            .map(|instance| (instance.identity().address(), instance.id.to_string()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_followed_to_its_new_address_and_keeps_the_old_one_while_nobody_knows() {
    let answers = RefCell::new(VecDeque::from([
        Err(io::ErrorKind::NotFound.into()),
        Ok(addresses(&["192.0.2.1:443"])),
        Ok(addresses(&["192.0.2.1:443"])),
        Err(io::ErrorKind::TimedOut.into()),
        Ok(addresses(&["192.0.2.2:443", "192.0.2.3:443"])),
    ]));
    let (said, mut heard) = mpsc::channel(8);
    let upstream: Upstream = "https://example.org".parse().unwrap();
    let resolve = |host: &str, port| {
        assert_eq!((host, port), ("example.org", 443));
        let answer: io::Result<_> = answers.borrow_mut().pop_front().unwrap_or_else(|| Ok(Vec::new()));
        std::future::ready(answer)
    };
    let look = async {
        let first = ("192.0.2.1:443".parse().unwrap(), "example.org-192.0.2.1-443".to_owned());
        assert_eq!(next(&mut heard).await, [first]);
        // Neither the same answer nor a failure is a change.
        let moved: Vec<_> = next(&mut heard).await.into_iter().map(|(address, _)| address).collect();
        assert_eq!(moved, addresses(&["192.0.2.2:443", "192.0.2.3:443"]));
    };
    tokio::select! {
        () = follow_name(7, &upstream, &said, resolve) => panic!("stopped following"),
        () = look => {}
    }
}

#[test]
fn a_plain_server_is_known_by_its_address_and_a_secure_one_by_its_name_as_well() {
    let address = "[2001:db8::1]:8443".parse().unwrap();
    let id_of = |upstream: &str| id(&upstream.parse().unwrap(), address).unwrap().to_string();
    assert_eq!(id_of("http://a.example:8443"), id_of("b.example:8443"));
    assert_eq!(id_of("https://a.example:8443"), "a.example-8443-2001-db8--1--8443");
    assert_ne!(id_of("https://a.example:8443"), id_of("https://b.example:8443"));
    assert_eq!(id_of(&format!("https://{}", "a".repeat(250))).len(), MAX_NAME_BYTES);
}
