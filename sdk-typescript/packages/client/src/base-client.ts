/** What the parts of a client have in common: a connection, a namespace, a data converter. */

import type { DataConverter, LoadedDataConverter } from '@durably/common';
import { loadDataConverter } from '@durably/common/lib/internal-non-workflow';
import { Connection } from './connection';
import type { ConnectionLike, Metadata } from './types';

export interface BaseClientOptions {
  /** Converts values to payloads. Default: JSON. */
  dataConverter?: DataConverter | LoadedDataConverter;
  /** Shown in histories. Default: the connection's, `PID@HOST`. */
  identity?: string;
  /** Default: one to localhost, made with the first call. */
  connection?: ConnectionLike;
  /** Default `default`. */
  namespace?: string;
}

/** Options with nothing left open. An empty `identity` is the connection's. */
export type LoadedWithDefaults<Options extends BaseClientOptions> = Required<Omit<Options, 'connection'>> &
  Pick<Options, 'connection'> & { loadedDataConverter: LoadedDataConverter };

/** Options without those that are `null` or `undefined`, which would hide a default. */
export function given<T extends object>(options: T | undefined): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(options ?? {}).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> };
}

export class BaseClient {
  /** The connection that the calls go over. */
  readonly connection: ConnectionLike;
  protected readonly dataConverter: LoadedDataConverter;

  protected constructor(options?: BaseClientOptions) {
    this.connection = options?.connection ?? Connection.lazy();
    this.dataConverter = loadDataConverter(options?.dataConverter);
  }

  protected defaults(): Required<Omit<BaseClientOptions, 'connection'>> & { loadedDataConverter: LoadedDataConverter } {
    return { dataConverter: {}, identity: '', namespace: 'default', loadedDataConverter: this.dataConverter };
  }

  /** Calls made in `fn` fail when the deadline passes: a date, or milliseconds since the epoch. */
  withDeadline<R>(deadline: number | Date, fn: () => Promise<R>): Promise<R> {
    return this.connection.withDeadline(deadline, fn);
  }

  /** Calls made in `fn` are given up when the signal is aborted. */
  withAbortSignal<R>(abortSignal: AbortSignal, fn: () => Promise<R>): Promise<R> {
    return this.connection.withAbortSignal(abortSignal, fn);
  }

  /** Calls made in `fn` carry the metadata. */
  withMetadata<R>(metadata: Metadata, fn: () => Promise<R>): Promise<R> {
    return this.connection.withMetadata(metadata, fn);
  }
}
