//! The seed of a workflow's random generator.
//!
//! Decision 030: SipHash-1-3 with zero keys over the run id's bytes and a closing 0xff, which is what Temporal's core
//! feeds to its SDKs. The seed decides ids and branches in users' code, so it reaches histories: the function is written
//! out here and pinned by test, and must never change. (`std`'s hasher gives the same today and promises nothing.)

/// The seed for a run id: the run's original one, or after a reset the new one.
pub(crate) fn randomness_seed(run_id: &str) -> u64 {
    let mut input = Vec::with_capacity(run_id.len() + 1);
    input.extend_from_slice(run_id.as_bytes());
    input.push(0xff);
    siphash_1_3(&input)
}

fn siphash_1_3(input: &[u8]) -> u64 {
    let mut state =
        [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
    let mut chunks = input.chunks_exact(8);
    for chunk in &mut chunks {
        absorb(&mut state, little_endian(chunk));
    }
    let length = (input.len() as u64) << 56;
    absorb(&mut state, length | little_endian(chunks.remainder()));
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    #[test]
    fn seed_is_pinned() {
        assert_eq!(randomness_seed(""), 3_476_900_567_878_811_119);
        assert_eq!(randomness_seed("run"), 0x27e9_ab0f_db49_6fa4);
    }

    #[test]
    fn seed_agrees_with_the_standard_library_of_today() {
        for run_id in ["", "r", "run", "12345678", "123456789", "9a2b7c54-0f6e-4d6a-b1e3-5c8f7d2e1a90"] {
            let mut hasher = DefaultHasher::new();
            run_id.hash(&mut hasher);
            assert_eq!(randomness_seed(run_id), hasher.finish(), "{run_id}");
        }
    }
}
