/** Runs the activities of a worker. */

import type { Client } from '@durably/client';
import { CompleteAsyncError, Context, type Info, runInContext } from '@durably/activity';
import {
  ApplicationFailure,
  ApplicationFailureCategory,
  CancelledFailure,
  type LoadedDataConverter,
  type Logger,
  type Payload,
  type PayloadConverter,
  arrayFromPayloads,
  decodePriority,
  decompileRetryPolicy,
  ensureApplicationFailure,
} from '@durably/common';
import { decodePayloads, encodePayloads } from '@durably/common/lib/converter/data-converter';
import { cutoffStackTrace } from '@durably/common/lib/converter/failure-converter';
import { type ProtoFailure, readable, textOf } from '@durably/common/lib/failure';
import { about } from '@durably/common/lib/converter/payload-converter';
import { optionalTsToMs } from '@durably/common/lib/time';
import { type durably, mapPayloads } from '@durably/proto';
import { type CancelReason, Cancellation } from './cancellation';

type Start = durably.core.v1.ActivityStart;
type Completion = durably.core.v1.IActivityCompletion;

/** By the numbers of `ActivityCancel.Reason`. */
const REASONS: readonly CancelReason[] = ['UNKNOWN', 'CANCELLED', 'NOT_FOUND', 'TIMED_OUT', 'WORKER_SHUTDOWN', 'PAUSED', 'RESET'];

export interface ActivityRunnerOptions {
  activities: ReadonlyMap<string, (...args: any[]) => unknown>;
  converter: LoadedDataConverter;
  logger: Logger;
  taskQueue: string;
  client: Client;
  respond(request: durably.core.v1.IWorkerRequest): void;
}

export class ActivityRunner {
  private readonly attempts = new Map<string, Cancellation>();

  constructor(private readonly options: ActivityRunnerOptions) {}

  get count(): number {
    return this.attempts.size;
  }

  /** Runs one attempt, and answers. */
  start(start: Start): void {
    const token = key(start.taskToken);
    void this.run(start)
      .then((completion) => {
        this.attempts.delete(token);
        this.options.respond({ activity: completion });
      })
      .catch((error: unknown) => {
        // It holds what no message may hold, or the user's logger has thrown.
        this.attempts.delete(token);
        this.options.respond({ activity: { taskToken: start.taskToken, failed: unanswerable(error) } });
      });
  }

  cancel({ taskToken, reason }: durably.core.v1.ActivityCancel): void {
    this.attempts.get(key(taskToken))?.cancel(REASONS[reason] ?? 'UNKNOWN');
  }

  private async run(start: Start): Promise<Completion> {
    const { taskToken } = start;
    const cancellation = new Cancellation();
    this.attempts.set(key(taskToken), cancellation);
    let { logger } = this.options;
    try {
      if (this.options.converter.payloadCodecs.length > 0) await this.decode(start);
      const context = new Context({
        info: this.infoOf(start),
        cancelled: cancellation.cancelled,
        cancellationSignal: cancellation.signal,
        heartbeat: (details) => this.heartbeat(taskToken, details),
        logger: this.options.logger,
        cancellationDetails: () => cancellation.details,
        headers: start.headers,
        client: this.options.client,
      });
      logger = context.log;
      const args = arrayFromPayloads(this.options.converter.payloadConverter, start.input);
      const result = await runInContext(context, async () => await this.functionOf(start.activityType)(...args));
      const { payloadConverter } = this.options.converter;
      const payload = converted(`The result of activity ${start.activityType}`, payloadConverter, result);
      return await this.encoded({ taskToken, completed: { result: payload } });
    } catch (error) {
      return await this.failed(start, readable(error), cancellation.reason, logger);
    }
  }

  private async decode(start: Start): Promise<void> {
    const { payloadCodecs } = this.options.converter;
    await mapPayloads('durably.core.v1.ActivityStart', start, (payloads) => decodePayloads(payloadCodecs, payloads));
  }

  private functionOf(type: string): (...args: any[]) => unknown {
    const { activities } = this.options;
    const found = activities.get(type) ?? activities.get('default');
    if (found !== undefined) return found;
    const known = [...activities.keys()].join(', ');
    throw ApplicationFailure.retryable(
      `Activity function ${type} is not registered on this Worker, available activities: [${known}]`,
      'NotFoundError',
    );
  }

  private async failed(
    { taskToken, attempt }: Start,
    error: unknown,
    reason: CancelReason | undefined,
    logger: Logger,
  ): Promise<Completion> {
    const { failureConverter, payloadConverter } = this.options.converter;
    if (error instanceof CompleteAsyncError) return { taskToken, willCompleteAsync: {} };
    const isAbort = error instanceof Error && error.name === 'AbortError';
    if (reason !== undefined && (error instanceof CancelledFailure || isAbort)) {
      const failure = error instanceof CancelledFailure ? error : new CancelledFailure(reason);
      return await this.encoded({ taskToken, cancelled: failureConverter.errorToFailure(failure, payloadConverter) });
    }
    const failure = error instanceof CancelledFailure ? error : ensureApplicationFailure(error);
    const isBenign = failure instanceof ApplicationFailure && failure.category === ApplicationFailureCategory.BENIGN;
    // It still fails at the 10th, the 100th attempt: there is nothing new to say of those between.
    const isNew = /^10*$/.test(String(attempt ?? 1));
    logger.log(isBenign || !isNew ? 'DEBUG' : 'WARN', 'Activity failed', { error });
    try {
      return await this.encoded({ taskToken, failed: failureConverter.errorToFailure(failure, payloadConverter) });
    } catch (second) {
      // The failure itself can't be converted: say so, rather than nothing.
      const why = textOf(second);
      const { type, nonRetryable } = failure instanceof ApplicationFailure ? failure : {};
      return {
        taskToken,
        failed: {
          message: `${failure.message} (its details could not be converted: ${why})`,
          stackTrace: cutoffStackTrace(failure.stack),
          applicationFailureInfo: { type: type ?? '', nonRetryable: nonRetryable ?? false },
        },
      };
    }
  }

  private async encoded(completion: Completion): Promise<Completion> {
    const { payloadCodecs } = this.options.converter;
    if (payloadCodecs.length > 0) {
      await mapPayloads('durably.core.v1.ActivityCompletion', completion, (payloads) =>
        encodePayloads(payloadCodecs, payloads),
      );
    }
    return completion;
  }

  private heartbeat(taskToken: Uint8Array, details: unknown): void {
    const { payloadConverter, payloadCodecs } = this.options.converter;
    if (!this.attempts.has(key(taskToken))) return;
    const payloads = details === undefined ? [] : [converted('The details of the heartbeat', payloadConverter, details)];
    if (payloadCodecs.length === 0 || payloads.length === 0) {
      this.options.respond({ heartbeat: { taskToken, details: payloads } });
      return;
    }
    encodePayloads(payloadCodecs, payloads).then(
      (encoded) => this.options.respond({ heartbeat: { taskToken, details: encoded } }),
      (error: unknown) => this.options.logger.warn('The details of a heartbeat could not be encoded', { error }),
    );
  }

  private infoOf(start: Start): Info {
    const execution = start.workflowExecution;
    return {
      taskToken: start.taskToken,
      base64TaskToken: key(start.taskToken),
      activityId: start.activityId,
      activityType: start.activityType,
      activityNamespace: start.workflowNamespace,
      attempt: start.attempt,
      isLocal: false,
      heartbeatDetails: arrayFromPayloads(this.options.converter.payloadConverter, start.heartbeatDetails)[0],
      taskQueue: this.options.taskQueue,
      workflowNamespace: start.workflowNamespace,
      workflowType: start.workflowType,
      workflowExecution: { workflowId: execution?.workflowId ?? '', runId: execution?.runId ?? '' },
      scheduledTimestampMs: optionalTsToMs(start.scheduledTime) ?? 0,
      currentAttemptScheduledTimestampMs: optionalTsToMs(start.currentAttemptScheduledTime) ?? 0,
      scheduleToCloseTimeoutMs: optionalTsToMs(start.scheduleToCloseTimeout) ?? 0,
      startToCloseTimeoutMs: optionalTsToMs(start.startToCloseTimeout) ?? 0,
      heartbeatTimeoutMs: optionalTsToMs(start.heartbeatTimeout),
      retryPolicy: decompileRetryPolicy(start.retryPolicy),
      priority: decodePriority(start.priority),
    };
  }
}

function converted(what: string, converter: PayloadConverter, value: unknown): Payload {
  try {
    return converter.toPayload(value);
  } catch (error) {
    throw about(what, error);
  }
}

/** The failure in place of an answer that can't be sent. */
function unanswerable(error: unknown): ProtoFailure {
  return { source: 'TypeScriptSDK', message: `the activity's answer can't be encoded: ${textOf(error)}`, applicationFailureInfo: {} };
}

function key(taskToken: Uint8Array): string {
  return Buffer.from(taskToken.buffer, taskToken.byteOffset, taskToken.byteLength).toString('base64');
}
