use super::problem::quoted;

/// Where variables come from.
pub(super) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// Replaces `${NAME}`, and `${NAME:-default}` where the variable is not set or empty; `$${` is `${`.
///
/// # Errors
/// A variable without a default is not set, or is not written like one.
pub(super) fn expand(text: &str, vars: Variables<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        if before.ends_with('$') {
            expanded.push('{');
            rest = &from[2..];
            continue;
        }
        let Some((inside, after)) = from[2..].split_once('}') else {
            return Err("a `${` without a `}`: write ${NAME}, or $${ for these characters".to_owned());
        };
        expanded.push_str(&value(inside, vars)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value(inside: &str, vars: Variables<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_plain) || name.as_bytes()[0].is_ascii_digit() {
        let shown = quoted(&format!("${{{inside}}}"));
        return Err(format!("{shown} is no variable: write ${{NAME}} or ${{NAME:-default}}"));
    }
    match (vars(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the variable {name} is not set: set it, or give a default, ${{{name}:-default}}"))
        }
    }
}
