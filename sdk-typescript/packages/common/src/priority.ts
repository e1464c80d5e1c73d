/** What goes first when there is more work than workers. */

import type { temporal } from '@durably/proto';

export interface Priority {
  /** 1 is the most urgent; default 3. */
  priorityKey?: number;
  /** Tasks with different keys share what is available. */
  fairnessKey?: string;
  /** The share of a fairness key; default 1. */
  fairnessWeight?: number;
}

export function compilePriority(priority: Priority): temporal.api.common.v1.IPriority {
  const { priorityKey, fairnessKey, fairnessWeight } = priority;
  if (priorityKey !== undefined && (!Number.isInteger(priorityKey) || priorityKey < 1)) {
    throw new TypeError('priorityKey must be a positive integer');
  }
  return { priorityKey, fairnessKey, fairnessWeight };
}

export function decodePriority(message: temporal.api.common.v1.IPriority | null | undefined): Priority {
  return {
    priorityKey: message?.priorityKey || undefined,
    fairnessKey: message?.fairnessKey || undefined,
    fairnessWeight: message?.fairnessWeight || undefined,
  };
}
