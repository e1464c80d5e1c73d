/**
 * Loads a server through a TypeScript SDK, with its worker in this process: what the SDK itself costs.
 *
 * The program is written for the official SDK and run with its defaults; ours runs a copy with the scope of the imports
 * changed. Prints one JSON line per mode.
 */

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { steps } from './workflows';

interface Mode {
  runs: number;
  concurrent: number;
  steps: number;
}

const MODES: Mode[] = [
  { runs: 1000, concurrent: 50, steps: 1 },
  { runs: 100, concurrent: 1, steps: 1 },
  { runs: 200, concurrent: 50, steps: 10 },
];
const WARM_UP: Mode = { runs: 200, concurrent: 50, steps: 1 };

export const activities = {
  /** The least an activity can do. */
  async echo(value: string): Promise<string> {
    return value;
  },
};

/** Counts calls into the native addon, if there is one of ours: to be called before the first connection. */
function countBridgeCalls(): () => number | undefined {
  let calls = 0;
  let bridge: { addon: { Port: { new (...args: any[]): any; prototype: object } } };
  try {
    bridge = require('@durably/core-bridge/lib/addon');
  } catch {
    return () => undefined;
  }
  const { addon } = bridge;
  class CountingPort extends addon.Port {}
  for (const name of Object.getOwnPropertyNames(addon.Port.prototype)) {
    const method = (addon.Port.prototype as Record<string, unknown>)[name];
    if (name === 'constructor' || typeof method !== 'function') continue;
    Object.defineProperty(CountingPort.prototype, name, {
      value(this: object, ...args: unknown[]) {
        calls += 1;
        return method.apply(this, args);
      },
    });
  }
  addon.Port = CountingPort;
  return () => calls;
}

const bridgeCalls = countBridgeCalls();

/** Runs workflows, `concurrent` at a time; gives throughput, latency and this process's CPU, all its threads included. */
async function measure(mode: Mode, one: (steps: number) => Promise<void>) {
  const latency: number[] = [];
  let left = mode.runs;
  async function take(): Promise<void> {
    while (left > 0) {
      left -= 1;
      const began = performance.now();
      await one(mode.steps);
      latency.push(performance.now() - began);
    }
  }
  const began = performance.now();
  const before = process.cpuUsage();
  const crossed = bridgeCalls() ?? NaN;
  await Promise.all(Array.from({ length: mode.concurrent }, take));
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - began) / 1000;
  latency.sort((a, b) => a - b);
  return {
    ...mode,
    workflows_per_s: mode.runs / seconds,
    p50_ms: latency[Math.floor(mode.runs / 2)],
    p99_ms: latency[Math.floor(mode.runs * 0.99)],
    sdk_cpu_ms_per_workflow: (user + system) / 1000 / mode.runs,
    // Each step takes a workflow task, and the end one more. Not there without a bridge of ours.
    bridge_calls_per_workflow_task: ((bridgeCalls() ?? NaN) - crossed) / (mode.runs * (mode.steps + 1)),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { address: { type: 'string' } } });
  const client = new Client({ connection: await Connection.connect({ address: values.address }) });
  const connection = await NativeConnection.connect({ address: values.address });
  const taskQueue = `sdk-bench-${randomUUID()}`;
  const workflowsPath = require.resolve('./workflows');
  const worker = await Worker.create({ connection, taskQueue, workflowsPath, activities });
  async function one(count: number): Promise<void> {
    const result = await client.workflow.execute(steps, { workflowId: randomUUID(), taskQueue, args: [count] });
    assert.equal(result, 'x');
  }
  await worker.runUntil(async () => {
    await measure(WARM_UP, one);
    for (const mode of MODES) {
      console.log(JSON.stringify(await measure(mode, one)));
    }
  });
}

// The workflows import this module's types only, so that nobody but a worker's process gets here.
main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
