/**
 * Classes that JavaScript itself lacks and workflows use: they work by the worker's own, which stay out of reach, so that
 * nobody can change those from here.
 */

type Web = Pick<typeof globalThis, 'TextDecoder' | 'TextEncoder' | 'URL' | 'URLSearchParams'>;

/** What a class of the worker throws is an error of its realm; users get one of theirs. */
function own<T>(fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw new TypeError((error as Error).message);
  }
}

/** The classes, made from those of the worker. */
export function webClasses(worker: Web): Web {
  const URLSearchParams = searchParamsClass(worker.URLSearchParams);
  const URL = urlClass(worker.URL, URLSearchParams);
  return { ...textClasses(worker), URL, URLSearchParams } as unknown as Web;
}

function textClasses({ TextEncoder: Encoder, TextDecoder: Decoder }: Web) {
  class TextEncoder {
    get encoding(): string {
      return 'utf-8';
    }
    encode(text = ''): Uint8Array {
      return new Uint8Array(new Encoder().encode(String(text)));
    }
  }

  class TextDecoder {
    readonly #inner: InstanceType<typeof Decoder>;
    constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }) {
      this.#inner = own(() => new Decoder(label, options));
    }
    get encoding(): string {
      return this.#inner.encoding;
    }
    decode(bytes?: Uint8Array, options?: { stream?: boolean }): string {
      return own(() => this.#inner.decode(bytes, options));
    }
  }

  return { TextEncoder, TextDecoder };
}

function searchParamsClass(Search: Web['URLSearchParams']) {
  return class URLSearchParams {
    readonly #inner: InstanceType<typeof Search>;
    constructor(init: unknown = '', shared?: InstanceType<typeof Search>) {
      const text = init instanceof URLSearchParams ? init.toString() : (init as string);
      this.#inner = shared ?? own(() => new Search(text));
    }
    append(name: string, value: string): void {
      this.#inner.append(name, value);
    }
    delete(name: string): void {
      this.#inner.delete(name);
    }
    get(name: string): string | null {
      return this.#inner.get(name);
    }
    getAll(name: string): string[] {
      return [...this.#inner.getAll(name)];
    }
    has(name: string): boolean {
      return this.#inner.has(name);
    }
    set(name: string, value: string): void {
      this.#inner.set(name, value);
    }
    sort(): void {
      this.#inner.sort();
    }
    get size(): number {
      return [...this.#inner].length;
    }
    toString(): string {
      return this.#inner.toString();
    }
    forEach(callback: (value: string, name: string, all: URLSearchParams) => void): void {
      for (const [name, value] of this) callback(value, name, this);
    }
    *entries(): IterableIterator<[string, string]> {
      for (const [name, value] of this.#inner) yield [name, value];
    }
    *keys(): IterableIterator<string> {
      for (const [name] of this.#inner) yield name;
    }
    *values(): IterableIterator<string> {
      for (const [, value] of this.#inner) yield value;
    }
    [Symbol.iterator](): IterableIterator<[string, string]> {
      return this.entries();
    }
  };
}

function urlClass(Url: Web['URL'], URLSearchParams: ReturnType<typeof searchParamsClass>) {
  class URL {
    readonly #inner: InstanceType<typeof Url>;
    readonly searchParams: InstanceType<typeof URLSearchParams>;
    constructor(url: unknown, base?: unknown) {
      this.#inner = own(() => new Url(String(url), base === undefined ? undefined : String(base)));
      this.searchParams = new URLSearchParams('', this.#inner.searchParams);
    }
    static canParse(url: unknown, base?: unknown): boolean {
      try {
        return Boolean(new URL(url, base));
      } catch {
        return false;
      }
    }
    static part(name: (typeof PARTS)[number]): PropertyDescriptor {
      return {
        get(this: URL) {
          return this.#inner[name];
        },
        set(this: URL, value: unknown) {
          own(() => Object.assign(this.#inner, { [name]: String(value) }));
        },
        enumerable: true,
        configurable: true,
      };
    }
    get origin(): string {
      return this.#inner.origin;
    }
    toString(): string {
      return this.#inner.href;
    }
    toJSON(): string {
      return this.#inner.href;
    }
  }
  for (const name of PARTS) Object.defineProperty(URL.prototype, name, URL.part(name));
  Reflect.deleteProperty(URL, 'part');
  return URL;
}

const PARTS = [
  'href',
  'protocol',
  'username',
  'password',
  'host',
  'hostname',
  'port',
  'pathname',
  'search',
  'hash',
] as const;
