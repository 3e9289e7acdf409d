/**
 * Whether the leader may serve a key right now: what applied state says, narrowed by span commands of its own that are on
 * their way. From the moment a fence is proposed no write of the range may follow it into the log; from the moment a release
 * is proposed no read may be served that the next owner does not know of.
 */
import { type Access, applySpanCommand, type SpanCommand, type SpanTable } from '../../distribution/index.ts';
import type { HlcTimestamp } from '../../platform/index.ts';
import type { GroupAdmission } from '../admission/index.ts';
import { ownerOf, rangeFloor, refusalOf } from '../apply/index.ts';
import { type NotOwnerError, RangeBusyError } from '../contract/index.ts';
import { ABSENT, LOCAL_END, LOCAL_START, touchesLocal } from '../entry/index.ts';

/** A span command between its proposal and its outcome. */
export interface PendingCommand {
  readonly command: SpanCommand;
}

const jobOf = (command: SpanCommand): number => (command.kind === 'assign' ? 0 : command.job);

/** The part of a scan's range that may be served here, cut where commands must not look. */
export interface ReadableRange {
  readonly pieces: readonly { readonly start: Buffer; readonly end: Buffer }[];
  /** Where somebody else goes on; undefined when the range ends here. */
  readonly next: Buffer | undefined;
}

export class SpanGate {
  private readonly applied: () => SpanTable;
  /** Whether writes are let in at the moment; undefined: all are. */
  readonly admission: GroupAdmission | undefined;
  /** In the order of the log. */
  private pending: PendingCommand[] = [];
  /** What the table will be when all that is pending is applied; undefined when nothing is. */
  private predicted: SpanTable | undefined;
  /** The table that `predicted` and `isPlain` were made from. */
  private seen: SpanTable | undefined;
  private isPlainTable = true;
  /** Rises with every change of what may be served. */
  private changes = 0;

  /** @param applied gives the span table as of the applied index */
  constructor(applied: () => SpanTable, admission?: GroupAdmission) {
    this.applied = applied;
    this.admission = admission;
  }

  /** The applied table. */
  get table(): SpanTable {
    return this.follow();
  }

  private follow(): SpanTable {
    const table = this.applied();
    if (table !== this.seen) this.refresh(table);
    return table;
  }

  /** True when a key that may be read may be written too. */
  get isPlain(): boolean {
    this.follow();
    return this.isPlainTable && this.predicted === undefined;
  }

  /** True while no span command is on its way, so that the applied table alone decides. */
  get isSettled(): boolean {
    return this.predicted === undefined;
  }

  /** Another number than before says that keys may be served, or may not, that were not, or were, before. */
  get revision(): number {
    this.follow();
    return this.changes;
  }

  private refresh(table: SpanTable): void {
    this.changes++;
    this.seen = table;
    this.isPlainTable = table.spans.every((span) => span.state !== 'FENCED');
    let predicted: SpanTable | undefined;
    for (const { command } of this.pending) predicted = applySpanCommand(predicted ?? table, command).table;
    this.predicted = predicted;
  }

  /** From now on the command counts as applied wherever it takes something away. */
  begin(command: SpanCommand): PendingCommand {
    const pending = { command };
    this.pending.push(pending);
    this.refresh(this.applied());
    return pending;
  }

  /** The command was applied: so was every earlier one of the job whose place in the log is before it, or it never will be. */
  end(pending: PendingCommand): void {
    const at = this.pending.indexOf(pending);
    if (at < 0) return;
    const job = jobOf(pending.command);
    this.pending = this.pending.filter((one, place) => place > at || jobOf(one.command) !== job);
    this.refresh(this.applied());
  }

  /** The command was certainly not proposed. What is known of others does not change. */
  withdraw(pending: PendingCommand): void {
    this.pending = this.pending.filter((one) => one !== pending);
    this.refresh(this.applied());
  }

  /** A new term begins: what is pending from an earlier one is in the applied state or will never be. */
  reset(): void {
    this.pending = [];
    this.refresh(this.applied());
  }

  /** Why a key may not be served; undefined when it may. */
  refuse(key: Buffer, access: Access): NotOwnerError | RangeBusyError | undefined {
    const { table } = this;
    if (ownerOf(table, key, access) === undefined) return refusalOf(table.check(key, access));
    const isKept = this.predicted === undefined || ownerOf(this.predicted, key, access) !== undefined;
    return isKept ? undefined : handingOver();
  }

  /** Why a range may not be written as a whole; undefined when it may. */
  refuseRange(start: Buffer, end: Buffer): NotOwnerError | RangeBusyError | undefined {
    const { table } = this;
    if (rangeFloor(table, start, end) === undefined) {
      const rest = table.intersect(start, end, 'write').rest;
      return refusalOf(rest?.verdict ?? table.check(start, 'write'));
    }
    const isKept = this.predicted === undefined || rangeFloor(this.predicted, start, end) !== undefined;
    return isKept ? undefined : handingOver();
  }

  /** Commits in `[start, end)`, which the group owns, must be above this. */
  floorOf(start: Buffer, end: Buffer): HlcTimestamp {
    return rangeFloor(this.table, start, end) ?? ABSENT;
  }

  /**
   * How far a scan of `[start, end)` may go.
   * @throws NotOwnerError, RangeBusyError when not even `start` may be read
   */
  readable(start: Buffer, end: Buffer): ReadableRange {
    if (Buffer.compare(start, end) >= 0) return { pieces: [], next: undefined };
    const refusal = this.refuse(start, 'read');
    const isLocalStart = refusal !== undefined && touchesLocal(start, end) && Buffer.compare(LOCAL_START, start) <= 0;
    if (isLocalStart) return this.readable(LOCAL_END, end);
    if (refusal !== undefined) throw refusal;
    let ownedEnd = this.table.intersect(start, end, 'read').ownedEnd ?? end;
    const predictedEnd = this.predicted?.intersect(start, end, 'read').ownedEnd;
    if (predictedEnd !== undefined && Buffer.compare(predictedEnd, ownedEnd) < 0) ownedEnd = predictedEnd;
    const next = Buffer.compare(ownedEnd, end) < 0 ? ownedEnd : undefined;
    if (!touchesLocal(start, ownedEnd)) return { pieces: [{ start, end: ownedEnd }], next };
    const pieces = [{ start, end: LOCAL_START }];
    if (Buffer.compare(LOCAL_END, ownedEnd) < 0) pieces.push({ start: LOCAL_END, end: ownedEnd });
    return { pieces, next };
  }
}

const handingOver = (): RangeBusyError => new RangeBusyError('the range is being handed over; try again in a moment');
