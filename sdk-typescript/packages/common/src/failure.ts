/** What goes wrong in workflows and activities, as exceptions that cross processes and languages without loss. */

import type { temporal } from '@durably/proto';
import type { Duration } from './time';
import { type EnumNumbers, enumName } from './enums';
import { named } from './errors';

export type ProtoFailure = temporal.api.failure.v1.IFailure;

export const FAILURE_SOURCE = 'TypeScriptSDK';

function constants<Name extends string>(...names: Name[]): { readonly [N in Name]: N } {
  return Object.freeze(Object.fromEntries(names.map((name) => [name, name]))) as { readonly [N in Name]: N };
}

/** Which of an activity's or workflow's time-outs passed. */
export const TimeoutType = constants('START_TO_CLOSE', 'SCHEDULE_TO_START', 'SCHEDULE_TO_CLOSE', 'HEARTBEAT');
export type TimeoutType = keyof typeof TimeoutType;
export const TIMEOUT_TYPES: EnumNumbers<TimeoutType> = {
  START_TO_CLOSE: 1,
  SCHEDULE_TO_START: 2,
  SCHEDULE_TO_CLOSE: 3,
  HEARTBEAT: 4,
};

/** Why there was no further attempt. */
export const RetryState = constants(
  'IN_PROGRESS',
  'NON_RETRYABLE_FAILURE',
  'TIMEOUT',
  'MAXIMUM_ATTEMPTS_REACHED',
  'RETRY_POLICY_NOT_SET',
  'INTERNAL_SERVER_ERROR',
  'CANCEL_REQUESTED',
);
export type RetryState = keyof typeof RetryState;
export const RETRY_STATES: EnumNumbers<RetryState> = {
  IN_PROGRESS: 1,
  NON_RETRYABLE_FAILURE: 2,
  TIMEOUT: 3,
  MAXIMUM_ATTEMPTS_REACHED: 4,
  RETRY_POLICY_NOT_SET: 5,
  INTERNAL_SERVER_ERROR: 6,
  CANCEL_REQUESTED: 7,
};

/** How loudly an application failure is reported. */
export const ApplicationFailureCategory = constants('BENIGN');
export type ApplicationFailureCategory = keyof typeof ApplicationFailureCategory;
export const FAILURE_CATEGORIES: EnumNumbers<ApplicationFailureCategory> = { BENIGN: 1 };

/** The base of all failures. Throw `ApplicationFailure` from your own code. */
export class TemporalFailure extends Error {
  /** The message that the failure came in, if it did. */
  public failure?: ProtoFailure;

  constructor(
    message?: string | undefined | null,
    public override readonly cause?: Error,
  ) {
    super(message ?? undefined);
  }
}
named(TemporalFailure, 'TemporalFailure');

/** A failure of the server. */
export class ServerFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    public readonly nonRetryable: boolean,
    cause?: Error,
  ) {
    super(message, cause);
  }
}
named(ServerFailure, 'ServerFailure');

export interface ApplicationFailureOptions {
  message?: string;
  /** What `nonRetryableErrorTypes` of a retry policy are compared with. */
  type?: string;
  nonRetryable?: boolean;
  details?: unknown[];
  /** Instead of the retry policy's interval. */
  nextRetryDelay?: Duration;
  cause?: Error;
  category?: ApplicationFailureCategory;
}

/** A failure of the user's own code: from an activity it is retried as policy says; from a workflow it ends it. */
export class ApplicationFailure extends TemporalFailure {
  constructor(
    message?: string | undefined | null,
    public readonly type?: string | undefined | null,
    public readonly nonRetryable?: boolean | undefined | null,
    public readonly details?: unknown[] | undefined | null,
    cause?: Error,
    public readonly nextRetryDelay?: Duration | undefined | null,
    public readonly category?: ApplicationFailureCategory | undefined | null,
  ) {
    super(message, cause);
  }

  static create(options: ApplicationFailureOptions): ApplicationFailure {
    const { message, type, nonRetryable = false, details, nextRetryDelay, cause, category } = options;
    return new this(message, type, nonRetryable, details, cause, nextRetryDelay, category);
  }

  /** From any error, with its stack trace; `type` is its name unless told otherwise. */
  static fromError(error: Error | unknown, overrides?: ApplicationFailureOptions): ApplicationFailure {
    const message = messageOf(error);
    const type = (isError(error) && (error.constructor?.name || error.name)) || undefined;
    const cause = isError(error) && error.cause instanceof Error ? error.cause : undefined;
    const failure = this.create({ message, type, cause, ...overrides });
    if (isError(error)) failure.stack = error.stack;
    return failure;
  }

  static retryable(message?: string | null, type?: string | null, ...details: unknown[]): ApplicationFailure {
    return new this(message, type || 'Error', false, details);
  }

  static nonRetryable(message?: string | null, type?: string | null, ...details: unknown[]): ApplicationFailure {
    return new this(message, type || 'Error', true, details);
  }
}
named(ApplicationFailure, 'ApplicationFailure');

/** A workflow, an activity or a scope was cancelled. See `isCancellation`. */
export class CancelledFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    public readonly details: unknown[] = [],
    cause?: Error,
  ) {
    super(message, cause);
  }
}
named(CancelledFailure, 'CancelledFailure');

/** The workflow was terminated. */
export class TerminatedFailure extends TemporalFailure {}
named(TerminatedFailure, 'TerminatedFailure');

export class TimeoutFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    /** Of the last heartbeat, for activities. */
    public readonly lastHeartbeatDetails: unknown,
    public readonly timeoutType: TimeoutType | undefined,
  ) {
    super(message);
  }
}
named(TimeoutFailure, 'TimeoutFailure');

/** An activity failed; `cause` says how. */
export class ActivityFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    public readonly activityType: string,
    public readonly activityId: string | undefined,
    public readonly retryState: RetryState | undefined,
    public readonly identity: string | undefined,
    cause?: Error,
  ) {
    super(message, cause);
  }
}
named(ActivityFailure, 'ActivityFailure');

/** A child workflow failed; `cause` says how. */
export class ChildWorkflowFailure extends TemporalFailure {
  constructor(
    public readonly namespace: string | undefined,
    public readonly execution: { workflowId: string; runId: string },
    public readonly workflowType: string,
    public readonly retryState: RetryState | undefined,
    cause?: Error,
  ) {
    super('Child Workflow execution failed', cause);
  }
}
named(ChildWorkflowFailure, 'ChildWorkflowFailure');

/** The workflow's id is taken, and the id policies don't allow another start. A workflow that lets it pass fails. */
export class WorkflowExecutionAlreadyStartedError extends TemporalFailure {
  constructor(
    message: string,
    public readonly workflowId: string,
    public readonly workflowType: string,
  ) {
    super(message);
  }
}
named(WorkflowExecutionAlreadyStartedError, 'WorkflowExecutionAlreadyStartedError');

/** What a thrown value says: of what is no error, as much as can be told. */
function messageOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown);
  const { message } = thrown as { message?: unknown };
  if (typeof message === 'string' && message !== '') return message;
  if (isError(thrown)) return String(thrown);
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return String(thrown);
  }
}

/** Whether the value is an error, also one of another realm. */
export function isError(value: unknown): value is Error {
  try {
    return (
      value instanceof Error ||
      (typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Error]')
    );
  } catch {
    // A proxy that can't be looked at.
    return false;
  }
}

/**
 * The thrown value, if it can be looked at; or else an error that says so. Getters, traps of proxies and `toString` are
 * the user's code: whoever answers for what was thrown must not fail by them.
 */
export function readable(thrown: unknown): unknown {
  try {
    if (!(thrown instanceof Error) && !isError(thrown)) {
      // Calls what will be called when a failure is made of it.
      void [messageOf(thrown), String(thrown)];
      return thrown;
    }
    const { name, message, stack, cause, constructor } = thrown;
    void [`${name}${message}${constructor?.name}`, cause instanceof Error];
    if (stack === undefined || typeof stack === 'string') return thrown;
    return Object.assign(new Error(message), { name, stack: undefined });
  } catch (why) {
    return new Error(`what was thrown can't be read: ${textOf(why)}`);
  }
}

/** What an error says, or as much of another value as can be told. */
export function textOf(value: unknown): string {
  try {
    return isError(value) ? `${value.message}` : String(value);
  } catch {
    return typeof value;
  }
}

/** The failure itself, or an `ApplicationFailure` made from the error. */
export function ensureApplicationFailure(error: unknown): ApplicationFailure {
  return error instanceof ApplicationFailure ? error : ApplicationFailure.fromError(error);
}

export function ensureTemporalFailure(error: unknown): TemporalFailure {
  return error instanceof TemporalFailure ? error : ApplicationFailure.fromError(error);
}

/** The message of the innermost cause. */
export function rootCause(error: unknown): string | undefined {
  if (error instanceof TemporalFailure) return error.cause ? rootCause(error.cause) : error.message;
  if (isError(error)) return error.message;
  return typeof error === 'string' ? error : undefined;
}

/** Whether the error is a cancellation: of a scope, or what an activity or child workflow failed by. */
export function isCancellation(error: unknown): boolean {
  return (
    error instanceof CancelledFailure ||
    ((error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) && isCancellation(error.cause))
  );
}

export function retryStateOf(number: number | null | undefined): RetryState | undefined {
  return enumName(RETRY_STATES, number);
}
