/**
 * Requests of several groups that share keys, or that one connection has asked one after the other, as one transaction. A transaction over groups costs
 * entries of the log one after the other and a round for each step of reading; requests that wait for each other anyhow pay for that together. Each is
 * evaluated behind the ones before it, over what they have written; one that fails with an error leaves nothing.
 */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import { type Clock, type HlcTimestamp, isOutcomeUnknown, type Millis, NEVER } from '../../../platform/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import type { CrossGroupRunner } from '../state/index.ts';
import { alone } from './cross-group.ts';
import { setDeadline } from './group-pipeline.ts';
import type { GroupRequest } from './group-request.ts';

/** Requests of one transaction. */
export const MOST_TOGETHER = 32;
/** Of short writes, which are evaluated at once: what waits for an answer behind one that is slow. */
export const MOST_OF_KIN = 128;
/** Keys that one evaluation takes for absent as long as they are not known. */
const MAX_GUESSES = 256;
/** When evaluating has taken so long, the rest has its turn behind. */
const MAX_TURN_MS: Millis = 20;

/** A request that waits for its turn, and what is done with its outcome: an error, or a reply. */
export interface TogetherItem {
  readonly request: GroupRequest;
  /** Whose it is: one is done behind those that the same source has asked for before. */
  readonly source: object;
  /** Storage keys that the request names. */
  readonly keys: readonly Buffer[];
  /** Of a short write: what it has in common with those that may share its turn; see `kinOf`. */
  readonly kin: string | undefined;
  /** Asked when its turn begins: why it may not have it; undefined: it may. */
  refusal?(): Error | undefined;
  /** Runs it as a transaction of its own, within the turn. */
  byItself(): Promise<Reply>;
  settle(outcome: Outcome): void;
}

export type Outcome = { readonly error: unknown } | { readonly reply: Reply };

export interface TogetherEnvironment {
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
}

/** Runs requests in their order, each settled when it is over. */
export async function runTogether(
  environment: TogetherEnvironment,
  runner: CrossGroupRunner,
  items: readonly TogetherItem[],
): Promise<void> {
  const { clock, commandTimeoutMs } = environment;
  for (let left = items.filter(mayRun); left.length > 0; ) {
    for (const { request } of left) {
      request.assignTo(alone());
      request.repeatDraws();
      // Its time begins with its turn.
      if (request.journey.deadlineMs === 0) request.startedMs = clock.monotonicMs();
      setDeadline(request, commandTimeoutMs);
    }
    const { deadlineMs } = left[0]!.request.journey;
    const strangers = apart(left);
    const turn = new Evaluations(left, clock);
    const keys = left.flatMap(({ keys }) => keys);
    // What one of them meets is not the others' trouble.
    const patience = strangers.length > 1 ? { maxLosses: 1 } : { isPersistent: true };
    const options = { keys, isReadOnly: false, deadlineMs, ...patience };
    let outcomes: readonly Outcome[];
    try {
      outcomes = (await runner.run(options, (view) => turn.over(view))).reply ?? [];
    } catch (error) {
      const isOver = isOutcomeUnknown(error) || clock.monotonicMs() >= deadlineMs;
      if (!isOver && strangers.length > 1) {
        await Promise.all(strangers.map((some) => runTogether(environment, runner, some)));
        return;
      }
      for (const item of left) {
        // Too large together, or one of them needs what no group has: each tries by itself, still one after the other.
        item.settle(isOver ? { error } : await outcomeOf(item.byItself()));
      }
      return;
    }
    for (const [at, outcome] of outcomes.entries()) {
      const { request, settle } = left[at]!;
      if ('reply' in outcome) request.emitEffects();
      settle(outcome);
    }
    left = left.slice(outcomes.length);
  }
}

/** Divides requests into those that have neither a key nor a source in common with others; each part in the order of all. */
function apart(items: readonly TogetherItem[]): readonly TogetherItem[][] {
  if (items.length === 1) return [[...items]];
  let parts: { readonly names: Set<string | object>; readonly members: Set<TogetherItem> }[] = [];
  for (const item of items) {
    const joined = {
      names: new Set<string | object>(item.keys.map(nameOf)).add(item.source),
      members: new Set([item]),
    };
    const others = parts.filter(({ names }) => ![...joined.names].some((name) => names.has(name)));
    for (const part of parts) {
      if (others.includes(part)) continue;
      for (const name of part.names) joined.names.add(name);
      for (const member of part.members) joined.members.add(member);
    }
    parts = [...others, joined];
  }
  return parts.map(({ members }) => items.filter((item) => members.has(item)));
}

function mayRun({ refusal, settle }: TogetherItem): boolean {
  const error = refusal?.();
  if (error !== undefined) settle({ error });
  return error === undefined;
}

const outcomeOf = (running: Promise<Reply>): Promise<Outcome> =>
  running.then(
    (reply) => ({ reply }),
    (error: unknown) => ({ error }),
  );

/** What an evaluation saw, and what came of it. The same would come of it again. */
interface Evaluated {
  readonly part: PartView;
  readonly outcome: Outcome;
}

/** Evaluates requests one behind the other, as many as there is time for. */
class Evaluations {
  private items: readonly TogetherItem[];
  private readonly clock: Clock;
  /** Of those that have come to their end before, over values that were known then. */
  private readonly earlier = new Map<TogetherItem, Evaluated>();

  constructor(items: readonly TogetherItem[], clock: Clock) {
    this.items = items;
    this.clock = clock;
  }

  /** @returns what became of the first ones @throws what stops an evaluation: values that were not read yet, and whatever needs it to run by itself */
  over(view: KeyView): Outcome[] {
    const beganMs = this.clock.monotonicMs();
    const outcomes: Outcome[] = [];
    let stopped: { readonly error: unknown } | undefined;
    for (const item of this.items) {
      try {
        const { part, outcome } = this.again(item, view) ?? this.evaluate(item, view);
        // The ones behind say what they want to read meanwhile.
        stopped ??= part.stopped;
        if ('reply' in outcome) part.keep(view);
        outcomes.push(outcome);
      } catch (error) {
        outcomes.push({ error });
        stopped ??= { error };
      }
      if (this.clock.monotonicMs() - beganMs > MAX_TURN_MS) break;
    }
    this.items = this.items.slice(0, outcomes.length);
    if (stopped !== undefined) throw stopped.error;
    return outcomes;
  }

  /** @throws what stops it */
  private evaluate(item: TogetherItem, view: KeyView): Evaluated {
    const part = new PartView(view);
    let outcome: Outcome;
    try {
      outcome = { reply: item.request.evaluate(part) };
    } catch (error) {
      if (!(error instanceof RedisError) && part.stopped === undefined) throw error;
      outcome = { error };
    }
    const evaluated = { part, outcome };
    if (part.isRepeatable && part.stopped === undefined) this.earlier.set(item, evaluated);
    return evaluated;
  }

  /** What came of an evaluation before, if it would see the same values now. @throws what stops it: those that are not known yet */
  private again(item: TogetherItem, view: KeyView): Evaluated | undefined {
    const earlier = this.earlier.get(item);
    if (earlier === undefined) return undefined;
    const { reads } = earlier.part;
    view.prefetch?.([...reads.values()].map(({ key }) => key));
    for (const { key, value } of reads.values()) if (!isSame(view.get(key), value)) return undefined;
    return earlier;
  }
}

/** True for values that an evaluation cannot tell from each other. */
function isSame(one: LiveValue | undefined, other: LiveValue | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  if (one.expireTs !== other.expireTs) return false;
  return one.value === other.value || (one.commitTs === other.commitTs && one.value.equals(other.value));
}

/** A key, and what was there or is to be. */
interface PartValue {
  readonly key: Buffer;
  readonly value: LiveValue | undefined;
}

/**
 * What one of several evaluations sees and writes; the others see it once it is kept. A key that is not known yet is taken for absent: such an evaluation
 * counts for nothing, but what it and the ones behind it would read next is found out in the same round, as the keys of twenty new jobs are.
 */
class PartView implements KeyView {
  readonly deletedAt: KeyView['deletedAt'];
  /** What it has seen that it has not written itself. */
  readonly reads = new Map<string, PartValue>();
  /** It has seen nothing but values. */
  isRepeatable = true;
  /** What it would have stopped at first. */
  stopped: { readonly error: unknown } | undefined;
  private guesses = 0;
  private readonly view: KeyView;
  private readonly written = new Map<string, PartValue>();

  constructor(view: KeyView) {
    this.view = view;
    this.deletedAt =
      view.deletedAt &&
      ((key) => {
        this.isRepeatable = false;
        return this.written.has(nameOf(key)) ? NEVER : view.deletedAt!(key);
      });
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get(key: Buffer): LiveValue | undefined {
    const name = nameOf(key);
    const own = this.written.get(name);
    if (own === undefined) {
      const value = this.known(() => this.view.get(key));
      if (!this.reads.has(name)) this.reads.set(name, { key, value });
      return value;
    }
    const { value } = own;
    return value !== undefined && value.expireTs !== NEVER && value.expireTs <= this.ts ? undefined : value;
  }

  prefetch(keys: readonly Buffer[]): void {
    this.known(() => this.view.prefetch?.(keys));
  }

  private known<Value>(look: () => Value): Value | undefined {
    try {
      return look();
    } catch (error) {
      if (++this.guesses > MAX_GUESSES) throw error;
      this.stopped ??= { error };
      return undefined;
    }
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.written.set(nameOf(key), { key, value: { value, expireTs, commitTs: this.ts } });
  }

  delete(key: Buffer): void {
    this.written.set(nameOf(key), { key, value: undefined });
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.view.deleteRange(start, end);
  }

  /** Gives what was written to a view. */
  keep(view: KeyView): void {
    for (const { key, value } of this.written.values())
      if (value === undefined) view.delete(key);
      else view.put(key, value.value, value.expireTs);
  }
}

const nameOf = (key: Buffer): string => key.toString('latin1');
