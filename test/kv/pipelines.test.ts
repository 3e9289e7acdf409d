/**
 * Pipelines of several sources on one group's leader, while transactions lock their keys, let go of them, and commit beside them. Whatever has to
 * wait, every source sees what a serial run of its own operations would show.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PrepareRequest } from '../../src/kv/contract/txn.ts';
import type { KeyView, Operation } from '../../src/kv/contract/view.ts';
import { type HlcTimestamp, KvorumError, NEVER, SeededRandom } from '../../src/platform/index.ts';
import { bytes, LoneGroup, text } from '../support/lone-group.ts';
import { finish, put, read, request, txn } from './txn/entries.ts';

const SEEDS = Number(process.env.KVORUM_PIPELINE_SEEDS ?? 250);
const STEPS = 250;
/** Keys that everybody writes and nobody checks: they tie operations of different sources together. */
const SHARED = ['x', 'y'];

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Asked {
  readonly name: string;
  /** What a serial run answers, and does to the keys. */
  readonly expect: (model: Map<string, string>) => string;
  reply: string | undefined;
  error: Error | undefined;
}

/** One that does not wait for answers, with keys of its own. */
class Source {
  readonly keys: readonly string[];
  readonly asked: Asked[] = [];
  private readonly bed: LoneGroup;
  private readonly random: SeededRandom;
  private readonly identity = {};
  private tokens = 0;

  constructor(bed: LoneGroup, random: SeededRandom, name: string) {
    this.bed = bed;
    this.random = random;
    this.keys = [`${name}0`, `${name}1`, `${name}2`];
  }

  private submit(name: string, keys: readonly string[], run: (view: KeyView) => string, expect: Asked['expect']): void {
    const asked: Asked = { name, expect, reply: undefined, error: undefined };
    const operation: Operation<string> = {
      source: this.identity,
      order: this.asked.push(asked),
      storageKeys: () => keys.map(bytes),
      evaluate: run,
      complete: (error, reply) => {
        assert.ok(asked.reply === undefined && asked.error === undefined, `${name} completes once`);
        asked.error = error;
        asked.reply = reply;
      },
    };
    this.bed.executor.submit(operation as Operation<unknown>);
  }

  next(): void {
    const { random, keys } = this;
    const key = keys[random.int(3)]!;
    const other = keys[random.int(3)]!;
    const shared = SHARED[random.int(2)]!;
    const token = `${++this.tokens}.`;
    const set = (view: KeyView, name: string, value: string): void => view.put(bytes(name), bytes(value), NEVER);
    const get = (view: KeyView, name: string): string => text(view.get(bytes(name))) ?? '';
    const append = (model: Map<string, string>, name: string): string => {
      model.set(name, (model.get(name) ?? '') + token);
      return model.get(name)!;
    };
    switch (random.int(7)) {
      case 0:
        this.submit(
          `SET ${key} ${token}`,
          [key],
          (view) => {
            set(view, key, token);
            return 'OK';
          },
          (model) => {
            model.set(key, token);
            return 'OK';
          },
        );
        break;
      case 1:
        this.submit(
          `GET ${key}`,
          [key],
          (view) => get(view, key),
          (model) => model.get(key) ?? '',
        );
        break;
      case 2:
        this.submit(
          `MSET ${key} ${other} ${shared} ${token}`,
          [key, other, shared],
          (view) => {
            for (const name of [key, other, shared]) set(view, name, token);
            return 'OK';
          },
          (model) => {
            for (const name of [key, other]) model.set(name, token);
            return 'OK';
          },
        );
        break;
      case 3:
        // Its outcome hangs on a key that others write.
        this.submit(
          `APPEND ${key} ${token} and count ${shared}`,
          [key, shared],
          (view) => {
            set(view, shared, String(get(view, shared).length));
            set(view, key, get(view, key) + token);
            return get(view, key);
          },
          (model) => append(model, key),
        );
        break;
      case 4:
        this.submit(
          `COPY ${key} ${other}`,
          [key, other],
          (view) => {
            set(view, other, get(view, key));
            return get(view, other);
          },
          (model) => {
            model.set(other, model.get(key) ?? '');
            return model.get(other)!;
          },
        );
        break;
      case 5:
        this.submit(
          `GET ${key} ${other}`,
          [key, other],
          (view) => `${get(view, key)}|${get(view, other)}`,
          (model) => `${model.get(key) ?? ''}|${model.get(other) ?? ''}`,
        );
        break;
      default:
        this.submit(
          `APPEND ${key} ${token}`,
          [key],
          (view) => {
            set(view, key, get(view, key) + token);
            return get(view, key);
          },
          (model) => append(model, key),
        );
    }
  }

  /** @returns where the replies differ from those of a serial run without what was refused */
  problems(): string[] {
    const model = new Map<string, string>();
    const problems: string[] = [];
    this.asked.forEach(({ name, expect, reply, error }, at) => {
      if (error !== undefined) {
        if (!(error instanceof KvorumError)) problems.push(`${at} ${name}: ${error.stack}`);
        return;
      }
      const expected = expect(model);
      if (reply !== expected) problems.push(`${at} ${name}: ${reply} for ${expected}`);
    });
    return problems;
  }
}

interface Totals {
  readonly problems: string[];
  readonly errors: Map<string, number>;
  operations: number;
  conflicts: number;
}

async function storm(seed: number, totals: Totals, mayLose: boolean): Promise<void> {
  const random = new SeededRandom(seed);
  const bed = new LoneGroup({ pipelineDepth: 1 + random.int(3), gatherTurns: random.int(3) });
  const sources = ['a', 'b', 'c'].map((name) => new Source(bed, random, name));
  const all = [...sources.flatMap(({ keys }) => keys), ...SHARED];
  const { txns } = bed.executor;
  const open: PrepareRequest[] = [];
  let serial = 0;
  const begin = (): void => {
    const keys = [...new Set([0, 1, 2].map(() => all[random.int(all.length)]!))];
    const primary = keys[0]!;
    const who = { ...txn('t', 1n, primary), txnId: Buffer.alloc(16, `t${serial++}`), startTs: bed.hlc.next() };
    const question = request(
      who,
      keys.map((key) => (SHARED.includes(key) || random.int(2) === 0 ? put(key, `${serial}`) : read(key))),
    );
    txns.prepare(question).then(
      ({ kind }) => kind === 'prepared' && open.push(question),
      () => undefined,
    );
  };
  const one = (): void => {
    const who = { ...txn('o', 1n, 'x'), txnId: Buffer.alloc(16, `o${serial++}`), startTs: bed.hlc.next() };
    txns
      .commitOnePhase(request(who, [put('x', `one${serial}`), read(all[random.int(all.length)]!)]))
      .catch(() => undefined);
  };
  /** Own keys of sources are never changed: a transaction that wants to write one is rolled back. */
  const end = (): void => {
    const [question] = open.splice(random.int(open.length), 1);
    if (question === undefined) return;
    const writes = question.keys.filter(({ kind }) => kind !== 'read').map(({ key }) => key.toString());
    const reads = question.keys.filter(({ kind }) => kind === 'read').map(({ key }) => key);
    const ended = finish(question, writes, { reads });
    const mayCommit = writes.every((name) => SHARED.includes(name));
    const commitTs: HlcTimestamp = bed.hlc.next();
    const done = mayCommit ? txns.commit({ ...ended, commitTs }) : txns.abort(ended);
    done.catch(() => open.push(question));
  };
  for (let step = 0; step < STEPS; step++) {
    switch (random.int(10)) {
      case 0:
        begin();
        break;
      case 1:
        if (random.int(2) === 0) one();
        else end();
        break;
      case 2:
        end();
        break;
      case 3:
        bed.scheduler.passTurn();
        break;
      case 4:
        bed.scheduler.endTurn();
        if (bed.raft.proposals.length > 0) bed.raft.commit(1 + random.int(bed.raft.proposals.length));
        break;
      case 5:
        if (mayLose && bed.raft.proposals.length > 0 && random.int(4) === 0) bed.raft.drop('notProposed');
        else if (random.int(4) === 0) bed.scheduler.advance(random.int(500));
        else await turn();
        break;
      default: {
        const source = sources[random.int(sources.length)]!;
        for (let count = 1 + random.int(4); count > 0; count--) source.next();
      }
    }
  }
  for (let rounds = 0; rounds < 200; rounds++) {
    while (open.length > 0) end();
    bed.scheduler.passTurn();
    bed.settle();
    await turn();
    bed.scheduler.advance(rounds < 100 ? 1 : 200);
  }
  totals.conflicts += bed.executor.stats().conflicts;
  for (const source of sources) {
    for (const { name, error, reply } of source.asked) {
      totals.operations++;
      if (reply === undefined && error === undefined) totals.problems.push(`seed ${seed}: ${name} was never completed`);
      const code = error instanceof KvorumError ? error.code : undefined;
      if (code !== undefined) totals.errors.set(code, (totals.errors.get(code) ?? 0) + 1);
    }
    totals.problems.push(...source.problems().map((problem) => `seed ${seed}: ${problem}`));
  }
}

async function storms(first: number, mayLose: boolean): Promise<Totals> {
  const totals: Totals = { problems: [], errors: new Map(), operations: 0, conflicts: 0 };
  for (let seed = first; seed < first + SEEDS && totals.problems.length === 0; seed++)
    await storm(seed, totals, mayLose);
  if (process.env.KVORUM_PIPELINE_SEEDS) console.log(totals);
  return totals;
}

describe('what waits behind a command of its pipeline', () => {
  const ask = (bed: LoneGroup, source: object, order: number, key: string) => {
    const outcome: { error: Error | undefined; isDone: boolean } = { error: undefined, isDone: false };
    const operation: Operation<unknown> = {
      source,
      order,
      storageKeys: () => [bytes(key)],
      evaluate: (view) => view.put(bytes(key), bytes(String(order)), NEVER),
      complete: (error) => Object.assign(outcome, { error, isDone: true }),
    };
    bed.executor.submit(operation);
    return outcome;
  };
  const locked = async (): Promise<LoneGroup> => {
    const bed = new LoneGroup();
    const prepared = bed.executor.txns.prepare(request({ ...txn('t'), startTs: bed.hlc.next() }, [put('a', 'x')]));
    bed.settle();
    assert.equal((await prepared).kind, 'prepared');
    return bed;
  };

  test('waits no longer than that command, however many there are', async () => {
    const bed = await locked();
    const outcomes = [1, 2, 3, 4].map((order) => ask(bed, bed, order, 'a'));
    bed.scheduler.advance(999);
    assert.ok(outcomes.every(({ isDone }) => !isDone));
    bed.scheduler.advance(1);
    bed.settle();
    assert.deepEqual(
      outcomes.map(({ error }) => (error as KvorumError | undefined)?.code),
      ['LOCKED', 'LOCKED', 'LOCKED', 'LOCKED'],
    );
  });

  test('shares a key with it: others go on', async () => {
    const bed = await locked();
    const [first, other, own, stranger] = [
      ask(bed, bed, 1, 'a'),
      ask(bed, bed, 2, 'b'),
      ask(bed, bed, 3, 'a'),
      ask(bed, {}, 1, 'b'),
    ];
    bed.settle();
    assert.deepEqual([first.isDone, other.isDone, own.isDone, stranger.isDone], [false, true, false, true]);
  });

  test('is told when the node does not lead any more', async () => {
    const bed = await locked();
    const outcomes = [1, 2, 3].map((order) => ask(bed, bed, order, 'a'));
    bed.raft.stepDown();
    assert.deepEqual(
      outcomes.map(({ error }) => (error as KvorumError | undefined)?.code),
      ['NOT_LEADER', 'NOT_LEADER', 'NOT_LEADER'],
    );
  });
});

describe('pipelines, while transactions lock and write beside them', () => {
  test('are as a serial run, and nothing is refused because something later has run', async () => {
    const { problems, errors } = await storms(1, false);
    assert.deepEqual(problems, []);
    assert.deepEqual([...errors.keys()], ['LOCKED']);
  });

  test('are as a serial run of what was not refused when entries are refused by the log', async () => {
    const { problems, errors, operations } = await storms(100_001, true);
    assert.deepEqual(problems, []);
    assert.ok((errors.get('OVERTAKEN') ?? 0) < operations / 50);
  });
});
