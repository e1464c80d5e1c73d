/** A workflow that starts a child with the options that it is given, which may be anything. */

import { executeChild, getExternalWorkflowHandle, startChild } from '@durably/workflow';

export async function starts(workflow: any, options: any): Promise<unknown> {
  return await executeChild(workflow, options);
}

/** What the call says when it is made wrongly. */
export async function refused(call: string, ...args: any[]): Promise<string> {
  try {
    await calls[call]!(...args);
    return 'accepted';
  } catch (error) {
    return String(error);
  }
}

const calls: Record<string, (...args: any[]) => unknown> = {
  startChild,
  executeChild,
  anonymous: () => executeChild(anonymous()),
  handle: getExternalWorkflowHandle,
  signal: (...args) => getExternalWorkflowHandle('w').signal(args[0], ...args.slice(1)),
};

function anonymous(): () => Promise<void> {
  const functions = [async () => {}];
  return functions[0]!;
}
