/** The first test of a workflow, as the README of the TypeScript SDK shows it. */

// snippet: test
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestWorkflowEnvironment } from '@durably/testing';
import { Worker } from '@durably/worker';
import { greeting } from './workflows.js';

test('a greeting greets', async (t) => {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    taskQueue: 'test',
    workflowsPath: import.meta.resolve('./workflows.js'),
    activities: { greet: async (name: string) => `mocked ${name}` },
  });
  const options = { args: ['Bob'] as [string], workflowId: 'greet-bob', taskQueue: 'test' };
  assert.equal(await worker.runUntil(environment.client.workflow.execute(greeting, options)), 'mocked Bob');
});
// end snippet
