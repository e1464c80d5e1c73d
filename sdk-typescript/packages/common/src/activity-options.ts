/** How a workflow calls an activity. */

import type { EnumNumbers } from './enums';
import type { Priority } from './priority';
import type { RetryPolicy } from './retry-policy';
import type { Duration } from './time';

/** What happens to an activity, and to the workflow that waits for it, when the scope around the call is cancelled. */
export const ActivityCancellationType = Object.freeze({
  /** Don't ask; go on at once. */
  ABANDON: 'ABANDON',
  /** Ask the activity to stop; go on at once. The default. */
  TRY_CANCEL: 'TRY_CANCEL',
  /** Ask the activity to stop; go on when it has ended, however it ends. */
  WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED',
} as const);
export type ActivityCancellationType = keyof typeof ActivityCancellationType;
export const ACTIVITY_CANCELLATION_TYPES: EnumNumbers<ActivityCancellationType> = {
  TRY_CANCEL: 0,
  WAIT_CANCELLATION_COMPLETED: 1,
  ABANDON: 2,
};

/** One of `startToCloseTimeout` and `scheduleToCloseTimeout` is required. */
export interface ActivityOptions {
  /** Default: a number within the workflow run. */
  activityId?: string;
  /** Default: the workflow's. */
  taskQueue?: string;
  /** Between two heartbeats. Default: none are expected. */
  heartbeatTimeout?: Duration;
  retry?: RetryPolicy;
  /** For each attempt. */
  startToCloseTimeout?: Duration;
  /** Until a worker has taken the task. */
  scheduleToStartTimeout?: Duration;
  /** All attempts together. */
  scheduleToCloseTimeout?: Duration;
  cancellationType?: ActivityCancellationType;
  /** Whether the activity may start with the workflow task's response on this worker. Default true. */
  allowEagerDispatch?: boolean;
  /** For tools: one line in Markdown. */
  summary?: string;
  priority?: Priority;
}
