/**
 * Makes everything that runs have in common immutable: the language's built-ins and this library. All runs of a worker
 * share one context, so what one could change, another would see.
 *
 * JavaScript forbids to assign to an object what it inherits as a read-only property, and objects of users are theirs:
 * `this.get = …` in a class that extends `Map`, `this.name = …` in an error's constructor. So whatever is writable
 * becomes an accessor whose setter gives the object that inherits it a property of its own.
 */

import { pinnedKeys } from './pins';

const { defineProperty, freeze, getOwnPropertyDescriptor, seal } = Object;

/** Freezes the objects and all that can be reached from them, except `others`, which belong to other realms. */
export function harden(roots: Iterable<unknown>, others: ReadonlySet<unknown>): void {
  const seen = new Set<unknown>(others);
  const open: object[] = [];
  const found: object[] = [];
  const visit = (value: unknown) => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
    seen.add(value);
    open.push(value);
  };
  for (const root of roots) visit(root);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    found.push(next);
    visit(Object.getPrototypeOf(next));
    for (const key of Reflect.ownKeys(next)) {
      const property = getOwnPropertyDescriptor(next, key);
      visit(property?.value);
      visit(property?.get);
      visit(property?.set);
    }
  }
  for (const object of found) freezeShared(object);
}

function freezeShared(object: object): void {
  // Elements of a typed array can't be frozen; there are none among what is shared.
  if (ArrayBuffer.isView(object)) return;
  const pinned = pinnedKeys(object);
  for (const key of Reflect.ownKeys(object)) {
    if (!pinned?.has(key)) enableOverride(object, key);
  }
  // Sealed, only what is pinned is still writable.
  if (pinned) seal(object);
  else freeze(object);
}

function enableOverride(object: object, key: PropertyKey): void {
  const property = getOwnPropertyDescriptor(object, key);
  // What isn't writable can't be assigned in plain JavaScript either. V8 reads `stackTraceLimit`, if it is no accessor.
  if (!property?.configurable || !property.writable || key === 'stackTraceLimit') return;
  const { value, enumerable } = property;
  const { get, set } = {
    get: () => value as unknown,
    set(this: object, mine: unknown) {
      if (this === object) throw new TypeError(`Cannot assign to read only property '${String(key)}' of what is shared`);
      if (Object.hasOwn(this, key)) defineProperty(this, key, { value: mine });
      else defineProperty(this, key, { value: mine, enumerable: true, writable: true, configurable: true });
    },
  };
  // By convention, it tells packages that look at properties that this is data in truth.
  Object.assign(get, { originalValue: value as unknown });
  defineProperty(object, key, { enumerable: enumerable ?? false, configurable: false, get, set });
  freeze(get);
  freeze(set);
}
