/** A validator turns an update away before anything of it is recorded: no event, no change, and its id is free again. */

import { strict as assert } from 'node:assert';
import { type WorkflowHandle, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { type Env, failure } from '../harness/harness';
import { finish, giveBack, leftOver, letGo, stock, take } from './workflows';

// Event types of Temporal's API.
const [ACCEPTED, COMPLETED] = [41, 43];

async function rejection(call: Promise<unknown>): Promise<ApplicationFailure> {
  const { cause } = await failure(call, WorkflowUpdateFailedError);
  assert(cause instanceof ApplicationFailure, String(cause));
  return cause;
}

async function events(handle: WorkflowHandle): Promise<number[]> {
  return ((await handle.fetchHistory()).events ?? []).map(({ eventType }) => eventType as number);
}

const ofUpdates = (kinds: number[]): number[] => kinds.filter((kind) => kind === ACCEPTED || kind === COMPLETED);

export async function check(env: Env): Promise<void> {
  const handle = await env.start(stock);
  assert.equal(await handle.executeUpdate(take, { args: ['now', 4] }), 6);
  const before = await events(handle);

  // Nothing is left of what is turned away, however it is asked for; whoever started it hears it by the result.
  const tooMany = { args: ['now', 7] as [string, number], updateId: 'too many' };
  const started = await handle.startUpdate(take, { ...tooMany, waitForStage: 'ACCEPTED' });
  for (const call of [started.result(), handle.executeUpdate(take, tooMany)]) {
    const { message, type, details } = await rejection(call);
    assert.deepEqual([message, type, details], ['only 6 left', 'TooMany', [6]]);
  }
  const { message, type } = await rejection(handle.executeUpdate(giveBack, { args: [-1] }));
  assert.deepEqual([message, type], ['nobody gives less than nothing', 'RangeError']);
  assert.equal(await handle.query(leftOver), 6);
  assert.deepEqual(await events(handle), before);

  // Its id can be used once more, by one that is accepted.
  assert.equal(await handle.executeUpdate(take, { args: ['now', 6], updateId: 'too many' }), 0);
  assert.equal(await handle.executeUpdate(take, { args: ['now', 100], updateId: 'too many' }), 0, 'it is known by now');
  assert.deepEqual(ofUpdates(await events(handle)), [ACCEPTED, COMPLETED, ACCEPTED, COMPLETED]);

  // One that is under way counts for the next one's validator: of ten that ask for three, three get them.
  assert.equal(await handle.executeUpdate(giveBack, { args: [10] }), 10);
  const names = Array.from({ length: 10 }, (_, number) => `c${number}`);
  const updates = await Promise.all(
    names.map((name) => handle.startUpdate(take, { args: [name, 3], waitForStage: 'ACCEPTED' })),
  );
  assert.equal(await handle.query(leftOver), 1);
  for (const name of names) await handle.signal(letGo, name);
  const answers = await Promise.allSettled(updates.map((update) => update.result()));
  const taken = answers.filter((answer) => answer.status === 'fulfilled');
  assert.deepEqual(taken.map(({ value }) => value), [1, 1, 1]);
  for (const answer of answers) {
    if (answer.status === 'rejected') assert.equal((await rejection(Promise.reject(answer.reason))).type, 'TooMany');
  }

  await handle.signal(finish);
  assert.equal((await handle.result()).length, 5);
  const kinds = ofUpdates(await events(handle)).sort((a, b) => a - b);
  assert.deepEqual(kinds, [...Array(6).fill(ACCEPTED), ...Array(6).fill(COMPLETED)]);
}
