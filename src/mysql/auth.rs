//! Proving the password: scrambles, and the RSA exchange of `caching_sha2_password` over a connection without TLS.
//!
//! The scrambles and OAEP come from `mysql_common`; its PEM reader panics on a bad key, so the key is read here, and
//! only a modulus and an exponent that its arithmetic can take are handed over. No IO.

use mysql_common::crypto::rsa::{GetRandom, Pkcs1OaepPadding, PublicKey};
use mysql_common::num_bigint::BigUint;
use mysql_common::scramble::{scramble_native, scramble_sha256};

use crate::error::{Error, ErrorKind, Result};

/// MySQL's default since 8.0.
pub const CACHING_SHA2: &str = "caching_sha2_password";
/// MySQL's default before 8.0; gone in 9.0.
pub const NATIVE: &str = "mysql_native_password";

/// OAEP with SHA-1 takes two hashes and two bytes of the modulus.
const OAEP_BYTES: usize = 2 * 20 + 2;

/// The answer to the server's scramble under `plugin`; empty for an empty password.
///
/// # Errors
/// When the account wants a plugin that is not built.
pub fn scramble(plugin: &str, nonce: &[u8], password: &str) -> Result<Vec<u8>> {
    let password = password.as_bytes();
    match plugin {
        CACHING_SHA2 => Ok(scramble_sha256(nonce, password).map(Vec::from).unwrap_or_default()),
        NATIVE => Ok(scramble_native(nonce, password).map(Vec::from).unwrap_or_default()),
        other => Err(Error::new(
            ErrorKind::SourceRefused,
            format!(
                "the account logs in by {other}, which is not supported: ALTER USER .. IDENTIFIED WITH {CACHING_SHA2} BY \
                 '..'; or there is no such account, which servers hide behind any method: check mysql.user"
            ),
        )),
    }
}

/// The password under the server's RSA key (PEM), as full authentication sends it without TLS.
///
/// # Errors
/// When the key is not one, or too short for the password.
pub fn encrypt(password: &str, nonce: &[u8], pem: &[u8]) -> Result<Vec<u8>> {
    let (modulus, exponent) = public_key(pem)
        .ok_or_else(|| Error::new(ErrorKind::SourceRefused, "the server's RSA key is not a usable PEM public key; look at caching_sha2_password_public_key_path on the server, or log in over TLS (mysql.tls) or its Unix socket (mysql.socket)"))?;
    let mut secret = [password.as_bytes(), b"\0"].concat();
    if secret.len() + OAEP_BYTES > modulus.len() {
        let text = format!("the password is longer than the server's RSA key of {} bits can carry", modulus.len() * 8);
        return Err(Error::new(ErrorKind::SourceRefused, text));
    }
    for (byte, mask) in secret.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    let key = PublicKey::new(BigUint::from_bytes_be(modulus.as_slice()), BigUint::from_bytes_be(exponent.as_slice()));
    Ok(key.encrypt_block(&secret, Pkcs1OaepPadding::new(GetRandom)))
}

/// Modulus (1024 to 16384 bits, whole bytes, odd) and exponent of a PEM of SubjectPublicKeyInfo.
fn public_key(pem: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text.split_once("-----BEGIN PUBLIC KEY-----")?.1.split_once("-----END PUBLIC KEY-----")?.0;
    let der = base64(body)?;
    let (info, _) = der_value(&der, 0x30)?;
    let (_algorithm, rest) = der_value(info, 0x30)?;
    let (bits, _) = der_value(rest, 0x03)?;
    let (numbers, _) = der_value(bits.strip_prefix(&[0])?, 0x30)?;
    let (modulus, rest) = der_value(numbers, 0x02)?;
    let (exponent, _) = der_value(rest, 0x02)?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let usable = modulus.first()? & 0x80 != 0
        && modulus.last()? & 1 == 1
        && (128..=2048).contains(&modulus.len())
        && (1..=8).contains(&exponent.len());
    usable.then(|| (modulus.to_vec(), exponent.to_vec()))
}

/// The content of the DER element with this tag at the front, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (len, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)), rest)
        }
        0x80 | 0x84.. => return None,
    };
    rest.split_at_checked(len)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(digit), held + 6);
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxSKOcxiet8lLMn8ImyUE
bGGKob5EdRz/4wdiw12ED0GfKKTKhVnodFCfm1mdy7bKOX5QxL9skrvYodpW43eR
R5bfOzIgy1qIB8RYb6qOXRBw1oA4snBDqtUjDv/lbHLJN+IbzM4oU+e3Lt9rXyLX
VY289ewONPweXHqSCnTL91w+wkU1peIFV2QhZ+upUCdCtwOn5hnJPNgxtbklFoya
C8W3Z7Xx7He2QDJsEWAqX197efw0L6j8X8Tyd8Uwb7zUB1tfMGhHfm9EwejPAtzx
4GztQNtNMtGS2oGZLQBLV9hib4dDL92iiZeckg2LAf4GsJofLLR8mcHCRoqVbQJ1
YQIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn encrypts_under_a_good_key() {
        let (modulus, exponent) = public_key(PEM.as_bytes()).unwrap();
        assert_eq!((modulus.len(), exponent), (256, vec![1, 0, 1]));
        assert_eq!(encrypt("secret", &[7; 20], PEM.as_bytes()).unwrap().len(), 256);
    }

    #[test]
    fn a_bad_key_is_an_error() {
        for len in 0..PEM.len() - 1 {
            let cut = &PEM[..len];
            let result = encrypt("secret", &[7; 20], cut.as_bytes());
            assert!(result.is_err(), "cut at {len}");
        }
        let short = PEM.replacen("MIIBIjANBgkq", "MIIBIjANBgkA", 1).replace("xSKOc", "ASKOc");
        assert!(encrypt("secret", &[7; 20], short.as_bytes()).is_err());
        assert!(encrypt(&"x".repeat(214), &[7; 20], PEM.as_bytes()).is_err(), "a password that does not fit");
        assert!(encrypt(&"x".repeat(213), &[7; 20], PEM.as_bytes()).is_ok());
    }

    #[test]
    fn any_changed_byte_gives_an_error_or_a_block_but_no_panic() {
        for at in 0..PEM.len() {
            for byte in [b'A', b'/', b'9', b'-'] {
                let mut pem = PEM.as_bytes().to_vec();
                pem[at] = byte;
                let _ = encrypt("secret", &[7; 20], &pem).map(|block| assert!(block.len() <= 256));
            }
        }
    }

    #[test]
    fn an_empty_password_is_an_empty_answer() {
        for plugin in [CACHING_SHA2, NATIVE] {
            assert_eq!(scramble(plugin, &[1; 20], "").unwrap(), Vec::<u8>::new());
        }
        assert!(scramble("dialog", &[1; 20], "x").unwrap_err().text.contains("dialog"));
    }
}
