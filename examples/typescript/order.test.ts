/** The order program, killed midway and run again: the orders go on, and each is charged once. */

import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const ORDERS = join(__dirname, '../../python/orders.jsonl');

test('killed midway, the orders go on and each is charged once', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'orders-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const orders = join(folder, 'orders.jsonl');
  writeFileSync(orders, readFileSync(ORDERS, 'utf8').split('\n').slice(0, 30).join('\n'));
  const run = (...more: string[]) => {
    const quick = ['--state', join(folder, 'orders.db'), '--cooling-off', '0.1', '--approval-timeout', '2'];
    return spawnSync(process.execPath, [join(__dirname, 'order.js'), orders, ...quick, ...more], { encoding: 'utf8' });
  };

  const killed = run('--crash-midway');
  assert.equal(killed.signal, 'SIGKILL', killed.stdout + killed.stderr);
  const resumed = run();
  assert.equal(resumed.status, 0, resumed.stdout + resumed.stderr);
  for (const words of [
    'orders are open from an earlier run',
    'All 30 orders are closed',
    'charged exactly once',
    'goes on in another process',
  ]) {
    assert.ok(resumed.stdout.includes(words), `no "${words}" in:\n${resumed.stdout}`);
  }
});
