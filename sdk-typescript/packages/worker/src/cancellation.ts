/** The cancellation of an activity: asked for once, seen in all the ways that a `Context` offers. */

import type { ActivityCancellationDetails } from '@durably/activity';
import { CancelledFailure } from '@durably/common';

/** Why an activity is cancelled. */
export type CancelReason =
  | 'CANCELLED'
  | 'NOT_FOUND'
  | 'TIMED_OUT'
  | 'WORKER_SHUTDOWN'
  | 'PAUSED'
  | 'RESET'
  | 'UNKNOWN';

export class Cancellation {
  /** Undefined as long as nobody asked. */
  reason: CancelReason | undefined;
  details: ActivityCancellationDetails | undefined;
  /** Rejected when somebody asks. */
  readonly cancelled: Promise<never>;
  private readonly controller = new AbortController();
  private reject!: (error: CancelledFailure) => void;

  constructor() {
    this.cancelled = new Promise<never>((_, reject) => {
      this.reject = reject;
    });
    // Most activities never look.
    this.cancelled.catch(() => undefined);
  }

  /** Aborted when somebody asks. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** The first reason counts. */
  cancel(reason: CancelReason, details: ActivityCancellationDetails = detailsOf(reason)): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.details = details;
    const failure = new CancelledFailure(reason);
    this.reject(failure);
    this.controller.abort(failure);
  }
}

function detailsOf(reason: CancelReason): ActivityCancellationDetails {
  return {
    notFound: reason === 'NOT_FOUND',
    cancelRequested: reason === 'CANCELLED',
    paused: reason === 'PAUSED',
    timedOut: reason === 'TIMED_OUT',
    workerShutdown: reason === 'WORKER_SHUTDOWN',
    reset: reason === 'RESET',
  };
}
