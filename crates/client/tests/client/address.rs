//! How registry addresses are read and printed.

use berth_client::RegistryAddress;

fn read(text: &str) -> Result<String, String> {
    text.parse::<RegistryAddress>().map(|address| address.to_string()).map_err(|error| error.to_string())
}

#[test]
fn every_usual_spelling_is_read() {
    let cases = [
        ("localhost:9090", "localhost:9090"),
        ("localhost", "localhost:9090"),
        ("LOCALHOST:1", "localhost:1"),
        ("127.0.0.1:9191", "127.0.0.1:9191"),
        ("[::1]:9191", "[::1]:9191"),
        ("[::1]", "[::1]:9090"),
        ("::1", "[::1]:9090"),
        ("http://registry.internal:9090", "registry.internal:9090"),
        ("http://registry.internal/", "registry.internal:9090"),
        ("http://[::1]:80/", "[::1]:80"),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        // What is printed is read as the same.
        assert_eq!(read(expected).as_deref(), Ok(expected), "{expected}");
    }
}

#[test]
fn everything_else_is_refused_with_a_mend() {
    let cases = [
        ("", "host and a port"),
        ("9090", "Write localhost:9090."),
        ("localhost:", "1 to 65535"),
        ("localhost:0", "1 to 65535"),
        ("localhost:+80", "1 to 65535"),
        ("localhost:65536", "1 to 65535"),
        ("localhost:90:90", "1 to 65535"),
        ("https://localhost:9090", "scheme is not http"),
        ("http://localhost:9090/v1", "more than a host and a port"),
        ("user@localhost:9090", "more than a host and a port"),
        ("[::1", "no host and port"),
        ("[::1]9090", "no host and port"),
        ("[localhost]:9090", "no host and port"),
        ("local host:9090", "neither a name nor an IP address"),
        (":9090", "neither a name nor an IP address"),
    ];
    for (text, part) in cases {
        let error = read(text).expect_err(text);
        assert!(error.starts_with("registry ") && error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_list_keeps_its_order_and_drops_doubles() {
    let list = RegistryAddress::parse_list("b:1, a:2,,b:1,localhost").expect("a list");
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["b:1", "a:2", "localhost:9090"]);
    assert!(RegistryAddress::parse_list(" , ").is_err());
    assert!(RegistryAddress::parse_list("a:1,9090").is_err());
}
