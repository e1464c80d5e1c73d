//! One workflow run as a deterministic machine: inputs in, effects out, time and fresh ids as arguments.
//! No I/O, no clock, no randomness, no logging.
