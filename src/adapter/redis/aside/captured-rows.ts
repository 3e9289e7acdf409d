/**
 * A view of one moment, of which only heads and bodies are known that were read before: what else is asked for stops the evaluation and is read, and
 * the evaluation begins again. Writes are kept, and told apart afterwards: rows of bodies that are made anew, and everything else.
 */
import { EvaluationTooLongError, type KeyView, type LiveValue } from '../../../kv/index.ts';
import { assert, type HlcTimestamp, type Millis, NEVER } from '../../../platform/index.ts';
import { bodyOf, incarnationIn } from '../keys/index.ts';

/** How long one evaluation may hold the event loop: below an election timeout, and nothing is applied in one piece afterwards. */
export const MAX_EVALUATION_MS: Millis = 400;
/** The same where another thread goes on: then nobody has to wait for longer than for any other turn. */
export const SHORT_EVALUATION_MS: Millis = 40;
/** Rows between looks at the clock, some milliseconds. */
const LOOK_ROWS = 256;

/** A row that was written. */
export interface CapturedWrite {
  readonly key: Buffer;
  /** Undefined deletes it. */
  readonly value: Buffer | undefined;
  /** 0n is never. */
  readonly expireTs: HlcTimestamp;
}

/** A head as it was read; undefined: there was none. */
export interface ReadHead {
  readonly key: Buffer;
  readonly live: LiveValue | undefined;
}

/** What has to be read before the evaluation can go on: heads, or all rows of a body. */
export type Missing =
  | { readonly kind: 'heads'; readonly keys: readonly Buffer[] }
  | { readonly kind: 'body'; readonly head: Buffer; readonly incarnation: Buffer };

/** A row of a body that no head names yet. */
export interface FreshRow extends CapturedWrite {
  readonly value: Buffer;
}

/** A write that deletes nothing. */
export const hasValue = (write: CapturedWrite): write is FreshRow => write.value !== undefined;

/** Writes of an evaluation. */
export interface Effects {
  /** Rows that nobody can come to before `others` are written. */
  readonly fresh: readonly FreshRow[];
  readonly others: readonly CapturedWrite[];
}

/** Stops an evaluation at what was not read. Not an error that anybody declares, so nobody keeps it. */
class NotReadYet extends Error {}

const nameOf = (key: Buffer): string => key.toString('latin1');

/** See the top of the file. */
export class CapturedRows implements KeyView {
  readonly ts: HlcTimestamp;
  private readonly rows = new Map<string, LiveValue>();
  private readonly heads = new Map<string, ReadHead>();
  /** Heads of which all rows are here. */
  private readonly bodies = new Set<string>();
  private writes = new Map<string, CapturedWrite>();
  /** Undefined while nothing is. */
  missing: Missing | undefined;

  constructor(ts: HlcTimestamp) {
    this.ts = ts;
  }

  /** Prepares for an evaluation from the start. */
  begin(): void {
    this.writes = new Map();
    this.missing = undefined;
  }

  addHead(head: ReadHead): void {
    this.heads.set(nameOf(head.key), head);
  }

  addRow(key: Buffer, live: LiveValue): void {
    this.rows.set(nameOf(key), live);
  }

  /** All of its rows were added. */
  addBody(head: Buffer): void {
    this.bodies.add(nameOf(head));
  }

  get(key: Buffer): LiveValue | undefined {
    this.spend();
    const name = nameOf(key);
    const own = this.writes.get(name);
    if (own !== undefined) return this.live(own);
    const body = bodyOf(key);
    const headName = body === undefined ? name : name.slice(0, body.headLength);
    const head = this.heads.get(headName);
    if (head === undefined) this.miss({ kind: 'heads', keys: [key.subarray(0, headName.length)] });
    if (body === undefined) return head!.live;
    const { incarnation } = body;
    // Of another body than its own there is nothing but what the command itself has written.
    if (head!.live === undefined || incarnationIn(head!.live.value)?.equals(incarnation) !== true) return undefined;
    if (!this.bodies.has(headName)) this.miss({ kind: 'body', head: head!.key, incarnation });
    return this.rows.get(name);
  }

  prefetch(keys: readonly Buffer[]): void {
    const missing = keys.filter((key) => bodyOf(key) === undefined && !this.heads.has(nameOf(key)));
    if (missing.length > 0) this.miss({ kind: 'heads', keys: missing });
  }

  private miss(missing: Missing): never {
    this.missing ??= missing;
    throw new NotReadYet();
  }

  private live({ value, expireTs }: CapturedWrite): LiveValue | undefined {
    const isGone = value === undefined || (expireTs !== NEVER && expireTs <= this.ts);
    return isGone ? undefined : { value, expireTs, commitTs: this.ts };
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.spend();
    this.writes.set(nameOf(key), { key, value, expireTs });
  }

  delete(key: Buffer): void {
    this.spend();
    this.writes.set(nameOf(key), { key, value: undefined, expireTs: NEVER });
  }

  deleteRange(): void {
    assert(false, 'a command names its keys');
  }

  /** A row is about to be read or written. */
  protected spend(): void {
    // Whoever is in the way of nobody may take as long as it takes.
  }

  /** What the last evaluation has written. */
  effects(): Effects {
    const fresh: FreshRow[] = [];
    const others: CapturedWrite[] = [];
    for (const write of this.writes.values()) {
      const body = bodyOf(write.key);
      const headName = body && nameOf(write.key.subarray(0, body.headLength));
      const before = headName === undefined ? undefined : this.heads.get(headName)?.live?.value;
      if (body === undefined || (before !== undefined && incarnationIn(before)?.equals(body.incarnation) === true)) {
        others.push(write);
        continue;
      }
      // Rows of a body that was made and replaced again are nobody's.
      const after = this.writes.get(headName!)?.value;
      const isNamed = after !== undefined && incarnationIn(after)?.equals(body.incarnation) === true;
      if (isNamed && hasValue(write)) fresh.push(write);
    }
    return { fresh, others };
  }
}

/** The same for an evaluation that holds an event loop up. */
export class TimedRows extends CapturedRows {
  private readonly nowMs: () => Millis;
  private readonly maxMs: Millis;
  private sinceMs: Millis = 0;
  private work = 0;

  constructor(ts: HlcTimestamp, nowMs: () => Millis, maxMs: Millis) {
    super(ts);
    this.nowMs = nowMs;
    this.maxMs = maxMs;
  }

  override begin(): void {
    super.begin();
    this.sinceMs = this.nowMs();
    this.work = 0;
  }

  /** @throws EvaluationTooLongError */
  protected override spend(): void {
    if (++this.work % LOOK_ROWS !== 0 || this.nowMs() - this.sinceMs <= this.maxMs) return;
    throw new EvaluationTooLongError(`the command was evaluated for more than ${this.maxMs} ms`);
  }
}
