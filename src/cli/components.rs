//! `flumed components`: what there is to configure, from the components' own declarations.
//!
//! Pure text; the same declarations parse the configuration, so this cannot go out of date.

use super::Hooks;
use crate::config::{nearest, Declared, Default, Key, Kind, Type};
use std::fmt::Write;

/// The kinds in the order shown; the agent comes last.
const KINDS: [Kind; 11] = [
    Kind::Source,
    Kind::Channel,
    Kind::Sink,
    Kind::Processor,
    Kind::Interceptor,
    Kind::Selector,
    Kind::Serializer,
    Kind::PathManager,
    Kind::ConfigFilter,
    Kind::ExtractorSerializer,
    Kind::HttpHandler,
];

/// What to print, or what was wrong with `what`: nothing, a kind, or `<kind>.<type>`.
pub fn text(what: Option<&str>, hooks: &Hooks) -> Result<String, String> {
    let mut out = String::new();
    let Some(what) = what else {
        for kind in KINDS {
            list(&mut out, kind, hooks);
        }
        list_one(&mut out, hooks.agent_declared);
        let _ = writeln!(out, "\nThe keys of one: flumed components source.<type>");
        return Ok(out);
    };
    let (word, name) = what.split_once('.').map_or((what, None), |(k, n)| (k, Some(n)));
    if word.eq_ignore_ascii_case(Kind::Agent.word()) {
        keys(&mut out, hooks.agent_declared);
        return Ok(out);
    }
    let Some(kind) = KINDS.into_iter().find(|k| k.word().eq_ignore_ascii_case(word)) else {
        let words: Vec<&str> = KINDS.iter().map(|k| k.word()).chain([Kind::Agent.word()]).collect();
        return Err(unknown("kind of component", word, &words));
    };
    match name {
        None => list(&mut out, kind, hooks),
        Some(name) => match hooks.catalog.find(kind, name) {
            Some(declared) => keys(&mut out, declared),
            None => return Err(crate::config::unknown_type(kind, name, hooks.catalog)),
        },
    }
    Ok(out)
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let hint = nearest(word, known.iter().copied()).map(|n| format!("did you mean {n}?"));
    let hint = hint.unwrap_or_else(|| format!("known: {}", known.join(", ")));
    format!("unknown {what} '{word}'; {hint}")
}

fn list(out: &mut String, kind: Kind, hooks: &Hooks) {
    for declared in hooks.catalog.all(kind) {
        list_one(out, declared);
    }
}

fn list_one(out: &mut String, d: &Declared) {
    let _ = writeln!(out, "{:<28} {}", title(d), d.help);
}

fn title(d: &Declared) -> String {
    match d.kind {
        Kind::Agent => d.kind.word().to_owned(),
        kind => format!("{}.{}", kind.word(), d.name),
    }
}

fn keys(out: &mut String, d: &Declared) {
    let _ = writeln!(out, "{}: {}", title(d), d.help);
    if !d.class.is_empty() {
        let _ = writeln!(out, "class: {}", d.class);
    }
    let rows: Vec<[String; 3]> =
        d.all_keys().map(|k| [name(k, d.kind), form(k.ty), default(k.default)]).collect();
    let head = ["key", "type", "default"].map(str::to_owned);
    let width =
        |i: usize| [&head].into_iter().chain(&rows).map(|r| r[i].chars().count()).max().unwrap_or_default();
    let (a, b, c) = (width(0), width(1), width(2));
    let _ = writeln!(out, "\n{:<a$}  {:<b$}  {:<c$}  meaning", head[0], head[1], head[2]);
    for ([key, form, default], k) in rows.iter().zip(d.all_keys()) {
        let ignored = k.ignored.map(|why| format!(" (ignored: {why})")).unwrap_or_default();
        let _ = writeln!(out, "{key:<a$}  {form:<b$}  {default:<c$}  {}{ignored}", k.help);
    }
}

fn name(key: &Key, kind: Kind) -> String {
    match key.ty {
        Type::Prefix | Type::ChannelsBelow => format!("{}{}", key.name, kind.below()),
        _ => key.name.to_owned(),
    }
}

fn form(ty: Type) -> String {
    match ty {
        Type::Text => "text".into(),
        Type::Int(low, high) => range("number", low, high),
        Type::Bool => "true or false".into(),
        Type::Millis(low, high) => range("milliseconds", low, high),
        Type::Seconds(low, high) => range("seconds", low, high),
        Type::Port => "port".into(),
        Type::List => "list".into(),
        Type::Choice(words) => words.join(" | "),
        Type::Path => "path".into(),
        Type::Paths => "paths, separated by commas".into(),
        Type::Regex | Type::WholeRegex => "regular expression".into(),
        Type::Header => "header".into(),
        Type::Component(kind) => kind.word().into(),
        Type::Components(kind, _) => format!("list of {}", kind.word()),
        Type::Prefix => "any keys".into(),
        Type::Channels | Type::ChannelsBelow => "channel names".into(),
    }
}

/// Bounds that only say how wide the number is stored are left out.
fn range(what: &str, low: i64, high: i64) -> String {
    match (low, high) {
        (low, high) if low <= i64::from(i32::MIN) && high >= i64::from(i32::MAX) => what.to_owned(),
        (low, high) if high >= i64::from(i32::MAX) => format!("{what} >= {low}"),
        (low, high) => format!("{what} {low}..{high}"),
    }
}

fn default(d: Default) -> String {
    match d {
        Default::Required => "required".into(),
        Default::None => "-".into(),
        Default::Is(text) => text.escape_debug().to_string(),
        Default::Computed(how) => how.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::HOOKS;

    #[test]
    fn lists_kinds_types_and_keys() {
        let all = text(None, &HOOKS).unwrap();
        assert!(all.contains("source.netcat                lines over TCP\n"), "{all}");
        assert!(all.contains("\nagent   "), "{all}");
        let sinks = text(Some("sink"), &HOOKS).unwrap();
        assert!(sinks.lines().count() == 3 && sinks.contains("sink.null"), "{sinks}");
        let netcat = text(Some("source.NetCat"), &HOOKS).unwrap();
        let expected = "\
source.netcat: lines over TCP
class: org.apache.flume.source.NetcatSource

key              type                  default   meaning
bind             text                  required  address to listen on
port             port                  required  port to listen on
max-line-length  number 1..1073741824  512       longest line, in bytes
ack-every-event  true or false         true      answer each line with OK
";
        assert_eq!(netcat, expected);
        assert!(text(Some("agent"), &HOOKS).unwrap().contains("stop.deadline"));
        assert!(text(Some("selector.multiplexing"), &HOOKS).unwrap().contains("mapping.<value>"));
    }

    #[test]
    fn suggests() {
        let wrong = |w| text(Some(w), &HOOKS).unwrap_err();
        assert_eq!(wrong("sources"), "unknown kind of component 'sources'; did you mean source?");
        assert_eq!(wrong("source.netcta"), "unknown source type 'netcta'; did you mean netcat?");
        assert_eq!(wrong("sink.hbase"), "hbase is not supported: use http");
        assert!(wrong("gizmo").contains("known: source, channel"));
    }
}
