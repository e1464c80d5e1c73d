/** One Ctrl-C ends a program, whatever it waits for. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

for (const [how, title] of [
  ['until', 'runUntil waits for a result'],
  ['result', 'a result is awaited beside a worker'],
  ['run', 'a worker runs'],
]) {
  test(`one SIGINT ends a program: ${title}`, { timeout: 120_000 }, async (t) => {
    const program = spawn(process.execPath, [require.resolve('./interrupt-program'), how!], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => program.kill('SIGKILL'));
    program.stdout.setEncoding('utf8');
    for await (const text of program.stdout) if (String(text).includes('waits')) break;
    const ended = once(program, 'exit');
    const began = Date.now();
    program.kill('SIGINT');
    const [code, signal] = await ended;
    assert.ok(code === 0 || code === 1 || signal === 'SIGINT', `${code} ${signal}`);
    assert.ok(Date.now() - began < 20_000);
  });
}
