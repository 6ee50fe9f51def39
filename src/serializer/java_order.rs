//! The order in which Java prints a header map, and the text it prints.
//!
//! Flume keeps headers in a `java.util.HashMap` and prints it with `toString`. A map of 16 buckets, doubled
//! whenever it is more than three quarters full, is walked bucket by bucket; within a bucket in insertion order:
//!
//! ```text
//! bucket = (h ^ (h >>> 16)) & (buckets - 1),   h = the 31-polynomial over UTF-16 units, 32 bits, wrapping
//! ```
//!
//! Flume also makes some maps as copies, which start at another size and may then differ; nothing on the wire
//! tells which, so the plain map is what we follow. Pure.

use crate::event::{EventRef, Key};

/// The headers of an event as a Java hash map would walk them.
pub fn headers<'a>(event: &EventRef<'a>) -> Vec<(Key, &'a [u8])> {
    let mut all: Vec<_> = event.headers().collect();
    if all.len() > 1 {
        let mask = buckets(all.len()) - 1;
        all.sort_by_cached_key(|(key, _)| spread(key.name()) & mask);
    }
    all
}

/// Appends `{k1=v1, k2=v2}`, Java's text of the header map. Nothing is escaped.
pub fn print(event: &EventRef<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (key, value)) in headers(event).into_iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(key.name().as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

/// The table size of a map that was filled one by one.
fn buckets(entries: usize) -> u32 {
    let mut buckets = 16;
    while entries > buckets / 4 * 3 {
        buckets *= 2;
    }
    buckets as u32
}

fn spread(name: &str) -> u32 {
    let hash = name.encode_utf16().fold(0u32, |h, unit| h.wrapping_mul(31).wrapping_add(unit.into()));
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Body};

    fn printed(headers: &[(&str, &str)]) -> String {
        let mut b = Batch::new();
        b.push(Body::Copy(b""));
        for (k, v) in headers {
            let v = b.store(v.as_bytes());
            b.push_header(Key::intern(k).unwrap(), v);
        }
        let mut out = Vec::new();
        print(&b.get(0), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn string_hashes_are_javas() {
        // Known values of String.hashCode: "hello" = 99162322, "Aa" = "BB" = 2112, "é" = 233.
        assert_eq!(spread("hello"), 99_162_322 ^ (99_162_322 >> 16));
        assert_eq!((spread("Aa"), spread("BB"), spread("é"), spread("")), (2112, 2112, 233, 0));
        // One character outside the basic plane is two units: 0xD83D * 31 + 0xDE00.
        let h = 0xD83Du32 * 31 + 0xDE00;
        assert_eq!(spread("\u{1F600}"), h ^ (h >> 16));
    }

    #[test]
    fn maps_print_as_in_flumes_own_test() {
        // TestHeaderAndBodyTextEventSerializer puts header1 first and reads header2 first.
        assert_eq!(
            printed(&[("header1", "value1"), ("header2", "value2")]),
            "{header2=value2, header1=value1}"
        );
        assert_eq!(printed(&[]), "{}");
        assert_eq!(printed(&[("a", "")]), "{a=}");
    }

    #[test]
    fn one_bucket_keeps_the_order_of_insertion() {
        assert_eq!(printed(&[("Aa", "1"), ("BB", "2")]), "{Aa=1, BB=2}");
        assert_eq!(printed(&[("BB", "2"), ("Aa", "1")]), "{BB=2, Aa=1}");
    }

    #[test]
    fn the_table_doubles_past_three_quarters() {
        assert_eq!([1, 12, 13, 24, 25].map(buckets), [16, 16, 32, 32, 64]);
        // 'p' (112) is in bucket 0 of 16 but 16 of 32: before 'a' (bucket 1) in a small map, behind it in a large one.
        assert_eq!(printed(&[("a", "1"), ("p", "2")]), "{p=2, a=1}");
        let many: Vec<(&str, &str)> =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "p"].map(|k| (k, "")).to_vec();
        assert!(printed(&many).ends_with("l=, p=}"), "{}", printed(&many));
    }
}
