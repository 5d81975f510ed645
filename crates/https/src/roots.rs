//! TLS for every client of ours: rustls with aws-lc, the platform's roots or the bundled ones.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;

/// Whom we believe when a site shows its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roots {
    /// The platform's roots, which an operator can add to; the bundled ones where the platform has none.
    #[default]
    Platform,
    /// Mozilla's roots as bundled with this program: nothing is read from disk, for a fast start.
    Bundled,
}

/// For HTTP/1.1; a client's configuration of its own may share it.
///
/// # Errors
/// When the crypto provider does not know the protocol versions, which a build of ours always does.
pub fn client_config(roots: Roots) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let platform = match roots {
        Roots::Platform => Verifier::new(provider)
            .inspect_err(|error| tracing::debug!(%error, "the platform has no roots; the bundled ones are used"))
            .ok(),
        Roots::Bundled => None,
    };
    let mut config = match platform {
        Some(verifier) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        None => {
            let store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            builder.with_root_certificates(store).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_roots_make_a_configuration() {
        assert!(client_config(Roots::Platform).is_ok());
        assert!(client_config(Roots::Bundled).is_ok());
    }
}
