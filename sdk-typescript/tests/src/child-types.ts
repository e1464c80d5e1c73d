/** What the compiler accepts and refuses of calls to other workflows. Compiled, never run. */

import {
  type ChildWorkflowHandle,
  ChildWorkflowCancellationType,
  defineQuery,
  defineSignal,
  executeChild,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  startChild,
} from '@durably/workflow';

const approve = defineSignal<[string, number]>('approve');
const status = defineQuery<string>('status');

async function order(_id: string, _urgent?: boolean): Promise<number> {
  return 1;
}

async function nothing(): Promise<void> {}

export async function children(): Promise<void> {
  const handle: ChildWorkflowHandle<typeof order> = await startChild(order, { args: ['a'], workflowId: 'w' });
  const result: number = await handle.result();
  const same: number = await executeChild(order, {
    args: ['a', true],
    cancellationType: ChildWorkflowCancellationType.TRY_CANCEL,
    parentClosePolicy: ParentClosePolicy.ABANDON,
    workflowRunTimeout: '2 days',
  });
  const none: void = await executeChild(nothing);
  const named: unknown = await executeChild('by name', { args: [1, 'two'] });
  const typed: number = await executeChild<typeof order>('order', { args: ['a'] });
  await startChild('by name');
  await handle.signal(approve, 'Ann', 1);
  void [result, same, none, named, typed, handle.firstExecutionRunId];
  // @ts-expect-error the argument is missing
  await executeChild(order, {});
  // @ts-expect-error the options are missing, and with them the argument
  await executeChild(order);
  // @ts-expect-error the argument is no number
  await startChild(order, { args: [1] });
  // @ts-expect-error there is no such argument
  await startChild(nothing, { args: [1] });
  // @ts-expect-error there is no such policy
  await startChild(nothing, { parentClosePolicy: 'KILL' });
  // @ts-expect-error an argument is missing
  await handle.signal(approve, 'Ann');
  // @ts-expect-error children answer no queries of their parents
  await handle.query(status);
}

export async function others(): Promise<void> {
  const handle = getExternalWorkflowHandle('w', 'r');
  await handle.signal(approve, 'Ann', 1);
  await handle.signal('by name', 1, 2);
  await handle.cancel();
  void [handle.workflowId.length, handle.runId?.length];
  // @ts-expect-error the id is missing
  getExternalWorkflowHandle();
  // @ts-expect-error a query is no signal
  await handle.signal(status);
  // @ts-expect-error nobody waits for the result of a workflow that isn't a child
  await handle.result();
}
