//! The mask interceptor: secrets in bodies, written `word=secret`, become `word=***`.
//!
//! Runs on the thread that delivers, which for sources on the loop is the loop's own: it does not block. One value serves
//! all connections of its source, at the same time where there are several loops; it holds no state.

use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use flumed::event::Batch;
use flumed::interceptor::{Interceptor, InterceptorSpec};

const KEYS: &[Key] =
    &[Key::new("words", Type::List, Default::Is("password token"), "what secrets are written behind")];

pub static SPEC: InterceptorSpec = Spec::new(
    Declared::new(Kind::Interceptor, "mask", "Hides secrets in bodies")
        .class("com.acme.flume.MaskInterceptor$Builder")
        .keys(&[KEYS]),
    |ctx, _| Box::new(Mask::new(ctx)),
);

struct Mask {
    /// With the sign behind them.
    words: Vec<Vec<u8>>,
}

impl Mask {
    fn new(ctx: &Context) -> Mask {
        Mask { words: ctx.list("words").iter().map(|w| format!("{w}=").into_bytes()).collect() }
    }

    /// `None`: there is no secret in it.
    fn masked(&self, body: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut copied, mut at) = (Vec::new(), 0, 0);
        while at < body.len() {
            let Some(word) = self.words.iter().find(|w| body[at..].starts_with(w)) else {
                at += 1;
                continue;
            };
            at += word.len();
            let ends = |b: &u8| b.is_ascii_whitespace() || b"&,;\"'".contains(b);
            let len = body[at..].iter().position(ends).unwrap_or(body.len() - at);
            out.extend_from_slice(&body[copied..at]);
            out.extend_from_slice(b"***");
            at += len;
            copied = at;
        }
        (copied > 0).then(|| [&out, &body[copied..]].concat())
    }
}

impl Interceptor for Mask {
    fn intercept(&self, batch: &mut Batch) {
        for i in 0..batch.len() {
            if let Some(masked) = self.masked(batch.get(i).body()) {
                let body = batch.store(&masked);
                batch.set_body(i, body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flumed::testing::{push, settings, shown};
    use flumed::Flumed;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        let mask = Mask::new(&settings(&Flumed::new(), &SPEC.declared, "words = token pin").unwrap());
        let mut batch = Batch::new();
        for body in ["user=ann token=abc&pin=1", "token=", "pin=7 token", "nothing"] {
            push(&mut batch, &[("h", "token=kept")], body);
        }
        mask.intercept(&mut batch);
        let bodies: Vec<String> =
            shown(&batch).iter().map(|e| e.strip_prefix("h=token=kept: ").unwrap().to_owned()).collect();
        assert_eq!(bodies, ["user=ann token=***&pin=***", "token=***", "pin=*** token", "nothing"]);
    }
}
