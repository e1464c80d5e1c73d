/** Calling activities. */

import {
  type ActivityFunction,
  type ActivityOptions,
  type UntypedActivities,
  compilePriority,
  compileRetryPolicy,
} from '@durably/common';
import { ACTIVITY_CANCELLATION_TYPES } from '@durably/common/lib/activity-options';
import { enumNumber } from '@durably/common/lib/enums';
import { msOptionalToTs } from '@durably/common/lib/time';
import { argumentsOf } from './arguments';
import { CancellationScope } from './cancellation-scope';
import { currentRun } from './runtime/current';
import { nameUnknown } from './runtime/unknown-options';

/** An activity as a workflow calls it. */
export type ActivityFunctionWithOptions<T extends ActivityFunction> = T & {
  /** Calls it with other options than the proxy's. */
  executeWithOptions(options: ActivityOptions, args: Parameters<T>): Promise<Awaited<ReturnType<T>>>;
};

export type ActivityInterfaceFor<T> = {
  [K in keyof T]: T[K] extends ActivityFunction ? ActivityFunctionWithOptions<T[K]> : typeof NotAnActivityMethod;
};

/** The type of what an activities object holds beside async functions: it can't be called. */
declare const NotAnActivityMethod: unique symbol;

/** Schedules the activity, and resolves with its result. Rejects with an `ActivityFailure` when it fails. */
export function scheduleActivity<R>(activityType: string, args: unknown[], options: ActivityOptions): Promise<R> {
  const run = currentRun('Workflow.scheduleActivity(...)');
  if (options === undefined || options === null) throw new TypeError('Got empty activity options');
  if (options.startToCloseTimeout === undefined && options.scheduleToCloseTimeout === undefined) {
    throw new TypeError(
      `Activity ${activityType}: required either scheduleToCloseTimeout or startToCloseTimeout; pass one in the options of proxyActivities`,
    );
  }
  nameUnknown('ActivityOptions', options, run.logAttributes());
  const activity = {
    activityId: options.activityId,
    activityType,
    taskQueue: options.taskQueue,
    arguments: argumentsOf(`Activity ${activityType}`, args, run.payloadConverter),
    scheduleToCloseTimeout: msOptionalToTs(options.scheduleToCloseTimeout),
    scheduleToStartTimeout: msOptionalToTs(options.scheduleToStartTimeout),
    startToCloseTimeout: msOptionalToTs(options.startToCloseTimeout),
    heartbeatTimeout: msOptionalToTs(options.heartbeatTimeout),
    retryPolicy: options.retry && compileRetryPolicy(options.retry),
    cancellationType: enumNumber('cancellationType', ACTIVITY_CANCELLATION_TYPES, options.cancellationType),
    doNotEagerlyExecute: options.allowEagerDispatch === false,
    priority: options.priority && compilePriority(options.priority),
  };
  return run.scheduleActivity(activity, CancellationScope.current(), options.summary) as Promise<R>;
}

/**
 * Functions that call activities, for the type of the object that implements them:
 *
 *     const { charge, ship } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });
 */
export function proxyActivities<A = UntypedActivities>(options: ActivityOptions): ActivityInterfaceFor<A> {
  if (options === undefined) throw new TypeError('options must be defined');
  if (options.startToCloseTimeout === undefined && options.scheduleToCloseTimeout === undefined) {
    throw new TypeError(
      "Required either scheduleToCloseTimeout or startToCloseTimeout: pass one to proxyActivities, for example startToCloseTimeout: '1 minute'"
    );
  }
  return new Proxy({} as ActivityInterfaceFor<A>, {
    get(_, activityType) {
      if (typeof activityType !== 'string') {
        throw new TypeError(`Only strings are supported for Activity types, got: ${String(activityType)}`);
      }
      const call = (...args: unknown[]) => scheduleActivity(activityType, args, options);
      call.executeWithOptions = (others: ActivityOptions, args: unknown[]) =>
        scheduleActivity(activityType, args, { ...options, ...others });
      return call;
    },
  });
}
