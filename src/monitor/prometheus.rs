//! Prometheus text format 0.0.4, under the names of Flume's own (unreleased) exporter: `Flume_<Attribute>`, counters
//! with `_total`, label `component`. Ours adds the label `type`, without which a source and a sink of one name collide.

use crate::counters::{Snapshot, State, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

pub fn render(all: &[Snapshot]) -> String {
    let mut families: BTreeMap<String, (&str, String)> = BTreeMap::new();
    for s in all {
        let labels = format!("component=\"{}\",type=\"{}\"", escape(&s.name), s.kind);
        let up = Value::Gauge(i64::from(s.state == State::Started));
        for (name, value) in s.values.iter().chain([&("Started", up)]) {
            let (family, kind, number) = match value {
                Value::Counter(n) => (format!("Flume_{name}_total"), "counter", n.to_string()),
                Value::Gauge(n) => (format!("Flume_{name}"), "gauge", n.to_string()),
                Value::Ratio(r) if *r == f64::MAX => (format!("Flume_{name}"), "gauge", "+Inf".to_owned()),
                Value::Ratio(r) => (format!("Flume_{name}"), "gauge", r.to_string()),
                Value::Text(_) => continue,
            };
            let (_, lines) = families.entry(family.clone()).or_insert((kind, String::new()));
            let _ = writeln!(lines, "{family}{{{labels}}} {number}");
        }
    }
    let mut out = String::new();
    for (family, (kind, lines)) in families {
        let _ = write!(out, "# HELP {family} {family}\n# TYPE {family} {kind}\n{lines}");
    }
    out
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counted, SinkCounters, SourceCounters};

    #[test]
    fn families_are_grouped_and_typed() {
        let (a, b) = (SourceCounters::new("a"), SourceCounters::new("b"));
        a.event_received.add(3);
        let text = render(&[a.snapshot(), b.snapshot(), SinkCounters::new("k\"1").snapshot()]);
        let at = text.find("# TYPE Flume_EventReceivedCount_total counter\n").unwrap();
        assert!(text[at..].contains(
            "Flume_EventReceivedCount_total{component=\"a\",type=\"SOURCE\"} 3\n\
             Flume_EventReceivedCount_total{component=\"b\",type=\"SOURCE\"} 0\n"
        ));
        assert!(text.contains("Flume_Started{component=\"k\\\"1\",type=\"SINK\"} 0\n"));
        assert!(!text.contains("LastError{"), "text has no sample");
    }
}
