//! Expressions in values: nested, without end, in circles, and such that grow.

use super::{config, Target};
use crate::mutate;

pub static TARGET: Target = Target {
    name: "interpolation",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    // 64 MiB of values in one configuration are allowed, on the way included.
    memory: (64, 512 << 20),
    run: config::run,
};

const WORDS: &[&str] = &[
    "${",
    "}",
    "$${",
    ":-",
    "${a}",
    "${b}${b}",
    "${c:-${d}}",
    "${env:PATH}",
    "${env:HOME:-x}",
    "${sys:user.dir}",
    "${java:vm}",
    "${date:yyyy-MM-dd'T'HH:mm:ss.SSSXXX}",
    "${date:",
    "${script:js:1}",
    "${f['x']}",
    "\na = ",
    "\nb = ${a}${a}",
    "\nc = ${b}${b}",
    "\nd = ${c}${c}",
];

const WIRED: &str = "a1.sources = r\na1.channels = c\na1.sources.r.type = seq\na1.sources.r.channels = c\n\
                     a1.channels.c.type = memory\na1.sinks = k\na1.sinks.k.type = logger\na1.sinks.k.channel = c\n";

fn seeds() -> Vec<Vec<u8>> {
    let values = [
        "a = ${env:HOME}\na1.sources.r.batchSize = ${b:-${c:-7}}\n",
        "a = 1\nb = ${a}${a}\nc = ${b}${b}\na1.channels.c.capacity = ${c}\n",
        "a = ${b}\nb = ${c}\nc = ${a}\n",
        "a = $${x} ${${w:-b}:-${y:-z}}\nb = ${date:yyyy-MM-dd}\nw = ${sys:user.dir}${java:os}\n",
        "b = ${url:UTF-8:http://x/} ${script:x} ${gizmo:x}\na1.sinks.k.type = ${f['x']}\n",
    ];
    values.map(|v| format!("{WIRED}{v}").into_bytes()).into()
}
