/** Errors of workers. */

import { IllegalStateError } from '@durably/common';
import { named } from '@durably/common/lib/errors';

export { IllegalStateError };

/** The worker can't go on: its namespace is unknown, or permission is denied. */
export class TransportError extends Error {}
named(TransportError, 'TransportError');

/** `shutdownForceTime` passed before all activities had ended. */
export class GracefulShutdownPeriodExpiredError extends Error {}
named(GracefulShutdownPeriodExpiredError, 'GracefulShutdownPeriodExpiredError');

/** A history can't be replayed by the code. See also `DeterminismViolationError`. */
export class ReplayError extends Error {
  constructor(
    message: string,
    public readonly workflowId: string,
    public readonly runId: string,
  ) {
    super(message);
  }
}
named(ReplayError, 'ReplayError');

/** Code and history disagree. */
export class DeterminismViolationError extends ReplayError {}
named(DeterminismViolationError, 'DeterminismViolationError');

export interface CombinedWorkerRunErrorCause {
  workerError: unknown;
  innerError: unknown;
}

/** Both the worker and what it ran for have failed. */
export class CombinedWorkerRunError extends Error {
  public override readonly cause: CombinedWorkerRunErrorCause;

  constructor(message: string, { cause }: { cause: CombinedWorkerRunErrorCause }) {
    super(message);
    this.cause = cause;
  }
}
named(CombinedWorkerRunError, 'CombinedWorkerRunError');
