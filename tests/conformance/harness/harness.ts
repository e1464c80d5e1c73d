/**
 * What a conformance program in TypeScript is made of: each folder beside this one has its workflows in `workflows.ts`,
 * which are bundled on their own, and in `behaviour.ts` the activities and a `check` that runs against a server that is
 * up already.
 */

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import type { Client, Connection, WorkflowHandle, WorkflowOptions, WorkflowStartOptions } from '@temporalio/client';
import type { Workflow, WorkflowResultType } from '@temporalio/common';
import { type LogEntry, NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';

/** What `behaviour.ts` exports. */
export interface Behaviour {
  activities?: object;
  /** `check` runs its workers itself. */
  ownWorkers?: boolean;
  check(env: Env): Promise<void>;
}

/** What has been logged so far, by all workers: the runner collects it here. */
export const logged: LogEntry[] = [];

/** With 0, every workflow task replays its run from the first event. */
const MAX_CACHED = process.env.DURABLY_TEST_MAX_CACHED_WORKFLOWS ? Number(process.env.DURABLY_TEST_MAX_CACHED_WORKFLOWS) : undefined;

/** What `check` works with. */
export class Env {
  readonly started: WorkflowHandle[] = [];

  constructor(
    readonly connection: Connection,
    readonly client: Client,
    readonly address: string,
    readonly taskQueue: string,
    readonly workflowsPath: string,
  ) {}

  /** A workflow id that no other program uses. */
  newId(): string {
    return `${this.taskQueue}-${randomUUID()}`;
  }

  /** Starts a workflow; its history is replayed after `check`. */
  async start<T extends Workflow>(workflow: T, ...args: Parameters<T>) {
    return await this.startWith({}, workflow, ...args);
  }

  /** Starts a workflow with options; id and task queue default to the behaviour's own. */
  async startWith<T extends Workflow>(options: Partial<WorkflowOptions>, workflow: T, ...args: Parameters<T>) {
    const complete = { workflowId: this.newId(), taskQueue: this.taskQueue, ...options, args };
    // The compiler can't know that `args` may be left out exactly if `T` has no parameters.
    const handle = await this.client.workflow.start<T>(workflow, complete as unknown as WorkflowStartOptions<T>);
    this.started.push(handle);
    return handle;
  }

  /** Starts a workflow and awaits its result. */
  async execute<T extends Workflow>(workflow: T, ...args: Parameters<T>): Promise<WorkflowResultType<T>> {
    return await (await this.start(workflow, ...args)).result();
  }

  /** A worker for this behaviour's workflows, not yet running. */
  async worker(options: Partial<WorkerOptions>): Promise<Worker> {
    const { taskQueue, workflowsPath } = this;
    const connection = await NativeConnection.connect({ address: this.address });
    return await Worker.create({ connection, taskQueue, workflowsPath, maxCachedWorkflows: MAX_CACHED, ...options });
  }
}

/** Asks until the condition holds: for what a server may answer a little later, such as a list. */
export async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    assert(Date.now() < deadline, `not within 20 s: ${what}`);
    // The one place where a program polls, because the API offers no wait for a list
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Awaits a call that has to fail with an error of the class, and returns the error. */
export async function failure<E extends Error>(call: Promise<unknown>, kind: abstract new (...args: never[]) => E): Promise<E> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof kind, `expected ${kind.name}, got ${error}`);
    return error;
  }
  throw new assert.AssertionError({ message: `expected ${kind.name}, but the call has succeeded` });
}

/** Runs one behaviour to its end and replays the histories that it has left. */
export async function run(behaviour: Behaviour, env: Env): Promise<void> {
  if (behaviour.ownWorkers) {
    return await behaviour.check(env);
  }
  const worker = await env.worker({ activities: behaviour.activities });
  await worker.runUntil(async () => {
    await behaviour.check(env);
    const ended = env.started.map(async (handle) => ({ workflowId: handle.workflowId, history: await handle.fetchHistory() }));
    // In one go, with one bundle: making one takes the official SDK seconds.
    for await (const { error } of Worker.runReplayHistories({ workflowsPath: env.workflowsPath }, await Promise.all(ended))) {
      if (error) throw error;
    }
  });
}
