/**
 * A bank on kvorum: clerks that transfer money between accounts at once, an auditor that counts all of it. Start a cluster with
 * `npm start`, run this file with Node, and kill a node while it goes on: transfers pause for an election, and not a coin is lost or
 * made. In a new cluster the accounts are all in group 1; `raftadmin` may split and move them meanwhile (`kbank/025`).
 *
 *   node examples/bank.ts [seconds] [host:port,host:port,..]
 *
 * A program that has installed the package imports from 'kvorum' instead.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { KvorumClient, KvorumClientError, type TransactionView } from '../src/client/index.ts';

const ACCOUNTS = 50;
const OPENING_BALANCE = 100;
const CLERKS = 6;
const AUDIT_EVERY_MS = 1_000;

const [seconds = '30', endpoints = '127.0.0.1:50051,127.0.0.1:50052,127.0.0.1:50053'] = process.argv.slice(2);
const client = new KvorumClient({ endpoints: endpoints.split(',') });
const untilMs = Date.now() + Number(seconds) * 1000;
const total = ACCOUNTS * OPENING_BALANCE;
const counts = { transferred: 0, tooPoor: 0, unknown: 0, failed: 0 };

const account = (): string => `bank/${String(Math.floor(Math.random() * ACCOUNTS)).padStart(3, '0')}`;

class NotEnoughMoney extends Error {}

/** Moves money; what it throws leaves everything as it was. */
async function transfer(t: TransactionView, from: string, to: string, amount: number): Promise<void> {
  const balance = Number(await t.get(from));
  if (balance < amount) throw new NotEnoughMoney(`${from} has ${balance}`);
  const other = Number(await t.get(to));
  await t.put(from, String(balance - amount));
  await t.put(to, String(other + amount));
}

async function clerk(): Promise<void> {
  while (Date.now() < untilMs) {
    const from = account();
    const to = account();
    if (from === to) continue;
    try {
      await client.transaction((t) => transfer(t, from, to, 1 + Math.floor(Math.random() * 20)));
      counts.transferred++;
    } catch (error) {
      if (error instanceof NotEnoughMoney) counts.tooPoor++;
      // It happened as a whole or not at all: the sum is right either way.
      else if (error instanceof KvorumClientError && error.isUnknown) counts.unknown++;
      else if (error instanceof KvorumClientError) counts.failed++;
      else throw error;
    }
  }
}

/** All money of the bank at one moment. */
const audit = (): Promise<number> =>
  client.transaction(
    async (t) => {
      let sum = 0;
      for await (const { value } of t.scan({ prefix: 'bank/' })) sum += Number(value);
      return sum;
    },
    { snapshot: true },
  );

async function auditor(): Promise<void> {
  while (Date.now() < untilMs) {
    await delay(AUDIT_EVERY_MS);
    const sum = await audit().catch((error: Error) => error.message);
    console.log(`${new Date().toISOString()}  sum ${sum}  ${JSON.stringify(counts)}`);
    if (typeof sum === 'number' && sum !== total) throw new Error(`the bank has ${sum} instead of ${total}`);
  }
}

await client.deleteRange({ prefix: 'bank/' });
await client.putMany(
  Array.from({ length: ACCOUNTS }, (_, at) => ({
    key: `bank/${String(at).padStart(3, '0')}`,
    value: String(OPENING_BALANCE),
  })),
);
await Promise.all([auditor(), ...Array.from({ length: CLERKS }, clerk)]);
const sum = await audit();
console.log(`${counts.transferred} transfers; the bank has ${sum} of ${total}`);
client.close();
process.exitCode = sum === total ? 0 : 1;
