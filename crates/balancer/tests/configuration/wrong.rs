//! What is said of wrong files.

use proptest::prelude::*;

use super::read;

/// All that is said of a file, a line each, without the file's name and the excerpts.
fn said(text: &str) -> Vec<String> {
    let problems = match read(text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.all().to_vec(),
    };
    let line = |line: String| line.strip_prefix("balancer.yaml:").unwrap_or(&line).to_owned();
    problems.iter().map(|problem| line(problem.line())).collect()
}

/// Wrong files and what is said of them: a file's lines, then its problems behind `>`.
const TABLE: &str = include_str!("wrong.txt");

fn table() -> Vec<(String, Vec<String>)> {
    let cases = TABLE.split("\n----\n").map(|case| {
        let (file, said): (Vec<&str>, Vec<&str>) = case.lines().partition(|line| !line.starts_with("> "));
        // A tab is visible in the table.
        let file = file.iter().map(|line| line.replace('→', "\t") + "\n").collect();
        (file, said.iter().map(|line| line[2..].to_owned()).collect())
    });
    cases.collect()
}

#[test]
fn each_wrong_file_is_told_what_is_wrong() {
    let mut written = Vec::new();
    let mut differ = Vec::new();
    for (file, expected) in table() {
        let actual = said(&file);
        assert!(!actual.is_empty(), "nothing is said of\n{file}");
        let lines = actual.iter().map(|line| format!("> {line}\n")).collect::<String>();
        written.push(format!("{}{}", file.replace('\t', "→"), lines));
        if actual != expected {
            differ.push(format!("{file}\nis told\n{lines}but should be\n{expected:#?}"));
        }
    }
    if std::env::var_os("BERTH_UPDATE").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configuration/wrong.txt"),
            written.join("----\n"),
        )
        .unwrap();
        return;
    }
    assert!(written.len() >= 40, "{} cases", written.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn a_problem_shows_its_place() {
    let problems = read("listen: 8080\nroutes:\n  - pth: /api\n    backend: web\n").unwrap_err();
    let expected =
        "balancer.yaml:3:5: unknown key `pth`, did you mean `path`?\n  |\n3 |   - pth: /api\n  |     ^^^";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn the_end_of_a_long_line_is_shown_too() {
    let text = format!("registry: [{}]\n", vec!["localhost:9090"; 100].join(", ") + ", 80/a");
    let shown = read(&text).unwrap_err().to_string();
    let excerpt: Vec<&str> = shown.lines().collect();
    assert!(excerpt[2].ends_with("80/a]") && excerpt[2].len() < 200, "{shown}");
    let caret = excerpt[3].find('^').unwrap();
    assert_eq!(&excerpt[2][caret..caret + 4], "80/a");
}

#[test]
fn hostile_files_are_refused_at_once() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        bomb += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
    }
    let lines = said(&bomb);
    assert!(lines.iter().any(|line| line.contains("the file is refused")), "{lines:?}");
    // A long text repeated is as much as many.
    let long = format!("- &a {}\n{}", "x".repeat(1 << 20), "- *a\n".repeat(1000));
    let lines = said(&long);
    assert!(lines.iter().any(|line| line.contains("its repetitions make it too large")), "{lines:?}");
    let deep = format!("routes: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(!said(&deep).is_empty());
    let repeated = "- &a [*a]\n";
    assert!(!said(repeated).is_empty());
}

#[test]
fn a_hostile_text_does_not_reach_the_terminal() {
    for text in [
        "\"\\e[31m\": 1\n",
        "max_head: \"64\\e[31mKiB\"\n",
        "upstream: \"http://a\\e[31m\"\n",
        "routes: [{servers: [{url: \"a\\e[31m\"}]}]\n",
    ] {
        let shown = read(text).unwrap_err().to_string();
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}

proptest! {
    #[test]
    fn whatever_stands_in_a_file_it_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn whatever_stands_under_a_key_it_is_read_or_refused(
        lines in proptest::collection::vec(
            (
                "( {0,6}|  - | +- )",
                prop_oneof![
                    Just("routes"), Just("backends"), Just("path"), Just("split"), Just("servers"), Just("url"),
                    Just("listen"), Just("respond"), Just("redirect_to"), Just("strip_prefix"), Just("headers"),
                ],
                "(|/a|/\\*|\\[a, b\\]|\\{a: 1, \"b@1\": 2\\}|[0-9]{1,6}|\\$\\{[A-Z:-]{0,6}\\}?|&a|\\*a|https://\\{host\\}|\\PC{0,12})",
            ),
            0..12,
        )
    ) {
        let text: String = lines.iter().map(|(indent, key, value)| format!("{indent}{key}: {value}\n")).collect();
        let _ = read(&text);
    }
}

#[test]
fn limits_that_go_by_clients_are_bounded_in_all() {
    // Each has a table.
    let route =
        |number, limits: &str| format!("  - {{path: /{number}, service: a, rate_limit: [{limits}]}}\n");
    let eight = ["{requests: 1, by: {address: true}}"; 8].join(", ");
    let full: String = (0..32).map(|number| route(number, &eight)).collect();
    assert!(read(&format!("routes:\n{full}{}", route(32, "{requests: 1}"))).is_ok());
    let one_more = format!("routes:\n{full}{}", route(32, "{requests: 1}, {requests: 1, by: {header: a}}"));
    let expected = "34:71: this is one limit with `by` too many: a file may have 256";
    assert_eq!(said(&one_more), [expected]);
}
