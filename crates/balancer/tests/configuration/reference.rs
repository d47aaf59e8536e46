//! docs/configuration.md, made from the schema.

use std::fmt::Write;

use serde_json::{Map, Value};

const INTRODUCTION: &str = include_str!("introduction.md");

/// The whole document.
pub(crate) fn text(schema: &Value) -> String {
    let mut text = INTRODUCTION.to_owned();
    table(&mut text, "Top level", schema);
    for (title, name) in [
        ("Routes", "Route"),
        ("Backends", "Backend"),
        ("Servers", "Server"),
        ("`respond`", "Respond"),
        ("`split_by`", "SplitBy"),
        ("`hash_by`", "HashBy"),
        ("`queue`", "Queue"),
        ("`health`", "Health"),
        ("`retry`", "Retry"),
        ("`per_client`", "PerClient"),
        ("`rate_limit`", "RateLimit"),
        ("`rate_limit`: `by`", "LimitBy"),
        ("`request_headers` and `response_headers`", "HeaderEdits"),
    ] {
        let part = schema["$defs"].get(name).unwrap_or_else(|| panic!("no {name} in the schema"));
        table(&mut text, title, part);
    }
    text
}

fn table(text: &mut String, title: &str, part: &Value) {
    let description = flowing(part["description"].as_str().expect("a description"));
    write!(text, "\n## {title}\n\n{description}\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
        .unwrap();
    let required = part["required"].as_array().cloned().unwrap_or_default();
    for (name, key) in part["properties"].as_object().expect("keys") {
        let default = match &key["default"] {
            Value::Null if required.contains(&Value::from(name.as_str())) => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let meaning =
            flowing(key["description"].as_str().unwrap_or_else(|| panic!("{name} without a comment")));
        let kind = kind(key.as_object().unwrap());
        writeln!(text, "| `{name}` | {kind} | {default} | {} |", meaning.replace('|', "\\|")).unwrap();
    }
}

/// A comment without its line breaks.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A type in words.
fn kind(key: &Map<String, Value>) -> String {
    if let Some(words) = key.get("x-kind").and_then(Value::as_str) {
        return words.to_owned();
    }
    if let Some(name) = key.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return match name {
            "Route" => "[route](#routes)".to_owned(),
            "Backend" => "[backend](#backends)".to_owned(),
            "Server" => "[server](#servers)".to_owned(),
            "Respond" => "[answer](#respond)".to_owned(),
            "Queue" => "[queue](#queue)".to_owned(),
            "Health" => "[check](#health)".to_owned(),
            "Retry" => "[retries](#retry)".to_owned(),
            "HashBy" => "[key](#hash_by)".to_owned(),
            "PerClient" => "[limits](#per_client)".to_owned(),
            "RateLimit" => "[limit](#rate_limit)".to_owned(),
            "LimitBy" => "[key](#rate_limit-by)".to_owned(),
            "SplitBy" => "[key](#split_by)".to_owned(),
            "HeaderEdits" => "[changes](#request_headers-and-response_headers)".to_owned(),
            other => panic!("no words for {other}"),
        };
    }
    if let Some(any) = key.get("anyOf").and_then(Value::as_array) {
        let all: Vec<String> = any.iter().map(|one| kind(one.as_object().unwrap())).collect();
        return all.join(" or ");
    }
    if let Some(names) = key.get("enum").and_then(Value::as_array) {
        let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_str().unwrap())).collect();
        return names.join(", ");
    }
    // Names that have a comment each.
    if let Some(names) = key.get("oneOf").and_then(Value::as_array) {
        let names: Vec<String> =
            names.iter().map(|one| format!("`{}`", one["const"].as_str().unwrap())).collect();
        return names.join(", ");
    }
    let inner = |name: &str| kind(key[name].as_object().expect("an inner schema"));
    match key.get("type").and_then(Value::as_str) {
        Some("array") => format!("list of {}", inner("items")),
        Some("object") => format!("mapping to {}", inner("additionalProperties")),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => match (key.get("minimum"), key.get("maximum")) {
            (Some(least), Some(most)) if most.as_u64() < Some(1 << 32) => format!("{least} to {most}"),
            _ => "number".to_owned(),
        },
        Some("string") => "text".to_owned(),
        other => panic!("no words for {other:?} in {key:?}"),
    }
}
