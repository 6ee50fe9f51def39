//! Protocol versions and cipher suites by the names that Java gives them.
//!
//! What is left of all that rustls has, of those to include, without those to exclude. A name of something older stands
//! for nothing: it is told as a doubt, and it is a fault when nothing is left.

use super::{Fault, Lists, What};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

const VERSIONS: [(&str, &SupportedProtocolVersion); 2] = [("TLSv1.3", &TLS13), ("TLSv1.2", &TLS12)];

/// Java's name, which is IANA's.
fn name(suite: &SupportedCipherSuite) -> String {
    let ours = suite.suite().as_str().unwrap_or_default();
    ours.strip_prefix("TLS13_").map_or_else(|| ours.to_owned(), |rest| format!("TLS_{rest}"))
}

impl Lists {
    /// What is odd about them: names that stand for nothing here.
    pub fn doubts(&self) -> Vec<(What, String)> {
        doubts(self)
    }

    /// What is wrong with them: that they leave nothing.
    pub fn fault(&self) -> Option<Fault> {
        super::provider(self).and_then(|p| versions(self, &p.cipher_suites)).err()
    }
}

fn is_chosen(name: &str, include: &[String], exclude: &[String]) -> bool {
    let has = |list: &[String]| list.iter().any(|n| n == name);
    (include.is_empty() || has(include)) && !has(exclude)
}

pub fn suites(lists: &Lists, mut all: Vec<SupportedCipherSuite>) -> Result<Vec<SupportedCipherSuite>, Fault> {
    all.retain(|s| is_chosen(&name(s), &lists.include_suites, &lists.exclude_suites));
    match all.is_empty() {
        true => Err(Fault::new(What::Suites, format!("no cipher suite is left; there are {}", known()))),
        false => Ok(all),
    }
}

pub fn versions(
    lists: &Lists,
    suites: &[SupportedCipherSuite],
) -> Result<Vec<&'static SupportedProtocolVersion>, Fault> {
    let chosen: Vec<_> = VERSIONS
        .iter()
        .filter(|(name, _)| is_chosen(name, &lists.include_protocols, &lists.exclude_protocols))
        .map(|(_, version)| *version)
        .collect();
    if chosen.is_empty() {
        return Err(Fault::new(What::Protocols, "no protocol is left; there are TLSv1.3 and TLSv1.2"));
    }
    // A version that none of the suites is for would be an error of rustls.
    let usable: Vec<_> =
        chosen.into_iter().filter(|v| suites.iter().any(|s| s.version().version == v.version)).collect();
    match usable.is_empty() {
        true => Err(Fault::new(What::Suites, "no cipher suite is left for the protocols that are")),
        false => Ok(usable),
    }
}

fn known() -> String {
    let all = rustls::crypto::ring::default_provider().cipher_suites;
    all.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn doubts(lists: &Lists) -> Vec<(What, String)> {
    let mut told = Vec::new();
    for name in &lists.include_protocols {
        if VERSIONS.iter().all(|(known, _)| known != name) {
            told.push((What::Protocols, format!("{name} is not there: only TLSv1.3 and TLSv1.2 are")));
        }
    }
    let known = known();
    let is_known = |name: &str| known.split(", ").any(|k| k == name);
    for name in lists.include_suites.iter().filter(|n| !is_known(n)) {
        told.push((What::Suites, format!("{name} is not there; there are {known}")));
    }
    told
}
