//! The options of `agent` and `check`: Flume's, each with what it means here.
//!
//! Everything Flume accepts is known. What has no meaning here is accepted and noted; what would change where
//! the configuration comes from, and is not built, is refused: running on something else would be worse.
//! Reads the files that hold options (flume.opts, a password); called once by the main thread.

use super::defaults::{self, Stated};
use super::words::{Name, Words};
use crate::config::{Credentials, Origin, RunOptions};
use crate::unsupported;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Ours,
    /// Accepted; the text says why it changes nothing.
    Noted(&'static str),
    /// `unsupported` says why, and what to do instead.
    Refused,
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
const NO_BACKUP: &str =
    "nothing is stored, a copy would hold every secret; the configuration that runs stays in \
                         memory when a new one cannot be read";
const FLAGS: &[Flag] = &[
    flag("n", "name", "NAME", "the name of the agent to run (required)", Use::Ours),
    flag(
        "f",
        "conf-file",
        "FILE",
        "the configuration, a Flume properties file; with several the later hold",
        Use::Ours,
    ),
    flag(
        "u",
        "conf-uri",
        "URI",
        "the same by its URI, file: or http:, in one order with --conf-file",
        Use::Ours,
    ),
    flag("user", "conf-user", "USER", "who asks for URIs (basic authentication)", Use::Ours),
    flag(
        "pwd",
        "conf-password",
        "PASSWORD",
        "with which password; every user of the host can see it",
        Use::Ours,
    ),
    flag("", "conf-password-file", "FILE", "with the password that stands in this file", Use::Ours),
    flag("i", "poll-interval", "SECONDS", "how often to look for a change; 30, with http: 300", Use::Ours),
    flag("", "no-reload-conf", "", "do not look for changes", Use::Ours),
    flag("", "lenient", "", "run what has no error, as Flume does, instead of refusing to start", Use::Ours),
    flag("c", "conf", "DIR", "where flume.opts may be; /etc/flume/flume.opts goes before it", Use::Ours),
    flag("h", "help", "", "this text", Use::Ours),
    flag("C", "classpath", "PATH", "accepted, means nothing here", Use::Noted(NO_JAVA)),
    flag("", "plugins-path", "DIRS", "accepted, means nothing here", Use::Noted(NO_JAVA)),
    flag("b", "backup-directory", "DIR", "accepted, means nothing here", Use::Noted(NO_BACKUP)),
    flag("d", "dryrun", "", "", Use::Refused),
    flag("a", "auth-provider", "CLASS", "", Use::Refused),
    flag("prov", "conf-provider", "CLASS", "", Use::Refused),
    flag("z", "zkConnString", "HOSTS", "", Use::Refused),
    flag("p", "zkBasePath", "PATH", "", Use::Refused),
];

/// What Flume's own files in a configuration directory are for.
const CONF_FILES: [(&str, &str); 3] = [
    ("flume-env.sh", "the script flume-ng runs it, flumed does not"),
    ("log4j2.xml", "not read: the log goes to standard error, -Dflume.root.logger sets its level"),
    ("log4j.properties", "not read: the log goes to standard error, -Dflume.root.logger sets its level"),
];

/// Names the flume-env.sh that flume-ng has run before this program.
const SOURCED: &str = "FLUMED_ENV_SOURCED";

const INTERVAL: u64 = 30;
/// As in Flume: a web server is asked less often.
const WEB_INTERVAL: u64 = 300;

/// What the options say.
pub enum Flags {
    Help,
    Run(Box<Run>),
}

/// Which agent to run, from what, and how.
pub struct Run {
    pub name: String,
    /// Later ones go over earlier ones.
    pub origins: Vec<Origin>,
    pub options: RunOptions,
    pub notes: Vec<String>,
}

impl Flags {
    /// Every complaint about the options, or what they say.
    pub fn parse(args: &[String]) -> Result<Flags, Vec<String>> {
        Flags::parse_with(args, defaults::files)
    }

    /// `files`: which files may hold defaults, given the directories of --conf.
    fn parse_with(args: &[String], files: impl Fn(&[String]) -> Vec<PathBuf>) -> Result<Flags, Vec<String>> {
        let names: Vec<Name> = FLAGS.iter().map(|f| f.name).collect();
        let words = Words::sort(args, &names).map_err(|e| vec![e])?;
        let found = getopts().parse(&words.rest).map_err(|e| vec![e.to_string()])?;
        if found.opt_present("help") {
            return Ok(Flags::Help);
        }
        let stated = defaults::read(&files(&found.opt_strs("conf")))?;
        let mut given = Given { defaults: BTreeMap::new(), found, wrong: Vec::new(), notes: Vec::new() };
        given.take_defaults(stated);
        given.judge();
        let name = given.one("name").unwrap_or_default();
        if name.is_empty() {
            given.wrong.push("--name is required: the name of the agent to run".to_owned());
        }
        let origins = given.origins();
        let reload = given.reload(origins.iter().any(Origin::is_web));
        let sourced = std::env::var_os(SOURCED).map(PathBuf::from);
        for dir in given.found.opt_strs("conf") {
            given.notes.extend(left_alone(&dir, sourced.as_deref()));
        }
        if !words.java.is_empty() {
            given.notes.push(format!("ignored, there is no Java machine here: {}", words.java.join(" ")));
        }
        if !given.found.free.is_empty() {
            given.notes.push(format!("ignored, not an option: {}", given.found.free.join(" ")));
        }
        if !given.wrong.is_empty() {
            return Err(given.wrong);
        }
        let lenient = given.is_set("lenient");
        let options = RunOptions { properties: words.properties, heap: words.heap, lenient, reload };
        Ok(Flags::Run(Box::new(Run { name, origins, options, notes: given.notes })))
    }
}

/// The options as they were given, on the command line or in flume.opts.
struct Given {
    found: getopts::Matches,
    /// By long name; several values only of options that may be repeated.
    defaults: BTreeMap<&'static str, Vec<String>>,
    wrong: Vec<String>,
    notes: Vec<String>,
}

impl Given {
    fn take_defaults(&mut self, stated: Vec<Stated>) {
        for Stated { option, value, place } in stated {
            let known = FLAGS
                .iter()
                .find(|f| f.name.long == option || (f.name.short == option && !option.is_empty()));
            match known {
                // What the script takes out of the command line is no option of the agent.
                Some(f) if !["conf", "classpath", "plugins-path", "dryrun"].contains(&f.name.long) => {
                    let is_off =
                        f.value.is_empty() && !["true", "yes", "1"].contains(&value.to_lowercase().as_str());
                    if !is_off {
                        self.defaults.insert(f.name.long, vec![value]);
                    }
                }
                _ => self.wrong.push(format!("{place}: {option} is not an option of the agent")),
            }
        }
        // The command line wins, and where the configuration is is one question.
        let names_source = ["conf-file", "conf-uri"].iter().any(|l| self.found.opt_present(l));
        if names_source {
            self.defaults.retain(|long, _| !["conf-file", "conf-uri"].contains(long));
        }
    }

    fn is_set(&self, long: &str) -> bool {
        self.found.opt_present(long) || self.defaults.contains_key(long)
    }

    /// All values with their positions; those of the defaults stand first.
    fn all(&self, long: &str) -> Vec<(usize, String)> {
        match (self.found.opt_present(long), self.defaults.get(long)) {
            (true, _) => self.found.opt_strs_pos(long),
            (false, Some(values)) => values.iter().map(|v| (0, v.clone())).collect(),
            (false, None) => Vec::new(),
        }
    }

    /// The value of an option that may be given once.
    fn one(&mut self, long: &str) -> Option<String> {
        let mut all = self.all(long);
        if all.len() > 1 {
            self.wrong.push(format!("--{long} is given {} times", all.len()));
        }
        all.pop().map(|(_, value)| value)
    }

    /// What is refused or means nothing.
    fn judge(&mut self) {
        for f in FLAGS {
            if !self.is_set(f.name.long) {
                continue;
            }
            match f.means {
                Use::Refused => self.wrong.push(unsupported::flag(f.name.long)),
                Use::Noted(why) => self.notes.push(format!("--{} changes nothing: {why}", f.name.long)),
                Use::Ours => {}
            }
        }
    }

    fn origins(&mut self) -> Vec<Origin> {
        let credentials = self.credentials();
        let files = self.all("conf-file").into_iter().map(|(at, v)| (at, false, v));
        let uris = self.all("conf-uri").into_iter().map(|(at, v)| (at, true, v));
        let mut named: Vec<(usize, bool, String)> = files.chain(uris).collect();
        named.sort_by_key(|(at, ..)| *at);
        if named.is_empty() {
            let what = "--conf-file or --conf-uri is required: the file that configures the agent";
            self.wrong.push(what.to_owned());
        }
        let mut origins = Vec::new();
        for (_, is_uri, text) in named {
            match is_uri {
                false => origins.push(Origin::file(&text)),
                true => match Origin::uri(&text, credentials.as_ref()) {
                    Ok(origin) => origins.push(origin),
                    Err(why) => self.wrong.push(format!("--conf-uri {why}")),
                },
            }
        }
        origins
    }

    fn credentials(&mut self) -> Option<Credentials> {
        let user = self.one("conf-user");
        let (plain, file) = (self.one("conf-password"), self.one("conf-password-file"));
        if plain.is_some() && file.is_some() {
            self.wrong.push("--conf-password and --conf-password-file exclude each other".to_owned());
        }
        let read = file.map(|f| self.password(&f));
        match (user, read.or(plain)) {
            (None, None) => None,
            (Some(user), Some(password)) => Some(Credentials { user, password }),
            _ => {
                self.wrong.push("--conf-user goes with --conf-password-file or --conf-password".to_owned());
                None
            }
        }
    }

    /// The first line of a file.
    fn password(&mut self, file: &str) -> String {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) => {
                self.wrong.push(format!("--conf-password-file {file}: cannot be read: {e}"));
                return String::new();
            }
        };
        if std::fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o004 != 0) {
            self.notes.push(format!("every user of this host can read {file}"));
        }
        let password = text.lines().next().unwrap_or_default();
        if password.is_empty() {
            self.wrong.push(format!("--conf-password-file {file}: its first line is empty"));
        }
        password.to_owned()
    }

    fn reload(&mut self, asks_web: bool) -> Option<Duration> {
        let seconds = match self.one("poll-interval") {
            None => Some(if asks_web { WEB_INTERVAL } else { INTERVAL }),
            Some(text) => text.parse().ok().filter(|n| (1..=31_536_000).contains(n)),
        };
        if seconds.is_none() {
            self.wrong.push("--poll-interval is a number of seconds, at least 1".to_owned());
        }
        seconds.filter(|_| !self.is_set("no-reload-conf")).map(Duration::from_secs)
    }
}

/// What is said of Flume's files in a directory. `sourced`: the flume-env.sh that has been run.
fn left_alone(dir: &str, sourced: Option<&Path>) -> Vec<String> {
    let is_left = |name: &str| {
        let file = Path::new(dir).join(name);
        file.exists() && sourced != Some(&file)
    };
    let left = CONF_FILES.iter().filter(|(name, _)| is_left(name));
    left.map(|(name, why)| format!("{dir}/{name}: {why}")).collect()
}

/// The options worth knowing, for the usage.
pub fn usage() -> String {
    let mut text = String::new();
    for f in FLAGS.iter().filter(|f| !f.help.is_empty()) {
        let short = if f.name.short.is_empty() { String::new() } else { format!("-{}, ", f.name.short) };
        let form = format!("{short}--{} {}", f.name.long, f.value);
        text += &format!("  {form:<32} {}\n", f.help);
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

    fn parse_with(line: &str, file: Option<&str>) -> Result<Flags, Vec<String>> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse_with(&args, |_| file.map(Into::into).into_iter().collect())
    }

    #[track_caller]
    fn run(line: &str) -> Run {
        match parse_with(line, None) {
            Ok(Flags::Run(run)) => *run,
            Ok(Flags::Help) => panic!("help: {line}"),
            Err(wrong) => panic!("{line}: {wrong:?}"),
        }
    }

    fn wrong(line: &str) -> Vec<String> {
        parse_with(line, None).err().unwrap_or_default()
    }

    fn places(run: &Run) -> String {
        let places: Vec<String> = run.origins.iter().map(|o| o.place().file.to_string()).collect();
        places.join(" ")
    }

    #[test]
    fn flumes_command_lines() {
        for line in [
            "-n a1 -f x.conf",
            "--name a1 --conf-file x.conf",
            "-name=a1 -conf-file x.conf",
            "--conf /nowhere --nam a1 --conf-f=x.conf",
            "-na1 -fx.conf -c /nowhere",
            "-n=a1 -f=x.conf -i=30",
        ] {
            let r = run(line);
            assert_eq!((r.name.as_str(), places(&r).as_str(), r.notes.len()), ("a1", "x.conf", 0), "{line}");
            let expected = RunOptions { reload: Some(Duration::from_secs(30)), ..RunOptions::default() };
            assert_eq!(r.options, expected);
        }
        assert!(matches!(parse_with("--help", None), Ok(Flags::Help)));
        assert!(matches!(parse_with("-n a -h", None), Ok(Flags::Help)));
    }

    #[test]
    fn values_for_the_run() {
        let r =
            run("-n a -f x -Xmx1g -Dflumed.k=v --lenient -C lib.jar --plugins-path p -Xss1m -b /tmp extra");
        assert_eq!((r.options.heap, r.options.lenient), (Some(1 << 30), true));
        assert_eq!(r.options.properties["flumed.k"], "v");
        assert_eq!(r.notes.len(), 5, "{:?}", r.notes);
    }

    #[test]
    fn files_and_uris_in_the_order_given() {
        let r = run("-n a -u http://h/1 -f 2 --conf-uri file:/3 -f 4");
        assert_eq!(places(&r), "http://h/1 2 file:/3 4");
        assert_eq!(r.options.reload, Some(Duration::from_secs(300)));
        assert_eq!(run("-n a -u http://h/1 -i 7").options.reload, Some(Duration::from_secs(7)));
        assert_eq!(run("-n a -f 1 -i 7 --no-reload-conf").options.reload, None);
        for interval in ["0", "x", "-1", "1.5"] {
            assert_eq!(wrong(&format!("-n a -f 1 --poll-interval={interval}")).len(), 1, "{interval}");
        }
    }

    #[test]
    fn credentials_go_together() {
        let file = std::env::temp_dir().join(format!("flumed-flags-{}", std::process::id()));
        std::fs::write(&file, "hush\nmore\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let with = format!("-n a -u http://h/x -user me --conf-password-file {}", file.display());
        assert!(run(&with).notes.is_empty());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(run(&with).notes[0].contains("every user"));
        assert!(wrong(&format!("{with} -pwd hush"))[0].contains("exclude"));
        std::fs::write(&file, "\n").unwrap();
        assert!(wrong(&with)[0].contains("empty"));
        std::fs::remove_file(&file).unwrap();
        assert!(wrong(&with)[0].contains("cannot be read"));
        assert_eq!(run("-n a -u http://h/x -user me -pwd hush").origins.len(), 1);
        for half in ["-user me", "-pwd hush"] {
            let said = wrong(&format!("-n a -f x {half}"));
            assert!(said.len() == 1 && !said[0].contains("hush"), "{said:?}");
        }
        assert!(!wrong("-n a -u http://me:hush@h/x").concat().contains("hush"));
    }

    #[test]
    fn files_of_the_configuration_directory_are_told_unless_the_script_ran_them() {
        let dir = std::env::temp_dir().join(format!("flumed-conf-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        for name in ["flume-env.sh", "log4j2.xml"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let left = |dir: &Path, sourced: Option<&Path>| left_alone(dir.to_str().unwrap(), sourced);
        let all = left(&dir, None);
        assert!(
            all.len() == 2 && all[0].ends_with("/flume-env.sh: the script flume-ng runs it, flumed does not")
        );
        assert_eq!(left(&dir, Some(Path::new("/other/flume-env.sh"))), all);
        assert_eq!(left(&dir, Some(&dir.join("flume-env.sh"))), all[1..]);
        assert_eq!(left(&dir.join("gone"), None), Vec::<String>::new());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn all_complaints_at_once() {
        let wrong = wrong("-n x -n y -z host -user me -d -prov x.Y");
        assert_eq!(wrong.len(), 6, "{wrong:?}");
        assert!(wrong.iter().any(|w| w.starts_with("--name is given 2 times")));
        assert!(wrong.iter().any(|w| w.starts_with("--zkConnString is not supported")));
        assert!(wrong.iter().any(|w| w.starts_with("--conf-file or --conf-uri is required")));
        assert!(parse_with("-n a -f x --verify-host", None).is_err());
        assert!(parse_with("-n", None).is_err());
    }

    #[test]
    fn flume_opts_states_what_the_command_line_does_not() {
        let file = std::env::temp_dir().join(format!("flumed-opts-{}", std::process::id()));
        let path = file.to_str().unwrap();
        std::fs::write(&file, "name = a1\nf = x.conf\npoll-interval: 5\nlenient=yes\nno-reload-conf=false\n")
            .unwrap();
        let get = |line: &str| match parse_with(line, Some(path)) {
            Ok(Flags::Run(run)) => {
                (run.name.clone(), places(&run), run.options.reload.map(|d| d.as_secs()), run.options.lenient)
            }
            _ => panic!("{line}"),
        };
        assert_eq!(get(""), ("a1".into(), "x.conf".into(), Some(5), true));
        assert_eq!(get("-n b -i 9 -f y -f z"), ("b".into(), "y z".into(), Some(9), true));
        assert_eq!(get("-u file:/y").1, "file:/y");
        std::fs::write(&file, "name = a1\ngizmo = 1\nconf = x\nzkConnString = h\n").unwrap();
        let said = parse_with("-f x", Some(path)).err().unwrap();
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(said[0], format!("{path}:2: gizmo is not an option of the agent"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(defaults::files(&["/c".into()])[1], Path::new("/c/flume.opts"));
    }
}
