/** Places in compiled files as places in the files that a person wrote. */

import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, relative, resolve } from 'node:path';

export interface Place {
  /** Relative to the working directory. */
  file: string;
  /** From 1. */
  line: number;
  /** In bytes, from 0. */
  column: number;
  lineText: string;
}

/** Where it stands in the source, if the file names a source map and that and the source are there; else where it stands. */
export function original(place: Place): Place {
  try {
    const path = resolve(place.file);
    const link = /^\/\/# sourceMappingURL=(.+)$/gm;
    const url = [...readFileSync(path, 'utf8').matchAll(link)].at(-1)?.[1]?.trim();
    if (url === undefined) return place;
    const [, encoded] = url.split('base64,');
    const map = encoded ? Buffer.from(encoded, 'base64').toString('utf8') : readFileSync(resolve(dirname(path), url), 'utf8');
    const payload = JSON.parse(map) as { sourceRoot?: string };
    const entry = new SourceMap(payload as ConstructorParameters<typeof SourceMap>[0]).findEntry(place.line - 1, place.column);
    if (!('originalSource' in entry)) return place;
    const source = resolve(dirname(path), payload.sourceRoot ?? '', entry.originalSource);
    const lineText = readFileSync(source, 'utf8').split('\n')[entry.originalLine] ?? '';
    return { file: relative('', source), line: entry.originalLine + 1, column: entry.originalColumn, lineText };
  } catch {
    return place;
  }
}
