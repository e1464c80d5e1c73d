/**
 * Handlers of signals, queries and updates: which one is called, what tools are told of them, and what becomes of those that run
 * when their workflow ends.
 *
 * Which handler gets a message is the same in every language; how a run without a handler takes an update is each SDK's own.
 */

import { strict as assert } from 'node:assert';
import { QueryNotRegisteredError, WorkflowFailedError, WorkflowUpdateFailedError, type WorkflowUpdateHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { type Env, eventually, failure, logged } from '../harness/harness';
import {
  allFinished,
  allHeard,
  ask,
  change,
  finish,
  goOn,
  grows,
  heardOf,
  leave,
  leaves,
  say,
  signals,
  step,
  switchboard,
  updates,
  word,
} from './workflows';

export async function check(env: Env): Promise<void> {
  await checkSwitchboard(env);
  await checkGrows(env);
  await checkLeaves(env);
}

async function refusal(call: Promise<unknown>): Promise<ApplicationFailure> {
  const { cause } = await failure(call, WorkflowUpdateFailedError);
  assert(cause instanceof ApplicationFailure, String(cause));
  return cause;
}

interface Definition {
  name?: string;
  description?: string;
}

async function checkSwitchboard(env: Env): Promise<void> {
  const handle = await env.start(switchboard);
  await handle.signal(say, 'one');
  await handle.signal('shout', 'two', 'three');
  await handle.signal('whisper');
  const heard = ['say one', 'any shout two,three', 'any whisper '];
  assert.deepEqual(await handle.query(allHeard), heard);
  assert.equal(await handle.query('what', 'x', 'y'), 'any what x,y');
  assert.equal(await handle.executeUpdate(ask, { args: ['me'] }), 'ask me');
  assert.equal(await handle.executeUpdate('tell', { args: ['me', 'more'] }), 'any tell me,more');

  const metadata = await handle.query<Record<string, any>>('__temporal_workflow_metadata');
  const { definition, currentDetails } = metadata;
  assert.deepEqual([definition.type, currentDetails], ['switchboard', 'at the switchboard']);
  const told = (definitions: Definition[]) => definitions.map(({ name, description = '' }) => [name, description]);
  assert.deepEqual(told(definition.signalDefinitions), [['say', 'Something to write down'], ['finish', '']]);
  const queries = told(definition.queryDefinitions);
  // Those that every workflow has are listed too; which ones is each SDK's own.
  assert.deepEqual(queries.filter(([name]) => !name?.startsWith('__')), [['all_heard', 'What was heard']]);
  const builtIn = queries.map(([name]) => name).filter((name) => name?.startsWith('__'));
  assert.deepEqual(builtIn, ['__stack_trace', '__enhanced_stack_trace', '__temporal_workflow_metadata']);
  assert.deepEqual(told(definition.updateDefinitions), [['ask', 'Answers at once']]);
  assert.match(await handle.query<string>('__stack_trace'), /switchboard/);

  await handle.signal(finish);
  assert.deepEqual(await handle.result(), heard);
}

async function checkGrows(env: Env): Promise<void> {
  const handle = await env.start(grows);
  for (const what of ['a', 'b']) await handle.signal(word, what);
  await handle.signal('other', 'c');
  assert.match((await refusal(handle.executeUpdate(change, { args: ['a'] }))).message, /change/);
  await handle.signal(step);
  assert.deepEqual(await handle.query(heardOf), ['named a', 'named b']);
  assert.equal(await handle.executeUpdate(change, { args: ['a'] }), 'changed a');
  assert.equal(await handle.executeUpdate(change, { args: ['no'] }), 'changed no', 'there is no validator yet');
  assert.match((await refusal(handle.executeUpdate('another', { args: ['a'] }))).message, /another/);
  await handle.signal('other', 'd');
  await handle.signal(step);
  assert.deepEqual(await handle.query(heardOf), ['named a', 'named b', 'other c', 'other d']);
  assert.equal(await handle.executeUpdate(change, { args: ['a'] }), 'changed a later');
  assert.equal((await refusal(handle.executeUpdate(change, { args: ['no'] }))).type, 'Refused');
  assert.equal(await handle.executeUpdate('another', { args: ['a'] }), 'any another a');
  assert.equal(await handle.query('another', 'a'), 'any another a');
  await handle.signal(word, 'e');
  await handle.signal(step);
  assert.equal(await handle.query('heard', 'x'), 'any heard x');
  assert.equal(await handle.executeUpdate(change, { args: ['no'] }), 'any change no');
  await handle.signal(word, 'f');
  await handle.signal(step);
  assert.deepEqual(await handle.result(), ['named a', 'named b', 'other c', 'other d', 'named e', 'word f']);
  const early = await env.client.workflow.start(grows, { workflowId: env.newId(), taskQueue: env.taskQueue });
  assert.match((await failure(early.query('heard'), QueryNotRegisteredError)).message, /heard/);
  await early.terminate();
}

async function checkLeaves(env: Env): Promise<void> {
  const open: WorkflowUpdateHandle<string>[] = [];

  /** A run with one handler of each of these names under way. */
  async function begin(...names: string[]) {
    const handle = await env.start(leaves);
    assert.equal(await handle.query(allFinished), true);
    for (const name of names) {
      if (name.startsWith('update')) open.push(await handle.startUpdate<string, []>(name, { updateId: name, waitForStage: 'ACCEPTED' }));
      else await handle.signal(name);
    }
    assert.equal(await handle.query(allFinished), false);
    return handle;
  }

  /** What was warned of when it left: the kinds of handlers that a warning names, and the update by its id. */
  async function warned(how: string, ...names: string[]): Promise<string[]> {
    const handle = await begin(...names);
    await handle.signal(leave, how);
    if (how === 'with an error') await failure(handle.result(), WorkflowFailedError);
    else assert.deepEqual(await handle.result(), []);
    const said = () =>
      logged.filter(({ message, meta }) => message.includes('[TMPRL1102]') && meta?.workflowId === handle.workflowId);
    const expected = how === 'with an error' ? 0 : names.filter((name) => name.endsWith('warns')).length;
    await eventually('it warns', async () => said().length >= expected);
    return said().map(({ message }) => {
      const [name] = names.filter((each) => message.includes(`"name":"${each}"`));
      const kind = message.includes('update handler') ? 'update' : 'signal';
      assert(kind === 'signal' || message.includes(`"id":"${name}"`), message);
      return `${kind} ${name}`;
    });
  }

  assert.deepEqual(await warned('now', 'signal_that_warns'), ['signal signal_that_warns']);
  assert.deepEqual(await warned('now', 'update_that_warns'), ['update update_that_warns']);
  const both = await warned('now', 'update_that_warns', 'signal_that_warns');
  assert.deepEqual(both, ['update update_that_warns', 'signal signal_that_warns']);
  // Whoever fails has not forgotten them: Python warns then too.
  assert.deepEqual(await warned('with an error', 'update_that_warns', 'signal_that_warns'), []);
  assert.deepEqual(await warned('now', 'signal_that_is_left', 'update_that_is_left'), []);
  for (const update of open) assert.equal((await refusal(update.result())).type, 'AcceptedUpdateCompletedWorkflow');
  open.length = 0;
  const all = [signals.warns, updates.warns, signals.isLeft, updates.isLeft].map(({ name }) => name);
  const handle = await begin(...all);
  await handle.signal(leave, 'after all');
  assert.equal(await handle.query(allFinished), false);
  await handle.signal(goOn);
  assert.deepEqual(await handle.result(), all.map((name) => name.replaceAll('_', ' ')));
  assert.deepEqual(await Promise.all(open.map((update) => update.result())), ['done', 'done']);
  assert.deepEqual(logged.filter(({ message, meta }) => message.includes('[TMPRL1102]') && meta?.workflowId === handle.workflowId), []);
}
