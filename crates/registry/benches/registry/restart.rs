//! Five thousand processes (two connections each, of 20,000 that many machines allow), and a registry that is killed and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use berth_client::{Registration, Settings};

use crate::peer::{Peer, binary};
use crate::{tell, tell_times};

const PROCESSES: usize = 5_000;

/// From the start of the new registry until everybody is registered again, and linked.
pub(crate) fn run() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut registry = start(place);
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listening = service.local_addr().unwrap();
    // What is accepted is a dial, and ends at once.
    std::thread::spawn(move || service.incoming().for_each(drop));
    let registrations: Vec<Registration> = runtime.block_on(async {
        let mut registrations = Vec::new();
        for number in 0..PROCESSES {
            let mut settings = Settings::new("web@1.2.3".parse().unwrap(), listening);
            settings.registries = vec![place.to_string().parse().unwrap()];
            settings.id = Some(format!("i{number}").parse().unwrap());
            registrations.push(Registration::start(settings).unwrap());
            if number % 100 == 99 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        registrations
    });
    let start_time = Instant::now();
    runtime.block_on(all_linked(&registrations, start_time));
    registry.kill();
    runtime.block_on(all_unlinked(&registrations));
    let registry = start(place);
    let times = runtime.block_on(all_linked(&registrations, Instant::now()));
    tell_times("restart: until each of 5,000 processes is registered and linked", times);
    tell("restart: CPU seconds of the registry for that", format_args!("{:.1}", registry.cpu_seconds()));
    runtime.shutdown_background();
}

fn start(place: SocketAddr) -> Peer {
    Peer::listening(Command::new(binary("registry")).args(["listen", &place.to_string()])).0
}

async fn all_linked(registrations: &[Registration], start: Instant) -> Vec<Duration> {
    let waits = registrations.iter().map(|registration| {
        let mut states = registration.states();
        async move {
            let is_linked = |state: &berth_client::State| !state.linked_at.is_empty();
            states.wait_for(is_linked).await.unwrap();
            start.elapsed()
        }
    });
    futures_util::future::join_all(waits).await
}

async fn all_unlinked(registrations: &[Registration]) {
    for registration in registrations {
        registration.states().wait_for(|state| state.linked_at.is_empty()).await.unwrap();
    }
}
