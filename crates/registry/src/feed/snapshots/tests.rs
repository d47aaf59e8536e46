use std::sync::Arc;

use berth_catalog::Offer;
use berth_model::{Registration, Run, Verify};

use super::{MOST_OF_A_KIND, Snapshots};
use crate::Limits;
use crate::store::Memory;

fn change(store: &Arc<Memory>, port: u16) {
    let registration = Registration { verify: Verify::None, ..Registration::of_port(port) };
    let (service, id) = ("web".parse().unwrap(), port.to_string().parse().unwrap());
    let host = "127.0.0.1".parse().unwrap();
    store.register(Offer { service, id, registration, host, fresh: Run::new(1, 1) }).unwrap();
}

#[tokio::test]
async fn those_who_ask_at_the_same_point_share_the_bytes() {
    let (store, snapshots) = (Memory::alone(Limits::default()), Snapshots::default());
    change(&store, 1);
    let (first, bytes) = snapshots.encoded(&store, None).await.unwrap();
    let (second, same) = snapshots.encoded(&store, None).await.unwrap();
    assert_eq!((first, bytes.as_ptr()), (second, same.as_ptr()));
    let web = "web".parse().unwrap();
    let (_, of_one) = snapshots.encoded(&store, Some(&web)).await.unwrap();
    assert_ne!(bytes.as_ptr(), of_one.as_ptr(), "another service, another snapshot");
    change(&store, 2);
    let (third, _) = snapshots.encoded(&store, None).await.unwrap();
    assert_eq!(third.sequence, 2, "never older than the call");
}

#[tokio::test]
async fn slow_readers_hold_a_few_snapshots_together() {
    let (store, snapshots) = (Memory::alone(Limits::default()), Snapshots::default());
    let mut held = Vec::new();
    for port in 1..=20 {
        change(&store, port);
        held.push(snapshots.encoded(&store, None).await.unwrap());
    }
    let mut places: Vec<_> = held.iter().map(|(_, bytes)| bytes.as_ptr()).collect();
    places.dedup();
    assert_eq!(places.len(), MOST_OF_A_KIND);
    let (revision, _) = held[19];
    assert_eq!(revision.sequence, MOST_OF_A_KIND as u64, "the log has what came after it");
    drop(held);
    assert_eq!(snapshots.encoded(&store, None).await.unwrap().0.sequence, 20);
}
