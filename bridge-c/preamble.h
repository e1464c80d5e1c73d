// libdurably: the worker core of durably as a C library. Made by cbindgen from bridge-c/src; don't edit it.
//
// Messages are encoded protobuf of the package durably.core.v1 (proto/proto/durably/core/v1); what they mean
// and who does what is said in docs/sdk-authors.md.
//
// - Every function returns at once, on any thread. Operations answer by a delivery to the number `to`, which the host
//   chooses; it should be unique among what is under way.
// - Memory never changes hands: bytes passed in are copied before the call returns, results are written into the
//   caller's memory. Only handles are to be freed, each by its own function. Freeing one twice, or using one that was
//   freed, is DURABLY_STATUS_BAD_HANDLE.
// - Misuse is a status; a panic in the library is DURABLY_STATUS_PANIC, and never crosses into the caller.
