/**
 * A test with one mistake in it ends at once, and `node --test` shows a sentence with the reason and the line, without any
 * flag. What is said of each mistake of `mistakes.ts` stands in `src/mistakes.txt`; DURABLY_UPDATE_SNAPSHOTS=1 writes it anew.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const snapshot = join(__dirname, '../src/mistakes.txt');
/** A mistake is told within a second or two; here a busy machine has its share. */
const MILLISECONDS = 60_000;

/** Without what differs from run to run; a line of the mistakes is named by what stands there. */
function normal(text: string): string {
  const folder = join(__dirname, '..');
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(new RegExp(`[^\\s(]*/(src/(?:workflows/)?mistakes\\.ts):(\\d+)(:\\d+)?`, 'g'), (_, file: string, line: string) => {
      const source = readFileSync(join(folder, file), 'utf8').split('\n');
      return `${file} \`${source[Number(line) - 1]?.trim()}\``;
    })
    .replaceAll(/:\d+:\d+/g, '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim();
}

test('each mistake is told at once', { timeout: 280_000 }, () => {
  const env = { ...process.env };
  // What the runner tells its children would make them report to it.
  delete env.NODE_TEST_CONTEXT;
  const file = join(__dirname, 'mistakes.js');
  const { stdout } = spawnSync(process.execPath, ['--enable-source-maps', '--test', '--test-reporter=tap', file], {
    env,
    encoding: 'utf8',
  });
  let text = '';
  for (const part of stdout.split(/^ *# Subtest: /m).slice(1)) {
    const name = part.slice(0, part.indexOf('\n'));
    if (/^ok /m.test(part.trimStart().split('\n')[1]?.trim() ?? '')) assert.fail(`${name} has not failed: ${part}`);
    const took = Number(/duration_ms: ([\d.]+)/.exec(part)?.[1]);
    assert.ok(took < MILLISECONDS, `${name} took ${took} ms`);
    const block = /error: \|-\n([\s\S]*?)\n {2,}(?:code|name|stack): /.exec(part)?.[1];
    const told = block ?? /error: (['"]?)(.*)\1$/m.exec(part)?.[2];
    assert.ok(told !== undefined, `${name} says nothing: ${part}`);
    text += `== ${name}\n${normal(told)}\n\n`;
  }
  if (process.env.DURABLY_UPDATE_SNAPSHOTS) writeFileSync(snapshot, text);
  assert.equal(text, readFileSync(snapshot, 'utf8'));
});
