/**
 * Operations that only read, and read more than one turn has time for. They are stopped and run again over rows that were read beforehand, at one
 * timestamp, a page a turn: of each object that they name all rows, or where they want a part of one, those that they say they will read. Of one group one
 * at a time, because what is read lies in memory until it is answered. Operations of the same source that share a key wait meanwhile.
 */
import type { KeyRules } from '../../distribution/index.ts';
import { type HlcTimestamp, nextTurn, type Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import type { BodyRules, GroupStore, StoreRow } from '../../store/index.ts';
import { nameOf } from '../apply/index.ts';
import {
  EvaluationTooLongError,
  type LongEvaluation,
  type LongEvaluator,
  type LongOutcome,
  NotOwnerError,
  type Operation,
  RangeBusyError,
} from '../contract/index.ts';
import type { GroupClock } from '../time/index.ts';
import { complete } from './completion.ts';
import type { GroupReadsOptions } from './group-reads.ts';
import { InlineEvaluation } from './rows-view.ts';
import type { OperationWaits } from './waits.ts';

/** How objects of several rows are known. */
export interface ObjectRules extends KeyRules {
  readonly bodies: BodyRules;
}

/** Rows that are read in one turn. */
const PAGE_ROWS = 1_000;
/** Bytes of values that are handed on together. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** Operations that wait for their turn; more are refused. */
const MAX_WAITING = 1_000;
/** Rounds of reading objects that an operation had not named. */
const MAX_ROUNDS = 256;
/**
 * A part of a large object (a range of a list, of a stream) is read row by row, in rounds, each of which evaluates the operation from the start. Beyond
 * either it is taken to want most of the object, which is read faster in order.
 */
const MOST_SINGLE_ROWS = 16_384;
const MOST_SINGLE_ROUNDS = 16;
/** Rows that are looked up one by one in a turn. */
const SINGLE_ROWS_A_TURN = 256;

export interface LongReadsOptions extends GroupReadsOptions {
  readonly clock: GroupClock;
  readonly scheduler: Scheduler;
  readonly waits: OperationWaits;
  /** Left out: every key is an object by itself. */
  readonly objects: ObjectRules | undefined;
  readonly limits: { readonly maxReadRows: number; readonly maxReadBytes: number };
  /** Who evaluates what it can; the rest, and everything when it is left out, is evaluated in a turn of this thread. */
  readonly evaluator: LongEvaluator | undefined;
  /** Whether something that the operation's source has asked for before is on its way. */
  readonly isOvertaking: (operation: Operation<unknown>) => boolean;
}

/** Which rows are of one body. Their keys begin alike, so one of many is taken apart. */
class RowsOfBody {
  private readonly bodies: BodyRules;
  private readonly incarnation: Buffer;
  /** How the key of the last row began that was taken apart and is one. */
  private prefix: Buffer | undefined;

  constructor(bodies: BodyRules, incarnation: Buffer) {
    this.bodies = bodies;
    this.incarnation = incarnation;
  }

  has(key: Buffer): boolean {
    const { prefix } = this;
    if (prefix !== undefined && beginsWith(key, prefix)) return true;
    const body = this.bodies.bodyOf(key);
    if (body?.incarnation.equals(this.incarnation) !== true) return false;
    this.prefix = key.subarray(0, body.prefixLength);
    return true;
  }
}

const beginsWith = (key: Buffer, prefix: Buffer): boolean =>
  key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;

/** One reading of an operation: what is known of it here while somebody evaluates it. */
class Reading {
  readonly evaluation: LongEvaluation;
  readonly ts: HlcTimestamp;
  private readonly limits: LongReadsOptions['limits'];
  private readonly heads = new Set<string>();
  /** Objects whose locks were waited for. */
  private readonly settled = new Map<string, Buffer>();
  private bodyRows = 0;
  /** Of rows of bodies. */
  private bodyBytes = 0;

  constructor(evaluation: LongEvaluation, ts: HlcTimestamp, limits: LongReadsOptions['limits']) {
    this.evaluation = evaluation;
    this.ts = ts;
    this.limits = limits;
  }

  /** @returns those that were not here already, each once */
  add(heads: readonly Buffer[]): Buffer[] {
    const fresh = heads.filter((head) => {
      const { size } = this.heads;
      return this.heads.add(nameOf(head)).size > size;
    });
    if (fresh.length > 0) this.evaluation.addObjects(fresh);
    return fresh;
  }

  /** Objects of which something was read. */
  get settledHeads(): Iterable<Buffer> {
    return this.settled.values();
  }

  /** @returns false when the locks of the object were waited for already */
  settle(head: Buffer): boolean {
    const name = nameOf(head);
    if (this.settled.has(name)) return false;
    this.settled.set(name, head);
    return true;
  }

  /** @throws EvaluationTooLongError when there are too many beside the heads, which the operation names */
  addBodyRows(rows: readonly StoreRow[]): number {
    const { maxReadRows, maxReadBytes } = this.limits;
    const bytes = rows.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    this.bodyRows += rows.length;
    this.bodyBytes += bytes;
    if (this.bodyRows > maxReadRows || this.bodyBytes > maxReadBytes) {
      throw new EvaluationTooLongError(`the command reads more than ${maxReadRows} rows or ${maxReadBytes} bytes`);
    }
    this.evaluation.addRows(rows);
    return bytes;
  }
}

/** See the top of the file. */
export class LongReads {
  private readonly options: LongReadsOptions;
  private readonly store: GroupStore;
  private last: Promise<void> = Promise.resolve();
  private waiting = 0;

  constructor(options: LongReadsOptions) {
    this.options = options;
    this.store = options.store;
  }

  /** Takes an operation over that was stopped; it is completed here, or comes to `waits` when its range is on its way. */
  start(operation: Operation<unknown>, tries: number): void {
    if (this.waiting >= MAX_WAITING) {
      this.end(operation, new BusyError('too many long reads wait for the group; try again later'), undefined);
      return;
    }
    this.waiting++;
    this.options.waits.order.waits(operation);
    this.last = this.last.then(() => this.run(operation, tries));
  }

  private end(operation: Operation<unknown>, error: Error | undefined, reply: unknown): void {
    complete(operation, error, reply);
    this.options.waits.left(operation);
  }

  private async run(operation: Operation<unknown>, tries: number): Promise<void> {
    this.waiting--;
    try {
      const outcome = await this.read(operation);
      if (outcome === undefined) this.options.waits.again(operation, tries);
      else if (outcome.kind === 'error') this.end(operation, outcome.error, undefined);
      else this.end(operation, undefined, outcome.kind === 'reply' ? outcome.reply : undefined);
    } catch (error) {
      if (error instanceof NotOwnerError || error instanceof RangeBusyError) {
        this.options.waits.forRange(operation, tries, error);
      } else this.end(operation, error as Error, undefined);
    }
  }

  /**
   * @returns undefined when it has to wait once more for what its source has asked for before
   * @throws KvorumError: it could not be read; what the operation itself throws is its outcome
   */
  private async read(operation: Operation<unknown>): Promise<LongOutcome | undefined> {
    const { stateMachine, stillLeads, catchUp, isOvertaking, waits } = this.options;
    const { foreignTs } = stateMachine;
    // What its source has asked for before has taken effect then, or is on its way again.
    await catchUp();
    if (isOvertaking(operation) || !waits.order.isFirst(operation)) return undefined;
    let readTs = await this.draw();
    let outcome = await this.evaluate(operation, readTs);
    // A transaction that was waited for may have been acknowledged elsewhere before the call, and committed above the moment.
    if (stateMachine.foreignTs > foreignTs && stateMachine.foreignTs > readTs) {
      readTs = await this.draw();
      outcome = await this.evaluate(operation, readTs);
    }
    await stillLeads();
    return outcome;
  }

  /** A moment above everything acknowledged; what lies at or below it is applied. */
  private async draw(): Promise<HlcTimestamp> {
    const { clock, readTimestamp, catchUp } = this.options;
    const opening = clock.opening();
    if (opening !== undefined) await opening;
    const readTs = readTimestamp();
    await catchUp();
    return readTs;
  }

  private evaluate(operation: Operation<unknown>, readTs: HlcTimestamp): Promise<LongOutcome> {
    return this.options.openReads.during(readTs, () => this.evaluateAt(operation, readTs));
  }

  private async evaluateAt(operation: Operation<unknown>, readTs: HlcTimestamp): Promise<LongOutcome> {
    const { evaluator, limits } = this.options;
    const evaluation =
      evaluator?.begin(operation, readTs) ?? new InlineEvaluation(operation, readTs, (key) => this.headOf(key));
    const reading = new Reading(evaluation, readTs, limits);
    try {
      const named = operation.storageKeys?.() ?? [];
      let wanted: readonly Buffer[] = named;
      let left = operation.readsPart === true ? MOST_SINGLE_ROWS : Number.NEGATIVE_INFINITY;
      for (let round = 0; round < MAX_ROUNDS; round++) {
        left -= wanted.length;
        const isPart = round < MOST_SINGLE_ROUNDS && left >= 0;
        if (isPart) await this.readRows(reading, wanted);
        else await this.readObjects(reading, [...named, ...wanted]);
        const outcome = await evaluation.evaluate();
        if (outcome.kind !== 'missing') return outcome;
        wanted = outcome.keys;
      }
    } finally {
      evaluation.end();
    }
    throw new EvaluationTooLongError(`the command finds what it reads in more than ${MAX_ROUNDS} steps`);
  }

  private headOf(key: Buffer): Buffer {
    return this.options.objects?.align(key) ?? key;
  }

  /** Waits until nothing of an object can change at the moment of the reading. @throws NotOwnerError, RangeBusyError */
  private async settle(reading: Reading, head: Buffer): Promise<Buffer> {
    const { settleLocks, objects } = this.options;
    const end = objects?.after(head) ?? Buffer.concat([head, Buffer.alloc(1)]);
    if (!reading.settle(head)) return end;
    this.assertOwned(head);
    await settleLocks(head, end, reading.ts);
    return end;
  }

  /** Reads rows one by one. */
  private async readRows(reading: Reading, keys: readonly Buffer[]): Promise<void> {
    for (let at = 0; at < keys.length; at += SINGLE_ROWS_A_TURN) {
      const looked = keys.slice(at, at + SINGLE_ROWS_A_TURN);
      const found: StoreRow[] = [];
      for (const key of looked) {
        const head = this.headOf(key);
        await this.settle(reading, head);
        const row = await this.store.get(key, reading.ts);
        this.options.onAccess?.(head, false, row?.value.length ?? 0);
        if (row !== undefined) found.push(row);
      }
      reading.addBodyRows(found);
      reading.evaluation.addKeys(looked);
      await nextTurn(this.options.scheduler);
    }
    // What a move took away meanwhile may have been deleted under the read.
    for (const head of reading.settledHeads) this.assertOwned(head);
  }

  private async readObjects(reading: Reading, keys: readonly Buffer[]): Promise<void> {
    const { objects } = this.options;
    for (let at = 0; at < keys.length; at += PAGE_ROWS) {
      const heads = reading.add(keys.slice(at, at + PAGE_ROWS).map((key) => this.headOf(key)));
      let found: StoreRow[] = [];
      let foundBytes = 0;
      for (const head of heads) {
        this.assertOwned(head);
        const end = await this.settle(reading, head);
        const row = await this.store.get(head, reading.ts);
        if (row !== undefined) {
          found.push(row);
          foundBytes += row.value.length;
        }
        const incarnation = row && objects?.bodies.incarnationIn(head, row.value);
        const bytes = incarnation === undefined ? 0 : await this.readBody(reading, head, end, incarnation);
        this.options.onAccess?.(head, false, bytes + (row?.value.length ?? 0));
        if (foundBytes < PAGE_BYTES) continue;
        reading.evaluation.addRows(found);
        [found, foundBytes] = [[], 0];
        await nextTurn(this.options.scheduler);
      }
      reading.evaluation.addRows(found);
      // What a move took away meanwhile may have been deleted under the read.
      for (const head of heads) this.assertOwned(head);
      await nextTurn(this.options.scheduler);
    }
  }

  /** Reads the rows of one body. @returns their bytes */
  private async readBody(reading: Reading, head: Buffer, end: Buffer, incarnation: Buffer): Promise<number> {
    const body = new RowsOfBody(this.options.objects!.bodies, incarnation);
    let bytes = 0;
    let start: Buffer | undefined = head;
    while (start !== undefined) {
      const page = await this.store.scan({ start, end, readTs: reading.ts, limit: PAGE_ROWS });
      // Bodies that the object had before lie there until they are collected.
      bytes += reading.addBodyRows(page.rows.filter(({ key }) => body.has(key)));
      start = page.next;
      await nextTurn(this.options.scheduler);
    }
    return bytes;
  }

  private assertOwned(key: Buffer): void {
    const refusal = this.options.gate.refuse(key, 'read');
    if (refusal !== undefined) throw refusal;
  }
}
