/**
 * Checkers for workloads whose anomalies can be counted instead of searched for. Each states what an operation of unknown
 * outcome is allowed to have done: either thing.
 */
import { type Checker, type CheckResult, type Op, pairOps } from '../history.ts';

function result(problems: readonly string[], facts: Record<string, unknown>, unknown = false): CheckResult {
  return { valid: problems.length > 0 ? false : unknown ? 'unknown' : true, problems, facts };
}

const preview = (values: readonly unknown[]): string =>
  `${JSON.stringify(values.slice(0, 10))}${values.length > 10 ? ` and ${values.length - 10} more` : ''}`;

/**
 * Unique elements are added one by one and read as a whole: every addition must be in every read that began after it was
 * acknowledged, or after it was first read, and nothing may be read that was refused or was not being added yet.
 * Operations: `add` element; `read` -> list of elements.
 */
export const setChecker: Checker = {
  name: 'set',
  check(history) {
    const pairs = pairOps(history);
    /** From when on each element is there for certain. */
    const thereFrom = new Map<string, number>();
    const attemptedAt = new Map<string, number>();
    const failed = new Set<string>();
    let acknowledged = 0;
    for (const { invoke, completion } of pairs) {
      if (invoke.f !== 'add') continue;
      const element = JSON.stringify(invoke.value);
      attemptedAt.set(element, invoke.index);
      if (completion?.type === 'ok') {
        acknowledged++;
        thereFrom.set(element, completion.index);
      }
      if (completion?.type === 'fail') failed.add(element);
    }
    const reads = pairs.flatMap(({ invoke, completion }) =>
      invoke.f === 'read' && completion?.type === 'ok'
        ? [{ invoke, completion, seen: new Set((completion.value as unknown[]).map((one) => JSON.stringify(one))) }]
        : [],
    );
    for (const { seen, completion } of reads) {
      for (const element of seen) {
        thereFrom.set(element, Math.min(thereFrom.get(element) ?? Number.POSITIVE_INFINITY, completion.index));
      }
    }
    const problems: string[] = [];
    for (const { invoke, completion, seen } of reads) {
      const lost = [...thereFrom]
        .filter(([element, at]) => at < invoke.index && !seen.has(element))
        .map(([element]) => element);
      const invented = [...seen].filter(
        (element) => (attemptedAt.get(element) ?? Number.POSITIVE_INFINITY) > completion.index,
      );
      const refused = [...seen].filter((element) => failed.has(element));
      if (lost.length > 0) problems.push(`lost: the read at event ${invoke.index} misses ${preview(lost)}`);
      if (invented.length > 0) problems.push(`invented: the read at event ${invoke.index} shows ${preview(invented)}`);
      if (refused.length > 0)
        problems.push(`refused but present: the read at event ${invoke.index} shows ${preview(refused)}`);
    }
    return result(problems, { acknowledged, attempted: attemptedAt.size, reads: reads.length }, reads.length === 0);
  },
};

/**
 * A counter that only grows: every read lies between the sum of additions acknowledged before it began and the sum of
 * those begun before it ended that did not fail, and none is below what was seen before it began. Operations: `add` amount -> value after it (or null); `read` -> value.
 */
export const counterChecker: Checker = {
  name: 'counter',
  check(history) {
    const pairs = pairOps(history);
    const problems: string[] = [];
    const additions = pairs.filter(({ invoke, completion }) => invoke.f === 'add' && completion?.type !== 'fail');
    const observations = pairs.filter(
      ({ invoke, completion }) => completion?.type === 'ok' && (invoke.f === 'read' || completion.value !== null),
    );
    const results = new Map<number, number>();
    for (const { invoke, completion } of observations) {
      const value = Number(completion!.value);
      let least = 0;
      let most = 0;
      let seenBefore = 0;
      for (const { completion: earlier } of observations) {
        if (earlier!.index < invoke.index) seenBefore = Math.max(seenBefore, Number(earlier!.value));
      }
      for (const addition of additions) {
        const amount = Number(addition.invoke.value);
        const own = addition.invoke === invoke;
        if (own || (addition.completion?.type === 'ok' && addition.completion.index < invoke.index)) least += amount;
        if (own || addition.invoke.index < completion!.index) most += amount;
      }
      if (value < least || value > most) {
        problems.push(`event ${completion!.index}: ${invoke.f} returned ${value}, possible were ${least} to ${most}`);
      }
      const leastAfter = seenBefore + (invoke.f === 'add' ? Number(invoke.value) : 0);
      if (value < leastAfter) {
        problems.push(`event ${completion!.index}: ${invoke.f} returned ${value} after ${seenBefore} had been seen`);
      }
      if (invoke.f === 'add') {
        const other = results.get(value);
        if (other !== undefined && Number(invoke.value) !== 0) {
          problems.push(`events ${other} and ${completion!.index}: two additions both returned ${value}`);
        }
        results.set(value, completion!.index);
      }
    }
    const reads = observations.filter(({ invoke }) => invoke.f === 'read').length;
    return result(problems, { additions: additions.length, reads }, reads === 0);
  },
};

/** Every acknowledged `generate` returned a value that no other did. */
export const uniqueIdsChecker: Checker = {
  name: 'unique-ids',
  check(history) {
    const seen = new Map<string, number>();
    const problems: string[] = [];
    for (const { invoke, completion } of pairOps(history)) {
      if (invoke.f !== 'generate' || completion?.type !== 'ok') continue;
      const id = JSON.stringify(completion.value);
      const earlier = seen.get(id);
      if (earlier !== undefined) problems.push(`events ${earlier} and ${completion.index} both returned ${id}`);
      seen.set(id, completion.index);
    }
    return result(problems, { generated: seen.size }, seen.size === 0);
  },
};

/** What took elements out of a queue, or found nothing more in it. */
interface Removal {
  readonly from: number;
  readonly to: number;
  readonly elements: readonly string[];
  /** It says that there was nothing else. */
  readonly emptied: boolean;
}

/**
 * A queue of unique elements: nothing is dequeued that was refused or was not being enqueued yet, nothing is dequeued twice, and once
 * drained every acknowledged element was dequeued. Who finds the queue empty has missed nothing that was acknowledged before and
 * taken out later. An `info` dequeue may have removed one element without telling, an `info` drain all of them; as
 * many losses are therefore excused. Operations: `enqueue` element; `dequeue` -> element or null; `drain` -> list of elements.
 */
export const queueChecker: Checker = {
  name: 'queue',
  check(history) {
    const acknowledgedAt = new Map<string, number>();
    const attemptedAt = new Map<string, number>();
    const failed = new Set<string>();
    const removals: Removal[] = [];
    const problems: string[] = [];
    let unknownDequeues = 0;
    let unknownDrains = 0;
    let drained = false;
    for (const { invoke, completion } of pairOps(history)) {
      if (invoke.f === 'enqueue') {
        const id = JSON.stringify(invoke.value);
        attemptedAt.set(id, invoke.index);
        if (completion?.type === 'ok') acknowledgedAt.set(id, completion.index);
        if (completion?.type === 'fail') failed.add(id);
      } else if (completion?.type === 'ok') {
        const isDrain = invoke.f === 'drain';
        drained ||= isDrain;
        const taken = isDrain ? (completion.value as unknown[]) : completion.value === null ? [] : [completion.value];
        const elements = taken.map((element) => JSON.stringify(element));
        const emptied = isDrain || completion.value === null;
        removals.push({ from: invoke.index, to: completion.index, elements, emptied });
      } else if (completion?.type !== 'fail') {
        if (invoke.f === 'drain') unknownDrains++;
        else unknownDequeues++;
      }
    }
    const dequeued = new Map<string, Removal>();
    for (const removal of removals) {
      for (const id of removal.elements) {
        const earlier = dequeued.get(id);
        if (earlier !== undefined) problems.push(`${id} was dequeued twice (events ${earlier.to} and ${removal.to})`);
        dequeued.set(id, removal);
      }
    }
    for (const [id, { to }] of dequeued) {
      if (failed.has(id)) problems.push(`${id} was refused but dequeued`);
      else if ((attemptedAt.get(id) ?? Number.POSITIVE_INFINITY) > to)
        problems.push(`${id} was dequeued before anybody enqueued it`);
    }
    for (const removal of removals) {
      if (!removal.emptied) continue;
      const missed = [...dequeued].find(
        ([id, { from }]) => (acknowledgedAt.get(id) ?? Number.POSITIVE_INFINITY) < removal.from && from > removal.to,
      );
      if (missed !== undefined) problems.push(`event ${removal.to} found nothing, though ${missed[0]} was there`);
    }
    const lost = [...acknowledgedAt.keys()].filter((id) => !dequeued.has(id));
    if (drained && unknownDrains === 0 && lost.length > unknownDequeues)
      problems.push(`lost: ${preview(lost)}, ${unknownDequeues} dequeues are unknown`);
    const facts = { enqueued: acknowledgedAt.size, dequeued: dequeued.size, unknownDequeues, unknownDrains, drained };
    return result(problems, facts, !drained);
  },
};

/**
 * Transfers between accounts keep the total: every acknowledged read of all accounts sums to it, and no balance is
 * negative. Operations: `transfer`; `read` -> `{account: balance}`.
 * @param total what all accounts hold together
 */
export function bankChecker(total: number): Checker {
  return {
    name: 'bank',
    check(history) {
      const problems: string[] = [];
      let reads = 0;
      for (const { invoke, completion } of pairOps(history)) {
        if (invoke.f !== 'read' || completion?.type !== 'ok') continue;
        reads++;
        const balances = Object.entries(completion.value as Record<string, number>);
        const sum = balances.reduce((all, [, balance]) => all + balance, 0);
        if (sum !== total) problems.push(`event ${completion.index}: the balances sum to ${sum}, not ${total}`);
        for (const [account, balance] of balances) {
          if (balance < 0) problems.push(`event ${completion.index}: account ${account} holds ${balance}`);
        }
      }
      return result(problems, { reads }, reads === 0);
    },
  };
}

/**
 * Expiry: a value set with a time to live must be there when the read ended before its earliest possible end, and must be
 * gone when the read began after its latest possible end. Each key is set once, some time between the beginning of the operation and
 * its acknowledgement or the end of the first read that shows the key, which also tells that one of unknown outcome took place.
 * Operations: `set` `{key, ttlMs}`; `read` key -> `{key, present}`. Times are the harness' own; `slackMs` bounds what
 * clocks of nodes may add.
 */
export function ttlChecker(slackMs: number): Checker {
  return {
    name: 'ttl',
    check(history) {
      const problems: string[] = [];
      const sets = new Map<string, { readonly from: Op; to: Op | undefined; readonly ttlMs: number }>();
      let judged = 0;
      const pairs = pairOps(history);
      for (const { invoke, completion } of pairs) {
        if (invoke.f !== 'set' || completion?.type === 'fail') continue;
        const { key, ttlMs } = invoke.value as { key: string; ttlMs: number };
        sets.set(key, { from: invoke, to: completion?.type === 'ok' ? completion : undefined, ttlMs });
      }
      const reads = pairs.flatMap(({ invoke, completion }) => {
        if (invoke.f !== 'read' || completion?.type !== 'ok') return [];
        return [{ invoke, completion, ...(completion.value as { key: string; present: boolean }) }];
      });
      for (const { completion, key, present } of reads) {
        const set = sets.get(key);
        if (present && set !== undefined && completion.index < (set.to?.index ?? Number.POSITIVE_INFINITY)) {
          set.to = completion;
        }
      }
      for (const { invoke, completion, key, present } of reads) {
        const set = sets.get(key);
        if (set === undefined) {
          if (present) problems.push(`event ${completion.index}: key ${key} is there, and nobody has set it`);
          continue;
        }
        if (set.to === undefined || invoke.index < set.to.index) continue;
        const earliestEndMs = set.from.time / 1e6 + set.ttlMs - slackMs;
        const latestEndMs = set.to.time / 1e6 + set.ttlMs + slackMs;
        judged++;
        if (!present && completion.time / 1e6 < earliestEndMs)
          problems.push(`event ${completion.index}: key ${key} vanished before its time`);
        if (present && invoke.time / 1e6 > latestEndMs)
          problems.push(`event ${completion.index}: key ${key} outlived its time`);
      }
      return result(problems, { keys: sets.size, judged }, judged === 0);
    },
  };
}

/** Completion value of an operation on a pair. */
interface PairSeen {
  readonly pair: number;
  readonly side?: string;
  readonly set?: boolean;
  readonly seen?: readonly boolean[];
}

const SIDES = ['left', 'right'] as const;

/**
 * Pairs of which one side at most may ever be set, by transactions that set theirs only when neither is; nothing is unset. A side
 * that was acknowledged or read is there in every read, and for every `set`, that begins afterwards. Operations: `set` `{pair, side}` ->
 * `{pair, side, set}`, `set` being whether it did; `read` `{pair}` -> `{pair, seen: [left, right]}`.
 */
export const writeSkewChecker: Checker = {
  name: 'write-skew',
  check(history) {
    const problems: string[] = [];
    /** From when on a side is set for certain, by pair. */
    const setFrom = new Map<number, Map<string, number>>();
    const note = (pair: number, side: string, at: number): void => {
      const sides = setFrom.get(pair) ?? new Map<string, number>();
      sides.set(side, Math.min(sides.get(side) ?? Number.POSITIVE_INFINITY, at));
      setFrom.set(pair, sides);
    };
    const done = pairOps(history).flatMap(({ invoke, completion }) =>
      completion?.type === 'ok' ? [{ invoke, completion, ...(completion.value as PairSeen) }] : [],
    );
    let raced = 0;
    const winners = new Map<number, string>();
    for (const { completion, pair, side, set, seen } of done) {
      if (set === true) {
        raced++;
        note(pair, side!, completion.index);
        const other = winners.get(pair);
        if (other !== undefined)
          problems.push(`event ${completion.index}: ${side} of pair ${pair} was set, and ${other} too`);
        winners.set(pair, side!);
      }
      for (const [at, isSet] of (seen ?? []).entries()) if (isSet) note(pair, SIDES[at]!, completion.index);
    }
    for (const [pair, sides] of setFrom) {
      if (sides.size > 1)
        problems.push(`both sides of pair ${pair} are set (events ${[...sides.values()].join(', ')})`);
    }
    for (const { invoke, completion, pair, side, set, seen } of done) {
      for (const [other, at] of setFrom.get(pair) ?? []) {
        if (at >= invoke.index) continue;
        if (seen !== undefined && !seen[SIDES.indexOf(other as (typeof SIDES)[number])]!)
          problems.push(`event ${completion.index}: the read of pair ${pair} misses its ${other} side`);
        if (set === true)
          problems.push(`event ${completion.index}: ${side} of pair ${pair} was set although ${other} was`);
      }
    }
    return result(problems, { pairs: setFrom.size }, raced === 0);
  },
};
