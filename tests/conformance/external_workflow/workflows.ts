/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  setHandler,
} from '@temporalio/workflow';

export const note = defineSignal<[number: number, text: string]>('note');
export const nothing = defineSignal('nothing');
export const soFar = defineQuery<unknown[]>('so_far');

/** Collects what it hears until it hears the last word; ends as cancelled when that is asked for. */
export async function listens(): Promise<unknown[]> {
  const heard: unknown[] = [];
  let last = false;
  setHandler(note, (number, text) => {
    heard.push([number, text]);
    last ||= number === 0 && text === 'last';
  });
  setHandler(nothing, () => void heard.push('nothing'));
  setHandler(soFar, () => heard);
  await condition(() => last);
  return heard;
}

/** What became of a delivery, in words that all languages share. */
async function fate(sent: Promise<unknown>): Promise<string> {
  try {
    await sent;
    return 'delivered';
  } catch (error) {
    if (error instanceof CancelledFailure) return 'cancelled';
    if (error instanceof ApplicationFailure) return 'not found';
    throw error;
  }
}

/** Sends these words one after the other. */
export async function speaks(to: string, runId: string, words: string[]): Promise<string> {
  const handle = getExternalWorkflowHandle(to, runId || undefined);
  const send = async () => {
    for (const [index, word] of words.entries()) {
      if (word === 'nothing') await handle.signal(nothing);
      else await handle.signal('note', word === 'last' ? 0 : index + 1, word);
    }
  };
  return await fate(send());
}

/** Sends so many words without waiting in between. */
export async function speaksAtOnce(to: string, count: number): Promise<void> {
  const handle = getExternalWorkflowHandle(to);
  await Promise.all(Array.from({ length: count }, (_, index) => handle.signal(note, index + 1, 'word')));
  await handle.signal(note, 0, 'last');
}

export async function cancels(to: string, runId: string): Promise<string> {
  return await fate(getExternalWorkflowHandle(to, runId || undefined).cancel());
}

/** Cancels a signal in the step in which it sends it: nothing is sent. */
export async function takesBack(to: string): Promise<string> {
  const scope = new CancellationScope();
  const sending = scope.run(() => getExternalWorkflowHandle(to).signal(note, 1, 'never'));
  scope.cancel();
  return await fate(sending);
}
