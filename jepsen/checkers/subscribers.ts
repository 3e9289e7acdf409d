/** What clients that listen must be sent: what was published while they listened, nothing twice, each publisher's messages in their order. */
import { type Checker, type Op, pairOps } from '../history.ts';

/** What a listener has heard since it was asked last. */
export interface Heard {
  /** It began to listen with this operation, and listened to nothing at its beginning. */
  readonly begins: boolean;
  readonly messages: readonly number[];
}

/** A message may be on its way for so long. */
const SETTLE_NS = 1_500_000_000;
/** So long after a fault nodes may not know of each other. */
const AFTERMATH_NS = 6_000_000_000;
/** A node that is killed takes messages with it that it has just answered for. */
const LAST_WORDS_NS = 500_000_000;
/** Faults that cut nodes off from each other, or stop them. A slow network, moves and changes of leader are no excuse for anything. */
const CUTS_OFF = /^(all|partition|pause|disk|clock|network-lossy|network$)/;
const KILLS = /^(kill|membership)/;

interface Interval {
  readonly fromNs: number;
  readonly toNs: number;
}

interface Message {
  readonly publisher: number;
  readonly invokedNs: number;
  /** Whoever published it was told that nothing happened. */
  readonly isRefused: boolean;
  /** Undefined: nobody knows whether it was sent. */
  readonly sentNs: number | undefined;
}

/** A stretch of time in which one connection listens. */
interface Stretch {
  readonly process: number;
  readonly fromNs: number;
  toNs: number;
}

/** When whatever does not come is excused. */
function excusesIn(history: readonly Op[]): Interval[] {
  const intervals: Interval[] = [];
  const since = new Map<string, number>();
  for (const { process, type, f, time } of history) {
    if (process !== 'nemesis') continue;
    const name = f.replace(/^heal-/, '');
    if (KILLS.test(name)) intervals.push({ fromNs: time - LAST_WORDS_NS, toNs: time + LAST_WORDS_NS });
    if (!CUTS_OFF.test(name)) continue;
    if (!f.startsWith('heal-')) since.set(name, Math.min(time, since.get(name) ?? time));
    else if (type === 'info') {
      intervals.push({ fromNs: (since.get(name) ?? 0) - SETTLE_NS, toNs: time + AFTERMATH_NS });
      since.delete(name);
    }
  }
  for (const fromNs of since.values()) intervals.push({ fromNs: fromNs - SETTLE_NS, toNs: Number.POSITIVE_INFINITY });
  return intervals;
}

/**
 * Operations: `hear`, which gives `Heard`; all others publish numbers, one or several at once, which are unique. A listener hears what was published after it
 * had begun to listen, and well before it was asked last; unless nodes were cut off from each other or stopped meanwhile.
 * @param inOrder what one client publishes comes in its order
 */
const listenersChecker = (name: string, inOrder: boolean): Checker => ({
  name,
  check(history) {
    const messages = new Map<number, Message>();
    const heard = new Map<number, number[]>();
    const stretches: Stretch[] = [];
    const open = new Map<number, Stretch>();
    for (const { invoke, completion } of pairOps(history)) {
      const process = invoke.process as number;
      if (invoke.f !== 'hear') {
        const sentNs = completion?.type === 'ok' ? completion.time : undefined;
        const isRefused = completion?.type === 'fail';
        for (const number of [invoke.value as number | readonly number[]].flat()) {
          messages.set(number, { publisher: process, invokedNs: invoke.time, sentNs, isRefused });
        }
      } else if (completion?.type === 'ok') {
        const { begins, messages: texts } = completion.value as Heard;
        heard.set(process, [...(heard.get(process) ?? []), ...texts]);
        let stretch = open.get(process);
        if (stretch !== undefined) stretch.toNs = invoke.time;
        if (begins || stretch === undefined) {
          stretch = { process, fromNs: completion.time, toNs: completion.time };
          open.set(process, stretch);
          stretches.push(stretch);
        }
      }
    }
    const problems: string[] = [];
    for (const [process, numbers] of heard) problems.push(...faultsOf(process, numbers, messages, inOrder));
    const excuses = excusesIn(history);
    let due = 0;
    for (const { process, fromNs, toNs } of stretches) {
      const seen = new Set(heard.get(process));
      for (const [number, { invokedNs, sentNs }] of messages) {
        if (sentNs === undefined || invokedNs < fromNs || sentNs > toNs - SETTLE_NS) continue;
        if (excuses.some((excuse) => sentNs >= excuse.fromNs && invokedNs <= excuse.toNs)) continue;
        due++;
        if (!seen.has(number)) problems.push(`process ${process} listened and did not get ${number}`);
      }
    }
    const delivered = [...heard.values()].reduce((sum, numbers) => sum + numbers.length, 0);
    return {
      valid: problems.length === 0,
      problems: problems.slice(0, 20),
      facts: { messages: messages.size, delivered, due, stretches: stretches.length },
    };
  },
});

/** Of messages that clients publish. */
export const subscribersChecker: Checker = listenersChecker('subscribers', true);

/** Of events of keys: those of different groups come from different nodes, so their order says nothing. */
export const keyEventsChecker: Checker = listenersChecker('key-events', false);

function faultsOf(
  process: number,
  numbers: readonly number[],
  messages: ReadonlyMap<number, Message>,
  inOrder: boolean,
): string[] {
  const problems: string[] = [];
  const seen = new Set<number>();
  const last = new Map<number, number>();
  for (const number of numbers) {
    const message = messages.get(number);
    if (message === undefined) {
      problems.push(`process ${process} got ${number}, which nobody has published`);
      continue;
    }
    if (seen.has(number)) problems.push(`process ${process} got ${number} twice`);
    seen.add(number);
    if (message.isRefused) problems.push(`process ${process} got ${number}, which was refused`);
    const before = last.get(message.publisher);
    if (inOrder && before !== undefined && messages.get(before)!.invokedNs > message.invokedNs) {
      problems.push(`process ${process} got ${number} after ${before}, which the same client has published later`);
    }
    last.set(message.publisher, number);
  }
  return problems;
}
