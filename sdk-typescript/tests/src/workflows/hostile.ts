/** What can be thrown, though nobody can look at it. Activities, workflows and their test use it. */

import { ApplicationFailure } from '@durably/common';
import { condition, defineQuery, defineSignal, setHandler, sleep } from '@durably/workflow';

function trap(): never {
  throw new Error('it bites');
}

const TRAPS: ProxyHandler<object> = { get: trap, getPrototypeOf: trap, has: trap, getOwnPropertyDescriptor: trap };

function having(key: string, descriptor: PropertyDescriptor): Error {
  return Object.defineProperty(new Error('x'), key, { configurable: true, ...descriptor });
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** By name: the value, and what the failure's message says of it. */
export const HOSTILE: Readonly<Record<string, readonly [make: () => unknown, says: RegExp]>> = {
  undefined: [() => undefined, /undefined/],
  null: [() => null, /null/],
  symbol: [() => Symbol('s'), /Symbol\(s\)/],
  bigint: [() => 5n, /5/],
  'no prototype': [() => Object.create(null), /can't be read/],
  'frozen error': [() => Object.freeze(new Error('frozen')), /frozen/],
  proxy: [() => new Proxy({}, TRAPS), /can't be read: it bites/],
  'proxy of an error': [() => new Proxy(new Error('x'), TRAPS), /can't be read: it bites/],
  'proxy of a function': [() => new Proxy(() => 1, TRAPS), /can't be read: it bites/],
  'revoked proxy': [revoked, /can't be read/],
  'no string': [() => ({ toString: trap, toJSON: trap }), /can't be read: it bites/],
  'message getter': [() => having('message', { get: trap }), /can't be read: it bites/],
  'message symbol': [() => having('message', { value: Symbol('m') }), /can't be read/],
  'stack getter': [() => having('stack', { get: trap }), /can't be read: it bites/],
  'stack of no text': [() => having('stack', { value: { a: 1 } }), /x/],
  'name getter': [() => having('name', { get: trap }), /can't be read: it bites/],
  'cause getter': [() => having('cause', { get: trap }), /can't be read: it bites/],
  'cause proxy': [() => new Error('x', { cause: new Proxy({}, TRAPS) }), /x|can't be read/],
  'type of no text': [() => ApplicationFailure.create({ message: 'm', type: { a: 1 } as never }), /m|encoded|converted/],
  'message of no text': [() => ApplicationFailure.create({ message: { a: 1 } as never }), /./],
};

/** Throws it where it is told to; named in `workflowFailureErrorTypes`, so that the run fails by whatever arrives. */
export async function throwsHostile(where: string, name: string): Promise<void> {
  const [make] = HOSTILE[name]!;
  const fail = () => {
    throw make();
  };
  setHandler(defineSignal('poke'), fail);
  setHandler(defineQuery('ask'), fail);
  if (where === 'main') fail();
  if (where === 'condition') await condition(fail);
  if (where === 'rejection') void Promise.reject(make());
  // tidy-allow: sleep: a timer of the workflow's, whose callback throws; nobody waits for it
  if (where === 'timer') setTimeout(fail, 1);
  await sleep('1 day');
}

export async function fine(): Promise<string> {
  return 'fine';
}

export async function throwsLong(length: number): Promise<void> {
  throw new Error('x'.repeat(length));
}
