/**
 * Orders that survive a crash: the main program.
 *
 *     node lib/order.js orders.jsonl --state orders.db                   # run all orders to their end
 *     node lib/order.js orders.jsonl --state orders.db --crash-midway    # die with SIGKILL when half of them are paid
 *     node lib/order.js orders.jsonl --state orders.db                   # … and go on from there
 *
 * There is no server to install: the server runs in this process and keeps its state in one file. The payment ledger is
 * another file, which stands for the world outside; at the end it proves that each payment was made once.
 */

import { appendFileSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { inspect, parseArgs } from 'node:util';
import { Client, type WorkflowHandle } from '@durably/client';
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@durably/common';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@durably/worker';
import { createActivities } from './activities';
import { Ledger } from './ledger';
import { timeline } from './timeline';
import { cents, type Item, type Order, type Outcome } from './types';
import { APPROVAL_LIMIT, decide, orderWorkflow, type Settings, status } from './workflows';

const TASK_QUEUE = 'orders';
const USAGE = `usage: node lib/order.js ORDERS.jsonl --state FILE
  --state FILE               state file of the embedded server; made if missing
  --ledger FILE              payment ledger; default: STATE with .ledger at the end
  --crash-midway             SIGKILL this process when half of the orders are charged
  --approval-timeout SECONDS default 10
  --cooling-off SECONDS      timer before shipping, default 1
  --timeline ORDER_ID        order whose history is shown; default: one with a story`;

function parseArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      state: { type: 'string' },
      ledger: { type: 'string' },
      'crash-midway': { type: 'boolean', default: false },
      'approval-timeout': { type: 'string', default: '10' },
      'cooling-off': { type: 'string', default: '1' },
      timeline: { type: 'string' },
    },
  });
  const [orders] = positionals;
  const settings: Settings = {
    approvalSeconds: Number(values['approval-timeout']),
    coolingOffSeconds: Number(values['cooling-off']),
  };
  if (orders === undefined || values.state === undefined || Object.values(settings).some(Number.isNaN)) {
    throw new Error(USAGE);
  }
  const { state, ledger = `${values.state}.ledger`, timeline: shown, 'crash-midway': crashMidway } = values;
  return { orders, state, ledger, shown, crashMidway, settings };
}

/** The orders of the file; an error names the line. */
function readOrders(path: string): Order[] {
  const orders = new Map<string, Order>();
  for (const [index, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    if (line.trim() === '') {
      continue;
    }
    const where = `${path}, line ${index + 1}`;
    let order: Order;
    try {
      order = checked(JSON.parse(line));
    } catch (error) {
      throw new Error(`${where}: ${error instanceof Error ? error.message : error}`);
    }
    if (orders.has(order.id)) {
      throw new Error(`${where}: order id "${order.id}" is there already; ids must be unique`);
    }
    orders.set(order.id, order);
  }
  if (orders.size === 0) {
    throw new Error(`${path} has no orders`);
  }
  return [...orders.values()];
}

/** What was read, if it is an order; an error names the field. */
function checked(value: Partial<Order>): Order {
  for (const field of ['id', 'customer', 'card', 'address'] as const) {
    if (typeof value[field] !== 'string') {
      throw new Error(`"${field}" must be a text`);
    }
  }
  const isItem = ({ sku, count, price_cents }: Partial<Item>) =>
    typeof sku === 'string' && Number.isInteger(count) && Number.isInteger(price_cents);
  if (!Array.isArray(value.items) || !value.items.every(isItem)) {
    throw new Error('"items" must be a list of {"sku": text, "count": number, "price_cents": number}');
  }
  return value as Order;
}

type Handle = WorkflowHandle<typeof orderWorkflow>;

/**
 * Starts an order's workflow, or finds the one of an earlier run of this program. The workflow's id is the order's, so
 * that an order can't be taken twice, however often this is called.
 */
async function start(client: Client, order: Order, settings: Settings): Promise<Handle> {
  const workflowId = `order-${order.id}`;
  try {
    return await client.workflow.start(orderWorkflow, {
      workflowId,
      taskQueue: TASK_QUEUE,
      args: [order, settings],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
    });
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) {
      return client.workflow.getHandle<typeof orderWorkflow>(workflowId);
    }
    throw error;
  }
}

/** Decides about a large order as soon as it asks: mallory gets nothing, for nobody's orders nobody has time. */
async function playManager(handle: Handle, order: Order): Promise<void> {
  if (order.customer === 'nobody') {
    return;
  }
  let now = await handle.query(status);
  while (now === 'received' || now === 'validating') {
    await setTimeout(200);
    now = await handle.query(status);
  }
  if (now !== 'waiting for approval') {
    return;
  }
  try {
    await handle.signal(decide, order.customer !== 'mallory');
  } catch (error) {
    // The time for the approval may have run out meanwhile, and the order be closed.
    if (!(error instanceof WorkflowNotFoundError)) {
      throw error;
    }
  }
}

/** How far the orders are. */
class Board {
  private taken = 0;
  readonly outcomes: Outcome[] = [];

  constructor(
    readonly total: number,
    private readonly ledger: Ledger,
  ) {}

  /** One order from start to end, seen from outside. */
  async follow(client: Client, order: Order, settings: Settings): Promise<void> {
    const handle = await start(client, order, settings);
    this.taken += 1;
    if (cents(order) >= APPROVAL_LIMIT) {
      await playManager(handle, order);
    }
    this.outcomes.push(await handle.result());
  }

  /** Prints a line whenever something has changed, at most twice a second. */
  show(): { stop(): void } {
    const began = performance.now();
    let last = '';
    const print = () => {
      const line = `${this.taken}/${this.total} orders taken, ${this.ledger.count} charged, ${this.outcomes.length} closed`;
      if (line !== last) {
        console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`);
        last = line;
      }
    };
    const timer = setInterval(print, 500);
    return { stop: () => clearInterval(timer) };
  }

  /** Prints how the orders ended, and whether the ledger agrees; returns whether it does. */
  report(): boolean {
    console.log(`\nAll ${this.total} orders are closed:`);
    const counts = new Map<string, number>();
    const shipped = new Set<string>();
    for (const { orderId, result, detail } of this.outcomes) {
      const text = result === 'shipped' ? result : `${result}: ${detail}`;
      counts.set(text, (counts.get(text) ?? 0) + 1);
      if (result === 'shipped') {
        shipped.add(orderId);
      }
    }
    for (const text of [...counts.keys()].sort()) {
      console.log(`  ${String(counts.get(text)).padStart(4)}  ${text}`);
    }
    const { refunds, repeated, kept } = this.ledger.report();
    console.log(
      `\nPayment ledger: ${this.ledger.count} charges, ${refunds} refunded, ` +
        `${repeated} repeated requests answered without a charge.`,
    );
    const unpaid = [...shipped].filter((id) => !kept.has(id));
    const unshipped = [...kept].filter((id) => !shipped.has(id));
    if (unpaid.length === 0 && unshipped.length === 0) {
      console.log(`Each of the ${shipped.size} shipped orders was charged exactly once, and no other order paid.`);
      return true;
    }
    console.log(`Charged but not shipped: ${unshipped}; shipped but not charged: ${unpaid}`);
    return false;
  }

  /** An order with a story: under way during the crash if there was one, shipped, and large. */
  choose(openBefore: Map<string, number>, orders: Order[]): string {
    const shipped = new Set(this.outcomes.filter(({ result }) => result === 'shipped').map(({ orderId }) => orderId));
    // By its fourth event, a workflow's code has run once.
    const underWay = (order: Order) => (openBefore.get(`order-${order.id}`) ?? 0) >= 4;
    const story = (order: Order) => (underWay(order) ? 2e12 : 0) + (shipped.has(order.id) ? 1e12 : 0) + cents(order);
    return orders.reduce((best, order) => (story(order) > story(best) ? order : best)).id;
  }
}

/** The workflows that an earlier run of this program has left open, with the length of their histories. */
async function openWorkflows(client: Client): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { workflowId, historyLength } of client.workflow.list({ query: 'ExecutionStatus = "Running"' })) {
    found.set(workflowId, historyLength);
  }
  return found;
}

async function main(): Promise<number> {
  const { orders: file, state, ledger: book, shown, crashMidway, settings } = parseArguments();
  const orders = readOrders(file);
  const ledger = new Ledger(book);
  if (crashMidway) {
    ledger.dieAt = Math.floor(orders.length / 2);
  }
  // Retries and the like go to a file, so that the screen shows the orders.
  const logger = new DefaultLogger('INFO', ({ level, message, meta }) => {
    appendFileSync(`${state}.log`, `${new Date().toISOString()} ${level} ${message} ${inspect(meta, { breakLength: Infinity })}\n`);
  });
  Runtime.install({ logger });

  const connection = await NativeConnection.connect({ address: `embedded:${state}` });
  const client = new Client({ connection });
  const openBefore = await openWorkflows(client);
  if (openBefore.size > 0) {
    console.log(`${openBefore.size} orders are open from an earlier run; they go on where they were.`);
  }
  const worker = await Worker.create({
    connection,
    taskQueue: TASK_QUEUE,
    workflowsPath: require.resolve('./workflows'),
    activities: createActivities(ledger),
    maxConcurrentActivityTaskExecutions: 16,
  });
  const board = new Board(orders.length, ledger);
  const progress = board.show();
  await worker.runUntil(Promise.all(orders.map((order) => board.follow(client, order, settings))));
  progress.stop();

  const exact = board.report();
  const id = shown ?? board.choose(openBefore, orders);
  console.log(`\nHistory of order ${id}:`);
  for (const line of timeline(await client.workflow.getHandle(`order-${id}`).fetchHistory())) {
    console.log(line);
  }
  await connection.close();
  return exact ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
