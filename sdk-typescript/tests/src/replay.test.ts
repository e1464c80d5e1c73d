/** Histories of the official SDK, recorded on a real Temporal server, replay: in-flight workflows can move here. */

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { History } from '@durably/proto';
import { DeterminismViolationError, Worker, bundleWorkflowCode } from '@durably/worker';

const SHARED = join(__dirname, '..', '..', '..', 'tests', 'replay');
const folder = mkdtempSync(join(tmpdir(), 'replay-'));
after(() => rmSync(folder, { recursive: true }));

/** The programs, written for the official SDK, with another import and nothing else. */
async function bundle(change: (text: string) => string = (text) => text): Promise<{ code: string }> {
  cpSync(join(SHARED, 'activities.ts'), join(folder, 'activities.ts'));
  for (const name of ['updates.ts', 'workflows.ts']) {
    const text = readFileSync(join(SHARED, name), 'utf8').replaceAll("'@temporalio/", "'@durably/");
    writeFileSync(join(folder, name), change(text));
  }
  return await bundleWorkflowCode({ workflowsPath: join(folder, 'workflows.ts') });
}

function histories() {
  const names = readdirSync(join(SHARED, 'histories')).filter((name) => name.startsWith('typescript-'));
  return names.map((name) => ({
    workflowId: name,
    history: History.decode(readFileSync(join(SHARED, 'histories', name))),
  }));
}

test('histories of the official SDK replay after a change of the import', async () => {
  const replayed: string[] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle: await bundle() }, histories())) {
    assert.equal(error, undefined, `${workflowId}: ${error?.message}`);
    replayed.push(workflowId);
  }
  assert.ok(replayed.length >= 15, replayed.join(' '));
});

test('and do not after a change of what they do', async () => {
  const workflowBundle = await bundle((text) => text.replace(/await charge\((amount|told\.length)\);/, 'await sleep(amount);'));
  const errors: (Error | undefined)[] = [];
  for await (const { error } of Worker.runReplayHistories({ workflowBundle }, histories())) errors.push(error);
  assert.ok(errors.filter((error) => error instanceof DeterminismViolationError).length >= 3);
  assert.ok(errors.includes(undefined), 'workflows that did not change still replay');
});
