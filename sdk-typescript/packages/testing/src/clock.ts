/** The clock of a server that skips time: it stands, unless somebody waits for a result or sleeps. */

import { inActivityContext } from '@durably/activity';
import type { Connection, TestService } from '@durably/client';
import { type Duration, msToTs, tsToMs } from '@durably/common/lib/time';

/** The deadline of a sleep is real time, of which skipping takes little unless workers are slow. */
const A_DAY = 24 * 60 * 60 * 1000;

const clocks = new WeakMap<Connection, Clock>();

export class Clock {
  private waiting = 0;
  /** Calls that lock and unlock reach the server in order. */
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly connection: Connection,
    private readonly service: TestService,
  ) {}

  /** The clock behind the connection: one, whoever asks. */
  static of(connection: Connection): Clock {
    const known = clocks.get(connection);
    if (known) return known;
    const clock = new Clock(connection, connection.testService);
    clocks.set(connection, clock);
    return clock;
  }

  /** Lets time skip until the promise that `wait` makes is settled. */
  async skippingWhile<T>(wait: () => Promise<T>): Promise<T> {
    await this.inOrder(async () => {
      if (this.waiting === 0) await this.service.unlockTimeSkipping();
      this.waiting++;
    });
    try {
      return await wait();
    } finally {
      await this.inOrder(async () => {
        this.waiting--;
        if (this.waiting === 0) await this.service.lockTimeSkipping();
      });
    }
  }

  /** Moves the clock. Where somebody waits, time skips anyway, unless an activity holds it: that one lets go itself. */
  async sleep(duration: Duration): Promise<void> {
    const request = { duration: msToTs(duration) };
    const slept = await this.inOrder(async () => {
      // One call, so that time can't run on between the end of the sleep and a lock. Only its beginning is in order.
      const skips = this.waiting === 0 || inActivityContext();
      const sleep = skips ? this.service.unlockTimeSkippingWithSleep : this.service.sleep;
      return { done: this.connection.withDeadline(Date.now() + A_DAY, () => sleep(request)) };
    });
    await slept.done;
  }

  /** Milliseconds since the epoch. */
  async now(): Promise<number> {
    const { time } = await this.service.getCurrentTime();
    return tsToMs(time);
  }

  private inOrder<T>(call: () => Promise<T>): Promise<T> {
    const next = this.last.then(call);
    this.last = next.catch(() => undefined);
    return next;
  }
}
