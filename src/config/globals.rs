//! What Flume takes from Java's system properties and the environment where a component with `ssl = true` does not say it
//! (reference, config.md 7): its certificate to sources, whom to trust to sinks. A component's own key goes over the property, that over the environment.

use super::problem::Place;
use super::property::Property;
use super::spec::Kind;
use std::collections::BTreeMap;

/// The system property and the variable of the environment that feed a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    pub property: &'static str,
    pub variable: &'static str,
    /// Of these components alone: certificates are a server's, in Flume, and trust is a client's.
    pub kind: Option<Kind>,
}

const fn of(kind: Option<Kind>, property: &'static str, variable: &'static str) -> Global {
    Global { property, variable, kind }
}

const SOURCE: Option<Kind> = Some(Kind::Source);
const SINK: Option<Kind> = Some(Kind::Sink);

pub const KEYSTORE: Global = of(SOURCE, "javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH");
pub const KEYSTORE_PASSWORD: Global =
    of(SOURCE, "javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD");
pub const KEYSTORE_TYPE: Global = of(SOURCE, "javax.net.ssl.keyStoreType", "FLUME_SSL_KEYSTORE_TYPE");
pub const TRUSTSTORE: Global = of(SINK, "javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH");
pub const TRUSTSTORE_PASSWORD: Global =
    of(SINK, "javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD");
pub const TRUSTSTORE_TYPE: Global = of(SINK, "javax.net.ssl.trustStoreType", "FLUME_SSL_TRUSTSTORE_TYPE");
pub const INCLUDE_PROTOCOLS: Global = of(None, "flume.ssl.include.protocols", "FLUME_SSL_INCLUDE_PROTOCOLS");
pub const EXCLUDE_PROTOCOLS: Global = of(None, "flume.ssl.exclude.protocols", "FLUME_SSL_EXCLUDE_PROTOCOLS");
pub const INCLUDE_CIPHER_SUITES: Global =
    of(None, "flume.ssl.include.cipherSuites", "FLUME_SSL_INCLUDE_CIPHERSUITES");
pub const EXCLUDE_CIPHER_SUITES: Global =
    of(None, "flume.ssl.exclude.cipherSuites", "FLUME_SSL_EXCLUDE_CIPHERSUITES");

impl Global {
    /// Whether it is for components of this kind.
    pub fn is_for(self, kind: Kind) -> bool {
        self.kind.is_none_or(|k| k == kind)
    }

    /// What it says for the component's key of this name; an empty text says nothing.
    pub fn find(
        self,
        key: &str,
        properties: &BTreeMap<String, String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Property> {
        let given =
            properties.get(self.property).map(|value| (format!("-D{}", self.property), value.clone()));
        let (origin, value) = given
            .or_else(|| Some((format!("environment {}", self.variable), variable(self.variable)?)))
            .filter(|(_, value)| !value.is_empty())?;
        Some(Property::new(key, value, Place { file: origin.into(), line: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_property_goes_over_the_environment() {
        let none = BTreeMap::new();
        let some = BTreeMap::from([("javax.net.ssl.keyStore".to_owned(), "/p".to_owned())]);
        let env = |name: &str| (name == "FLUME_SSL_KEYSTORE_PATH").then(|| "/e".to_owned());
        let found =
            |g: Global, properties| g.find("k", properties, env).map(|p| (p.value, p.place.file.to_string()));
        let of = |value: &str, file: &str| Some((value.to_owned(), file.to_owned()));
        assert_eq!(found(KEYSTORE, &some), of("/p", "-Djavax.net.ssl.keyStore"));
        assert_eq!(found(KEYSTORE, &none), of("/e", "environment FLUME_SSL_KEYSTORE_PATH"));
        assert_eq!(found(TRUSTSTORE, &some), None);
        let empty = |_: &str| Some(String::new());
        assert_eq!(KEYSTORE.find("k", &none, empty).map(|p| p.value), None);
    }
}
