/** A workflow that waits for people. */

// snippet: workflow
import { condition, defineQuery, defineSignal, proxyActivities, setHandler } from '@durably/workflow';

const { tell } = proxyActivities<{ tell(answer: string): Promise<void> }>({ startToCloseTimeout: '1 minute' });

export const decide = defineSignal<[answer: string]>('decide');
export const state = defineQuery<string>('state');

export async function approval(): Promise<string> {
  let answer: string | undefined;
  setHandler(decide, (given) => void (answer = given));
  setHandler(state, () => answer ?? 'waiting');
  await condition(() => answer !== undefined, '3 days');
  answer ??= 'nobody answered';
  await tell(answer);
  return answer;
}
// end snippet
