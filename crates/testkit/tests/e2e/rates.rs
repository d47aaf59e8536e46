//! Requests per second, as the admin port tells them.

use berth_testkit::{Http, SteadyUpstream, eventually};
use serde_json::Value;

use crate::site::{Balancer, File, linked_server, registry};

fn rates(balancer: &Balancer) -> Value {
    let answer = Http::once(balancer.admin, "/v1/rates");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

fn requests_of(rates: &Value, kind: &str) -> Vec<u64> {
    rates[kind].as_array().unwrap().iter().map(|it| it["requests"].as_u64().unwrap()).collect()
}

/// Waits until all routes, backends and endpoints have so many.
fn expect(balancer: &Balancer, routes: &[u64], backends: &[u64], endpoints: &[u64]) -> Value {
    eventually(&format!("{routes:?}, {backends:?} and {endpoints:?}"), || {
        let rates = rates(balancer);
        let of = |kind: &str| requests_of(&rates, kind);
        let is_so = of("routes") == routes && of("backends") == backends && of("endpoints") == endpoints;
        is_so.then_some(rates)
    })
}

#[test]
fn rates_are_told_and_survive_a_reload() {
    let (registry, fixed) = (registry(), SteadyUpstream::saying("fixed"));
    let address = registry.address().to_string();
    let server = linked_server(&address, &["--id", "a"]);
    let text = |more: &str| {
        format!(
            "registry: {address}
advertised_routes: false
backends:
  api: {{servers: ['http://{}']}}
routes:
  - {{path: /api/*, backend: api}}
  - {{path: /web/*, service: server{more}}}
",
            fixed.address()
        )
    };
    let file = File::with(&text(""));
    let balancer = file.balancer();
    balancer.wait_for_endpoints(2);
    // On several connections, so that both workers count.
    let mut clients: Vec<Http> = (0..6).map(|_| Http::connect(balancer.address)).collect();
    let mut sent = 0;
    let has_rates = |of: &Value| {
        let rates = ["per_second", "per_second_10s", "per_second_60s"].map(|key| of[key].as_f64().unwrap());
        rates.iter().all(|rate| *rate > 0.0)
    };
    eventually("rates above zero", || {
        for client in &mut clients {
            let paths = ["/api/x", "/web/x", "/api/y"];
            paths.iter().for_each(|path| assert_eq!(client.get(path).status, 200, "{path}"));
            sent += 1;
        }
        let rates = rates(&balancer);
        let all = ["routes", "backends", "endpoints"].map(|kind| rates[kind].as_array().unwrap());
        all.iter().copied().flatten().all(has_rates).then_some(())
    });
    let rates = expect(&balancer, &[2 * sent, sent], &[2 * sent, sent], &[2 * sent, sent]);
    let names = |kind: &str| rates[kind].as_array().unwrap().iter().map(|it| it["name"].clone());
    assert!(names("routes").eq(["/api/*", "/web/*"]), "{rates}");
    assert!(names("backends").eq(["api", "/web/*"]), "{rates}");
    let endpoint = &rates["endpoints"][1];
    assert_eq!((&endpoint["service"], &endpoint["id"]), (&"server".into(), &"a".into()));
    assert_eq!(endpoint["address"], server.address().to_string());
    assert!(endpoint["run"].as_str().unwrap().parse::<u64>().is_ok_and(|run| run > 0), "{endpoint}");
    // Another strategy; all counts go on.
    file.set(&text(", strategy: random"));
    let answer = Http::connect(balancer.admin).send("POST", "/reload", "Host: localhost\r\n", b"");
    assert!(answer.status == 200 && answer.text().contains("backend /web/* changed"), "{}", answer.text());
    assert_eq!(Http::once(balancer.address, "/web/x").status, 200);
    expect(&balancer, &[2 * sent, sent + 1], &[2 * sent, sent + 1], &[2 * sent, sent + 1]);
    let metric = format!("balancer_backend_requests_total{{backend=\"/web/*\"}} {}", sent + 1);
    let metrics = Http::once(balancer.admin, "/metrics");
    assert!(metrics.text().lines().any(|line| line == metric), "{metric} in {}", metrics.text());
}
