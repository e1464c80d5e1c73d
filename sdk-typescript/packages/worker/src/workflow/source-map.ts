/** Positions in a bundle as positions in the files that it was made from. */

import { SourceMap } from 'node:module';
import { resolve } from 'node:path';
import { BUNDLE_NAME } from './bundler';

const POSITION = new RegExp(`(?:[^\\s()]*[\\\\/])?${BUNDLE_NAME.replace('.', '\\.')}:(\\d+):(\\d+)`, 'g');
const FRAME = /^[ \t]*at .*$/gm;
const INLINE = /^\/\/# sourceMappingURL=data:application\/json;(?:charset=[\w-]+;)?base64,(.+)$/m;

export class Positions {
  private map: SourceMap | null | undefined;

  constructor(private readonly code: string) {}

  /** A stack trace with the sources' positions. */
  mapStack(stack: string): string {
    // A user's error may have anything for a stack.
    if (typeof stack !== 'string') return '';
    // Frames only: a message may be long, and to look for a position in it takes the square of its length.
    return stack.replace(FRAME, (frame) => {
      if (!frame.includes(BUNDLE_NAME)) return frame;
      return frame.replace(POSITION, (found, line: string, column: string) => {
        const source = this.find(Number(line), Number(column));
        return source ? `${source.file}:${source.line}:${source.column}` : found;
      });
    });
  }

  /** `file:line` of the first frame in the user's code; empty if there is none. */
  locate(stack: string | undefined): string {
    POSITION.lastIndex = 0;
    const match = POSITION.exec(stack ?? '');
    POSITION.lastIndex = 0;
    const source = match && this.find(Number(match[1]), Number(match[2]));
    return source ? `${source.file}:${source.line}` : '';
  }

  private find(line: number, column: number): { file: string; line: number; column: number } | undefined {
    if (this.map === undefined) this.map = read(this.code);
    const entry = this.map?.findEntry(line - 1, column - 1);
    if (!entry || !('originalSource' in entry)) return undefined;
    return { file: resolve(entry.originalSource), line: entry.originalLine + 1, column: entry.originalColumn + 1 };
  }
}

/** Only when something is to be mapped: a large map takes a while to read. */
function read(code: string): SourceMap | null {
  const encoded = INLINE.exec(code.slice(code.lastIndexOf('\n//# sourceMappingURL=') + 1))?.[1];
  if (encoded === undefined) return null;
  return new SourceMap(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')));
}
