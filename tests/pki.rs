//! Certificates for tests, made as they run: an authority, what it signs, what nobody signs; as PEM and PKCS#12.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{
    date_time_ymd, BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// An authority.
pub struct Pki(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Certified {
    pub certificate: String,
    pub key: String,
    certificate_der: Vec<u8>,
    key_der: Vec<u8>,
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
    let mut p = CertificateParams::new(hosts).unwrap();
    p.distinguished_name.push(DnType::CommonName, name);
    p
}

impl Pki {
    pub fn new(name: &str) -> Pki {
        let mut p = params(name, &[]);
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Pki(CertifiedIssuer::self_signed(p, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// It with its key, as if it were a server or client.
    pub fn itself(&self) -> Certified {
        Certified::of(self.0.as_ref(), self.0.key())
    }

    pub fn issue(&self, hosts: &[&str]) -> Certified {
        self.sign(params("test", hosts))
    }

    pub fn issue_expired(&self, hosts: &[&str]) -> Certified {
        let mut p = params("late", hosts);
        (p.not_before, p.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.sign(p)
    }

    fn sign(&self, p: CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let certificate = p.signed_by(&key, &self.0).unwrap();
        Certified::of(&certificate, &key)
    }
}

impl Certified {
    fn of(certificate: &rcgen::Certificate, key: &KeyPair) -> Certified {
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }

    pub fn self_signed(hosts: &[&str]) -> Certified {
        let key = KeyPair::generate().unwrap();
        Certified::of(&params("self", hosts).self_signed(&key).unwrap(), &key)
    }

    /// Certificate and key in one PEM text.
    pub fn pem(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }

    /// A PKCS#12 file with both.
    pub fn pkcs12(&self, password: &str) -> Vec<u8> {
        self.pkcs12_below(&[], password)
    }

    /// The same, with the certificates of those who have signed it.
    pub fn pkcs12_below(&self, signers: &[&Pki], password: &str) -> Vec<u8> {
        let key = PrivateKey::from_der(&self.key_der).unwrap();
        let mut chain = vec![Certificate::from_der(&self.certificate_der).unwrap()];
        chain.extend(signers.iter().map(|s| Certificate::from_der(s.0.der()).unwrap()));
        let mut store = KeyStore::new();
        store.add_entry("one", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("1", key, chain)));
        store.writer(password).write().unwrap()
    }

    /// A PKCS#12 file with the certificate, trusted.
    pub fn trusting(&self, password: &str) -> Vec<u8> {
        let certificate = Certificate::from_der(&self.certificate_der).unwrap();
        let mut store = KeyStore::new();
        store.add_entry("one", KeyStoreEntry::Certificate(certificate));
        store.writer(password).write().unwrap()
    }
}
