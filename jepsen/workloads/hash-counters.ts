/** Counters that are fields of one large hash: HINCRBY, and reads of all of them at once. */

import { counterChecker } from '../checkers/collections.ts';
import { type Checker, type Op, worstVerdict } from '../history.ts';
import type { Workload } from '../types.ts';

const KEY = 'counters';
const COUNTERS = 5;
/** Fields that nobody counts, which make the hash large. */
const OTHERS = 24;
/** In one command: a cluster with slow disks takes its time for each row. */
const OTHERS_AT_ONCE = 8;
const OTHER_BYTES = 40;

const nameOf = (counter: number): string => `counter-${counter}`;

/** The part of a history that concerns one counter, as the checker of one wants it. */
function ofCounter(history: readonly Op[], counter: string): Op[] {
  const ops: Op[] = [];
  for (const op of history) {
    if (op.process === 'nemesis') continue;
    if (op.f === 'read') {
      const values = op.value as Readonly<Record<string, number>> | null;
      ops.push({ ...op, value: values?.[counter] ?? null });
    } else if ((op.value as readonly [string, number])[0] === counter)
      ops.push({ ...op, value: (op.value as readonly [string, number])[1] });
  }
  return ops.map((op, index) => ({ ...op, index }));
}

/** Each counter by itself, see `counterChecker`. Operations: `add` `[counter, amount]` -> `[counter, value after it]`; `read` -> values by counter. */
export const hashCountersChecker: Checker = {
  name: 'hash-counters',
  check(history) {
    const names = Array.from({ length: COUNTERS }, (_, at) => nameOf(at));
    const results = names.map((name) => ({ name, result: counterChecker.check(ofCounter(history, name)) }));
    return {
      valid: worstVerdict(results.map(({ result }) => result.valid)),
      problems: results.flatMap(({ name, result }) => result.problems.map((problem) => `${name}: ${problem}`)),
      facts: Object.fromEntries(results.map(({ name, result }) => [name, result.facts])),
    };
  },
};

export const hashCounters = (): Workload => ({
  name: 'hash-counters',
  description: 'additions to fields of one large hash; no addition lost or counted twice',
  checker: hashCountersChecker,
  async setup(client) {
    for (let at = 0; at < OTHERS; at += OTHERS_AT_ONCE) {
      const names = Array.from({ length: OTHERS_AT_ONCE }, (_, next) => `other-${at + next}`);
      await client.hset(KEY, ...names.flatMap((name) => [name, 'x'.repeat(OTHER_BYTES)]));
    }
  },
  generate({ random }) {
    if (random.next() < 0.3) return { f: 'read', value: null };
    return { f: 'add', value: [nameOf(random.int(COUNTERS)), 1 + random.int(5)] };
  },
  finalOperations: [{ f: 'read', value: null }],
  isReadOnly: (f) => f === 'read',
  async execute(client, { f, value }) {
    if (f === 'read') {
      const names = Array.from({ length: COUNTERS }, (_, at) => nameOf(at));
      const values = await client.hmget(KEY, ...names);
      return Object.fromEntries(names.map((name, at) => [name, Number(values[at] ?? 0)]));
    }
    const [name, amount] = value as [string, number];
    return [name, await client.hincrby(KEY, name, amount)];
  },
});
