//! Flume's JSON: one object, a member `<TYPE>.<name>` per component, every value a string.

use crate::counters::Snapshot;
use serde_json::{Map, Value as Json};

pub fn render(all: &[Snapshot]) -> String {
    let mut root = Map::new();
    for s in all {
        let values = s.values.iter().map(|(k, v)| ((*k).to_owned(), Json::String(v.to_string()))).collect();
        root.insert(format!("{}.{}", s.kind, s.name), Json::Object(values));
    }
    Json::Object(root).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{ChannelCounters, Counted, Measure};

    #[test]
    fn values_are_strings_as_flume_writes_them() {
        let c = ChannelCounters::new("c1");
        c.set_measure(|| Measure { size: 5, capacity: 100, ..Measure::default() });
        let all: Json = serde_json::from_str(&render(&[c.snapshot()])).unwrap();
        let c1 = &all["CHANNEL.c1"];
        assert_eq!(c1["ChannelSize"], "5");
        assert_eq!(c1["ChannelFillPercentage"], "5.0");
        assert_eq!(c1["Type"], "CHANNEL");
        assert_eq!(c1["EventPutSuccessCount"], "0");
    }

    #[test]
    fn a_channel_without_a_bound_is_full_beyond_measure() {
        let c = ChannelCounters::new("c1");
        assert!(render(&[c.snapshot()]).contains("\"1.7976931348623157E308\""));
    }
}
