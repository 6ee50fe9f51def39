//! Where configuration text comes from: a file, or an address of the web.
//!
//! Remembers what it read last, so that it can tell cheaply whether there is something new. A file is new when its
//! content is: its time, size and number are looked at first, but a time that lies back or has been touched decides
//! nothing. An address is asked with what it told of its content the last time. Used by one thread, which waits for
//! the answer of the web (up to a minute); no locks.

use super::problem::Place;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use ureq::http::{header, HeaderMap, Response};
use ureq::Body;

/// The most bytes of one file.
const MOST_BYTES: u64 = 16 << 20;
/// How long the web may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// A file that was written this shortly before it was read can be written again without a new time.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// Who asks for addresses of the web.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials of {}", self.user)
    }
}

/// One file or address, and what it held last.
pub struct Origin {
    /// Its name in messages: a query, which may hold a secret, is not part of it.
    label: Arc<str>,
    at: At,
    last: Vec<u8>,
}

enum At {
    File { path: PathBuf, seen: Option<Seen> },
    Web(Box<Web>),
}

impl Origin {
    pub fn file(path: &str) -> Origin {
        Origin { label: path.into(), at: At::File { path: path.into(), seen: None }, last: Vec::new() }
    }

    /// What --conf-uri names; or why that cannot be read.
    pub fn uri(uri: &str, credentials: Option<&Credentials>) -> Result<Origin, String> {
        let label = uri.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = match label.split_once(':') {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => return Err(format!("{label} is no URI: write file:/path or http://host/path")),
        };
        let authority = rest.strip_prefix("//").map(|r| r.split('/').next().unwrap_or_default());
        if authority.is_some_and(|a| a.contains('@')) {
            return Err(
                "a URI with a user in it is not accepted: everybody can read command lines; use --conf-user \
                        and --conf-password-file"
                    .to_owned(),
            );
        }
        match scheme.as_str() {
            "file" => {
                let path = match rest.strip_prefix("//") {
                    Some(after) => after.strip_prefix("localhost").unwrap_or(after),
                    None => rest,
                };
                if !path.starts_with('/') {
                    return Err(format!(
                        "{label}: a file URI has a whole path, such as file:///etc/flume.conf"
                    ));
                }
                let path =
                    unescape(path).ok_or_else(|| format!("{label}: a % needs two hexadecimal digits"))?;
                let at = At::File { path: PathBuf::from(path), seen: None };
                Ok(Origin { label: label.into(), at, last: Vec::new() })
            }
            "http" if authority.is_some_and(|a| !a.is_empty()) => {
                let web = Web::new(uri, credentials);
                Ok(Origin { label: label.into(), at: At::Web(Box::new(web)), last: Vec::new() })
            }
            "http" => Err(format!("{label}: a web address needs a host")),
            "https" => {
                Err(format!("{label}: https is not supported by this version: TLS comes with a later one"))
            }
            "classpath" => Err(format!("{label}: there is no Java class path here; write file:/path")),
            other => Err(format!("{label}: the scheme {other} is not supported; there are file: and http:")),
        }
    }

    /// The place of the whole file.
    pub fn place(&self) -> Place {
        Place { file: self.label.clone(), line: 0 }
    }

    pub fn is_web(&self) -> bool {
        matches!(self.at, At::Web(_))
    }

    /// Flume takes these for other forms of a configuration, which it does not have either.
    pub fn is_other_format(&self) -> bool {
        let end = Path::new(&*self.label).extension().and_then(|e| e.to_str());
        end.is_some_and(|e| ["json", "yaml", "xml"].contains(&e))
    }

    /// What is there now; or why it cannot be read. Then `has_changed` fails too, until it can.
    pub fn read(&mut self) -> Result<Vec<u8>, String> {
        let bytes = match &mut self.at {
            At::File { path, seen } => {
                // The facts of a file that may not be read any more can be those of the content read last.
                *seen = None;
                let (bytes, now) = read_file(path)?;
                *seen = Some(now);
                bytes
            }
            At::Web(web) => web.get(false)?.unwrap_or_default(),
        };
        self.last.clone_from(&bytes);
        Ok(bytes)
    }

    /// Whether something else is there than what was read last.
    pub fn has_changed(&mut self) -> Result<bool, String> {
        match &mut self.at {
            At::File { path, seen } => {
                let facts = std::fs::metadata(&*path).map_err(|e| format!("cannot be read: {e}"))?;
                if facts.is_dir() {
                    return Err("cannot be read: it is a directory".to_owned());
                }
                // What is not a file (a pipe) cannot be read a second time.
                if !facts.is_file() || seen.as_ref().is_some_and(|s| s.is_certainly(&facts)) {
                    return Ok(false);
                }
                let (bytes, now) = read_file(path)?;
                let is_same = bytes == self.last;
                if is_same {
                    *seen = Some(now);
                }
                Ok(!is_same)
            }
            At::Web(web) => Ok(web.get(true)?.is_some_and(|bytes| bytes != self.last)),
        }
    }
}

/// What tells one content of a file from another, mostly.
struct Seen {
    modified: (i64, i64),
    size: u64,
    file: (u64, u64),
    /// Written so shortly before it was read that the same facts can stand for another content.
    is_fresh: bool,
}

impl Seen {
    fn of(m: &Metadata) -> Seen {
        let is_old = |t: SystemTime| SystemTime::now().duration_since(t).is_ok_and(|age| age > CLOCK_GRAIN);
        Seen {
            modified: (m.mtime(), m.mtime_nsec()),
            size: m.size(),
            file: (m.dev(), m.ino()),
            is_fresh: !m.modified().is_ok_and(is_old),
        }
    }

    fn is_certainly(&self, m: &Metadata) -> bool {
        let now = Seen::of(m);
        !self.is_fresh && (self.modified, self.size, self.file) == (now.modified, now.size, now.file)
    }
}

fn read_file(path: &Path) -> Result<(Vec<u8>, Seen), String> {
    let cannot = |e: std::io::Error| format!("cannot be read: {e}");
    let file = File::open(path).map_err(cannot)?;
    let seen = Seen::of(&file.metadata().map_err(cannot)?);
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("cannot be read: it has more than {} MiB", MOST_BYTES >> 20));
    }
    Ok((bytes, seen))
}

/// An address that is asked with GET.
struct Web {
    client: ureq::Agent,
    uri: String,
    authorization: Option<String>,
    /// What the content was called the last time it was read.
    tag: Option<String>,
    modified: Option<String>,
}

impl Web {
    fn new(uri: &str, credentials: Option<&Credentials>) -> Web {
        // As Flume: no proxy, and the credentials go to no other host.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(DEADLINE))
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("flumed/", env!("CARGO_PKG_VERSION")))
            .build();
        Web {
            client: config.new_agent(),
            uri: uri.split('#').next().unwrap_or_default().to_owned(),
            authorization: credentials
                .map(|c| format!("Basic {}", base64(&format!("{}:{}", c.user, c.password)))),
            tag: None,
            modified: None,
        }
    }

    /// The content; `None`: it is the one read last (`if_new` only).
    fn get(&mut self, if_new: bool) -> Result<Option<Vec<u8>>, String> {
        let mut request = self.client.get(&self.uri);
        if let Some(a) = &self.authorization {
            request = request.header(header::AUTHORIZATION, a);
        }
        if let (true, Some(tag)) = (if_new, &self.tag) {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        if let (true, Some(modified)) = (if_new, &self.modified) {
            request = request.header(header::IF_MODIFIED_SINCE, modified);
        }
        if !if_new {
            // A server that has nothing new to say may still be unable to give the content.
            (self.tag, self.modified) = (None, None);
        }
        let mut response = request.call().map_err(|e| self.failure(&e))?;
        match response.status().as_u16() {
            200 => {}
            304 if if_new => return Ok(None),
            401 | 403 => {
                let asked = if self.authorization.is_some() { "refuses these" } else { "wants" };
                return Err(format!("cannot be read: the server {asked} credentials (--conf-user)"));
            }
            status => return Err(format!("cannot be read: the server answers with status {status}")),
        }
        let bytes = body(&mut response).map_err(|e| self.failure(&e))?;
        if !if_new {
            self.tag = text(response.headers(), header::ETAG);
            self.modified = text(response.headers(), header::LAST_MODIFIED);
        }
        Ok(Some(bytes))
    }

    /// The words of an error, which may hold the address: its query is not shown.
    fn failure(&self, e: &ureq::Error) -> String {
        let mut said = e.to_string();
        if let Some((_, query)) = self.uri.split_once('?').filter(|(_, q)| !q.is_empty()) {
            said = said.replace(query, "...");
        }
        format!("cannot be read: {said}")
    }
}

fn body(response: &mut Response<Body>) -> Result<Vec<u8>, ureq::Error> {
    response.body_mut().with_config().limit(MOST_BYTES).read_to_vec()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// `%41` -> `A`; bytes that are no UTF-8 afterwards, or no digits, are refused.
fn unescape(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok().filter(|p| !p.contains('\0'))
}

/// RFC 4648, section 4.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]);
            out.push(if i <= three.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str) -> String {
        Origin::uri(uri, None).err().unwrap_or_default()
    }

    #[test]
    fn uris() {
        for (uri, path) in
            [("file:/a/b.conf", "/a/b.conf"), ("file:///a%20b", "/a b"), ("FILE://localhost/a", "/a")]
        {
            let Ok(Origin { at: At::File { path: found, .. }, .. }) = Origin::uri(uri, None) else {
                panic!("{uri}")
            };
            assert_eq!(found, Path::new(path));
        }
        let web = Origin::uri("http://host:80/a.conf?key=hush#x", None).ok().unwrap();
        assert!(web.is_web() && &*web.label == "http://host:80/a.conf");
        assert!(refused("https://h/x").contains("TLS"));
        assert!(refused("classpath:x.conf").contains("class path"));
        assert!(refused("ftp://h/x").contains("ftp"));
        assert!(refused("/etc/x.conf").contains("file:/path"));
        assert!(refused("file:x.conf").contains("whole path") && refused("file:/%zz").contains('%'));
        assert!(refused("http:///x").contains("host"));
        let secret = refused("http://me:hush@host/x");
        assert!(secret.contains("--conf-password-file") && !secret.contains("hush"));
    }

    #[test]
    fn base64_of_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("me:pw\u{ff}", "bWU6cHfDvw=="),
        ] {
            assert_eq!(base64(text), expected);
        }
        let c = Credentials { user: "me".into(), password: "hush".into() };
        assert_eq!(format!("{c:?}"), "Credentials of me");
    }

    #[test]
    fn other_formats_are_known_by_their_names() {
        for (name, is_other) in
            [("a.json", true), ("/x.d/b.yaml", true), ("a.xml", true), ("a.conf", false), ("json", false)]
        {
            assert_eq!(Origin::file(name).is_other_format(), is_other, "{name}");
        }
    }

    #[test]
    fn a_file_has_changed_when_its_content_has() {
        let path = std::env::temp_dir().join(format!("flumed-origin-{}", std::process::id()));
        let write = |text: &str, age: u64| {
            std::fs::write(&path, text).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        };
        let mut origin = Origin::file(path.to_str().unwrap());
        write("one", 10);
        assert_eq!(origin.read().as_deref(), Ok(b"one".as_slice()));
        assert_eq!(origin.has_changed(), Ok(false));
        write("one", 5);
        assert_eq!(origin.has_changed(), Ok(false), "touched");
        write("two", 100);
        assert_eq!(origin.has_changed(), Ok(true), "older and new");
        assert_eq!(origin.has_changed(), Ok(true), "until it is read");
        assert_eq!(origin.read().as_deref(), Ok(b"two".as_slice()));
        assert_eq!(origin.has_changed(), Ok(false));
        // Within the grain of the clock, same size, same time.
        write("abc", 0);
        origin.read().unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "abd").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_eq!(origin.has_changed(), Ok(true));
        // Away for a while.
        origin.read().unwrap();
        let away = path.with_extension("away");
        std::fs::rename(&path, &away).unwrap();
        assert!(origin.read().is_err() && origin.has_changed().is_err());
        std::fs::create_dir(&path).unwrap();
        assert!(origin.read().is_err() && origin.has_changed().is_err());
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(origin.has_changed(), Ok(false));
        std::fs::remove_file(&path).unwrap();
        assert!(origin.has_changed().unwrap_err().starts_with("cannot be read: No such file"));
        assert!(Origin::file("/dev/zero").read().unwrap_err().contains("16 MiB"));
        assert_eq!(Origin::file("/dev/null").has_changed(), Ok(false));
    }

    /// Answers one request on each connection, in order; gives the requests.
    fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = std::thread::spawn(move || {
            let one = |answer: String| {
                let mut socket = listener.accept().unwrap().0;
                let lines = BufReader::new(socket.try_clone().unwrap()).lines();
                let head: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
                // A client that has read enough may be gone.
                let _ = socket.write_all(answer.as_bytes());
                head.join("\n").to_lowercase()
            };
            answers.into_iter().map(one).collect()
        });
        (address, served)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
    }

    #[test]
    fn the_web_is_asked_with_credentials_and_for_what_is_new() {
        let names = "ETag: \"v1\"\r\nLast-Modified: Tue, 01 Oct 2024 10:00:00 GMT\r\n";
        let (address, served) = serve(vec![
            answer("200", names, "one"),
            answer("304", "", ""),
            answer("200", "", "one"),
            answer("200", "", "two"),
            answer("500", "", ""),
            answer("401", "", ""),
            answer("404", "", ""),
            format!("HTTP/1.1 200 x\r\nConnection: close\r\nContent-Length: {}\r\n\r\nx", MOST_BYTES + 1),
        ]);
        let me = Credentials { user: "me".into(), password: "hush".into() };
        let mut origin = Origin::uri(&format!("http://{address}/a.conf?key=hush"), Some(&me)).ok().unwrap();
        assert_eq!(origin.read().as_deref(), Ok(b"one".as_slice()));
        assert_eq!(
            [origin.has_changed(), origin.has_changed(), origin.has_changed()],
            [Ok(false), Ok(false), Ok(true)]
        );
        assert_eq!(
            origin.has_changed(),
            Err("cannot be read: the server answers with status 500".to_owned())
        );
        for why in ["refuses these credentials", "status 404", ""] {
            let said = origin.read().unwrap_err();
            assert!(
                said.starts_with("cannot be read: ") && said.contains(why) && !said.contains("hush"),
                "{said}"
            );
        }
        let heads = served.join().unwrap();
        assert!(heads[0].starts_with("get /a.conf?key=hush http/1.1\n"), "{}", heads[0]);
        assert!(heads.iter().all(|h| h.contains("authorization: basic bwu6ahvzaa==")));
        assert!(!heads[0].contains("if-"));
        for h in &heads[1..4] {
            assert!(
                h.contains("if-none-match: \"v1\"") && h.contains("if-modified-since: tue, 01 oct 2024"),
                "{h}"
            );
        }
        // Nobody answers any more.
        assert!(origin.has_changed().unwrap_err().starts_with("cannot be read: "));
    }
}
