//! The known word a misspelt one was probably meant to be. Pure.

/// The candidate at the smallest edit distance from `word`, if that is small for its length. Of several it is the first
/// in the alphabet, whatever order they come in.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.filter_map(|k| Some((closeness(word, k)?, k))).min().map(|(_, best)| best)
}

/// The edit distance, if it is small for the length of `word`.
pub fn closeness(word: &str, known: &str) -> Option<usize> {
    let distance = distance(&word.to_lowercase(), &known.to_lowercase());
    (distance <= (word.chars().count() / 3).clamp(1, 4)).then_some(distance)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut d = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d = d.min(before[j - 2] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let known = ["bind", "port", "max-line-length", "ack-every-event"];
        let n = |w: &str| nearest(w, known.iter().copied());
        assert_eq!(n("prot"), Some("port"));
        assert_eq!(n("Bind"), Some("bind"));
        assert_eq!(n("maxLineLength"), Some("max-line-length"));
        assert_eq!(n("acks"), None);
        assert_eq!(n("zookeeper"), None);
    }

    #[test]
    fn the_order_of_the_candidates_does_not_count() {
        assert_eq!(nearest("d", ["b", "a", "c"].into_iter()), Some("a"));
        assert_eq!(nearest("d", ["c", "a", "b"].into_iter()), Some("a"));
    }
}
