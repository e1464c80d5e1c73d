/**
 * What a run asks of other workflows, and what its code waits for until that is done: children that it starts, signals
 * and cancellations that it sends.
 *
 * How many turns a promise takes here is that of the official SDK: what follows it keeps its place in histories.
 */

import { NamespaceNotFoundError } from '@durably/common/lib/errors';
import { WorkflowExecutionAlreadyStartedError } from '@durably/common/lib/failure';
import type { durably } from '@durably/proto';
import type { CancellationScope } from '../cancellation-scope';
import type { Outbound, StartedChild } from './chains';
import type { Failure } from './host';
import { type Pending, forgetting, isCancelled, take } from './pending';
import type { Run } from './run';

/** `StartChildWorkflowExecutionFailedCause` of the API. */
const WORKFLOW_ALREADY_EXISTS = 1;
const NAMESPACE_NOT_FOUND = 2;

export class Children implements Pick<Outbound, 'startChildWorkflowExecution' | 'signalWorkflow'> {
  private readonly starts = new Map<number, Pending>();
  /** Of all children that have not ended, whether or not they have started. */
  private readonly results = new Map<number, Pending>();
  private readonly signals = new Map<number, Pending>();
  private readonly cancels = new Map<number, Pending>();
  private readonly last = { child: 0, signal: 0, cancel: 0 };

  constructor(private readonly run: Run) {}

  /** What the code waits for; a child once. */
  get pending(): Pending[] {
    return [...this.results.values(), ...this.signals.values(), ...this.cancels.values()];
  }

  get size(): number {
    return this.results.size + this.signals.size + this.cancels.size;
  }

  startChildWorkflowExecution(input: Parameters<Outbound['startChildWorkflowExecution']>[0]): Promise<StartedChild> {
    const { commands } = this.run;
    this.run.readOnly.check();
    const { child, scope, summary, details } = input;
    const seq = ++this.last.child;
    const at = new Error();
    let forget: (() => void) | undefined;
    const started = new Promise<string>((resolve, reject) => {
      if (isCancelled(scope, reject)) return;
      if (scope.cancellable) forget = scope.onCancel(() => commands.issue({ cancelChildWorkflow: { seq } }, at));
      commands.issue({ startChildWorkflow: { ...child, seq } }, at, summary, details);
      const fail = (error: unknown) => {
        forget?.();
        this.results.delete(seq);
        reject(error);
      };
      this.starts.set(seq, { resolve, reject: fail, at });
    });
    const completed = new Promise<unknown>((resolve, reject) => {
      started.catch(reject);
      if (this.starts.has(seq)) this.results.set(seq, forgetting({ resolve, reject, at }, forget));
    });
    // Who starts a child may never ask what became of it.
    completed.catch(() => undefined);
    return Promise.resolve<StartedChild>([started, completed]);
  }

  resolveStart({ seq, started, failed, cancelled }: durably.core.v1.ResolveChildWorkflowStart): void {
    const pending = take(this.starts, seq);
    if (pending === undefined) return;
    if (started) pending.resolve(started.runId);
    else if (failed) pending.reject(this.run.thrownAt(this.startError(failed), pending.at));
    else if (cancelled) pending.reject(this.run.errorOf(cancelled, pending.at));
    else this.run.outcome.failTask(new TypeError('the core sent the start of a child that this SDK does not know; update @durably/worker'));
  }

  private startError({ cause, workflowId, workflowType }: durably.core.v1.IChildWorkflowStartFailed): Error {
    switch (cause) {
      case WORKFLOW_ALREADY_EXISTS:
        return new WorkflowExecutionAlreadyStartedError('Workflow execution already started', workflowId ?? '', workflowType ?? '');
      case NAMESPACE_NOT_FOUND:
        return new NamespaceNotFoundError(this.run.info.namespace);
      default:
        throw new TypeError(`the core sent a child that failed to start by the unknown cause ${cause}; update @durably/worker`);
    }
  }

  resolveResult({ seq, result }: durably.core.v1.ResolveChildWorkflow): void {
    const pending = take(this.results, seq);
    if (pending === undefined) return;
    const { completed, failed, cancelled } = result ?? {};
    const failure = failed ?? cancelled;
    if (completed) pending.resolve(completed.result ? this.run.payloadConverter.fromPayload(completed.result) : undefined);
    else if (failure) pending.reject(this.run.errorOf(failure, pending.at));
    else this.run.outcome.failTask(new TypeError('the core sent the end of a child that this SDK does not know; update @durably/worker'));
  }

  signalWorkflow({ signal, scope }: Parameters<Outbound['signalWorkflow']>[0]): Promise<void> {
    const { commands } = this.run;
    this.run.readOnly.check();
    const seq = ++this.last.signal;
    const at = new Error();
    return new Promise((resolve, reject) => {
      if (isCancelled(scope, reject)) return;
      const takeBack = () => commands.issue({ cancelSignalExternalWorkflow: { seq } }, at);
      const forget = scope.cancellable ? scope.onCancel(takeBack) : undefined;
      commands.issue({ signalExternalWorkflow: { ...signal, seq } }, at);
      this.signals.set(seq, forgetting({ resolve, reject, at }, forget));
    });
  }

  resolveSignal({ seq, failure }: durably.core.v1.ResolveSignalExternalWorkflow): void {
    this.settle(take(this.signals, seq), failure);
  }

  /** Asks another workflow to end as cancelled. When the scope is cancelled, the code waits no longer; the request stands. */
  cancelWorkflow(workflow: durably.core.v1.IExternalWorkflow, scope: CancellationScope): Promise<void> {
    const { commands } = this.run;
    this.run.readOnly.check();
    const seq = ++this.last.cancel;
    const at = new Error();
    return new Promise((resolve, reject) => {
      if (isCancelled(scope, reject)) return;
      const forget = scope.cancellable ? scope.onCancel(reject) : undefined;
      commands.issue({ requestCancelExternalWorkflow: { seq, workflow } }, at);
      this.cancels.set(seq, forgetting({ resolve, reject, at }, forget));
    });
  }

  resolveCancel({ seq, failure }: durably.core.v1.ResolveRequestCancelExternalWorkflow): void {
    this.settle(take(this.cancels, seq), failure);
  }

  private settle(pending: Pending | undefined, failure: Failure | null | undefined): void {
    if (failure) pending?.reject(this.run.errorOf(failure, pending.at));
    else pending?.resolve(undefined);
  }
}
