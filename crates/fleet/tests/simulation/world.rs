//! The truth: processes, at which ports, and whether they answer.

use std::time::Duration;

use berth_model::{Identity, Instance, Meta, Ttl};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// Its port accepts and says nothing.
    Stopped,
    Dead,
}

/// What a process wants with its registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Registered,
    /// It has said goodbye, or was told to.
    Ended,
    /// It is a server that is named.
    None,
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    pub(crate) ttl_s: f64,
    pub(crate) life: Life,
    pub(crate) wish: Wish,
    pub(crate) is_draining: bool,
    /// No packet of the balancer's comes to it.
    pub(crate) is_cut_off: bool,
    pub(crate) fails: bool,
    /// Since when it has answered the balancer, if it does.
    pub(crate) answers_since: Option<Duration>,
    pub(crate) renews_at: Duration,
}

impl Process {
    pub(crate) fn instance(&self) -> Instance {
        let Identity { service, id, run, scheme, host, port } = self.identity.clone();
        Instance {
            service,
            id,
            run,
            version: None,
            host,
            port,
            scheme,
            weight: 1,
            zone: None,
            routes: Vec::new(),
            meta: Meta::default(),
            ttl_s: Ttl::try_from(self.ttl_s).unwrap(),
            draining: self.is_draining,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.life == Life::Alive
    }

    /// Notes since when it answers.
    pub(crate) fn look(&mut self, now: Duration) {
        if self.is_alive() && !self.is_cut_off {
            self.answers_since.get_or_insert(now);
        } else {
            self.answers_since = None;
        }
    }
}

/// What a packet meets at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    Answer { fails: bool },
    Refusal,
    Silence,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) processes: Vec<Process>,
}

impl World {
    /// Who holds a port: the last that has come there and is not dead.
    pub(crate) fn at(&self, port: u16) -> Option<&Process> {
        self.processes.iter().rev().find(|it| it.identity.port == port && it.life != Life::Dead)
    }

    pub(crate) fn meet(&self, port: u16) -> Met {
        match self.at(port) {
            None => Met::Refusal,
            Some(process) if process.is_alive() && !process.is_cut_off => {
                Met::Answer { fails: process.fails }
            }
            Some(_) => Met::Silence,
        }
    }

    pub(crate) fn of(&self, identity: &Identity) -> Option<&Process> {
        self.processes.iter().find(|it| it.identity == *identity)
    }

    pub(crate) fn look(&mut self, now: Duration) {
        self.processes.iter_mut().for_each(|process| process.look(now));
    }

    pub(crate) fn is_free(&self, port: u16) -> bool {
        self.at(port).is_none()
    }
}

impl Process {
    /// Whether it is there for requests, as far as it knows.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_alive() && matches!(self.wish, Wish::Registered | Wish::None)
    }
}
