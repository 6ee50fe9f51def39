//! Protocol buffers, as far as Flume's files need them: fields of a message one by one, checked against its end.
//!
//! A field is a tag (varint: number << 3 | wire type) and a value; groups, which nobody writes any more, are refused.

/// The bytes are no protocol buffers message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, in the order of its bytes. After `Malformed` there are no more.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(*array(&mut self.rest)?)),
            2 => Value::Bytes(delimited(&mut self.rest)?),
            5 => Value::Fixed32(u32::from_le_bytes(*array(&mut self.rest)?)),
            _ => return None,
        };
        Some((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

/// Takes a varint off the front: 7 bits a byte, the lowest first, ten bytes at most.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a length and as many bytes off the front.
pub(super) fn delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"\x08\x96\x01\x12\x02hi\x1d\x01\x00\x00\x80\x21\x02\x00\x00\x00\x00\x00\x00\x00";

    #[test]
    fn fields_of_every_wire_type() {
        let fields: Result<Vec<_>, _> = Fields::of(MESSAGE).collect();
        let want = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed32(0x8000_0001)),
            (4, Value::Fixed64(2)),
        ];
        assert_eq!(fields, Ok(want));
    }

    #[test]
    fn a_message_cut_inside_a_field_is_malformed() {
        let ends = [0, 3, 7, 12, MESSAGE.len()];
        for n in 0..=MESSAGE.len() {
            let fields: Result<Vec<_>, _> = Fields::of(&MESSAGE[..n]).collect();
            assert_eq!(fields.is_ok(), ends.contains(&n), "{n}");
        }
    }

    #[test]
    fn lengths_and_numbers_that_lie() {
        for bad in [
            &b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..],
            b"\x12\x03ab",
            b"\x00\x01",
            b"\x0b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let fields: Result<Vec<_>, _> = Fields::of(bad).collect();
            assert_eq!(fields, Err(Malformed), "{bad:?}");
        }
        assert_eq!(varint(&mut &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..]), Some(u64::MAX));
    }
}
