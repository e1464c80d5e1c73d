/** Signals and queries of a run: handlers, what arrived before them, and what answers without the user's code. */

import type { HandlerUnfinishedPolicy, Payload } from '@durably/common';
import { about, arrayFromPayloads } from '@durably/common/lib/converter/payload-converter';
import { DeterminismViolationError } from '../errors';
import { promised } from './chains';
import { ReferenceErrorMessage } from './names';
import type { durably } from '@durably/proto';
import type { Run } from './run';

type SignalJob = durably.core.v1.SignalReceived;
type QueryJob = durably.core.v1.QueryReceived;

export interface Handler {
  handler: (...args: any[]) => unknown;
  description?: string | undefined;
  unfinishedPolicy: HandlerUnfinishedPolicy;
}

export type DefaultHandler = (name: string, ...args: unknown[]) => unknown;

export class Handlers {
  readonly signals = new Map<string, Handler>();
  readonly queries = new Map<string, Handler>();
  defaultSignal: DefaultHandler | undefined;
  defaultQuery: DefaultHandler | undefined;
  /** Handlers that have begun and not ended. */
  readonly running = new Set<Handler & { name: string }>();
  private buffered: SignalJob[] = [];

  constructor(private readonly run: Run) {}

  /** Calls the handler, or keeps the signal until there is one. */
  signal(job: SignalJob): void {
    const found = this.signals.get(job.name);
    if (found === undefined && this.defaultSignal === undefined) {
      this.buffered.push(job);
      return;
    }
    const handler: Handler = found ?? {
      handler: (...args) => this.defaultSignal?.(job.name, ...args),
      unfinishedPolicy: 'WARN_AND_ABANDON',
    };
    const running = { ...handler, name: job.name };
    this.running.add(running);
    promised(() => this.handle(handler, job))
      .catch((error: unknown) => this.run.outcome.fail(error))
      .finally(() => this.running.delete(running));
  }

  private handle({ handler }: Handler, { name, arguments: payloads, headers }: SignalJob): Promise<void> {
    const args = arrayFromPayloads(this.run.payloadConverter, payloads);
    const call = this.run.inbound('handleSignal', async (input) => void (await handler(...input.args)));
    return call({ signalName: name, args, headers });
  }

  /** After a handler was set: what waited for it, in the order of arrival. */
  deliverBuffered(): void {
    for (;;) {
      const index = this.buffered.findIndex((job) => this.defaultSignal !== undefined || this.signals.has(job.name));
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
    try {
      return this.run.payloadConverter.toPayload(value);
    } catch (error) {
      throw about(`The answer to query ${query}`, error);
    }
  }

  private answer({ id, name, arguments: payloads, headers }: QueryJob): Promise<unknown> {
    const builtIn = this.builtIn(name);
    if (builtIn !== undefined) return Promise.resolve(builtIn());
    const args = arrayFromPayloads(this.run.payloadConverter, payloads);
    const call = this.run.inbound('handleQuery', async (input) => this.callQuery(name, input.args));
    return call({ queryName: name, queryId: id, args, headers });
  }

  private callQuery(name: string, args: unknown[]): unknown {
    const found = this.queries.get(name);
    if (found) return immediate(name, found.handler(...args));
    if (this.defaultQuery) return immediate(name, this.defaultQuery(name, ...args));
    const known = [...this.queries.keys()].join(' ');
    throw new ReferenceErrorMessage(
      `Workflow did not register a handler for ${name}. Registered queries: [${known}]`,
    );
  }

  private builtIn(name: string): (() => unknown) | undefined {
    switch (name) {
      case '__stack_trace':
        return () => this.run.commands.stacks().join('\n\n');
      case '__enhanced_stack_trace':
        return () => ({
          sdk: { name: 'typescript', version: '0.1.0' },
          stacks: this.run.commands.stacks().map((stack) => ({
            locations: stack.split('\n').map((line) => ({ function_name: line.trim() })),
          })),
          sources: {},
        });
      case '__temporal_workflow_metadata':
        return () => this.metadata();
      default:
        return undefined;
    }
  }

  private metadata(): unknown {
    const list = (handlers: ReadonlyMap<string, Handler>) =>
      [...handlers].map(([name, { description }]) => ({ name, description }));
    return {
      definition: {
        type: this.run.info.workflowType,
        queryDefinitions: list(this.queries),
        signalDefinitions: list(this.signals),
        updateDefinitions: [],
      },
      currentDetails: this.run.currentDetails,
    };
  }

  /** Names of handlers that will be abandoned although nobody said that they may be. */
  unfinished(): string[] {
    return [...this.running].filter((one) => one.unfinishedPolicy === 'WARN_AND_ABANDON').map((one) => one.name);
  }
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
