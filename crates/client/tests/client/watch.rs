//! The watch, against a scripted registry.

use std::time::Duration;

use berth_client::{Update, Watch};
use serde_json::{Value, json};

use crate::fake::{EventsOut, Fake, Port, hold_clock, pass, pass_until, settle, soon};

const SECOND: Duration = Duration::from_secs(1);

fn revision(epoch: u64, sequence: u64) -> String {
    format!("{epoch:016x}-{sequence}")
}

fn instance(id: &str) -> Value {
    json!({"service": "web", "id": id, "run": "5", "host": "127.0.0.1", "port": 80, "weight": 1, "ttl_s": 15.0})
}

trait Say {
    fn snapshot(&self, epoch: u64, sequence: u64, ids: &[&str]);
    fn joined(&self, epoch: u64, sequence: u64, id: &str);
    fn tick(&self, epoch: u64, sequence: u64);
}

impl Say for EventsOut {
    fn snapshot(&self, epoch: u64, sequence: u64, ids: &[&str]) {
        let instances: Vec<Value> = ids.iter().map(|id| instance(id)).collect();
        let revision = revision(epoch, sequence);
        let ended = json!([{"service": "web", "id": "old", "run": "4", "reason": "removed"}]);
        let data = json!({"revision": revision, "instances": instances, "ended": ended});
        self.event("snapshot", &revision, &data);
    }

    fn joined(&self, epoch: u64, sequence: u64, id: &str) {
        let revision = revision(epoch, sequence);
        let data = json!({"revision": revision, "kind": "joined", "instance": instance(id)});
        self.event("change", &revision, &data);
    }

    fn tick(&self, epoch: u64, sequence: u64) {
        let revision = revision(epoch, sequence);
        self.event("tick", &revision, &json!({"revision": revision}));
    }
}

/// An update in a few words.
fn brief(update: &Update) -> String {
    match update {
        Update::Snapshot(snapshot) => {
            let ids: Vec<&str> = snapshot.instances.iter().map(|instance| instance.id.as_str()).collect();
            format!(
                "snapshot {} [{}] ended {}",
                snapshot.revision.sequence,
                ids.join(" "),
                snapshot.ended.len()
            )
        }
        Update::Change(change) => {
            format!("{} {} {}", change.kind.as_str(), change.revision.sequence, change.instance.id)
        }
        Update::Away { .. } => "away".to_owned(),
    }
}

async fn told(watch: &mut Watch) -> String {
    brief(&soon("an update", watch.next()).await)
}

/// Nothing is told within this time. The wait is given up then, which must not swallow what comes later.
async fn tells_nothing_for(watch: &mut Watch, time: Duration) {
    tokio::select! {
        biased;
        update = watch.next() => panic!("told {update:?}"),
        () = pass(time) => {}
    }
}

fn watch(port: &Port) -> Watch {
    Watch::start(port.registry(), None, None)
}

/// A watch that has seen snapshot 10 of epoch 1, and its stream.
async fn settled(fake: &mut Fake, port: &Port) -> (Watch, EventsOut) {
    let mut watch = watch(port);
    let stream = fake.next().await.stream();
    stream.snapshot(1, 10, &["a"]);
    assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 1");
    (watch, stream)
}

/// The next call, letting the pauses between tries pass.
macro_rules! next_call {
    ($fake:expr, $within:expr) => {
        pass_until("a call", $within, $fake.next()).await.0
    };
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_then_every_change() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let service = "web".parse().expect("a name");
    let mut watch = Watch::start(port.registry(), Some("s3cret".to_owned()), Some(service));
    let call = fake.next().await;
    assert_eq!(call.line(), "GET /v1/watch?service=web");
    assert_eq!(call.header("accept"), Some("text/event-stream"));
    assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(call.header("last-event-id"), None);
    let stream = call.stream();
    stream.raw(": welcome\n\n");
    stream.snapshot(1, 10, &["a", "b"]);
    stream.event("news", "x", &json!("from the future"));
    stream.joined(1, 12, "c");
    stream.tick(1, 13);
    stream.joined(1, 14, "d");
    assert_eq!(told(&mut watch).await, "snapshot 10 [a b] ended 1");
    assert_eq!(told(&mut watch).await, "joined 12 c");
    assert_eq!(told(&mut watch).await, "joined 14 d");
    drop(watch);
    stream.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_resumes_and_repeats_nothing() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (mut watch, stream) = settled(&mut fake, &port).await;
    stream.joined(1, 11, "b");
    assert_eq!(told(&mut watch).await, "joined 11 b");
    drop(stream);

    let call = next_call!(fake, SECOND);
    assert_eq!(call.header("last-event-id"), Some(&*revision(1, 11)));
    let stream = call.stream();
    stream.joined(1, 10, "seen");
    stream.joined(1, 11, "seen");
    stream.joined(1, 12, "c");
    assert_eq!(told(&mut watch).await, "joined 12 c");
    // A tick moves on where the changes of other services left the sequence.
    stream.tick(1, 20);
    settle().await;
    drop(stream);

    let call = next_call!(fake, SECOND);
    assert_eq!(call.header("last-event-id"), Some(&*revision(1, 20)));
    // The registry's log no longer reaches back so far.
    call.stream().snapshot(1, 30, &["z"]);
    assert_eq!(told(&mut watch).await, "snapshot 30 [z] ended 1");
}

#[tokio::test(start_paused = true)]
async fn another_epoch_or_a_garbled_event_asks_for_a_snapshot() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (mut watch, mut stream) = settled(&mut fake, &port).await;
    let breaks: [fn(&EventsOut); 4] = [
        |stream| stream.joined(9, 11, "b"),
        |stream| stream.tick(9, 11),
        |stream| stream.event("change", "x", &json!({"revision": "nonsense"})),
        |stream| stream.raw("event: snapshot\ndata: {\"revision\n\n"),
    ];
    for garble in breaks {
        garble(&stream);
        stream.joined(1, 50, "after the gap");
        stream.closed().await;
        let call = next_call!(fake, SECOND);
        assert_eq!(call.header("last-event-id"), None);
        stream = call.stream();
        stream.snapshot(1, 10, &["a"]);
        assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 1");
    }
}

#[tokio::test(start_paused = true)]
async fn fifteen_seconds_of_silence_are_told_once() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (mut watch, stream) = settled(&mut fake, &port).await;
    for _ in 0..4 {
        tells_nothing_for(&mut watch, 5 * SECOND).await;
        stream.tick(1, 10);
        settle().await;
    }
    let (update, passed) = pass_until("away", 20 * SECOND, watch.next()).await;
    assert!(matches!(&update, Update::Away { why } if why.contains("silent")), "{update:?}");
    assert!(passed >= 14 * SECOND && passed <= 16 * SECOND, "{passed:?}");
    stream.closed().await;

    // It hangs: the next tries are not answered either, which is no news.
    let call = next_call!(fake, SECOND);
    assert_eq!(call.header("last-event-id"), None, "the way back begins with a snapshot");
    tells_nothing_for(&mut watch, 14 * SECOND).await;
    drop(call);
    let stream = next_call!(fake, 20 * SECOND).stream();
    stream.snapshot(1, 12, &["a", "b"]);
    assert_eq!(told(&mut watch).await, "snapshot 12 [a b] ended 1");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_once_and_ends_with_a_snapshot() {
    let _clock = hold_clock();
    let port = Port::reserve();
    // Not there at the start.
    let mut watch = watch(&port);
    let away = soon("an update", watch.next()).await;
    assert!(matches!(&away, Update::Away { why } if why.contains("Connection refused")), "{away:?}");
    tells_nothing_for(&mut watch, 10 * SECOND).await;
    let mut fake = port.listen();
    let stream = next_call!(fake, 4 * SECOND).stream();
    stream.snapshot(1, 10, &["a"]);
    assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 1");

    // Gone later: the first try after it may just have been too early, the second is news.
    drop((stream, fake));
    let (update, _) = pass_until("away", SECOND, watch.next()).await;
    assert_eq!(brief(&update), "away");
    tells_nothing_for(&mut watch, 60 * SECOND).await;
    let mut fake = port.listen();
    let call = next_call!(fake, 4 * SECOND);
    assert_eq!(call.header("last-event-id"), None);
    let stream = call.stream();
    stream.snapshot(2, 1, &["a"]);
    assert_eq!(told(&mut watch).await, "snapshot 1 [a] ended 1");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_its_reason_and_tried_again() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let mut watch = watch(&port);
    let body = json!({"status": 401, "detail": "The token is missing.", "mend": "Send one."});
    fake.next().await.problem(401, "", &body);
    let update = soon("an update", watch.next()).await;
    assert!(
        matches!(&update, Update::Away { why } if why.contains("missing. Send one. (401)")),
        "{update:?}"
    );
    next_call!(fake, 2 * SECOND).problem(401, "", &body);
    tells_nothing_for(&mut watch, Duration::from_millis(900)).await;
    next_call!(fake, 4 * SECOND).stream().snapshot(1, 10, &[]);
    assert_eq!(told(&mut watch).await, "snapshot 10 [] ended 1");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let mut watch = watch(&port);
    fake.next().await.problem(503, "retry-after: 9\r\n", &json!({"status": 503}));
    assert_eq!(told(&mut watch).await, "away");
    let (call, passed) = pass_until("a call", 20 * SECOND, fake.next()).await;
    assert!(passed >= 9 * SECOND && passed <= 18 * SECOND + SECOND / 5, "{passed:?}");
    call.stream().snapshot(1, 10, &[]);
    assert_eq!(told(&mut watch).await, "snapshot 10 [] ended 1");
}

/// Answers the two queries of a poll with one instance.
async fn answer_poll(fake: &mut Fake, sequence: u64, id: &str) {
    let call = next_call!(fake, 3 * SECOND);
    assert_eq!(call.line(), "GET /v1/services");
    call.ok(&json!({"revision": revision(1, sequence), "services": {"web": 1}}));
    let call = fake.next().await;
    assert_eq!(call.line(), "GET /v1/services/web");
    call.ok(&json!({"service": "web", "revision": revision(1, sequence), "instances": [instance(id)]}));
}

#[tokio::test(start_paused = true)]
async fn where_no_stream_can_be_held_the_list_is_polled() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let mut watch = watch(&port);
    fake.next().await.answer(200, "", "text/html", "<h1>Welcome</h1>");
    answer_poll(&mut fake, 10, "a").await;
    assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 0");

    // The same revision is no news, and costs one query.
    for _ in 0..3 {
        let call = next_call!(fake, 3 * SECOND);
        call.ok(&json!({"revision": revision(1, 10), "services": {"web": 1}}));
    }
    tells_nothing_for(&mut watch, SECOND).await;
    answer_poll(&mut fake, 11, "b").await;
    assert_eq!(told(&mut watch).await, "snapshot 11 [b] ended 0");

    // After half a minute the stream is tried again, while the polls go on.
    let (call, mut polls) = loop {
        let call = next_call!(fake, 3 * SECOND);
        if call.target == "/v1/watch" {
            break (call, 0);
        }
        call.ok(&json!({"revision": revision(1, 11), "services": {"web": 1}}));
    };
    assert_eq!(call.header("last-event-id"), None);
    while polls < 3 {
        next_call!(fake, 3 * SECOND).ok(&json!({"revision": revision(1, 11), "services": {"web": 1}}));
        polls += 1;
    }
    let stream = call.stream();
    stream.snapshot(1, 12, &["c"]);
    assert_eq!(told(&mut watch).await, "snapshot 12 [c] ended 1");
    settle().await;
    while !fake.is_quiet() {
        fake.next().await.ok(&json!({"revision": revision(1, 12), "services": {}}));
    }
    stream.tick(1, 12);
    tells_nothing_for(&mut watch, 10 * SECOND).await;
    assert!(fake.is_quiet(), "no polls beside a stream");
}

#[tokio::test(start_paused = true)]
async fn a_missing_watch_call_is_polled_around_and_its_outage_told() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let mut watch = watch(&port);
    fake.next().await.answer(404, "", "text/plain", "no such path");
    answer_poll(&mut fake, 10, "a").await;
    assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 0");
    drop(fake);
    let (update, _) = pass_until("away", 4 * SECOND, watch.next()).await;
    assert_eq!(brief(&update), "away");
    tells_nothing_for(&mut watch, 10 * SECOND).await;
    let mut fake = port.listen();
    next_call!(fake, 4 * SECOND).answer(404, "", "text/plain", "no such path");
    answer_poll(&mut fake, 10, "a").await;
    assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 0");
}

#[tokio::test(start_paused = true)]
async fn a_stream_held_back_on_its_way_is_polled_around() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let mut watch = watch(&port);
    // The first one does not even get a head, the second one gets no event.
    let first = fake.next().await;
    let (update, _) = pass_until("away", 20 * SECOND, watch.next()).await;
    assert_eq!(brief(&update), "away");
    let second = next_call!(fake, SECOND).stream();
    let call = next_call!(fake, 20 * SECOND);
    assert_eq!(call.line(), "GET /v1/services", "does it answer at all?");
    call.ok(&json!({"revision": revision(1, 10), "services": {}}));
    answer_poll(&mut fake, 10, "a").await;
    assert_eq!(told(&mut watch).await, "snapshot 10 [a] ended 0");
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_misses_nothing() {
    let _clock = hold_clock();
    let port = Port::reserve();
    let mut fake = port.listen();
    let (mut watch, stream) = settled(&mut fake, &port).await;
    for sequence in 11..5_011 {
        stream.joined(1, sequence, "x");
    }
    // Time in which the reader does not read is no silence of the registry.
    pass(40 * SECOND).await;
    for sequence in 11..5_011 {
        assert_eq!(told(&mut watch).await, format!("joined {sequence} x"));
    }
    assert!(fake.is_quiet(), "one stream carried it all");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_sent_is_told() {
    let port = Port::reserve();
    let mut watch = Watch::start(port.registry(), Some("a\nb".to_owned()), None);
    let update = watch.next().await;
    assert!(matches!(&update, Update::Away { why } if why.starts_with("token")), "{update:?}");
    tells_nothing_for(&mut watch, 60 * SECOND).await;
}
