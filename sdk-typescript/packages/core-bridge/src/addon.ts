/** Finds and types the native addon. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

export interface NativePort {
  drain(): Buffer;
  connect(to: number, options: Uint8Array): void;
  call(client: number, to: number, call: Uint8Array): void;
  awaitWorkflow(client: number, to: number, request: Uint8Array): void;
  disconnect(client: number, to: number): void;
  names(client: number): [namespace: string, identity: string];
  abort(to: number): void;
  startWorker(client: number, to: number, options: Uint8Array): number;
  request(worker: number, request: Uint8Array): void;
  freeWorker(worker: number): void;
}

interface Addon {
  readonly Port: new (wake: () => void) => NativePort;
  installLogs(filter: string): void;
}

/** The addon of this platform: beside this package, or in the package for the platform. */
function load(): Addon {
  const here = join(__dirname, '..', 'durably.node');
  if (existsSync(here)) return require(here) as Addon;
  const name = `@durably/core-bridge-${process.platform}-${process.arch}`;
  try {
    return require(`${name}/durably.node`) as Addon;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `durably has no native addon for ${process.platform} on ${process.arch}: neither ${here} nor ${name} can be loaded (${why})`,
      { cause: error },
    );
  }
}

export const addon = load();
