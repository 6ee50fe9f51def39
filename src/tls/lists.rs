//! Protocol versions and cipher suites by the names that Java gives them.
//!
//! What is left of all that rustls has, of those to include, without those to exclude. A name of something older stands
//! for nothing: it is told as a doubt, and it is a fault when nothing is left.

use super::{Doubt, Fault, Lists, What};
use rustls::crypto::ring::default_provider;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

const VERSIONS: [(&str, &SupportedProtocolVersion); 2] = [("TLSv1.3", &TLS13), ("TLSv1.2", &TLS12)];

/// Java's name, which is IANA's.
fn name(suite: &SupportedCipherSuite) -> String {
    let ours = suite.suite().as_str().unwrap_or_default();
    ours.strip_prefix("TLS13_").map_or_else(|| ours.to_owned(), |rest| format!("TLS_{rest}"))
}

fn is_chosen(name: &str, include: &[String], exclude: &[String]) -> bool {
    let has = |list: &[String]| list.iter().any(|n| n == name);
    (include.is_empty() || has(include)) && !has(exclude)
}

/// rustls with these suites.
pub fn provider(lists: &Lists) -> Result<CryptoProvider, Fault> {
    let mut provider = default_provider();
    provider.cipher_suites = suites(lists, provider.cipher_suites)?;
    Ok(provider)
}

/// What is wrong with them: that they leave nothing.
pub fn fault(lists: &Lists) -> Option<Fault> {
    provider(lists).and_then(|p| versions(lists, &p.cipher_suites)).err()
}

fn suites(lists: &Lists, mut all: Vec<SupportedCipherSuite>) -> Result<Vec<SupportedCipherSuite>, Fault> {
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
    let all = default_provider().cipher_suites;
    all.iter().map(name).collect::<Vec<_>>().join(", ")
}

pub fn doubts(lists: &Lists) -> Vec<Doubt> {
    let versions = VERSIONS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let suites: Vec<String> = default_provider().cipher_suites.iter().map(name).collect();
    let mut told = Vec::new();
    for (what, known, include, exclude) in [
        (What::Protocols, versions, &lists.include_protocols, &lists.exclude_protocols),
        (What::Suites, suites, &lists.include_suites, &lists.exclude_suites),
    ] {
        let meant = |name: &str| known.iter().find(|k| k.eq_ignore_ascii_case(name));
        for name in include.iter().filter(|n| !known.contains(n)) {
            let why = match meant(name) {
                Some(right) => format!("{name} is not there; is {right} meant?"),
                None => format!("{name} is not there; there are {}", known.join(", ")),
            };
            told.push(Doubt { what, excludes: false, why });
        }
        // What is old is not there to be excluded. Case matters, as in Java.
        for name in exclude.iter().filter(|n| !known.contains(n)) {
            let why = meant(name).map(|right| format!("{name} excludes nothing; is {right} meant?"));
            told.extend(why.map(|why| Doubt { what, excludes: true, why }));
        }
    }
    told
}
