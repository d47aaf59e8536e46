use berth_model::check_route;
use berth_route::{Asked, HostPattern, PathPattern, Rule, Table, normal_path, read_path};

/// Paths have one normal form, and rules that can be read can be asked: the first line is a path, the second a query,
/// the third a host; each other one is a rule, if it can be read as one.
pub fn route(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (raw, query, host) = (line(), line(), line());
    let normal = normal_path(raw);
    assert_eq!(normal_path(&normal), normal, "it is final");
    assert!(raw == b"*" || normal.starts_with(b"/"));
    if let Ok(path) = read_path(raw) {
        assert_eq!(path, normal);
        assert_eq!(read_path(&path).ok().as_deref(), Some(&*normal), "it is read alike");
    }
    let rules: Vec<Rule> = lines.filter_map(|line| std::str::from_utf8(line).ok()).filter_map(rule).collect();
    let table = Table::new(&rules);
    let asked = Asked { method: b"GET", host: Some(host), path: &normal, query };
    if table.find(&asked, |_, _| false).is_some() {
        assert!(table.find(&asked, |_, _| true).is_some(), "who fulfils more is not for less");
    }
    let any = Table::new(&[Rule::any()]);
    assert_eq!(any.find(&asked, |_, _| false), Some(0));
}

/// A rule as a service or as the file has it.
fn rule(text: &str) -> Option<Rule> {
    let advertised = Rule::advertised(text);
    assert_eq!(check_route(text).is_ok(), advertised.is_ok(), "a registry takes what can be read: {text:?}");
    let (host, path) = text.split_at(text.find('/')?);
    let host: Option<HostPattern> = if host.is_empty() { None } else { Some(host.parse().ok()?) };
    let path: PathPattern = path.parse().ok()?;
    assert_eq!(path.to_string().parse().as_ref(), Ok(&path), "a pattern is read back");
    let fields =
        if path.to_string().len() % 2 == 0 { vec![("a".to_owned(), "b".to_owned())] } else { Vec::new() };
    Some(Rule { host, path, fields, ..Rule::any() })
}
