/**
 * Updates of a run: their handlers and validators, and what arrived before them.
 *
 * An update is turned away before it is accepted, which leaves no trace, or it is accepted and its handler is code like the
 * rest of the workflow. How many turns it takes from there to its end is that of the official SDK.
 */

import { ApplicationFailure, TemporalFailure, ensureTemporalFailure, readable } from '@durably/common/lib/failure';
import { about, arrayFromPayloads } from '@durably/common/lib/converter/payload-converter';
import type { durably } from '@durably/proto';
import { DeterminismViolationError } from '../errors';
import type { UpdateInfo } from '../info';
import { type UpdateInput, promised } from './chains';
import { updateStorage } from './globals';
import type { DefaultHandler, Handler, Handlers } from './handlers';
import { checkUnreserved } from './reserved';
import type { Run } from './run';

type UpdateJob = durably.core.v1.UpdateReceived;

export interface UpdateHandler extends Handler {
  validator?: ((...args: any[]) => void) | undefined;
}

export class Updates {
  readonly handlers = new Map<string, UpdateHandler>();
  defaultHandler: DefaultHandler | undefined;
  private buffered: UpdateJob[] = [];

  constructor(
    private readonly run: Run,
    private readonly running: Handlers['running'],
  ) {}

  /** Validates and begins the update, or keeps it until there is a handler, which has to be in the same activation. */
  update(job: UpdateJob): void {
    const handler = this.find(job.name);
    if (handler === undefined) this.buffered.push(job);
    else updateStorage().run(Object.freeze<UpdateInfo>({ id: job.id, name: job.name }), () => this.begin(job, handler));
  }

  private find(name: string): UpdateHandler | undefined {
    const found = this.handlers.get(name);
    if (found || !this.defaultHandler) return found;
    const handler: DefaultHandler = this.defaultHandler;
    return { handler: (...args) => handler(name, ...args), unfinishedPolicy: 'WARN_AND_ABANDON' };
  }

  private begin(job: UpdateJob, handler: UpdateHandler): void {
    const { run } = this;
    let input: UpdateInput;
    try {
      if (!this.handlers.has(job.name)) checkUnreserved('update', job.name);
      if (job.runValidator && handler.validator) this.validate(handler.validator, job);
      // Decoded anew: the handler sees nothing of what the validator may have done to the arguments.
      input = this.inputOf(job);
    } catch (error) {
      this.reject(job, error);
      return;
    }
    run.commands.push({ updateAnswer: { id: job.id, accepted: {} } });
    const running = { name: job.name, id: job.id, unfinishedPolicy: handler.unfinishedPolicy };
    this.running.add(running);
    promised(() => this.handle(handler, input))
      .then((result) => this.succeed(job, result))
      .catch((error: unknown) => this.fail(job, error))
      .finally(() => this.running.delete(running));
  }

  private inputOf({ id: updateId, name, arguments: payloads, headers }: UpdateJob): UpdateInput {
    return { updateId, name, args: arrayFromPayloads(this.run.payloadConverter, payloads), headers };
  }

  /** Throws if the update is to be turned away. The validator decides at once, and only by what it reads. */
  private validate(validator: NonNullable<UpdateHandler['validator']>, job: UpdateJob): void {
    const call = this.run.inbound('validateUpdate', ({ args }) => {
      const returned: unknown = validator(...args);
      if (!(returned instanceof Promise)) return;
      // Whatever becomes of it: the answer is this error.
      returned.catch(() => undefined);
      throw new DeterminismViolationError(
        `The validator of update ${job.name} returned a Promise: it has to decide at once, from the arguments and the workflow's state`,
      );
    });
    this.run.readOnly.run('Update validators', () => call(this.inputOf(job)));
  }

  private handle({ handler }: UpdateHandler, input: UpdateInput): Promise<unknown> {
    return this.run.inbound('handleUpdate', async ({ args }) => await handler(...args))(input);
  }

  private reject({ id }: UpdateJob, thrown: unknown): void {
    const { commands, outcome } = this.run;
    commands.push({ updateAnswer: { id, rejected: outcome.safeFailureOf(ensureTemporalFailure(readable(thrown))) } });
  }

  private succeed({ id, name }: UpdateJob, result: unknown): void {
    const { commands, payloadConverter } = this.run;
    try {
      commands.push({ updateAnswer: { id, succeeded: payloadConverter.toPayload(result) } });
    } catch (error) {
      throw about(`The result of update ${name}`, error);
    }
  }

  /** Only failures are the update's own. All other errors are judged as the main function's. */
  private fail({ id }: UpdateJob, thrown: unknown): void {
    const { commands, outcome } = this.run;
    const error = readable(thrown);
    if (!(error instanceof TemporalFailure)) {
      outcome.fail(error);
      return;
    }
    try {
      commands.push({ updateAnswer: { id, failed: this.run.failureOf(error) } });
    } catch (why) {
      outcome.failTask(why);
    }
  }

  /** After a handler was set: what waited for it, in the order of arrival. */
  deliverBuffered(): void {
    for (;;) {
      const index = this.buffered.findIndex(({ name }) => this.defaultHandler !== undefined || this.handlers.has(name));
      if (index < 0) return;
      const [job] = this.buffered.splice(index, 1);
      this.update(job!);
    }
  }

  get areBuffered(): boolean {
    return this.buffered.length > 0;
  }

  /** At the end of an activation: turns away what has found no handler in it. */
  rejectBuffered(): void {
    const known = [...this.handlers.keys()].sort().join(' ');
    for (const job of this.buffered.splice(0)) {
      const message = `No registered handler for update: ${job.name}; known updates: [${known}]`;
      this.reject(job, ApplicationFailure.nonRetryable(message));
    }
  }
}
