/** Transactions that append to and read lists, the sharpest way to see isolation break (Elle). */

import type { ChainableCommander, Redis } from 'ioredis';
import type { Random } from '../../src/platform/index.ts';
import { listAppendChecker } from '../checkers/transactions.ts';
import type { Workload } from '../types.ts';
import { exec } from './transaction.ts';

type MicroOp = ['append' | 'r', key: string, value: unknown];

/** A key is given up after this many appends, so that lists stay short. */
const APPENDS_PER_KEY = 60;
/** Few, so that operations meet. */
const ACTIVE_KEYS = 5;

const parseList = (text: string | null): number[] => (text ?? '').split(' ').filter(Boolean).map(Number);

/** What holds a list: a string that grows, or a list in rows. */
type Holder = 'string' | 'list';

const LIST_RANGE = [0, -1] as const;

export interface ListAppendOptions {
  readonly name: string;
  /** Upper bound on micro-operations; with 1 every operation is a plain command. */
  readonly keysPerTransaction: number;
  /** `string` unless given. */
  readonly holder?: Holder;
  /** Keys that are used at a time. A read waits for writes of its key that are in flight: with few keys and slow writes, nearly all do. */
  readonly activeKeys?: number;
}

/** Appends to lists and reads of them, single commands or transactions. */
export function listAppend({
  name,
  keysPerTransaction,
  holder = 'string',
  activeKeys = ACTIVE_KEYS,
}: ListAppendOptions): Workload {
  const prefix = holder === 'list' ? 'list-rows-' : 'list-';
  const append = (on: ChainableCommander | Redis, key: string, element: unknown): unknown =>
    holder === 'list' ? on.rpush(key, String(element)) : on.append(key, `${element} `);
  const read = (on: ChainableCommander | Redis, key: string): unknown =>
    holder === 'list' ? on.lrange(key, ...LIST_RANGE) : on.get(key);
  const parse = (reply: unknown): number[] =>
    holder === 'list' ? (reply as string[]).map(Number) : parseList(reply as string | null);
  const appends = new Map<number, number>();
  let firstKey = 0;
  const pickKey = (random: Random): number => {
    while ((appends.get(firstKey) ?? 0) >= APPENDS_PER_KEY) firstKey++;
    return firstKey + random.int(activeKeys);
  };
  return {
    name,
    description:
      keysPerTransaction === 1
        ? 'APPEND and GET of single keys; strictly serializable'
        : `transactions of appends and reads over several ${holder === 'list' ? 'lists' : 'keys'}; strictly serializable`,
    checker: listAppendChecker,
    generate({ random, nextId }) {
      const ops: MicroOp[] = [];
      for (let left = 1 + random.int(keysPerTransaction); left > 0; left--) {
        const key = pickKey(random);
        if (random.next() < 0.5) {
          ops.push(['r', `${prefix}${key}`, null]);
          continue;
        }
        appends.set(key, (appends.get(key) ?? 0) + 1);
        ops.push(['append', `${prefix}${key}`, nextId()]);
      }
      return { f: ops.every(([f]) => f === 'r') ? 'read' : 'txn', value: ops };
    },
    isReadOnly: (f) => f === 'read',
    async execute(client, { value }) {
      const ops = value as MicroOp[];
      if (ops.length === 1) {
        const [f, key, element] = ops[0]!;
        if (f === 'r') return [['r', key, parse(await read(client, key))]];
        await append(client, key, element);
        return ops;
      }
      const transaction = client.multi();
      for (const [f, key, element] of ops) {
        if (f === 'r') read(transaction, key);
        else append(transaction, key, element);
      }
      const replies = await exec(transaction);
      return ops.map(([f, key, element], at) => [f, key, f === 'r' ? parse(replies[at]) : element]);
    },
  };
}
