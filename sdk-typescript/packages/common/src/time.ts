/** Durations and times, as users write them and as messages carry them. */

import ms, { type StringValue } from 'ms';
import type { google } from '@durably/proto';
import { ValueError } from './errors';

/** A number of milliseconds, or a string such as `'5 minutes'`, `'1h'`, `'30s'`, as the package `ms` reads it. */
export type Duration = StringValue | number;

export type Timestamp = google.protobuf.ITimestamp;

/** Milliseconds of a duration. A string that isn't one is a `TypeError`. */
export function msToNumber(duration: Duration): number {
  if (typeof duration === 'number') return duration;
  const value = typeof duration === 'string' && (duration as string) !== '' ? ms(duration) : undefined;
  if (value === undefined || Number.isNaN(value)) {
    throw new TypeError(`Invalid duration ${JSON.stringify(duration)}: expected milliseconds, or a string such as '5 minutes'`);
  }
  return value;
}

export function msOptionalToNumber(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : msToNumber(duration);
}

/** The `google.protobuf.Duration` of a duration. */
export function msToTs(duration: Duration): google.protobuf.IDuration {
  const millis = msToNumber(duration);
  if (!Number.isFinite(millis)) throw new ValueError(`Invalid duration ${duration}: must be a finite number of milliseconds`);
  if (millis < 0) throw new ValueError(`Invalid duration ${duration}: must not be negative`);
  const seconds = Math.floor(millis / 1000);
  return { seconds, nanos: Math.round((millis - seconds * 1000) * 1_000_000) };
}

export function msOptionalToTs(duration: Duration | undefined | null): google.protobuf.IDuration | undefined {
  return duration === undefined || duration === null ? undefined : msToTs(duration);
}

/** Whole milliseconds of a timestamp or duration message. */
export function tsToMs(time: Timestamp | null | undefined): number {
  if (time === null || time === undefined) throw new ValueError('Expected timestamp, got null or undefined');
  return Number(time.seconds ?? 0) * 1000 + Math.floor((time.nanos ?? 0) / 1_000_000);
}

export function optionalTsToMs(time: Timestamp | null | undefined): number | undefined {
  return time === null || time === undefined ? undefined : tsToMs(time);
}

export function requiredTsToMs(time: Timestamp | null | undefined, field: string): number {
  if (time === null || time === undefined) throw new TypeError(`Expected ${field} to be a timestamp, got ${time}`);
  return tsToMs(time);
}

export function tsToDate(time: Timestamp): Date {
  return new Date(tsToMs(time));
}

export function optionalTsToDate(time: Timestamp | null | undefined): Date | undefined {
  return time === null || time === undefined ? undefined : tsToDate(time);
}

export function requiredTsToDate(time: Timestamp | null | undefined, field: string): Date {
  return new Date(requiredTsToMs(time, field));
}

export function dateToTs(date: Date): Timestamp {
  const millis = date.getTime();
  const seconds = Math.floor(millis / 1000);
  return { seconds, nanos: (millis - seconds * 1000) * 1_000_000 };
}

export function optionalDateToTs(date: Date | undefined): Timestamp | undefined {
  return date === undefined ? undefined : dateToTs(date);
}
