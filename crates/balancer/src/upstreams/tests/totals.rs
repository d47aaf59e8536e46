//! Totals outlive the snapshots in which they are counted.

use std::sync::atomic::Ordering;

use super::*;
use crate::routing::StrategyName;

/// Counts this many requests of every route and backend.
fn count(task: &Task, requests: u64) {
    let snapshot = task.published.current();
    for route in snapshot.routes.all() {
        route.requests.fetch_add(requests, Ordering::Relaxed);
    }
    for backend in &snapshot.backends {
        backend.lasting.requests.fetch_add(requests, Ordering::Relaxed);
    }
}

type Totals = Vec<(String, u64)>;

/// The totals of routes and backends.
fn totals(task: &Task) -> (Totals, Totals) {
    let snapshot = task.published.current();
    let owned = |(name, requests): (&str, u64)| (name.to_owned(), requests);
    (snapshot.requests_of_routes().map(owned).collect(), snapshot.requests_of_backends().map(owned).collect())
}

fn expect(task: &Task, routes: &[(&str, u64)], backends: &[(&str, u64)]) {
    let owned =
        |totals: &[(&str, u64)]| totals.iter().map(|(name, total)| ((*name).into(), *total)).collect();
    assert_eq!(totals(task), (owned(routes), owned(backends)));
}

#[tokio::test]
async fn totals_go_on_whatever_changes_around_them() {
    let routes = vec![route("/a/*", 0)];
    let mut task = Task::with(Routing { routes, backends: vec![backend("web")], advertised_routes: true });
    // Nobody is known yet, and requests come.
    count(&task, 1);
    task.say(all(&[of("web", 1, "1.0.0", &[]), of("api", 2, "1.0.0", &["/api"])])).await;
    expect(&task, &[("/a/*", 1), ("/api/*", 0)], &[("web", 1), ("/api/*", 0)]);
    count(&task, 10);
    // Others are there.
    let others = [of("web", 3, "1.0.0", &[]), of("api", 4, "1.0.0", &["/api", "/new"])];
    task.say(all(&others)).await;
    let routes = [("/a/*", 11), ("/api/*", 10), ("/new/*", 0)];
    expect(&task, &routes, &[("web", 11), ("/api/*", 10), ("/new/*", 0)]);
    count(&task, 100);
    // Another plan: the places, the strategy, and what clients are told of the backend.
    let choosing = Choosing { strategy: StrategyName::Random, ..Choosing::default() };
    let changed = Backend { subject: "somebody".into(), choosing, ..backend("web") };
    let next = Routing {
        routes: vec![route("/b/*", 0), route("/a/*", 1)],
        backends: vec![backend("api"), changed],
        advertised_routes: true,
    };
    replan(&task, next, &[1]).await;
    expect(
        &task,
        &[("/b/*", 0), ("/a/*", 111), ("/api/*", 110), ("/new/*", 100)],
        &[("api", 0), ("web", 111), ("/api/*", 110), ("/new/*", 100)],
    );
    // What is gone and comes back begins anew.
    for (path, query) in [("/c/*", "other"), ("/a/*", "web")] {
        let (routes, backends) = (vec![route(path, 0)], vec![backend(query)]);
        replan(&task, Routing { routes, backends, advertised_routes: false }, &[1]).await;
        expect(&task, &[(path, 0)], &[(query, 0)]);
    }
}

#[tokio::test]
async fn what_a_service_wants_and_the_operator_has_is_told_once() {
    let named = || Backend { name: "/api/*".into(), ..backend("web") };
    let plan =
        || Routing { routes: vec![route("/api/*", 0)], backends: vec![named()], advertised_routes: true };
    let mut task = Task::with(plan());
    let serves = of("api", 2, "1.0.0", &["/api"]);
    task.say(all(&[of("web", 1, "1.0.0", &[]), serves.clone()])).await;
    let snapshot = task.published.current();
    assert_eq!((snapshot.routes.len(), snapshot.backends.len()), (2, 2));
    // Only the operator's is ever asked.
    snapshot.routes.all()[0].requests.fetch_add(3, Ordering::Relaxed);
    snapshot.backends[0].lasting.requests.fetch_add(3, Ordering::Relaxed);
    expect(&task, &[("/api/*", 3)], &[("/api/*", 3)]);
    replan(&task, plan(), &[1]).await;
    expect(&task, &[("/api/*", 3)], &[("/api/*", 3)]);
    task.say(change(ChangeKind::Left, serves, Some(Reason::Expired))).await;
    expect(&task, &[("/api/*", 3)], &[("/api/*", 3)]);
}
