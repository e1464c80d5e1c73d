/** A worker by hand, for tests of the client: each task is taken and answered by raw calls. */

import { randomUUID } from 'node:crypto';
import { Client, type ClientOptions, Connection, type ConnectionOptions } from '@durably/client';
import { defaultPayloadConverter, toPayloads } from '@durably/common';
import { enumOf, type temporal } from '@durably/proto';

type Command = temporal.api.command.v1.ICommand;
type WorkflowTask = temporal.api.workflowservice.v1.PollWorkflowTaskQueueResponse;
type ActivityTask = temporal.api.workflowservice.v1.PollActivityTaskQueueResponse;

/** An embedded server of its own, gone when the test ends. */
export async function embedded(
  test: { after(fn: () => Promise<void>): void },
  options: ConnectionOptions = {},
  clientOptions: ClientOptions = {},
): Promise<Hand> {
  const connection = await Connection.connect({ address: 'embedded:', ...options });
  test.after(() => connection.close());
  return new Hand(connection, clientOptions);
}

export function payloads(...values: unknown[]): temporal.api.common.v1.IPayloads {
  return { payloads: toPayloads(defaultPayloadConverter, ...values) ?? [] };
}

function command(type: string, attributes: Command): Command {
  return { commandType: enumOf('temporal.api.enums.v1.CommandType').numbers.get(`COMMAND_TYPE_${type}`), ...attributes };
}

export const commands = {
  complete: (result: unknown) =>
    command('COMPLETE_WORKFLOW_EXECUTION', {
      completeWorkflowExecutionCommandAttributes: { result: payloads(result) },
    }),
  fail: (failure: temporal.api.failure.v1.IFailure) =>
    command('FAIL_WORKFLOW_EXECUTION', { failWorkflowExecutionCommandAttributes: { failure } }),
  cancel: (...details: unknown[]) =>
    command('CANCEL_WORKFLOW_EXECUTION', {
      cancelWorkflowExecutionCommandAttributes: { details: payloads(...details) },
    }),
  continueAsNew: (workflowType: string, taskQueue: string) =>
    command('CONTINUE_AS_NEW_WORKFLOW_EXECUTION', {
      continueAsNewWorkflowExecutionCommandAttributes: { workflowType: { name: workflowType }, taskQueue: { name: taskQueue } },
    }),
  activity: (activityId: string, taskQueue: string) =>
    command('SCHEDULE_ACTIVITY_TASK', {
      scheduleActivityTaskCommandAttributes: {
        activityId,
        activityType: { name: 'work' },
        taskQueue: { name: taskQueue },
        startToCloseTimeout: { seconds: 60 },
        heartbeatTimeout: { seconds: 60 },
        retryPolicy: { maximumAttempts: 1 },
      },
    }),
  cancelActivity: (scheduledEventId: number) =>
    command('REQUEST_CANCEL_ACTIVITY_TASK', {
      requestCancelActivityTaskCommandAttributes: { scheduledEventId },
    }),
};

export class Hand {
  readonly client: Client;
  readonly queue = `queue-${randomUUID()}`;

  constructor(
    readonly connection: Connection,
    options: ClientOptions = {},
  ) {
    this.client = new Client({ connection, ...options });
  }

  /** Options of a start. */
  options(workflowId: string = randomUUID()): { workflowId: string; taskQueue: string } {
    return { workflowId, taskQueue: this.queue };
  }

  /** The next workflow task. */
  async task(namespace?: string): Promise<WorkflowTask> {
    for (;;) {
      const task = await this.connection.workflowService.pollWorkflowTaskQueue({
        namespace,
        taskQueue: { name: this.queue },
      });
      if (task.taskToken.length > 0) return task;
    }
  }

  /** Takes the next workflow task, and answers it with the commands. */
  async answer(...given: Command[]): Promise<WorkflowTask> {
    const task = await this.task();
    const { taskToken } = task;
    await this.connection.workflowService.respondWorkflowTaskCompleted({ taskToken, commands: given });
    return task;
  }

  /** The next activity task. */
  async activity(): Promise<ActivityTask> {
    for (;;) {
      const task = await this.connection.workflowService.pollActivityTaskQueue({ taskQueue: { name: this.queue } });
      if (task.taskToken.length > 0) return task;
    }
  }

  /** Takes the next workflow task, which is a query, and answers it. */
  async answerQuery(answer: { result?: unknown; error?: string }): Promise<WorkflowTask> {
    const task = await this.task();
    await this.connection.workflowService.respondQueryTaskCompleted({
      taskToken: task.taskToken,
      completedType: answer.error === undefined ? 1 : 2,
      queryResult: payloads(answer.result),
      errorMessage: answer.error,
    });
    return task;
  }
}

/** All items of an async iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
