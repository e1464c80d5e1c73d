/** Raw services: an object with a function for each method of a gRPC service. */

import { decode, encode, methodsOf } from '@durably/proto';

/** Carries out one call: method and encoded request to the encoded response. */
export type Caller = (method: string, request: Uint8Array) => Promise<Uint8Array>;

/**
 * Functions named in camelCase, each from the request message to the response message, for the service with the full
 * name.
 */
export function makeService(name: string, call: Caller): Record<string, (request?: object) => Promise<unknown>> {
  const methods = methodsOf(name).map(({ name: method, request, response }) => {
    const carryOut = async (message: object = {}) => decode(response, await call(method, encode(request, message)));
    return [method.charAt(0).toLowerCase() + method.slice(1), carryOut] as const;
  });
  return Object.fromEntries(methods);
}

/** gRPC's health service. */
export interface HealthService {
  /** `status` is 1 if the service with the full name is serving, 2 if it isn't. Default: the server as a whole. */
  check(request: { service?: string }): Promise<{ status: number }>;
}

/** The health service is not among the contract's messages, and small enough to be read by hand. */
export function makeHealthService(call: Caller): HealthService {
  return {
    async check({ service = '' }) {
      const name = Buffer.from(service);
      if (name.length > 127) throw new TypeError('service: longer than 127 bytes');
      const response = await call('Check', name.length === 0 ? name : Buffer.concat([Buffer.of(0x0a, name.length), name]));
      return { status: response[0] === 0x08 ? (response[1] ?? 0) : 0 };
    },
  };
}
