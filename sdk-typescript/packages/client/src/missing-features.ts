/** What official clients have and this release lacks: whoever uses it reads that, instead of `undefined`. */

const CLIENT = ['schedule'];

function refuse(name: string): never {
  throw new TypeError(`${name} is not in this release of @durably/client; its README lists what is not there yet`);
}

/** Clients of other things than workflows are properties: whatever is called of them says so. */
export function addMissingOfClient(prototype: object): void {
  for (const name of CLIENT) {
    const get = () => new Proxy({}, { get: (_, method) => (typeof method === 'string' ? () => refuse(`client.${name}.${method}`) : undefined) });
    Object.defineProperty(prototype, name, { get, configurable: true });
  }
}
