/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ApplicationFailure,
  CancelledFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  currentUpdateInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
  executeChild,
  proxyActivities,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { activities } from './behaviour';

const { double } = proxyActivities<typeof activities>({ startToCloseTimeout: '10 seconds' });

export const note = defineSignal<[what: string]>('note');
export const takeTurn = defineSignal<[name: string]>('take_turn');
export const finish = defineSignal<[how: string]>('finish');
export const allDone = defineQuery<string[]>('all_done');
export const add = defineUpdate<number, [number: number]>('add');
export const nothing = defineUpdate<void>('nothing');
export const withTwo = defineUpdate<unknown[], [first: string, second: number[]]>('with two');
export const waitTurn = defineUpdate<string, [name: string]>('wait_turn');
export const work = defineUpdate<number, [number: number]>('work');
export const fail = defineUpdate<void, [late: boolean]>('fail');
export const failWithCancel = defineUpdate<void>('fail_with_cancel');
export const who = defineUpdate<string[]>('who');

/** A child: one more than it is given. */
export async function adds(number: number): Promise<number> {
  return number + 1;
}

/** Keeps a balance, and a list of what was done to it. */
export async function account(): Promise<number> {
  let balance = 0;
  let end = '';
  const done: string[] = [];
  const turns = new Set<string>();
  const put = (number: number): number => {
    balance += number;
    done.push(`add ${number}`);
    return balance;
  };
  setHandler(note, (what) => void done.push(what));
  setHandler(takeTurn, (name) => void turns.add(name));
  setHandler(finish, (how) => void (end = how));
  setHandler(allDone, () => done);
  setHandler(add, put);
  setHandler(nothing, () => void done.push('nothing'));
  setHandler(withTwo, async (first, second) => [second, first]);
  // Begins at once, ends when `take_turn` has its name.
  setHandler(waitTurn, async (name) => {
    done.push(`begin ${name}`);
    await condition(() => turns.has(name));
    done.push(`end ${name}`);
    return `it was ${name}'s turn`;
  });
  // A timer, an activity, a child, and another handler.
  setHandler(work, async (given) => {
    await sleep(10);
    const doubled = await double(given);
    const number = await executeChild(adds, { args: [doubled], workflowId: `${workflowInfo().workflowId}-${doubled}` });
    return put(number);
  });
  setHandler(fail, async (late) => {
    if (late) await sleep(10);
    throw ApplicationFailure.create({ message: 'no money', type: 'Poor', details: ['a detail'] });
  });
  setHandler(failWithCancel, async () => {
    await sleep(10);
    throw new CancelledFailure('the update is off');
  });
  setHandler(who, async () => {
    const before = currentUpdateInfo();
    await sleep(10);
    const after = currentUpdateInfo();
    return [before, after].flatMap((info) => [info?.id ?? '', info?.name ?? '']);
  });
  if (currentUpdateInfo() !== undefined) throw ApplicationFailure.nonRetryable('the main function is no update');
  await condition(() => end !== '');
  if (end === 'next') await continueAsNew<typeof account>();
  if (end === 'patiently') await condition(allHandlersFinished);
  return balance;
}
