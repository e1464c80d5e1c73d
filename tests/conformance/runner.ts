/**
 * Runs the conformance programs of this folder against a server that is up already.
 *
 * The programs are written for the official TypeScript SDK; ours runs a copy with the scope `@temporalio/` changed, which
 * is what we promise that a user's program needs. Prints one JSON line per behaviour; ends with 1 if one has failed.
 */

import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { type Behaviour, Env, logged, run } from './harness/harness';

const LIMIT_SECONDS = 90;

/** Runs one behaviour; says how it went. */
async function outcome(name: string, connection: Connection, address: string): Promise<Record<string, unknown>> {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 10) / 100;
  try {
    const behaviour: Behaviour = require(join(__dirname, name, 'behaviour'));
    const client = new Client({ connection });
    const taskQueue = `${name}-${randomUUID().slice(0, 8)}`;
    const env = new Env(connection, client, address, taskQueue, require.resolve(join(__dirname, name, 'workflows')));
    await within(LIMIT_SECONDS, run(behaviour, env));
    return { behaviour: name, ok: true, seconds: seconds() };
  } catch (error) {
    const trace = error instanceof Error ? error.stack : undefined;
    return { behaviour: name, ok: false, error: String(error), trace, seconds: seconds() };
  }
}

async function within<T>(seconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { address: { type: 'string' }, concurrency: { type: 'string', default: '4' } },
    allowPositionals: true,
  });
  if (values.address === undefined) {
    console.error('--address HOST:PORT is missing');
    return 2;
  }
  const address = values.address;
  Runtime.install({ logger: new DefaultLogger('INFO', (entry) => logged.push(entry)) });
  const all = readdirSync(__dirname).filter((name) => existsSync(join(__dirname, name, 'behaviour.js')));
  const waiting = positionals.length > 0 ? positionals : all.sort();
  const connection = await Connection.connect({ address });
  let failed = false;

  async function work(): Promise<void> {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const done = await outcome(name, connection, address);
      failed ||= !done.ok;
      console.log(JSON.stringify(done));
    }
  }
  await Promise.all(Array.from({ length: Number(values.concurrency) }, work));
  return failed ? 1 : 0;
}

main().then(
  // A behaviour that hangs must not keep the process.
  (code) => process.exit(code),
  (error) => {
    console.error(error);
    process.exit(2);
  },
);
