//! `mysql.tls` and its three files as what a TLS client needs, and the three files of `https` to ClickHouse.
//!
//! The one place where the modes differ in what they verify: whoever connects sees no more than whether TLS must be.
//! The system's own authorities are never asked: `tls_ca` alone decides, so that no certificate that anybody can buy
//! passes for the server's. Nothing is resumed: every connection verifies anew. Pure: files come in as texts.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Deserialize;

use super::section::Section;
use super::{ReadFile, Secret};

/// When a connection is encrypted. What is verified lies in the client's configuration.
#[derive(Clone, Default)]
pub enum Tls {
    /// Never.
    #[default]
    Disabled,
    /// When the server offers it.
    Preferred(Arc<ClientConfig>),
    /// Always; a server without TLS is refused.
    Required(Arc<ClientConfig>),
}

impl fmt::Debug for Tls {
    /// Only which it is: nothing of keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "Disabled",
            Self::Preferred(_) => "Preferred",
            Self::Required(_) => "Required",
        })
    }
}

/// `mysql.tls`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Disabled,
    #[default]
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

impl Mode {
    fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyIdentity)
    }
}

/// Our certificate, with those that lead to its authority, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads `tls`, `tls_ca`, `tls_cert` and `tls_key`.
pub fn tls(section: &mut Section, read_file: ReadFile<'_>) -> Tls {
    let mode: Mode = section.choice("tls", "preferred");
    let authorities = authorities(section, mode, read_file);
    let identity = identity(section, mode, read_file);
    let client = match client(mode, authorities, identity) {
        Ok(client) => Arc::new(client),
        Err(error) => {
            section.problem("tls_key", &format!("cannot be used together with tls_cert: {error}"));
            return Tls::Disabled;
        }
    };
    match mode {
        Mode::Disabled => Tls::Disabled,
        Mode::Preferred => Tls::Preferred(client),
        Mode::Required | Mode::VerifyCa | Mode::VerifyIdentity => Tls::Required(client),
    }
}

/// What `https` to ClickHouse needs: the server's certificate is verified in every case, its host name too.
#[derive(Clone)]
pub struct Https {
    /// One of them must have signed the server's certificate.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Our certificate, with those that lead to its authority, and its key in PEM, if the server asks for them.
    pub identity: Option<(Vec<CertificateDer<'static>>, Secret)>,
}

impl fmt::Debug for Https {
    /// Nothing of keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

/// Reads `tls_ca`, `tls_cert` and `tls_key` of a section whose `url` is https, or not.
pub fn https(section: &mut Section, is_https: bool, read_file: ReadFile<'_>) -> Option<Https> {
    let is_given = !section.string("tls_ca", "").is_empty();
    match (is_https, is_given) {
        (true, false) => section.problem(
            "tls_ca",
            "is needed with https: name the PEM file of the authority that signed the server's certificate",
        ),
        (false, true) => section.problem("tls_ca", "would verify nothing: write https:// in clickhouse.url with it"),
        (true, true) | (false, false) => {}
    }
    let authorities = certificates(section, "tls_ca", read_file);
    let mode = if is_https { Mode::VerifyIdentity } else { Mode::Disabled };
    let identity = identity(section, mode, read_file).and_then(|(chain, _)| {
        let key = file(section, "tls_key", read_file)?;
        Some((chain, Secret::new(&key)))
    });
    is_https.then_some(Https { authorities, identity })
}

fn authorities(section: &mut Section, mode: Mode, read_file: ReadFile<'_>) -> RootCertStore {
    let mut authorities = RootCertStore::empty();
    let is_given = !section.string("tls_ca", "").is_empty();
    if mode.verifies() && !is_given {
        section.problem(
            "tls_ca",
            "is needed to verify: name the PEM file of the authority that signed the server's certificate (ca.pem in the server's data folder, when the server made it itself)",
        );
    } else if !mode.verifies() && is_given {
        section.problem(
            "tls_ca",
            "would verify nothing: write tls = \"verify_identity\" (or \"verify_ca\", which takes any host name) with it",
        );
    }
    for certificate in certificates(section, "tls_ca", read_file) {
        if let Err(error) = authorities.add(certificate) {
            section.problem("tls_ca", &format!("holds a certificate that cannot be used: {error}"));
        }
    }
    authorities
}

fn identity(section: &mut Section, mode: Mode, read_file: ReadFile<'_>) -> Option<Identity> {
    let chain = certificates(section, "tls_cert", read_file);
    let key = private_key(section, read_file);
    let is_given = |section: &mut Section, key| !section.string(key, "").is_empty();
    match (is_given(section, "tls_cert"), is_given(section, "tls_key")) {
        (true, false) => section.problem("tls_key", "is needed with tls_cert: name the PEM file of its private key"),
        (false, true) => section.problem("tls_cert", "is needed with tls_key: name the PEM file of the certificate"),
        (true, true) if mode == Mode::Disabled => {
            section.problem("tls_cert", "is not sent without TLS: write tls = \"required\" or stricter, or https://");
        }
        (true, true) | (false, false) => {}
    }
    key.filter(|_| !chain.is_empty()).map(|key| (chain, key))
}

/// The certificates of a PEM file; none without the key, or after a problem.
fn certificates(section: &mut Section, key: &str, read_file: ReadFile<'_>) -> Vec<CertificateDer<'static>> {
    let Some(text) = file(section, key, read_file) else { return Vec::new() };
    match CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => return certificates,
        Ok(_) => section.problem(key, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        Err(error) => section.problem(key, &format!("is not PEM: {error}")),
    }
    Vec::new()
}

fn private_key(section: &mut Section, read_file: ReadFile<'_>) -> Option<PrivateKeyDer<'static>> {
    let text = file(section, "tls_key", read_file)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
    if key.is_err() {
        section.problem("tls_key", "holds no private key in PEM (-----BEGIN PRIVATE KEY-----; not one with a passphrase: openssl pkey -in KEY -out PLAIN)");
    }
    key.ok()
}

/// The text of the file that a key names; `None` without one, or after a problem.
fn file(section: &mut Section, key: &str, read_file: ReadFile<'_>) -> Option<String> {
    let path = section.string(key, "");
    let text = (!path.is_empty()).then(|| read_file(&path))?;
    text.map_err(|reason| section.problem(key, &format!("cannot be read: {reason}"))).ok()
}

fn client(
    mode: Mode,
    authorities: RootCertStore,
    identity: Option<Identity>,
) -> std::result::Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let check = ServerCheck {
        authorities: mode.verifies().then_some(authorities),
        asks_name: mode == Mode::VerifyIdentity,
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(check));
    let mut client = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    client.resumption = Resumption::disabled();
    Ok(client)
}

/// What is asked of the server's certificate.
#[derive(Debug)]
struct ServerCheck {
    /// One of these must have signed it, itself or by others, and it must be within its dates. `None`: nothing is
    /// asked, and then a signature by its key would prove nothing either.
    authorities: Option<RootCertStore>,
    /// Whether it must also name the host that was connected to.
    asks_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

type Checked<T> = std::result::Result<T, rustls::Error>;

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Checked<ServerCertVerified> {
        if let Some(authorities) = &self.authorities {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, authorities, intermediates, now, algorithms)?;
            if self.asks_name {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        match self.authorities {
            Some(_) => verify_tls12_signature(message, certificate, signature, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        match self.authorities {
            Some(_) => verify_tls13_signature(message, certificate, signature, &self.algorithms),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
