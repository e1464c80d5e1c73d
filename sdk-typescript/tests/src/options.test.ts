/**
 * The contract declares every option once. Here stands which option of this SDK sets which field, and why a field has
 * none: a field that is added to the contract and not here fails, and so does an option that reaches no field.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionOptions } from '@durably/client';
import { connectOptions } from '@durably/client/lib/connection-options';
import { messageType } from '@durably/proto';
import { type Field, tableOf } from '@durably/proto/lib/tables';
import type { WorkerOptions } from '@durably/worker';
import { checkWorkerOptions } from '@durably/worker/lib/check-options';
import { coreOptions, failureTypesOf } from '@durably/worker/lib/worker-options';
import { logged, withWorker } from './worker';

/** A field is set by options that are given alone, or has none for a reason. */
type Origin<Options> = { by: Options; is: unknown } | { without: string };
type Origins<Options> = Record<string, Origin<Options>>;
type Message = Record<string, unknown>;

const SECOND = { seconds: 1 };

/** What crosses, by the names of its fields: a message as it arrives, without fields that have their default. */
function arrived(name: string, message: object): Message {
  const type = messageType<object, object>(name);
  const plain = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString();
    if (Array.isArray(value)) return value.map(plain);
    return typeof value === 'object' && value !== null ? { ...value } : value;
  };
  return Object.fromEntries(Object.entries(type.decode(type.encode(message))).map(([key, value]) => [key, plain(value)]));
}

function check<Options>(name: string, origins: Origins<Options>, make: (options: Options | undefined) => object): void {
  const fields = tableOf(name).fields.map((field: Field) => field.name);
  const unlisted = fields.filter((field) => !(field in origins));
  assert.deepEqual(unlisted, [], `${name}: fields that no option sets, and for which no reason is given`);
  const stale = Object.keys(origins).filter((field) => !fields.includes(field));
  assert.deepEqual(stale, [], `${name}: listed, but not in the contract (any more)`);
  const defaults = arrived(name, make(undefined));
  for (const [field, origin] of Object.entries(origins)) {
    if ('without' in origin) continue;
    const { [field]: value, ...others } = arrived(name, make(origin.by));
    const { [field]: standard, ...unchanged } = defaults;
    const by = JSON.stringify(origin.by);
    assert.deepEqual(value, origin.is, `${name}.${field} by ${by}`);
    assert.notDeepEqual(value, standard, `${name}.${field}: a test with the default says nothing`);
    assert.deepEqual(others, unchanged, `${by} sets ${field} only`);
  }
}

const WORKER: Origins<Partial<WorkerOptions>> = {
  taskQueue: { by: { taskQueue: 'orders' }, is: 'orders' },
  namespace: { by: { namespace: 'shop' }, is: 'shop' },
  identity: { by: { identity: 'me' }, is: 'me' },
  buildId: { by: { buildId: '1.0' }, is: '1.0' },
  workflows: { without: 'Worker.create tells by workflowsPath and workflowBundle' },
  activities: { without: 'Worker.create tells by the activities given' },
  nondeterminismAsWorkflowFail: { by: { workflowFailureErrorTypes: { '*': ['NondeterminismError'] } }, is: true },
  nondeterminismAsTaskFailForTypes: { without: 'a workflow type has no policy of its own that could say less than all' },
  nondeterminismAsWorkflowFailForTypes: { by: { workflowFailureErrorTypes: { a: ['Error'], b: ['Own'] } }, is: ['a'] },
  nondeterminismFailureMessage: { without: 'the disagreement says enough' },
  maxCachedBytes: { by: { maxCachedBytes: 7 }, is: 7 },
  maxCachedWorkflows: { by: { maxCachedWorkflows: 7 }, is: 7 },
  noWorkflowCache: { by: { maxCachedWorkflows: 0 }, is: true },
  stickyQueueScheduleToStartTimeout: { by: { stickyQueueScheduleToStartTimeout: '1s' }, is: SECOND },
  maxConcurrentWorkflowTasks: { by: { maxConcurrentWorkflowTaskExecutions: 7 }, is: 7 },
  maxConcurrentActivities: { by: { maxConcurrentActivityTaskExecutions: 7 }, is: 7 },
  maxConcurrentLocalActivities: { by: { maxConcurrentLocalActivityExecutions: 7 }, is: 7 },
  maxConcurrentWorkflowTaskPolls: { by: { maxConcurrentWorkflowTaskPolls: 7 }, is: 7 },
  maxConcurrentActivityTaskPolls: { by: { maxConcurrentActivityTaskPolls: 7 }, is: 7 },
  nonstickyToStickyPollRatio: { by: { nonStickyToStickyPollRatio: 0.5 }, is: 0.5 },
  maxActivitiesPerSecond: { by: { maxActivitiesPerSecond: 0.5 }, is: 0.5 },
  maxTaskQueueActivitiesPerSecond: { by: { maxTaskQueueActivitiesPerSecond: 0.5 }, is: 0.5 },
  maxEagerActivities: { by: { maxEagerActivityReservationsPerWorkflowTask: 7 }, is: 7 },
  disableEagerActivities: { by: { disableEagerActivityExecution: true }, is: true },
  activitiesOnDemand: { without: "it is the sidecar's, whose applications come and go" },
  maxHeartbeatThrottleInterval: { by: { maxHeartbeatThrottleInterval: 1000 }, is: SECOND },
  defaultHeartbeatThrottleInterval: { by: { defaultHeartbeatThrottleInterval: '1 second' }, is: SECOND },
  gracefulShutdownTimeout: { by: { shutdownGraceTime: '1s' }, is: SECOND },
  historyDialect: { without: 'histories are BY_SEQUENCE, as the official SDK makes them' },
  replayOnly: { without: 'Worker.runReplayHistory sets it' },
};

test('each option of a worker reaches the contract, and each field of the contract has one', () => {
  check('durably.core.v1.WorkerOptions', WORKER, (options) => {
    return coreOptions({ taskQueue: 'q', ...options }, { workflows: true, activities: true });
  });
});

/** Each option by its name: this fails to compile when one is added or removed. */
const OPTIONS: Record<keyof WorkerOptions, 'contract' | 'sdk'> = {
  taskQueue: 'contract',
  namespace: 'contract',
  identity: 'contract',
  buildId: 'contract',
  maxCachedBytes: 'contract',
  maxCachedWorkflows: 'contract',
  stickyQueueScheduleToStartTimeout: 'contract',
  maxConcurrentWorkflowTaskExecutions: 'contract',
  maxConcurrentActivityTaskExecutions: 'contract',
  maxConcurrentLocalActivityExecutions: 'contract',
  maxConcurrentWorkflowTaskPolls: 'contract',
  maxConcurrentActivityTaskPolls: 'contract',
  nonStickyToStickyPollRatio: 'contract',
  maxActivitiesPerSecond: 'contract',
  maxTaskQueueActivitiesPerSecond: 'contract',
  maxEagerActivityReservationsPerWorkflowTask: 'contract',
  disableEagerActivityExecution: 'contract',
  maxHeartbeatThrottleInterval: 'contract',
  defaultHeartbeatThrottleInterval: 'contract',
  shutdownGraceTime: 'contract',
  workflowFailureErrorTypes: 'contract', // of it, only what the core finds; other errors are judged here
  connection: 'sdk', // the client that workers are started on
  workflowsPath: 'sdk', // bundled here; tells `workflows`
  workflowBundle: 'sdk', // the same
  activities: 'sdk', // tells `activities`
  enableNonLocalActivities: 'sdk', // tells `activities`
  bundlerOptions: 'sdk', // bundling is done here
  dataConverter: 'sdk', // the core looks into no payload
  workflowThreadTimeout: 'sdk', // the thread is this one
  debugMode: 'sdk', // the same
  shutdownForceTime: 'sdk', // how long `run` waits, whatever the core does
};

test('no option of a worker is without effect', () => {
  const used = Object.values(WORKER).flatMap((origin) => ('by' in origin ? Object.keys(origin.by) : []));
  const meant = Object.keys(OPTIONS).filter((name) => OPTIONS[name as keyof WorkerOptions] === 'contract');
  assert.deepEqual([...new Set(used)].sort(), meant.sort());
});

const PEM = Buffer.from('pem');
const HELD = { without: 'set by the message that holds it; see below' };

const CONNECT: Origins<ConnectionOptions> = {
  target: { by: { address: 'host:1' }, is: 'host:1' },
  namespace: { without: 'clients name theirs with each request, workers in their options' },
  identity: { by: { identity: 'me' }, is: 'me' },
  clientName: { without: 'always durably-typescript' },
  clientVersion: { without: "always this package's" },
  tls: { by: { tls: true }, is: {} },
  apiKey: { without: 'a function may give it, which is asked when the connection is opened' },
  metadata: { by: { metadata: { Team: 'a' } }, is: { team: 'a' } },
  retry: HELD,
  keepAlive: HELD,
  lazy: { without: 'always: Connection.connect makes its first call itself' },
  embedded: HELD,
};

const TLS: Origins<ConnectionOptions> = {
  disabled: { by: { tls: false }, is: true },
  serverRootCaCert: { by: { tls: { serverRootCACertificate: PEM } }, is: 'pem' },
  domain: { by: { tls: { serverNameOverride: 'host' } }, is: 'host' },
  clientCert: { without: 'goes with its key: see the test of certificates' },
  clientPrivateKey: { without: 'goes with its certificate' },
};

const RETRY: Origins<ConnectionOptions> = {
  initialInterval: { by: { retry: { initialInterval: 1000 } }, is: SECOND },
  randomizationFactor: { by: { retry: { randomizationFactor: 0.5 } }, is: 0.5 },
  multiplier: { by: { retry: { multiplier: 3 } }, is: 3 },
  maxInterval: { by: { retry: { maxInterval: '1s' } }, is: SECOND },
  maxElapsedTime: { by: { retry: { maxElapsedTime: '1s' } }, is: SECOND },
  maxRetries: { by: { retry: { maxRetries: 7 } }, is: 7 },
};

const KEEP_ALIVE: Origins<ConnectionOptions> = {
  disabled: { by: { channelArgs: { 'grpc.keepalive_time_ms': undefined } }, is: true },
  interval: { by: { channelArgs: { 'grpc.keepalive_time_ms': 1000 } }, is: SECOND },
  timeout: { by: { channelArgs: { 'grpc.keepalive_timeout_ms': 1000 } }, is: SECOND },
};

const EMBEDDED: Origins<ConnectionOptions> = {
  namespaces: { by: { embedded: { namespaces: ['shop'] } }, is: ['shop'] },
  listen: { by: { embedded: { listen: '127.0.0.1:1' } }, is: '127.0.0.1:1' },
  timeSkipping: { by: { embedded: { timeSkipping: true } }, is: true },
  failFast: { by: { embedded: { failFast: true } }, is: true },
};

test('each option of a connection reaches the contract, and each field of the contract has one', () => {
  const nested = { tls: TLS, retry: RETRY, keepAlive: KEEP_ALIVE, embedded: EMBEDDED };
  const { fields } = tableOf('durably.core.v1.ConnectOptions');
  const holding = fields.filter(({ of }) => of.startsWith('durably.core.v1.')).map(({ name }) => name);
  assert.deepEqual(holding.sort(), Object.keys(nested).sort(), 'each message among the options is listed');
  check('durably.core.v1.ConnectOptions', CONNECT, (options) => connectOptions(options ?? {}));
  for (const field of fields) {
    const origins = nested[field.name as keyof typeof nested];
    if (!origins) continue;
    check(field.of, origins, (options) => {
      const given = options ?? { retry: {}, tls: true, embedded: {} };
      return connectOptions(given)[field.name as keyof typeof nested] ?? {};
    });
  }
  const pair = connectOptions({ tls: { clientCertPair: { crt: Buffer.from('crt'), key: PEM } } }).tls!;
  assert.deepEqual(arrived('durably.core.v1.TlsOptions', pair), { clientCert: 'crt', clientPrivateKey: 'pem' });
});

test('what a worker cannot do as it was asked, it refuses', () => {
  const refused = (options: object, message: RegExp) =>
    assert.throws(() => checkWorkerOptions({ taskQueue: 'q', ...options }), { name: 'TypeError', message });
  refused({ maxConcurrentActivityTaskExecution: 5 }, /maxConcurrentActivityTaskExecution: there is no such option; .*maxCached/);
  refused({ interceptors: { activity: [() => ({})] } }, /interceptors of workers are not there yet/);
  refused({ sinks: { logger: { info: { fn: () => undefined } } } }, /sinks are not there yet/);
  refused({ bundlerOptions: { webpackConfigHook: () => ({}) } }, /bundled without webpack/);
  refused({ connection: {} }, /await NativeConnection\.connect/);
  for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5']) {
    refused({ maxConcurrentActivityTaskExecutions: value }, /must be a positive integer, not/);
  }
  refused({ maxCachedWorkflows: -1 }, /maxCachedWorkflows must be an integer, 0 or more, not -1/);
  refused({ maxActivitiesPerSecond: 0 }, /must be a positive number, not 0/);
  refused({ nonStickyToStickyPollRatio: 1.5 }, /between 0 and 1, not 1\.5/);
  checkWorkerOptions({ taskQueue: 'q', maxCachedWorkflows: 0, maxActivitiesPerSecond: 0.5 });
  // What asks for nothing, or only tunes the official SDK.
  const harmless = { interceptors: { activity: [], workflowModules: [] }, sinks: {}, plugins: [], reuseV8Context: true };
  checkWorkerOptions({ taskQueue: 'q', ...harmless, tuner: undefined } as WorkerOptions);
});

test('errors that fail workflows are named for all types, or for each', () => {
  assert.deepEqual(failureTypesOf(undefined, 'order'), []);
  assert.deepEqual(failureTypesOf(['A'], 'order'), ['A']);
  assert.deepEqual(failureTypesOf({ '*': ['A'], order: ['B'], other: ['C'] }, 'order'), ['A', 'B']);
  assert.deepEqual(failureTypesOf({ order: ['B'] }, 'toString'), []);
});

test('options of workflow calls that are not there are named once', async () => {
  await withWorker(
    'calls',
    async (env) => {
      for (let run = 0; run < 2; run++) assert.equal(await env.execute('asksForMore', true), 'given');
    },
    { activities: { give: async () => 'given' } },
  );
  const named = logged.map(({ message }) => /^(\S+) is ignored/.exec(message)?.[1]).filter((name) => name !== undefined);
  const child = ['ChildWorkflowOptions.versioningIntent', 'ChildWorkflowOptions.workflowIdConflictPolicy'];
  assert.deepEqual(named.sort(), ['ActivityOptions.versioningIntent', ...child, 'ContinueAsNewOptions.backoff']);
});
