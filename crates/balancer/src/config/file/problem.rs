use std::fmt;
use std::sync::Arc;

use super::spot::Place;

/// The longest part of a line that an excerpt shows, in characters.
const EXCERPT_CHARACTERS: usize = 160;

/// Something that is wrong with a file, or looks wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Where, if it is anywhere in particular.
    pub place: Option<Place>,
    /// Whether the file can be used nevertheless.
    pub is_warning: bool,
    /// What is wrong, and how to mend it.
    pub message: String,
    excerpt: String,
}

impl Problem {
    /// The problem in one line, without the excerpt, as a log has it.
    pub fn line(&self) -> String {
        let kind = if self.is_warning { "warning: " } else { "" };
        match self.place {
            Some(Place { line, column, .. }) => {
                format!("{}:{line}:{column}: {kind}{}", self.file, self.message)
            }
            None => format!("{}: {kind}{}", self.file, self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        f.write_str(&self.excerpt)
    }
}

/// Everything that is wrong with a file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The file cannot be had at all.
    pub fn unreadable(name: &str, why: impl fmt::Display) -> Self {
        let message = format!("cannot be read: {why}");
        Self(vec![Problem {
            file: name.into(),
            place: None,
            is_warning: false,
            message,
            excerpt: String::new(),
        }])
    }

    /// What is wrong, in the order of the file.
    pub fn all(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers problems while a file is read.
#[derive(Debug)]
pub(super) struct Report<'t> {
    file: Arc<str>,
    lines: Vec<&'t str>,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(super) fn new(name: &str, text: &'t str) -> Self {
        Self { file: name.into(), lines: text.lines().collect(), problems: Vec::new() }
    }

    pub(super) fn error(&mut self, place: Place, message: impl Into<String>) {
        self.add(place, message.into(), false);
    }

    pub(super) fn warning(&mut self, place: Place, message: impl Into<String>) {
        self.add(place, message.into(), true);
    }

    fn add(&mut self, place: Place, message: String, is_warning: bool) {
        let excerpt = self.excerpt(place);
        self.problems.push(Problem {
            file: Arc::clone(&self.file),
            place: Some(place),
            is_warning,
            message,
            excerpt,
        });
    }

    /// Where errors are.
    pub(super) fn places_of_errors(&self) -> Vec<Place> {
        let errors = self.problems.iter().filter(|problem| !problem.is_warning);
        errors.filter_map(|problem| problem.place).collect()
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| !problem.is_warning)
    }

    /// The warnings, or everything if there is an error.
    ///
    /// # Errors
    /// There is an error.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        self.problems.sort_by_key(|problem| problem.place.map(|place| (place.line, place.column)));
        if self.has_errors() { Err(Problems(self.problems)) } else { Ok(self.problems) }
    }

    fn excerpt(&self, place: Place) -> String {
        let Some(line) = place.line.checked_sub(1).and_then(|index| self.lines.get(index as usize)) else {
            return String::new();
        };
        let from = (place.column as usize).saturating_sub(1);
        // A long line is shown from a little in front of the place on.
        let skipped = if from < EXCERPT_CHARACTERS / 2 { 0 } else { from - EXCERPT_CHARACTERS / 4 };
        let visible = |character: char| if character.is_control() { ' ' } else { character };
        let shown: String = line.chars().skip(skipped).take(EXCERPT_CHARACTERS).map(visible).collect();
        let room = shown.chars().count().saturating_sub(from - skipped).max(1);
        let carets = "^".repeat((place.width as usize).clamp(1, room));
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(from - skipped);
        format!("\n{margin} |\n{number} | {}\n{margin} | {indent}{carets}", shown.trim_end())
    }
}

/// A name as messages quote it: short, and harmless to a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// The name among these that was probably meant.
pub(super) fn nearest<'n>(asked: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // The distance takes time with the product of the lengths.
    if asked.len() > 100 {
        return None;
    }
    let similar = |name: &'n str| (strsim::damerau_levenshtein(asked, name), name);
    let (distance, name) = names.into_iter().map(similar).min_by_key(|(distance, _)| *distance)?;
    (distance <= (asked.chars().count() / 3).max(1)).then_some(name)
}

/// `, did you mean …?`, or what to do otherwise.
pub(super) fn suggestion<'n>(
    asked: &str,
    names: impl IntoIterator<Item = &'n str>,
    otherwise: &str,
) -> String {
    match nearest(asked, names) {
        Some(name) => format!(", did you mean {}?", quoted(name)),
        None => otherwise.to_owned(),
    }
}
