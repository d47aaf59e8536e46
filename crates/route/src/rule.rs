use std::fmt;

use berth_model::{Invalid, excerpt};

use crate::path::MAX_PATTERN_BYTES;
use crate::{HostPattern, PathPattern};

/// The most methods, fields and parameters of a rule, of each.
const MAX_CONDITIONS: usize = 32;

/// The whole condition of a route: a request must fulfil all of it.
///
/// One that was written by hand goes through [`Self::checked`] before it is compared with others or used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The host; any if there is none.
    pub host: Option<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// The methods, any if there are none. They are case-sensitive (RFC 9110 §9.1).
    pub methods: Vec<String>,
    /// Fields, by name, that the request must carry with exactly these values.
    pub fields: Vec<(String, String)>,
    /// Parameters of the query, decoded, that it must carry with exactly these values.
    pub query: Vec<(String, String)>,
}

impl Rule {
    /// Every request.
    pub fn any() -> Self {
        Self {
            host: None,
            path: PathPattern::any(),
            methods: Vec::new(),
            fields: Vec::new(),
            query: Vec::new(),
        }
    }

    /// Whether it is for every request.
    pub fn is_any(&self) -> bool {
        *self == Self::any()
    }

    /// Reads what a service advertises: `/api`, or `api.example.com/` with a host. It is for all paths below.
    ///
    /// # Errors
    /// It is neither.
    pub fn advertised(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_PATTERN_BYTES {
            let mend = format!("Send at most {MAX_PATTERN_BYTES} bytes.");
            return Err(Invalid::new("route", format!("has {} bytes", text.len()), mend));
        }
        let Some(slash) = text.find('/') else {
            let mend = "Send a path such as /api, or a host with one such as api.example.com/.";
            return Err(Invalid::new("route", format!("is {}", excerpt(text)), mend));
        };
        let (host, path) = text.split_at(slash);
        let host = if host.is_empty() { None } else { Some(host.parse()?) };
        Ok(Self { host, path: PathPattern::below(path)?, ..Self::any() })
    }

    /// Whether a request could fulfil it, as far as methods, fields and query can tell.
    ///
    /// # Errors
    /// A method is no token (RFC 9110 §9.1), a field has no name (§5.1) or a value that none can have (§5.5), a
    /// parameter has no name, or there are more than 32 of one kind.
    pub fn check(&self) -> Result<(), Invalid> {
        check_count("method", self.methods.len())?;
        check_count("header", self.fields.len())?;
        check_count("query", self.query.len())?;
        self.methods.iter().try_for_each(|method| Self::check_method(method))?;
        self.fields.iter().try_for_each(|(name, value)| Self::check_field(name, value))?;
        self.query.iter().try_for_each(|(name, value)| Self::check_parameter(name, value))
    }

    /// Whether a request may have this method.
    ///
    /// # Errors
    /// It is no token (RFC 9110 §9.1), or one that is known in capitals.
    pub fn check_method(method: &str) -> Result<(), Invalid> {
        let refused = |mend: String| Err(Invalid::new("method", format!("is {}", excerpt(method)), mend));
        if !is_token(method) {
            return refused("Write a method such as GET.".to_owned());
        }
        let upper = method.to_ascii_uppercase();
        let known = ["CONNECT", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];
        // It would be a method of its own, and no request would ever come with it.
        if upper != method && known.contains(&upper.as_str()) {
            return refused(format!("Write {upper}."));
        }
        Ok(())
    }

    /// Whether a request may have this field, and it may decide.
    ///
    /// # Errors
    /// The name is none (RFC 9110 §5.1), or the value none that a field may have (§5.5). Or it is Host: where a target
    /// is a URL, that names the host (RFC 9112 §3.2.2), and a condition on the field could be passed by.
    pub fn check_field(name: &str, value: &str) -> Result<(), Invalid> {
        if !is_token(name) {
            let mend = "Write a field's name such as x-version.";
            return Err(Invalid::new("header", format!("is {}", excerpt(name)), mend));
        }
        if name.eq_ignore_ascii_case("host") {
            let mend =
                "Write it as `host`, beside `headers`: not every request names its host in this field.";
            return Err(Invalid::new("header", format!("is {}", excerpt(name)), mend));
        }
        if value.chars().any(|char| char != '\t' && char.is_control()) || value.trim() != value {
            let mend = "Write visible text without white space around it.";
            return Err(Invalid::new("header", format!("{name} has the value {}", excerpt(value)), mend));
        }
        Ok(())
    }

    /// Whether a query may have this parameter.
    ///
    /// # Errors
    /// It has no name, or characters that nobody sees.
    pub fn check_parameter(name: &str, value: &str) -> Result<(), Invalid> {
        if name.is_empty() {
            return Err(Invalid::new("query", "has a parameter without a name", "Write its name."));
        }
        if name.chars().chain(value.chars()).any(char::is_control) {
            let shown = format!("has {}={}", excerpt(name), excerpt(value));
            return Err(Invalid::new("query", shown, "Write visible text, decoded."));
        }
        Ok(())
    }

    /// The rule in the form in which equal rules are equal: names of fields in lower case, everything in order and
    /// nothing twice.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn checked(mut self) -> Result<Self, Invalid> {
        self.check()?;
        for (name, _) in &mut self.fields {
            name.make_ascii_lowercase();
        }
        self.methods.sort();
        self.methods.dedup();
        for pairs in [&mut self.fields, &mut self.query] {
            pairs.sort();
            pairs.dedup();
        }
        Ok(self)
    }
}

impl fmt::Display for Rule {
    /// Host and path, and what else must be: `api.example.com/v1/* [GET,HEAD x-a=b ?q=1]`. Rules that differ look
    /// different: what is not plain is quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            host.fmt(f)?;
        }
        self.path.fmt(f)?;
        let methods: Vec<_> = self.methods.iter().map(|method| plain(method)).collect();
        let methods = (!methods.is_empty()).then(|| methods.join(","));
        let fields = self.fields.iter().map(|(name, value)| format!("{}={}", plain(name), plain(value)));
        let query = self.query.iter().map(|(name, value)| format!("?{}={}", plain(name), plain(value)));
        let more: Vec<_> = methods.into_iter().chain(fields).chain(query).collect();
        if more.is_empty() { Ok(()) } else { write!(f, " [{}]", more.join(" ")) }
    }
}

/// The text, quoted if it could be taken for anything around it.
fn plain(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\[],=?".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { format!("{text:?}") }
}

/// Whether this is a name as fields, methods and cookies have it: `token` of RFC 9110 §5.6.2.
pub fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

fn check_count(kind: &str, count: usize) -> Result<(), Invalid> {
    if count <= MAX_CONDITIONS {
        return Ok(());
    }
    let mend = format!("Write at most {MAX_CONDITIONS}, or a second route.");
    Err(Invalid::new(kind, format!("has {count} entries"), mend))
}
