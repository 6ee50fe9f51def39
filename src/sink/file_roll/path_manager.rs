//! Names of rolled files, as Flume's path managers make them. Pure: the time is a parameter, no file is looked at.
//!
//! | type | name |
//! |---|---|
//! | DEFAULT | `<prefix><ms when the sink was built>-<n>[.<extension>]` |
//! | ROLLTIME | `<prefix><yyyyMMddHHmmss, local time of the roll>-<n>[.<extension>]`, n from 1 in every second |

use crate::clock::now_ms;
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use jiff::{tz::TimeZone, Timestamp};

pub type Build = fn(&Context) -> Box<dyn PathManager>;
pub type PathManagerSpec = Spec<Build>;

/// Every path manager, by its name in `sink.pathManager`.
pub static PATH_MANAGERS: &[&PathManagerSpec] = &[&SERIES, &ROLL_TIME];

/// Names files; never gives the same name twice.
pub trait PathManager: Send {
    /// The name of a file created at `now_ms` after the epoch.
    fn next_name(&mut self, now_ms: u64) -> String;
}

/// The path manager that these settings are for.
pub fn build(ctx: &Context) -> Box<dyn PathManager> {
    (ctx.spec(PATH_MANAGERS).expect("a context is made from a spec").build)(ctx)
}

const KEYS: &[Key] = &[
    Key::new("prefix", Type::Text, Default::Is(""), "what file names begin with"),
    Key::new("extension", Type::Text, Default::Is(""), "what file names end in, without the dot"),
];

static SERIES: PathManagerSpec = Spec {
    declared: Declared {
        kind: Kind::PathManager,
        name: "DEFAULT",
        class: "org.apache.flume.formatter.output.DefaultPathManager$Builder",
        help: "start of the sink in milliseconds, and a number",
        keys: &[KEYS],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build: |ctx| Box::new(Series { affixes: Affixes::of(ctx), series: now_ms(), n: 0 }),
};

static ROLL_TIME: PathManagerSpec = Spec {
    declared: Declared {
        kind: Kind::PathManager,
        name: "ROLLTIME",
        class: "org.apache.flume.formatter.output.RollTimePathManager$Builder",
        help: "local time of the roll, and a number",
        keys: &[KEYS],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build: |ctx| {
        let zone = TimeZone::system();
        Box::new(RollTime { affixes: Affixes::of(ctx), zone, last: String::new(), n: 0 })
    },
};

struct Affixes {
    prefix: String,
    /// With its dot, or empty.
    extension: String,
}

impl Affixes {
    fn of(ctx: &Context) -> Affixes {
        let text = |key| ctx.text(key).unwrap_or_default();
        let dot = if text("extension").is_empty() { "" } else { "." };
        Affixes { prefix: text("prefix").to_owned(), extension: format!("{dot}{}", text("extension")) }
    }

    fn around(&self, stamp: &str, n: u64) -> String {
        format!("{}{stamp}-{n}{}", self.prefix, self.extension)
    }
}

struct Series {
    affixes: Affixes,
    series: u64,
    n: u64,
}

impl PathManager for Series {
    fn next_name(&mut self, _now_ms: u64) -> String {
        self.n += 1;
        self.affixes.around(&self.series.to_string(), self.n)
    }
}

struct RollTime {
    affixes: Affixes,
    zone: TimeZone,
    last: String,
    n: u64,
}

impl PathManager for RollTime {
    fn next_name(&mut self, now_ms: u64) -> String {
        let now = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let local = now.unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone());
        let stamp = local.strftime("%Y%m%d%H%M%S").to_string();
        // A clock that steps back over a roll gives a name that exists; the sink then asks for the next one.
        self.n = if stamp == self.last { self.n + 1 } else { 1 };
        self.last = stamp;
        self.affixes.around(&self.last, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::context_of;

    fn affixes(prefix: &str, extension: &str) -> Affixes {
        let ctx = context_of(&SERIES.declared, &[("prefix", prefix), ("extension", extension)]).unwrap();
        Affixes::of(&ctx)
    }

    #[test]
    fn default_names_count_up() {
        let mut p = Series { affixes: affixes("", ""), series: 1700000000123, n: 0 };
        assert_eq!([p.next_name(5), p.next_name(6)], ["1700000000123-1", "1700000000123-2"]);
        let mut p = Series { affixes: affixes("web-", "log"), series: 7, n: 0 };
        assert_eq!(p.next_name(5), "web-7-1.log");
    }

    #[test]
    fn roll_time_names_start_again_each_second_in_local_time() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        let mut p = RollTime { affixes: affixes("p", "txt"), zone, last: String::new(), n: 0 };
        // 2023-11-14T22:13:20Z is 03:43:20 of the next day in Kolkata.
        let names = [1700000000000, 1700000000999, 1700000001000].map(|t| p.next_name(t));
        assert_eq!(names, ["p20231115034320-1.txt", "p20231115034320-2.txt", "p20231115034321-1.txt"]);
    }

    #[test]
    fn both_are_built_from_their_settings() {
        for spec in PATH_MANAGERS {
            let ctx = context_of(&spec.declared, &[("prefix", "x")]).unwrap();
            let name = build(&ctx).next_name(1700000000000);
            assert!(name.starts_with('x') && name.ends_with("-1"), "{name}");
        }
    }
}
