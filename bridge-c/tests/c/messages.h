// The few messages that the test needs, written and read by hand: protobuf's wire format, as much of it as they use.
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  uint8_t *data;
  size_t length;
} Bytes;

static void append(Bytes *to, const void *data, size_t length) {
  to->data = realloc(to->data, to->length + length + 1);
  if (to->data == NULL) abort();
  memcpy(to->data + to->length, data, length);
  to->length += length;
}

static void append_varint(Bytes *to, uint64_t value) {
  do {
    uint8_t byte = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
    append(to, &byte, 1);
    value >>= 7;
  } while (value > 0);
}

// A number or a truth value.
static void put_number(Bytes *to, uint32_t field, uint64_t value) {
  append_varint(to, (uint64_t)field << 3);
  append_varint(to, value);
}

static void put_bytes(Bytes *to, uint32_t field, const void *data, size_t length) {
  append_varint(to, (uint64_t)field << 3 | 2);
  append_varint(to, length);
  append(to, data, length);
}

static void put_text(Bytes *to, uint32_t field, const char *text) { put_bytes(to, field, text, strlen(text)); }

// Puts a message into another one, and frees it.
static void put_message(Bytes *to, uint32_t field, Bytes message) {
  put_bytes(to, field, message.data == NULL ? (const uint8_t *)"" : message.data, message.length);
  free(message.data);
}

static uint64_t read_varint(const uint8_t **at, const uint8_t *end) {
  uint64_t value = 0;
  for (int shift = 0; *at < end && shift < 64; shift += 7) {
    uint8_t byte = *(*at)++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fprintf(stderr, "a message ends within a number\n");
  abort();
}

// The first field of a number within a message; `data` is NULL if there is none. It points into the message.
static Bytes get(Bytes message, uint32_t field) {
  const uint8_t *at = message.data, *end = message.data + message.length;
  while (at != NULL && at < end) {
    uint64_t tag = read_varint(&at, end);
    const uint8_t *start = at;
    switch (tag & 7) {
      case 0: read_varint(&at, end); break;
      case 1: at += 8; break;
      case 5: at += 4; break;
      case 2: {
        uint64_t length = read_varint(&at, end);
        start = at;
        at += length;
        break;
      }
      default: fprintf(stderr, "a field of an unknown kind\n"); abort();
    }
    if (tag >> 3 == field) return (Bytes){(uint8_t *)start, (size_t)(at - start)};
  }
  return (Bytes){NULL, 0};
}

static int has(Bytes message, uint32_t field) { return get(message, field).data != NULL; }

static int is_text(Bytes bytes, const char *text) {
  return bytes.length == strlen(text) && memcmp(bytes.data, text, bytes.length) == 0;
}

#endif
