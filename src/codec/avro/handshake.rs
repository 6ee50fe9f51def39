//! The exchange that opens a connection: each side names its protocol by hash (Avro specification, "Handshake").
//!
//! ```text
//!   request  = clientHash:16  clientProtocol:[string]  serverHash:16  meta:[map]
//!   response = match          serverProtocol:[string]  serverHash:[16]  meta:[map]       match: BOTH 0, CLIENT 1, NONE 2
//! ```
//! After the first call that ends BOTH or CLIENT, neither calls nor answers of the connection have one.

use super::protocol::{self, Hash, BARE, JAVA, TEXT};
use super::wire::{self, put_bytes, put_long, Input, Malformed};

/// What a server says to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// Each knows the other's protocol.
    Both,
    /// The server knows the client's, and tells its own.
    Client,
    /// The server wants the client's text: the call is to be repeated with it.
    None,
}

/// A server's answer, or why it will not talk to this client.
pub fn serve(input: &mut Input<'_>) -> wire::Result<(Match, Result<(), String>)> {
    let client = hash(input)?;
    let text = if input.is_some()? { Some(input.bytes()?) } else { None };
    let server = hash(input)?;
    if input.is_some()? {
        input.skip_map()?;
    }
    let known = match text {
        _ if protocol::is_ours(&client) => Ok(()),
        Some(text) => protocol::agrees(text),
        None => return Ok((Match::None, Ok(()))),
    };
    let knows_us = protocol::is_ours(&server);
    Ok((if knows_us { Match::Both } else { Match::Client }, known))
}

fn hash(input: &mut Input<'_>) -> wire::Result<Hash> {
    input.take(16)?.try_into().map_err(|_| Malformed("a hash"))
}

pub fn put_response(out: &mut Vec<u8>, m: Match) {
    out.push(2 * m as u8);
    if m == Match::Both {
        out.extend_from_slice(&[0, 0, 0]);
        return;
    }
    put_long(out, 1);
    put_bytes(out, TEXT.as_bytes());
    put_long(out, 1);
    out.extend_from_slice(&BARE);
    out.push(0);
}

/// A client's request. First by Java Flume's hash and without a text; with the bare text where a server wants it, and
/// the hash that it has given itself.
pub fn put_request(out: &mut Vec<u8>, wanted_by: Option<&Hash>) {
    match wanted_by {
        None => {
            out.extend_from_slice(&JAVA);
            put_long(out, 0);
            out.extend_from_slice(&JAVA);
        }
        Some(server) => {
            out.extend_from_slice(&BARE);
            put_long(out, 1);
            put_bytes(out, TEXT.as_bytes());
            out.extend_from_slice(server);
        }
    }
    // Metadata: none, in the form that Java sends.
    out.extend_from_slice(&[2, 0]);
}

/// What a client makes of a server's response.
#[derive(PartialEq, Eq, Debug)]
pub struct Response {
    pub matched: Match,
    pub server: Option<Hash>,
    /// Whether the server's text, if it sent one, says what ours does.
    pub agrees: Result<(), String>,
}

pub fn read_response(input: &mut Input<'_>) -> wire::Result<Response> {
    let matched = match input.long()? {
        0 => Match::Both,
        1 => Match::Client,
        2 => Match::None,
        _ => return Err(Malformed("a handshake that is neither BOTH, CLIENT nor NONE")),
    };
    let agrees = if input.is_some()? { protocol::agrees(input.bytes()?) } else { Ok(()) };
    let server = if input.is_some()? { Some(hash(input)?) } else { None };
    if input.is_some()? {
        input.skip_map()?;
    }
    Ok(Response { matched, server, agrees })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(client: &Hash, text: Option<&str>, server: &Hash, meta: &[u8]) -> Vec<u8> {
        let mut out = client.to_vec();
        put_long(&mut out, i64::from(text.is_some()));
        text.inspect(|t| put_bytes(&mut out, t.as_bytes()));
        [&out[..], server, meta].concat()
    }

    fn serve_all(bytes: &[u8]) -> wire::Result<(Match, Result<(), String>)> {
        let mut input = Input::new(bytes);
        let served = serve(&mut input)?;
        assert_eq!(input.left(), 0);
        for cut in 0..bytes.len() {
            assert!(serve(&mut Input::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        Ok(served)
    }

    #[test]
    fn the_table_of_the_reference() {
        let other = [7; 16];
        for meta in [&[0][..], &[2, 0], &[2, 2, 2, b'k', 2, b'v', 0]] {
            for hash in [JAVA, BARE] {
                assert_eq!(serve_all(&request(&hash, None, &JAVA, meta)), Ok((Match::Both, Ok(()))));
                assert_eq!(serve_all(&request(&hash, None, &other, meta)), Ok((Match::Client, Ok(()))));
            }
            assert_eq!(serve_all(&request(&other, None, &BARE, meta)), Ok((Match::None, Ok(()))));
            assert_eq!(serve_all(&request(&other, Some(TEXT), &BARE, meta)), Ok((Match::Both, Ok(()))));
            assert_eq!(serve_all(&request(&other, Some(TEXT), &other, meta)), Ok((Match::Client, Ok(()))));
        }
        assert!(matches!(serve_all(&request(&other, Some("{}"), &BARE, &[0])), Ok((Match::Both, Err(_)))));
    }

    #[test]
    fn what_we_send_is_understood() {
        for m in [Match::Both, Match::Client, Match::None] {
            let mut out = Vec::new();
            put_response(&mut out, m);
            let server = (m != Match::Both).then_some(BARE);
            let read = read_response(&mut Input::new(&out));
            assert_eq!(read, Ok(Response { matched: m, server, agrees: Ok(()) }));
            for cut in 0..out.len() {
                assert!(read_response(&mut Input::new(&out[..cut])).is_err());
            }
        }
        let mut first = Vec::new();
        put_request(&mut first, None);
        assert_eq!(serve_all(&first), Ok((Match::Both, Ok(()))));
        let mut again = Vec::new();
        put_request(&mut again, Some(&[9; 16]));
        assert_eq!(serve_all(&again), Ok((Match::Client, Ok(()))));
    }
}
