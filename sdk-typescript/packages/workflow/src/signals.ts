/** Sending signals to other workflows, and what can't be sent. */

import type { SignalDefinition } from '@durably/common';
import type { durably } from '@durably/proto';
import { argumentsOf } from './arguments';
import { CancellationScope } from './cancellation-scope';
import { checkRequiredText } from './runtime/checks';
import { promised } from './runtime/chains';
import { currentRun } from './runtime/current';

type Target = Pick<durably.core.v1.ISignalExternalWorkflow, 'workflow' | 'childWorkflowId'>;

/** Rejects, and doesn't throw, with what is wrong with the call. */
export function sendSignal(target: Target, definition: SignalDefinition<any> | string, args: unknown[]): Promise<void> {
  return promised(() => {
    const run = currentRun('Workflow.signal(...)');
    const signalName = nameOf(definition);
    const payloads = argumentsOf(`Signal ${signalName}`, args, run.payloadConverter);
    return run.signalWorkflow({ ...target, signalName, arguments: payloads, headers: {} }, CancellationScope.current());
  });
}

/** What only clients can do to a workflow, whether the caller knows the types or not. */
const OF_CLIENTS = ['executeUpdate', 'startUpdate', 'getUpdateHandle', 'query'];

/** The handle of another workflow, which says so when it is used as a client's. */
export function notOfClients<T extends object>(handle: T): T {
  for (const name of OF_CLIENTS) {
    const value = (): never => {
      throw new TypeError(`${name}: a workflow can't send updates or queries to another one. Send it a signal, or use a client in an activity`);
    };
    Object.defineProperty(handle, name, { value, configurable: true });
  }
  return handle;
}

function nameOf(definition: unknown): string {
  if (typeof definition !== 'object' || definition === null) {
    checkRequiredText('The name of a signal', definition);
    return definition as string;
  }
  const { type, name } = definition as { type?: unknown; name?: unknown };
  if (type !== 'signal') throw new TypeError(`Only signals can be sent, by a name or what defineSignal returns; this is of type ${String(type)}`);
  checkRequiredText('The name of a signal', name);
  return name as string;
}
