/**
 * Coordinators and resolvers against groups in memory, with everything going wrong that may: judged by the same checkers as the
 * runs on real processes. A failing seed is printed and gives the same run again.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bankChecker } from '../../../jepsen/checkers/collections.ts';
import { listAppendChecker } from '../../../jepsen/checkers/transactions.ts';
import type { Op } from '../../../jepsen/history.ts';
import type { KeyView } from '../../../src/kv/contract/view.ts';
import { NEVER } from '../../../src/platform/index.ts';
import { runClients, type Task } from './model-clients.ts';
import { type Faults, ModelCluster, NO_FAULTS, type Removed } from './model-cluster.ts';

const SEEDS = 10;
const DURATION_MS = 20_000;
const STORMY: Faults = {
  loss: 0.03,
  returning: 0.5,
  doubling: 0.03,
  lateness: 0.02,
  crash: 0.004,
  movesPerSecond: 2,
};
/** Little is doubled, but much is given up for lost that is not. */
const LATE: Faults = { ...STORMY, loss: 0.15, returning: 1, doubling: 0, lateness: 0.1 };

/** Messages take their time, and little else goes wrong. */
const HASTY: Faults = { ...NO_FAULTS, lateness: 0.05 };

const key = (name: string): Buffer => Buffer.from(name);
/** Keys in different groups: a group has the keys whose first bytes are equal modulo the number of groups. */
const KEYS = ['a', 'b', 'c', 'd', 'e'].map(key);

const numberOf = (view: KeyView, name: Buffer): number => Number(view.get(name)?.value.toString() ?? 0);
const put = (view: KeyView, name: Buffer, value: unknown): void =>
  view.put(name, Buffer.from(JSON.stringify(value)), NEVER);

type MicroOp = [f: 'append' | 'r', key: number, value: unknown];

function appendTasks(cluster: ModelCluster): () => Task {
  const { random } = cluster;
  let element = 0;
  return () => {
    const isReadOnly = random.int(3) === 0;
    const ops = Array.from({ length: 1 + random.int(4) }, (): MicroOp => {
      const at = random.int(KEYS.length);
      return isReadOnly || random.int(2) === 0 ? ['r', at, null] : ['append', at, element++];
    });
    const isWriting = ops.some(([f]) => f === 'append');
    return {
      f: 'txn',
      value: ops,
      run: async (runner, deadlineMs) => {
        const keys = ops.map(([, at]) => KEYS[at]!);
        const { reply } = await runner.run({ keys, deadlineMs, isReadOnly: !isWriting }, (view) =>
          ops.map(([f, at, value]): MicroOp => {
            const list = JSON.parse(view.get(KEYS[at]!)?.value.toString() ?? '[]') as unknown[];
            if (f === 'append') put(view, KEYS[at]!, [...list, value]);
            return [f, at, f === 'append' ? value : list];
          }),
        );
        return reply;
      },
    };
  };
}

const TOTAL = 50;

function bankTasks(cluster: ModelCluster): () => Task {
  const { random } = cluster;
  const balance = (view: KeyView, at: number): number =>
    view.get(KEYS[at]!) === undefined ? TOTAL / KEYS.length : numberOf(view, KEYS[at]!);
  return () => {
    if (random.int(2) === 0) {
      return {
        f: 'read',
        value: null,
        run: async (runner, deadlineMs) => {
          const { reply } = await runner.run({ keys: KEYS, deadlineMs, isReadOnly: true }, (view) =>
            Object.fromEntries(KEYS.map((_, at) => [at, balance(view, at)])),
          );
          return reply;
        },
      };
    }
    const from = random.int(KEYS.length);
    const to = (from + 1 + random.int(KEYS.length - 1)) % KEYS.length;
    const amount = 1 + random.int(5);
    return {
      f: 'transfer',
      value: { from, to, amount },
      run: async (runner, deadlineMs) => {
        const keys = [KEYS[from]!, KEYS[to]!];
        await runner.run({ keys, deadlineMs }, (view) => {
          const rest = balance(view, from) - amount;
          if (rest < 0) return;
          const more = balance(view, to) + amount;
          put(view, KEYS[from]!, rest);
          put(view, KEYS[to]!, more);
        });
      },
    };
  };
}

/** Pairs of keys in two groups of which at most one may be set. */
function skewTasks(cluster: ModelCluster): () => Task {
  let raced = 0;
  return () => {
    const pair = Math.floor(raced++ / 6);
    const sides = [key(`a${pair}`), key(`b${pair}`)];
    const side = cluster.random.int(2);
    return {
      f: 'set',
      value: { pair, side },
      run: async (runner, deadlineMs) => {
        const { reply } = await runner.run({ keys: sides, deadlineMs }, (view) => {
          if (sides.some((one) => view.get(one) !== undefined)) return false;
          put(view, sides[side]!, 1);
          return true;
        });
        return reply;
      },
    };
  };
}

/** What a transaction under snapshot isolation wrote, and when: completion value of a task. */
interface Written {
  readonly startTs: string;
  readonly commitTs: string;
  readonly keys: readonly number[];
}

/** Writes and deletes of a few keys under snapshot isolation. */
function snapshotTasks(cluster: ModelCluster): () => Task {
  const { random } = cluster;
  return () => {
    const keys = [...new Set(Array.from({ length: 1 + random.int(2) }, () => random.int(KEYS.length)))];
    const deletes = keys.map(() => random.int(2) === 0);
    const reads = random.int(KEYS.length);
    return {
      f: 'snapshot',
      value: keys,
      run: async (runner, deadlineMs): Promise<Written> => {
        const transaction = await runner.begin({ isolation: 'snapshot', deadlineMs });
        await transaction.get(KEYS[reads]!);
        for (const [at, name] of keys.entries()) {
          if (deletes[at]!) await transaction.delete(KEYS[name]!);
          else await transaction.put(KEYS[name]!, Buffer.from('x'), NEVER);
        }
        const commitTs = await transaction.commit(deadlineMs);
        return { startTs: String(transaction.startTs), commitTs: String(commitTs), keys };
      },
    };
  };
}

/** Of two transactions that were under way together and wrote one key one has to fail; and each commits after it began. */
function snapshotProblems({ history }: Run): string[] {
  const done = history
    .filter(({ type }) => type === 'ok')
    .map(({ value }) => {
      const { startTs, commitTs, keys } = value as Written;
      return { startTs: BigInt(startTs), commitTs: BigInt(commitTs), keys };
    });
  const problems = done
    .filter(({ startTs, commitTs }) => commitTs <= startTs)
    .map(({ startTs, commitTs }) => `committed at ${commitTs}, begun at ${startTs}`);
  for (const one of done) {
    for (const other of done) {
      const isBetween = other.commitTs > one.startTs && other.commitTs < one.commitTs;
      if (!isBetween || !one.keys.some((name) => other.keys.includes(name))) continue;
      problems.push(`of ${one.keys} since ${one.startTs} and ${other.keys} at ${other.commitTs} both were committed`);
    }
  }
  return problems;
}

/** One of two keys in two groups is there, never both, never none; it changes hands all the time. */
function batonTasks(cluster: ModelCluster): () => Task {
  const [one, other] = [KEYS[0]!, KEYS[1]!];
  return () => {
    const isReader = cluster.random.int(2) === 0;
    return {
      f: isReader ? 'read' : 'pass',
      value: null,
      run: async (runner, deadlineMs) => {
        const { reply } = await runner.run({ keys: [one, other], deadlineMs, isReadOnly: isReader }, (view) => {
          const there = [one, other].filter((name) => view.get(name) !== undefined);
          if (isReader) return there.length;
          if (there[0] !== undefined) view.delete(there[0]);
          put(view, there[0] === one ? other : one, 1);
          return there.length;
        });
        return reply;
      },
    };
  };
}

/** Somebody has the baton as soon as it was passed for the first time. */
function batonProblems({ history }: Run): string[] {
  const firstPass = history.findIndex(({ type, f }) => type === 'ok' && f === 'pass');
  const begun = new Map<number, boolean>();
  return history.flatMap(({ type, f, value, process }, at) => {
    if (type === 'invoke') begun.set(process as number, firstPass >= 0 && at > firstPass);
    const mayBeNone = begun.get(process as number) !== true;
    const isWrong = type === 'ok' && (value as number) !== 1 && !(mayBeNone && value === 0);
    return isWrong ? [`${f} at ${at} saw ${value} of them`] : [];
  });
}

interface Run {
  readonly cluster: ModelCluster;
  readonly history: Op[];
}

async function run(
  seed: number,
  tasks: (cluster: ModelCluster) => () => Task,
  faults: Faults,
  removed: Removed = {},
  durationMs = DURATION_MS,
): Promise<Run> {
  const cluster = new ModelCluster(seed, faults, removed);
  const history = await runClients(cluster, 6, durationMs, tasks(cluster));
  return { cluster, history };
}

const count = (history: readonly Op[], type: string): number => history.filter((op) => op.type === type).length;

function skewProblems({ cluster, history }: Run): string[] {
  const pairs = new Set(history.map(({ value }) => (value as { pair?: number } | null)?.pair));
  return [...pairs]
    .filter((pair) => cluster.peek(key(`a${pair}`)) !== undefined && cluster.peek(key(`b${pair}`)) !== undefined)
    .map((pair) => `both sides of pair ${pair} are set`);
}

describe('transactions across groups, in simulated storms', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`are strictly serializable lists, whatever happens (seed ${seed})`, async () => {
      const { cluster, history } =
        seed % 3 === 0 ? await run(seed, appendTasks, NO_FAULTS, {}, 1_500) : await run(seed, appendTasks, STORMY);
      const verdict = listAppendChecker.check(history);
      assert.deepEqual(verdict.problems, [], `seed ${seed}`);
      assert.deepEqual(cluster.problems, [], `seed ${seed}`);
      assert.ok(
        count(history, 'ok') > 30,
        `seed ${seed}: only ${count(history, 'ok')} of ${history.length} took place`,
      );
    });
  }

  for (let seed = 101; seed < 101 + SEEDS; seed++) {
    test(`keep the sum of accounts (seed ${seed})`, async () => {
      const { cluster, history } = await run(seed, bankTasks, STORMY);
      const verdict = bankChecker(TOTAL).check(history);
      assert.deepEqual(verdict.problems, [], `seed ${seed}`);
      assert.deepEqual(cluster.problems, [], `seed ${seed}`);
      const balances = KEYS.map((one) => cluster.peek(one));
      const total = balances.reduce((sum, one) => sum + (one === undefined ? TOTAL / KEYS.length : Number(one)), 0);
      assert.equal(total, TOTAL, `seed ${seed}: ${balances.join()}`);
    });
  }

  for (let seed = 201; seed < 201 + SEEDS; seed++) {
    test(`never set both keys of a pair (seed ${seed})`, async () => {
      const result = await run(seed, skewTasks, STORMY);
      assert.deepEqual(skewProblems(result), [], `seed ${seed}`);
      assert.deepEqual(result.cluster.problems, [], `seed ${seed}`);
    });
  }

  // Few of a thousand storms show a mistake in what is asked twice, so many blow, each for a moment.
  const many = [
    { what: 'lists stay serializable', first: 1_000, count: 60, faults: STORMY },
    {
      what: 'lists stay serializable where questions return that were given up for lost',
      first: 3_000,
      count: 60,
      faults: LATE,
    },
  ];
  for (const { what, first, count: seeds, faults } of many) {
    test(`${what} (seeds ${first} to ${first + seeds - 1})`, async () => {
      for (let seed = first; seed < first + seeds; seed++) {
        const { cluster, history } = await run(seed, appendTasks, faults);
        const problems = [...listAppendChecker.check(history).problems, ...cluster.problems];
        assert.deepEqual(problems, [], `seed ${seed}`);
      }
    });
  }

  test('see one of two keys that change places, in many storms', async () => {
    let reads = 0;
    for (let seed = 6_000; seed < 6_015; seed++) {
      const result = await run(seed, batonTasks, seed % 2 === 0 ? HASTY : STORMY);
      assert.deepEqual([...batonProblems(result), ...result.cluster.problems], [], `seed ${seed}`);
      reads += result.history.filter(({ type, f }) => type === 'ok' && f === 'read').length;
    }
    assert.ok(reads > 750, `${reads} reads`);
  });

  test('keep sums and pairs in many storms', async () => {
    for (let seed = 5_000; seed < 5_015; seed++) {
      const { cluster, history } = await run(seed, bankTasks, seed % 2 === 0 ? STORMY : LATE);
      assert.deepEqual([...bankChecker(TOTAL).check(history).problems, ...cluster.problems], [], `seed ${seed}`);
      const pairs = await run(seed, skewTasks, seed % 2 === 0 ? STORMY : LATE);
      assert.deepEqual([...skewProblems(pairs), ...pairs.cluster.problems], [], `seed ${seed}`);
    }
  });

  test('let the first committer win under snapshot isolation, also over keys that come and go', async () => {
    let done = 0;
    for (let seed = 6_000; seed < 6_030; seed++) {
      const result = await run(seed, snapshotTasks, seed % 2 === 0 ? STORMY : NO_FAULTS, {}, 3_000);
      assert.deepEqual([...snapshotProblems(result), ...result.cluster.problems], [], `seed ${seed}`);
      done += count(result.history, 'ok');
    }
    assert.ok(done > 1_000, `only ${done} took place`);
  });

  test('runs the same way for the same seed', async () => {
    const [one, other] = [await run(7, appendTasks, STORMY), await run(7, appendTasks, STORMY)];
    assert.equal(one.cluster.simulation.traceHash(), other.cluster.simulation.traceHash());
    assert.ok(one.cluster.crashes > 0);
  });
});

/** Seeds of which one at least shows what a guard is for. */
async function isNoticed(
  tasks: (cluster: ModelCluster) => () => Task,
  removed: Removed,
  problemsOf: (run: Run) => readonly string[],
): Promise<boolean> {
  for (let seed = 301; seed < 311; seed++) {
    const result = await run(seed, tasks, STORMY, removed).catch(() => undefined);
    if (result === undefined || problemsOf(result).length > 0 || result.cluster.problems.length > 0) return true;
  }
  return false;
}

describe('the judge of the storms', () => {
  test('notices when keys that are not there look alike', async () => {
    let isSeen = false;
    for (let seed = 6_000; seed < 6_060 && !isSeen; seed++) {
      isSeen = batonProblems(await run(seed, batonTasks, HASTY, { absences: true })).length > 0;
    }
    assert.ok(isSeen);
  });

  test('notices when nothing locks what was read', async () => {
    assert.ok(await isNoticed(skewTasks, { readLocks: true }, skewProblems));
  });

  test('notices when a key that came and went counts as untouched', async () => {
    assert.ok(await isNoticed(snapshotTasks, { deletesCount: true }, snapshotProblems));
  });

  test('notices when a snapshot commits below itself', async () => {
    assert.ok(await isNoticed(snapshotTasks, { aboveSnapshot: true }, snapshotProblems));
  });

  test('notices when reads do not wait for locks', async () => {
    assert.ok(
      await isNoticed(appendTasks, { readsWait: true }, ({ history }) => listAppendChecker.check(history).problems),
    );
  });
});
