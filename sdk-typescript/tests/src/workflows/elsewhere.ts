/** A workflow that another worker's are the parents of. */

import { workflowInfo } from '@durably/workflow';

export async function elsewhere(...args: unknown[]): Promise<unknown[]> {
  const { workflowId, parent, taskQueue } = workflowInfo();
  return [...args, workflowId, parent?.workflowId, taskQueue];
}
