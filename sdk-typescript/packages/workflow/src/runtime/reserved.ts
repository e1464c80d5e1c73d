/** Names of messages that are the SDK's own: tools ask every workflow by them. */

const PREFIX = '__temporal_';
const STACK_TRACES: readonly string[] = ['__stack_trace', '__enhanced_stack_trace'];

/** Throws what the official SDK throws when code takes such a name for a handler. */
export function checkUnreserved(kind: 'query' | 'signal' | 'update', name: string): void {
  if (name.startsWith(PREFIX)) throw new TypeError(`Cannot use ${kind} name: '${name}', with reserved prefix: '${PREFIX}'`);
  if (STACK_TRACES.includes(name)) throw new TypeError(`Cannot use ${kind} name: '${name}', which is a reserved name`);
}

/** Whether the name is one that handlers for everything else don't get to see. */
export function isReserved(name: string): boolean {
  return name.startsWith(PREFIX) || STACK_TRACES.includes(name);
}
