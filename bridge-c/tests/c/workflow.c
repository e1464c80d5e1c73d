// One workflow and one activity against an embedded server, and every kind of misuse that the library tells apart.
// Built with AddressSanitizer by tests/c.rs.

#include <pthread.h>

#include "durably.h"
#include "messages.h"

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) {                                                     \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
      exit(1);                                                              \
    }                                                                       \
  } while (0)

// The host's one place where it notices things: a flag that the library's wake-up sets.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static int wake_ups = 0;

static void wake(void *context) {
  CHECK(context == &wake_ups);
  pthread_mutex_lock(&mutex);
  wake_ups++;
  pthread_cond_signal(&woken);
  pthread_mutex_unlock(&mutex);
}

static uint64_t buffer[1 << 16];
static size_t filled = 0, taken = 0;

// The next delivery; waits for it. Its content stays where it is until the next one is asked for.
static Bytes next(DurablyPort port, DurablyHeader *header) {
  while (taken == filled) {
    taken = 0;
    DurablyStatus status = durably_port_drain(port, (uint8_t *)buffer, sizeof buffer, &filled);
    CHECK(status == DURABLY_STATUS_OK || status == DURABLY_STATUS_MORE);
    if (filled > 0) break;
    pthread_mutex_lock(&mutex);
    while (wake_ups == 0) pthread_cond_wait(&woken, &mutex);
    wake_ups = 0;
    pthread_mutex_unlock(&mutex);
  }
  uint8_t *at = (uint8_t *)buffer + taken;
  memcpy(header, at, sizeof *header);
  taken += sizeof *header + (header->length + 7) / 8 * 8;
  return (Bytes){at + sizeof *header, header->length};
}

static Bytes expect(DurablyPort port, uint64_t to, DurablyKind kind) {
  DurablyHeader header;
  Bytes content = next(port, &header);
  if (header.kind == DURABLY_KIND_ERROR && kind != DURABLY_KIND_ERROR) {
    Bytes message = get(content, 2);
    fprintf(stderr, "%.*s\n", (int)message.length, message.data);
  }
  CHECK(header.to == to && header.kind == (uint32_t)kind);
  return content;
}

enum { CONNECT = 1, START = 2, WORKER = 3, RESULT = 4, DISCONNECT = 5, MALFORMED = 6 };

static DurablyClient connect_embedded(DurablyPort port) {
  Bytes options = {0};
  put_text(&options, 1, "embedded:");
  CHECK(durably_connect(port, CONNECT, options.data, options.length) == DURABLY_STATUS_OK);
  free(options.data);
  Bytes handle = expect(port, CONNECT, DURABLY_KIND_CLIENT);
  DurablyClient client;
  CHECK(handle.length == sizeof client);
  memcpy(&client, handle.data, sizeof client);
  return client;
}

// A payload of JSON text.
static Bytes payload(const char *json) {
  Bytes entry = {0}, made = {0};
  put_text(&entry, 1, "encoding");
  put_text(&entry, 2, "json/plain");
  put_message(&made, 1, entry);
  put_text(&made, 2, json);
  return made;
}

static void start_workflow(DurablyClient client) {
  Bytes type = {0}, queue = {0}, request = {0}, call = {0};
  put_text(&type, 1, "Greets");
  put_text(&queue, 1, "c");
  put_text(&request, 2, "greeting");
  put_message(&request, 3, type);
  put_message(&request, 4, queue);
  put_text(&call, 2, "StartWorkflowExecution");
  put_message(&call, 3, request);
  put_number(&call, 6, 1);
  CHECK(durably_client_call(client, START, call.data, call.length) == DURABLY_STATUS_OK);
  free(call.data);
}

static void request(DurablyWorker worker, uint32_t field, Bytes message) {
  Bytes whole = {0};
  DurablyError error;
  put_message(&whole, field, message);
  CHECK(durably_worker_request(worker, whole.data, whole.length, &error) == DURABLY_STATUS_OK);
  free(whole.data);
}

// Answers an activation: first the activity is scheduled, and its result is the workflow's.
static void answer(DurablyWorker worker, Bytes activation) {
  Bytes run = get(activation, 1), job = get(activation, 7);
  Bytes success = {0}, completion = {0}, command = {0};
  if (has(job, 1)) {
    Bytes schedule = {0}, timeout = {0};
    put_number(&timeout, 1, 10);
    put_number(&schedule, 1, 1);
    put_text(&schedule, 3, "greet");
    put_message(&schedule, 9, timeout);
    put_message(&command, 12, schedule);
    put_message(&success, 1, command);
  } else if (has(job, 3)) {
    Bytes resolution = get(get(job, 3), 2), result = get(get(resolution, 1), 1), complete = {0};
    CHECK(result.data != NULL);
    put_bytes(&complete, 1, result.data, result.length);
    put_message(&command, 14, complete);
    put_message(&success, 1, command);
  } else {
    CHECK(has(job, 8));
  }
  put_bytes(&completion, 1, run.data, run.length);
  put_message(&completion, 2, success);
  request(worker, 1, completion);
}

static void run_activity(DurablyWorker worker, Bytes start) {
  CHECK(is_text(get(start, 6), "greet"));
  Bytes token = get(start, 1), result = {0}, completion = {0};
  put_message(&result, 1, payload("\"hello from C\""));
  put_bytes(&completion, 1, token.data, token.length);
  put_message(&completion, 2, result);
  request(worker, 2, completion);
}

static void await_result(DurablyClient client) {
  Bytes await = {0};
  put_text(&await, 1, "greeting");
  CHECK(durably_client_await_workflow(client, RESULT, await.data, await.length) == DURABLY_STATUS_OK);
  free(await.data);
}

// Works until the workflow has its result, then until the worker has shut down.
static void work(DurablyPort port, DurablyClient client, DurablyWorker worker) {
  DurablyHeader header;
  for (;;) {
    Bytes content = next(port, &header);
    if (header.to == START) {
      CHECK(header.kind == DURABLY_KIND_MESSAGE && has(content, 1));
      await_result(client);
    } else if (header.to == RESULT) {
      CHECK(header.kind == DURABLY_KIND_MESSAGE);
      Bytes result = get(get(content, 2), 1);
      CHECK(is_text(get(result, 2), "\"hello from C\""));
      request(worker, 5, (Bytes){0});
    } else if (has(content, 1)) {
      answer(worker, get(content, 1));
    } else if (has(content, 2)) {
      run_activity(worker, get(content, 2));
    } else {
      CHECK(header.to == WORKER && has(content, 5));
      return;
    }
  }
}

static DurablyWorker start_worker(DurablyClient client) {
  Bytes options = {0};
  DurablyWorker worker;
  DurablyError error;
  put_text(&options, 1, "c");
  put_number(&options, 4, 1);
  put_number(&options, 5, 1);
  CHECK(durably_worker_start(client, WORKER, options.data, options.length, &worker, &error) == DURABLY_STATUS_OK);
  free(options.data);
  return worker;
}

static void misuse(DurablyPort port, DurablyClient client, DurablyWorker worker) {
  const uint8_t junk[] = {0xff, 0xff};
  size_t length = 0;
  DurablyError error;
  DurablyWorker refused;
  CHECK(durably_port_new(1, NULL, NULL, NULL) == DURABLY_STATUS_NULL_POINTER);
  CHECK(durably_port_drain(port, NULL, 0, &length) == DURABLY_STATUS_NULL_POINTER);
  CHECK(durably_port_drain(port, (uint8_t *)buffer, sizeof buffer, NULL) == DURABLY_STATUS_NULL_POINTER);
  CHECK(durably_client_call(client, MALFORMED, NULL, 5) == DURABLY_STATUS_NULL_POINTER);
  CHECK(durably_client_call(client, MALFORMED, junk, SIZE_MAX) == DURABLY_STATUS_INVALID_ARGUMENT);
  // Handles of another kind, and none at all.
  CHECK(durably_client_call((DurablyClient){port.id}, MALFORMED, junk, 2) == DURABLY_STATUS_BAD_HANDLE);
  CHECK(durably_port_abort((DurablyPort){0}, 1) == DURABLY_STATUS_BAD_HANDLE);
  // Malformed messages: at once, or as a delivery.
  CHECK(durably_worker_request(worker, junk, 2, &error) == DURABLY_STATUS_INVALID_ARGUMENT);
  CHECK(strstr(error.message, "WorkerRequest") != NULL);
  CHECK(durably_worker_start(client, 9, junk, 2, &refused, &error) == DURABLY_STATUS_INVALID_ARGUMENT);
  CHECK(durably_worker_start(client, 9, NULL, 0, &refused, NULL) == DURABLY_STATUS_INVALID_ARGUMENT);
  CHECK(durably_client_call(client, MALFORMED, junk, 2) == DURABLY_STATUS_OK);
  // A buffer that is too small says how large it has to be, and loses nothing.
  uint64_t small[1];
  while (length == 0) {
    DurablyStatus status = durably_port_drain(port, (uint8_t *)small, sizeof small, &length);
    CHECK(status == DURABLY_STATUS_TOO_SMALL || (status == DURABLY_STATUS_OK && length == 0));
  }
  CHECK(length > sizeof(DurablyHeader));
  Bytes content = expect(port, MALFORMED, DURABLY_KIND_ERROR);
  CHECK(content.length > 0);
  CHECK(strcmp(durably_status_text(2), durably_status_text(99)) != 0);
}

int main(void) {
  DurablyPort port;
  CHECK(durably_port_new(2, wake, &wake_ups, &port) == DURABLY_STATUS_OK);
  DurablyClient client = connect_embedded(port);
  DurablyWorker worker = start_worker(client);
  misuse(port, client, worker);
  start_workflow(client);
  work(port, client, worker);

  CHECK(durably_worker_free(worker) == DURABLY_STATUS_OK);
  CHECK(durably_worker_free(worker) == DURABLY_STATUS_BAD_HANDLE);
  CHECK(durably_worker_request(worker, NULL, 0, NULL) == DURABLY_STATUS_BAD_HANDLE);
  CHECK(durably_client_disconnect(client, DISCONNECT) == DURABLY_STATUS_OK);
  expect(port, DISCONNECT, DURABLY_KIND_NOTHING);
  CHECK(durably_client_free(client) == DURABLY_STATUS_OK);
  CHECK(durably_client_free(client) == DURABLY_STATUS_BAD_HANDLE);
  CHECK(durably_port_free(port) == DURABLY_STATUS_OK);
  CHECK(durably_port_free(port) == DURABLY_STATUS_BAD_HANDLE);
  puts("hello from C");
  return 0;
}
