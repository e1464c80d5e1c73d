/** Queries answer from a run's state without changing it: while it runs, after it has ended, and with errors. */

import { strict as assert } from 'node:assert';
import { QueryNotRegisteredError } from '@temporalio/client';
import { type Env, failure } from '../harness/harness';
import { answers, broken, finish, go, where, withArgs } from './workflows';

const STARTED = 1;
const COMPLETED = 2;

export async function check(env: Env): Promise<void> {
  const handle = await env.start(answers);
  assert.equal(await handle.query(where), 'running');
  await handle.signal(go);
  assert.equal(await handle.query(where), 'gone', 'a query sees the signals acknowledged before it');
  assert.equal(await handle.query(withArgs, 2, 3), 5);
  assert.match((await failure(handle.query(broken), QueryNotRegisteredError)).message, /this query is broken/);
  assert.match((await failure(handle.query('no-such-query'), QueryNotRegisteredError)).message, /no-such-query/);
  await handle.signal(finish);
  assert.equal(await handle.result(), 'ended');
  assert.equal(await handle.query(where), 'ended', 'a closed run answers as well');
  const kinds = (await handle.fetchHistory()).events?.map((event) => event.eventType) ?? [];
  assert.equal(kinds.filter((kind) => kind === STARTED).length, 1);
  assert.equal(kinds.at(-1), COMPLETED);
}
