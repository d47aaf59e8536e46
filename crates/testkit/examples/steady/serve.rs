use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use berth_client::model::{InstanceId, NamedVersion, Ttl};
use berth_client::{Registration, RegistryList, Settings};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use crate::ask::field;
use crate::now_ms;
use crate::shape::{FILLER, PAUSE, Shape, filler_bytes};

/// How long connections are still accepted after the goodbye, and how long what runs then may take.
const LAST_CALL: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted: as many as the example service has.
const BACKLOG: u32 = 1024;

/// Who it is, and where.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// What its answers are signed with, and its id if it registers
    #[arg(long, value_name = "NAME")]
    name: String,

    /// Where it listens; 0 takes a free port
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,

    /// The address it listens on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    host: IpAddr,

    /// The file at whose end POSTs, and GETs that take time, are noted: when, and the method and id
    #[arg(long, value_name = "FILE")]
    notes: PathBuf,

    /// A registry to register with; without it, it does not register
    #[arg(long, value_name = "HOST:PORT")]
    registry: Vec<RegistryList>,

    /// The service that it registers as
    #[arg(long, value_name = "NAME", default_value = "chaos")]
    service: NamedVersion,

    /// How long it stays listed after its last sign of life, in seconds
    #[arg(long, value_name = "N", default_value_t = 15.0)]
    ttl: f64,

    /// How long each answer takes, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 5)]
    delay: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    LastCall,
    Closed,
}

struct Instance {
    name: String,
    notes: File,
    delay: Duration,
    phase: watch::Receiver<Phase>,
}

/// Serves until SIGTERM, says goodbye, and ends when what ran has its answers.
pub(crate) async fn run(options: Options) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = listen((options.host, options.port).into())?;
    let notes = OpenOptions::new().create(true).append(true).open(&options.notes)?;
    let (phase_sender, phase) = watch::channel(Phase::Serving);
    let delay = Duration::from_millis(options.delay);
    let instance = Rc::new(Instance { name: options.name.clone(), notes, delay, phase });
    println!("listening {}", listener.local_addr()?.port());

    let registration = register(options, &listener)?;
    let connections = LocalSet::new();
    connections
        .run_until(async {
            let mut running = JoinSet::new();
            tokio::select! {
                () = accept(&listener, &instance, &mut running) => {}
                _ = terminate.recv() => {}
            }
            phase_sender.send_replace(Phase::LastCall);
            let goodbye = async {
                if let Some(registration) = registration {
                    registration.stop().await;
                }
                sleep(LAST_CALL).await;
            };
            tokio::select! {
                () = accept(&listener, &instance, &mut running) => {}
                () = goodbye => {}
            }
            drop(listener);
            phase_sender.send_replace(Phase::Closed);
            // What is still open after that is cut off: it would count as a failure, and should.
            let _ = timeout(GRACE, async { while running.join_next().await.is_some() {} }).await;
        })
        .await;
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for the old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn register(options: Options, listener: &TcpListener) -> Result<Option<Registration>, Error> {
    if options.registry.is_empty() {
        return Ok(None);
    }
    let mut settings = Settings::new(options.service, listener.local_addr()?);
    settings.registries = RegistryList::united(options.registry, Vec::new());
    settings.id = Some(options.name.parse::<InstanceId>().map_err(Error::other)?);
    settings.ttl = Ttl::try_from(options.ttl).map_err(Error::other)?;
    let registration = Registration::start(settings).map_err(Error::other)?;
    let mut states = registration.states();
    tokio::spawn(async move {
        // It ends with the registration.
        if states.wait_for(|state| !state.registered_at.is_empty()).await.is_ok() {
            println!("registered");
        }
    });
    Ok(Some(registration))
}

async fn accept(listener: &TcpListener, instance: &Rc<Instance>, running: &mut JoinSet<()>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let instance = Rc::clone(instance);
            running.spawn_local(async move {
                // A connection that breaks is its peer's affair.
                let _ = instance.serve(stream).await;
            });
        } else {
            sleep(Duration::from_millis(10)).await;
        }
        while running.try_join_next().is_some() {}
    }
}

impl Instance {
    /// The requests of a connection, one after the other.
    async fn serve(&self, mut stream: TcpStream) -> Result<(), Error> {
        stream.set_nodelay(true)?;
        let mut phase = self.phase.clone();
        let mut buffer = Vec::new();
        loop {
            tokio::select! {
                biased;
                ready = read_head(&mut stream, &mut buffer) => ready?,
                _ = phase.wait_for(|phase| *phase == Phase::Closed) => return Ok(()),
            }
            if !self.answer(&mut stream, &mut buffer).await? {
                return Ok(());
            }
        }
    }

    /// One answer; whether another may follow.
    async fn answer(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<bool, Error> {
        let head_bytes = head_bytes(buffer).ok_or(ErrorKind::InvalidData)?;
        let head = String::from_utf8_lossy(&buffer[..head_bytes]).into_owned();
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let id = path.rsplit('/').next().unwrap_or("");
        let shape = Shape::at(method, path);
        if shape.is_post() || shape.asked_ms() > 0 {
            // In one write, before anything else is done for it: a killed process has still noted it.
            (&self.notes).write_all(format!("{:.3} {method} {id}\n", now_ms()).as_bytes())?;
        }
        let arrived_bytes = read_body(stream, buffer, &head, head_bytes).await?;
        sleep(self.delay.max(Duration::from_millis(shape.asked_ms()))).await;
        let asks_for_end =
            field(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let is_last = asks_for_end || *self.phase.borrow() != Phase::Serving;
        let close = if is_last { "Connection: close\r\n" } else { "" };
        let mut content = format!("{id} {} {arrived_bytes}\n", self.name).into_bytes();
        content.resize(content.len() + shape.answer_bytes(), FILLER);
        let length = content.len();
        let mut answer = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n").into_bytes();
        let first = answer.len() / 2;
        if method != "HEAD" {
            answer.append(&mut content);
        }
        if shape == Shape::PiecesGet {
            stream.write_all(&answer[..first]).await?;
            sleep(PAUSE).await;
            stream.write_all(&answer[first..]).await?;
        } else {
            stream.write_all(&answer).await?;
        }
        Ok(!is_last)
    }
}

fn head_bytes(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4)
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Error> {
    while head_bytes(buffer).is_none() {
        read_more(stream, buffer).await?;
    }
    Ok(())
}

/// Reads the body to its end, and leaves in the buffer what is behind it; how much filler was in it.
async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &str,
    head_bytes: usize,
) -> Result<usize, Error> {
    let end = if let Some(length) = field(head, "content-length") {
        head_bytes + length.parse::<usize>().map_err(|_| ErrorKind::InvalidData)?
    } else if field(head, "transfer-encoding").is_some() {
        while !buffer[head_bytes..].ends_with(b"0\r\n\r\n") {
            read_more(stream, buffer).await?;
        }
        buffer.len()
    } else {
        head_bytes
    };
    while buffer.len() < end {
        read_more(stream, buffer).await?;
    }
    Ok(filler_bytes(buffer.drain(..end).as_slice()))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Error> {
    match stream.read_buf(buffer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
