/** Sending signals to other workflows. */

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
