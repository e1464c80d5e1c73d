/** What changes of the official SDK a history was made with is in its flags: ours are read by it, and we read its. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Activations, kinds } from './activations';

test("a time-out's timer is cancelled by its flag, which the history gets", async () => {
  const activations = await Activations.of('time');
  const answer = (options: object) => {
    const { run, jobs } = activations.begin('inTime');
    const { commands, usedFlags } = activations.answer(run, jobs, options);
    return { kinds: kinds(commands), isUsed: usedFlags.includes(1) };
  };
  const tidy = ['startTimer', 'cancelTimer', 'completeWorkflow'];
  assert.deepEqual(answer({}), { kinds: tidy, isUsed: true });
  assert.deepEqual(answer({ isReplaying: true, availableFlags: [1] }), { kinds: tidy, isUsed: false });
  // Of a release before there was the flag.
  assert.deepEqual(answer({ isReplaying: true }), { kinds: ['startTimer', 'completeWorkflow'], isUsed: false });
});
