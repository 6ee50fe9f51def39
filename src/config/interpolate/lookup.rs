//! What `${prefix:name}` is looked up in: exactly `env`, `sys`, `java` and `date`.
//!
//! Flume 1.10.0 knew more. Those that fetch, run or decode something are how a configuration file became a way to
//! run code, and later versions of Flume dropped all but these four. Pure, given what is looked up in.

use super::date;
use jiff::Zoned;
use std::collections::BTreeMap;

/// Everything outside the files that a value can refer to.
pub struct Lookups {
    /// What `-Dname=value` set.
    pub system: BTreeMap<String, String>,
    pub environment: BTreeMap<String, String>,
    /// What `${name}` is when no property has that name: Flume's old switch makes it the environment's.
    pub is_environment_plain: bool,
    /// The time of loading.
    pub now: Zoned,
}

/// The outcome of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A text from outside, which may hold expressions and is not to be shown.
    Outside(String),
    /// A text of our own.
    Own(String),
    Nothing,
    /// Why there is no such look-up here.
    Refused(String),
}

const OLD_SWITCH: &str = "propertiesImplementation";
const OLD_RESOLVER: &str = "org.apache.flume.node.EnvVarResolverProperties";

/// Look-ups of Flume 1.10.0 that are refused: prefix in small letters, and why.
const REFUSED: &[(&str, &str)] = &[
    (
        "script",
        "it runs code that stands in the configuration; a config filter of type external runs a program",
    ),
    ("url", "it fetches whatever an address holds; name the file with --conf-uri"),
    ("dns", "it asks the network while the configuration is read; write the address or the name"),
    ("localhost", "write the name of the host, or ${env:HOSTNAME}"),
    ("file", "it reads any file into a value; a config filter of type file reads the files of one directory"),
    ("properties", "name the other file with one more --conf-file"),
    ("resourcebundle", "there is no Java class path here"),
    ("const", "there are no Java classes here"),
    ("xml", "it reads any file into a value"),
    ("base64decoder", "write the decoded text"),
    ("base64encoder", "write the encoded text"),
    ("urldecoder", "write the decoded text"),
    ("urlencoder", "write the encoded text"),
];

impl Lookups {
    /// Of this process, now.
    pub fn new(system: &BTreeMap<String, String>) -> Lookups {
        let environment = std::env::vars_os()
            .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
            .collect();
        Lookups {
            is_environment_plain: system.get(OLD_SWITCH).is_some_and(|v| v == OLD_RESOLVER),
            system: system.clone(),
            environment,
            now: Zoned::now(),
        }
    }

    /// `prefix:name`. An unknown prefix finds nothing, as in Flume.
    pub fn prefixed(&self, prefix: &str, name: &str) -> Found {
        let prefix = prefix.to_ascii_lowercase();
        let outside = |text: Option<String>| text.map_or(Found::Nothing, Found::Outside);
        match prefix.as_str() {
            "env" => outside(self.environment.get(name).cloned()),
            "sys" => outside(self.system.get(name).cloned().or_else(|| self.of_java(name))),
            "java" => about(name).map_or(Found::Nothing, Found::Own),
            "date" => match date::format(name, &self.now) {
                Ok(text) => Found::Own(text),
                Err(why) => Found::Refused(format!("${{date:...}} needs a date pattern: {why}")),
            },
            other => match REFUSED.iter().find(|(p, _)| *p == other) {
                Some((p, why)) => Found::Refused(format!("${{{p}:...}} is not supported by flumed: {why}")),
                None => Found::Nothing,
            },
        }
    }

    /// Properties that every Java machine has and that stand in configurations.
    fn of_java(&self, name: &str) -> Option<String> {
        let variable = |name: &str| self.environment.get(name).cloned();
        match name {
            "user.home" => variable("HOME"),
            "user.name" => variable("USER").or_else(|| variable("LOGNAME")),
            "user.dir" => Some(std::env::current_dir().ok()?.to_string_lossy().into_owned()),
            "java.io.tmpdir" => Some("/tmp".to_owned()),
            "file.separator" => Some("/".to_owned()),
            "path.separator" => Some(":".to_owned()),
            "os.name" => Some("Linux".to_owned()),
            "os.arch" => Some(std::env::consts::ARCH.to_owned()),
            _ => None,
        }
    }
}

/// What `${java:...}` says of the Java machine, said of this program.
fn about(name: &str) -> Option<String> {
    let arch = std::env::consts::ARCH;
    Some(match name {
        "version" => format!("flumed {}", env!("CARGO_PKG_VERSION")),
        "runtime" | "vm" => format!("flumed {} (no Java machine)", env!("CARGO_PKG_VERSION")),
        "os" => {
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            format!("Linux {}, architecture: {arch}", release.trim()).replace(" ,", ",")
        }
        "hardware" => {
            let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            format!("processors: {processors}, architecture: {arch}")
        }
        "locale" => "default locale: en_US, platform encoding: UTF-8".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_prefixes_in_any_case_and_no_other() {
        let pairs = |p: &[(&str, &str)]| p.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let l = Lookups {
            system: pairs(&[("a.b", "1"), ("user.name", "me")]),
            environment: pairs(&[("HOME", "/home/me"), ("USER", "you")]),
            is_environment_plain: false,
            now: Zoned::now(),
        };
        let outside = |t: &str| Found::Outside(t.to_owned());
        assert_eq!(l.prefixed("env", "HOME"), outside("/home/me"));
        assert_eq!(l.prefixed("ENV", "home"), Found::Nothing);
        assert_eq!(l.prefixed("sys", "a.b"), outside("1"));
        assert_eq!(
            (l.prefixed("sys", "user.home"), l.prefixed("sys", "user.name")),
            (outside("/home/me"), outside("me"))
        );
        assert_eq!(l.prefixed("date", "'x'"), Found::Own("x".into()));
        assert!(matches!(l.prefixed("date", "ww"), Found::Refused(why) if why.contains("letter w")));
        for name in ["version", "runtime", "vm", "os", "hardware", "locale"] {
            assert!(matches!(l.prefixed("java", name), Found::Own(text) if text.len() > 8), "{name}");
        }
        assert_eq!((l.prefixed("java", "beans"), l.prefixed("gizmo", "x")), (Found::Nothing, Found::Nothing));
        for prefix in ["script", "url", "dns", "file", "base64Decoder", "resourceBundle", "urlEncoder"] {
            assert!(
                matches!(l.prefixed(prefix, "x"), Found::Refused(why) if why.contains("not supported")),
                "{prefix}"
            );
        }
    }

    #[test]
    fn the_old_switch_is_a_property() {
        let mut system = BTreeMap::new();
        assert!(!Lookups::new(&system).is_environment_plain);
        system.insert(OLD_SWITCH.to_owned(), OLD_RESOLVER.to_owned());
        let l = Lookups::new(&system);
        assert!(l.is_environment_plain && l.environment.contains_key("PATH"));
    }
}
