//! The words of a command line before getopts sees them: what Flume's script takes out, and long options in
//! the forms that Java's parser lets through (one dash, cut short) but getopts does not.
//!
//! Pure; called once by the main thread.

use std::collections::BTreeMap;

/// One option of a command, enough of it to recognize.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// One letter, or Flume's few short names of several (`-user`); may be empty.
    pub short: &'static str,
    pub long: &'static str,
}

/// The sorted words.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Words {
    /// `-Dname=value`; without `=value` empty, as in Java. Later ones win.
    pub properties: BTreeMap<String, String>,
    /// `-Xmx`, in bytes.
    pub heap: Option<u64>,
    /// Other words for a Java machine.
    pub java: Vec<String>,
    /// The rest, for getopts: one dash and one letter, or two dashes and the whole name.
    pub rest: Vec<String>,
}

impl Words {
    pub fn sort(args: &[String], known: &[Name]) -> Result<Words, String> {
        let mut words = Words::default();
        for arg in args {
            if let Some(property) = arg.strip_prefix("-D") {
                let (name, value) = property.split_once('=').unwrap_or((property, ""));
                if name.is_empty() {
                    return Err(format!("{arg}: expected -Dname=value, in one word"));
                }
                words.properties.insert(name.to_owned(), value.to_owned());
            } else if let Some(size) = arg.strip_prefix("-Xmx") {
                let bytes = bytes(size).ok_or_else(|| format!("{arg}: expected a size such as -Xmx512m"))?;
                words.heap = Some(bytes);
            } else if ["-X", "-agentlib", "-agentpath", "-javaagent"].iter().any(|p| arg.starts_with(p)) {
                words.java.push(arg.clone());
            } else {
                words.rest.push(long_form(arg, known)?);
            }
        }
        Ok(words)
    }
}

/// A size as Java writes it: `20m`, `512K`, `1g`, `1048576`.
fn bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match size[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|n| *n > 0)
}

/// `-name`, `--nam` and `-user` as `--name` and `--conf-user`; other words as they are.
fn long_form(arg: &str, known: &[Name]) -> Result<String, String> {
    let (word, is_double) = match (arg.strip_prefix("--"), arg.strip_prefix('-')) {
        (Some(word), _) => (word, true),
        (None, Some(word)) => (word, false),
        _ => return Ok(arg.to_owned()),
    };
    let (name, value) = match word.find('=') {
        Some(at) => word.split_at(at),
        None => (word, ""),
    };
    if !is_double && name.chars().count() == 1 {
        // `-n=a1` is `-n a1` to Java's parser, and `-n =a1` to getopts.
        let long = known.iter().find(|k| k.short == name && !value.is_empty()).map(|k| k.long);
        return Ok(long.map_or(arg.to_owned(), |long| format!("--{long}{value}")));
    }
    if name.is_empty() {
        return Ok(arg.to_owned());
    }
    if let Some(k) = known.iter().find(|k| k.long == name || (!is_double && k.short == name)) {
        return Ok(format!("--{}{value}", k.long));
    }
    let fitting: Vec<&str> = known.iter().map(|k| k.long).filter(|l| l.starts_with(name)).collect();
    match fitting.as_slice() {
        // Perhaps a letter with its value: `-nagent`.
        [] => Ok(arg.to_owned()),
        [long] => Ok(format!("--{long}{value}")),
        _ => Err(format!("{arg} is ambiguous: it could be --{}", fitting.join(" or --"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Name] = &[
        Name { short: "n", long: "name" },
        Name { short: "f", long: "conf-file" },
        Name { short: "c", long: "conf" },
        Name { short: "user", long: "conf-user" },
        Name { short: "", long: "no-reload-conf" },
    ];

    fn sort(line: &str) -> Result<Words, String> {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Words::sort(&args, KNOWN)
    }

    #[track_caller]
    fn rest(line: &str, expected: &str) {
        assert_eq!(sort(line).map(|w| w.rest.join(" ")), Ok(expected.to_owned()));
    }

    #[test]
    fn takes_out_what_is_for_java() {
        let w =
            sort("-n a -Dx.y=1 -Dx.y=a=b -Dz -Xmx20m -Xms5m -agentlib:jdwp=x -javaagent:y.jar -f c").unwrap();
        let expected = [("x.y".to_owned(), "a=b".to_owned()), ("z".to_owned(), String::new())];
        assert_eq!(w.properties, BTreeMap::from(expected));
        assert_eq!((w.heap, w.java.len(), w.rest.join(" ")), (Some(20 << 20), 3, "-n a -f c".to_owned()));
        assert!(sort("-D").is_err() && sort("-D=x").is_err());
    }

    #[test]
    fn sizes_are_javas() {
        let sizes = [("512k", Some(512 << 10)), ("1G", Some(1 << 30)), ("1048576", Some(1 << 20))];
        for (text, n) in sizes {
            assert_eq!(bytes(text), n);
        }
        for text in ["", "m", "0", "1.5g", "5mb", "-1", "99999999999999t", "5\u{e9}"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert!(sort("-Xmxbig").is_err());
    }

    #[test]
    fn long_options_in_every_form() {
        rest("-name a -conf-file=x -no-reload-conf", "--name a --conf-file=x --no-reload-conf");
        rest("--nam a --conf-f x --no", "--name a --conf-file x --no-reload-conf");
        rest("-user u --conf d", "--conf-user u --conf d");
        rest("-n a -nagent -- - free", "-n a -nagent -- - free");
        rest("-f=x -n=a=b -c= -q=1", "--conf-file=x --name=a=b --conf= -q=1");
        rest("--strange -strange", "--strange -strange");
        assert!(sort("--conf-").unwrap_err().contains("--conf-file or --conf-user"));
        assert!(sort("-con").unwrap_err().contains("ambiguous"));
    }
}
