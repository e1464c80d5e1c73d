/** What clients throw, beside the errors of `@durably/common`. */

import type { RetryState } from '@durably/common';
import { named } from '@durably/common/lib/errors';
import type { Metadata } from './types';

/** gRPC's status codes. */
export enum status {
  OK = 0,
  CANCELLED = 1,
  UNKNOWN = 2,
  INVALID_ARGUMENT = 3,
  DEADLINE_EXCEEDED = 4,
  NOT_FOUND = 5,
  ALREADY_EXISTS = 6,
  PERMISSION_DENIED = 7,
  RESOURCE_EXHAUSTED = 8,
  FAILED_PRECONDITION = 9,
  ABORTED = 10,
  OUT_OF_RANGE = 11,
  UNIMPLEMENTED = 12,
  INTERNAL = 13,
  UNAVAILABLE = 14,
  DATA_LOSS = 15,
  UNAUTHENTICATED = 16,
}

/** What a server answered instead of a response, in the shape that gRPC users know. See {@link isGrpcServiceError}. */
export class GrpcServiceError extends Error {
  override readonly name = 'GrpcServiceError';
  /** What the server said. */
  readonly details: string;
  /** `grpc-status-details-bin` holds the encoded `google.rpc.Status`, if the server sent one. */
  readonly metadata: Metadata & Record<string, unknown>;

  constructor(
    readonly code: status,
    details: string,
    /** The encoded `google.rpc.Status`, or nothing. */
    readonly statusDetails: Uint8Array = new Uint8Array(0),
  ) {
    super(`${code} ${status[code] ?? 'UNKNOWN'}: ${details}`);
    this.details = details;
    this.metadata = statusDetails.length === 0 ? {} : { 'grpc-status-details-bin': statusDetails as never };
  }
}

/** A call failed; {@link cause} is the {@link GrpcServiceError} if it was the server who said so. */
export class ServiceError extends Error {
  override readonly cause?: Error;

  constructor(message: string, opts?: { cause: Error }) {
    super(message);
    this.cause = opts?.cause;
  }
}
named(ServiceError, 'ServiceError');

/**
 * The workflow did not complete. {@link cause} says how it ended: a failure of `@durably/common`, such as
 * `ApplicationFailure`, `ActivityFailure`, `CancelledFailure`, `TerminatedFailure` or `TimeoutFailure`.
 */
export class WorkflowFailedError extends Error {
  constructor(
    message: string,
    override readonly cause: Error | undefined,
    /** Why the workflow was not retried. */
    readonly retryState: RetryState | undefined,
  ) {
    super(message);
  }
}
named(WorkflowFailedError, 'WorkflowFailedError');

/** The update was turned away, or its handler has failed; {@link cause} says how. */
export class WorkflowUpdateFailedError extends Error {
  constructor(
    message: string,
    override readonly cause: Error | undefined,
  ) {
    super(message);
  }
}
named(WorkflowUpdateFailedError, 'WorkflowUpdateFailedError');

/** The call of an update, or the wait for its end, took too long or was given up. That says nothing of the update itself. */
export class WorkflowUpdateRPCTimeoutOrCancelledError extends Error {
  override readonly cause?: Error;

  constructor(message: string, opts?: { cause: Error }) {
    super(message);
    this.cause = opts?.cause;
  }
}
named(WorkflowUpdateRPCTimeoutOrCancelledError, 'WorkflowUpdateRPCTimeoutOrCancelledError');

/** The run continued as new, and its result was asked for with `followRuns: false`. */
export class WorkflowContinuedAsNewError extends Error {
  constructor(
    message: string,
    /** The next run. */
    readonly newExecutionRunId: string,
  ) {
    super(message);
  }
}
named(WorkflowContinuedAsNewError, 'WorkflowExecutionContinuedAsNewError');

/** The query was not put to the workflow, because of its status and the query's reject condition. */
export class QueryRejectedError extends Error {
  constructor(
    /** `WorkflowExecutionStatus` as Temporal's API numbers it. */
    readonly status: number,
  ) {
    super('Query rejected');
  }
}
named(QueryRejectedError, 'QueryRejectedError');

/** The workflow has no handler for the query, or the handler failed. */
export class QueryNotRegisteredError extends Error {
  constructor(
    message: string,
    readonly code: status,
  ) {
    super(message);
  }
}
named(QueryNotRegisteredError, 'QueryNotRegisteredError');

/** The activity to complete or to heartbeat is not there (any more). */
export class ActivityNotFoundError extends Error {}
named(ActivityNotFoundError, 'ActivityNotFoundError');

/** The activity could not be completed, or its heartbeat not be recorded. */
export class ActivityCompletionError extends Error {}
named(ActivityCompletionError, 'ActivityCompletionError');

/** The activity whose heartbeat was recorded should stop: its cancellation was requested. */
export class ActivityCancelledError extends Error {}
named(ActivityCancelledError, 'ActivityCancelledError');

/** The activity whose heartbeat was recorded should stop: it was paused. */
export class ActivityPausedError extends Error {}
named(ActivityPausedError, 'ActivityPausedError');

/** The activity whose heartbeat was recorded should stop: it was reset. */
export class ActivityResetError extends Error {}
named(ActivityResetError, 'ActivityResetError');

/** Whether the error is what a server answered to a call: with `code`, `details` and `metadata`. */
export function isGrpcServiceError(err: unknown): err is GrpcServiceError {
  if (!(err instanceof Error)) return false;
  const { details, metadata } = err as Partial<GrpcServiceError>;
  return typeof details === 'string' && typeof metadata === 'object' && metadata !== null;
}

/** Whether the error, or one of its causes, says that a deadline has passed. See `Connection.withDeadline`. */
export function isGrpcDeadlineError(err: unknown): err is Error {
  return hasCode(err, status.DEADLINE_EXCEEDED);
}

/** Whether the error, or one of its causes, says that the call was given up. See `Connection.withAbortSignal`. */
export function isGrpcCancelledError(err: unknown): err is Error {
  return hasCode(err, status.CANCELLED);
}

function hasCode(err: unknown, code: status): boolean {
  for (let cause = err; cause instanceof Error; cause = cause.cause) {
    if (isGrpcServiceError(cause) && cause.code === code) return true;
  }
  return false;
}

/** @deprecated Use {@link isGrpcServiceError}. */
export const isServerErrorResponse = isGrpcServiceError;
