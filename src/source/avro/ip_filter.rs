//! `ipFilterRules`: who may connect (reference, sources.md 2).
//!
//! ```text
//!   rules   = rule *( "," rule )
//!   rule    = ( "allow" / "deny" ) ":" ( "ip" / "name" ) ":" pattern      * any text, ? one character
//! ```
//! The first rule that fits decides; where none does, a peer is allowed. A name is the one that the reverse look-up gives;
//! `name:localhost` is this machine. An IPv6 address fits in its short form or in Java's long one.

use crate::net::Peer;
use std::net::IpAddr;

pub struct IpFilter(Vec<Rule>);

struct Rule {
    text: String,
    allows: bool,
    is_name: bool,
    pattern: String,
}

impl IpFilter {
    pub fn parse(text: &str) -> Result<IpFilter, String> {
        let rules: Result<Vec<Rule>, String> = text.split(',').map(|r| rule(r.trim())).collect();
        rules.map(IpFilter)
    }

    /// What is probably not meant.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        for r in self.0.iter().filter(|r| !r.is_name && r.pattern.contains('/')) {
            doubts.push(format!("'{}' fits no address: patterns have * and ?, no prefix lengths", r.text));
        }
        if self.0.iter().all(|r| r.allows) {
            doubts.push(
                "no rule denies, so everybody may connect: end with deny:ip:* to keep others out".to_owned(),
            );
        }
        doubts
    }

    /// Whether some rule is about names.
    pub fn wants_names(&self) -> bool {
        self.0.iter().any(|r| r.is_name)
    }

    /// The rule that keeps this peer out, if one does.
    pub fn refuses(&self, peer: &Peer) -> Option<&str> {
        let first = self.0.iter().find(|r| r.fits(peer))?;
        (!first.allows).then_some(first.text.as_str())
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let wrong =
        || format!("'{text}' is no rule: <allow|deny>:<ip|name>:<pattern>, in lower case, was expected");
    let mut parts = text.splitn(3, ':');
    let (Some(what), Some(of), Some(pattern)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let allows = match what {
        "allow" => true,
        "deny" => false,
        _ => return Err(wrong()),
    };
    let is_name = match of {
        "name" => true,
        "ip" => false,
        _ => return Err(wrong()),
    };
    if pattern.is_empty() {
        return Err(wrong());
    }
    Ok(Rule { text: text.to_owned(), allows, is_name, pattern: pattern.to_owned() })
}

impl Rule {
    fn fits(&self, peer: &Peer) -> bool {
        let is = |text: &str| matches(self.pattern.as_bytes(), text.as_bytes());
        if self.is_name {
            return (self.pattern == "localhost" && peer.is_local) || peer.name.as_deref().is_some_and(is);
        }
        match peer.ip() {
            IpAddr::V4(_) => is(&peer.ip_text()),
            IpAddr::V6(v6) => {
                let long: Vec<String> = v6.segments().iter().map(|s| format!("{s:x}")).collect();
                is(&peer.ip_text()) || is(&long.join(":"))
            }
        }
    }
}

/// Whether the whole text fits the pattern. Linear in the text for each star.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut last_star {
                Some((star, from)) => {
                    *from += 1;
                    (p, t) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(addr: &str, name: Option<&str>, is_local: bool) -> Peer {
        Peer { addr: format!("{addr}:1").parse().unwrap(), name: name.map(str::to_owned), is_local }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let f = IpFilter::parse("allow:name:localhost, allow:ip:10.1.*,deny:ip:*").unwrap();
        assert!(f.wants_names());
        assert_eq!(f.refuses(&peer("127.0.0.1", None, true)), None);
        assert_eq!(f.refuses(&peer("10.1.2.3", None, false)), None);
        assert_eq!(f.refuses(&peer("10.10.2.3", None, false)), Some("deny:ip:*"));
        let f = IpFilter::parse("deny:name:*.example.org,allow:name:db?").unwrap();
        assert_eq!(
            f.refuses(&peer("1.2.3.4", Some("a.example.org"), false)),
            Some("deny:name:*.example.org")
        );
        assert_eq!(f.refuses(&peer("1.2.3.4", Some("a.example.orgs"), false)), None, "no rule: allowed");
    }

    #[test]
    fn six_is_written_in_two_ways() {
        for rule in ["deny:ip:::1", "deny:ip:0:0:0:0:0:0:0:1", "deny:ip:*:1"] {
            let f = IpFilter::parse(rule).unwrap();
            assert_eq!(f.refuses(&peer("[::1]", None, true)), Some(rule));
        }
        let mapped = peer("[::ffff:10.0.0.1]", None, false);
        assert_eq!(IpFilter::parse("deny:ip:10.0.0.?").unwrap().refuses(&mapped), Some("deny:ip:10.0.0.?"));
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("1?.0", "10.0", true),
            ("1?.0", "1.0", false),
            ("10.1.*", "10x1x2", false),
            ("", "a", false),
            ("**", "abc", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_probably_not_meant() {
        let doubts = |rules| IpFilter::parse(rules).unwrap().doubts();
        assert_eq!(doubts("allow:ip:10.*,deny:ip:*"), Vec::<String>::new());
        assert!(doubts("allow:ip:10.0.0.0/8,deny:ip:*")[0].contains("no prefix lengths"));
        assert!(doubts("allow:ip:10.*,allow:name:localhost")[0].contains("everybody may connect"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in
            ["", "allow", "Allow:ip:*", "allow:IP:*", "deny:host:*", "deny:ip:", "allow:ip:*,,", "deny:ip"]
        {
            assert!(IpFilter::parse(text).is_err(), "{text}");
        }
    }
}
