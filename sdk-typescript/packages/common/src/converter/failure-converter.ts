/** Errors to failure messages and back. */

import type { temporal } from '@durably/proto';
import { enumName, enumNumber } from '../enums';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  FAILURE_CATEGORIES,
  FAILURE_SOURCE,
  type ProtoFailure,
  RETRY_STATES,
  ServerFailure,
  TIMEOUT_TYPES,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  isError,
  retryStateOf,
} from '../failure';
import { msOptionalToTs, optionalTsToMs } from '../time';
import { type PayloadConverter, arrayFromPayloads, fromPayloadsAtIndex, toPayloads } from './payload-converter';

export interface FailureConverter {
  errorToFailure(error: unknown, payloadConverter: PayloadConverter): ProtoFailure;
  failureToError(failure: ProtoFailure, payloadConverter: PayloadConverter): Error;
}

export interface DefaultFailureConverterOptions {
  /** Moves message and stack trace into a payload, so that a codec hides them. Default false. */
  encodeCommonAttributes: boolean;
}

/** Frames of the SDK, which say nothing to users. */
const OWN_FRAME =
  /[\\/](?:@durably[\\/](?!test)|sdk-typescript[\\/]packages[\\/])\w|workflow-runtime\.js|workflow-(?:bundle|entry)\.js|\bstep\.js:|\(?node:/;
/** Frames of the language itself: they may be between those of users, and between those of the SDK. */
const BUILT_IN_FRAME = /\((?:<anonymous>|native)\)$|\(index \d+\)$/;

/** A stack trace down to the first frame of the SDK below the user's. */
export function cutoffStackTrace(stack: string | undefined): string {
  const lines = (typeof stack === 'string' ? stack : '').split('\n');
  const frames = lines.filter((line) => /^\s+at /.test(line));
  const kept: string[] = [];
  // Built-ins count with the user's frame that follows them, if one does.
  let built: string[] = [];
  for (const frame of frames) {
    if (BUILT_IN_FRAME.test(frame)) {
      if (kept.length > 0) built.push(frame);
    } else if (!OWN_FRAME.test(frame)) {
      kept.push(...built, frame);
      built = [];
    } else if (kept.length > 0) break;
  }
  return kept.join('\n');
}

/** A chain of causes may be a circle; and messages that are nested about 100 deep can't be decoded. */
const MOST_CAUSES = 50;

/** The failure converter of Temporal's SDKs. */
export class DefaultFailureConverter implements FailureConverter {
  readonly options: DefaultFailureConverterOptions;

  constructor(options?: Partial<DefaultFailureConverterOptions>) {
    this.options = { encodeCommonAttributes: options?.encodeCommonAttributes ?? false };
  }

  failureToError(failure: ProtoFailure, payloads: PayloadConverter): Error {
    if (failure.encodedAttributes) restoreAttributes(failure, payloads);
    const cause = failure.cause ? this.failureToError(failure.cause, payloads) : undefined;
    const error = errorOf(failure, payloads, cause);
    error.stack = `${error.name}: ${error.message}${failure.stackTrace ? `\n${failure.stackTrace}` : ''}`;
    error.failure = failure;
    return error;
  }

  errorToFailure(error: unknown, payloads: PayloadConverter): ProtoFailure {
    return this.convert(error, payloads, 0);
  }

  private convert(error: unknown, payloads: PayloadConverter, depth: number): ProtoFailure {
    const failure = this.toFailure(error, payloads, depth);
    if (this.options.encodeCommonAttributes) {
      const { message, stackTrace } = failure;
      failure.encodedAttributes = payloads.toPayload({ message, stack_trace: stackTrace });
      failure.message = 'Encoded failure';
      failure.stackTrace = '';
    }
    return failure;
  }

  private toFailure(error: unknown, payloads: PayloadConverter, depth: number): ProtoFailure {
    if (error instanceof TemporalFailure) {
      // An error that came over the wire goes on as it came, with the stack of where it happened.
      if (error.failure) return { ...error.failure };
      return { ...this.common(error, payloads, depth), ...infoOf(error, payloads) };
    }
    if (isError(error)) return this.common(error, payloads, depth);
    const advice = ' [thrown without an Error around it: throw Errors, and failures come with their stack]';
    return { source: FAILURE_SOURCE, message: describe(error) + advice };
  }

  private common(error: Error, payloads: PayloadConverter, depth: number): ProtoFailure {
    const cause = error.cause;
    return {
      source: FAILURE_SOURCE,
      message: String(error.message ?? ''),
      stackTrace: cutoffStackTrace(error.stack),
      cause: cause === undefined || cause === null ? undefined : this.causeOf(cause, payloads, depth + 1),
    };
  }

  private causeOf(cause: unknown, payloads: PayloadConverter, depth: number): ProtoFailure {
    if (depth > MOST_CAUSES) return { source: FAILURE_SOURCE, message: `the causes beyond ${MOST_CAUSES} are left out` };
    // A class that extends this one converts causes its own way.
    const isOverridden = this.errorToFailure !== DefaultFailureConverter.prototype.errorToFailure;
    return isOverridden ? this.errorToFailure(cause, payloads) : this.convert(cause, payloads, depth);
  }
}

function describe(value: unknown): string {
  if (typeof value !== 'object') return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    return String(value);
  }
}

/** A missing codec must not hide that something failed: the message that came is kept then. */
function restoreAttributes(failure: ProtoFailure, payloads: PayloadConverter): void {
  try {
    const attributes = payloads.fromPayload<{ message?: unknown; stack_trace?: unknown }>(failure.encodedAttributes!);
    if (typeof attributes?.message === 'string') failure.message = attributes.message;
    if (typeof attributes?.stack_trace === 'string') failure.stackTrace = attributes.stack_trace;
  } catch {
    return;
  }
}

function infoOf(error: TemporalFailure, payloads: PayloadConverter): ProtoFailure {
  const wrap = (details: unknown[] | null | undefined) =>
    details && details.length > 0 ? { payloads: toPayloads(payloads, ...details) } : undefined;
  if (error instanceof ApplicationFailure) {
    return {
      applicationFailureInfo: {
        type: error.type ?? '',
        nonRetryable: error.nonRetryable ?? false,
        details: wrap(error.details),
        nextRetryDelay: msOptionalToTs(error.nextRetryDelay),
        category: enumNumber('category', FAILURE_CATEGORIES, error.category ?? undefined),
      },
    };
  }
  if (error instanceof CancelledFailure) return { canceledFailureInfo: { details: wrap(error.details) } };
  if (error instanceof TimeoutFailure) {
    const last = error.lastHeartbeatDetails;
    return {
      timeoutFailureInfo: {
        timeoutType: enumNumber('timeout type', TIMEOUT_TYPES, error.timeoutType),
        lastHeartbeatDetails: last === undefined ? undefined : wrap([last]),
      },
    };
  }
  if (error instanceof TerminatedFailure) return { terminatedFailureInfo: {} };
  if (error instanceof ServerFailure) return { serverFailureInfo: { nonRetryable: error.nonRetryable } };
  if (error instanceof ActivityFailure) {
    return {
      activityFailureInfo: {
        activityId: error.activityId,
        activityType: { name: error.activityType },
        identity: error.identity,
        retryState: enumNumber('retry state', RETRY_STATES, error.retryState),
      },
    };
  }
  if (error instanceof ChildWorkflowFailure) {
    return {
      childWorkflowExecutionFailureInfo: {
        namespace: error.namespace,
        workflowExecution: error.execution,
        workflowType: { name: error.workflowType },
        retryState: enumNumber('retry state', RETRY_STATES, error.retryState),
      },
    };
  }
  return { applicationFailureInfo: { type: error.name } };
}

/** The error of one failure. */
function errorOf(failure: ProtoFailure, payloads: PayloadConverter, cause: Error | undefined): TemporalFailure {
  const message = failure.message ?? undefined;
  const list = (details: temporal.api.common.v1.IPayloads | null | undefined) =>
    arrayFromPayloads(payloads, details?.payloads);
  const application = failure.applicationFailureInfo;
  if (application) {
    return new ApplicationFailure(
      message,
      application.type || undefined,
      application.nonRetryable ?? false,
      list(application.details),
      cause,
      optionalTsToMs(application.nextRetryDelay),
      enumName(FAILURE_CATEGORIES, application.category),
    );
  }
  if (failure.serverFailureInfo) return new ServerFailure(message, failure.serverFailureInfo.nonRetryable ?? false, cause);
  const timeout = failure.timeoutFailureInfo;
  if (timeout) {
    const last = fromPayloadsAtIndex(payloads, 0, timeout.lastHeartbeatDetails?.payloads);
    return withCause(new TimeoutFailure(message, last, enumName(TIMEOUT_TYPES, timeout.timeoutType)), cause);
  }
  if (failure.terminatedFailureInfo) return new TerminatedFailure(message, cause);
  if (failure.canceledFailureInfo) return new CancelledFailure(message, list(failure.canceledFailureInfo.details), cause);
  const reset = failure.resetWorkflowFailureInfo;
  if (reset) return new ApplicationFailure(message, 'ResetWorkflow', false, list(reset.lastHeartbeatDetails), cause);
  return carrierOf(failure, message, cause);
}

/** Failures that say where another failure happened. */
function carrierOf(failure: ProtoFailure, message: string | undefined, cause: Error | undefined): TemporalFailure {
  const child = failure.childWorkflowExecutionFailureInfo;
  if (child) {
    return new ChildWorkflowFailure(
      child.namespace ?? undefined,
      { workflowId: child.workflowExecution?.workflowId ?? '', runId: child.workflowExecution?.runId ?? '' },
      child.workflowType?.name ?? '',
      retryStateOf(child.retryState),
      cause,
    );
  }
  const activity = failure.activityFailureInfo;
  if (activity) {
    return new ActivityFailure(
      message,
      activity.activityType?.name ?? '',
      activity.activityId || undefined,
      retryStateOf(activity.retryState),
      activity.identity || undefined,
      cause,
    );
  }
  return new TemporalFailure(message, cause);
}

function withCause<E extends Error>(error: E, cause: Error | undefined): E {
  if (cause !== undefined) Object.defineProperty(error, 'cause', { value: cause, configurable: true });
  return error;
}

export const defaultFailureConverter: FailureConverter = new DefaultFailureConverter();
