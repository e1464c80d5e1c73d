/** What is wrong with a worker's options, said before the worker begins: nothing that was asked for is ignored. */

import { Connection } from '@durably/client';
import type { WorkerOptions } from './worker-options';

/** Options by what their values have to be. */
const COUNTS = [
  'maxConcurrentActivityTaskExecutions',
  'maxConcurrentActivityTaskPolls',
  'maxConcurrentLocalActivityExecutions',
  'maxConcurrentWorkflowTaskExecutions',
  'maxConcurrentWorkflowTaskPolls',
] as const;
const COUNTS_OR_NONE = ['maxCachedBytes', 'maxCachedWorkflows', 'maxEagerActivityReservationsPerWorkflowTask'] as const;
const RATES = ['maxActivitiesPerSecond', 'maxTaskQueueActivitiesPerSecond'] as const;
const OTHERS = [
  'activities',
  'buildId',
  'bundlerOptions',
  'connection',
  'dataConverter',
  'debugMode',
  'defaultHeartbeatThrottleInterval',
  'disableEagerActivityExecution',
  'enableNonLocalActivities',
  'identity',
  'maxHeartbeatThrottleInterval',
  'namespace',
  'nonStickyToStickyPollRatio',
  'shutdownForceTime',
  'shutdownGraceTime',
  'stickyQueueScheduleToStartTimeout',
  'taskQueue',
  'workflowBundle',
  'workflowFailureErrorTypes',
  'workflowThreadTimeout',
  'workflowsPath',
] as const;

type Listed = (typeof COUNTS | typeof COUNTS_OR_NONE | typeof RATES | typeof OTHERS)[number];
/** Fails to compile when an option is added that is in no list. */
const unlisted: [Exclude<keyof WorkerOptions, Listed>] extends [never] ? true : false = true;
const KNOWN: ReadonlySet<string> = new Set(unlisted ? [...COUNTS, ...COUNTS_OR_NONE, ...RATES, ...OTHERS] : []);

/** Options of `@temporalio/worker` that only tune what is built otherwise here. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'disablePayloadErrorLimit',
  'enableSDKTracing',
  'maxConcurrentNexusTaskExecutions',
  'maxConcurrentNexusTaskPolls',
  'reuseV8Context',
  'showStackTraceSources',
  'workflowThreadPoolSize',
]);

/** Options of `@temporalio/worker` that this release can't do as they are meant. */
const NOT_THERE: Readonly<Record<string, string>> = {
  activityTaskPollerBehavior: 'set maxConcurrentActivityTaskPolls instead',
  interceptors: 'interceptors of workers are not there yet; those of clients are',
  nexusServices: 'Nexus is not there yet',
  patchActivationCallback: 'patches are not there yet',
  plugins: 'plugins are not there yet',
  sinks: 'sinks are not there yet; call an activity, or log',
  tuner: 'set maxConcurrentWorkflowTaskExecutions and maxConcurrentActivityTaskExecutions instead',
  useVersioning: 'worker versioning is not there yet',
  workerDeploymentOptions: 'worker versioning is not there yet',
  workflowTaskPollerBehavior: 'set maxConcurrentWorkflowTaskPolls instead',
};

/** Throws a TypeError that says what is wrong with which option. */
export function checkWorkerOptions(options: WorkerOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (KNOWN.has(name) || WITHOUT_EFFECT.has(name) || isNothing(value)) continue;
    const advice = NOT_THERE[name] ?? `there is no such option; there are: ${[...KNOWN].sort().join(', ')}`;
    throw new TypeError(`WorkerOptions.${name}: ${advice}`);
  }
  const demand = (names: readonly (keyof WorkerOptions)[], what: string, isRight: (value: number) => boolean) => {
    for (const name of names) {
      const value = options[name];
      if (value === undefined || value === null) continue;
      if (typeof value === 'number' && isRight(value)) continue;
      throw new TypeError(`WorkerOptions.${name} must be ${what}, not ${JSON.stringify(value) ?? String(value)}`);
    }
  };
  demand(COUNTS, 'a positive integer', (value) => Number.isSafeInteger(value) && value > 0);
  demand(COUNTS_OR_NONE, 'an integer, 0 or more', (value) => Number.isSafeInteger(value) && value >= 0);
  demand(RATES, 'a positive number', (value) => Number.isFinite(value) && value > 0);
  demand(['nonStickyToStickyPollRatio'], 'a number between 0 and 1', (value) => value >= 0 && value <= 1);
  if (options.connection !== undefined && !(options.connection instanceof Connection)) {
    throw new TypeError('WorkerOptions.connection must be one of @durably/worker: await NativeConnection.connect({ … })');
  }
  const hook = (options.bundlerOptions as { webpackConfigHook?: unknown } | undefined)?.webpackConfigHook;
  if (hook !== undefined) throw new TypeError('WorkerOptions.bundlerOptions.webpackConfigHook: workflows are bundled without webpack');
}

/** Nothing was asked for: absent, false, or an object or list of nothing, such as `{ activity: [] }`. */
function isNothing(value: unknown, depth = 0): boolean {
  if (value === undefined || value === null || value === false) return true;
  return typeof value === 'object' && depth < 3 && Object.values(value).every((one) => isNothing(one, depth + 1));
}
