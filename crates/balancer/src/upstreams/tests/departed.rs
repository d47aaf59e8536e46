//! Requests that run at endpoints which have left.

use berth_pick::Signal;
use berth_testkit::{Full, Listening, Refusing};

use super::super::MOST_PROBES;
use super::*;

/// One request runs at the instance with this port, which leaves.
async fn left(task: &mut Task, port: u16) -> InFlight<Arc<Endpoint>> {
    task.say(all(&[instance(port)])).await;
    let under_way = InFlight::begin(Arc::clone(&task.endpoints()[0]));
    task.say(change(ChangeKind::Left, instance(port), Some(Reason::Removed))).await;
    assert!(task.ports().is_empty());
    under_way
}

/// Doubts it again and again, as those do who wait, until something holds.
async fn doubt(task: &Task, endpoint: &Endpoint, mut holds: impl FnMut() -> bool) {
    eventually(|| {
        task.published.signal(endpoint, Signal::Silent);
        holds()
    })
    .await;
}

fn probes(task: &Task) -> BTreeMap<&'static str, u64> {
    task.published.evidence.probes()
}

#[tokio::test]
async fn nobody_waits_where_no_machine_answers() {
    let (full, mut task) = (Full::start(), Task::start());
    let port = full.address.port();
    let under_way = left(&mut task, port).await;
    doubt(&task, under_way.handle(), || task.published.times_given_up() == 1).await;
    assert!(under_way.handle().signals().is_given_up());
    // However many doubt it: two, as one may be lost on its way.
    assert_eq!(probes(&task), BTreeMap::from([("unanswered", 2)]));
    // Whoever comes back begins anew.
    task.say(change(ChangeKind::Joined, instance(port), None)).await;
    let back = task.endpoints();
    assert!(!back[0].signals().is_given_up() && !back[0].signals().has_left());
}

/// As one that finishes what it has: it has closed its port, or accepts nobody.
#[tokio::test]
async fn who_finishes_is_left_in_peace() {
    let (refusing, listening) = (Refusing::start(), Listening::start());
    for (port, outcome) in [(refusing.address.port(), "refused"), (listening.address().port(), "answered")] {
        let mut task = Task::start();
        let under_way = left(&mut task, port).await;
        assert!(under_way.handle().signals().has_left());
        // Another doubt than silence says nothing of it.
        task.published.signal(under_way.handle(), Signal::Error);
        eventually(|| under_way.handle().signals().raise(Signal::Error)).await;
        drop(under_way.handle().signals().take());
        task.say(all(&[])).await;
        assert!(probes(&task).is_empty());
        doubt(&task, under_way.handle(), || probes(&task).get(outcome) == Some(&1)).await;
        task.say(all(&[])).await;
        assert!(!under_way.handle().signals().is_given_up(), "{outcome}");
    }
}

/// The slots are taken when it is doubted first.
#[tokio::test]
async fn those_that_are_listed_are_asked_first() {
    let (full, mut task) = (Full::start(), Task::start());
    let of = |id: String| Instance { id: id.parse().unwrap(), ..instance(full.address.port()) };
    let listed: Vec<Instance> = (0..MOST_PROBES).map(|it| of(format!("listed-{it}"))).collect();
    task.say(all(&[&listed[..], &[of("gone".to_owned())]].concat())).await;
    let (gone, others): (Vec<_>, Vec<_>) =
        task.endpoints().into_iter().partition(|it| it.identity().id.as_str() == "gone");
    let under_way = InFlight::begin(Arc::clone(&gone[0]));
    task.say(change(ChangeKind::Left, of("gone".to_owned()), Some(Reason::Removed))).await;
    others.iter().for_each(|other| task.published.signal(other, Signal::Silent));
    task.published.signal(under_way.handle(), Signal::Silent);
    eventually(|| probes(&task).contains_key("unanswered")).await;
    assert!(!under_way.handle().signals().is_given_up());
    // None of its doubts is lost, however early it came.
    doubt(&task, under_way.handle(), || under_way.handle().signals().is_given_up()).await;
}

mod asked {
    use berth_fleet::Probed;

    use super::super::super::departed::Departed;
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One that has left.
    fn gone() -> (Departed, Arc<Endpoint>) {
        let endpoint = berth_pick::Roster::default().endpoint(&instance(1).identity(), None, None);
        let mut departed = Departed::default();
        departed.note(Some(&endpoint));
        (departed, endpoint)
    }

    /// What a silence at this time leads to.
    fn doubt(it: &mut (Departed, Arc<Endpoint>), ms: u64) -> Option<berth_fleet::Order> {
        it.1.signals().raise(Signal::Silent);
        it.0.doubted(at(ms), it.1.key(), true)
    }

    #[test]
    fn less_and_less_often_where_it_is_well() {
        let mut it = gone();
        let mut asked = Vec::new();
        for ms in (0..20_000).step_by(250) {
            if let Some(order) = doubt(&mut it, ms) {
                asked.push(ms);
                assert!(!it.0.probed(at(ms), &order, Some(Probed::Refused)));
            }
        }
        assert_eq!(asked, [0, 1_000, 3_000, 7_000, 15_000]);
    }

    #[test]
    fn one_at_a_time_and_twice_before_it_is_given_up() {
        let mut it = gone();
        let first = doubt(&mut it, 0).unwrap();
        assert!(doubt(&mut it, 1_000).is_none(), "one is under way");
        assert!(!it.0.probed(at(1_001), &first, Some(Probed::Unanswered)));
        let second = doubt(&mut it, 1_002).unwrap();
        // One that could not be sent, or was sent for something else, says nothing.
        let other = berth_fleet::Order { began: at(900), ..first };
        assert!(!it.0.probed(at(1_500), &other, Some(Probed::Unanswered)));
        assert!(!it.0.probed(at(1_500), &second, None));
        let third = doubt(&mut it, 2_000).unwrap();
        assert!(it.0.probed(at(3_000), &third, Some(Probed::Unanswered)));
    }

    #[test]
    fn what_was_lost_is_sent_again_and_no_doubt_is() {
        let mut it = gone();
        it.1.signals().raise(Signal::Silent);
        assert!(it.0.doubted(at(0), it.1.key(), false).is_none());
        assert!(it.1.signals().raise(Signal::Silent), "whoever doubts it next is heard");
        assert!(it.0.doubted(at(0), it.1.key(), true).is_some());
        assert!(doubt(&mut it, 9_999).is_none());
        assert!(doubt(&mut it, 10_000).is_some());
    }
}
