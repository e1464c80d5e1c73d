/** The workflows of this behaviour, on their own because they are bundled. */

import { ApplicationFailure, sleep, workflowInfo } from '@temporalio/workflow';

export async function forever(): Promise<void> {
  await sleep('1 hour');
}

export async function retried(lucky: number): Promise<number> {
  const { attempt } = workflowInfo();
  if (attempt < lucky) {
    throw ApplicationFailure.create({ message: `attempt ${attempt}`, type: 'Unlucky', details: [attempt] });
  }
  return attempt;
}
