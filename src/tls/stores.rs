//! Certificates and keys from files: PEM, or PKCS#12 as Java and OpenSSL write it. Java's own format, JKS, is named and
//! refused, with the command that converts it.

use super::{Fault, Identity, StoreFile, Trust, What};
use p12_keystore::{Pkcs12Archive, Pkcs12ImportPolicy};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::RootCertStore;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// No file of certificates is larger.
const LARGEST: u64 = 16 << 20;

/// The trusted certificates.
#[derive(Debug, Clone)]
pub struct Roots {
    pub certificates: Vec<CertificateDer<'static>>,
    pub store: Arc<RootCertStore>,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { certificates: Vec::new(), store: Arc::new(RootCertStore::empty()) }
    }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Our certificate, with those that lead to its issuer, and its key. What the files hold is added to `files`.
pub fn identity(from: &Identity, files: &mut Vec<Vec<u8>>) -> Result<Pair, Fault> {
    let of = |what, path: &Path, why: String| Fault::new(what, format!("{}: {why}", path.display()));
    match from {
        Identity::Pem { certificate, key } => {
            let chain = read(certificate, files).and_then(|text| pem_certificates(&text));
            let chain = chain.map_err(|why| of(What::Identity, certificate, why))?;
            let key_read = read(key, files).and_then(|text| pem_key(&text));
            Ok((chain, key_read.map_err(|why| of(What::PrivateKey, key, why))?))
        }
        Identity::Store(file) => {
            let fault = |why| of(What::Identity, &file.path, why);
            let bytes = read(&file.path, files).map_err(fault)?;
            let pair = match Format::of(&bytes) {
                Format::Pem => pem_certificates(&bytes).and_then(|chain| Ok((chain, pem_key(&bytes)?))),
                Format::Pkcs12 => pkcs12_identity(&bytes, &file.password),
                other => Err(other.refusal(file)),
            };
            pair.map_err(fault)
        }
    }
}

/// Who is trusted. What the files hold is added to `files`.
pub fn roots(trust: &Trust, files: &mut Vec<Vec<u8>>) -> Result<Roots, Fault> {
    let fault = |why: String| Fault::new(What::Trust, why);
    let certificates = match trust {
        Trust::Anyone => return Ok(Roots::default()),
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let why = found.errors.first().map_or_else(String::new, |e| format!(": {e}"));
                return Err(fault(format!("the system has no trusted certificates{why}; give a truststore")));
            }
            files.extend(found.certs.iter().map(|c| c.to_vec()));
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(found.certs);
            return Ok(Roots { certificates: Vec::new(), store: Arc::new(store) });
        }
        Trust::Store(file) => {
            let at = |why: String| fault(format!("{}: {why}", file.path.display()));
            let bytes = read(&file.path, files).map_err(at)?;
            match Format::of(&bytes) {
                Format::Pem => pem_certificates(&bytes),
                Format::Pkcs12 => pkcs12(&bytes, &file.password).map(trusted),
                other => Err(other.refusal(file)),
            }
            .and_then(|all: Vec<_>| match all.is_empty() {
                true => Err("there is no certificate in it".to_owned()),
                false => Ok(all),
            })
            .map_err(at)?
        }
    };
    let mut store = RootCertStore::empty();
    // One that is no authority is trusted for itself alone.
    store.add_parsable_certificates(certificates.iter().cloned());
    Ok(Roots { certificates, store: Arc::new(store) })
}

/// What is to be said of a file that is Java's.
pub fn jks(path: &Path) -> Option<String> {
    let mut head = [0; 4];
    fs::File::open(path).and_then(|mut f| f.read_exact(&mut head)).ok()?;
    let file = StoreFile { path: path.to_owned(), password: String::new() };
    (Format::of(&head) == Format::Jks).then(|| Format::Jks.refusal(&file))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Pem,
    Pkcs12,
    Jks,
    Unknown,
}

impl Format {
    fn of(bytes: &[u8]) -> Format {
        match bytes {
            [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Format::Jks,
            [0x30, ..] => Format::Pkcs12,
            _ if bytes.windows(11).any(|w| w == b"-----BEGIN ") => Format::Pem,
            _ => Format::Unknown,
        }
    }

    fn refusal(self, file: &StoreFile) -> String {
        let path = file.path.display();
        match self {
            Format::Jks => format!(
                "a Java keystore (JKS), which only Java reads; convert it: keytool -importkeystore -srckeystore {path} \
                 -destkeystore {path}.p12 -deststoretype PKCS12"
            ),
            _ => "neither PKCS#12 nor PEM".to_owned(),
        }
    }
}

fn read(path: &Path, files: &mut Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > LARGEST {
        return Err(format!("{size} bytes, which is no file of certificates"));
    }
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    files.push(bytes.clone());
    Ok(bytes)
}

fn pem_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|e| format!("a PEM certificate that cannot be read: {e}"))?;
    match all.is_empty() {
        true => Err("there is no PEM certificate (BEGIN CERTIFICATE) in it".to_owned()),
        false => Ok(all),
    }
}

fn pem_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let has = |what: &[u8]| text.windows(what.len()).any(|w| w == what);
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(
            "its private key is encrypted; write it without: openssl pkey -in FILE -out FILE.plain, \
                    readable by flumed alone"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|e| format!("no PEM private key in it: {e}"))
}

fn pkcs12(bytes: &[u8], password: &str) -> Result<Pkcs12Archive, String> {
    Pkcs12Archive::from_pkcs12(bytes, password).map_err(|e| match e {
        p12_keystore::error::Error::MacError(_) => "the password is wrong".to_owned(),
        other => format!("PKCS#12 that cannot be read: {other}"),
    })
}

/// As in Java: entries of their own, and the certificates that keys belong to, without those that have signed them. OpenSSL
/// marks nothing; where there is no key all are meant.
fn trusted(archive: Pkcs12Archive) -> Vec<CertificateDer<'static>> {
    let has_keys = !archive.keys.is_empty();
    let meant = archive.certs.iter().filter(|c| !has_keys || c.trusted || c.local_key_id.is_some());
    meant.map(|c| c.cert.as_der().to_vec().into()).collect()
}

fn pkcs12_identity(bytes: &[u8], password: &str) -> Result<Pair, String> {
    pkcs12(bytes, password)?;
    let store = p12_keystore::KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict)
        .map_err(|e| format!("PKCS#12 that cannot be read: {e}"))?;
    let (_, chain) =
        store.private_key_chain().ok_or("there is no private key with its certificate in it".to_owned())?;
    let certificates = chain.certs().iter().map(|c| c.as_der().to_vec().into()).collect();
    Ok((certificates, PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec()).into()))
}
