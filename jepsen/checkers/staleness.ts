/**
 * Keys that only ever grow: additions answer what the key is then, reads may be old. Judges how old they are, and that no
 * process sees a key go back.
 */
import { type Checker, type Op, pairOps } from '../history.ts';

const NS_PER_MS = 1e6;
const MAX_PROBLEMS = 20;

/** Completion values of `add` and `read`. */
type Seen = readonly [key: string, value: number];

const seenBy = (completion: Op | undefined): Seen | undefined =>
  completion?.type === 'ok' ? (completion.value as Seen) : undefined;

/** Every read shows what was acknowledged more than `boundMs` before it was invoked. */
export const boundedStaleness = (boundMs: number): Checker => ({
  name: 'bounded-staleness',
  check(history) {
    const pairs = pairOps(history);
    const added = new Map<string, { readonly time: number; readonly value: number }[]>();
    for (const { invoke, completion } of pairs) {
      const seen = invoke.f === 'add' ? seenBy(completion) : undefined;
      if (seen === undefined) continue;
      const [key, value] = seen;
      const list = added.get(key) ?? [];
      list.push({ time: completion!.time, value });
      added.set(key, list);
    }
    const problems: string[] = [];
    let reads = 0;
    let lagging = 0;
    for (const { invoke, completion } of pairs) {
      const seen = invoke.f === 'read' ? seenBy(completion) : undefined;
      if (seen === undefined) continue;
      const [key, value] = seen;
      reads++;
      const missed = (added.get(key) ?? []).filter((one) => one.time < invoke.time && one.value > value);
      if (missed.length === 0) continue;
      lagging++;
      const ageMs = (invoke.time - Math.min(...missed.map(({ time }) => time))) / NS_PER_MS;
      if (ageMs > boundMs && problems.length < MAX_PROBLEMS) {
        problems.push(`read ${invoke.index} of ${key} gave ${value}, which was over ${Math.round(ageMs)} ms before it`);
      }
    }
    return { valid: problems.length === 0, problems, facts: { reads, lagging } };
  },
});

/** No process sees a key go back, whether it read it or added to it. */
export const monotonicSessions: Checker = {
  name: 'monotonic-sessions',
  check(history) {
    const problems: string[] = [];
    const seenByProcess = new Map<string, number>();
    let compared = 0;
    for (const { invoke, completion } of pairOps(history)) {
      const seen = seenBy(completion);
      if (seen === undefined) continue;
      const [key, value] = seen;
      const name = `${invoke.process}/${key}`;
      const before = seenByProcess.get(name) ?? 0;
      compared++;
      if (value < before && problems.length < MAX_PROBLEMS) {
        problems.push(
          `process ${invoke.process} saw ${key} at ${before} and then, by ${invoke.f} ${invoke.index}, at ${value}`,
        );
      }
      if (value > before) seenByProcess.set(name, value);
    }
    return { valid: problems.length === 0, problems, facts: { compared } };
  },
};
