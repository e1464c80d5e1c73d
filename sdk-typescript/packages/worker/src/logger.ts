/** The default logger: lines on standard error. */

import { inspect } from 'node:util';
import type { LogLevel, LogMetadata, Logger } from '@durably/common';
import { loggerOf } from '@durably/common/lib/logger';

export interface LogEntry {
  level: LogLevel;
  message: string;
  timestampNanos: bigint;
  meta?: LogMetadata;
}

const LEVELS: readonly LogLevel[] = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'];

function write({ level, message, timestampNanos, meta }: LogEntry): void {
  const time = new Date(Number(timestampNanos / 1_000_000n)).toISOString();
  const rest = meta === undefined ? '' : ` ${inspect(meta, { breakLength: Number.POSITIVE_INFINITY, depth: 4 })}`;
  process.stderr.write(`${time} [${level}] ${message}${rest}\n`);
}

/** Passes on what is at least as severe as its level, to standard error unless told otherwise. */
export class DefaultLogger implements Logger {
  private readonly logger: Logger;
  readonly trace: Logger['trace'];
  readonly debug: Logger['debug'];
  readonly info: Logger['info'];
  readonly warn: Logger['warn'];
  readonly error: Logger['error'];

  constructor(
    readonly level: LogLevel = 'INFO',
    logFunction: (entry: LogEntry) => void = write,
  ) {
    const least = LEVELS.indexOf(level);
    this.logger = loggerOf((one, message, meta) => {
      if (LEVELS.indexOf(one) < least) return;
      logFunction({ level: one, message, timestampNanos: BigInt(Date.now()) * 1_000_000n, meta });
    });
    ({ trace: this.trace, debug: this.debug, info: this.info, warn: this.warn, error: this.error } = this.logger);
  }

  log(level: LogLevel, message: string, meta?: LogMetadata): void {
    this.logger.log(level, message, meta);
  }
}
