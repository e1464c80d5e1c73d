/** What the worker gives to the workflow context, and what it gets from a run. */

import type { LogLevel, LogMetadata } from '@durably/common';
import type { durably, temporal } from '@durably/proto';

export type Activation = durably.core.v1.WorkflowActivation;
export type Job = durably.core.v1.WorkflowJob;
export type Command = durably.core.v1.IWorkflowCommand;
export type Failure = temporal.api.failure.v1.IFailure;

/** Functions of the worker's own realm. */
export interface Host {
  log(level: LogLevel, message: string, meta: LogMetadata): void;
  console(method: 'debug' | 'error' | 'info' | 'log' | 'warn', args: unknown[]): void;
  /** "file:line" of the user's code in a stack of the bundle; empty if there is none. */
  locate(stack: string | undefined): string;
  /** A stack with the positions of the sources instead of the bundle's. */
  mapStack(stack: string): string;
  /** As `util.inspect` and `util.format`, without calling what objects define for them. */
  inspect(value: unknown): string;
  format(args: unknown[]): string;
  isDeepStrictEqual(a: unknown, b: unknown): boolean;
  readonly AsyncLocalStorage: new <T>() => AsyncStorage<T>;
}

export interface AsyncStorage<T> {
  getStore(): T | undefined;
  run<R>(store: T, callback: () => R): R;
}

/** What a bundle of workflow code exports. */
export interface Bundle {
  workflows: Record<string, unknown>;
  payloadConverter?: Record<string, unknown>;
  failureConverter?: Record<string, unknown>;
}

export interface RunOptions {
  runId: string;
  activation: Activation;
  /** Makes the user's modules anew, so that no run sees the state of another. */
  instantiate: () => Bundle;
  /** Names of errors that fail the workflow instead of its task, as the user configured. */
  failureErrorTypes: readonly string[];
  buildId: string;
}

/** Why a workflow task failed. */
export interface FailedTask {
  failure: Failure;
  /** What was thrown, to log. */
  error: unknown;
  /** What the user may do about it, as the end of a sentence; may be empty. */
  advice: string;
}

/** The answer to an activation. */
export interface Conclusion {
  commands: Command[];
  usedFlags: number[];
  failed?: FailedTask | undefined;
  /** Of the weight in the cache, what the run can tell: how much it is waiting for. */
  pending: number;
}
