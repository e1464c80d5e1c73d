//! Task tokens on the wire: what a worker hands back to name its task, sealed so that nobody can make one up.
//!
//! A token is what the engine wrote, and behind it a code that only the namespace's key makes: it holds for one
//! namespace and one kind of task, and the text it covers names run, attempt and incarnation. The key lies with the
//! namespace in the store, so tokens outlive a restart and hold in whichever process has the state.

use bytes::{Bytes, BytesMut};
use ring::hmac;

use crate::{Namespace, error::ServiceError};

/// Bytes of the code behind a token: enough that guessing is hopeless, short because every answer carries it.
const CODE: usize = 16;

/// What kind of task a token is for; a token for one is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Workflow = 1,
    Activity,
    Query,
}

fn code(namespace: &Namespace, kind: TokenKind, token: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, namespace.token_key.bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(&[kind as u8]);
    context.update(token);
    context.sign()
}

/// Seals a token on its way to a worker. None is given with an empty answer.
pub(super) fn seal(namespace: &Namespace, kind: TokenKind, token: &mut Bytes) {
    if token.is_empty() {
        return;
    }
    let code = code(namespace, kind, token);
    let mut sealed = BytesMut::with_capacity(token.len() + CODE);
    sealed.extend_from_slice(token);
    sealed.extend_from_slice(&code.as_ref()[..CODE]);
    *token = sealed.freeze();
}

/// The token as it was before it was sealed. Comes before every other check of a call that has one.
pub(super) fn open(namespace: &Namespace, kind: TokenKind, sealed: &Bytes) -> Result<Bytes, ServiceError> {
    if sealed.is_empty() {
        return Err(ServiceError::invalid_argument(
            "Task token not set on request. task_token is empty; send the one that came with the task",
        ));
    }
    let split = sealed.len().checked_sub(CODE).filter(|split| {
        let (token, given) = sealed.split_at(*split);
        let expected = code(namespace, kind, token);
        // In constant time: how much of a guess was right must not show.
        let differing = expected.as_ref()[..CODE].iter().zip(given).fold(0, |acc, (a, b)| acc | (a ^ b));
        differing == 0
    });
    match split {
        Some(split) => Ok(sealed.slice(..split)),
        None => Err(ServiceError::invalid_argument(
            "Error deserializing task token. task_token is not one that this server gave out for such a task in this namespace; send the one that \
             came with the task",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::TokenKey;

    fn namespace() -> Namespace {
        Namespace { token_key: TokenKey::fresh(), ..Namespace::default() }
    }

    #[test]
    fn a_token_holds_for_its_namespace_and_kind_and_as_it_is() {
        let (ours, theirs) = (namespace(), namespace());
        let mut token = Bytes::from_static(b"run 1, attempt 2");
        seal(&ours, TokenKind::Query, &mut token);
        assert_eq!(open(&ours, TokenKind::Query, &token).unwrap(), "run 1, attempt 2");
        assert!(open(&theirs, TokenKind::Query, &token).is_err());
        assert!(open(&ours, TokenKind::Workflow, &token).is_err());
        for length in 0..token.len() {
            assert!(open(&ours, TokenKind::Query, &token.slice(..length)).is_err(), "{length} bytes of it");
        }
        for index in 0..token.len() {
            let mut changed = token.to_vec();
            changed[index] ^= 1;
            assert!(open(&ours, TokenKind::Query, &changed.into()).is_err(), "byte {index} changed");
        }
    }

    #[test]
    fn an_empty_answer_has_no_token() {
        let mut token = Bytes::new();
        seal(&namespace(), TokenKind::Workflow, &mut token);
        assert!(token.is_empty());
    }
}
