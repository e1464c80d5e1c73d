//! How much memory the messages take that a run keeps: what the bound on runs in memory goes by.
//!
//! Their encoded length says little. A payload of one digit has 30 bytes on the wire and 800 in memory, most of which is
//! the map of its metadata; and what was read shares the bytes of all that came with it, so that an activity can hold
//! the whole batch of events that it was scheduled in. (Large requests are read apart.)

use bytes::Bytes;
use durably_proto::room;
use prost::{Message, Name};

/// What a message takes, its bytes included. 0 for none.
pub(super) fn of<M: Message + Name>(message: Option<&M>) -> usize {
    message.map_or(0, |message| of_encoded::<M>(&message.encode_to_vec()))
}

/// The message with bytes of its own, and what it takes: for what was read from a batch of events.
pub(super) fn owned<M: Message + Name + Default>(message: M) -> (M, usize) {
    let encoded = Bytes::from(message.encode_to_vec());
    let weight = of_encoded::<M>(&encoded);
    // What was read once can be read again; if not, it stays as it is.
    (M::decode(encoded).unwrap_or(message), weight)
}

fn of_encoded<M: Name>(encoded: &[u8]) -> usize {
    encoded.len() + room::of_decoded(&M::full_name(), encoded)
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::common::v1::{Payload, Payloads};

    use super::*;

    #[test]
    fn small_payloads_weigh_what_they_take() {
        let payload = Payload {
            metadata: [("encoding".to_owned(), "json/plain".into())].into(),
            data: "1".into(),
            ..Default::default()
        };
        let payloads = Payloads { payloads: vec![payload; 1_000] };
        let weight = of(Some(&payloads));
        assert!((700_000..1_000_000).contains(&weight), "{weight}");
        let (same, weighed) = owned(payloads.clone());
        assert_eq!((same, weighed), (payloads, weight));
        assert_eq!(of(None::<&Payloads>), 0);
    }

    #[test]
    fn what_is_owned_keeps_nothing_else() {
        let request = Bytes::from(vec![b'x'; 1_000]);
        let payload = Payload { data: request.slice(..10), ..Default::default() };
        let (owned, _) = owned(payload);
        assert_eq!(owned.data.len(), 10);
        assert!(request.is_unique(), "the rest of what it came with can go");
    }
}
