//! Private keys, and to which public key they belong.

use aws_lc_rs::{
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair,
    },
};
use rustls_pki_types::PrivateKeyDer;

/// The curves on which the proxy can sign.
const CURVES: [&EcdsaSigningAlgorithm; 3] = [
    &ECDSA_P256_SHA256_ASN1_SIGNING,
    &ECDSA_P384_SHA384_ASN1_SIGNING,
    &ECDSA_P521_SHA512_ASN1_SIGNING,
];

/// The public half of `key`, as it stands in the `subjectPublicKey` of a certificate (RFC 5280 §4.1). `None`: the
/// proxy cannot sign with such a key.
pub(crate) fn public_half(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    let der = key.secret_der();
    ecdsa(der).or_else(|| ed25519(der)).or_else(|| rsa(key))
}

fn ecdsa(der: &[u8]) -> Option<Vec<u8>> {
    let on = |curve| EcdsaKeyPair::from_private_key_der(curve, der).ok();
    CURVES.into_iter().find_map(on).map(|pair| pair.public_key().as_ref().to_vec())
}

fn ed25519(der: &[u8]) -> Option<Vec<u8>> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
        .ok()
        .map(|pair| pair.public_key().as_ref().to_vec())
}

fn rsa(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    let pair = match key {
        PrivateKeyDer::Pkcs1(key) => rsa::KeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return None,
    };
    pair.ok().map(|pair| pair.public_key().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        PKCS_RSA_SHA256, SignatureAlgorithm,
    };
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn every_kind_of_key_belongs_to_its_own_certificate_only() {
        let kinds: [&SignatureAlgorithm; 4] =
            [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256];
        for kind in kinds {
            let key = KeyPair::generate_for(kind).unwrap();
            let certificate = CertificateParams::default().self_signed(&key).unwrap();
            let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
            let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let half = public_half(&der).unwrap();
            assert_eq!(half, *parsed.public_key().subject_public_key.data, "{kind:?}");
            let other = KeyPair::generate_for(kind).unwrap();
            let other = PrivateKeyDer::try_from(other.serialize_der()).unwrap();
            assert_ne!(public_half(&other).unwrap(), half);
        }
        assert_eq!(public_half(&PrivateKeyDer::Pkcs8(vec![1, 2, 3].into())), None);
    }
}
