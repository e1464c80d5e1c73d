/** The run whose code is executing. One at a time: an activation ends before the next begins. */

import { IllegalStateError } from '@durably/common/lib/errors';
import type { Run } from './run';

let current: Run | undefined;

export function setCurrentRun(run: Run | undefined): void {
  current = run;
}

export function maybeCurrentRun(): Run | undefined {
  return current;
}

/** The current run; outside of workflows an error that says what can't be done there. */
export function currentRun(what = 'Workflow APIs'): Run {
  if (current === undefined) throw new IllegalStateError(`${what} may only be used from a Workflow Execution`);
  return current;
}
