//! Tokens of pages: where the next page of a list goes on, and which list it is of.
//!
//! A token is opaque to its caller, and comes back from anywhere: cut off, or with another query than it was made for. It
//! would then lead to some page, and nobody would notice what was left out. So it has a checksum over itself and its list.

use bytes::Bytes;
use prost::Message;

use crate::error::ServiceError;

#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(bytes = "bytes", tag = "1")]
    place: Bytes,
    #[prost(fixed64, tag = "2")]
    check: u64,
}

/// A token that leads to `place` in the list that `list` describes: namespace, query, whatever makes it another one.
pub(crate) fn seal(list: &str, place: impl Into<Bytes>) -> Bytes {
    let place = place.into();
    Token { check: check(list, &place), place }.encode_to_vec().into()
}

/// The place that a token leads to; `None` without a token. One of another list is refused.
pub(crate) fn open(list: &str, token: &Bytes) -> Result<Option<Bytes>, ServiceError> {
    if token.is_empty() {
        return Ok(None);
    }
    match Token::decode(token.clone()) {
        Ok(token) if token.check == check(list, &token.place) => Ok(Some(token.place)),
        _ => Err(unknown()),
    }
}

/// Programs look for the first words.
pub(crate) fn unknown() -> ServiceError {
    ServiceError::invalid_argument(
        "Invalid NextPageToken. next_page_token is not one that this server gave out for this list; send the one of the \
         last page, with the same namespace and query, or none to begin again",
    )
}

/// FNV-1a of 64 bits: tokens outlive a restart.
fn check(list: &str, place: &[u8]) -> u64 {
    let bytes = list.bytes().chain([0]).chain(place.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_into_its_own_list_and_no_other() {
        let token = seal("runs of a", b"place".to_vec());
        assert_eq!(open("runs of a", &token).unwrap(), Some(Bytes::from_static(b"place")));
        assert_eq!(open("runs of a", &Bytes::new()).unwrap(), None);
        assert!(open("runs of b", &token).unwrap_err().message().starts_with("Invalid NextPageToken."));
        for cut in 1..token.len() {
            assert!(open("runs of a", &token.slice(..cut)).is_err(), "{cut}");
        }
        for index in 0..token.len() {
            let mut changed = token.to_vec();
            changed[index] ^= 1;
            assert!(open("runs of a", &changed.into()).is_err(), "{index}");
        }
    }
}
