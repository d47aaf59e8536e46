//! Scripted upstreams inside TLS, and an authority that vouches for them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use berth_balancer::config::{Settings, Upstream, default_routing};
use berth_balancer::tls::UpstreamTls;
use berth_model::Scheme;
use berth_testkit::{PATIENCE, eventually};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::harness::{settings, without_ids};

/// Who vouches for servers.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::default();
        let name = format!("authority {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// The file for `--upstream-ca`.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names and addresses, changed as the test likes.
    pub(crate) fn vouch(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Settings for these upstreams, each with the name or address that it goes by.
    pub(crate) fn settings(&self, upstreams: &[(&str, SocketAddr)]) -> Settings {
        let mut settings = settings(&[]);
        let upstreams: Vec<_> = upstreams.iter().map(|(host, address)| secure(host, *address)).collect();
        settings.routing = default_routing(None, &upstreams, &[]);
        settings.proxy.tls = UpstreamTls::trusting(&self.file()).unwrap();
        settings
    }
}

/// `https://HOST:PORT`.
pub(crate) fn secure(host: &str, address: SocketAddr) -> Upstream {
    Upstream { host: host.to_owned(), port: address.port(), scheme: Scheme::Https }
}

/// An upstream that listens for TLS.
pub(crate) struct Secure {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Secure {
    pub(crate) fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, config }
    }

    /// For `localhost`, vouched for by this authority.
    pub(crate) fn local(authority: &Authority) -> Self {
        Self::start(authority.vouch(&["localhost"], |_| {}))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes the next connection and shakes hands.
    pub(crate) fn accept(&self) -> SecureWire {
        eventually("a connection inside TLS", || self.try_accept())
    }

    /// The same if somebody has connected by now. Who only looked whether somebody listens does not count.
    pub(crate) fn try_accept(&self) -> Option<SecureWire> {
        loop {
            let (mut socket, _) = self.listener.accept().ok()?;
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.set_write_timeout(Some(PATIENCE)).unwrap();
            socket.set_nodelay(true).unwrap();
            let mut tls = ServerConnection::new(Arc::clone(&self.config)).unwrap();
            if tls.complete_io(&mut socket).is_ok() {
                return Some(SecureWire { stream: StreamOwned::new(tls, socket), ahead: Vec::new() });
            }
        }
    }
}

/// One end of a connection inside TLS.
pub(crate) struct SecureWire {
    stream: StreamOwned<ServerConnection, TcpStream>,
    ahead: Vec<u8>,
}

impl SecureWire {
    /// The name that the other end asked for (SNI).
    pub(crate) fn name(&self) -> Option<&str> {
        self.stream.conn.server_name()
    }

    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
        self.stream.flush().expect("flush");
    }

    /// Reads exactly these bytes.
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        while self.ahead.len() < expected.len() {
            let count = self.read_more();
            assert!(count > 0, "the end, after {:?}", self.ahead.escape_ascii().to_string());
        }
        let seen: Vec<u8> = self.ahead.drain(..expected.len()).collect();
        let seen = without_ids(&seen);
        assert!(
            seen == expected,
            "expected {:?}\n     got {:?}",
            expected.escape_ascii().to_string(),
            seen.escape_ascii().to_string()
        );
    }

    /// Reads a line, without its end.
    pub(crate) fn take_line(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let line = self.ahead.drain(..at + 2).take(at).collect();
                return line;
            }
            assert!(self.read_more() > 0, "the end within a line");
        }
    }

    /// Asserts that the other end closes without another byte.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!((self.read_more(), self.ahead.len()), (0, 0));
    }

    /// Reads to the end of a head. False: the other end has closed.
    pub(crate) fn skips_head(&mut self) -> bool {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                self.ahead.drain(..at + 4);
                return true;
            }
            if self.read_more() == 0 {
                return false;
            }
        }
    }

    /// Ends its half in order.
    pub(crate) fn finish(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("flush");
    }

    fn read_more(&mut self) -> usize {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.ahead.extend_from_slice(&bytes[..count]);
                count
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => 0,
            Err(error) => panic!("read: {error}"),
        }
    }
}
