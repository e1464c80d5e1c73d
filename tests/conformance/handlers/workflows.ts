/** The workflows of this behaviour, on their own because they are bundled. */

import { HandlerUnfinishedPolicy } from '@temporalio/common';
import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setCurrentDetails,
  setDefaultQueryHandler,
  setDefaultSignalHandler,
  setDefaultUpdateHandler,
  setHandler,
  sleep,
} from '@temporalio/workflow';

export const say = defineSignal<[word: string]>('say');
export const finish = defineSignal('finish');
export const allHeard = defineQuery<string[]>('all_heard');
export const ask = defineUpdate<string, [word: string]>('ask');

/** Handlers with names and such for everything else. */
export async function switchboard(): Promise<string[]> {
  const heard: string[] = [];
  let end = false;
  setHandler(say, (word) => void heard.push(`say ${word}`), { description: 'Something to write down' });
  setHandler(finish, () => void (end = true));
  setDefaultSignalHandler(async (name, ...args) => void heard.push(`any ${name} ${args}`));
  setHandler(allHeard, () => heard, { description: 'What was heard' });
  setDefaultQueryHandler((name, ...args) => `any ${name} ${args}`);
  setHandler(ask, (word) => `ask ${word}`, { description: 'Answers at once' });
  setDefaultUpdateHandler(async (name, ...args) => {
    await sleep(10);
    return `any ${name} ${args}`;
  });
  setCurrentDetails('at the switchboard');
  await condition(() => end);
  return heard;
}

export const step = defineSignal('step');
export const word = defineSignal<[word: string]>('word');
export const heardOf = defineQuery<string[]>('heard');
export const change = defineUpdate<string, [word: string]>('change');

/** Gets its handlers one after the other: `step` sets the next ones. */
export async function grows(): Promise<string[]> {
  const heard: string[] = [];
  let steps = 0;
  setHandler(step, () => void steps++);
  await condition(() => steps >= 1);
  // Signals that nobody handles wait for the first who does, in order.
  setHandler(word, (what) => void heard.push(`named ${what}`));
  setHandler(heardOf, () => heard);
  setHandler(change, (what) => `changed ${what}`);
  await condition(() => steps >= 2);
  setDefaultSignalHandler((name, ...args) => void heard.push(`${name} ${args}`));
  setDefaultQueryHandler((name, ...args) => `any ${name} ${args}`);
  setDefaultUpdateHandler(async (name, ...args) => `any ${name} ${args}`);
  const validator = (what: string) => {
    if (what === 'no') throw ApplicationFailure.create({ message: 'no', type: 'Refused' });
  };
  const later = async (what: string) => {
    await sleep(10);
    return `changed ${what} later`;
  };
  setHandler(change, later, { validator });
  await condition(() => steps >= 3);
  setHandler(word, undefined);
  setHandler(heardOf, undefined);
  setHandler(change, undefined);
  await condition(() => steps >= 4);
  return heard;
}

export const leave = defineSignal<[how: string]>('leave');
export const goOn = defineSignal('let_go');
export const allFinished = defineQuery<boolean>('all_finished');
export const signals = { warns: defineSignal('signal_that_warns'), isLeft: defineSignal('signal_that_is_left') };
export const updates = { warns: defineUpdate<string>('update_that_warns'), isLeft: defineUpdate<string>('update_that_is_left') };

/** Ends while its handlers run, or after them. */
export async function leaves(): Promise<string[]> {
  let how = '';
  let mayGo = false;
  const ended: string[] = [];
  const wait = async (name: string): Promise<string> => {
    await condition(() => mayGo);
    ended.push(name);
    return 'done';
  };
  const unfinishedPolicy = HandlerUnfinishedPolicy.ABANDON;
  setHandler(leave, (given) => void (how = given));
  setHandler(goOn, () => void (mayGo = true));
  setHandler(allFinished, () => allHandlersFinished());
  setHandler(signals.warns, async () => void (await wait('signal that warns')));
  setHandler(signals.isLeft, async () => void (await wait('signal that is left')), { unfinishedPolicy });
  setHandler(updates.warns, () => wait('update that warns'));
  setHandler(updates.isLeft, () => wait('update that is left'), { unfinishedPolicy });
  await condition(() => how !== '');
  if (how === 'after all') await condition(allHandlersFinished);
  if (how === 'with an error') throw ApplicationFailure.nonRetryable('leaves');
  return ended;
}
