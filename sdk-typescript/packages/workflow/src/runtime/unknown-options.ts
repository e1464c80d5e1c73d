/** Options that have no effect here are named once in the log: a program may be written for another release. */

import type { ActivityOptions } from '@durably/common';
import type { ChildWorkflowOptions } from '../child-workflow';
import type { ContinueAsNewOptions } from '../workflow';
import { host } from './globals';

/** By the type of the options: all keys, so that the compiler names one that is forgotten. */
const KNOWN: {
  readonly ActivityOptions: Readonly<Record<keyof ActivityOptions, true>>;
  readonly ChildWorkflowOptions: Readonly<Record<keyof ChildWorkflowOptions | 'args', true>>;
  readonly ContinueAsNewOptions: Readonly<Record<keyof ContinueAsNewOptions, true>>;
} = {
  ActivityOptions: {
    activityId: true,
    taskQueue: true,
    heartbeatTimeout: true,
    retry: true,
    startToCloseTimeout: true,
    scheduleToStartTimeout: true,
    scheduleToCloseTimeout: true,
    cancellationType: true,
    allowEagerDispatch: true,
    summary: true,
    priority: true,
  },
  ChildWorkflowOptions: {
    args: true,
    workflowId: true,
    taskQueue: true,
    cancellationType: true,
    parentClosePolicy: true,
    workflowIdReusePolicy: true,
    retry: true,
    cronSchedule: true,
    memo: true,
    searchAttributes: true,
    typedSearchAttributes: true,
    workflowRunTimeout: true,
    workflowExecutionTimeout: true,
    workflowTaskTimeout: true,
    staticSummary: true,
    staticDetails: true,
    priority: true,
  },
  ContinueAsNewOptions: {
    workflowType: true,
    taskQueue: true,
    workflowRunTimeout: true,
    workflowTaskTimeout: true,
    memo: true,
    searchAttributes: true,
    typedSearchAttributes: true,
    retry: true,
  },
};

const named = new Set<string>();

/** Warns of keys that are none of these options', each once for all runs of a worker. */
export function nameUnknown(kind: keyof typeof KNOWN, options: object, attributes: Record<string, unknown>): void {
  for (const key of Object.keys(options)) {
    const option = `${kind}.${key}`;
    if (Object.hasOwn(KNOWN[kind], key) || (options as Record<string, unknown>)[key] === undefined || named.has(option)) continue;
    named.add(option);
    host().log('WARN', `${option} is ignored: this release of @durably/workflow has no such option`, attributes);
  }
}
