use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// An address that refuses connections, kept from everybody else.
#[derive(Debug)]
pub struct Refusing {
    socket: Socket,
    /// Which.
    pub address: SocketAddr,
}

impl Refusing {
    /// Any.
    pub fn start() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    /// Refuses nobody any more.
    pub fn listen(self) -> TcpListener {
        self.socket.listen(10).unwrap();
        TcpListener::from(self.socket)
    }
}

/// An address that neither accepts nor refuses, as one where no machine is: its queue is full and stays so.
#[derive(Debug)]
pub struct Full {
    /// The one that listens, and whoever waits there.
    _kept: Vec<Socket>,
    /// Which.
    pub address: SocketAddr,
}

impl Full {
    /// Any.
    pub fn start() -> Self {
        let Refusing { socket: listener, address } = Refusing::start();
        listener.listen(0).unwrap();
        let mut kept = vec![listener];
        // One more than the queue takes.
        while kept.len() < 100 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if socket.connect_timeout(&address.into(), Duration::from_millis(200)).is_err() {
                return Self { _kept: kept, address };
            }
            kept.push(socket);
        }
        panic!("a queue without end");
    }
}
