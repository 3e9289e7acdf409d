/**
 * Writes values of many rows in many entries, so that no entry holds a leader up. The command is evaluated here, over what its keys held at one moment;
 * the rows of the new value go out in slices, under an incarnation that no head names yet; and one transaction writes the heads, on condition
 * that those that were read are what they were. Until then nobody can come to the rows, and rows of a build that was given up are garbage
 * like those of a deleted value.
 *
 * The moment is pinned, so that nothing that is written after it is collected before it is named.
 */
import {
  EvaluationTooLongError,
  type KeyView,
  type KvTransaction,
  type LiveValue,
  SnapshotUncoveredError,
  type TransactionRunner,
} from '../../../kv/index.ts';
import {
  type Cancel,
  type Clock,
  type HlcTimestamp,
  isOutcomeUnknown,
  type Millis,
  NEVER,
  type Scheduler,
  sleep,
} from '../../../platform/index.ts';
import { armBody, type CopyRows, ROW_KINDS, type RowsCopy } from '../bodies/index.ts';
import { bodyOf, hasBody, INCARNATION_BYTES } from '../keys/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import {
  type AsideEvaluation,
  type AsideOutcome,
  type AsideResult,
  InlineAside,
  MovingAside,
} from './aside-evaluation.ts';
import {
  type CapturedWrite,
  type FreshRow,
  MAX_EVALUATION_MS,
  type Missing,
  type ReadHead,
  SHORT_EVALUATION_MS,
} from './captured-rows.ts';

/** A slice: 25 ms of a leader, and as much on each replica. With what is around it, its bytes fit into one message between nodes. */
const SLICE_ROWS = 1_000;
const SLICE_BYTES = 960 * 1024;
/** Slices that are on their way at one time. */
const MAX_SLICES_UNDER_WAY = 4;
/** Rows that are read at once. */
const PAGE_ROWS = 1_000;
/** Builds of one command: what it reads may be changed meanwhile. */
const MAX_ATTEMPTS = 4;
/** Rounds of reading what the evaluation before has missed. */
const MAX_ROUNDS = 256;
/** Before a group is asked again that was too busy to answer. */
const BUSY_PAUSE_MS: Millis = 250;
/** Writes that are not rows of a new body: those of a change in place would be one large entry after all. */
const MAX_OTHER_WRITES = 1_000;

/** Pins last several times as long. */
const RENEWAL_MS: Millis = 10_000;
/** Rows that one command may have read beforehand, and bytes, of heads too: they lie in memory. */
const MAX_READ_ROWS = 2_000_000;
const MAX_READ_BYTES = 512 * 1024 * 1024;

/** A command that writes a whole value. */
export interface AsideCommand {
  /** Heads that it names. */
  readonly heads: readonly Buffer[];
  /** Synchronous; several times if need be. @param copyRows is to be used instead of reading and writing each row */
  evaluate(view: KeyView, copyRows: CopyRows): Reply;
  /** In another thread; left out: there is none. Undefined: it does not know such commands. */
  begin?(ts: HlcTimestamp): AsideEvaluation | undefined;
  /**
   * It brings along so much that it is not begun in this thread where there is another. It may only be built aside while none of its heads has a body
   * of its own, which would have to be changed in place.
   */
  readonly isFill?: boolean;
}

export interface AsideParts {
  readonly transactions: Pick<TransactionRunner, 'run' | 'begin'>;
  readonly clock: Clock;
  /** For each step; well below the lease of a pin. */
  readonly stepTimeoutMs: Millis;
  readonly scheduler: Pick<Scheduler, 'after'>;
  /** Writes rows behind one head, in one entry; several times do no harm. */
  writeRows(rows: readonly FreshRow[]): Promise<void>;
}

/**
 * @throws what the command throws; RedisError TRYAGAIN when what it reads was changed each time, EvaluationTooLongError, what the groups
 *   answer: nothing that anybody could see happened; OutcomeUnknownError
 */
export async function buildAside(parts: AsideParts, command: AsideCommand): Promise<Reply> {
  const { clock, scheduler, stepTimeoutMs } = parts;
  const build = new AsideBuild(parts, command);
  const untilMs = clock.monotonicMs() + stepTimeoutMs;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    try {
      const outcome = await build.attempt();
      if (outcome !== undefined) return outcome.reply;
    } catch (error) {
      // A group that was too busy to say how far it is; as long as a client waits for its leader, so long it is asked again.
      if (!(error instanceof SnapshotUncoveredError) || clock.monotonicMs() >= untilMs) throw error;
      attempt--;
      await sleep(scheduler, BUSY_PAUSE_MS);
    }
  }
  throw new RedisError('TRYAGAIN what the command reads is being changed all the time; nothing was changed, try again');
}

/** See the top of the file. */
class AsideBuild {
  private readonly parts: AsideParts;
  private readonly command: AsideCommand;
  /** Heads whose versions are to change with each change of their bodies. */
  private readonly armed = new Map<string, Buffer>();
  /** Heads as they were read, each once. */
  private heads: ReadHead[] = [];
  private readRows = 0;
  private readBytes = 0;
  /** Rows behind one head that were not sent off. */
  private slice: FreshRow[] = [];
  private sliceBytes = 0;
  private sliceHead: Buffer = Buffer.alloc(0);
  private readonly underWay = new Set<Promise<void>>();
  /** Why a slice could not be written. */
  private failure: { readonly error: unknown } | undefined;

  constructor(parts: AsideParts, command: AsideCommand) {
    this.parts = parts;
    this.command = command;
    for (const head of command.heads) this.armed.set(head.toString('latin1'), head);
  }

  private deadlineMs(): Millis {
    return this.parts.clock.monotonicMs() + this.parts.stepTimeoutMs;
  }

  /** @returns undefined when something was changed meanwhile */
  async attempt(): Promise<{ readonly reply: Reply } | undefined> {
    const { command } = this;
    const { transactions, clock } = this.parts;
    this.slice = [];
    this.sliceBytes = 0;
    this.failure = undefined;
    this.heads = [];
    this.readRows = 0;
    this.readBytes = 0;
    if (!(await this.arm())) return undefined;
    const moment = await transactions.begin({ isolation: 'snapshot', deadlineMs: this.deadlineMs() });
    const { startTs } = moment;
    const here = new InlineAside(
      startTs,
      () => clock.monotonicMs(),
      command.begin === undefined ? MAX_EVALUATION_MS : SHORT_EVALUATION_MS,
      (rows, copyRows) => command.evaluate(rows, copyRows),
    );
    const begin = command.begin && (() => command.begin?.(startTs));
    const evaluation = (command.isFill === true ? begin?.() : undefined) ?? new MovingAside(here, begin);
    try {
      const { reply, copies, fresh, others } = await this.evaluate(evaluation, moment);
      for (const { key } of this.heads) this.armed.set(key.toString('latin1'), key);
      if (others.length === 0) return { reply };
      if (others.length > MAX_OTHER_WRITES) {
        throw new EvaluationTooLongError(`the command changes more than ${MAX_OTHER_WRITES} rows in place`);
      }
      for (const copy of copies) await this.copy(copy, moment);
      for (const row of fresh) await this.write(row, moment);
      await this.endSlice(moment);
      await this.settleSlices();
      return (await this.commit(others)) ? { reply } : undefined;
    } finally {
      evaluation.end();
      await Promise.all(this.underWay);
      await moment.rollback();
    }
  }

  /** @returns false when nobody knows whether it was done, which harms nobody */
  private async arm(): Promise<boolean> {
    const keys = [...this.armed.values()];
    try {
      await this.parts.transactions.run({ keys, deadlineMs: this.deadlineMs() }, (view) => {
        for (const key of keys) armHead(view, key);
      });
      return true;
    } catch (error) {
      if (isOutcomeUnknown(error)) return false;
      throw error;
    }
  }

  private async evaluate(evaluation: AsideEvaluation, moment: KvTransaction): Promise<AsideResult> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const outcome = await this.whilePinned(evaluation.evaluate(), moment);
      if (outcome.kind === 'result') return outcome.result;
      if (outcome.kind === 'error') throw outcome.error;
      await this.read(evaluation, outcome.missing, moment);
    }
    throw new EvaluationTooLongError(`the command finds what it reads in more than ${MAX_ROUNDS} steps`);
  }

  /** Renews the pin of the moment for as long as another thread evaluates. */
  private async whilePinned(evaluated: Promise<AsideOutcome>, moment: KvTransaction): Promise<AsideOutcome> {
    let cancel: Cancel = () => {};
    const renewLater = (): void => {
      cancel = this.parts.scheduler.after(RENEWAL_MS, () => {
        // If it has run out nevertheless, the next step finds that out.
        moment.get(this.command.heads[0]!).catch(() => {});
        renewLater();
      });
    };
    renewLater();
    try {
      return await evaluated;
    } finally {
      cancel();
    }
  }

  private async read(evaluation: AsideEvaluation, missing: Missing, moment: KvTransaction): Promise<void> {
    if (missing.kind === 'heads') {
      for (const key of missing.keys) {
        const head = { key, live: await moment.get(key) };
        if (this.command.isFill === true && hasBody(head.live)) throw new RedisError(HAS_GROWN);
        if (head.live !== undefined) this.countRead([{ key, value: head.live.value }]);
        this.heads.push(head);
        evaluation.addHead(head);
      }
      return;
    }
    const { head, incarnation } = missing;
    for await (const page of pagesOf(moment, head, incarnation)) {
      this.countRead(page);
      evaluation.addRows(page);
    }
    evaluation.addBody(head);
  }

  /** @throws EvaluationTooLongError when there are too many */
  private countRead(rows: readonly { readonly key: Buffer; readonly value: Buffer }[]): void {
    this.readRows += rows.length;
    for (const { key, value } of rows) this.readBytes += key.length + value.length;
    if (this.readRows <= MAX_READ_ROWS && this.readBytes <= MAX_READ_BYTES) return;
    throw new EvaluationTooLongError(`the command reads more than ${MAX_READ_ROWS} rows or ${MAX_READ_BYTES} bytes`);
  }

  private async copy({ from, to, incarnation, newIncarnation }: RowsCopy, moment: KvTransaction): Promise<void> {
    for await (const page of pagesOf(moment, from, incarnation)) {
      for (const { key, value, expireTs } of page) {
        const kind = key.subarray(from.length, from.length + 1);
        const rest = key.subarray(from.length + 1 + INCARNATION_BYTES);
        await this.write({ key: Buffer.concat([to, kind, newIncarnation, rest]), value, expireTs }, moment);
      }
    }
  }

  private async write(row: FreshRow, moment: KvTransaction): Promise<void> {
    const { key, value } = row;
    const head = key.subarray(0, bodyOf(key)!.headLength);
    const bytes = key.length + value.length;
    const isFull = this.slice.length >= SLICE_ROWS || this.sliceBytes + bytes > SLICE_BYTES;
    if (isFull || !head.equals(this.sliceHead)) await this.endSlice(moment);
    this.sliceHead = head;
    this.slice.push(row);
    this.sliceBytes += bytes;
  }

  private async endSlice(moment: KvTransaction): Promise<void> {
    const { slice } = this;
    this.slice = [];
    this.sliceBytes = 0;
    if (slice.length === 0) return;
    const sent = this.parts.writeRows(slice).then(
      () => void this.underWay.delete(sent),
      (error: unknown) => {
        this.underWay.delete(sent);
        this.failure ??= { error };
      },
    );
    this.underWay.add(sent);
    if (this.underWay.size >= MAX_SLICES_UNDER_WAY) await Promise.race(this.underWay);
    if (this.failure !== undefined) throw this.failure.error;
    // Known already: this renews the lease of the pin.
    await moment.get(this.command.heads[0]!);
  }

  private async settleSlices(): Promise<void> {
    await Promise.all(this.underWay);
    if (this.failure !== undefined) throw this.failure.error;
  }

  /** @returns false when a head is not what it was, or its version would not have said so */
  private async commit(others: readonly CapturedWrite[]): Promise<boolean> {
    const { heads } = this;
    const keys = heads.map(({ key }) => key);
    const { reply } = await this.parts.transactions.run({ keys, deadlineMs: this.deadlineMs() }, (now) => {
      let isSame = true;
      for (const { key, live } of heads) {
        isSame &&= (now.get(key)?.commitTs ?? NEVER) === (live?.commitTs ?? NEVER);
        if (armHead(now, key)) isSame = false;
      }
      if (!isSame) return false;
      for (const { key, value, expireTs } of others) {
        if (value === undefined) now.delete(key);
        else now.put(key, value, expireTs);
      }
      return true;
    });
    return reply === true;
  }
}

const HAS_GROWN = 'TRYAGAIN the value has become large meanwhile; nothing was changed, try again';

/** @returns true when the head had to be written for that */
const armHead = (view: KeyView, headKey: Buffer): boolean => armBody({ view, storageKey: (key) => key }, headKey);

/** All rows of a body as of a moment. */
async function* pagesOf(
  moment: KvTransaction,
  head: Buffer,
  incarnation: Buffer,
): AsyncGenerator<readonly (LiveValue & { readonly key: Buffer })[]> {
  for (const kind of ROW_KINDS) {
    let start: Buffer | undefined = Buffer.concat([head, Buffer.of(kind), incarnation]);
    const end = afterPrefix(start);
    while (start !== undefined) {
      const page = await moment.scan({ start, end, limit: PAGE_ROWS });
      yield page.rows;
      start = page.next;
    }
  }
}

/** The first key that does not begin with `prefix`, which has a byte below 0xff. */
function afterPrefix(prefix: Buffer): Buffer {
  let { length } = prefix;
  while (prefix[length - 1] === 0xff) length--;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1]!++;
  return end;
}
