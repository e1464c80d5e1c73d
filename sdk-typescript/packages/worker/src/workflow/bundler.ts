/** Bundles workflow code into one function, whose every call makes the modules anew. */

import { builtinModules } from 'node:module';
import { dirname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildOptions, Metafile, Plugin } from 'esbuild';
import { type Place, original } from './original';

export interface BundleOptions {
  /**
   * The module that exports the workflows: its path, as `require.resolve('./workflows')` gives it, or its URL, as
   * `import.meta.resolve('./workflows.js')` does.
   */
  workflowsPath: string | URL;
  payloadConverterPath?: string | URL;
  failureConverterPath?: string | URL;
  /** Modules that workflow code imports but never calls. */
  ignoreModules?: string[];
}

export interface WorkflowBundleWithSourceMap {
  /** JavaScript, with its source map inline. */
  code: string;
}

/** The bundle's name in stack traces, before they are mapped to its sources. */
export const BUNDLE_NAME = 'workflow-bundle.js';

/** What the workflow context has already. */
const SHARED = new Set([
  '@durably/common',
  '@durably/workflow',
  ...['assert', 'assert/strict', 'url', 'util'].flatMap((name) => [name, `node:${name}`]),
]);
/** The module that the bundle begins with, in errors and stack traces. */
const ENTRY = 'workflow-entry.js';
const BUILT_IN = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

/** What surrounds a bundle. Names of the worker's realm that modules may not share are parameters. */
const BANNER = '(function (require, module, exports, globalThis, global, Reflect) { "use strict";';
const FOOTER = '});';

/** Bundles ahead of time: pass the result as `workflowBundle`, or write its code to a file and pass its `codePath`. */
export async function bundleWorkflowCode(options: BundleOptions): Promise<WorkflowBundleWithSourceMap> {
  const { ignoreModules = [] } = options;
  const workflowsPath = pathOf('workflowsPath', options.workflowsPath)!;
  const payloadConverterPath = pathOf('payloadConverterPath', options.payloadConverterPath);
  const failureConverterPath = pathOf('failureConverterPath', options.failureConverterPath);
  if (!isAbsolute(workflowsPath)) {
    throw new TypeError(
      `workflowsPath must be an absolute path or a file: URL, such as ${resolveCall()} gives, not ${JSON.stringify(workflowsPath)}`,
    );
  }
  // Loaded when it is needed. By `require`: test runners that run programs in contexts of their own allow no import().
  const { build } = require('esbuild') as typeof import('esbuild');
  const lines = [`export * as workflows from ${JSON.stringify(workflowsPath)};`];
  if (payloadConverterPath) lines.push(`export * as payloadConverter from ${JSON.stringify(payloadConverterPath)};`);
  if (failureConverterPath) lines.push(`export * as failureConverter from ${JSON.stringify(failureConverterPath)};`);
  const settings = {
    stdin: { contents: lines.join('\n'), resolveDir: dirname(workflowsPath), sourcefile: ENTRY },
    outfile: resolve(BUNDLE_NAME),
    write: false,
    bundle: true,
    format: 'cjs',
    platform: 'neutral',
    mainFields: ['browser', 'module', 'main'],
    conditions: ['workflow', 'browser', 'import', 'require'],
    target: 'node20',
    keepNames: true,
    // Packages ask for it when they are loaded. The same everywhere, whatever the worker's environment says.
    define: { 'process.env.NODE_ENV': '"production"' },
    sourcemap: 'inline',
    logLevel: 'silent',
    banner: { js: BANNER },
    footer: { js: FOOTER },
  } satisfies BuildOptions;
  const ignored = new Set(ignoreModules);
  try {
    const built = await build({ ...settings, plugins: [boundaries(ignored)] });
    return { code: built.outputFiles[0]!.text };
  } catch (error) {
    // Once more, for the way that leads to what was refused.
    const traced = await build({ ...settings, metafile: true, plugins: [boundaries(ignored, true)] }).catch(() => undefined);
    throw readable(error, importersOf(traced?.metafile));
  }
}

/** The path of a module that is named by path or URL. */
function pathOf(option: string, given: string | URL | undefined): string | undefined {
  if (given === undefined || (typeof given === 'string' && !given.startsWith('file:'))) return given;
  try {
    return fileURLToPath(given);
  } catch (error) {
    throw new TypeError(`${option} must be an absolute path or a file: URL, not ${String(given)}: ${(error as Error).message}`);
  }
}

/** What gives a module's path in the user's module system: a program that begins with an ES module has no main module. */
function resolveCall(): string {
  return require.main === undefined ? "import.meta.resolve('./workflows.js')" : "require.resolve('./workflows')";
}

/** Leaves to the context what it shares, and keeps out what workflows can't have. */
function boundaries(ignored: ReadonlySet<string>, letAllPass = false): Plugin {
  return {
    name: 'workflow-boundaries',
    setup(build) {
      build.onResolve({ filter: /^[^./]/ }, ({ path, importer }) => {
        if (SHARED.has(path)) return { path, external: true };
        if (ignored.has(path)) return { path, namespace: 'ignored' };
        if (letAllPass && (BUILT_IN.has(path) || path.startsWith('@durably/'))) return { path, external: true };
        if (BUILT_IN.has(path) || path === '@durably/activity' || path === '@durably/client' || path === '@durably/worker') {
          const advice = path.startsWith('@durably/')
            ? 'import only its types (import type …)'
            : 'move what needs it to an activity, or list it in ignoreModules if it is never called';
          return { errors: [{ text: `workflow code imports '${path}', which is not deterministic: ${advice}`, notes: [{ text: importer }] }] };
        }
        return undefined;
      });
      build.onLoad({ filter: /.*/, namespace: 'ignored' }, ({ path }) => ({
        contents: `module.exports = new Proxy({}, { get(_, name) { if (name === '__esModule') return undefined; throw new Error(${JSON.stringify(`module '${path}' is ignored in workflows: nothing of it can be used: `)} + String(name)); } });`,
        loader: 'js',
      }));
    },
  };
}

interface Message {
  text: string;
  location: Place | null;
}

/** The bundler's error as lines that say where and what, and through which imports. */
function readable(error: unknown, importers: ReadonlyMap<string, string>): unknown {
  const messages = (error as { errors?: Message[] }).errors;
  if (!Array.isArray(messages)) return error;
  const lines = messages.map(({ text, location }) => {
    if (!location) return text;
    if (location.file.endsWith(ENTRY)) return `${text}: pass the path of a module that is there, such as ${resolveCall()}`;
    const { file, line: number, lineText } = original(location);
    const line = `${file}:${number}: ${text}\n    ${lineText.trim()}`;
    return `${line}${wayTo(location.file, importers)}`;
  });
  return new Error(`Failed to bundle the workflow code:\n  ${lines.join('\n  ')}`);
}

/** Which file was first to import each. */
function importersOf(metafile: Metafile | undefined): ReadonlyMap<string, string> {
  const importers = new Map<string, string>();
  for (const [importer, { imports }] of Object.entries(metafile?.inputs ?? {})) {
    for (const { path, external } of imports) if (!external && !importers.has(path)) importers.set(path, importer);
  }
  return importers;
}

/** Empty for the user's own module, which is the first of the way. */
function wayTo(file: string, importers: ReadonlyMap<string, string>): string {
  let way = '';
  const seen = new Set([file]);
  for (let of = importers.get(file); of !== undefined && !of.endsWith(ENTRY) && !seen.has(of); of = importers.get(of)) {
    way += `\n    imported by ${of}`;
    seen.add(of);
  }
  return way;
}
