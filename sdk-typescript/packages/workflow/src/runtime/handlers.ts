/** Signals and queries of a run: handlers, what arrived before them, and what answers without the user's code. Updates are in `updates`. */

import type { HandlerUnfinishedPolicy, Payload } from '@durably/common';
import { about, arrayFromPayloads, defaultPayloadConverter } from '@durably/common/lib/converter/payload-converter';
import { DeterminismViolationError } from '../errors';
import type { StackTraceFileLocation } from '../handlers';
import { promised } from './chains';
import { ReferenceErrorMessage } from './names';
import { checkUnreserved, isReserved } from './reserved';
import type { durably, temporal } from '@durably/proto';
import type { Run } from './run';
import { Updates } from './updates';

type SignalJob = durably.core.v1.SignalReceived;
type QueryJob = durably.core.v1.QueryReceived;

export interface Handler {
  handler: (...args: any[]) => unknown;
  description?: string | undefined;
  unfinishedPolicy: HandlerUnfinishedPolicy;
}

export type DefaultHandler = (name: string, ...args: unknown[]) => unknown;

/** A handler that has begun and not ended; `id` is the update's. */
export interface Running {
  name: string;
  id?: string;
  unfinishedPolicy: HandlerUnfinishedPolicy;
}

export class Handlers {
  readonly signals = new Map<string, Handler>();
  readonly queries = new Map<string, Handler>();
  defaultSignal: DefaultHandler | undefined;
  defaultQuery: DefaultHandler | undefined;
  /** Of signals and updates. */
  readonly running = new Set<Running>();
  readonly updates: Updates;
  private buffered: SignalJob[] = [];

  constructor(private readonly run: Run) {
    this.updates = new Updates(run, this.running);
  }

  /** Calls the handler, or keeps the signal until there is one. */
  signal(job: SignalJob): void {
    if (!this.isHandled(job)) {
      this.buffered.push(job);
      return;
    }
    const handler: Handler = this.signals.get(job.name) ?? {
      handler: (...args) => this.defaultSignal?.(job.name, ...args),
      unfinishedPolicy: 'WARN_AND_ABANDON',
    };
    const running = { name: job.name, unfinishedPolicy: handler.unfinishedPolicy };
    this.running.add(running);
    promised(() => this.handle(handler, job))
      .catch((error: unknown) => this.run.outcome.fail(error))
      .finally(() => this.running.delete(running));
  }

  private isHandled({ name }: SignalJob): boolean {
    return this.signals.has(name) || (this.defaultSignal !== undefined && !isReserved(name));
  }

  private handle({ handler }: Handler, { name, arguments: payloads, headers }: SignalJob): Promise<void> {
    const args = arrayFromPayloads(this.run.payloadConverter, payloads);
    const call = this.run.inbound('handleSignal', async (input) => void (await handler(...input.args)));
    return call({ signalName: name, args, headers });
  }

  /** After a handler was set: what waited for it, in the order of arrival. */
  deliverBuffered(): void {
    for (;;) {
      const index = this.buffered.findIndex((job) => this.isHandled(job));
      if (index < 0) return;
      const [job] = this.buffered.splice(index, 1);
      this.signal(job!);
    }
  }

  query(job: QueryJob): void {
    const { run } = this;
    promised(() => this.answer(job))
      .then((value) => this.toPayload(job.name, value))
      .then(
        (succeeded) => run.commands.push({ queryAnswer: { id: job.id, succeeded } }),
        (error: unknown) => run.commands.push({ queryAnswer: { id: job.id, failed: run.outcome.safeFailureOf(error) } }),
      );
  }

  private toPayload(query: string, value: unknown): Payload {
    // Tools read these: in the encoding that they know, whatever the workflow's is.
    if (this.builtIns.has(query)) return defaultPayloadConverter.toPayload(value);
    try {
      return this.run.payloadConverter.toPayload(value);
    } catch (error) {
      throw about(`The answer to query ${query}`, error);
    }
  }

  private answer({ id, name, arguments: payloads, headers }: QueryJob): Promise<unknown> {
    const builtIn = this.builtIns.get(name);
    if (builtIn !== undefined) return Promise.resolve(builtIn.handler());
    const args = arrayFromPayloads(this.run.payloadConverter, payloads);
    const call = this.run.inbound('handleQuery', async (input) => this.callQuery(name, input.args));
    return call({ queryName: name, queryId: id, args, headers });
  }

  private callQuery(name: string, args: unknown[]): unknown {
    const call = (handler: () => unknown) => immediate(name, this.run.readOnly.run('Query handlers', handler));
    const found = this.queries.get(name);
    if (found) return call(() => found.handler(...args));
    const { defaultQuery } = this;
    if (defaultQuery) {
      checkUnreserved('query', name);
      return call(() => defaultQuery(name, ...args));
    }
    const known = [...this.queries.keys()].join(' ');
    throw new ReferenceErrorMessage(
      `Workflow did not register a handler for ${name}. Registered queries: [${known}]`,
    );
  }

  /** What every workflow answers, without its code. Descriptions are those that the official SDK gives to tools. */
  private readonly builtIns = new Map<string, Pick<Handler, 'description'> & { handler: () => unknown }>([
    [
      '__stack_trace',
      { description: 'Returns a sensible stack trace.', handler: () => this.run.commands.stacks().join('\n\n') },
    ],
    [
      '__enhanced_stack_trace',
      {
        description: 'Returns a stack trace annotated with source information.',
        handler: () => ({
          sdk: { name: 'typescript', version: '0.1.0' },
          stacks: this.run.commands.stacks().map((stack) => ({
            locations: stack.split('\n').map(locationOf),
          })),
          sources: {},
        }),
      },
    ],
    [
      '__temporal_workflow_metadata',
      { description: 'Returns metadata associated with this workflow.', handler: () => this.metadata() },
    ],
  ]);

  private metadata(): temporal.api.sdk.v1.IWorkflowMetadata {
    const list = (handlers: Iterable<[string, Pick<Handler, 'description'>]>) =>
      [...handlers].map(([name, { description }]) => ({ name, description }));
    return {
      definition: {
        type: this.run.workflowType,
        queryDefinitions: list([...this.builtIns, ...this.queries]),
        signalDefinitions: list(this.signals),
        updateDefinitions: list(this.updates.handlers),
      },
      currentDetails: this.run.currentDetails,
    };
  }

  /** Handlers that will be abandoned although nobody said that they may be. */
  unfinished(): Running[] {
    return [...this.running].filter((one) => one.unfinishedPolicy === 'WARN_AND_ABANDON');
  }
}

/** The parts of a frame: `at fn (file:1:2)`, or `at file:1:2`. */
function locationOf(frame: string): StackTraceFileLocation {
  const [, name, file, line, column] = /^\s*at (?:(.*) \()?(.*?)(?::(\d+):(\d+))?\)?$/.exec(frame) ?? [];
  return {
    file_path: file,
    function_name: name,
    line: line === undefined ? undefined : Number(line),
    column: column === undefined ? undefined : Number(column),
    internal_code: false,
  };
}

function immediate(query: string, value: unknown): unknown {
  if (value instanceof Promise) {
    // Whatever becomes of it: the answer is this error.
    value.catch(() => undefined);
    throw new DeterminismViolationError(
      `Query handlers should not return a Promise: the one of ${query} has to answer at once, from the workflow's state`,
    );
  }
  return value;
}
