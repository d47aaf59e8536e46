//! The text of a file as a tree: the only place that knows which parser reads YAML.

use std::collections::HashMap;

use serde_saphyr::budget::{Budget, EnforcingPolicy, check_yaml_budget};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::{Report, quoted};
use super::spot::Place;
use super::tree::{Kind, Node};
use super::variables::{Variables, expand};

/// The most values of a file, repeated ones counted as often as they are repeated: room for 10,000 routes many times.
const MAX_NODES: usize = 1_000_000;

/// So much text counts as another value: what 64 MiB are made of is no configuration.
const BYTES_PER_NODE: usize = 64;

/// How deep values may lie within one another; the keys that there are need 6.
const MAX_DEPTH: usize = 32;

/// Reads a file, and replaces the variables in it. What is wrong is reported; what could be read comes back.
pub(super) fn parse(text: &str, vars: Variables<'_>, report: &mut Report<'_>) -> Option<Node> {
    let mut budget = Budget::default();
    budget.max_depth = MAX_DEPTH;
    budget.max_nodes = MAX_NODES;
    budget.max_events = 4 * MAX_NODES;
    budget.max_documents = 2;
    // One value repeated by thousands of routes is what repetitions are for; how much comes of it is counted below.
    budget.enforce_alias_anchor_ratio = false;
    match check_yaml_budget(text, budget, EnforcingPolicy::AllContent) {
        Err(error) => {
            report.error(place_of_error(&error), syntax(&error, text));
            return None;
        }
        Ok(checked) if checked.breached.is_some() => {
            let what = if checked.max_depth > MAX_DEPTH {
                format!("values lie more than {MAX_DEPTH} deep within one another")
            } else {
                "it has more values or repetitions than any configuration needs".to_owned()
            };
            report.error(Place { line: 1, column: 1, width: 1 }, format!("the file is refused: {what}"));
            return None;
        }
        Ok(_) => {}
    }
    let events = Parser::new_from_str(text);
    let mut builder = Builder { events, vars, report, anchors: HashMap::new(), nodes: 0 };
    match builder.file() {
        Ok(node) => node,
        Err(error) => {
            report.error(place_of_error(&error), syntax(&error, text));
            None
        }
    }
}

fn place_of_error(error: &ScanError) -> Place {
    let mark = error.marker();
    place(mark.line(), mark.col(), 1)
}

fn place(line: usize, column: usize, width: usize) -> Place {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: small(line), column: small(column + 1), width: small(width) }
}

fn place_of(span: &Span) -> Place {
    let (from, to) = (&span.start, &span.end);
    let width = if from.line() == to.line() { to.col().saturating_sub(from.col()) } else { 1 };
    place(from.line(), from.col(), width.max(1))
}

/// What the parser says, and what is usually the reason.
fn syntax(error: &ScanError, text: &str) -> String {
    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
    let indent = &line[..line.len() - line.trim_start().len()];
    if indent.contains('\t') {
        return "a tab cannot indent in YAML: use spaces".to_owned();
    }
    format!("this is not YAML: {}", error.info())
}

struct Builder<'t, 'v, 'r, 'l> {
    events: Parser<'t, StrInput<'t>>,
    vars: Variables<'v>,
    report: &'r mut Report<'l>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Builder<'t, '_, '_, '_> {
    fn file(&mut self) -> Result<Option<Node>, ScanError> {
        let mut file = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd => {}
                event if file.is_none() => file = self.node(event, &span)?,
                _ => {
                    self.report.error(
                        place(span.start.line(), 0, 1),
                        "a second document begins here: leave out the `---` in front of it",
                    );
                    return Ok(None);
                }
            }
        }
        Ok(Some(file.unwrap_or(Node { place: place(1, 0, 1), kind: Kind::Nothing })))
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, ScanError> {
        loop {
            match self.events.next().transpose()? {
                Some((Event::Anchor(..), _)) => {}
                other => return Ok(other),
            }
        }
    }

    /// The value that begins with this event; none where a collection ends.
    fn node(&mut self, event: Event<'t>, span: &Span) -> Result<Option<Node>, ScanError> {
        let place = place_of(span);
        let before = self.nodes;
        self.nodes += 1;
        if let Event::Scalar(text, ..) = &event {
            self.nodes += text.len() / BYTES_PER_NODE;
        }
        let (kind, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, place), anchor, tag.is_some())
            }
            Event::SequenceStart(_, anchor, tag) => (self.list()?, anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (self.map()?, anchor, tag.is_some()),
            Event::Alias(id) => return Ok(Some(self.repeated(id, place))),
            _ => return Ok(None),
        };
        if tagged {
            self.report.error(place, "a tag such as !name means nothing here: leave it out");
        }
        let width = if matches!(kind, Kind::List(_) | Kind::Map(_)) { 1 } else { place.width };
        let node = Node { place: Place { width, ..place }, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(Some(node))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Kind {
        if style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Kind::Nothing;
        }
        Kind::Scalar(expand(text, self.vars).unwrap_or_else(|problem| {
            self.report.error(place, problem);
            text.to_owned()
        }))
    }

    fn list(&mut self) -> Result<Kind, ScanError> {
        let mut list = Vec::new();
        while let Some((event, span)) = self.next()? {
            match self.node(event, &span)? {
                Some(node) => list.push(node),
                None => break,
            }
        }
        Ok(Kind::List(list))
    }

    fn map(&mut self) -> Result<Kind, ScanError> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut lines: HashMap<String, u32> = HashMap::new();
        while let Some((event, span)) = self.next()? {
            // A key is what it is: variables are for values.
            let name = if let Event::Scalar(text, ..) = &event { Some(text.to_string()) } else { None };
            let place = place_of(&span);
            let is_end = matches!(event, Event::MappingEnd);
            if name.is_none() {
                self.node(event, &span)?;
            }
            if is_end {
                break;
            }
            let Some((event, span)) = self.next()? else { break };
            let Some(mut value) = self.node(event, &span)? else { break };
            let Some(name) = name else {
                self.report.error(place, "a key must be plain text");
                continue;
            };
            // What lies below a key is found by the key.
            if matches!(value.kind, Kind::List(_) | Kind::Map(_) | Kind::Nothing) {
                value.place = place;
            }
            match lines.get(&name) {
                Some(first) => {
                    let message = format!("the key {} stands in line {first} already", quoted(&name));
                    self.report.error(place, message);
                }
                None => {
                    lines.insert(name.clone(), place.line);
                    entries.push((Node { place, kind: Kind::Scalar(name) }, value));
                }
            }
        }
        Ok(Kind::Map(entries))
    }

    /// What was said elsewhere, as often as there is room for it.
    fn repeated(&mut self, anchor: usize, place: Place) -> Node {
        let nothing = Node { place, kind: Kind::Nothing };
        let Some((node, size)) = self.anchors.get(&anchor) else {
            self.report.error(place, "this repeats a value within itself");
            return nothing;
        };
        let room = MAX_NODES.saturating_sub(self.nodes);
        self.nodes += size;
        if *size > room {
            // Said once: everything behind it is too much as well.
            if room > 0 {
                self.report.error(place, "the file is refused: its repetitions make it too large");
            }
            return nothing;
        }
        node.clone()
    }
}
