//! What does not work out of what instances say about themselves, told to the operator.

use tracing::warn;

/// Something in what instances say that does not work out as its owner may think.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Complaint {
    /// An advertised route that cannot be read.
    Unreadable { instance: String, problem: String },
    /// A claim of everything, which is the operator's.
    Taken { instance: String },
    /// A public URL that is none.
    Private { instance: String, problem: String },
    /// A route that several services want.
    Contested { route: String, services: String },
}

impl Complaint {
    /// Tells the log.
    pub(super) fn tell(&self) {
        match self {
            Complaint::Unreadable { instance, problem } => {
                warn!(instance, problem, "an advertised route that cannot be read is passed over");
            }
            Complaint::Taken { instance } => {
                warn!(
                    instance,
                    "it wants all requests, but the operator has said where those go that nobody else gets"
                );
            }
            Complaint::Private { instance, problem } => {
                warn!(
                    instance,
                    problem, "the public_url in its meta cannot be read: it counts as not public"
                );
            }
            Complaint::Contested { route, services } => {
                warn!(route, services, "several services want this route: each gets its share of it");
            }
        }
    }
}
