//! Requests that run at endpoints which have left.

use berth_pick::Signal;
use berth_testkit::{Full, Listening, Refusing};

use super::*;

/// One request runs at the instance with this port, which leaves.
async fn left(task: &mut Task, port: u16) -> InFlight<Arc<Endpoint>> {
    task.say(all(&[instance(port)])).await;
    let under_way = InFlight::begin(Arc::clone(&task.endpoints()[0]));
    task.say(change(ChangeKind::Left, instance(port), Some(Reason::Removed))).await;
    assert!(task.ports().is_empty());
    under_way
}

#[tokio::test]
async fn nobody_waits_where_no_machine_answers() {
    let (full, mut task) = (Full::start(), Task::start());
    let under_way = left(&mut task, full.address.port()).await;
    assert!(!under_way.handle().signals().is_given_up());
    task.published.signal(under_way.handle(), Signal::Silent);
    eventually(|| task.published.times_given_up() == 1).await;
    assert!(under_way.handle().signals().is_given_up());
    // Whoever comes back begins anew.
    task.say(change(ChangeKind::Joined, instance(full.address.port()), None)).await;
    assert!(!task.endpoints()[0].signals().is_given_up());
}

/// As one that finishes what it has: it has closed its port, or accepts nobody.
#[tokio::test]
async fn who_finishes_is_left_in_peace() {
    let (refusing, listening) = (Refusing::start(), Listening::start());
    for (port, outcome) in [(refusing.address.port(), "refused"), (listening.address().port(), "answered")] {
        let mut task = Task::start();
        let under_way = left(&mut task, port).await;
        // It says nothing, which is not asked after if it is another doubt.
        task.published.signal(under_way.handle(), Signal::Error);
        task.published.signal(under_way.handle(), Signal::Silent);
        eventually(|| !task.published.evidence.probes().is_empty()).await;
        assert_eq!(task.published.evidence.probes(), BTreeMap::from([(outcome, 1)]));
        task.say(all(&[])).await;
        assert!(!under_way.handle().signals().is_given_up(), "{outcome}");
    }
}
