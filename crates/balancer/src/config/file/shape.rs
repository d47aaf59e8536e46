//! Whether a file has the keys and the types that it should have, by the schema that editors use too. Everything that
//! is wrong is told, not just the first.

use serde_json::{Map, Value};

use super::problem::{Report, quoted, suggestion};
use super::tree::{Kind, Node};

/// Checks a value against a schema whose references lead into `root`.
pub(super) fn check(node: &Node, name: &str, schema: &Value, root: &Value, report: &mut Report<'_>) {
    let Some(schema) = resolved(schema, root) else { return };
    match &node.kind {
        // A key without a value says nothing, as if it were not there.
        Kind::Nothing => {}
        Kind::Scalar(text) => scalar(node, text, name, schema, root, report),
        Kind::List(nodes) => match of_type(schema, "array", root) {
            Some(schema) => {
                let items = schema.get("items").unwrap_or(&Value::Bool(true));
                let name = format!("an entry of {name}");
                for node in nodes {
                    if matches!(node.kind, Kind::Nothing) {
                        report.error(node.place, format!("{name} is empty: write a value, or leave it out"));
                    }
                    check(node, &name, items, root, report);
                }
            }
            None => wrong(node, "a list", name, schema, root, report),
        },
        Kind::Map(entries) => match of_type(schema, "object", root) {
            Some(schema) => map(node, entries, name, schema, root, report),
            None => wrong(node, "a mapping", name, schema, root, report),
        },
    }
}

/// Follows a reference.
fn resolved<'s>(schema: &'s Value, root: &'s Value) -> Option<&'s Map<String, Value>> {
    let schema = schema.as_object()?;
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.strip_prefix('#')?)?.as_object(),
        None => Some(schema),
    }
}

/// The alternatives of a schema, itself if it has none.
fn alternatives<'s>(schema: &'s Map<String, Value>, root: &'s Value) -> Vec<&'s Map<String, Value>> {
    let Some(any) = schema.get("anyOf").and_then(Value::as_array) else { return vec![schema] };
    let inner = any.iter().filter_map(|schema| resolved(schema, root));
    inner.flat_map(|schema| alternatives(schema, root)).collect()
}

fn types(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        // An enumeration of names.
        _ => vec!["string"],
    }
}

/// The alternative that is for such values.
fn of_type<'s>(
    schema: &'s Map<String, Value>,
    name: &str,
    root: &'s Value,
) -> Option<&'s Map<String, Value>> {
    alternatives(schema, root).into_iter().find(|schema| types(schema).contains(&name))
}

fn map(
    node: &Node,
    entries: &[(Node, Node)],
    name: &str,
    schema: &Map<String, Value>,
    root: &Value,
    report: &mut Report<'_>,
) {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let others = schema.get("additionalProperties");
    for (key, value) in entries {
        let text = key.text().unwrap_or_default();
        let shown = quoted(text);
        if let Some(schema) = properties.get(text) {
            check(value, &shown, schema, root, report);
        } else if let Some(Value::Object(_)) = others {
            if matches!(value.kind, Kind::Nothing) {
                report.error(key.place, format!("{shown} has no value"));
            }
            check(value, &shown, others.unwrap_or(&Value::Null), root, report);
        } else {
            let names = properties.keys().map(String::as_str);
            let otherwise = if properties.len() > 12 {
                format!(": {name} has no such key")
            } else {
                format!(": {name} may have {}", one_of(names.clone(), "and"))
            };
            let suggestion = suggestion(text, names, &otherwise);
            report.error(key.place, format!("unknown key {shown}{suggestion}"));
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for key in required.filter_map(Value::as_str) {
        let is_there =
            |(name, value): &(Node, Node)| name.text() == Some(key) && !matches!(value.kind, Kind::Nothing);
        if !entries.iter().any(is_there) {
            report.error(node.place, format!("{name} has no `{key}`"));
        }
    }
}

fn one_of<'n>(names: impl Iterator<Item = &'n str>, last: &str) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((end, front)) if !front.is_empty() => format!("{} {last} {end}", front.join(", ")),
        _ => names.concat(),
    }
}

fn scalar(
    node: &Node,
    text: &str,
    name: &str,
    schema: &Map<String, Value>,
    root: &Value,
    report: &mut Report<'_>,
) {
    let choices: Vec<&str> = choices(schema).collect();
    if !choices.is_empty() {
        if !choices.contains(&text) {
            let otherwise = format!(": write {}", one_of(choices.iter().copied(), "or"));
            let suggestion = suggestion(text, choices, &otherwise);
            report.error(node.place, format!("{name} is {}{suggestion}", quoted(text)));
        }
        return;
    }
    let fits = |schema: &Map<String, Value>| {
        types(schema).into_iter().any(|kind| match kind {
            "string" => true,
            "boolean" => matches!(text, "true" | "false"),
            "integer" => is_within(text, schema),
            _ => false,
        })
    };
    if !alternatives(schema, root).into_iter().any(fits) {
        wrong(node, &quoted(text), name, schema, root, report);
    }
}

/// The names that a value may be.
fn choices(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    // Variants with a description stand each for itself.
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let inner = described.flat_map(|variant| {
        let one = variant.get("const").into_iter();
        one.chain(variant.get("enum").and_then(Value::as_array).into_iter().flatten())
    });
    listed.chain(inner).filter_map(Value::as_str)
}

fn is_within(text: &str, schema: &Map<String, Value>) -> bool {
    // Only what Rust reads as a number of the type, so without a sign or an underscore.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    number.is_some_and(|number| {
        let number = number as f64;
        bound("minimum").is_none_or(|least| number >= least)
            && bound("maximum").is_none_or(|most| number <= most)
    })
}

fn wrong(
    node: &Node,
    is: &str,
    name: &str,
    schema: &Map<String, Value>,
    root: &Value,
    report: &mut Report<'_>,
) {
    let mut expected: Vec<String> = alternatives(schema, root).into_iter().map(described).collect();
    expected.dedup();
    report.error(node.place, format!("{name} is {is}, but must be {}", expected.join(" or ")));
}

/// What a schema is for, in words.
fn described(schema: &Map<String, Value>) -> String {
    let has = |name| types(schema).contains(&name);
    if has("object") {
        return "a mapping".to_owned();
    }
    if has("array") {
        return "a list".to_owned();
    }
    if has("string") {
        return "a text".to_owned();
    }
    if has("boolean") {
        return "true or false".to_owned();
    }
    match (schema.get("minimum").and_then(Value::as_f64), schema.get("maximum").and_then(Value::as_f64)) {
        (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
        (Some(least), None) => format!("a whole number from {least} on"),
        _ => "a whole number".to_owned(),
    }
}
