/** Tests of somebody who makes one mistake in each. All of them fail; `mistakes.test.ts` sees to it that they do so at once. */

import { after, before, test } from 'node:test';
import { TestWorkflowEnvironment } from '@durably/testing';
import { Worker, type WorkerOptions, bundleWorkflowCode } from '@durably/worker';
import * as workflows from './workflows/mistakes';

let environment: TestWorkflowEnvironment;
let bundle: Awaited<ReturnType<typeof bundleWorkflowCode>>;
let count = 0;

before(async () => {
  environment = await TestWorkflowEnvironment.createTimeSkipping();
  bundle = await bundleWorkflowCode({ workflowsPath: require.resolve('./workflows/mistakes') });
});
after(() => environment.teardown());

const activities = {
  charge: async (amount: number) => `charged ${amount}`,
  decline: async (amount: number) => {
    throw new RangeError(`no card takes ${amount}`);
  },
};

async function worker(options?: Partial<WorkerOptions>): Promise<Worker> {
  return Worker.create({
    connection: environment.nativeConnection,
    taskQueue: `orders-${++count}`,
    workflowBundle: bundle,
    activities,
    ...options,
  });
}

async function run(workflowType: string, args: unknown[] = [], options?: Partial<WorkerOptions>): Promise<void> {
  const of = await worker(options);
  const { taskQueue } = of.options;
  const { workflow } = environment.client;
  await of.runUntil(workflow.execute(workflowType, { workflowId: `order-${count}`, taskQueue, args }));
}

const order = { item: 'pen', count: 1 };
const simple: Record<string, unknown[]> = {
  typo: [],
  unknownName: [],
  undefinedField: [order],
  notAFunction: [order],
  undeclared: [],
  throws: [],
  throwsText: [],
  rejects: [],
  noTimeout: [],
  recursion: [],
  fetches: [],
  reads: [],
  usesProcess: [],
  usesBuffer: [],
  misspells: [],
  chargesElsewhere: [],
  declines: [],
  sendsBigint: [],
  sendsCycle: [],
  returnsBigint: [],
  forgottenArgument: [],
  conditionFails: [],
  again: [],
};
for (const [type, args] of Object.entries(simple)) test(type, () => run(type, args));

test('a worker without activities', () => run('charges', [], { activities: undefined }));

test('an activity that is not registered', () => run('charges', [], { activities: { decline: activities.decline } }));

test('an unknown workflow type', () => run('charge'));

test('another queue', async () => {
  const { workflow } = environment.client;
  const of = await worker();
  await of.runUntil(workflow.execute('charges', { workflowId: `order-${count}`, taskQueue: 'order' }));
});

test('no worker', async () => {
  await environment.client.workflow.execute('charges', { workflowId: 'order', taskQueue: 'nobody' });
});

test('a worker without workflows', () => run('charges', [], { workflowBundle: undefined }));

test('a signal handler fails', async () => {
  const of = await worker();
  const { workflow } = environment.client;
  await of.runUntil(async () => {
    const options = { workflowId: `order-${count}`, taskQueue: of.options.taskQueue };
    const handle = await workflow.start(workflows.signalFails, options);
    await handle.signal(workflows.add, 1);
    await handle.result();
  });
});

test('a query of a workflow that fails', async () => {
  const of = await worker();
  const { workflow } = environment.client;
  await of.runUntil(async () => {
    const options = { workflowId: `order-${count}`, taskQueue: of.options.taskQueue };
    const handle = await workflow.start(workflows.fails, options);
    await handle.query(workflows.state);
  });
});

test('code that is not deterministic', () => run('notDeterministic', [true], { maxCachedWorkflows: 0 }));
