//! What of a file can be understood although other parts of it have the wrong shape.

use super::spot::Place;
use super::tree::{Kind, Node};

/// A position in the file: line and column.
type Position = (u32, u32);

/// The tree without the keys, routes and backends in which there is an error. Nothing is left in it that looks wrong
/// only because something else is missing.
pub(super) fn part(mut tree: Node, errors: &[Place]) -> Node {
    let mut errors: Vec<Position> = errors.iter().map(position).collect();
    errors.sort_unstable();
    let Kind::Map(entries) = &mut tree.kind else { return Node { kind: Kind::Nothing, ..tree } };
    let ends = ends(entries.iter().map(|(key, _)| &key.place), (u32::MAX, 0));
    // A key that is not known may have been `backends`, misspelt: then no route can be blamed for the name it uses.
    let mut are_names_known = true;
    for ((key, value), end) in entries.iter_mut().zip(ends) {
        match (key.text(), &mut value.kind) {
            (Some("routes"), Kind::List(routes)) => {
                let wrong = wrong_ones(&errors, routes.iter().map(|route| &route.place), end);
                let mut wrong = wrong.into_iter();
                routes.retain(|_| wrong.next() == Some(false));
            }
            (Some("backends"), Kind::Map(backends)) => {
                let wrong = wrong_ones(&errors, backends.iter().map(|(name, _)| &name.place), end);
                for ((_, backend), _) in backends.iter_mut().zip(wrong).filter(|(_, is_wrong)| *is_wrong) {
                    *backend = of_anybody(backend.place);
                }
            }
            (name, kind) if has_any(&errors, &key.place, end) => {
                are_names_known &= name != Some("backends") && !errors.contains(&position(&key.place));
                *kind = Kind::Nothing;
            }
            _ => {}
        }
    }
    entries.retain(|(key, value)| {
        !matches!(value.kind, Kind::Nothing) && (are_names_known || key.text() != Some("routes"))
    });
    tree
}

/// A backend in the place of one that is wrong, for the routes that name it.
fn of_anybody(place: Place) -> Node {
    let node = |text: &str| Node { place, kind: Kind::Scalar(text.to_owned()) };
    Node { place, kind: Kind::Map(vec![(node("service"), node("any"))]) }
}

/// Which of the parts that begin at these places have an error in them. The last one ends at `end`.
fn wrong_ones<'p>(
    errors: &[Position],
    starts: impl Iterator<Item = &'p Place> + Clone,
    end: Position,
) -> Vec<bool> {
    let ends = ends(starts.clone(), end);
    starts.zip(ends).map(|(start, end)| has_any(errors, start, end)).collect()
}

/// Where parts end that begin at these places: where the next one begins.
fn ends<'p>(starts: impl Iterator<Item = &'p Place>, last: Position) -> Vec<Position> {
    starts.skip(1).map(position).chain([last]).collect()
}

/// Whether one of the errors, which are in order, is in between.
fn has_any(errors: &[Position], start: &Place, end: Position) -> bool {
    let next = errors.partition_point(|error| *error < position(start));
    errors.get(next).is_some_and(|error| *error < end)
}

fn position(place: &Place) -> Position {
    (place.line, place.column)
}
