/**
 * Requests of several groups that share keys, as one transaction. A transaction over groups costs three entries of the log one after the other and a round
 * for each step of reading; requests that wait for each other anyhow pay for that together. Each is evaluated behind the ones before it, over what they
 * have written; one that fails with an error leaves nothing.
 */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import { type Clock, type HlcTimestamp, isOutcomeUnknown, type Millis, NEVER } from '../../../platform/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import type { CrossGroupRunner } from '../state/index.ts';
import { alone } from './cross-group.ts';
import { setDeadline } from './group-pipeline.ts';
import type { GroupRequest } from './group-request.ts';

/** Requests of one transaction: each is evaluated again whenever a later one has to read something. */
export const MOST_TOGETHER = 8;
/** When evaluating has taken so long, the rest has its turn behind. */
const MAX_TURN_MS: Millis = 20;

/** Says that a request has to be run by itself. Nothing of it has happened. */
export class NotTogetherError extends Error {}

/** A request that waits for its turn, and what is done with its outcome: an error, or a reply. */
export interface TogetherItem {
  readonly request: GroupRequest;
  settle(outcome: Outcome): void;
}

type Outcome = { readonly error: unknown } | { readonly reply: Reply };

export interface TogetherEnvironment {
  readonly clock: Clock;
  readonly commandTimeoutMs: Millis;
}

/** Runs requests in their order, each settled when it is over. */
export async function runTogether(
  { clock, commandTimeoutMs }: TogetherEnvironment,
  runner: CrossGroupRunner,
  items: readonly TogetherItem[],
): Promise<void> {
  for (let left = items; left.length > 0; ) {
    for (const { request } of left) {
      request.assignTo(alone());
      request.repeatDraws();
      // Its time begins with its turn.
      if (request.deadlineMs === 0) request.startedMs = clock.monotonicMs();
      setDeadline(request, commandTimeoutMs);
    }
    const { deadlineMs } = left[0]!.request;
    const turn = new Evaluations(left, clock);
    const keys = left.flatMap(({ request }) => request.storageKeys());
    const options = { keys, isReadOnly: false, deadlineMs, isPersistent: true };
    let outcomes: readonly Outcome[];
    try {
      outcomes = (await runner.run(options, (view) => turn.over(view))).reply ?? [];
    } catch (error) {
      const isOver = isOutcomeUnknown(error) || clock.monotonicMs() >= deadlineMs;
      // Too large together, or one of them needs what no group has: each tries by itself.
      for (const { settle } of left) settle({ error: isOver ? error : new NotTogetherError() });
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

/** Evaluates requests one behind the other, as many as there is time for. */
class Evaluations {
  private items: readonly TogetherItem[];
  private readonly clock: Clock;

  constructor(items: readonly TogetherItem[], clock: Clock) {
    this.items = items;
    this.clock = clock;
  }

  /** @returns what became of the first ones @throws what stops an evaluation: values that were not read yet, and whatever needs it to run by itself */
  over(view: KeyView): Outcome[] {
    const beganMs = this.clock.monotonicMs();
    const outcomes: Outcome[] = [];
    let stopped: { readonly error: unknown } | undefined;
    for (const { request } of this.items) {
      const part = new PartView(view);
      try {
        const reply = request.evaluate(part);
        part.keep();
        outcomes.push({ reply });
      } catch (error) {
        outcomes.push({ error });
        // The ones behind say what they want to read meanwhile.
        if (!(error instanceof RedisError)) stopped ??= { error };
      }
      if (this.clock.monotonicMs() - beganMs > MAX_TURN_MS) break;
    }
    this.items = this.items.slice(0, outcomes.length);
    if (stopped !== undefined) throw stopped.error;
    return outcomes;
  }
}

/** What one of several evaluations sees and writes; the others see it once it is kept. */
class PartView implements KeyView {
  readonly prefetch: KeyView['prefetch'];
  readonly deletedAt: KeyView['deletedAt'];
  private readonly view: KeyView;
  private readonly written = new Map<string, { readonly key: Buffer; readonly value: LiveValue | undefined }>();

  constructor(view: KeyView) {
    this.view = view;
    this.prefetch = view.prefetch?.bind(view);
    this.deletedAt = view.deletedAt && ((key) => (this.written.has(nameOf(key)) ? NEVER : view.deletedAt!(key)));
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get(key: Buffer): LiveValue | undefined {
    const own = this.written.get(nameOf(key));
    if (own === undefined) return this.view.get(key);
    const { value } = own;
    return value !== undefined && value.expireTs !== NEVER && value.expireTs <= this.ts ? undefined : value;
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

  /** Gives what was written to the view below. */
  keep(): void {
    for (const { key, value } of this.written.values())
      if (value === undefined) this.view.delete(key);
      else this.view.put(key, value.value, value.expireTs);
  }
}

const nameOf = (key: Buffer): string => key.toString('latin1');
