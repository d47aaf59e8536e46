//! TLS to upstreams: who is trusted, and sessions that are resumed.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use berth_pick::Endpoint;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::{info, warn};

/// Why a file of trusted certificates cannot be used.
#[derive(Debug, Error)]
pub enum CaError {
    /// It cannot be read, or is no PEM.
    #[error("{0}")]
    Unreadable(rustls::pki_types::pem::Error),
    /// There is nothing in it.
    #[error("it has no certificate in PEM")]
    Empty,
    /// A certificate is none.
    #[error("{0}")]
    Certificate(rustls::Error),
}

/// How upstreams prove who they are. Clones share their sessions.
#[derive(Clone, Default)]
pub struct UpstreamTls {
    connector: Arc<OnceLock<TlsConnector>>,
    /// The certificates that were given.
    given: Option<Arc<[u8]>>,
}

/// Whether the same is trusted.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls").finish_non_exhaustive()
    }
}

impl UpstreamTls {
    /// Trusts the certificates in this file, and no others.
    ///
    /// # Errors
    /// The file has none, or none that can be used.
    pub fn trusting(ca: &Path) -> Result<Self, CaError> {
        let mut roots = RootCertStore::empty();
        let given = std::fs::read(ca).map_err(|error| CaError::Unreadable(pem::Error::Io(error)))?;
        for certificate in CertificateDer::pem_slice_iter(&given) {
            roots.add(certificate.map_err(CaError::Unreadable)?).map_err(CaError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(CaError::Empty);
        }
        Ok(Self { connector: Arc::new(OnceLock::from(connector(roots))), given: Some(given.into()) })
    }

    /// Reads the certificates that the system trusts, unless others were given. It reads many files, so it is done
    /// off the request path, and only once somebody needs it.
    pub(crate) fn prepare(&self) {
        self.connector.get_or_init(|| connector(system_roots()));
    }

    /// Agrees on keys with an endpoint that has accepted the connection, and checks that it is who it should be: the
    /// name that it goes by, else its address.
    ///
    /// # Errors
    /// It is somebody else, or the handshake failed.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.prepare();
        let Some(connector) = self.connector.get() else { return Err(io::ErrorKind::NotFound.into()) };
        connector.connect(server_name(endpoint)?, stream).await
    }
}

fn server_name(endpoint: &Endpoint) -> io::Result<ServerName<'static>> {
    let Some(authority) = endpoint.authority() else {
        return Ok(ServerName::IpAddress(endpoint.address().ip().into()));
    };
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn connector(roots: RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        // The provider is built with both versions.
        .unwrap_or_else(|error| unreachable!("{error}"))
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (trusted, unusable) = roots.add_parsable_certificates(found.certs);
    info!(trusted, unusable, "reading the certificates that this system trusts");
    if roots.is_empty() {
        let problem = found.errors.first().map(ToString::to_string);
        warn!(
            problem,
            "this system trusts nobody: install ca-certificates, or name a file with --upstream-ca"
        );
    }
    roots
}
