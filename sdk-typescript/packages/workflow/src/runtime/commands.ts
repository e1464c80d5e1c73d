/**
 * The commands of a run, and what its code waits for until they are done: timers, activities and conditions. What it
 * asks of other workflows is in `children`.
 */

import { cutoffStackTrace } from '@durably/common/lib/converter/failure-converter';
import { msToTs } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import type { CancellationScope } from '../cancellation-scope';
import type { Outbound } from './chains';
import { host } from './globals';
import type { Command } from './host';
import { type Pending, forgetting, isCancelled, take } from './pending';
import type { Run } from './run';

export class Commands implements Pick<Outbound, 'startTimer' | 'scheduleActivity'> {
  /** Of `setTimeout`, by what it has returned. */
  readonly timeouts = new Map<number, CancellationScope>();
  private issued: Command[] = [];
  private readonly timers = new Map<number, Pending>();
  private readonly activities = new Map<number, Pending>();
  private readonly conditions = new Map<number, Pending & { fn: () => boolean }>();
  private readonly last = { timer: 0, activity: 0, condition: 0 };

  constructor(private readonly run: Run) {}

  /** Forgets what was issued: it has been answered. */
  begin(): void {
    this.issued = [];
  }

  get all(): Command[] {
    return this.issued;
  }

  /** How much the code waits for. */
  get pending(): number {
    return this.timers.size + this.activities.size + this.conditions.size + this.run.children.size;
  }

  /** Adds a command that isn't the code's: an answer, or how the run ends. */
  push(command: Command): void {
    this.issued.push(command);
  }

  /** Adds a command of the code's; `at` tells where. Also when the run has ended: what goes on in the same activation counts. */
  issue(command: Command, at: Error, summary?: string, details?: string): void {
    if (this.run.isReplaying) command.location = host().locate(at.stack);
    const shown = (text: string | undefined) => (text ? this.run.payloadConverter.toPayload(text) : undefined);
    if (summary || details) command.userMetadata = { summary: shown(summary), details: shown(details) };
    this.issued.push(command);
  }

  /** Resolves after the time; rejects when the scope is cancelled. */
  startTimer({ millis, scope, summary }: Parameters<Outbound['startTimer']>[0]): Promise<void> {
    this.run.readOnly.check();
    const seq = ++this.last.timer;
    const at = new Error();
    return new Promise((resolve, reject) => {
      if (isCancelled(scope, reject)) return;
      const forget = !scope.cancellable
        ? undefined
        : scope.onCancel((error) => {
            if (!this.timers.delete(seq)) return;
            this.issue({ cancelTimer: { seq } }, at);
            reject(error);
          });
      this.issue({ startTimer: { seq, startToFireTimeout: msToTs(Math.max(1, millis)) } }, at, summary);
      this.timers.set(seq, forgetting({ resolve, reject, at }, forget));
    });
  }

  /** The number of the timer that was begun last. */
  get lastTimer(): number {
    return this.last.timer;
  }

  fireTimer({ seq }: durably.core.v1.FireTimer): void {
    take(this.timers, seq)?.resolve(undefined);
  }

  scheduleActivity({ activity, scope, summary }: Parameters<Outbound['scheduleActivity']>[0]): Promise<unknown> {
    this.run.readOnly.check();
    const seq = ++this.last.activity;
    const at = new Error();
    return new Promise((resolve, reject) => {
      if (isCancelled(scope, reject)) return;
      const forget = !scope.cancellable
        ? undefined
        : scope.onCancel(() => {
            if (this.activities.has(seq)) this.issue({ requestCancelActivity: { seq } }, at);
          });
      this.issue({ scheduleActivity: { ...activity, seq } }, at, summary);
      this.activities.set(seq, forgetting({ resolve, reject, at }, forget));
    });
  }

  resolveActivity(job: durably.core.v1.ResolveActivity): void {
    const pending = take(this.activities, job.seq);
    if (pending === undefined) return;
    const { completed, failed, cancelled } = job.result ?? {};
    if (completed) {
      pending.resolve(completed.result ? this.run.payloadConverter.fromPayload(completed.result) : undefined);
      return;
    }
    const failure = failed ?? cancelled;
    if (failure) pending.reject(this.run.errorOf(failure, pending.at));
    else this.run.outcome.failTask(new TypeError('the core sent the end of an activity that this SDK does not know; update @durably/worker'));
  }

  /** Resolves when the function returns true; it is asked whenever something has happened. */
  waitFor(fn: () => boolean, scope: CancellationScope): Promise<void> {
    this.run.readOnly.check();
    return new Promise((resolve, reject) => {
      if (isCancelled(scope, reject)) return;
      const seq = ++this.last.condition;
      const forget = !scope.cancellable
        ? undefined
        : scope.onCancel((error) => {
            this.conditions.delete(seq);
            reject(error);
          });
      if (fn()) {
        forget?.();
        resolve();
        return;
      }
      this.conditions.set(seq, { fn, ...forgetting({ resolve, reject, at: new Error() }, forget) });
    });
  }

  get hasConditions(): boolean {
    return this.conditions.size > 0;
  }

  /** Settles the conditions that have become true, in the order in which they were waited for. */
  settleConditions(): number {
    let settled = 0;
    for (const [seq, condition] of this.conditions) {
      try {
        if (!condition.fn()) continue;
      } catch (error) {
        this.run.outcome.fail(error);
        return 0;
      }
      this.conditions.delete(seq);
      condition.resolve(undefined);
      settled++;
    }
    return settled;
  }

  /** Where the run waits, as stack traces of the user's code; each once. */
  stacks(): string[] {
    const all = [...this.activities.values(), ...this.run.children.pending, ...this.timers.values(), ...this.conditions.values()];
    const stacks = all.map(({ at }) => cutoffStackTrace(host().mapStack(at.stack ?? '')));
    return [...new Set(stacks)].filter((stack) => stack !== '');
  }
}
