//! What runs found, and rows of it.

use serde_json::{json, Map, Value};
use std::collections::BTreeMap;

/// Figures of one run, by name.
pub type Figures = BTreeMap<&'static str, f64>;

/// Figures as a child printed them.
pub type Found = BTreeMap<String, f64>;

/// A figure of a row: its name, what it is multiplied by, digits, the unit.
pub struct Column(pub &'static str, pub f64, pub usize, pub &'static str);

pub struct Report {
    pub is_json: bool,
}

impl Report {
    /// A line for people.
    pub fn say(&self, line: &str) {
        match self.is_json {
            true => eprintln!("{line}"),
            false => println!("{line}"),
        }
    }

    /// The first column with its range, the others' medians.
    pub fn row(&self, part: &str, label: &str, runs: &[Found], columns: &[Column]) {
        if self.is_json {
            let mut line =
                Map::from_iter([("part".to_owned(), json!(part)), ("row".to_owned(), json!(label))]);
            for name in runs[0].keys() {
                let (low, mid, high) = spread(runs, name);
                line.insert(name.clone(), json!({"median": mid, "min": low, "max": high}));
            }
            println!("{}", Value::Object(line));
            return;
        }
        let mut text = format!("{part:8} {label:48}");
        for (i, &Column(name, by, digits, unit)) in columns.iter().enumerate() {
            let (low, mid, high) = spread(runs, name);
            text += &format!("  {:.digits$}", mid * by);
            if i == 0 {
                text += &format!(" ({:.digits$}-{:.digits$})", low * by, high * by);
            }
            text += &format!(" {unit}");
        }
        println!("{text}");
    }
}

/// Least, median and most of what runs found; 0 where a run has no such figure.
fn spread(runs: &[Found], name: &str) -> (f64, f64, f64) {
    let mut all: Vec<f64> = runs.iter().map(|r| r.get(name).copied().unwrap_or(0.0)).collect();
    all.sort_by(f64::total_cmp);
    (all[0], all[all.len() / 2], all[all.len() - 1])
}
