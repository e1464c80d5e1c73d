/** Workflows with one mistake each. */

import { condition, continueAsNew, defineQuery, defineSignal, proxyActivities, setHandler, sleep } from '@durably/workflow';
import * as wf from '@durably/workflow';

export interface Order {
  item: string;
  count: number;
  tags?: string[];
}

export interface Activities {
  charge(amount: unknown): Promise<string>;
  chrage(amount: number): Promise<string>;
  decline(amount: number): Promise<string>;
}

const { charge, chrage, decline } = proxyActivities<Activities>({ startToCloseTimeout: '10 s' });
const elsewhere = proxyActivities<Activities>({ startToCloseTimeout: '10 s', taskQueue: 'payments' });
const workflow: any = wf;
const any = (value: unknown): any => value;

export async function typo(): Promise<void> {
  await workflow.sleeep(1);
}

export async function unknownName(): Promise<void> {
  await any(globalThis).chargeAll(5);
}

export async function undefinedField(order: Order): Promise<number> {
  return any(order).price.amount;
}

export async function notAFunction(order: Order): Promise<string> {
  return any(order.item).charge();
}

export async function undeclared(): Promise<void> {
  new Function('total = total + 1')();
}

export async function throws(): Promise<void> {
  throw new Error('no such item');
}

export async function throwsText(): Promise<void> {
  throw 'no such item';
}

export async function rejects(): Promise<void> {
  void Promise.reject(new TypeError('nobody looks here'));
  await condition(() => false);
}

export async function noTimeout(): Promise<void> {
  await proxyActivities<Activities>({}).charge(5);
}

export async function recursion(): Promise<number> {
  const depth = (at: number): number => depth(at + 1) + 1;
  return depth(0);
}

export async function fetches(): Promise<void> {
  await any(globalThis).fetch('http://127.0.0.1:9/');
}

export async function reads(): Promise<void> {
  any(globalThis).require('node:fs').readFileSync('/etc/hosts');
}

export async function usesProcess(): Promise<string> {
  return any(globalThis).process.env.HOME;
}

export async function usesBuffer(): Promise<string> {
  return any(globalThis).Buffer.from('a').toString('hex');
}

export async function charges(): Promise<string> {
  return charge(5);
}

export async function misspells(): Promise<string> {
  return chrage(5);
}

export async function chargesElsewhere(): Promise<string> {
  return elsewhere.charge(5);
}

export async function declines(): Promise<string> {
  return decline(5);
}

export async function sendsBigint(): Promise<string> {
  return charge(5n);
}

export async function sendsCycle(): Promise<string> {
  const order: any = {};
  order.self = order;
  return charge(order);
}

export async function returnsBigint(): Promise<unknown> {
  return 5n;
}

export async function forgottenArgument(order: Order): Promise<string> {
  return order.item;
}

export const add = defineSignal<[number]>('add');
export async function signalFails(): Promise<void> {
  const total: any = undefined;
  setHandler(add, (count) => {
    total.count += count;
  });
  await condition(() => false);
}

export async function conditionFails(): Promise<void> {
  const order: any = undefined;
  await condition(() => order.done);
}

export async function again(order?: Order): Promise<void> {
  if (order === undefined) await continueAsNew<typeof again>({ item: 'pen', count: 1 });
  any(order).tags.push('seen');
}

export const state = defineQuery<string>('state');
export async function fails(): Promise<void> {
  setHandler(state, () => 'failing');
  throw new RangeError('before any query');
}

export async function notDeterministic(first: boolean): Promise<void> {
  void first;
  if (wf.workflowInfo().unsafe.isReplaying) await charge(5);
  await sleep(60_000);
}
