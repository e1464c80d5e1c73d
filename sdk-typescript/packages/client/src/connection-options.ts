/** Options of a connection, and the message that they make. */

import { type Duration, msOptionalToTs } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import pkg from './pkg';
import type { Metadata } from './types';


/** TLS options. Certificates and keys are PEM. */
export interface TLSConfig {
  /** Name to verify the server's certificate for. Default: the address's host. */
  serverNameOverride?: string;
  /** Certificates to verify the server with. Default: the platform's. */
  serverRootCACertificate?: Buffer;
  /** Client certificate and its key, for mTLS. */
  clientCertPair?: { crt: Buffer; key: Buffer };
}

/** Retries of failed calls. Defaults are those of Temporal's SDKs. */
export interface ConnectionRetryOptions {
  /** Default 100 ms. */
  initialInterval?: Duration;
  /** Part of a wait that is left to chance. Default 0.2. */
  randomizationFactor?: number;
  /** Default 1.7. */
  multiplier?: number;
  /** Default 5 s. */
  maxInterval?: Duration;
  /** Give up after this time. Default 10 s. */
  maxElapsedTime?: Duration;
  /** Default 10. */
  maxRetries?: number;
}

/** What an embedded server is made of, for addresses that begin with `embedded:`. */
export interface EmbeddedServerOptions {
  /** Namespaces to make sure of, beside `default`. */
  namespaces?: string[];
  /** Serve on this `IP:PORT` too, so that other processes can connect; port 0 picks one. Default: no port. */
  listen?: string;
  /** A clock that jumps to the next timer when nothing runs. */
  timeSkipping?: boolean;
  /**
   * For tests: waiting for a result, or for a query's answer, fails with a `ServiceError` as soon as it is known that
   * nothing will come of it until somebody mends something: a fault of the workflow's code, a queue without a worker, an
   * activity that the worker doesn't have. Default: wait.
   */
  failFast?: boolean;
}

export interface ConnectionOptions {
  /**
   * `host`, `host:port`, `https://host:port`, `embedded:` or `embedded:PATH`. The port defaults to 7233.
   *
   * @default 127.0.0.1:7233
   */
  address?: string;
  /** Encrypt the connection. Default: if there is an API key, or the address says `https`. */
  tls?: TLSConfig | boolean | null;
  /** Sent as bearer token with each call. A function is asked before each. */
  apiKey?: string | (() => string);
  /** gRPC metadata of all calls. */
  metadata?: Metadata;
  /** How long {@link Connection.connect} tries. Default 10 s. */
  connectTimeout?: Duration;
  /** Of `grpc.keepalive_time_ms` and `grpc.keepalive_timeout_ms`: pings, 30 s and 15 s. `undefined` turns them off. */
  channelArgs?: Record<string, unknown>;
  /** An empty list turns retries off. Interceptors of grpc-js can't be used. */
  interceptors?: never[];
  /** Retries of failed calls. */
  retry?: ConnectionRetryOptions;
  /** Shown in histories. Default `PID@HOST`. */
  identity?: string;
  /** Of a server in this process. */
  embedded?: EmbeddedServerOptions;
}

/** Where a server is expected that nobody gave the address of. */
export const LOCAL_TARGET = '127.0.0.1:7233';

/** Options of the official SDK that mean objects of grpc-js, which is not used here. */
const FOREIGN = ['credentials', 'callCredentials', 'proxy'];

/** The contract's message; the API key is left to the caller. Throws a TypeError for options that can't be meant. */
export function connectOptions(options: ConnectionOptions): durably.core.v1.IConnectOptions {
  for (const name of FOREIGN) {
    const value = (options as Record<string, unknown>)[name];
    if (value) throw new TypeError(`ConnectionOptions.${name} is not supported; use address, tls, apiKey and metadata`);
  }
  if (options.interceptors !== undefined && options.interceptors.length > 0) {
    throw new TypeError('ConnectionOptions.interceptors: interceptors of grpc-js are not supported');
  }
  const metadata = metadataOf(options.metadata ?? {});
  if (options.apiKey && metadata['authorization']) {
    throw new TypeError('Both `apiKey` and an `Authorization` header were given: only one makes sense');
  }
  return {
    target: target(options.address ?? LOCAL_TARGET),
    identity: options.identity,
    clientName: 'durably-typescript',
    clientVersion: pkg.version,
    tls: tlsOptions(options),
    metadata,
    retry: options.retry && retryOptions(options.retry),
    keepAlive: keepAlive(options.channelArgs),
    lazy: true,
    embedded: options.embedded,
  };
}

function target(address: string): string {
  if (address.startsWith('embedded:') || address.includes('://')) return address;
  return /:\d+$/.test(address) ? address : `${address}:7233`;
}

function tlsOptions({ tls, apiKey }: ConnectionOptions): durably.core.v1.ITlsOptions | undefined {
  if (tls === false) return { disabled: true };
  if (!tls) return apiKey ? {} : undefined;
  if (tls === true) return {};
  const { crt, key } = tls.clientCertPair ?? {};
  return {
    domain: tls.serverNameOverride,
    serverRootCaCert: tls.serverRootCACertificate,
    clientCert: crt,
    clientPrivateKey: key,
  };
}

function retryOptions(retry: ConnectionRetryOptions): durably.core.v1.IRetryOptions {
  return {
    initialInterval: msOptionalToTs(retry.initialInterval),
    randomizationFactor: retry.randomizationFactor ?? 0.2,
    multiplier: retry.multiplier ?? 1.7,
    maxInterval: msOptionalToTs(retry.maxInterval),
    maxElapsedTime: msOptionalToTs(retry.maxElapsedTime),
    maxRetries: retry.maxRetries ?? 10,
  };
}

function keepAlive(channelArgs: Record<string, unknown> = {}): durably.core.v1.IKeepAliveOptions | undefined {
  const interval = 'grpc.keepalive_time_ms';
  const timeout = 'grpc.keepalive_timeout_ms';
  if (interval in channelArgs && channelArgs[interval] === undefined) return { disabled: true };
  return {
    interval: msOptionalToTs(channelArgs[interval] as number | undefined),
    timeout: msOptionalToTs(channelArgs[timeout] as number | undefined),
  };
}

/** Metadata with its names in lower case. */
export function metadataOf(metadata: Metadata): Metadata {
  const entries = Object.entries(metadata).map(([name, value]) => {
    if (typeof value !== 'string') throw new TypeError(`metadata: the value of ${name} must be a string`);
    return [name.toLowerCase(), value] as const;
  });
  return Object.fromEntries(entries);
}
