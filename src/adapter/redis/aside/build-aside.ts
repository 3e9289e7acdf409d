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
  type TransactionRunner,
} from '../../../kv/index.ts';
import { type Clock, type HlcTimestamp, isOutcomeUnknown, type Millis, NEVER } from '../../../platform/index.ts';
import { armBody, type CopyRows, ROW_KINDS, type RowsCopy } from '../bodies/index.ts';
import { bodyOf, INCARNATION_BYTES } from '../keys/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import { CapturedRows, type CapturedWrite, type Missing } from './captured-rows.ts';

/** A slice: 25 ms of a leader, and as much on each replica. */
const SLICE_ROWS = 1_000;
const SLICE_BYTES = 1 << 20;
/** Slices that are on their way at one time. */
const MAX_SLICES_UNDER_WAY = 4;
/** Rows that are read at once. */
const PAGE_ROWS = 1_000;
/** Builds of one command: what it reads may be changed meanwhile. */
const MAX_ATTEMPTS = 4;
/** Rounds of reading what the evaluation before has missed. */
const MAX_ROUNDS = 256;
/** Writes that are not rows of a new body: those of a change in place would be one large entry after all. */
const MAX_OTHER_WRITES = 1_000;

/** A row of a body that no head names yet. */
export interface FreshRow {
  readonly key: Buffer;
  readonly value: Buffer;
  /** 0n is never. */
  readonly expireTs: HlcTimestamp;
}

/** A command that writes a whole value. */
export interface AsideCommand {
  /** Heads that it names. */
  readonly heads: readonly Buffer[];
  /** Synchronous; several times if need be. @param copyRows is to be used instead of reading and writing each row */
  evaluate(view: KeyView, copyRows: CopyRows): Reply;
}

export interface AsideParts {
  readonly transactions: Pick<TransactionRunner, 'run' | 'begin'>;
  readonly clock: Clock;
  /** For each step; well below the lease of a pin. */
  readonly stepTimeoutMs: Millis;
  /** Writes rows behind one head, in one entry; several times do no harm. */
  writeRows(rows: readonly FreshRow[]): Promise<void>;
}

/**
 * @throws what the command throws; RedisError TRYAGAIN when what it reads was changed each time, EvaluationTooLongError, what the groups
 *   answer: nothing that anybody could see happened; OutcomeUnknownError
 */
export async function buildAside(parts: AsideParts, command: AsideCommand): Promise<Reply> {
  const build = new AsideBuild(parts, command);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const outcome = await build.attempt();
    if (outcome !== undefined) return outcome.reply;
  }
  throw new RedisError('TRYAGAIN what the command reads is being changed all the time; nothing was changed, try again');
}

/** See the top of the file. */
class AsideBuild {
  private readonly parts: AsideParts;
  private readonly command: AsideCommand;
  /** Heads whose versions are to change with each change of their bodies. */
  private readonly armed = new Map<string, Buffer>();
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
    const { transactions, clock } = this.parts;
    this.slice = [];
    this.sliceBytes = 0;
    this.failure = undefined;
    if (!(await this.arm())) return undefined;
    const moment = await transactions.begin({ isolation: 'snapshot', deadlineMs: this.deadlineMs() });
    try {
      const view = new CapturedRows(moment.startTs, () => clock.monotonicMs());
      const copies: RowsCopy[] = [];
      const reply = await this.evaluate(view, copies, moment);
      for (const { key } of view.readHeads()) this.armed.set(key.toString('latin1'), key);
      const { fresh, others } = view.effects();
      if (others.length === 0) return { reply };
      if (others.length > MAX_OTHER_WRITES) {
        throw new EvaluationTooLongError(`the command changes more than ${MAX_OTHER_WRITES} rows in place`);
      }
      for (const copy of copies) await this.copy(copy, moment);
      for (const { key, value, expireTs } of fresh) await this.write({ key, value: value!, expireTs }, moment);
      await this.endSlice(moment);
      await this.settleSlices();
      return (await this.commit(view, others)) ? { reply } : undefined;
    } finally {
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

  private async evaluate(view: CapturedRows, copies: RowsCopy[], moment: KvTransaction): Promise<Reply> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      view.begin();
      copies.length = 0;
      let reply: Reply = null;
      let failure: { readonly error: unknown } | undefined;
      try {
        reply = this.command.evaluate(view, (copy) => copies.push(copy));
      } catch (error) {
        failure = { error };
      }
      if (view.missing !== undefined) await this.read(view, view.missing, moment);
      else if (failure !== undefined) throw failure.error;
      else return reply;
    }
    throw new EvaluationTooLongError(`the command finds what it reads in more than ${MAX_ROUNDS} steps`);
  }

  private async read(view: CapturedRows, missing: Missing, moment: KvTransaction): Promise<void> {
    if (missing.kind === 'heads') {
      for (const key of missing.keys) view.addHead({ key, live: await moment.get(key) });
      return;
    }
    const { head, incarnation } = missing;
    for await (const page of pagesOf(moment, head, incarnation)) {
      for (const row of page) view.addRow(row.key, row);
    }
    view.addBody(head);
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
    const isFull = this.slice.length >= SLICE_ROWS || this.sliceBytes >= SLICE_BYTES;
    if (isFull || !head.equals(this.sliceHead)) await this.endSlice(moment);
    this.sliceHead = head;
    this.slice.push(row);
    this.sliceBytes += key.length + value.length;
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
  private async commit(view: CapturedRows, others: readonly CapturedWrite[]): Promise<boolean> {
    const heads = view.readHeads();
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
