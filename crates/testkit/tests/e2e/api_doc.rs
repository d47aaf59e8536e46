//! Every example of docs/registry-api.md, run as it stands and in its order, gives the answer that stands below it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::site::registry;

/// The port that the document's server listens on.
const PORT: u16 = 3000;

struct Example {
    command: String,
    /// `json`, or `text` for a stream.
    kind: String,
    answer: String,
}

fn examples() -> Vec<Example> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let text = std::fs::read_to_string(root.join("docs/registry-api.md")).expect("docs/registry-api.md");
    let blocks: Vec<(&str, &str)> = text
        .split("\n```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').expect("a block has a first line"))
        .collect();
    // After a block's end the next one may begin at once.
    let mut examples = Vec::new();
    let mut blocks = blocks.into_iter();
    while let Some((kind, command)) = blocks.next() {
        assert_eq!(kind, "sh", "each example begins with its command: {command}");
        let (kind, answer) = blocks.next().unwrap_or_else(|| panic!("no answer to {command}"));
        let (command, kind, answer) = (command.to_owned(), kind.to_owned(), answer.to_owned());
        examples.push(Example { command, kind, answer });
    }
    examples
}

#[test]
fn every_example_gives_the_answer_that_stands_below_it() {
    let registry = registry();
    let address = format!("localhost:{}", registry.address().port());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let examples = examples();
    assert!(examples.len() >= 12, "only {} examples found", examples.len());
    for example in examples {
        let command = example.command.replace("localhost:9090", &address);
        let command = command.replace(&format!("\"port\": {PORT}"), &format!("\"port\": {port}"));
        let command = command.replacen("curl ", "curl -sS ", 1);
        match example.kind.as_str() {
            "json" => {
                let output = Command::new("sh").args(["-c", &command]).output().expect("sh");
                let answer = String::from_utf8(output.stdout).unwrap();
                assert_same(&command, &parse(&answer), &parse(&example.answer), port);
            }
            "text" => assert_stream(&command, &example.answer, port),
            other => panic!("{other} is no kind of answer: {command}"),
        }
    }
}

/// Reads as many lines of a stream as the document shows.
fn assert_stream(command: &str, expected: &str, port: u16) {
    let mut stream = Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines();
    for expected in expected.lines() {
        let line = lines.next().expect("the stream goes on").unwrap();
        match (line.strip_prefix("data: "), expected.strip_prefix("data: ")) {
            (Some(data), Some(expected)) => assert_same(command, &parse(data), &parse(expected), port),
            _ if line.starts_with("id: ") && expected.starts_with("id: ") => {
                assert_eq!(shape_of_revision(&line[4..]), shape_of_revision(&expected[4..]), "{command}");
            }
            _ => assert_eq!(line, expected, "{command}"),
        }
    }
    stream.kill().unwrap();
    stream.wait().unwrap();
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Equal but for the epoch, which is another at each start, and the port of the server.
fn assert_same(command: &str, answer: &Value, expected: &Value, port: u16) {
    let normal = |value: &Value| {
        let text = value.to_string().replace(&format!("\"port\":{port}"), &format!("\"port\":{PORT}"));
        let words = text.split('"').map(|word| shape_of_revision(word).unwrap_or_else(|| word.to_owned()));
        words.collect::<Vec<_>>().join("\"")
    };
    assert_eq!(normal(answer), normal(expected), "{command}");
}

/// The sequence of a revision, if it is one.
fn shape_of_revision(text: &str) -> Option<String> {
    let (epoch, sequence) = text.split_once('-')?;
    let is_epoch = epoch.len() == 16 && epoch.bytes().all(|b| b.is_ascii_hexdigit());
    (is_epoch && sequence.parse::<u64>().is_ok()).then(|| format!("EPOCH-{sequence}"))
}
