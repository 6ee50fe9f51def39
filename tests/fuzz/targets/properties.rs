//! The grammar of properties files.

use super::{files_of, tree, Signature, Target, Verdict};
use crate::mutate;
use flumed::config::{properties, Problems};

pub static TARGET: Target = Target {
    name: "properties",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 16,
    // A line of two bytes is a property with its place.
    memory: (256, 1 << 20),
    run,
};

const WORDS: &[&str] = &[
    "\\",
    "\\\n",
    "\\\r\n  ",
    "\\u00e4",
    "\\uD83D\\uDE00",
    "\\uDE00",
    "\\u12",
    "\\u\u{e4}\u{e4}",
    "\\t\\n\\r\\f",
    "=",
    ":",
    " = ",
    "#",
    "!",
    "\n",
    "\r",
    "\x0c",
    "\u{feff}",
    "a.b.c",
];

fn seeds() -> Vec<Vec<u8>> {
    let own =
        "# c\n! c\na=b\nc : d\ne f\n\\u0061\\=x = \\uD83D\\uDE00 \\t\nlong = 1, \\\n   2, \\\r\n 3\nlast\\";
    let mut all = files_of(&tree("etc/examples"), ".conf");
    all.push(own.as_bytes().to_vec());
    all
}

fn run(input: &[u8]) -> Verdict {
    let mut problems = Problems::default();
    let found = properties::parse(&"f".into(), input, &mut problems);
    let lines = input.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() + 1;
    for p in &found {
        if p.place.line as usize > lines || p.place.line == 0 {
            return Err(format!("has a property on line {} of {lines}", p.place.line));
        }
    }
    let mut s = Signature::default();
    s.count(found.len());
    s.count(problems.errors());
    s.count(problems.warnings());
    let escapes = input.iter().filter(|b| **b == b'\\').count();
    s.count(escapes);
    s.count(found.iter().map(|p| p.value.len()).max().unwrap_or(0));
    Ok(s)
}
