use super::*;
use regex::Regex;

/// The text of the first match, as Java gives it.
fn found<'t>(java: &str, text: &'t str) -> Option<&'t str> {
    let t = translate(java).unwrap_or_else(|e| panic!("{java}: {e}"));
    let regex = Regex::new(&t.pattern).unwrap_or_else(|e| panic!("{java} as {}: {e}", t.pattern));
    let groups = regex.captures(text)?;
    let whole = groups.get(0)?;
    let line_end = t.line_ends.iter().filter_map(|g| groups.get(*g)).map(|g| g.start()).min();
    Some(&text[whole.start()..line_end.unwrap_or(whole.end())])
}

#[test]
fn what_java_writes_differently_is_translated() {
    for (java, text, want) in [
        (r"\d+", "a\u{0663}12", Some("12")),
        (r"\w+", "\u{e4}bc", Some("bc")),
        (r"\W", "ab\u{e4}", Some("\u{e4}")),
        (r"a\sb", "a\u{a0}b", None),
        (r"a\hb\v", "a\u{a0}b\u{b}", Some("a\u{a0}b\u{b}")),
        (r"\p{Alpha}+", "\u{e4}xyz", Some("xyz")),
        (r"\P{Alpha}", "x\u{e4}", Some("\u{e4}")),
        (r"\p{Punct}+", "a[`~]/b", Some("[`~]/")),
        (r"\pL+", "1\u{e4}b", Some("\u{e4}b")),
        (r"\p{IsLatin}\p{Lu}", "\u{416}xY", Some("xY")),
        (r"\p{IsAlphabetic}\p{sc=Greek}", "a\u{3b1}", Some("a\u{3b1}")),
        (r"\p{javaWhitespace}", "\u{a0}\u{2003}", Some("\u{2003}")),
        (r"\Qa.b*\E+", "a.b***", Some("a.b***")),
        (r"\Q[x", "a[x", Some("[x")),
        (r"\\Q", r"\Q", Some(r"\Q")),
        (r"[\Q^]\E]+", "a]^", Some("]^")),
        ("a.c", "a\u{2028}c", None),
        ("a.c", "a\u{85}c", None),
        ("(?d)a.c", "a\rc", Some("a\rc")),
        ("(?s)a.c", "a\nc", Some("a\nc")),
        ("(?s:a.)c.", "a\nc\nc!", None),
        (r"a\Rb", "a\r\nb", Some("a\r\nb")),
        (r"\0101\x42\u0043\x{44}\cA\e", "ABCD\u{1}\u{1b}", Some("ABCD\u{1}\u{1b}")),
        (r"\ud83d\ude00", "\u{1f600}", Some("\u{1f600}")),
        (r"\0377\0400", "\u{ff}\u{20}0", Some("\u{ff}\u{20}0")),
        (r"(?<year>\d{4})-(?i:JAN)", "2026-jan", Some("2026-jan")),
        ("(?i)ab(?-i)c", "ABc", Some("ABc")),
        ("(?i)ab(?-i)c", "ABC", None),
        ("((?i)a)b", "AB", None),
        ("(?x) a b # a comment\n [c d]", "abd", Some("abd")),
        ("(?x)a\\ b", "a b", Some("a b")),
        ("x]}-<>&~", "x]}-<>&~", Some("x]}-<>&~")),
        ("a{2}b{1,}?c{0,3}", "aabc", Some("aabc")),
    ] {
        assert_eq!(found(java, text), want, "{java}");
    }
}

#[test]
fn brackets_are_javas() {
    for (java, yes, no) in [
        ("[a-d[m-p]]", "adm", "e"),
        ("[a-z&&[def]]", "def", "a"),
        ("[a-z&&[^bc]]", "ad", "b"),
        ("[a-z&&def]", "d", "a"),
        ("[^a-c]", "dx\n", "b"),
        ("[]a]", "]a", "["),
        ("[^]a]", "[b", "]"),
        ("[a-]", "a-", "b"),
        ("[--/]", "-./", ","),
        ("[a&b]", "a&b", "c"),
        (r"[\w-.]", "a-.", "!"),
        (r"[\]\[\\^]", r"][\^", "a"),
        (r"[\d\p{Lower}\t]", "5x\t", "X"),
        (r"[^\W\d]", "a_", "5"),
        ("[a-c~~b]", "~b", "|"),
        (r"[\x41-\u0043]", "ABC", "D"),
    ] {
        for c in yes.chars() {
            let text = c.to_string();
            assert_eq!(found(java, &text), Some(text.as_str()), "{java}");
        }
        assert_eq!(found(java, no), None, "{java}");
    }
}

#[test]
fn the_end_is_before_a_final_line_end() {
    for (java, text, want) in [
        ("b$", "ab", Some("b")),
        ("b$", "ab\n", Some("b")),
        ("b$", "ab\r\n", Some("b")),
        ("b$", "ab\u{2028}", Some("b")),
        ("b$", "ab\n\n", None),
        ("b(?:,|$)", "ab\n", Some("b")),
        (r"b\Z", "ab\n", Some("b")),
        (r"b\z", "ab\n", None),
        ("(?d)b$", "ab\r", None),
        ("(?m)b$", "ab\r\nc", Some("b")),
        ("(?m)^c", "ab\rc", Some("c")),
        ("(?md)^c", "ab\rc", None),
    ] {
        assert_eq!(found(java, text), want, "{java} {text:?}");
    }
}

/// Java: found, found, none.
#[test]
fn known_differences_of_the_end() {
    assert_eq!(found(r"a$\n", "a\n"), None);
    assert_eq!(found("a$(?s:.)", "a\n"), None);
    assert_eq!(found(r"\r$", "a\r\n"), Some("\r"));
}

#[test]
fn groups_keep_their_numbers() {
    let t = translate(r"(a|$)(?:b)(?<c>c)$").unwrap();
    assert_eq!((t.groups, t.line_ends), (vec![0, 1, 3], vec![2, 4]));
}

#[test]
fn what_cannot_be_done_is_named_with_its_place() {
    for (java, why) in [
        ("a(?=b)", "look-ahead (?= at character 2 is not supported"),
        ("a(?!b)", "look-ahead (?! at character 2 is not supported"),
        ("\u{e4}(?<=b)", "look-behind (?<= at character 2 is not supported"),
        ("(?<!b)", "look-behind (?<! at character 1 is not supported"),
        ("(?>a)", "the atomic group (?> at character 1 is not supported"),
        ("a*+", "the possessive quantifier at character 2 is not supported"),
        ("a{2}+", "the possessive quantifier at character 2 is not supported"),
        (r"(a)\1", r"the back-reference \1 at character 4 is not supported"),
        (r"(?<n>a)\k<n>", r"the back-reference \k at character 8 is not supported"),
        (r"\Ga", r"\G at character 1 is not supported"),
        ("(?U)a", "the flag U at character 3 is not supported; name what is meant, such as \\p{L}"),
        (r"\p{InGreek}", "the Unicode block \"InGreek\" at character 2 is not supported"),
        (r"\p{Alhpa}", "unknown class \"Alhpa\" at character 2"),
        (r"\p{", "the class at character 2 lacks its '}'"),
        (r"a\", "the pattern ends in a backslash"),
        (r"[a\", "the pattern ends in a backslash"),
        (r"\j", r"unknown escape \j at character 2"),
        (r"\x{110000}", r"\x at character 2 names no character"),
        (r"\ud83d", r"\u at character 2 names no character"),
        ("a{,3}", "'{' at character 2 begins no repetition; for a literal { write \\{"),
        ("a{2", "'{' at character 2 begins no repetition; for a literal { write \\{"),
        ("a|*", "'*' at character 3 has nothing to repeat"),
        ("a**", "'*' at character 3 has nothing to repeat"),
        ("(a", "'(' at character 1 is not closed"),
        ("a)", "')' at character 2 closes no group"),
        ("[a[b]", "'[' at character 1 is not closed"),
        ("[a--c]", "the range that ends at character 4 is no range"),
        ("[z-a]", "the range that ends at character 4 is no range"),
        (r"[a-\d]", "the range that ends at character 4 is no range"),
        ("[a&&]", "nothing follows && before character 5"),
        ("[&&a]", "nothing stands before && at character 2"),
        ("(?<1>a)", "the group at character 1 has no proper name"),
        ("(?P<n>a)", "unknown flag or kind of group 'P' at character 3"),
    ] {
        assert_eq!(translate(java), Err(why.to_owned()), "{java}");
    }
}

/// Whatever is written: an error, or a pattern that the engine takes or refuses, but never a panic.
#[test]
fn no_pattern_panics() {
    let alphabet: Vec<char> = r"ab1[]()?{}\&-^$.*+|<>=!:,pPQEdDwsxuciImURZz0 #/é".chars().collect();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut translated = 0;
    for _ in 0..20_000 {
        let java: String = (0..random(12)).map(|_| alphabet[random(alphabet.len())]).collect();
        if let Ok(t) = translate(&java) {
            translated += 1;
            if let Err(e @ regex::Error::Syntax(_)) = Regex::new(&t.pattern) {
                // Left to the engine: counts the wrong way round, names of properties and doubled groups.
                let known = ["Unicode property", "duplicate", "invalid repetition count", "exceeds"];
                assert!(known.iter().any(|k| e.to_string().contains(k)), "{java} as {}: {e}", t.pattern);
            }
        }
    }
    assert!(translated > 1000, "{translated}");
}
