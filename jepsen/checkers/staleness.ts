/**
 * Keys that only ever grow: additions answer what the key is then, reads may be old. Judges how old they are, and that no
 * process sees a key go back. Completion values are lists of what an operation saw, in order: `[key, value]`.
 */
import { type Checker, type Op, pairOps } from '../history.ts';

const NS_PER_MS = 1e6;
const MAX_PROBLEMS = 20;

type Seen = readonly [key: string, value: number];

/** Operations that add: what they answer is theirs alone. */
const ADDITIONS: ReadonlySet<string> = new Set(['add', 'adds']);

const seenBy = (completion: Op | undefined): readonly Seen[] =>
  completion?.type === 'ok' ? (completion.value as readonly Seen[]) : [];

/**
 * Every read shows what was acknowledged, or shown, more than `boundMs` before it was invoked, and nothing that nobody had begun to
 * add. Operations: `add` and `read` `[key, null]`, each addition adding one.
 */
export const boundedStaleness = (boundMs: number): Checker => ({
  name: 'bounded-staleness',
  check(history) {
    const pairs = pairOps(history);
    const problems: string[] = [];
    const say = (problem: string): void => {
      if (problems.length < MAX_PROBLEMS) problems.push(problem);
    };
    /** What the keys were known to be, and when additions were begun that did not fail. */
    const shown = new Map<string, { readonly time: number; readonly value: number }[]>();
    const begun = new Map<string, number[]>();
    const added = new Map<string, number>();
    for (const { invoke, completion } of pairs) {
      const [named] = invoke.value as Seen;
      if (invoke.f === 'add' && completion?.type !== 'fail')
        begun.set(named, [...(begun.get(named) ?? []), invoke.index]);
      for (const [key, value] of seenBy(completion)) {
        const list = shown.get(key) ?? [];
        list.push({ time: completion!.time, value });
        shown.set(key, list);
        if (invoke.f !== 'add') continue;
        const name = `${key} ${value}`;
        if (added.has(name)) say(`additions ${added.get(name)} and ${invoke.index} of ${key} both made it ${value}`);
        added.set(name, invoke.index);
      }
    }
    let reads = 0;
    let lagging = 0;
    for (const { invoke, completion } of pairs) {
      for (const [key, value] of seenBy(completion)) {
        const possible = (begun.get(key) ?? []).filter((at) => at < completion!.index).length;
        if (value > possible) say(`${invoke.f} ${invoke.index} of ${key} gave ${value} after ${possible} additions`);
        if (invoke.f !== 'read') continue;
        reads++;
        const missed = shown.get(key)!.filter((one) => one.time < invoke.time && one.value > value);
        if (missed.length === 0) continue;
        lagging++;
        const ageMs = (invoke.time - Math.min(...missed.map(({ time }) => time))) / NS_PER_MS;
        if (ageMs > boundMs) {
          say(`read ${invoke.index} of ${key} gave ${value}, which was over ${Math.round(ageMs)} ms before it`);
        }
      }
    }
    return { valid: problems.length === 0, problems, facts: { reads, lagging } };
  },
});

/** No process sees a key go back, whether it read it or added to it; its own additions come on top of what it has seen. */
export const monotonicSessions: Checker = {
  name: 'monotonic-sessions',
  check(history) {
    const problems: string[] = [];
    const seenByProcess = new Map<string, number>();
    let compared = 0;
    for (const { invoke, completion } of pairOps(history)) {
      if (invoke.f === 'flush' || invoke.f === 'mark') continue;
      const least = ADDITIONS.has(invoke.f) ? 1 : 0;
      for (const [key, value] of seenBy(completion)) {
        const name = `${invoke.process}/${key}`;
        const before = seenByProcess.get(name) ?? 0;
        compared++;
        if (value < before + least && problems.length < MAX_PROBLEMS) {
          problems.push(
            `process ${invoke.process} saw ${key} at ${before} and then, by ${invoke.f} ${invoke.index}, at ${value}`,
          );
        }
        if (value > before) seenByProcess.set(name, value);
      }
    }
    return { valid: problems.length === 0, problems, facts: { compared } };
  },
};

/**
 * Who flushes sees nothing afterwards of what was there before. Operations: `mark` `[key, null]`, once a key; `flush` `[key, null]` -> what
 * the key is afterwards, 0 or 1.
 */
export const flushedSessions: Checker = {
  name: 'flushed-sessions',
  check(history) {
    const problems: string[] = [];
    const pairs = pairOps(history);
    const markedAt = new Map<string, number>();
    for (const { invoke, completion } of pairs) {
      if (invoke.f !== 'mark') continue;
      for (const [key] of seenBy(completion)) markedAt.set(key, completion!.index);
    }
    let judged = 0;
    for (const { invoke, completion } of pairs) {
      if (invoke.f !== 'flush') continue;
      for (const [key, value] of seenBy(completion)) {
        if ((markedAt.get(key) ?? Number.POSITIVE_INFINITY) > invoke.index) continue;
        judged++;
        if (value !== 0 && problems.length < MAX_PROBLEMS) {
          problems.push(`process ${invoke.process} saw ${key} after its own flush (event ${completion!.index})`);
        }
      }
    }
    return { valid: problems.length === 0, problems, facts: { judged } };
  },
};
