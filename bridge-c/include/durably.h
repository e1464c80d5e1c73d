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


#ifndef DURABLY_H
#define DURABLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Length of `DurablyError.message`.
#define DURABLY_ERROR_MESSAGE 1020

// How a call went. The numbers never change.
typedef enum {
  // Done; for an operation: it is under way, and its delivery will come.
  DURABLY_STATUS_OK = 0,
  // A pointer that must not be NULL is.
  DURABLY_STATUS_NULL_POINTER = 1,
  // The handle was freed, or never was one of this kind.
  DURABLY_STATUS_BAD_HANDLE = 2,
  // The bytes are not the message that they should be, or the options are wrong; `error` says what is.
  DURABLY_STATUS_INVALID_ARGUMENT = 3,
  // More is waiting than the buffer holds. What was written is valid; call again.
  DURABLY_STATUS_MORE = 4,
  // Not even the first delivery fits into the buffer; the length says what it needs. Nothing was taken.
  DURABLY_STATUS_TOO_SMALL = 5,
  // The operating system refused: threads or descriptors have run out.
  DURABLY_STATUS_SYSTEM = 6,
  // A bug in the library: it panicked, and the call did nothing or only a part. Please report what stderr says.
  DURABLY_STATUS_PANIC = 7,
} DurablyStatus;

// What a delivery brings.
typedef enum {
  // An encoded message: the response of the call, a `WorkflowResult` or a `WorkerEvent`.
  DURABLY_KIND_MESSAGE = 0,
  // The handle of a new client, 8 bytes: the `id` of a `DurablyClient`, which the receiver has to free.
  DURABLY_KIND_CLIENT = 1,
  // Nothing: the client is disconnected.
  DURABLY_KIND_NOTHING = 2,
  // An encoded `durably.core.v1.CallError`.
  DURABLY_KIND_ERROR = 3,
} DurablyKind;

// A port. Free it with `durably_port_free`.
typedef struct {
  uint64_t id;
} DurablyPort;

// A connection to a server. Free it with `durably_client_free`.
typedef struct {
  uint64_t id;
} DurablyClient;

// Why a call was refused, written by calls that take one when they return INVALID_ARGUMENT or SYSTEM.
typedef struct {
  // gRPC status code.
  int32_t code;
  // UTF-8, ends with NUL; cut off if it is longer.
  char message[DURABLY_ERROR_MESSAGE];
} DurablyError;

// Called on a thread of the library when there is something to drain after there was nothing. It must return soon, and
// may call any function of this library.
typedef void (*DurablyWake)(void *context);

// A worker of one task queue. Free it with `durably_worker_free`.
typedef struct {
  uint64_t id;
} DurablyWorker;

// Precedes each delivery in a drained buffer. `length` bytes of content follow, then padding up to a multiple of 8.
typedef struct {
  // The number that the host gave the operation or the worker.
  uint64_t to;
  // A `DurablyKind`.
  uint32_t kind;
  uint32_t length;
} DurablyHeader;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Connects by a `durably.core.v1.ConnectOptions`. Delivers a client, or an error, to `to`.
//
// # Safety
// `options` has `length` readable bytes.
DurablyStatus durably_connect(DurablyPort port, uint64_t to, const uint8_t *options, size_t length);

// Carries out a `durably.core.v1.Call`. Delivers the method's response message, or an error, to `to`.
//
// # Safety
// `call` has `length` readable bytes.
DurablyStatus durably_client_call(DurablyClient client, uint64_t to, const uint8_t *call, size_t length);

// Waits for a workflow's end by a `durably.core.v1.AwaitWorkflow`. Delivers a `WorkflowResult`, or an error, to `to`.
//
// # Safety
// `request` has `length` readable bytes.
DurablyStatus durably_client_await_workflow(DurablyClient client, uint64_t to, const uint8_t *request, size_t length);

// Ends the connection. Delivers nothing to `to` when that is done, and an embedded server has everything on disk. The
// handle still has to be freed.
DurablyStatus durably_client_disconnect(DurablyClient client, uint64_t to);

// Frees a client; workers that use it go on.
DurablyStatus durably_client_free(DurablyClient client);

// Writes what the core logs to standard error. `filter` is a NUL-terminated directive such as `durably_core=info`, or
// NULL for `warn`. Without this call nothing is written; calls after the first change nothing. `error` may be NULL.
//
// # Safety
// `filter` is NULL or NUL-terminated; `error` is NULL or writable.
DurablyStatus durably_log_to_stderr(const char *filter, DurablyError *error);

// Makes a port with `threads` threads (0: two) that calls `wake(context)`. `wake` may be NULL for a host that drains
// at its own pace. `context` must stay valid until `durably_port_free` has returned; after that, `wake` isn't called.
//
// # Safety
// `port` is NULL or writable; `wake` may be called on any thread.
DurablyStatus durably_port_new(uint32_t threads, DurablyWake wake, void *context, DurablyPort *port);

// As `durably_port_new`, but wakes by writing eight bytes to `descriptor` (a pipe, a socket or an eventfd set to not
// block). The descriptor is duplicated; the caller keeps and closes its own. Not on Windows.
//
// # Safety
// `port` is NULL or writable.
DurablyStatus durably_port_new_fd(uint32_t threads, int32_t descriptor, DurablyPort *port);

// Writes deliveries, oldest first, each a `DurablyHeader` and its content padded to 8 bytes, into `buffer`, and their
// total size into `length` (0: there are none). Never waits.
//
// Returns MORE when some had no room, and TOO_SMALL, with the size that is needed in `length`, when none had.
//
// # Safety
// `buffer` has `capacity` writable bytes and is aligned to 8; `length` is NULL or writable.
DurablyStatus durably_port_drain(DurablyPort port, uint8_t *buffer, size_t capacity, size_t *length);

// Gives up the operation with the number `to`: nothing is delivered any more, unless it was already. A number that
// has no operation is none to give up, and OK.
DurablyStatus durably_port_abort(DurablyPort port, uint64_t to);

// Frees a port: what is queued is dropped, nothing is delivered and nobody woken any more. Its threads end when its
// clients and workers are freed too. An embedded server writes everything to disk when its client is disconnected, so
// await that first.
DurablyStatus durably_port_free(DurablyPort port);

// A status in words: a NUL-terminated string that lives as long as the process. Numbers that are no status have one
// that says so.
const char *durably_status_text(int32_t status);

// Starts a worker by a `durably.core.v1.WorkerOptions`; its `WorkerEvent`s are delivered to `to` until one is
// `shut_down`. `error` may be NULL.
//
// # Safety
// `options` has `length` readable bytes; `worker` and `error` are NULL or writable.
DurablyStatus durably_worker_start(DurablyClient client,
                                   uint64_t to,
                                   const uint8_t *options,
                                   size_t length,
                                   DurablyWorker *worker,
                                   DurablyError *error);

// Passes a `durably.core.v1.WorkerRequest` on; never waits. `error` may be NULL.
//
// # Safety
// `request` has `length` readable bytes; `error` is NULL or writable.
DurablyStatus durably_worker_request(DurablyWorker worker, const uint8_t *request, size_t length, DurablyError *error);

// Frees a worker. Before its `shut_down` event it ends without waiting for answers: tasks that are under way are left
// to the server's time-outs.
DurablyStatus durably_worker_free(DurablyWorker worker);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DURABLY_H */
