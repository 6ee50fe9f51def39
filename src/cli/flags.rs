//! The options of `agent` and `check`: Flume's, each with what it means here.
//!
//! Everything Flume accepts is known. What has no meaning here is accepted and noted; what would change where
//! the configuration comes from, and is not built, is refused: running on something else would be worse.
//! Pure but for a look into the directory of --conf; called once by the main thread.

use super::words::{Name, Words};
use crate::config::RunOptions;
use std::path::Path;

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Ours,
    /// Accepted; the text says why it changes nothing.
    Noted(&'static str),
    /// Refused; the text says what to do instead, or is empty.
    Refused(&'static str),
}

struct Flag {
    name: Name,
    /// What to call its value in the usage; empty: it has none.
    value: &'static str,
    help: &'static str,
    means: Use,
}

const fn flag(
    short: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
    means: Use,
) -> Flag {
    Flag { name: Name { short, long }, value, help, means }
}

const NO_JAVA: &str = "there is no Java class path here";
const FLAGS: &[Flag] = &[
    flag("n", "name", "NAME", "the name of the agent to run (required)", Use::Ours),
    flag("f", "conf-file", "FILE", "the configuration, a Flume properties file (required)", Use::Ours),
    flag("", "lenient", "", "run what has no error, as Flume does, instead of refusing to start", Use::Ours),
    flag("c", "conf", "DIR", "accepted; nothing in it is read", Use::Ours),
    flag("", "no-reload-conf", "", "do not reload a changed configuration", Use::Noted("")),
    flag("h", "help", "", "this text", Use::Ours),
    flag("C", "classpath", "PATH", "accepted, means nothing here", Use::Noted(NO_JAVA)),
    flag("", "plugins-path", "DIRS", "accepted, means nothing here", Use::Noted(NO_JAVA)),
    flag("d", "dryrun", "", "", Use::Refused("; 'flumed check' tests a configuration without running it")),
    flag("u", "conf-uri", "URI", "", Use::Refused("; fetch the file first and name it with --conf-file")),
    flag("a", "auth-provider", "CLASS", "", Use::Refused("")),
    flag("prov", "conf-provider", "CLASS", "", Use::Refused("")),
    flag("user", "conf-user", "USER", "", Use::Refused("")),
    flag("pwd", "conf-password", "PASSWORD", "", Use::Refused("")),
    flag("i", "poll-interval", "SECONDS", "", Use::Refused("")),
    flag("b", "backup-directory", "DIR", "", Use::Refused("")),
    flag("z", "zkConnString", "HOSTS", "", Use::Refused("; keep the configuration in a file")),
    flag("p", "zkBasePath", "PATH", "", Use::Refused("; keep the configuration in a file")),
];

/// What Flume's own files in a configuration directory are for.
const CONF_FILES: [&str; 4] = ["flume-env.sh", "log4j2.xml", "log4j.properties", "flume.opts"];

/// What the options say.
#[derive(PartialEq, Eq, Debug)]
pub enum Flags {
    Help,
    Run { name: String, file: String, options: RunOptions, notes: Vec<String> },
}

impl Flags {
    /// Every complaint about the options, or what they say.
    pub fn parse(args: &[String]) -> Result<Flags, Vec<String>> {
        let names: Vec<Name> = FLAGS.iter().map(|f| f.name).collect();
        let words = Words::sort(args, &names).map_err(|e| vec![e])?;
        let found = getopts().parse(&words.rest).map_err(|e| vec![e.to_string()])?;
        if found.opt_present("help") {
            return Ok(Flags::Help);
        }
        let (mut wrong, mut notes) = (Vec::new(), Vec::new());
        for f in FLAGS.iter().filter(|f| found.opt_present(f.name.long)) {
            match f.means {
                Use::Refused(instead) => {
                    wrong.push(format!("--{} is not supported by this version{instead}", f.name.long));
                }
                Use::Noted(why) if !why.is_empty() => {
                    notes.push(format!("--{} changes nothing: {why}", f.name.long));
                }
                _ => {}
            }
        }
        let mut one = |long: &str, what: &str| {
            let mut all = found.opt_strs(long);
            match all.len() {
                0 => wrong.push(format!("--{long} is required: {what}")),
                1 => {}
                _ => wrong.push(format!("several --{long} are not supported by this version")),
            }
            all.pop().unwrap_or_default()
        };
        let name = one("name", "the name of the agent to run");
        let file = one("conf-file", "the file that configures it");
        for dir in found.opt_strs("conf") {
            let there = CONF_FILES.iter().filter(|f| Path::new(&dir).join(f).exists());
            notes.extend(there.map(|f| format!("{dir}/{f} is not read: set up the environment yourself")));
        }
        if !words.java.is_empty() {
            notes.push(format!("ignored, there is no Java machine here: {}", words.java.join(" ")));
        }
        if !found.free.is_empty() {
            notes.push(format!("ignored, not an option: {}", found.free.join(" ")));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let lenient = found.opt_present("lenient");
        let options = RunOptions { properties: words.properties, heap: words.heap, lenient };
        Ok(Flags::Run { name, file, options, notes })
    }
}

/// The options worth knowing, for the usage.
pub fn usage() -> String {
    let mut text = String::new();
    for f in FLAGS.iter().filter(|f| !f.help.is_empty()) {
        let short = if f.name.short.is_empty() { String::new() } else { format!("-{}, ", f.name.short) };
        let form = format!("{short}--{} {}", f.name.long, f.value);
        text += &format!("  {form:<22} {}\n", f.help);
    }
    text
}

fn getopts() -> getopts::Options {
    let mut all = getopts::Options::new();
    for f in FLAGS {
        // Short names of several letters have been made long ones by then.
        let short = if f.name.short.len() == 1 { f.name.short } else { "" };
        match f.value {
            "" => all.optflagmulti(short, f.name.long, f.help),
            value => all.optmulti(short, f.name.long, f.help, value),
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, Vec<String>> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse(&args)
    }

    #[test]
    fn flumes_command_lines() {
        for line in [
            "-n a1 -f x.conf",
            "--name a1 --conf-file x.conf",
            "-name=a1 -conf-file x.conf -no-reload-conf",
            "--conf /nowhere --nam a1 --conf-f=x.conf",
            "-na1 -fx.conf -c /nowhere",
            "--no-reload-conf -f x.conf -n a1",
        ] {
            let Ok(Flags::Run { name, file, notes, options }) = parse(line) else { panic!("{line}") };
            assert_eq!((name.as_str(), file.as_str(), notes.len()), ("a1", "x.conf", 0), "{line}");
            assert_eq!(options, RunOptions::default());
        }
        assert_eq!(parse("--help"), Ok(Flags::Help));
        assert_eq!(parse("-n a -h"), Ok(Flags::Help));
    }

    #[test]
    fn values_for_the_run() {
        let Ok(Flags::Run { options, notes, .. }) =
            parse("-n a -f x -Xmx1g -Dflumed.k=v --lenient -C lib.jar --plugins-path p -Xss1m extra")
        else {
            panic!("refused")
        };
        assert_eq!((options.heap, options.lenient), (Some(1 << 30), true));
        assert_eq!(options.properties["flumed.k"], "v");
        assert_eq!(notes.len(), 4, "{notes:?}");
    }

    #[test]
    fn all_complaints_at_once() {
        let wrong = parse("-f x -f y -z host -user me -d").unwrap_err();
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert!(wrong.iter().any(|w| w.starts_with("--name is required")));
        assert!(wrong.iter().any(|w| w.starts_with("several --conf-file")));
        assert!(wrong.iter().any(|w| w.starts_with("--conf-user is not supported")));
        assert!(parse("-n a -f x --verify-host").is_err());
        assert!(parse("-n").is_err());
    }
}
