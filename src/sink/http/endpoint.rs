//! The URL that a sink posts to, and what it says of who asks. Pure.

use crate::client::Address;
use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;

pub struct Endpoint {
    /// Without user and password.
    pub url: String,
    /// What logs call it: without the query, too.
    pub shown: String,
    pub address: Address,
    pub is_tls: bool,
    /// The value of the header.
    pub authorization: Option<String>,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let wrong = |why: &str| format!("is no URL to post to, {why}: http://host:port/path was expected");
        let uri: Uri = text.trim().parse().map_err(|_| wrong("it cannot be read"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it begins neither with http:// nor with https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let host = authority.host();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let place = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, place)| place);
        let port = match place.strip_prefix(host).map(|port| port.strip_prefix(':')) {
            Some(None) => Some(if is_tls { 443 } else { 80 }),
            Some(Some(port)) => port.parse().ok().filter(|port| *port > 0),
            None => None,
        };
        let port = port.ok_or_else(|| wrong("its port is none"))?;
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let scheme = if is_tls { "https" } else { "http" };
        let mut endpoint = Endpoint {
            url: format!("{scheme}://{place}{}", uri.path_and_query().map_or("/", |p| p.as_str())),
            shown: format!("{scheme}://{place}{}", uri.path()),
            address: Address::new(host, port),
            is_tls,
            authorization: None,
        };
        if let Some(user) = user {
            let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            endpoint.authorize(&plain(name), &plain(password));
        }
        Ok(endpoint)
    }

    /// Basic authentication (RFC 7617).
    pub fn authorize(&mut self, user: &str, password: &str) {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let e = Endpoint::parse("http://h:8080/a/b?token=x").unwrap();
        assert_eq!((e.url.as_str(), e.shown.as_str()), ("http://h:8080/a/b?token=x", "http://h:8080/a/b"));
        assert_eq!((e.address.to_string(), e.is_tls, e.authorization), ("h:8080".to_owned(), false, None));
        let e = Endpoint::parse("https://us%40er:pa%3Ass@[::1]").unwrap();
        assert_eq!(
            (e.url.as_str(), e.address.to_string(), e.is_tls),
            ("https://[::1]/", "[::1]:443".to_owned(), true)
        );
        assert_eq!(e.authorization.as_deref(), Some("Basic dXNAZXI6cGE6c3M="));
        assert!(!e.shown.contains("pa"));
        assert_eq!(Endpoint::parse("http://h").unwrap().address.to_string(), "h:80");
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "h:80/",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://h:x/",
            "/path",
            "http://a b/",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
