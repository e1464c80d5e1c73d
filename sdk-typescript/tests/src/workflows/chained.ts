/** A workflow that uses each of the links between a run and its code. */

import {
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  executeChild,
  getExternalWorkflowHandle,
  proxyActivities,
  setHandler,
  sleep,
} from '@durably/workflow';

const { echo } = proxyActivities<{ echo(value: string): Promise<string> }>({ startToCloseTimeout: '1 minute' });

export async function chained(name: string): Promise<void> {
  let told = '';
  setHandler(defineSignal<[string]>('signal'), (value) => void (told = value));
  setHandler(defineQuery<string>('query'), () => name);
  void sleep('1 second');
  void echo(name);
  void executeChild('child', { workflowId: 'w-1' });
  void getExternalWorkflowHandle('w-2').signal('hello', name);
  await condition(() => told !== '');
  await continueAsNew(told);
}
