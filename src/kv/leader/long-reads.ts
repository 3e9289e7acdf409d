/**
 * Operations that only read, and read more than one turn has time for. They are stopped and run again over rows that were read beforehand: of
 * each object that they name all rows, at one timestamp, a page a turn. Of one group one at a time, because what is read
 * lies in memory until it is answered. Operations of the same source that share a key wait meanwhile.
 */
import type { KeyRules } from '../../distribution/index.ts';
import { assert, type HlcTimestamp, type Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import type { BodyRules, GroupStore, StoreRow } from '../../store/index.ts';
import { nameOf } from '../apply/index.ts';
import {
  EvaluationTooLongError,
  type KeyView,
  type LiveValue,
  NotOwnerError,
  type Operation,
  RangeBusyError,
} from '../contract/index.ts';
import type { GroupClock } from '../time/index.ts';
import { complete } from './completion.ts';
import type { GroupReadsOptions } from './group-reads.ts';
import type { OperationWaits } from './waits.ts';

/** How objects of several rows are known. */
export interface ObjectRules extends KeyRules {
  readonly bodies: BodyRules;
}

/** Rows that are read in one turn. */
const PAGE_ROWS = 1_000;
/** Operations that wait for their turn; more are refused. */
const MAX_WAITING = 1_000;
/** Rounds of reading objects that an operation had not named. */
const MAX_ROUNDS = 256;

export interface LongReadsOptions extends GroupReadsOptions {
  readonly clock: GroupClock;
  readonly scheduler: Scheduler;
  readonly waits: OperationWaits;
  /** Left out: every key is an object by itself. */
  readonly objects: ObjectRules | undefined;
  readonly limits: { readonly maxReadRows: number; readonly maxReadBytes: number };
  /** Whether something that the operation's source has asked for before is on its way. */
  readonly isOvertaking: (operation: Operation<unknown>) => boolean;
}

/** What the operation came to. */
interface Outcome {
  readonly error?: Error;
  readonly reply?: unknown;
}

/** Stops an evaluation at an object that was not read. Not an error that anybody declares, so nobody keeps it. */
class NotReadYet extends Error {}

/** Rows that were read beforehand, as the operation sees them. It keeps nothing of what is asked, because that may be a million rows. */
class RowsView implements KeyView {
  readonly ts: HlcTimestamp;
  private readonly headOf: (key: Buffer) => Buffer;
  private readonly rows = new Map<string, LiveValue>();
  private bodyRows = 0;
  /** Of rows of bodies. */
  private bytes = 0;
  /** Objects of which all rows are here: what they do not have is known too. */
  private readonly heads = new Set<string>();
  /** What has to be read before the evaluation can go on. */
  missing: readonly Buffer[] | undefined;

  constructor(ts: HlcTimestamp, headOf: (key: Buffer) => Buffer) {
    this.ts = ts;
    this.headOf = headOf;
  }

  hasObject(head: Buffer): boolean {
    return this.heads.has(nameOf(head));
  }

  addObject(head: Buffer): void {
    this.heads.add(nameOf(head));
  }

  addHead(row: StoreRow): void {
    this.rows.set(nameOf(row.key), row);
  }

  /** @throws EvaluationTooLongError when there are too many beside the heads, which the operation names */
  addBodyRow(row: StoreRow, { maxReadRows, maxReadBytes }: LongReadsOptions['limits']): void {
    this.rows.set(nameOf(row.key), row);
    this.bytes += row.key.length + row.value.length;
    if (++this.bodyRows <= maxReadRows && this.bytes <= maxReadBytes) return;
    throw new EvaluationTooLongError(`the command reads more than ${maxReadRows} rows or ${maxReadBytes} bytes`);
  }

  get(key: Buffer): LiveValue | undefined {
    const row = this.rows.get(nameOf(key));
    if (row === undefined && !this.hasObject(this.headOf(key))) this.miss([key]);
    return row;
  }

  prefetch(keys: readonly Buffer[]): void {
    const missing = keys.filter((key) => !this.hasObject(this.headOf(key)));
    if (missing.length > 0) this.miss(missing);
  }

  private miss(keys: readonly Buffer[]): never {
    this.missing ??= keys;
    throw new NotReadYet();
  }

  put(): void {
    this.refuse();
  }

  delete(): void {
    this.refuse();
  }

  deleteRange(): void {
    this.refuse();
  }

  private refuse(): never {
    assert(false, 'an operation that says that it only reads writes nothing');
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
      else this.end(operation, outcome.error, outcome.reply);
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
  private async read(operation: Operation<unknown>): Promise<Outcome | undefined> {
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

  private async evaluate(operation: Operation<unknown>, readTs: HlcTimestamp): Promise<Outcome> {
    const view = new RowsView(readTs, (key) => this.headOf(key));
    let wanted: readonly Buffer[] = operation.storageKeys?.() ?? [];
    for (let round = 0; round < MAX_ROUNDS; round++) {
      await this.readObjects(view, wanted);
      view.missing = undefined;
      let outcome: Outcome;
      try {
        outcome = { reply: operation.evaluate(view) };
      } catch (error) {
        outcome = { error: error instanceof Error ? error : new Error(String(error)) };
      }
      if (view.missing === undefined) return outcome;
      wanted = view.missing;
    }
    throw new EvaluationTooLongError(`the command finds what it reads in more than ${MAX_ROUNDS} steps`);
  }

  private headOf(key: Buffer): Buffer {
    return this.options.objects?.align(key) ?? key;
  }

  private async readObjects(view: RowsView, keys: readonly Buffer[]): Promise<void> {
    const { settleLocks, objects } = this.options;
    const heads: Buffer[] = [];
    let sinceTurn = 0;
    for (const key of keys) {
      const head = this.headOf(key);
      if (view.hasObject(head)) continue;
      view.addObject(head);
      heads.push(head);
      this.assertOwned(head);
      const end = objects?.after(head) ?? Buffer.concat([head, Buffer.alloc(1)]);
      await settleLocks(head, end, view.ts);
      const row = await this.store.get(head, view.ts);
      if (row !== undefined) view.addHead(row);
      const incarnation = row && objects?.bodies.incarnationIn(head, row.value);
      const bytes = incarnation === undefined ? 0 : await this.readBody(view, head, end, incarnation);
      this.options.onAccess?.(head, false, bytes + (row?.value.length ?? 0));
      if (++sinceTurn % PAGE_ROWS === 0) await this.nextTurn();
    }
    // What a move took away meanwhile may have been deleted under the read.
    for (const head of heads) this.assertOwned(head);
  }

  /** Reads the rows of one body. @returns their bytes */
  private async readBody(view: RowsView, head: Buffer, end: Buffer, incarnation: Buffer): Promise<number> {
    const { bodies } = this.options.objects!;
    let bytes = 0;
    let start: Buffer | undefined = head;
    while (start !== undefined) {
      const page = await this.store.scan({ start, end, readTs: view.ts, limit: PAGE_ROWS });
      for (const row of page.rows) {
        // Bodies that the object had before lie there until they are collected.
        if (bodies.bodyOf(row.key)?.incarnation.equals(incarnation) !== true) continue;
        view.addBodyRow(row, this.options.limits);
        bytes += row.key.length + row.value.length;
      }
      start = page.next;
      await this.nextTurn();
    }
    return bytes;
  }

  private assertOwned(key: Buffer): void {
    const refusal = this.options.gate.refuse(key, 'read');
    if (refusal !== undefined) throw refusal;
  }

  private nextTurn(): Promise<void> {
    return new Promise((resolve) => this.options.scheduler.nextTurn(resolve));
  }
}
