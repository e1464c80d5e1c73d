/** Writing activities. Names and semantics are those of `@temporalio/activity`. */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Client } from '@durably/client';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  type Duration,
  type Headers,
  IllegalStateError,
  type Logger,
  type Priority,
  type RetryPolicy,
} from '@durably/common';
import { named } from '@durably/common/lib/errors';
import { loggerOf } from '@durably/common/lib/logger';
import { msToNumber } from '@durably/common/lib/time';

export { ActivityFailure, ApplicationFailure, CancelledFailure };
export {
  type ActivityFunction,
  ApplicationFailureCategory,
  type Duration,
  type Headers,
  type Logger,
  type Priority,
  type RetryPolicy,
  ServerFailure,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  TimeoutType,
  type UntypedActivities,
  rootCause,
} from '@durably/common';

/** Throw it to leave the activity open: someone else completes it, by its task token or ids. */
export class CompleteAsyncError extends Error {}
named(CompleteAsyncError, 'CompleteAsyncError');

/** Why an activity was cancelled. */
export interface ActivityCancellationDetails {
  readonly notFound: boolean;
  readonly cancelRequested: boolean;
  readonly paused: boolean;
  readonly timedOut: boolean;
  readonly workerShutdown: boolean;
  readonly reset: boolean;
}

/** What an activity may know about itself. Times are in milliseconds. */
export interface Info {
  readonly taskToken: Uint8Array;
  readonly base64TaskToken: string;
  readonly activityId: string;
  readonly activityType: string;
  readonly activityNamespace: string;
  /** Starts at 1. */
  readonly attempt: number;
  readonly isLocal: boolean;
  /** Of the last heartbeat of an earlier attempt. */
  readonly heartbeatDetails: any;
  readonly taskQueue: string;
  readonly workflowNamespace: string;
  readonly workflowType: string;
  readonly workflowExecution: { readonly workflowId: string; readonly runId: string };
  readonly scheduledTimestampMs: number;
  readonly currentAttemptScheduledTimestampMs: number;
  readonly scheduleToCloseTimeoutMs: number;
  readonly startToCloseTimeoutMs: number;
  readonly heartbeatTimeoutMs?: number;
  readonly retryPolicy?: RetryPolicy;
  readonly priority?: Priority;
}

const storage = new AsyncLocalStorage<Context>();

/** What a `Context` is made of: the worker's affair. */
export interface ContextOptions {
  info: Info;
  cancelled: Promise<never>;
  cancellationSignal: AbortSignal;
  heartbeat(details: unknown): void;
  logger: Logger;
  cancellationDetails(): ActivityCancellationDetails | undefined;
  headers?: Headers;
  client?: Client;
}

/** What the running code of an activity has at hand: `Context.current()`. */
export class Context {
  readonly info: Info;
  /** Rejected with a `CancelledFailure` when the activity is cancelled. */
  readonly cancelled: Promise<never>;
  /** Aborted when the activity is cancelled; pass it to what you wait for. */
  readonly cancellationSignal: AbortSignal;
  /** Logs with the activity's ids. */
  readonly log: Logger;
  readonly headers: Headers;

  constructor(private readonly options: ContextOptions) {
    const { info } = options;
    this.info = info;
    this.cancelled = options.cancelled;
    this.cancellationSignal = options.cancellationSignal;
    this.headers = options.headers ?? {};
    this.log = loggerOf((level, message, meta) => options.logger.log(level, message, { ...attributesOf(info), ...meta }));
  }

  /** The activity around the calling code. */
  static current(): Context {
    const context = storage.getStore();
    if (context === undefined) {
      throw new IllegalStateError('Activity context not initialized: what asks for it is called outside of an activity');
    }
    return context;
  }

  /**
   * Tells that the activity is alive; the next attempt finds the details in its info. Call it as often as you like:
   * what is sent is throttled. Cancellation reaches only activities that heartbeat.
   */
  readonly heartbeat = (details?: unknown): void => this.options.heartbeat(details);

  /** Waits; rejects when the activity is cancelled. */
  readonly sleep = async (duration: Duration): Promise<void> => {
    let timer: NodeJS.Timeout | undefined;
    const slept = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, msToNumber(duration));
    });
    try {
      await Promise.race([this.cancelled, slept]);
    } finally {
      clearTimeout(timer);
    }
  };

  get cancellationDetails(): ActivityCancellationDetails | undefined {
    return this.options.cancellationDetails();
  }

  /** A client of the worker's connection and namespace. */
  get client(): Client {
    const { client } = this.options;
    if (client === undefined) throw new IllegalStateError('No client: give one to the MockActivityEnvironment');
    return client;
  }
}

function attributesOf(info: Info): Record<string, unknown> {
  return {
    namespace: info.workflowNamespace,
    taskQueue: info.taskQueue,
    ...info.workflowExecution,
    workflowType: info.workflowType,
    activityId: info.activityId,
    activityType: info.activityType,
    attempt: info.attempt,
  };
}

/** @internal Runs the function as part of an activity. */
export function runInContext<T>(context: Context, fn: () => T): T {
  return storage.run(context, fn);
}

export function inActivityContext(): boolean {
  return storage.getStore() !== undefined;
}

export function activityInfo(): Info {
  return Context.current().info;
}

/** A client of the worker's connection and namespace. */
export function getClient(): Client {
  return Context.current().client;
}

export function heartbeat(details?: unknown): void {
  Context.current().heartbeat(details);
}

export function sleep(duration: Duration): Promise<void> {
  return Context.current().sleep(duration);
}

/** Rejects with a `CancelledFailure` when the activity is cancelled. */
export function cancelled(): Promise<never> {
  return Context.current().cancelled;
}

export function cancellationSignal(): AbortSignal {
  return Context.current().cancellationSignal;
}

export function cancellationDetails(): ActivityCancellationDetails | undefined {
  return Context.current().cancellationDetails;
}

/** Logs with the ids of the activity around the calling code. */
export const log: Logger = loggerOf((level, message, meta) => Context.current().log.log(level, message, meta));
