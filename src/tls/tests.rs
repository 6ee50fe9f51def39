use super::engine::{Reread, LIVING};
use super::verify::Verifier;
use super::*;
use crate::lock::lock;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::ServerConfig;
use std::fs;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

#[path = "../../tests/pki.rs"]
pub mod pki;
use pki::{Certified, Pki};

/// A directory that is deleted.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("flumed-tls-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn store(&self, name: &str, bytes: impl AsRef<[u8]>) -> StoreFile {
        StoreFile { path: self.file(name, bytes), password: "changeit".to_owned() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A socket that has this, and waits for more.
struct Socket<'a>(&'a [u8]);

impl Read for Socket<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

/// Moves what one side has to send to the other, and says what is wrong with it.
fn send(sender: &mut Session, receiver: &mut Session) -> io::Result<()> {
    let mut records = Vec::new();
    sender.take_records(&mut records);
    let (mut socket, mut piece) = (Socket(&records), [0; 100]);
    while !socket.0.is_empty() {
        match receiver.read(&mut socket, &mut piece) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Makes the handshake; what is wrong with it, if one side finds it wrong.
fn shake(client: &mut Session, server: &mut Session) -> io::Result<()> {
    (0..5).try_for_each(|_| send(client, server).and_then(|()| send(server, client)))
}

fn why(client: &Client, server: &Server) -> String {
    let (mut c, mut s) = (client.connect("localhost").unwrap(), server.accept().unwrap());
    match shake(&mut c, &mut s) {
        Ok(()) => {
            assert!(!c.is_handshaking() && !s.is_handshaking());
            "fine".to_owned()
        }
        Err(e) => e.to_string(),
    }
}

fn serving(identity: Identity) -> Options {
    Options { identity: Some(identity), ..Options::default() }
}

fn trusting(file: StoreFile) -> Options {
    Options { trust: Trust::Store(file), ..Options::default() }
}

fn client(options: Options) -> Client {
    Client::new("k1", options).unwrap()
}

fn fault<T>(made: Result<T, Fault>) -> Fault {
    made.err().expect("is refused")
}

#[test]
fn bytes_go_both_ways() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let server =
        Server::new("r1", serving(Identity::Store(f.store("a.p12", pki.issue(&["x"]).pkcs12("changeit")))));
    let client = client(trusting(f.store("ca.pem", pki.certificate())));
    let (mut c, mut s) = (client.connect("localhost").unwrap(), server.unwrap().accept().unwrap());
    shake(&mut c, &mut s).unwrap();
    assert!(c.has_just_shaken() && !c.has_just_shaken());
    assert!(c.describe().starts_with("TLSv1_3, "), "{}", c.describe());
    let long = vec![7; 100_000];
    let mut records = Vec::new();
    c.put(&long, &mut records);
    let (mut from, mut piece, mut got) = (Socket(&records), [0; 5000], Vec::new());
    while got.len() < long.len() {
        let n = s.read(&mut from, &mut piece).unwrap();
        assert!(n > 0, "ends after {} bytes", got.len());
        got.extend_from_slice(&piece[..n]);
    }
    assert_eq!(got, long);
    let mut records = Vec::new();
    c.close(&mut records);
    assert_eq!(s.read(&mut &records[..], &mut piece).unwrap(), 0);
}

/// A socket that gives no more than so many bytes at once, and counts.
struct Steps<'a> {
    rest: &'a [u8],
    step: usize,
    reads: usize,
}

impl Read for Steps<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        let n = out.len().min(self.step);
        Socket(self.rest).read(&mut out[..n]).inspect(|n| self.rest = &self.rest[*n..])
    }
}

#[test]
fn a_large_room_takes_what_has_come_in_few_reads() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let own = f.store("s.pem", pki.issue(&["localhost"]).pem());
    let server = Server::new("r1", serving(Identity::Store(own))).unwrap();
    let client = client(trusting(f.store("ca.pem", pki.certificate())));
    let long: Vec<u8> = (0..300_000u32).map(|i| (i / 3) as u8).collect();
    let nonsense = [&[0x17, 3, 3, 0, 20][..], &[0; 20]].concat();
    for is_wrong in [false, true] {
        for step in [999, 16_384, 17_000, 50_000, 400_000] {
            for room in [2 * 18_432, 64 << 10, 500_000] {
                let (mut c, mut s) = (client.connect("localhost").unwrap(), server.accept().unwrap());
                shake(&mut c, &mut s).unwrap();
                let (mut records, mut out, mut got) = (Vec::new(), vec![0; room], Vec::new());
                c.put(&long, &mut records);
                if !is_wrong {
                    // What follows the goodbye is not looked at.
                    c.close(&mut records);
                }
                records.extend_from_slice(&nonsense);
                let mut from = Steps { rest: &records, step, reads: 0 };
                let last = loop {
                    match s.read(&mut from, &mut out) {
                        Ok(n) if n > 0 => got.extend_from_slice(&out[..n]),
                        last => break last,
                    }
                };
                assert_eq!(got.len(), long.len(), "step {step}, room {room}: {last:?}");
                assert_eq!(got, long);
                assert_eq!(last.is_err(), is_wrong, "{last:?}");
                assert!(step < 50_000 || from.reads < 40, "step {step}, room {room}: {} reads", from.reads);
            }
        }
    }
}

#[test]
fn clients_of_a_silent_server_are_sent_nothing() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let own = f.store("s.pem", pki.issue(&["localhost"]).pem());
    let client = client(trusting(f.store("ca.pem", pki.certificate())));
    for is_silent in [true, false] {
        let options = Options { is_silent, ..serving(Identity::Store(own.clone())) };
        let server = Server::new("r1", options).unwrap();
        let (mut c, mut s) = (client.connect("localhost").unwrap(), server.accept().unwrap());
        send(&mut c, &mut s).unwrap();
        send(&mut s, &mut c).unwrap();
        send(&mut c, &mut s).unwrap();
        assert!(s.describe().contains("TLSv1_3") && !s.is_handshaking());
        let mut records = Vec::new();
        s.take_records(&mut records);
        assert_eq!(records.is_empty(), is_silent, "tickets");
    }
}

#[test]
fn who_is_trusted() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let server = |c: &Certified| {
        let (certificate, key) = (f.file("c.pem", &c.certificate), f.file("k.pem", &c.key));
        Server::new("r1", serving(Identity::Pem { certificate, key })).unwrap()
    };
    let of_ca = client(trusting(f.store("ca.pem", pki.certificate())));
    let signed = server(&pki.issue(&["localhost"]));
    assert_eq!(why(&of_ca, &signed), "fine");
    assert!(why(&of_ca, &server(&pki.issue_expired(&["localhost"]))).contains("expired"));
    assert!(why(&of_ca, &server(&Pki::new("other").issue(&["localhost"]))).contains("nobody who is trusted"));
    let alone = Certified::self_signed(&["elsewhere"]);
    assert!(why(&of_ca, &server(&alone)).contains("not accepted"));
    assert!(why(&of_ca, &server(&Pki::new("other").itself())).contains("an authority's own (CA:TRUE)"));
    // Itself in the truststore.
    let pinned = trusting(f.store("alone.p12", alone.trusting("changeit")));
    assert_eq!(why(&client(pinned.clone()), &server(&alone)), "fine");
    assert!(why(&client(pinned.clone()), &signed).contains("nobody who is trusted"));
    let anyone = client(Options { trust: Trust::Anyone, ..Options::default() });
    assert_eq!(why(&anyone, &server(&alone)), "fine");
    // Names, on demand.
    let named = |o: Options| client(Options { verify_hostname: true, ..o });
    assert!(why(&named(pinned), &server(&alone)).contains("not valid for name"));
    assert_eq!(why(&named(trusting(f.store("ca.pem", pki.certificate()))), &signed), "fine");
}

#[test]
fn clients_have_certificates_too() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let own = f.store("s.pem", pki.issue(&["localhost"]).pem());
    let ca = f.store("ca.pem", pki.certificate());
    let asking = |client_auth| {
        let options =
            Options { client_auth, trust: Trust::Store(ca.clone()), ..serving(Identity::Store(own.clone())) };
        Server::new("r1", options).unwrap()
    };
    let with = |identity| client(Options { identity, ..trusting(ca.clone()) });
    let good = with(Some(Identity::Store(f.store("g.pem", pki.issue(&["c"]).pem()))));
    let bad = with(Some(Identity::Store(f.store("b.pem", Certified::self_signed(&["c"]).pem()))));
    let none = with(None);
    for (auth, to_good, to_bad, to_none) in [
        (ClientAuth::None, "fine", "fine", "fine"),
        (ClientAuth::Want, "fine", "not accepted", "fine"),
        (ClientAuth::Need, "fine", "not accepted", "no certificate"),
    ] {
        let server = asking(auth);
        for (client, expected) in [(&good, to_good), (&bad, to_bad), (&none, to_none)] {
            let said = why(client, &server);
            assert!(said.contains(expected), "{auth:?}: {said}");
        }
    }
}

#[test]
fn lists_leave_what_they_say() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let own = f.store("s.pem", pki.issue(&["localhost"]).pem());
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let server = |lists| Server::new("r1", Options { lists, ..serving(Identity::Store(own.clone())) });
    let only = |version| Lists { include_protocols: names(&[version]), ..Lists::default() };
    let old = server(only("TLSv1.2")).unwrap();
    let anyone = |lists| client(Options { trust: Trust::Anyone, lists, ..Options::default() });
    let (mut c, mut s) = (anyone(Lists::default()).connect("::1").unwrap(), old.accept().unwrap());
    shake(&mut c, &mut s).unwrap();
    assert!(s.describe().starts_with("TLSv1_2, TLS_ECDHE_"), "{}", s.describe());
    assert!(why(&anyone(only("TLSv1.3")), &old).contains("no TLS version"));
    let nothing = fault(server(only("TLSv1.1")));
    assert_eq!((nothing.what, nothing.why.contains("TLSv1.3 and TLSv1.2")), (What::Protocols, true));
    let suites = |include: &[&str], exclude: &[&str]| Lists {
        include_suites: names(include),
        exclude_suites: names(exclude),
        ..Lists::default()
    };
    let one = "TLS_AES_128_GCM_SHA256";
    let (mut c, mut s) = (
        anyone(suites(&[one], &[])).connect("x_y").unwrap(),
        server(Lists::default()).unwrap().accept().unwrap(),
    );
    shake(&mut c, &mut s).unwrap();
    assert_eq!(s.describe(), "TLSv1_3, TLS13_AES_128_GCM_SHA256");
    let none = fault(server(suites(&["TLS_RSA_WITH_AES_128_CBC_SHA"], &[])));
    assert_eq!((none.what, none.why.contains(one)), (What::Suites, true));
    let against = Lists {
        exclude_protocols: names(&["TLSv1.2"]),
        ..suites(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], &[])
    };
    assert_eq!(fault(server(against)).what, What::Suites);
    let doubts =
        Lists { include_protocols: names(&["TLSv1", "TLSv1.2"]), ..suites(&["SSL_X"], &["SSL_Y"]) }.doubts();
    assert_eq!(doubts.iter().map(|d| d.what).collect::<Vec<_>>(), [What::Protocols, What::Suites]);
    let slip = Lists { exclude_protocols: names(&["SSLv3", "tlsv1.2"]), ..Lists::default() }.doubts();
    let why = "tlsv1.2 excludes nothing; is TLSv1.2 meant?".to_owned();
    assert_eq!(slip, [Doubt { what: What::Protocols, excludes: true, why }]);
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let c = pki.issue(&["x"]);
    let refused = |file: StoreFile| fault(Server::new("r1", serving(Identity::Store(file)))).why;
    let jks = refused(f.store("a.jks", [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]));
    assert!(jks.contains("keytool -importkeystore") && jks.contains("a.jks.p12"), "{jks}");
    assert!(refused(f.store("x", "nothing")).contains("neither PKCS#12 nor PEM"));
    assert!(refused(f.store("c.pem", &c.certificate)).contains("no PEM private key"));
    assert!(refused(f.store("k.pem", &c.key)).contains("no PEM certificate"));
    assert!(refused(f.store("a.p12", c.pkcs12("other"))).contains("the password is wrong"));
    assert!(refused(f.store("t.p12", c.trusting("changeit"))).contains("no private key"));
    assert!(refused(f.store("cut.p12", &c.pkcs12("changeit")[..200])).contains("cannot be read"));
    let missing = StoreFile { path: f.0.join("none"), password: String::new() };
    assert!(refused(missing).contains("No such file"));
    let other = c.certificate.clone() + &Certified::self_signed(&["x"]).key;
    assert!(refused(f.store("o.pem", other)).contains("not the certificate's"));
    let locked = c.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(refused(f.store("l.pem", c.certificate.clone() + &locked)).contains("openssl pkey"));
    let empty = fault(Client::new("k1", trusting(f.store("e.pem", &c.key))));
    assert_eq!(empty.what, What::Trust);
}

#[test]
fn what_is_no_tls_is_named() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let own = f.store("s.pem", pki.issue(&["localhost"]).pem());
    let server = Server::new("r1", serving(Identity::Store(own))).unwrap();
    let mut piece = [0; 100];
    let mut read = |bytes: &[u8]| {
        let mut s = server.accept().unwrap();
        let e = s.read(&mut &bytes[..], &mut piece).unwrap_err();
        let mut alert = Vec::new();
        s.take_records(&mut alert);
        (e.to_string(), alert)
    };
    assert!(read(b"GET / HTTP/1.1\r\n\r\n").0.contains("plain text"));
    assert!(read(b"\0\0\0\x01\0\0\0\x04").0.contains("plain text"));
    assert!(read(b"\x16\x03\x01").0.contains("closed within the TLS handshake"));
    // TLS 1.0's hello: the version, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 1];
    hello.extend([1; 32]);
    hello.extend([0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0]);
    let (said, alert) = read(&hello);
    assert!(said.contains("no TLS version"), "{said}");
    assert_eq!(alert.first(), Some(&0x15), "an alert");
}

#[test]
fn files_are_read_again() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let store = f.store("s.pem", pki.issue(&["localhost"]).pem());
    let server = Server::new("reread-me", serving(Identity::Store(store.clone()))).unwrap();
    let mine = || reread().into_iter().filter(|r| r.owner == "reread-me").collect::<Vec<_>>();
    assert_eq!(mine(), []);
    let client = client(trusting(f.store("ca.pem", pki.certificate())));
    fs::write(&store.path, pki.issue_expired(&["localhost"]).pem()).unwrap();
    assert_eq!(mine(), [Reading { owner: "reread-me".to_owned(), fault: None }]);
    assert!(why(&client, &server).contains("expired"));
    fs::write(&store.path, "half").unwrap();
    assert!(mine()[0].fault.as_ref().is_some_and(|why| why.contains("neither")));
    fs::write(&store.path, pki.issue(&["localhost"]).pem()).unwrap();
    assert_eq!(mine()[0].fault, None);
    assert_eq!(why(&client, &server), "fine");
    drop(server);
    assert_eq!(mine(), []);
}

#[test]
fn a_certificate_of_version_1_is_called_so() {
    let folder = Folder::new();
    let pki = Pki::new("ca");
    let certified = pki.issue(&["localhost"]);
    let mut der = CertificateDer::from_pem_slice(certified.certificate.as_bytes()).unwrap().to_vec();
    let at = der.windows(5).position(|w| w == [0xa0, 3, 2, 1, 2]).unwrap();
    der[at + 4] = 0;
    let old = CertificateDer::from(der);
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).unwrap();
    let refused = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![old.clone()], key)
        .unwrap_err();
    let why = explain::explain_own(&refused);
    assert!(why.contains("version 1") && !why.contains("peer"), "{why}");
    let file = StoreFile { path: folder.file("ca.pem", pki.certificate()), password: String::new() };
    let roots = stores::roots(&Trust::Store(file), &mut Vec::new()).unwrap();
    let verifier = Verifier::of_clients(roots, ClientAuth::Need);
    let refused = verifier.verify_client_cert(&old, &[], UnixTime::now()).unwrap_err();
    let why = explain::explain(&refused);
    assert!(why.contains("peer's certificate") && why.contains("version 1"), "{why}");
}

#[test]
fn what_is_gone_leaves_nothing_behind() {
    let nowhere = StoreFile { path: PathBuf::from("nowhere.pem"), password: String::new() };
    for _ in 0..100 {
        assert!(Client::new("gone", trusting(nowhere.clone())).is_err());
    }
    // Other tests have theirs meanwhile.
    let of_gone = |side: &&Weak<dyn Reread>| side.strong_count() == 0;
    assert!(lock(&LIVING).iter().filter(of_gone).count() < 50);
}

#[test]
fn a_keystore_trusts_its_certificate_and_not_who_has_signed_it() {
    let folder = Folder::new();
    let pki = Pki::new("ca");
    let (ours, other) = (pki.issue(&["localhost"]), pki.issue(&["localhost"]));
    let file = folder.store("keystore.p12", ours.pkcs12_below(&[&pki], "changeit"));
    let roots = stores::roots(&Trust::Store(file), &mut Vec::new()).unwrap();
    let verifier = Verifier::of_clients(roots, ClientAuth::Need);
    let is_trusted = |certified: &Certified| {
        let certificate = CertificateDer::from_pem_slice(certified.certificate.as_bytes()).unwrap();
        verifier.verify_client_cert(&certificate, &[], UnixTime::now()).is_ok()
    };
    assert!(is_trusted(&ours) && !is_trusted(&other));
}
