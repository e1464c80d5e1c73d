/** What the worker calls inside the workflow context. */

import * as common from '@durably/common';
import * as workflow from '../index';
import { setCurrentRun } from './current';
import { installGlobals } from './globals';
import { harden } from './harden';
import type { Activation, Bundle, Host, RunOptions } from './host';
import { missingFeatures } from './names';
import { nodeModules } from './node-modules';
import { pinBuiltIns, restorePins } from './pins';
import { Run } from './run';

export type { Run } from './run';

let modules: Readonly<Record<string, unknown>> = { '@durably/common': common, '@durably/workflow': workflow };

/** The globals of all runs, which none can change. */
let shared: object;
let reflection: PropertyDescriptorMap;

/** Called once per context, with names of globals that belong to other realms. */
export function install(host: Host, foreign: readonly string[]): void {
  const globals = globalThis as Record<string, unknown>;
  const others = new Set<unknown>([host, ...Object.values(host), globalThis]);
  for (const name of foreign) addRealm(others, globals[name]);
  installGlobals(host);
  // What the last match of any run was.
  for (const name of Object.getOwnPropertyNames(RegExp)) {
    if (!['length', 'name', 'prototype'].includes(name)) Reflect.deleteProperty(RegExp, name);
  }
  modules = { ...modules, '@durably/workflow': { ...workflow, ...missingFeatures() }, ...nodeModules() };
  pinBuiltIns();
  reflection = Object.getOwnPropertyDescriptors(Reflect) as PropertyDescriptorMap;
  const library = Object.values(modules).flatMap((module) => [module, ...Object.values(module as object)]);
  harden([...builtIns(), ...library], others);
  const properties = Object.getOwnPropertyDescriptors(globals);
  // The global object itself can't be frozen: nothing may lead there.
  for (const name of ['globalThis', ...foreign]) if (name.includes('__') || name === 'globalThis') delete properties[name];
  shared = Object.freeze(Object.create(Object.prototype, properties));
  for (const [name, property] of Object.entries(properties)) {
    if (property.configurable && 'value' in property) {
      Object.defineProperty(globals, name, { ...property, writable: false, configurable: false });
    }
  }
}

/** Adds a class of another realm, with all that it inherits from there. */
function addRealm(others: Set<unknown>, value: unknown): void {
  for (let of = value; of !== null && of !== undefined; of = Object.getPrototypeOf(of)) {
    others.add(of);
    const { prototype } = of as { prototype?: unknown };
    if (prototype && !others.has(prototype)) addRealm(others, prototype);
  }
}

/** All built-ins, also those that only syntax and calls reach. */
function builtIns(): unknown[] {
  const globals = globalThis as Record<string, unknown>;
  const named = Object.getOwnPropertyNames(globals).map((name) => Object.getOwnPropertyDescriptor(globals, name)?.value);
  const iterators = [[][Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](), ''[Symbol.iterator]()];
  const functions = [async () => {}, function* () {}, async function* () {}, 'a'.matchAll(/a/g)];
  const segments = new Intl.Segmenter().segment('a');
  const later = [segments, segments[Symbol.iterator](), ...iteratorHelpers()];
  // An error's `stack` is an accessor of its own in later versions of V8, with functions that all errors have in common.
  return [...named, new Error(), ...[...iterators, ...functions, ...later].map((of) => Object.getPrototypeOf(of))];
}

/** The iterators that the iterators of later versions make. */
function iteratorHelpers(): unknown[] {
  type Helpers = { from(iterator: object): object; prototype: { map(fn: () => void): object } };
  const { Iterator } = globalThis as unknown as { Iterator?: Helpers };
  if (Iterator === undefined) return [];
  const mapped = Iterator.prototype.map.call([].values(), () => {});
  return [mapped, Iterator.from({ next: () => ({ done: true }) })];
}

/** What `require` gives to workflow code: the rest is in its bundle. */
export function requireModule(name: string): unknown {
  const found = modules[name];
  if (found === undefined) throw new ReferenceError(`workflow code cannot load ${name}`);
  return found;
}

/** The globals of one run: what it adds is its own. So is `Reflect`, which packages for decorators add functions to. */
export function runGlobals(): { Reflect: object } {
  const globals = Object.create(shared) as Record<string, unknown>;
  const value = Object.defineProperties({}, reflection);
  Object.defineProperty(globals, 'Reflect', { value, writable: true, configurable: true });
  for (const name of ['globalThis', 'global']) Object.defineProperty(globals, name, { value: globals });
  return globals as { Reflect: object };
}

/** The run of a first activation. Its modules are made when that is applied. */
export function createRun(options: RunOptions): Run {
  return new Run(options);
}

/** What follows is of the run. */
export function enter(run: Run): void {
  restorePins();
  setCurrentRun(run);
}

/** After all continuations have run. */
export function leave(run: Run): void {
  setCurrentRun(undefined);
  const spoiled = restorePins();
  if (spoiled === undefined) return;
  run.outcome.failTaskInstead(new TypeError(`Cannot assign to read only property: ${spoiled} was assigned, and was put back`));
}

export type { Activation, Bundle, Host };
