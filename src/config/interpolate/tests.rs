//! Expressions against their values, and against what is said of them.

use super::super::problem::Severity;
use super::super::properties::parse;
use super::*;
use std::sync::Arc;

fn lookups() -> Lookups {
    let pairs = |p: &[(&str, &str)]| p.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Lookups {
        system: pairs(&[
            ("which", "LEFT"),
            ("port", "44"),
            ("again", "${env:LEFT_BIND}!"),
            ("loop", "${sys:loop}"),
        ]),
        environment: pairs(&[
            ("LEFT_BIND", "host1"),
            ("PASS", "hush"),
            ("HOME", "/home/hush"),
            ("E1", "${E2}"),
            ("BAD", "${hush}"),
        ]),
        is_environment_plain: false,
        now: jiff::civil::date(2024, 2, 3).at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap(),
    }
}

fn run(text: &str, lookups: &Lookups) -> (Vec<Property>, Vec<String>) {
    let mut problems = Problems::default();
    let file: Arc<str> = Arc::from("f");
    let mut found = parse(&file, text.as_bytes(), &mut problems);
    interpolate(&mut found, lookups, &mut problems);
    (found, problems.sorted().iter().map(|p| p.to_string()).collect())
}

/// The value of the last line, and whether it is hidden.
#[track_caller]
fn value(text: &str, expected: &str, is_hidden: bool) {
    let (found, said) = run(text, &lookups());
    let last = found.last().unwrap();
    assert_eq!((last.value.as_str(), last.is_hidden, said), (expected, is_hidden, Vec::new()), "{text}");
}

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    let (_, said) = run(text, &lookups());
    assert_eq!(said, expected, "{text}");
    assert!(!said.join(" ").contains("hush"), "{said:?}");
}

#[test]
fn the_forms_of_the_reference() {
    value("a.x = ${env:LEFT_BIND}:${sys:port}", "host1:44", true);
    value("a.x = ${ENV:LEFT_BIND}", "host1", true);
    value("a.x = ${date:yyyy-MM-dd}", "2024-02-03", false);
    value("PORT = 1\na.x = ${PORT}${PORT}", "11", false);
    value("a.x = ${PORT}\nPORT = 1\na.y = ${a.x}", "1", false);
    value("a.x = ${env:NONE:-44444}", "44444", false);
    value("a.x = ${env:NONE:-}y", "y", false);
    value("a.x = $${x} $ {x} $5 ${", "${x} $ {x} $5 ${", false);
    value("a.x = ${env:${sys:which}_BIND}", "host1", true);
    value("a.x = ${sys:again}", "host1!", true);
    value("a.x = ${none:-${env:PASS}}", "hush", true);
    value("y = $${z}\na.x = ${y}", "${z}", false);
    // The part behind the colon is tried as a property.
    value("PORT = 1\na.x = ${env:PORT} ${gizmo:PORT}", "1 1", false);
    // A default that is not needed may be anything.
    value("PORT = 1\na.x = ${PORT:-${nowhere}}", "1", false);
    // The last of a name holds.
    value("P = 1\nP = 2\na.x = ${P}", "2", false);
    value("a.x = ${f1['key']} ${f1[key]} ${f[\"k\"]}", "${f1['key']} ${f1[key]} ${f[\"k\"]}", false);
    value("a.x = ${f['${sys:which}']}", "${f['LEFT']}", true);
    // What names a value hides it no less.
    value("LEFT = 1\na.x = ${${sys:which}}", "1", true);
}

#[test]
fn the_old_switch_reads_the_environment_last() {
    let with = Lookups { is_environment_plain: true, ..lookups() };
    let (found, said) = run("HOME = mine\na.x = ${PASS}\na.y = ${HOME}\na.z = ${nope}", &with);
    let values: Vec<_> = found.iter().skip(1).map(|p| (p.value.as_str(), p.is_hidden)).collect();
    assert_eq!(values, [("hush", true), ("mine", false), ("${nope}", false)]);
    assert_eq!(said.len(), 1);
}

#[test]
fn what_stays_is_told_with_the_nearest_name() {
    says(
        "a.x = ${PROT}\nPORT = 1",
        &["f:1: a.x: warning: ${PROT} stays as it is, as in Flume: nothing has that name; did you mean ${PORT}? (or \
           write $${PROT})"],
    );
    says(
        "a.x = ${HOME}",
        &["f:1: a.x: warning: ${HOME} stays as it is, as in Flume: nothing has that name; did you mean ${env:HOME}? \
           (or write $${HOME})"],
    );
    says(
        "a.x = ${env:LEFT_BNID}${b.y}\nb.y = ${sys:prot}",
        &[
            "f:1: a.x: warning: ${env:LEFT_BNID} stays as it is, as in Flume: nothing has that name; did you mean \
             ${env:LEFT_BIND}? (or write $${env:LEFT_BNID})",
            "f:2: b.y: warning: ${sys:prot} stays as it is, as in Flume: nothing has that name; did you mean \
             ${sys:port}? (or write $${sys:prot})",
        ],
    );
    says(
        "a.x = ${env:BAD}",
        &["f:1: a.x: warning: (hidden) stays as it is, as in Flume: nothing has that name"],
    );
    says(
        "a.x = ${${env:PASS}}",
        &["f:1: a.x: warning: (hidden) stays as it is, as in Flume: nothing has that name"],
    );
    says(
        "a.x = ${f['k']:-d}",
        &["f:1: a.x: warning: ${f['k']:-d}: the default always holds: config filters come later, as in Flume"],
    );
    let (found, _) = run("a.x = ${PROT} ${${env:PASS}}", &lookups());
    assert_eq!(found[0].value, "${PROT} ${${env:PASS}}");
}

#[test]
fn a_cycle_names_everything_in_it() {
    says("a.x = 1${b}\nb = ${c:-5}\nc = ${b}", &["f:2: b: refers to itself: b (f:2) -> c (f:3) -> b (f:2)"]);
    says("a.x = ${a.x}", &["f:1: a.x: refers to itself: a.x (f:1) -> a.x (f:1)"]);
    says("a.x = ${sys:loop}", &["f:1: a.x: refers to itself: ${sys:loop} -> ${sys:loop}"]);
    says("E2 = ${env:E1}", &["f:1: E2: refers to itself: E2 (f:1) -> ${env:E1} -> E2 (f:1)"]);
    let (found, _) = run("a.x = 1${b}\nb = ${b}\na.y = ${PORT:-1}", &lookups());
    assert_eq!(found.iter().map(|p| p.is_unknown).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn other_look_ups_are_refused() {
    let (found, said) =
        run("a.x = ${script:javascript:1}\na.y = ${base64Decoder:aHVzaA==:-x}\na.z = ${date:ww}", &lookups());
    assert!(
        said[0].starts_with("f:1: a.x: ${script:...} is not supported by flumed: it runs code"),
        "{said:?}"
    );
    assert!(said[1].starts_with("f:2: a.y: ${base64decoder:...} is not supported"), "{said:?}");
    assert_eq!(said[2], "f:3: a.z: ${date:...} needs a date pattern: the letter w is not supported");
    assert!(found.iter().all(|p| p.is_unknown));
}

#[test]
fn what_is_referred_to_is_known() {
    let (found, _) = run("P = 1\nQ = 2\na.x = ${P}", &lookups());
    assert_eq!(found.iter().map(|p| p.is_used).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn the_work_is_bounded() {
    // A chain that is too long, and one that is not.
    let chain = |n: usize| {
        (0..n).map(|i| format!("p{i} = ${{p{}}}\n", i + 1)).collect::<String>() + &format!("p{n} = 1")
    };
    assert!(run(&chain(60), &lookups()).1.is_empty());
    let (_, said) = run(&chain(100), &lookups());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("more than 64 references"), "{said:?}");
    // Ten times ten times ten...
    let mut text = "p0 = 0123456789\n".to_owned();
    for i in 1..20 {
        text += &format!("p{i} = {}\n", format!("${{p{}}}", i - 1).repeat(10));
    }
    let (_, said) = run(&text, &lookups());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("grow over 64 MiB"), "{said:?}");
    // The same with nothing but work, in texts that are not kept.
    let mut l = lookups();
    l.environment.insert("T0".into(), String::new());
    for i in 1..40 {
        l.environment.insert(format!("T{i}"), format!("${{env:T{}}}", i - 1).repeat(10));
    }
    let (_, said) = run("a.x = ${env:T39}\na.y = ${env:T38}", &l);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("more than 200000 references"), "{said:?}");
    let deep = format!("a.x = {}{}", "${".repeat(5000), "}".repeat(5000));
    let (_, said) = run(&deep, &lookups());
    assert_eq!(said, ["f:1: a.x: expressions stand too deep inside one another"]);
}

/// Any text ends in a value or in a finding.
#[test]
fn no_text_panics() {
    let seed = 0x5DEE_CE66_D1CE_4E5B_u64;
    let mut state = seed;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces = [
        "${", "}", "$", ":-", "env:", "PASS", "sys:", "a.x", "date:", "'", "[k]", "yy", "\u{e9}", "script:",
        " ",
    ];
    for round in 0..3000 {
        let mut text = String::new();
        for key in ["a.x", "a.y", "b"] {
            let value: String = (0..random(12)).map(|_| pieces[random(pieces.len())]).collect();
            text += &format!("{key} = {value}\n");
        }
        let mut problems = Problems::default();
        let mut found = parse(&Arc::from("f"), text.as_bytes(), &mut problems);
        interpolate(&mut found, &lookups(), &mut problems);
        for p in &found {
            assert!(!p.is_unknown || problems.errors() > 0, "seed {seed} round {round}: {text}");
        }
        for p in problems.sorted() {
            assert!(!p.to_string().contains("hush"), "seed {seed} round {round}: {p}");
            assert!(p.severity == Severity::Error || p.severity == Severity::Warning);
        }
    }
}
