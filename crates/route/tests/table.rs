//! The table against a slow and obvious one, and by examples.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::cell::Cell;
use std::cmp::Reverse;

use berth_route::{Asked, Rule, Table, normal_path};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

type Pairs = Vec<(&'static str, &'static str)>;

/// A rule as an operator writes it.
#[derive(Clone, Debug)]
struct Written {
    host: Option<&'static str>,
    path: String,
    methods: Vec<&'static str>,
    fields: Pairs,
    query: Pairs,
}

/// A request, and what it says once it is understood.
#[derive(Clone, Debug)]
struct Request {
    /// As it came, and without port, dot and upper case.
    host: Option<(&'static str, &'static str)>,
    path: String,
    method: &'static str,
    fields: Pairs,
    /// As it came, and decoded.
    query: Vec<(&'static str, (&'static str, &'static str))>,
}

impl Written {
    fn rule(&self) -> Rule {
        let owned = |pairs: &Pairs| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Rule {
            host: self.host.map(|host| host.parse().unwrap()),
            path: self.path.parse().unwrap(),
            methods: self.methods.iter().map(|method| (*method).to_owned()).collect(),
            fields: owned(&self.fields),
            query: owned(&self.query),
        }
    }

    fn is_for_host(&self, asked: Option<&str>) -> bool {
        let Some(host) = self.host else { return true };
        asked.is_some_and(|asked| match host.strip_prefix('*') {
            Some(end) => asked.len() > end.len() && asked.ends_with(end),
            None => asked == host,
        })
    }

    fn is_for_path(&self, path: &str) -> bool {
        match self.path.strip_suffix("/*") {
            Some("") => true,
            Some(prefix) => path == prefix || path.starts_with(&format!("{prefix}/")),
            None => path == self.path,
        }
    }

    fn is_for(&self, request: &Request, path: &str) -> bool {
        let query: Vec<_> = request.query.iter().map(|(_, pair)| *pair).collect();
        self.is_for_host(request.host.map(|(_, host)| host))
            && self.is_for_path(path)
            && (self.methods.is_empty() || self.methods.contains(&request.method))
            && self.fields.iter().all(|field| request.fields.contains(field))
            && self.query.iter().all(|pair| query.contains(pair))
    }

    /// The documented order; the greatest wins.
    fn specificity(&self) -> impl Ord + use<> {
        let host = match self.host {
            None => 0,
            Some(host) if host.starts_with('*') => host.split('.').count() - 1,
            Some(_) => usize::MAX,
        };
        let path = match self.path.strip_suffix("/*") {
            Some(prefix) => prefix.matches('/').count(),
            None => usize::MAX,
        };
        (host, path, !self.methods.is_empty(), self.fields.len(), self.query.len())
    }
}

impl Request {
    fn find(&self, table: &Table) -> Option<usize> {
        let query = self.query.iter().map(|(raw, _)| *raw).collect::<Vec<_>>().join("&");
        let asked = Asked {
            method: self.method.as_bytes(),
            host: self.host.map(|(raw, _)| raw.as_bytes()),
            path: &normal_path(self.path.as_bytes()),
            query: query.as_bytes(),
        };
        table.find(&asked, |name, value| self.fields.contains(&(name, value)))
    }

    /// All rules that it fulfils, the one that wins last.
    fn fulfilled(&self, rules: &[Written]) -> Vec<usize> {
        let path = String::from_utf8(normal_path(self.path.as_bytes()).into_owned()).unwrap();
        let mut places: Vec<_> = (0..rules.len()).filter(|place| rules[*place].is_for(self, &path)).collect();
        places.sort_by_key(|place| (rules[*place].specificity(), Reverse(*place)));
        places
    }
}

fn written() -> impl Strategy<Value = Written> {
    let hosts = ["a.b", "b", "c.a.b", "*.b", "*.a.b", "*.c.a.b", "[::1]"];
    let host = proptest::option::weighted(0.7, select(hosts.to_vec()));
    let segments = proptest::collection::vec(select(vec!["a", "b"]), 0..4);
    let end = select(vec!["", "/", "/*", "/*", "/*"]);
    let path = (segments, end).prop_map(|(segments, end)| {
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        if path.is_empty() && end.is_empty() { "/".to_owned() } else { path + end }
    });
    let some = |most: usize, pairs: &[(&'static str, &'static str)]| {
        let all = proptest::collection::vec(select(pairs.to_vec()), 0..=most);
        prop_oneof![2 => Just(Vec::new()), 1 => all]
    };
    let methods = proptest::collection::vec(select(vec!["GET", "POST"]), 0..3);
    let methods = prop_oneof![2 => Just(Vec::new()), 1 => methods];
    let fields = some(2, &[("x", "1"), ("x", "2"), ("y", "1")]);
    let query = some(2, &[("q", "1"), ("q", "a b"), ("r", "")]);
    (host, path, methods, fields, query).prop_map(|(host, path, methods, fields, query)| Written {
        host,
        path,
        methods,
        fields,
        query,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let hosts = [
        ("a.b", "a.b"),
        ("A.B:80", "a.b"),
        ("b.", "b"),
        ("c.a.b.:8080", "c.a.b"),
        ("x.C.a.b", "x.c.a.b"),
        ("y.x.c.a.b:", "y.x.c.a.b"),
        ("xb", "xb"),
        (".b", ".b"),
        ("x.b", "x.b"),
        ("[::1]:80", "[::1]"),
        ("[0:0::1]", "[::1]"),
        ("", ""),
    ];
    let segments = proptest::collection::vec(select(vec!["a", "a", "b", "%61", "", ".", "..", "c"]), 0..6);
    let path = segments.prop_map(|segments| format!("/{}", segments.join("/")));
    let path = prop_oneof![20 => path, 1 => Just("*".to_owned())];
    let query = [
        ("q=1", ("q", "1")),
        ("%71=%31", ("q", "1")),
        ("q=a+b", ("q", "a b")),
        ("q=a%20b", ("q", "a b")),
        ("q=a%2Bb", ("q", "a+b")),
        ("q=1=", ("q", "1=")),
        ("q=%3", ("q", "%3")),
        ("q", ("q", "")),
        ("r", ("r", "")),
        ("r=", ("r", "")),
        ("r=x", ("r", "x")),
        ("", ("no", "parameter")),
    ];
    (
        proptest::option::weighted(0.9, select(hosts.to_vec())),
        path,
        select(vec!["GET", "POST", "get"]),
        proptest::collection::vec(select(vec![("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]), 0..4),
        proptest::collection::vec(select(query.to_vec()), 0..4),
    )
        .prop_map(|(host, path, method, fields, query)| Request { host, path, method, fields, query })
}

/// Any rules and any request; and the cases are worth something: most requests have several rules to choose from.
#[test]
fn the_most_specific_rule_is_found() {
    let (cases, none, several) = (4096, Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let case = (proptest::collection::vec(written(), 0..40), proptest::collection::vec(request(), 8));
    let ran = runner.run(&case, |(written, requests)| {
        let table = Table::new(&written.iter().map(Written::rule).collect::<Vec<_>>());
        for request in &requests {
            let fulfilled = request.fulfilled(&written);
            none.set(none.get() + u32::from(fulfilled.is_empty()));
            several.set(several.get() + u32::from(fulfilled.len() > 1));
            prop_assert_eq!(
                request.find(&table),
                fulfilled.last().copied(),
                "{:?} of {:?}",
                request,
                fulfilled
            );
        }
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(several.get() > 2 * cases, "only {} requests had a choice", several.get());
    assert!(none.get() > cases / 4, "only {} requests had no rule", none.get());
}

/// What a plain GET to this host and path finds, shown as the rule is.
fn found(rules: &[&str], host: &str, path: &str) -> Option<String> {
    let split = |text: &str| {
        let (host, path) = text.split_at(text.find('/').unwrap());
        let host = (!host.is_empty()).then(|| host.parse().unwrap());
        Rule { host, path: path.parse().unwrap(), ..Rule::any() }
    };
    let rules: Vec<_> = rules.iter().map(|text| split(text)).collect();
    let host = (!host.is_empty()).then_some(host.as_bytes());
    let asked = Asked { method: b"GET", host, path: &normal_path(path.as_bytes()), query: b"" };
    Table::new(&rules).find(&asked, |_, _| false).map(|place| rules[place].to_string())
}

#[test]
fn paths_by_example() {
    let rules = ["/api/*", "/api", "/api/", "/api/v1/*", "/health", "/api/v1/users"];
    for (path, expected) in [
        ("/api", "/api"),
        ("/api/", "/api/"),
        ("/api/x", "/api/*"),
        ("/api/v1", "/api/v1/*"),
        ("/api/v1/", "/api/v1/*"),
        ("/api/v1/users", "/api/v1/users"),
        ("/api/v1/users/", "/api/v1/*"),
        ("/api/v12", "/api/*"),
        ("/%61pi/./v1//x", "/api/v1/*"),
        ("/health", "/health"),
    ] {
        assert_eq!(found(&rules, "", path).as_deref(), Some(expected), "{path}");
    }
    for path in ["/", "/apix", "/health/", "/API", "/api/../x", "*"] {
        assert_eq!(found(&rules, "", path), None, "{path}");
    }
    assert_eq!(found(&["/api/*"], "", "/api").as_deref(), Some("/api/*"));
    assert_eq!(found(&["/*", "/"], "", "*").as_deref(), Some("/*"));
    assert_eq!(found(&["/*", "/"], "", "/").as_deref(), Some("/"));
    assert_eq!(found(&["/*"], "", "/").as_deref(), Some("/*"));
    assert_eq!(found(&[], "a", "/"), None);
}

#[test]
fn hosts_by_example() {
    let rules = ["example.com/*", "*.example.com/*", "*.b.example.com/*", "*.com/*", "[::1]/*", "/*"];
    let long = format!("{}.example.com", "a.".repeat(100) + "a");
    let too_long = format!("{}.example.com", "a".repeat(245));
    for (host, expected) in [
        ("example.com", "example.com/*"),
        ("EXAMPLE.com:8080", "example.com/*"),
        ("example.com.", "example.com/*"),
        ("example.com.:80", "example.com/*"),
        ("example.com..", "/*"),
        ("a.example.com", "*.example.com/*"),
        ("b.example.com", "*.example.com/*"),
        ("a.b.example.com", "*.b.example.com/*"),
        ("x.a.b.Example.com", "*.b.example.com/*"),
        (".example.com", "*.com/*"),
        ("example.org", "/*"),
        ("com", "/*"),
        ("[::1]", "[::1]/*"),
        ("[::1]:8080", "[::1]/*"),
        ("[::2]", "/*"),
        ("[::1", "/*"),
        ("", "/*"),
        (&long, "*.example.com/*"),
        (&too_long, "/*"),
    ] {
        assert_eq!(found(&rules, host, "/x").as_deref(), Some(expected), "{host}");
    }
}

#[test]
fn a_path_that_fails_falls_back_to_the_next_host() {
    let rules = ["a.example.com/a", "*.example.com/b/*", "/c", "*.com/b/b"];
    assert_eq!(found(&rules, "a.example.com", "/b/b").as_deref(), Some("*.example.com/b/*"));
    assert_eq!(found(&rules, "a.example.com", "/c").as_deref(), Some("/c"));
    assert_eq!(found(&rules, "a.example.com", "/d"), None);
}

/// Neither many segments nor a deep pattern make anything but a plain walk.
#[test]
fn deep_patterns_and_deeper_paths() {
    let deep = "/a".repeat(511);
    let rules = [format!("{deep}/*"), deep.clone(), "/*".to_owned(), format!("/{}", "b".repeat(1023))];
    let rules: Vec<_> = rules.iter().map(String::as_str).collect();
    for (path, expected) in [
        (deep.clone(), 1),
        (format!("{deep}/"), 0),
        (format!("{deep}{}", "/b".repeat(8000)), 0),
        ("/a".repeat(510), 2),
        (format!("/{}", "b".repeat(1023)), 3),
        (format!("/{}", "b".repeat(1024)), 2),
        (format!("/{}", "b".repeat(16_000)), 2),
        ("/".repeat(16_000), 2),
    ] {
        let short = &path[..path.len().min(20)];
        assert_eq!(found(&rules, "a", &path).as_deref(), Some(rules[expected]), "{short}");
    }
}
