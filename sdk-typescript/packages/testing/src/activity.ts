/** Runs activities without a server or worker. */

import { EventEmitter } from 'node:events';
import { type ActivityCancellationDetails, Context, type Info, runInContext } from '@durably/activity';
import type { Client } from '@durably/client';
import type { ActivityFunction, Logger } from '@durably/common';
import { DefaultLogger } from '@durably/worker';
import { type CancelReason, Cancellation } from '@durably/worker/lib/cancellation';

export interface MockActivityEnvironmentOptions {
  /** Where the activity's log goes. Default: standard error. */
  logger?: Logger;
  /** What the activity's `getClient` returns. */
  client?: Client;
}

/** What an activity's info says unless told otherwise. */
export const defaultActivityInfo: Info = {
  attempt: 1,
  taskQueue: 'test',
  isLocal: false,
  taskToken: Buffer.from('test'),
  activityId: 'test',
  activityType: 'unknown',
  workflowType: 'test',
  base64TaskToken: Buffer.from('test').toString('base64'),
  heartbeatTimeoutMs: undefined,
  heartbeatDetails: undefined,
  activityNamespace: 'default',
  workflowNamespace: 'default',
  workflowExecution: { workflowId: 'test', runId: 'dead-beef' },
  scheduledTimestampMs: 1,
  startToCloseTimeoutMs: 1000,
  scheduleToCloseTimeoutMs: 1000,
  currentAttemptScheduledTimestampMs: 1,
  priority: undefined,
  retryPolicy: undefined,
};

/**
 * What activities see while a test runs them. Emits `heartbeat` with the details of each.
 *
 * All that it runs share one {@link context}: once cancelled, what runs later is cancelled from the start.
 */
export class MockActivityEnvironment extends EventEmitter {
  readonly context: Context;
  private readonly cancellation = new Cancellation();

  constructor(info?: Partial<Info>, opts?: MockActivityEnvironmentOptions) {
    super();
    const { cancellation } = this;
    this.context = new Context({
      info: { ...defaultActivityInfo, ...info },
      cancelled: cancellation.cancelled,
      cancellationSignal: cancellation.signal,
      heartbeat: (details) => void this.emit('heartbeat', details),
      logger: opts?.logger ?? new DefaultLogger(),
      cancellationDetails: () => cancellation.details,
      client: opts?.client,
    });
  }

  /** Cancels what runs, and what will. The second time nothing happens. */
  cancel = (reason: CancelReason = 'CANCELLED', details?: ActivityCancellationDetails): void => {
    this.cancellation.cancel(reason, details);
  };

  /** Runs the function as an activity. */
  async run<P extends any[], R>(fn: ActivityFunction<P, R>, ...args: P): Promise<R> {
    return runInContext(this.context, () => fn(...args));
  }
}
