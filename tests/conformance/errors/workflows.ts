/** The workflows of this behaviour, on their own because they are bundled. */

import { ApplicationFailure, condition, defineSignal, setHandler } from '@temporalio/workflow';

export const finish = defineSignal('finish');

export async function ends(fail: boolean): Promise<string> {
  let end = false;
  setHandler(finish, () => {
    end = true;
  });
  if (fail) {
    throw ApplicationFailure.create({ message: 'deliberate', type: 'Deliberate', nonRetryable: true, details: [{ code: 7 }] });
  }
  await condition(() => end);
  return 'ended';
}
