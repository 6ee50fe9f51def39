//! Encryption at rest: AES-256-GCM of each frame's payload, under a key of the segment's own.
//!
//! The segment's key is HKDF-SHA-256 of the master key, salted with the segment's identity; the nonce is the frame's
//! offset. A frame is written at most once at an offset of a segment (a cut tail is never written over: a new segment
//! begins), so no nonce is used twice under a key. The frame's header, but for its checksums and the mark of what is
//! synced, is authenticated with it: a frame cannot be changed, moved or taken from another segment. What is missing
//! behind the last frame cannot be told from a torn tail: that the last group was cut off is not detected.
//!
//! A segment names its master key by eight bytes derived from it, so a new master key applies to new segments and old
//! ones are read with the key they were written with. Plain data; any thread.

#[cfg(feature = "encryption")]
use super::frame;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that sealing adds to a payload.
pub const TAG: usize = 16;

/// Why a key could not be had.
pub type KeyError = String;

#[cfg(feature = "encryption")]
mod ring_backed {
    use super::*;
    use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM};
    use ring::hkdf::{Salt, HKDF_SHA256};

    /// A master key.
    #[derive(Clone)]
    pub struct MasterKey([u8; 32]);

    /// The key of one segment.
    pub struct SegmentKey(LessSafeKey);

    fn nonce(offset: u64) -> Nonce {
        let mut n = [0; 12];
        n[4..].copy_from_slice(&offset.to_be_bytes());
        Nonce::assume_unique_for_key(n)
    }

    fn derive(master: &[u8; 32], salt: &[u8], what: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        let secret = Salt::new(HKDF_SHA256, salt).extract(master);
        let what = [what];
        // Fails only for outputs of more than 255 hashes; this is one.
        let filled = secret.expand(&what, HKDF_SHA256).and_then(|okm| okm.fill(&mut out));
        assert!(filled.is_ok(), "HKDF gives one hash length");
        out
    }

    impl MasterKey {
        pub fn new(bytes: [u8; 32]) -> MasterKey {
            MasterKey(bytes)
        }

        /// Names this key in segment headers, without telling anything of it.
        pub fn name(&self) -> [u8; 8] {
            let d = derive(&self.0, b"flumed master key", b"name");
            [d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
        }

        pub fn for_segment(&self, identity: &[u8; 16]) -> SegmentKey {
            let key = derive(&self.0, identity, b"flumed segment 1");
            let unbound = UnboundKey::new(&AES_256_GCM, &key).expect("the key has 32 bytes");
            SegmentKey(LessSafeKey::new(unbound))
        }
    }

    impl SegmentKey {
        /// Seals `payload`, the last [`TAG`] bytes of which are for the tag. `header` is the frame's, as written.
        pub fn seal(&self, header: &[u8], offset: u64, payload: &mut [u8]) {
            let (text, tag) = payload.split_at_mut(payload.len() - TAG);
            let aad = Aad::from(frame::Header::associated(header));
            let made = self.0.seal_in_place_separate_tag(nonce(offset), aad, text);
            tag.copy_from_slice(made.expect("a payload is below 64 GiB").as_ref());
        }

        /// Opens a payload in place; gives the length of what it held.
        pub fn open(&self, header: &[u8], offset: u64, payload: &mut [u8]) -> Option<usize> {
            let aad = Aad::from(frame::Header::associated(header));
            self.0.open_in_place(nonce(offset), aad, payload).ok().map(|text| text.len())
        }
    }
}

#[cfg(not(feature = "encryption"))]
mod ring_backed {
    /// There is none in this build: see [`Keys::load`](super::Keys::load).
    #[derive(Clone)]
    pub enum MasterKey {}
    pub enum SegmentKey {}

    impl MasterKey {
        pub fn name(&self) -> [u8; 8] {
            match *self {}
        }
        pub fn for_segment(&self, _: &[u8; 16]) -> SegmentKey {
            match *self {}
        }
    }

    impl SegmentKey {
        pub fn seal(&self, _: &[u8], _: u64, _: &mut [u8]) {
            match *self {}
        }
        pub fn open(&self, _: &[u8], _: u64, _: &mut [u8]) -> Option<usize> {
            match *self {}
        }
    }
}

pub use ring_backed::{MasterKey, SegmentKey};

/// The master keys of a channel: the one for new segments, and those that older segments may need.
#[derive(Clone, Default)]
pub struct Keys {
    active: Option<MasterKey>,
    old: Vec<MasterKey>,
}

impl Keys {
    /// Reads key files. None for new segments: they are not encrypted.
    pub fn load(active: Option<&Path>, old: &[PathBuf]) -> Result<Keys, KeyError> {
        let active = active.map(read_key).transpose()?;
        let old = old.iter().map(|p| read_key(p)).collect::<Result<_, _>>()?;
        Ok(Keys { active, old })
    }

    pub fn active(&self) -> Option<&MasterKey> {
        self.active.as_ref()
    }

    /// The key of a segment that names its master key so.
    pub fn for_segment(&self, name: &[u8; 8], identity: &[u8; 16]) -> Option<SegmentKey> {
        let found = self.active.iter().chain(&self.old).find(|k| k.name() == *name);
        found.map(|k| k.for_segment(identity))
    }
}

/// A key file holds 32 bytes, or 64 hexadecimal digits and nothing else but white space around them.
fn read_key(path: &Path) -> Result<MasterKey, KeyError> {
    let wrong = |what: &str| format!("key file {}: {what}", path.display());
    let bytes = read_bounded(path).map_err(|e| wrong(&e.to_string()))?;
    let key = <[u8; 32]>::try_from(bytes.as_slice()).ok().or_else(|| hex(bytes.trim_ascii()));
    let key = key.ok_or_else(|| wrong("expected 32 bytes, or 64 hexadecimal digits"))?;
    master(key).ok_or_else(|| wrong("this flumed was built without the feature 'encryption'"))
}

#[cfg(feature = "encryption")]
fn master(bytes: [u8; 32]) -> Option<MasterKey> {
    Some(MasterKey::new(bytes))
}

#[cfg(not(feature = "encryption"))]
fn master(_: [u8; 32]) -> Option<MasterKey> {
    None
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_unchanged_and_in_its_place() {
        let master = MasterKey::new([7; 32]);
        let key = master.for_segment(&[1; 16]);
        let mut header = [3u8; frame::HEADER];
        let mut sealed = b"payload".to_vec();
        sealed.resize(7 + TAG, 0);
        key.seal(&header, 4096, &mut sealed);
        assert_ne!(&sealed[..7], b"payload");
        let open = |k: &SegmentKey, header: &[u8], offset, mut p: Vec<u8>| {
            k.open(header, offset, &mut p).map(|n| p[..n].to_vec())
        };
        assert_eq!(open(&key, &header, 4096, sealed.clone()).unwrap(), b"payload");
        assert!(open(&key, &header, 4104, sealed.clone()).is_none());
        assert!(open(&master.for_segment(&[2; 16]), &header, 4096, sealed.clone()).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, &header, 4096, changed).is_none());
        }
        // The checksums and the mark in front are not part of it.
        header[0] ^= 1;
        header[8] ^= 1;
        assert!(open(&key, &header, 4096, sealed.clone()).is_some());
        header[16] ^= 1;
        assert!(open(&key, &header, 4096, sealed).is_none());
    }

    #[test]
    fn key_files_are_bytes_or_digits() {
        let path = std::env::temp_dir().join(format!("flumed-key-{}", std::process::id()));
        let load = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Keys::load(Some(&path), &[]).map(|k| k.active().unwrap().name())
        };
        let digits = load(format!("{}\n", "07".repeat(32)).as_bytes()).unwrap();
        assert_eq!(load(&[7; 32]).unwrap(), digits);
        for wrong in [&b""[..], &[7; 31], b"zz", &[b'g'; 64]] {
            assert!(load(wrong).unwrap_err().contains("expected 32 bytes"));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Keys::load(Some(&path), &[]).err().unwrap().contains("key file"));
    }

    #[test]
    fn a_segment_finds_the_key_it_was_written_with() {
        let (a, b) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
        let keys = Keys { active: Some(b.clone()), old: vec![a.clone()] };
        assert!(keys.for_segment(&a.name(), &[0; 16]).is_some());
        assert!(keys.for_segment(&b.name(), &[0; 16]).is_some());
        assert!(keys.for_segment(&[9; 8], &[0; 16]).is_none());
    }
}
