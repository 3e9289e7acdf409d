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
 * Unique elements are added one by one and read as a whole: every acknowledged addition must be in every read that began
 * after it was acknowledged, and nothing may be read that was refused or never added.
 * Operations: `add` element; `read` -> list of elements.
 */
export const setChecker: Checker = {
  name: 'set',
  check(history) {
    const pairs = pairOps(history);
    const addedAt = new Map<string, number>();
    const attempted = new Set<string>();
    const failed = new Set<string>();
    for (const { invoke, completion } of pairs) {
      if (invoke.f !== 'add') continue;
      const element = JSON.stringify(invoke.value);
      attempted.add(element);
      if (completion?.type === 'ok') addedAt.set(element, completion.index);
      if (completion?.type === 'fail') failed.add(element);
    }
    const problems: string[] = [];
    let reads = 0;
    for (const { invoke, completion } of pairs) {
      if (invoke.f !== 'read' || completion?.type !== 'ok') continue;
      reads++;
      const seen = new Set((completion.value as unknown[]).map((element) => JSON.stringify(element)));
      const lost = [...addedAt]
        .filter(([element, at]) => at < invoke.index && !seen.has(element))
        .map(([element]) => element);
      const invented = [...seen].filter((element) => !attempted.has(element));
      const refused = [...seen].filter((element) => failed.has(element));
      if (lost.length > 0) problems.push(`lost: the read at event ${invoke.index} misses ${preview(lost)}`);
      if (invented.length > 0) problems.push(`invented: the read at event ${invoke.index} shows ${preview(invented)}`);
      if (refused.length > 0)
        problems.push(`refused but present: the read at event ${invoke.index} shows ${preview(refused)}`);
    }
    return result(problems, { acknowledged: addedAt.size, attempted: attempted.size, reads }, reads === 0);
  },
};

/**
 * A counter that only grows: every read lies between the sum of additions acknowledged before it began and the sum of
 * those begun before it ended that did not fail. Operations: `add` amount -> value after it (or null); `read` -> value.
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
      for (const addition of additions) {
        const amount = Number(addition.invoke.value);
        const own = addition.invoke === invoke;
        if (own || (addition.completion?.type === 'ok' && addition.completion.index < invoke.index)) least += amount;
        if (own || addition.invoke.index < completion!.index) most += amount;
      }
      if (value < least || value > most) {
        problems.push(`event ${completion!.index}: ${invoke.f} returned ${value}, possible were ${least} to ${most}`);
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

/**
 * A queue of unique elements: nothing is dequeued that was not enqueued or was refused, nothing is dequeued twice, and once
 * drained every acknowledged element was dequeued. An `info` dequeue may have removed one element without telling; as many
 * losses are therefore excused. Operations: `enqueue` element; `dequeue` -> element or null; `drain` -> list of elements.
 */
export const queueChecker: Checker = {
  name: 'queue',
  check(history) {
    const acknowledged = new Set<string>();
    const attempted = new Set<string>();
    const failed = new Set<string>();
    const dequeued = new Map<string, number>();
    const problems: string[] = [];
    let unknownDequeues = 0;
    let drained = false;
    const take = (element: unknown, at: number): void => {
      const id = JSON.stringify(element);
      if (dequeued.has(id)) problems.push(`${id} was dequeued twice (events ${dequeued.get(id)} and ${at})`);
      dequeued.set(id, at);
    };
    for (const { invoke, completion } of pairOps(history)) {
      if (invoke.f === 'enqueue') {
        const id = JSON.stringify(invoke.value);
        attempted.add(id);
        if (completion?.type === 'ok') acknowledged.add(id);
        if (completion?.type === 'fail') failed.add(id);
      } else if (completion?.type === 'ok') {
        if (invoke.f === 'drain') {
          drained = true;
          for (const element of completion.value as unknown[]) take(element, completion.index);
        } else if (completion.value !== null) {
          take(completion.value, completion.index);
        }
      } else if (completion?.type !== 'fail') {
        unknownDequeues++;
      }
    }
    for (const id of dequeued.keys()) {
      if (failed.has(id)) problems.push(`${id} was refused but dequeued`);
      else if (!attempted.has(id)) problems.push(`${id} was dequeued but never enqueued`);
    }
    const lost = [...acknowledged].filter((id) => !dequeued.has(id));
    if (drained && lost.length > unknownDequeues)
      problems.push(`lost: ${preview(lost)}, ${unknownDequeues} dequeues are unknown`);
    return result(
      problems,
      { enqueued: acknowledged.size, dequeued: dequeued.size, unknownDequeues, drained },
      !drained,
    );
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
 * gone when the read began after its latest possible end. Each key is set once. Operations: `set` `{key, ttlMs}`;
 * `read` key -> `{key, present}`. Times are the harness' own; `slackMs` bounds what clocks of nodes may add.
 */
export function ttlChecker(slackMs: number): Checker {
  return {
    name: 'ttl',
    check(history) {
      const problems: string[] = [];
      const sets = new Map<string, { from: Op; to: Op; ttlMs: number }>();
      let judged = 0;
      const pairs = pairOps(history);
      for (const { invoke, completion } of pairs) {
        if (invoke.f !== 'set' || completion?.type !== 'ok') continue;
        const { key, ttlMs } = invoke.value as { key: string; ttlMs: number };
        sets.set(key, { from: invoke, to: completion, ttlMs });
      }
      for (const { invoke, completion } of pairs) {
        if (invoke.f !== 'read' || completion?.type !== 'ok') continue;
        const { key, present } = completion.value as { key: string; present: boolean };
        const set = sets.get(key);
        if (set === undefined || invoke.index < set.to.index) continue;
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
