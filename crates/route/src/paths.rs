use rustc_hash::FxHashMap;

use crate::PathPattern;
use crate::condition::Candidate;
use crate::path::MAX_PATTERN_BYTES;

/// The paths of all hosts: for each host a tree, a node per segment, all in one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

/// Where a tree begins, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(u32);

#[derive(Clone, Debug, Default)]
struct Node {
    /// The keys come from operators and their services, never from clients: nobody can make them collide.
    children: FxHashMap<Box<[u8]>, At>,
    /// The rules for exactly this path.
    exact: Vec<Candidate>,
    /// The rules for this path and everything below it.
    below: Vec<Candidate>,
    /// The next node up that has rules for everything below it.
    up: Option<At>,
}

impl Paths {
    /// A new tree, without rules.
    pub(crate) fn plant(&mut self) -> At {
        // More nodes than a u32 can count would not fit into memory.
        let at = At(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node::default());
        at
    }

    /// Adds a rule to the tree that begins here. [`Self::arrange`] comes after the last.
    pub(crate) fn insert(&mut self, root: At, path: &PathPattern, candidate: Candidate) {
        let mut at = root;
        for segment in path.text.split('/').skip(1) {
            at = self.child_or_new(at, segment.as_bytes());
        }
        let node = self.node_mut(at);
        let rules = if path.prefix { &mut node.below } else { &mut node.exact };
        rules.push(candidate);
    }

    /// Puts rules in order and ties nodes together: the look-up needs both.
    pub(crate) fn arrange(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            node.exact.sort_by_key(Candidate::order);
            node.below.sort_by_key(Candidate::order);
            // Children are made after their parent, so its own `up` is there already.
            let up = if node.below.is_empty() { node.up } else { Some(At(index as u32)) };
            let children: Vec<_> = node.children.values().copied().collect();
            for child in children {
                self.node_mut(child).up = up;
            }
        }
    }

    /// The most specific of a tree's rules for this path that are fulfilled.
    ///
    /// It looks at no more of the path than patterns are long, so a long path costs no more than a short one.
    #[inline]
    pub(crate) fn find(
        &self,
        root: At,
        path: &[u8],
        is_fulfilled: impl Fn(&Candidate) -> bool,
    ) -> Option<usize> {
        let mut node = self.node(root);
        let mut rest = path;
        // Without the slash it is the `*` of OPTIONS, which has no segments and is only under the root's prefix.
        while let [b'/', after @ ..] = rest {
            let Some((child, behind)) = self.step(node, after) else { break };
            (node, rest) = (child, behind);
        }
        let exact = if rest.is_empty() { node.exact.as_slice() } else { &[] };
        let mut found = exact.iter().find(|candidate| is_fulfilled(candidate));
        let mut next = Some(node);
        while let (None, Some(node)) = (found, next) {
            found = node.below.iter().find(|candidate| is_fulfilled(candidate));
            next = node.up.map(|up| self.node(up));
        }
        found.map(|candidate| candidate.place)
    }

    /// One segment down; what is behind it begins with a slash, or is empty.
    #[inline]
    fn step<'p>(&self, node: &Node, path: &'p [u8]) -> Option<(&Node, &'p [u8])> {
        if node.children.is_empty() {
            return None;
        }
        // A segment that goes on behind that is longer than any key, and so is what is cut from it.
        let near = &path[..path.len().min(MAX_PATTERN_BYTES)];
        let end = near.iter().position(|byte| *byte == b'/').unwrap_or(near.len());
        let (segment, behind) = path.split_at(end);
        let child = node.children.get(segment)?;
        Some((self.node(*child), behind))
    }

    fn child_or_new(&mut self, at: At, segment: &[u8]) -> At {
        if let Some(known) = self.node(at).children.get(segment) {
            return *known;
        }
        let child = self.plant();
        self.node_mut(at).children.insert(segment.into(), child);
        child
    }

    fn node(&self, at: At) -> &Node {
        &self.nodes[at.0 as usize]
    }

    fn node_mut(&mut self, at: At) -> &mut Node {
        &mut self.nodes[at.0 as usize]
    }
}
