/** Workflows with updates: what is validated, handled and left, for tests of what becomes of each. */

import {
  ApplicationFailure,
  HandlerUnfinishedPolicy,
  allHandlersFinished,
  condition,
  continueAsNew,
  currentUpdateInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
  executeChild,
  getExternalWorkflowHandle,
  proxyActivities,
  setDefaultQueryHandler,
  setDefaultSignalHandler,
  setDefaultUpdateHandler,
  setHandler,
  sleep,
  startChild,
  uuid4,
} from '@durably/workflow';

const { echo } = proxyActivities<{ echo(value: unknown): Promise<unknown> }>({ startToCloseTimeout: '1 minute' });

export const add = defineUpdate<number, [amount: number, note?: object]>('add');
export const slow = defineUpdate<string, [name: string]>('slow');
export const fails = defineUpdate<void, [how: string]>('fails');
export const told = defineSignal<[text: string]>('told');
export const end = defineSignal('end');
export const log = defineQuery<string[]>('log');

/** Adds what is positive, and logs what comes in which order. */
export async function counts(): Promise<string[]> {
  const seen: string[] = ['main'];
  let sum = 0;
  let ended = false;
  setHandler(log, () => seen, { description: 'what came so far' });
  setHandler(told, (text) => void seen.push(`told ${text}`), { description: 'takes a note' });
  setHandler(end, () => void (ended = true));
  setHandler(
    add,
    (amount, note) => {
      seen.push(`add ${amount} ${JSON.stringify(note ?? null)}`);
      return (sum += amount);
    },
    {
      description: 'adds to the sum',
      validator: (amount, note) => {
        if (note) Object.assign(note, { seen: true });
        if (!(amount > 0)) throw new RangeError(`${amount} is not positive`);
      },
    },
  );
  seen.push('set');
  await condition(() => ended);
  return seen;
}

/** Its handler waits for everything that code can wait for. */
export async function waits(): Promise<string[]> {
  const seen: string[] = [];
  let ended = false;
  setHandler(end, () => void (ended = true));
  setHandler(told, (text) => void seen.push(text));
  setHandler(slow, async (name) => {
    seen.push(`${name} begins`);
    const echoed = await echo(name);
    await sleep(1);
    const child = await executeChild('echoes', { args: [name] });
    await condition(() => seen.includes(`go ${name}`));
    seen.push(`${name} ends`);
    return `${echoed} ${child} ${currentUpdateInfo()?.name}`;
  });
  setHandler(log, () => seen);
  await condition(() => ended && allHandlersFinished());
  return seen;
}

export async function echoes(value: unknown): Promise<unknown> {
  return value;
}

class OutOfStock extends Error {}

/** Its handler ends in each way. */
export async function breaks(): Promise<string> {
  let ended = false;
  setHandler(end, () => void (ended = true));
  setHandler(fails, async (how) => {
    if (how === 'failure') throw ApplicationFailure.create({ message: 'no more', type: 'Gone', details: [1], nonRetryable: true });
    if (how === 'failure later') {
      await sleep(1);
      throw ApplicationFailure.nonRetryable('no more', 'Gone', 1);
    }
    if (how === 'activity') await echo('fail');
    if (how === 'error') throw new OutOfStock('none left');
    if (how === 'odd result') return { amount: 1n } as never;
    if (how === 'new') await continueAsNew<typeof breaks>();
  });
  await condition(() => ended);
  return 'ended';
}

const odd = defineUpdate<string, [how: string]>('odd');

/** Its validator does what none may. */
export async function validatesOddly(): Promise<string> {
  let ended = false;
  setHandler(end, () => void (ended = true));
  const tries: Record<string, () => unknown> = {
    sleep: () => sleep(1),
    'caught sleep': () => {
      try {
        void sleep(1);
      } catch {
        // It thinks that nothing was.
      }
    },
    condition: () => void condition(() => false),
    activity: () => echo(1),
    child: () => void executeChild('echoes', { args: [1] }),
    signal: () => void getExternalWorkflowHandle('w').signal(told, 'x'),
    cancel: () => void getExternalWorkflowHandle('w').cancel(),
    new: () => continueAsNew<typeof validatesOddly>(),
    promise: async () => {},
    'promise that goes on': async () => {
      await null;
      await echo(uuid4());
    },
    'rejected promise': async () => {
      throw new Error('late');
    },
    nothing: () => {
      throw undefined;
    },
    text: () => {
      throw 'just text';
    },
    unreadable: () => {
      throw new Proxy({}, { get: () => { throw new Error('no'); }, getPrototypeOf: () => { throw new Error('no'); } });
    },
    failure: () => {
      throw ApplicationFailure.nonRetryable('turned away', 'Away', { why: 'so' });
    },
  };
  const validator = (how: string): void => (how === 'random' ? [uuid4(), Math.random()] : tries[how]?.()) as never;
  setHandler(odd, (how) => `${how} ${uuid4()}`, { validator });
  setHandler(defineQuery<number>('draws'), () => Math.random());
  setHandler(defineQuery<string>('waits'), () => {
    void condition(() => false);
    return 'nothing';
  });
  await condition(() => ended);
  return uuid4();
}

const early = defineUpdate<string>('early');

/** Sets its handlers late, in one task or another. */
export async function setsLate(pause: number): Promise<string[]> {
  const seen: string[] = [];
  let ended = false;
  setHandler(end, () => void (ended = true));
  if (pause > 0) await sleep(pause);
  else for (let i = 0; i < 5; i++) await null;
  setHandler(early, () => void seen.push(`early ${currentUpdateInfo()?.id}`) as never);
  setDefaultUpdateHandler(async (name, ...args) => {
    seen.push(`${name} ${JSON.stringify(args)} ${currentUpdateInfo()?.name}`);
    return name;
  });
  setDefaultSignalHandler((name, ...args) => void seen.push(`${name} ${JSON.stringify(args)}`));
  setDefaultQueryHandler((name, ...args) => [name, ...args]);
  await condition(() => ended);
  return seen;
}

/** Ends while its handlers are under way, in one way or another. */
export async function leaves(how: 'return' | 'fail' | 'new' | 'wait'): Promise<void> {
  let ended = false;
  const never = async () => await condition(() => false);
  const atTheEnd = async () => await condition(() => ended);
  setHandler(end, () => void (ended = true));
  setHandler(slow, async (name) => (name === 'ends' ? await atTheEnd() : await never(), name));
  setHandler(told, never);
  setHandler(fails, never, { unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON });
  await condition(() => ended);
  if (how === 'fail') throw ApplicationFailure.nonRetryable('enough');
  if (how === 'new') await continueAsNew<typeof leaves>('wait');
}

/** Its handler goes on when the main function has ended. */
export async function goesOn(): Promise<void> {
  let ended = false;
  setHandler(slow, async (name) => {
    ended = true;
    for (let i = 0; i < 20; i++) await null;
    void sleep(1000);
    return name;
  });
  await condition(() => ended);
}

/** Handlers inside of handlers know which update is theirs. */
export async function nests(): Promise<unknown[]> {
  const seen: unknown[] = [currentUpdateInfo()];
  let ended = false;
  const note = (where: string) => seen.push([where, currentUpdateInfo()?.id]);
  setHandler(slow, async (name) => {
    note('handler');
    await sleep(1);
    note('later');
    setHandler(told, () => void note('signal'));
    await Promise.all([null, Promise.resolve().then(() => note('branch'))]);
    ended = true;
    return name;
  }, { validator: () => void note('validator') });
  await condition(() => ended);
  note('main');
  return seen;
}

/** Sends what workflows can't. */
export async function updatesOthers(): Promise<string[]> {
  const child = await startChild('waits');
  const others: Record<string, any>[] = [child, getExternalWorkflowHandle('w')];
  const said: string[] = [];
  for (const other of others) {
    for (const name of ['executeUpdate', 'startUpdate', 'getUpdateHandle', 'query']) {
      try {
        other[name]('add', { args: [1] });
      } catch (error) {
        said.push(`${error}`);
      }
    }
  }
  return said;
}

/** Takes names that are the SDK's. */
export async function takesNames(): Promise<string[]> {
  const said: string[] = [];
  const tries = [
    () => setHandler(defineUpdate('__temporal_mine'), () => undefined),
    () => setHandler(defineSignal('__temporal_mine'), () => undefined),
    () => setHandler(defineQuery<string>('__stack_trace'), () => 'here'),
    () => setHandler(defineUpdate('mine'), 1 as never),
    () => setHandler(defineUpdate('mine'), () => undefined, { validator: 'yes' as never }),
    () => setDefaultUpdateHandler({} as never),
    () => setHandler({ type: 'other', name: 'mine' } as never, undefined),
  ];
  for (const one of tries) {
    try {
      one();
    } catch (error) {
      said.push(`${error}`);
    }
  }
  return said;
}

/** Its handler sleeps for days. */
export async function sleepsLong(): Promise<void> {
  let ended = false;
  setHandler(end, () => void (ended = true));
  setHandler(defineUpdate<string, [string]>('sleep'), async (duration) => (await sleep(duration as '1 day'), 'slept'));
  await condition(() => ended);
}
