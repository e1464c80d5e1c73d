/** What a worker is made with, and how that is said to the core. */

import { readFileSync } from 'node:fs';
import type { DataConverter, Duration } from '@durably/common';
import { msOptionalToTs, msToNumber } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import type { NativeConnection } from './connection';
import { bundleWorkflowCode } from './workflow/bundler';

export interface WorkflowBundleOption {
  /** What `bundleWorkflowCode` made. */
  code?: string;
  /** A file that holds it. */
  codePath?: string;
}

/** What has to do with how workflows and activities run, in workers as in replays. */
export interface CommonOptions {
  /** The module that exports the workflows: `require.resolve('./workflows')`, or `import.meta.resolve('./workflows.js')`. */
  workflowsPath?: string | URL;
  /** Instead of `workflowsPath`: bundled ahead of time. */
  workflowBundle?: WorkflowBundleOption;
  bundlerOptions?: { ignoreModules?: string[] };
  dataConverter?: DataConverter;
  /**
   * Names of errors that fail the workflow, by the workflow's type, or `'*'` for all: `{ '*': ['OutOfStock'] }`. All
   * others fail the task, so that a fix can be deployed. A list is one for all types. `'NondeterminismError'` is code that
   * disagrees with its history; `'Error'` is any error, that one too.
   */
  workflowFailureErrorTypes?: Record<string, string[]> | string[];
  /** What this code is called in histories. */
  buildId?: string;
  /** Default: the connection's. */
  identity?: string;
  /**
   * Workflow code may run this long without waiting, before its task fails; 0 for no limit. Default 5 s, and 0.5 s where a
   * test waits to be told (`failFast` of test environments).
   */
  workflowThreadTimeout?: Duration;
  /** No limit on how long workflow code runs, for debuggers. Default: whether the environment has `TEMPORAL_DEBUG`. */
  debugMode?: boolean;
}

export interface WorkerOptions extends CommonOptions {
  taskQueue: string;
  /** Default: one to 127.0.0.1:7233, or where `TEMPORAL_ADDRESS` says, of the worker's own. */
  connection?: NativeConnection;
  /** Default "default". */
  namespace?: string;
  /** Async functions by name. */
  activities?: object;
  /** False: take no activities, which workers elsewhere run. Default true. */
  enableNonLocalActivities?: boolean;
  /** Cached workflows; 0 for none, so that each task replays. Default: as many as fit the core's limits. */
  maxCachedWorkflows?: number;
  maxCachedBytes?: number;
  stickyQueueScheduleToStartTimeout?: Duration;
  maxConcurrentWorkflowTaskExecutions?: number;
  maxConcurrentActivityTaskExecutions?: number;
  maxConcurrentLocalActivityExecutions?: number;
  maxConcurrentWorkflowTaskPolls?: number;
  maxConcurrentActivityTaskPolls?: number;
  nonStickyToStickyPollRatio?: number;
  maxActivitiesPerSecond?: number;
  maxTaskQueueActivitiesPerSecond?: number;
  maxEagerActivityReservationsPerWorkflowTask?: number;
  disableEagerActivityExecution?: boolean;
  maxHeartbeatThrottleInterval?: Duration;
  defaultHeartbeatThrottleInterval?: Duration;
  /** How long activities may go on after shutdown began, before they are cancelled. Default 0. */
  shutdownGraceTime?: Duration;
  /** When `run` gives up on activities that ignore their cancellation. Default: never. */
  shutdownForceTime?: Duration;
}

export interface ReplayWorkerOptions extends CommonOptions {
  namespace?: string;
  taskQueue?: string;
  /** No effect here. */
  replayName?: string;
}

const DEFAULT_TIMEOUT = 5_000;
/** The same where a test waits to be told (`failFast`). */
const TEST_TIMEOUT = 500;

/** The core's options. */
export function coreOptions(
  options: WorkerOptions,
  has: { workflows: boolean; activities: boolean },
): durably.core.v1.IWorkerOptions {
  return {
    taskQueue: options.taskQueue,
    namespace: options.namespace,
    identity: options.identity,
    buildId: options.buildId,
    workflows: has.workflows,
    activities: has.activities,
    nondeterminismAsWorkflowFail: coversNondeterminism(failureTypesOf(options.workflowFailureErrorTypes, '*')),
    nondeterminismAsWorkflowFailForTypes: typesWithNondeterminism(options.workflowFailureErrorTypes),
    maxCachedBytes: options.maxCachedBytes,
    maxCachedWorkflows: options.maxCachedWorkflows,
    noWorkflowCache: options.maxCachedWorkflows === 0,
    stickyQueueScheduleToStartTimeout: msOptionalToTs(options.stickyQueueScheduleToStartTimeout),
    maxConcurrentWorkflowTasks: options.maxConcurrentWorkflowTaskExecutions,
    maxConcurrentActivities: options.maxConcurrentActivityTaskExecutions,
    maxConcurrentLocalActivities: options.maxConcurrentLocalActivityExecutions,
    maxConcurrentWorkflowTaskPolls: options.maxConcurrentWorkflowTaskPolls,
    maxConcurrentActivityTaskPolls: options.maxConcurrentActivityTaskPolls,
    nonstickyToStickyPollRatio: options.nonStickyToStickyPollRatio,
    maxActivitiesPerSecond: options.maxActivitiesPerSecond,
    maxTaskQueueActivitiesPerSecond: options.maxTaskQueueActivitiesPerSecond,
    maxEagerActivities: options.maxEagerActivityReservationsPerWorkflowTask,
    disableEagerActivities: options.disableEagerActivityExecution || options.maxEagerActivityReservationsPerWorkflowTask === 0,
    maxHeartbeatThrottleInterval: msOptionalToTs(options.maxHeartbeatThrottleInterval),
    defaultHeartbeatThrottleInterval: msOptionalToTs(options.defaultHeartbeatThrottleInterval),
    gracefulShutdownTimeout: msOptionalToTs(options.shutdownGraceTime || undefined),
  };
}

/** The functions of an activities object or map, by name. */
export function activitiesOf(activities: object | undefined): ReadonlyMap<string, (...args: any[]) => unknown> {
  const found = new Map<string, (...args: any[]) => unknown>();
  const entries = activities instanceof Map ? [...activities] : Object.entries(activities ?? {});
  for (const [name, activity] of entries) {
    if (typeof activity === 'function') found.set(String(name), activity as (...args: any[]) => unknown);
  }
  // Methods of a class are no entries.
  for (let of = activities && Object.getPrototypeOf(activities); of && of !== Object.prototype && of !== Map.prototype; of = Object.getPrototypeOf(of)) {
    for (const name of Object.getOwnPropertyNames(of)) {
      const activity: unknown = Object.getOwnPropertyDescriptor(of, name)?.value;
      if (name !== 'constructor' && typeof activity === 'function' && !found.has(name)) {
        found.set(name, activity.bind(activities) as (...args: any[]) => unknown);
      }
    }
  }
  return found;
}

/** The code of the bundle, made now if need be; undefined if the worker has no workflows. */
export async function bundleOf(options: CommonOptions): Promise<string | undefined> {
  const { workflowBundle, workflowsPath, bundlerOptions, dataConverter } = options;
  if (workflowBundle) {
    const { code, codePath } = workflowBundle;
    if (code !== undefined) return code;
    if (codePath !== undefined) return readFileSync(codePath, 'utf8');
    throw new TypeError('workflowBundle needs `code` or `codePath`: what bundleWorkflowCode made, or the file that holds it');
  }
  if (workflowsPath === undefined) return undefined;
  const { payloadConverterPath, failureConverterPath } = dataConverter ?? {};
  const bundle = await bundleWorkflowCode({
    workflowsPath,
    payloadConverterPath,
    failureConverterPath,
    ignoreModules: bundlerOptions?.ignoreModules,
  });
  return bundle.code;
}

/** How long a step of workflow code may take, in milliseconds; 0 for no limit. */
export interface Patience {
  timeout: number;
  /** A test waits to be told where code doesn't yield: it shall hear of it soon, and with the line. */
  tellsTests: boolean;
  /** Ends what is said of code that doesn't yield. */
  advice: string;
}

export function patienceOf(options: CommonOptions & { connection?: NativeConnection }): Patience {
  const usual = { tellsTests: false, advice: '' };
  if (options.debugMode ?? Boolean(process.env['TEMPORAL_DEBUG'])) return { ...usual, timeout: 0 };
  if (options.workflowThreadTimeout !== undefined) return { ...usual, timeout: msToNumber(options.workflowThreadTimeout) };
  if (!options.connection?.options.embedded?.failFast) return { ...usual, timeout: DEFAULT_TIMEOUT };
  const advice = ` Outside of tests it may take ${DEFAULT_TIMEOUT / 1000} s; \`workflowThreadTimeout\` of the worker says how long.`;
  return { timeout: TEST_TIMEOUT, tellsTests: true, advice };
}

/** Whether workflows fail by a disagreement of code and history, if errors with these names fail them. */
export function coversNondeterminism(names: readonly string[]): boolean {
  return names.some((name) => ['NondeterminismError', 'DeterminismViolationError', 'Error'].includes(name));
}

function typesWithNondeterminism(types: CommonOptions['workflowFailureErrorTypes']): string[] {
  if (types === undefined || Array.isArray(types)) return [];
  return Object.keys(types).filter((type) => type !== '*' && coversNondeterminism(types[type]!));
}

/** The names of errors that fail workflows of the type. */
export function failureTypesOf(types: CommonOptions['workflowFailureErrorTypes'], workflowType: string): readonly string[] {
  if (types === undefined) return [];
  if (Array.isArray(types)) return types;
  const own = Object.hasOwn(types, workflowType) ? types[workflowType] : undefined;
  return [...(types['*'] ?? []), ...(own ?? [])];
}
