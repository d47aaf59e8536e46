//! The file: its text becomes a tree (`yaml`, `tree`), the tree is compared with the schema of the keys (`shape`), and
//! what the keys say is checked and put together (`resolve`). At each step everything that is wrong is told, and what
//! is right nevertheless (`sound`) goes on to the next, so that one look finds all.

mod health_keys;
mod keys;
mod problem;
mod resolve;
mod route_keys;
mod shape;
mod sound;
mod spot;
mod tree;
mod variables;
mod yaml;

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;

pub use problem::{Problem, Problems};
pub use spot::Place;

use super::Loaded;
use keys::FileKeys;
use problem::Report;

/// Reads a file's text. `name` is what problems call it, `vars` knows the variables that it may use.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(text: &str, name: &str, vars: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    // A mark at the beginning of a file says how it is encoded; it is no part of it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::new(name, text);
    let loaded = read(text, vars, &mut report);
    let warnings = report.finish()?;
    loaded
        .map(|loaded| Loaded { warnings, ..loaded })
        .ok_or_else(|| Problems::unreadable(name, "no reason given"))
}

fn read(text: &str, vars: &dyn Fn(&str) -> Option<String>, report: &mut Report<'_>) -> Option<Loaded> {
    let tree = yaml::parse(text, vars, report)?;
    let schema = built_schema();
    shape::check(&tree, "the file", schema, schema, report);
    if report.has_errors() {
        let sound = sound::part(tree, &report.places_of_errors());
        if let Ok(keys) = FileKeys::deserialize(&sound) {
            resolve::resolve(&keys, report);
        }
        return None;
    }
    match FileKeys::deserialize(&tree) {
        Ok(keys) => Some(resolve::resolve(&keys, report)),
        Err(error) => {
            // The schema lets something through that the types do not: a mistake of ours, not to be hidden.
            report.error(tree.place, format!("the file cannot be read: {error}"));
            None
        }
    }
}

/// The schema of the file (JSON Schema, draft 2020-12), made from the types that read it.
pub fn schema() -> Value {
    built_schema().clone()
}

fn built_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema =
            SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<FileKeys>().to_value();
        without_null(&mut schema);
        schema
    })
}

/// An absent key is absent: nobody writes `null`, although it is read.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(without_null);
            if let Some(Value::Array(names)) = members.get_mut("type") {
                names.retain(|name| name != "null");
                if let [only] = names.as_slice() {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(names)) = members.get_mut("enum") {
                names.retain(|name| !name.is_null());
            }
            let is_null = |schema: &Value| schema.get("type").is_some_and(|name| name == "null");
            if let Some(Value::Array(any)) = members.get_mut("anyOf")
                && any.iter().any(is_null)
            {
                any.retain(|schema| !is_null(schema));
                if let [Value::Object(only)] = any.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    members.extend(only.into_iter().filter(|(key, _)| key != "description"));
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(without_null),
        _ => {}
    }
}
