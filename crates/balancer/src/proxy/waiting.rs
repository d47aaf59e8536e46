//! A place for a request at a backend with limits, and the wait for one.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use berth_pick::queue::{Place, Waiting};

use super::candidates::{Candidates, Offer};
use super::chosen::Chosen;
use super::client::Client;
use super::failure::Failure;
use super::record::Record;
use super::shared::Worker;
use crate::upstreams::TurnedAway;

/// The next endpoint for a request, as soon as it has a place for it; none if every one was tried. It waits once: after
/// that it takes what is free at whoever else has a share of the route.
pub(crate) async fn place(
    worker: &Worker,
    client: &mut Client,
    candidates: &mut Candidates,
    record: &mut Record,
) -> Result<Option<Chosen>, Failure> {
    let mut turned_away = None;
    let mut has_waited = false;
    loop {
        let asking = &worker.asking;
        let enter = poll_fn(|cx| {
            let waker = (!has_waited).then(|| cx.waker());
            Poll::Ready(candidates.enter(asking, waker))
        });
        let refused = match enter.await {
            Offer::Chosen(chosen) => return Ok(Some(chosen)),
            Offer::Waits(waiting) => {
                has_waited = true;
                match wait(client, candidates, waiting, record).await {
                    Ok(Some(place)) => return Ok(Some(candidates.waited_for(place))),
                    Ok(None) => None,
                    Err(Failure::TurnedAway(why)) => Some(why),
                    Err(failure) => return Err(failure),
                }
            }
            // That is no limit: it had its chance to wait.
            Offer::TurnedAway(TurnedAway::QueueFull) if has_waited => None,
            Offer::TurnedAway(why) => Some(why),
            Offer::Nobody => None,
        };
        if let Some(why) = refused {
            candidates.backend().lasting.places.turn_away(why);
            turned_away = turned_away.or(Some(why));
        }
        // Whoever else has a share of the route may have room.
        if !candidates.give_up() {
            return turned_away.map_or(Ok(None), |why| Err(Failure::TurnedAway(why)));
        }
    }
}

async fn wait(
    client: &mut Client,
    candidates: &Candidates,
    mut waiting: Waiting,
    record: &mut Record,
) -> Result<Option<Place>, Failure> {
    let (backend, begun) = (candidates.backend(), Instant::now());
    client.deadline.set(backend.about.capacity.queue.timeout.into());
    client.deadline.look_later();
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(place) = waiting.poll_claim() {
            return Poll::Ready(Ok(place));
        }
        if client.has_left(cx) {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        client.poll_late().map(|()| Err(Failure::TurnedAway(TurnedAway::QueueTimeout)))
    })
    .await;
    client.deadline.stop_looking();
    let (places, waited) = (&backend.lasting.places, begun.elapsed());
    record.waited(waited);
    if let Ok(Some(_)) = &outcome {
        places.waited(waited);
    }
    outcome
}
