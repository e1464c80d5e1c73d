/** Connections: options, metadata, deadlines, raw services, what goes wrong. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import {
  type Http2SecureServer,
  type Http2Server,
  type SecureServerOptions,
  type ServerHttp2Stream,
  createSecureServer,
  createServer,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  Client,
  Connection,
  type ConnectionOptions,
  ServiceError,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
} from '@durably/client';
import { connectOptions } from '@durably/client/lib/connection-options';
import { methodsOf } from '@durably/proto';
import { embedded } from './hand';

test('addresses get their port, and options that contradict each other are refused', () => {
  const target = (address?: string) => connectOptions({ address }).target;
  assert.equal(target(), '127.0.0.1:7233');
  assert.equal(target('host'), 'host:7233');
  assert.equal(Connection.lazy({ address: 'host' }).options.address, 'host:7233');
  assert.equal(target('host:80'), 'host:80');
  assert.equal(target('https://host:80'), 'https://host:80');
  assert.equal(target('embedded:/tmp/state.db'), 'embedded:/tmp/state.db');
  assert.deepEqual(connectOptions({ tls: false, apiKey: 'k' }).tls, { disabled: true });
  assert.deepEqual(connectOptions({ apiKey: () => 'k' }).tls, {});
  assert.equal(connectOptions({ tls: null }).tls, undefined);
  assert.deepEqual(connectOptions({ channelArgs: { 'grpc.keepalive_time_ms': undefined } }).keepAlive, { disabled: true });
  assert.throws(() => connectOptions({ apiKey: 'k', metadata: { Authorization: 'x' } }), /only one makes sense/);
  assert.throws(() => connectOptions({ credentials: {} } as ConnectionOptions), /credentials is not supported/);
  assert.throws(() => connectOptions({ interceptors: [() => undefined] as never }), /interceptors/);
  assert.throws(() => connectOptions({ metadata: { a: Buffer.of(1) as never } }), /must be a string/);
});

test('raw services have every method, and say what the server says', async (t) => {
  const { connection } = await embedded(t);
  for (const service of ['workflowservice.v1.WorkflowService', 'operatorservice.v1.OperatorService'] as const) {
    const raw: object = service.startsWith('w') ? connection.workflowService : connection.operatorService;
    const names = methodsOf(`temporal.api.${service}`).map(({ name }) => name[0]!.toLowerCase() + name.slice(1));
    assert.deepEqual(Object.keys(raw).sort(), names.sort());
  }
  const info = await connection.workflowService.getSystemInfo();
  assert.ok(info.capabilities);
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace: 'default' });
  assert.equal(namespaceInfo!.name, 'default');
  assert.deepEqual(await connection.healthService.check({}), { status: 1 });
  await assert.rejects(connection.workflowService.describeNamespace({ namespace: 'nowhere' }), (error) => {
    assert.ok(isGrpcServiceError(error));
    assert.equal(error.code, 5);
    assert.match(error.details, /nowhere/);
    return true;
  });
});

test('a server that is not there is named', async () => {
  await assert.rejects(Connection.connect({ address: '127.0.0.1:1', connectTimeout: '200ms' }), (error) => {
    assert.ok(error instanceof ServiceError);
    assert.match(error.message, /127\.0\.0\.1:1/);
    assert.ok(isGrpcServiceError(error.cause));
    return true;
  });
});

test('a lazy connection connects with its first call, and a closed one refuses calls', async () => {
  const connection = Connection.lazy({ address: 'embedded:' });
  const { count } = await new Client({ connection }).workflow.count();
  assert.equal(count, 0);
  await connection.ensureConnected();
  await connection.close();
  await connection.close();
  await assert.rejects(connection.workflowService.getSystemInfo(), /the connection is closed/);
  await Connection.lazy({ address: 'embedded:' }).close();
});

test('a client copies its state file while workflows go on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'durably-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const connection = await Connection.connect({ address: `embedded:${join(folder, 'state.db')}` });
  const client = new Client({ connection });
  await client.workflow.start('x', { workflowId: 'a', taskQueue: 'q' });
  await client.backup(join(folder, 'copy.db'));
  await assert.rejects(client.backup(join(folder, 'copy.db')), /is there already/);
  const copy = await Connection.connect({ address: `embedded:${join(folder, 'copy.db')}` });
  const { status } = await new Client({ connection: copy }).workflow.getHandle('a').describe();
  assert.equal(status.name, 'RUNNING');
  await Promise.all([connection.close(), copy.close()]);
  const memory = await embedded(t);
  await assert.rejects(memory.client.backup(join(folder, 'none.db')), /in memory/);
});

test('calls end with their deadline, or when they are given up', async (t) => {
  const { connection, client } = await embedded(t);
  const handle = await client.workflow.start('x', { workflowId: 'a', taskQueue: 'q' });
  const late = client.withDeadline(Date.now() + 30, () => handle.result());
  await assert.rejects(late, (error) => isGrpcDeadlineError(error) && !isGrpcCancelledError(error));
  const passed = client.withDeadline(new Date(0), () => connection.workflowService.getSystemInfo());
  await assert.rejects(passed, isGrpcDeadlineError);
  const giveUp = new AbortController();
  const given = client.withAbortSignal(giveUp.signal, () => handle.result());
  giveUp.abort();
  await assert.rejects(given, isGrpcCancelledError);
  await assert.rejects(
    client.withAbortSignal(giveUp.signal, () => handle.describe()),
    isGrpcCancelledError,
  );
});

interface Recorder {
  readonly address: string;
  readonly headers: Record<string, unknown>[];
}

/** A server that answers every call with an empty message, and keeps the headers. */
async function recorder(t: TestContext, tls?: SecureServerOptions): Promise<Recorder> {
  const headers: Record<string, unknown>[] = [];
  const server: Http2Server | Http2SecureServer = tls ? createSecureServer(tls) : createServer();
  server.on('stream', (stream: ServerHttp2Stream, received: Record<string, unknown>) => {
    headers.push(received);
    stream.on('error', () => undefined);
    stream.resume();
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(5));
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session: { destroy(): void }) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, headers };
}

test('calls carry metadata and API keys', async (t) => {
  const { address, headers } = await recorder(t);
  const connection = await Connection.connect({ address, tls: false, apiKey: 'one', metadata: { Shop: 'north' } });
  t.after(() => connection.close());
  const call = async () => {
    await connection.workflowService.getSystemInfo();
    const { authorization, shop, clerk, 'client-name': name } = headers.at(-1)!;
    return { authorization, shop, clerk, name };
  };
  const plain = { authorization: 'Bearer one', shop: 'north', clerk: undefined, name: 'durably-typescript' };
  assert.deepEqual(await call(), plain);
  const inner = () => connection.withMetadata({ Clerk: 'Ann' }, call);
  assert.deepEqual(await connection.withMetadata({ shop: 'south' }, inner), { ...plain, shop: 'south', clerk: 'Ann' });
  assert.deepEqual(await connection.withApiKey('two', call), { ...plain, authorization: 'Bearer two' });
  connection.setApiKey('three');
  assert.deepEqual(await call(), { ...plain, authorization: 'Bearer three' });
  let keys = 0;
  const rotating = Connection.lazy({ address, tls: false, apiKey: () => `key ${++keys}` });
  t.after(() => rotating.close());
  await rotating.workflowService.getSystemInfo();
  const before = headers.at(-1)!['authorization'];
  await rotating.workflowService.getSystemInfo();
  assert.notEqual(headers.at(-1)!['authorization'], before);
  assert.throws(() => Connection.lazy({ address: 'embedded:' }).setApiKey('k'), /without an API key/);
});

test('closing a connection ends what is awaited over it', async (t) => {
  const { connection, client } = await embedded(t);
  const { firstExecutionRunId } = await client.workflow.start('x', { workflowId: 'a', taskQueue: 'q' });
  const awaited = client.workflow.result('a', firstExecutionRunId);
  const polled = connection.workflowService.pollWorkflowTaskQueue({ taskQueue: { name: 'elsewhere' } });
  // The server may still answer the poll, with nothing; it forgets nobody who waits.
  const ended = Promise.all([assert.rejects(awaited, isGrpcCancelledError), Promise.allSettled([polled])]);
  // Both are on their way when this one is answered.
  await connection.workflowService.getSystemInfo();
  await connection.close();
  await ended;
});

/** Certificates of the core's tests. */
function pem(name: string): Buffer {
  return readFileSync(join(__dirname, '../../../core/tests/tls', name));
}

test('TLS options reach the server, and what is not trusted is refused', async (t) => {
  const { address, headers } = await recorder(t, {
    cert: pem('server.pem'),
    key: pem('server.key.pem'),
    ca: pem('ca.pem'),
    requestCert: true,
    rejectUnauthorized: true,
  });
  const tls = {
    serverRootCACertificate: pem('ca.pem'),
    serverNameOverride: 'durably.test',
    clientCertPair: { crt: pem('client.pem'), key: pem('client.key.pem') },
  };
  const connection = await Connection.connect({ address, tls });
  t.after(() => connection.close());
  assert.equal(headers.length, 1);
  const refused = async (options: ConnectionOptions) => {
    const retry = { maxRetries: 1, initialInterval: 1 };
    await assert.rejects(Connection.connect({ address, retry, connectTimeout: '5s', ...options }), ServiceError);
  };
  await refused({ tls: { ...tls, serverNameOverride: undefined } });
  await refused({ tls: { ...tls, serverRootCACertificate: undefined } });
  await refused({ tls: { ...tls, clientCertPair: undefined } });
  await refused({ tls: true });
  await refused({ tls: false });
  await refused({ apiKey: 'key' });
  assert.equal(headers.length, 1);
});
