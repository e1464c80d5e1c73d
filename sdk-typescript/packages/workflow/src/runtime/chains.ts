/**
 * What passes between a run and the code of its workflow, in both directions, as functions that interceptors can stand
 * around. Without any, a call is the last link itself: how many turns it takes is part of the order of commands.
 */

import type { Payload } from '@durably/common';
import type { CancellationScope } from '../cancellation-scope';
import type { durably } from '@durably/proto';
import type { ContinueAsNewOptions } from '../workflow';

export type Headers = Record<string, Payload>;

/** What becomes of a child: the id of its first run when it has started, and then its result. */
export type StartedChild = [started: Promise<string>, completed: Promise<unknown>];

export interface UpdateInput {
  updateId: string;
  name: string;
  args: unknown[];
  headers: Headers;
}

/** What comes in: each calls a function of the user's. */
export interface Inbound {
  execute(input: { args: unknown[]; headers: Headers }): Promise<unknown>;
  handleSignal(input: { signalName: string; args: unknown[]; headers: Headers }): Promise<void>;
  /** Only of updates that have a validator, and when they are asked for the first time. */
  validateUpdate(input: UpdateInput): void;
  handleUpdate(input: UpdateInput): Promise<unknown>;
  handleQuery(input: { queryName: string; queryId: string; args: unknown[]; headers: Headers }): Promise<unknown>;
}

/** What the user's code asks for: each issues a command. */
export interface Outbound {
  startTimer(input: { millis: number; scope: CancellationScope; summary?: string | undefined }): Promise<void>;
  scheduleActivity(input: {
    activity: durably.core.v1.IScheduleActivity;
    scope: CancellationScope;
    summary?: string | undefined;
  }): Promise<unknown>;
  startChildWorkflowExecution(input: {
    child: durably.core.v1.IStartChildWorkflow;
    scope: CancellationScope;
    summary?: string | undefined;
    details?: string | undefined;
  }): Promise<StartedChild>;
  signalWorkflow(input: { signal: durably.core.v1.ISignalExternalWorkflow; scope: CancellationScope }): Promise<void>;
  continueAsNew(input: { args: unknown[]; headers: Headers; options: ContinueAsNewOptions }): never;
}

/** The function's promise, and a rejected one if it throws: as of an async function, without the turns that one takes. */
export function promised<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return fn();
  } catch (error) {
    return Promise.reject(error as Error);
  }
}
