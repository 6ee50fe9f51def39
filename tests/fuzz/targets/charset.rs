//! Charset decoders: cut anywhere the text is the same, and it can be written again.

use super::line::{charset, seeds, WORDS};
use super::{choices, Signature, Target, Verdict};
use crate::mutate;
use crate::random::Random;

pub static TARGET: Target = Target {
    name: "charset",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 1 << 20),
    run,
};

fn run(input: &[u8]) -> Verdict {
    let (chosen, bytes) = choices(input);
    let charset = charset(chosen[0]);
    let mut whole = Vec::new();
    charset.decoder().decode(bytes, true, &mut whole);
    let mut cut = Vec::new();
    let mut decoder = charset.decoder();
    for piece in Random::of(input).split(bytes) {
        decoder.decode(piece, false, &mut cut);
    }
    decoder.decode(&[], true, &mut cut);
    if cut != whole {
        return Err("decodes to another text when it is cut".to_owned());
    }
    let mut s = Signature::default();
    s.exact(chosen[0] % 16);
    s.count(whole.len());
    if charset.is_plain() {
        return Ok(s);
    }
    let Ok(text) = String::from_utf8(whole) else { return Err("decodes to what is no UTF-8".to_owned()) };
    let written = charset.encode(&text);
    s.count(written.len());
    s.exact(written == bytes);
    s.count(text.matches(char::REPLACEMENT_CHARACTER).count());
    Ok(s)
}
