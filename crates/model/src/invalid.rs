use std::fmt;

/// Input that was refused: which field, what is wrong with it, and how to mend it.
///
/// The three parts become the members `field`, `detail` and `mend` of a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field's name as the caller spells it, `body` when it is the whole.
    pub field: String,
    /// What is wrong, as half a sentence: "is 0".
    pub problem: String,
    /// What to send instead, as an imperative sentence.
    pub mend: String,
}

impl Invalid {
    /// An error about `field`; `problem` continues the sentence that begins with the field's name.
    pub fn new(field: impl Into<String>, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), mend: mend.into() }
    }

    /// The same error, told of another field: a parser does not know under which name its text came.
    #[must_use]
    pub fn of(mut self, field: &str) -> Self {
        field.clone_into(&mut self.field);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}. {}", self.field, self.problem, self.mend)
    }
}

impl std::error::Error for Invalid {}

/// A hostile text shortened and quoted for an error message.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    format!("\"{short}\"")
}
