/** Hashes, sets and sorted sets of which clients add, change, remove and read elements, one by one and as a whole. */
import type { ChainableCommander, Redis } from 'ioredis';
import type { Random } from '../../src/platform/index.ts';
import {
  type BoardView,
  type ElementsInput,
  type ElementsOutput,
  elementsChecker,
  viewsChecker,
  type WholeView,
} from '../checkers/elements.ts';
import { composeCheckers } from '../history.ts';
import type { Invocation, Workload, WorkloadContext } from '../types.ts';
import { exec } from './transaction.ts';

/** In use at a time, all of a workload in one slot, so that a cut may come between them. */
const COLLECTIONS = 2;
/** Then others take their place: a whole read concerns every element that its collection ever had. */
const OPERATIONS_PER_COLLECTIONS = 1000;
/** Elements change as the run goes on, so that each one's history stays short enough to search. Those before stay where they are. */
const OPERATIONS_PER_ELEMENT = 40;
const ELEMENTS_AT_A_TIME = 4;
/** Most elements that come and go in one command. */
const MANY = 64;
/** Most of those that came together that go in one command: so few that pages are emptied one after the other. */
const FEW = 12;
const SCORES = 12;
/** Bytes by which every so manieth name or value is longer: some are beyond what lies in a page. */
const STEP_BYTES = 60;
const STEPS = 5;

type Elements = readonly (readonly [name: string, value: unknown])[];

/** How one type does it. Elements that count have names that begin with `n`. */
interface Dialect {
  readonly name: string;
  readonly description: string;
  valueOf(id: number, random: Random, counts: boolean): unknown;
  put(on: Redis | ChainableCommander, key: string, elements: Elements): unknown;
  remove(client: Redis, key: string, names: readonly string[]): Promise<number>;
  get(client: Redis, key: string, name: string): Promise<unknown>;
  all(client: Redis, key: string): Promise<Pick<ElementsOutput, 'all'> & { readonly view?: BoardView }>;
  /** All of it and its size, in one transaction. */
  look(client: Redis, key: string): Promise<{ readonly view: BoardView } | { readonly whole: WholeView }>;
  increment?(client: Redis, key: string, name: string, by: number): Promise<number>;
  pop?(client: Redis, key: string, random: number): Promise<string | null>;
}

const padding = (id: number): string => '.'.repeat((id % STEPS) * STEP_BYTES);

/** `[a, b, c, d]` as pairs; the official client makes an object of some replies. */
const pairsOf = (reply: unknown): [string, string][] =>
  Array.isArray(reply)
    ? Array.from({ length: reply.length / 2 }, (_, at) => [reply[2 * at] as string, reply[2 * at + 1] as string])
    : Object.entries(reply as Record<string, string>);

const fieldValue = (name: string, value: string | null): unknown =>
  value !== null && name.startsWith('n') ? Number(value) : value;

const hash: Dialect = {
  name: 'hash-fields',
  description: 'fields of hashes are set, added to, removed and read; linearizable per field',
  valueOf: (id, _random, counts) => (counts ? id : `${id}${padding(id)}`),
  put: (on, key, elements) => on.hset(key, ...elements.flatMap(([name, value]) => [name, String(value)])),
  remove: (client, key, names) => client.hdel(key, ...names),
  get: async (client, key, name) => fieldValue(name, await client.hget(key, name)),
  all: async (client, key) => ({
    all: pairsOf(await client.hgetall(key)).map(([name, value]) => [name, fieldValue(name, value)]),
  }),
  async look(client, key) {
    const [entries, size] = await exec(client.multi().hgetall(key).hlen(key));
    return { whole: { names: pairsOf(entries).map(([name]) => name), size: size as number } };
  },
  increment: (client, key, name, by) => client.hincrby(key, name, by),
};

const set: Dialect = {
  name: 'members',
  description: 'members of sets are added, removed, taken at random and read; linearizable per member',
  valueOf: () => true,
  put: (on, key, elements) => on.sadd(key, ...elements.map(([name]) => name)),
  remove: (client, key, names) => client.srem(key, ...names),
  get: async (client, key, name) => ((await client.sismember(key, name)) === 1 ? true : null),
  all: async (client, key) => ({ all: (await client.smembers(key)).map((name) => [name, true]) }),
  async look(client, key) {
    const [names, size] = await exec(client.multi().smembers(key).scard(key));
    return { whole: { names: names as string[], size: size as number } };
  },
  pop: (client, key) => client.spop(key),
};

const named = (replies: unknown, index: number): string[] => (replies as unknown[])[index] as string[];

async function viewBoard(client: Redis, key: string): Promise<{ all: [string, number][]; view: BoardView }> {
  // What to ask for comes from a look before; the transaction may see another state, and has to fit itself.
  const asked = await client.zrange(key, '0', '-1');
  const some = [asked[0], asked[asked.length >> 1], asked.at(-1)].filter((name) => name !== undefined);
  const [from, to] = [asked.length >> 2, (asked.length * 3) >> 2];
  const [min, max] = [SCORES >> 2, (SCORES * 3) >> 2];
  const transaction = client
    .multi()
    .zrange(key, '0', '-1', 'WITHSCORES')
    .zcard(key)
    .zrange(key, String(from), String(to));
  transaction.zcount(key, min, max).zrevrangebyscore(key, max, min);
  for (const name of some) transaction.zrank(key, name);
  const replies = await exec(transaction);
  const all = pairsOf(replies[0]).map(([name, score]): [string, number] => [name, Number(score)]);
  const view: BoardView = {
    all,
    size: replies[1] as number,
    slice: { from, to, names: named(replies, 2) },
    scores: { min, max, count: replies[3] as number, names: named(replies, 4) },
    ranks: some.map((name, at) => [name, replies[5 + at] as number | null]),
  };
  return { all, view };
}

const board: Dialect = {
  name: 'leaderboard',
  description:
    'scores are set, added to and removed; linearizable per member, ranks and ranges fit all members at one moment',
  valueOf: (_id, random) => random.int(SCORES),
  put: (on, key, elements) => on.zadd(key, ...elements.flatMap(([name, score]) => [score as number, name])),
  remove: (client, key, names) => client.zrem(key, ...names),
  async get(client, key, name) {
    const score = await client.zscore(key, name);
    return score === null ? null : Number(score);
  },
  all: viewBoard,
  look: async (client, key) => ({ view: (await viewBoard(client, key)).view }),
  increment: async (client, key, name, by) => Number(await client.zincrby(key, by, name)),
  async pop(client, key, random) {
    const popped = random < 0.5 ? await client.zpopmin(key) : await client.zpopmax(key);
    return popped[0] ?? null;
  },
};

/** Draws what clients do. */
class ElementsGenerator {
  private readonly dialect: Dialect;
  private generated = 0;
  /** Names that came together, by collection. */
  private readonly crowds: { readonly collection: string; readonly names: string[] }[] = [];

  /** Elements that were put and removed in one transaction. */
  private readonly ghosts: { readonly collection: string; readonly name: string }[] = [];

  constructor(dialect: Dialect) {
    this.dialect = dialect;
  }

  /** Keys that are used now. */
  get collections(): string[] {
    const first = Math.floor(this.generated / OPERATIONS_PER_COLLECTIONS) * COLLECTIONS;
    return Array.from({ length: COLLECTIONS }, (_, at) => `{${this.dialect.name}}${first + at}`);
  }

  next({ random, nextId }: WorkloadContext): Invocation {
    const { dialect, collections } = this;
    const epoch = Math.floor(this.generated++ / (OPERATIONS_PER_ELEMENT * ELEMENTS_AT_A_TIME));
    const number = epoch * ELEMENTS_AT_A_TIME + random.int(ELEMENTS_AT_A_TIME);
    const collection = collections[number % COLLECTIONS]!;
    const counts = dialect.increment !== undefined && number % 2 === 1;
    const name = counts ? `n${number}` : `e${number}${padding(number)}`;
    const one = (f: string, value: unknown): Invocation => ({ f, value: { collection, elements: [[name, value]] } });
    const draw = random.next();
    if (draw < 0.28) return one('get', null);
    if (draw < 0.37 && counts) return one('increment', 1 + random.int(5));
    if (draw < 0.6) return one('put', dialect.valueOf(nextId(), random, counts));
    if (draw < 0.74) return one('remove', null);
    if (draw < 0.77) return { f: 'all', value: { collection } };
    if (draw < 0.79) return { f: 'look', value: { collection } };
    if (draw < 0.795) return { f: 'clear', value: { collection } };
    if (draw < 0.805) return this.replace(collection, random, nextId);
    if (draw < 0.81) return this.ghost() ?? one('get', null);
    if (draw < 0.84 && dialect.pop !== undefined) return { f: 'pop', value: { collection, random: random.next() } };
    return this.crowd(collection, random, nextId);
  }

  /** Many elements at once, new ones or such that came together before. */
  private crowd(collection: string, random: Random, nextId: () => number): Invocation {
    const { crowds } = this;
    const before = random.next() < 0.7 && crowds.length > 0 ? crowds[random.int(crowds.length)] : undefined;
    if (before !== undefined) {
      const gone = before.names.splice(0, 1 + random.int(FEW));
      if (before.names.length === 0) crowds.splice(crowds.indexOf(before), 1);
      const elements = gone.map((name): [string, null] => [name, null]);
      return { f: 'remove', value: { collection: before.collection, elements } };
    }
    const elements = this.many(random, nextId);
    crowds.push({ collection, names: elements.map(([name]) => name) });
    return { f: 'put', value: { collection, elements } };
  }

  /** Puts elements, removes the whole key and puts others, in one transaction: at one timestamp. */
  private replace(collection: string, random: Random, nextId: () => number): Invocation {
    const before = this.many(random, nextId);
    this.ghosts.push({ collection, name: before[0]![0] });
    return { f: 'replace', value: { collection, before, elements: this.many(random, nextId) } };
  }

  /** A look at an element that was never there when a transaction was over. */
  private ghost(): Invocation | undefined {
    const ghost = this.ghosts.shift();
    return ghost && { f: 'get', value: { collection: ghost.collection, elements: [[ghost.name, null]] } };
  }

  /** New elements; in a sorted set they lie side by side. */
  private many(random: Random, nextId: () => number): [string, unknown][] {
    const { dialect } = this;
    const shared = dialect.valueOf(0, random, false);
    return Array.from({ length: 1 + random.int(MANY) }, () => {
      const id = nextId();
      return [`m${id}${padding(id)}`, dialect === board ? shared : dialect.valueOf(id, random, false)];
    });
  }
}

/** Where the state may be old, and is one of one moment all the same. */
async function onReplica<T>(client: Redis, look: () => Promise<T>): Promise<T> {
  await client.readonly();
  try {
    return await look();
  } finally {
    if (client.status === 'ready') await client.readwrite();
  }
}

async function execute(dialect: Dialect, client: Redis, { f, value }: Invocation): Promise<ElementsOutput> {
  const input = value as ElementsInput & { readonly random?: number; readonly before?: Elements };
  const { collection: key, elements = [] } = input;
  const names = elements.map(([name]) => name);
  switch (f) {
    case 'put':
      return { ...input, count: (await dialect.put(client, key, elements)) as number };
    case 'remove':
      return { ...input, count: await dialect.remove(client, key, names) };
    case 'get':
      return { ...input, value: await dialect.get(client, key, names[0]!) };
    case 'all':
      return { ...input, ...(await dialect.all(client, key)) };
    case 'clear':
      await client.del(key);
      return input;
    case 'replace': {
      const transaction = client.multi();
      dialect.put(transaction, key, input.before!);
      transaction.del(key);
      dialect.put(transaction, key, elements);
      await exec(transaction);
      return input;
    }
    case 'look':
      return { ...input, ...(await onReplica(client, () => dialect.look(client, key))) };
    case 'pop':
      return { ...input, popped: await dialect.pop!(client, key, input.random!) };
    default: {
      const after = await dialect.increment!(client, key, names[0]!, elements[0]![1] as number);
      return { ...input, value: after };
    }
  }
}

const workloadOf = (dialect: Dialect): Workload => {
  const generator = new ElementsGenerator(dialect);
  const { name, description } = dialect;
  return {
    name,
    description,
    checker: composeCheckers(name, [elementsChecker, viewsChecker]),
    generate: (context) => generator.next(context),
    get finalOperations() {
      return generator.collections.map((collection) => ({ f: 'all', value: { collection } }));
    },
    isReadOnly: (f) => f === 'get' || f === 'all' || f === 'look',
    execute: (client, invocation) => execute(dialect, client, invocation),
  };
};

export const hashFields = (): Workload => workloadOf(hash);
export const members = (): Workload => workloadOf(set);
export const leaderboard = (): Workload => workloadOf(board);
