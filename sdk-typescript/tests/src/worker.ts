/** A worker and a client on an embedded server of their own, for tests. */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Client, type WorkflowHandle, type WorkflowOptions } from '@durably/client';
import type { LogEntry, ReplayWorkerOptions, WorkerOptions } from '@durably/worker';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@durably/worker';

/** What workers, workflows and activities of this process have logged. */
export const logged: LogEntry[] = [];
Runtime.install({ logger: new DefaultLogger('INFO', (entry) => logged.push(entry)) });

/** The path of a module with workflows, as it was written: errors name its lines. */
export function workflowsPath(name: string): string {
  return join(__dirname, '..', 'src', 'workflows', `${name}.ts`);
}

export class Env {
  readonly client: Client;

  constructor(
    readonly connection: NativeConnection,
    readonly worker: Worker,
    readonly taskQueue: string,
  ) {
    this.client = new Client({ connection });
  }

  async start(workflow: string, args: unknown[] = [], options: Partial<WorkflowOptions> = {}): Promise<WorkflowHandle> {
    const { taskQueue } = this;
    return await this.client.workflow.start(workflow, { workflowId: randomUUID(), taskQueue, args, ...options });
  }

  async execute(workflow: string, ...args: unknown[]): Promise<any> {
    return await (await this.start(workflow, args)).result();
  }

  /** Replays all runs of the server, with the module that the workflows are in. */
  async replayAll(name: string, options: ReplayWorkerOptions = {}): Promise<void> {
    const replayed = { ...options, workflowsPath: workflowsPath(name) };
    const histories = this.client.workflow.list().intoHistories();
    for await (const { workflowId, error } of Worker.runReplayHistories(replayed, histories)) {
      if (error) throw new Error(`${workflowId} does not replay`, { cause: error });
    }
  }

  /** The message of the first workflow task that failed, awaited. */
  async taskFailure(handle: WorkflowHandle): Promise<string> {
    for (;;) {
      const { events } = await handle.fetchHistory();
      for (const event of events ?? []) {
        const failure = event.workflowTaskFailedEventAttributes?.failure;
        if (failure) return `${failure.message}\n${failure.stackTrace}`;
      }
    }
  }
}

/** Runs a worker for the workflows of a module, and the function beside it. */
export async function withWorker<T>(
  name: string,
  fn: (env: Env) => Promise<T>,
  options: Partial<WorkerOptions> = {},
): Promise<T> {
  const connection = await NativeConnection.connect({ address: 'embedded:' });
  try {
    const taskQueue = `queue-${randomUUID()}`;
    const cached = process.env['DURABLY_TEST_MAX_CACHED_WORKFLOWS'];
    const worker = await Worker.create({
      connection,
      taskQueue,
      workflowsPath: workflowsPath(name),
      maxCachedWorkflows: cached === undefined ? undefined : Number(cached),
      ...options,
    });
    return await worker.runUntil(() => fn(new Env(connection, worker, taskQueue)));
  } finally {
    await connection.close();
  }
}
