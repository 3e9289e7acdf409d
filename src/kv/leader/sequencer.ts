/**
 * A group's sequence of entries, while this node leads it: draws the turn's timestamp, keeps the entry that the turn's writes go into,
 * hands entries to Raft, and tells what became of each.
 *
 * Everything between drawing a timestamp and handing the entry to Raft is synchronous, so timestamps are drawn and entries are proposed
 * in the same order. That, not a lock, orders the writes of the group.
 */
import {
  assert,
  type Cancel,
  CrowdGathering,
  type HlcTimestamp,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import { BusyError, type ProposalOutcome, type RaftGroup } from '../../raftengine/index.ts';
import type { BatchResult, EntryResult } from '../apply/index.ts';
import { AssignedTimestamps, type GroupClock } from '../time/index.ts';
import { failureOf } from './completion.ts';
import type { ExecutorLimits } from './executor-options.ts';
import type { Overlay, Unit } from './overlay.ts';
import { type Pending, TurnEntry } from './turn-entry.ts';

/**
 * An entry that no operation asked for: a usual one; one of the few small ones that a range in a move waits for, which do not wait for room; or one of the
 * periodic work, which changes nothing that anybody reads.
 */
export type AsideKind = 'usual' | 'urgent' | 'maintenance';

export interface SequencerOptions {
  readonly raft: Pick<RaftGroup, 'propose'>;
  readonly clock: GroupClock;
  readonly scheduler: Scheduler;
  /** Monotonic. */
  readonly nowMs: () => Millis;
  readonly limits: ExecutorLimits;
  /** Has the writes of the entries that are open or on their way. */
  readonly overlay: Overlay;
  /** Why nothing can be proposed now; undefined while this node leads the group and serves. */
  readonly refusal: () => Error | undefined;
  /** An entry was applied; in log order. */
  readonly onApplied: (entry: TurnEntry, units: readonly Unit[], refusals: BatchResult) => void;
  /** An entry will not be applied, or nobody knows. */
  readonly onAbandoned: (entry: TurnEntry, error: Error) => void;
  /** Something has left, so there may be room for what waits. */
  readonly onRoom: () => void;
  /** A turn that had commands is over. */
  readonly onTurnEnd: () => void;
}

/** See the top of the file. */
export class Sequencer {
  private readonly options: SequencerOptions;
  private readonly gathering: CrowdGathering;
  private readonly assigned = new AssignedTimestamps();
  /** Timestamp of the commands of this turn, drawn by the first of them; undefined between turns. */
  private turnTs: HlcTimestamp | undefined;
  /** The entry that this turn's writes go into. */
  private entry: TurnEntry | undefined;
  private isTurnEndScheduled = false;
  /** The open entry waits for more commands until then. */
  private endWait: Cancel | undefined;
  /** Entries that were handed to Raft, oldest first. */
  private readonly inflight: TurnEntry[] = [];
  private inflightSize = 0;
  private entryCount = 0;
  /** Entries on their way that no operation asked for and that change what is read. */
  private asideCount = 0;

  constructor(options: SequencerOptions) {
    this.options = options;
    this.gathering = new CrowdGathering(options.limits.gatherTurns, options.nowMs);
  }

  /** The smallest timestamp that something on its way was given; undefined: nothing is on its way. */
  get oldestAssigned(): HlcTimestamp | undefined {
    return this.assigned.first ?? this.entry?.commitTs ?? this.turnTs;
  }

  /** The entry that this turn's writes go into; undefined before the first. */
  get open(): TurnEntry | undefined {
    return this.entry;
  }

  /** The last entry that is open or on its way. */
  get newest(): TurnEntry | undefined {
    return this.entry ?? this.inflight.at(-1);
  }

  get inflightEntries(): number {
    return this.inflight.length;
  }

  get inflightBytes(): number {
    return this.inflightSize;
  }

  /** Entries since start. */
  get entries(): number {
    return this.entryCount;
  }

  /** True while everything on its way either changes nothing that is read, or is known to readers: see `ReadConfirmer`. */
  get isForeseen(): boolean {
    return this.asideCount === 0;
  }

  /** True when no room is left for another entry. */
  isFull(): boolean {
    const { maxInflightEntries, maxInflightBytes } = this.options.limits;
    return this.inflight.length >= maxInflightEntries || this.inflightSize >= maxInflightBytes;
  }

  /** True when the next operation has a timestamp already or the clock has room for one. */
  mayDraw(): boolean {
    return this.turnTs !== undefined || this.entry !== undefined || this.options.clock.hasRoom();
  }

  /** What was evaluated and may take effect, by entry. */
  underWay(): (readonly Pending[])[] {
    const entries = this.entry === undefined ? this.inflight : [...this.inflight, this.entry];
    return entries.map(({ pending }) => pending);
  }

  /** This node leads the group from now on. */
  begin(): void {
    assert(this.inflight.length === 0, 'a new leader starts without writes in flight');
    this.assigned.clear();
  }

  /** @returns the entry that was open, which nobody proposes any more */
  end(): TurnEntry | undefined {
    const { entry } = this;
    this.entry = undefined;
    this.turnTs = undefined;
    if (entry !== undefined) this.options.overlay.remove(entry);
    return entry;
  }

  // ---- From drawing the turn's timestamp to `raft.propose` nothing may await. ----

  /**
   * The timestamp of the present turn. Each draw reserves the value before it too: range deletes of the entry are applied
   * there, below the entry's own puts and above everything older.
   */
  turnTimestamp(): HlcTimestamp {
    if (this.turnTs === undefined) {
      // A command that joins an entry of an earlier turn is evaluated at that entry's timestamp.
      this.turnTs = this.entry?.commitTs ?? this.draw();
      this.scheduleTurnEnd();
    }
    return this.turnTs;
  }

  /** Only after `mayDraw`, in the same turn and with nothing observed since: then it does not fail. */
  private draw(): HlcTimestamp {
    return this.options.clock.take(2);
  }

  private scheduleTurnEnd(): void {
    if (this.isTurnEndScheduled) return;
    this.isTurnEndScheduled = true;
    this.options.scheduler.endOfTurn(() => this.endTurn());
  }

  /** The entry for a write at the turn's timestamp. */
  entryAt(ts: HlcTimestamp): TurnEntry {
    this.entry ??= new TurnEntry(ts, this.entryCount++);
    return this.entry;
  }

  private endTurn(): void {
    this.isTurnEndScheduled = false;
    this.turnTs = undefined;
    this.options.onTurnEnd();
    const { clock, limits, scheduler } = this.options;
    if (this.entry === undefined) clock.keepOpen();
    else if (this.inflight.length >= limits.pipelineDepth) return;
    else if (this.gathering.waitsFor(this.entry.pending.length)) scheduler.nextTurn(() => this.scheduleTurnEnd());
    else this.proposeOrWait(this.entry.pending.length);
  }

  private proposeOrWait(commands: number): void {
    const patienceMs = this.gathering.patienceMs(commands);
    if (patienceMs === 0) this.propose();
    else this.endWait ??= this.options.scheduler.after(patienceMs, () => this.waited());
  }

  private waited(): void {
    this.endWait = undefined;
    if (this.entry !== undefined) this.scheduleTurnEnd();
  }

  /** Sends off what the turn has gathered; what follows is committed at a later timestamp. */
  closeEntry(): void {
    if (this.entry !== undefined) this.propose();
    this.turnTs = undefined;
  }

  /**
   * Proposes an entry that was not gathered in a turn, behind everything that was evaluated. Only after `mayDraw`.
   * @param make gets the entry's timestamp and ordinal, and answers undefined when there shall be none
   * @returns whether there is one
   */
  proposeWhole(make: (commitTs: HlcTimestamp, ordinal: number) => TurnEntry | undefined): boolean {
    this.closeEntry();
    const entry = make(this.draw(), this.entryCount);
    if (entry === undefined) return false;
    this.entryCount++;
    this.entry = entry;
    this.propose();
    return true;
  }

  private propose(): void {
    const entry = this.entry!;
    this.entry = undefined;
    this.turnTs = undefined;
    this.endWait?.();
    this.endWait = undefined;
    const leftAtMs = this.gathering.begin();
    entry.ceilingMs = this.options.clock.carry();
    const { payload, units } = entry.encode(entry.ceilingMs);
    this.inflight.push(entry);
    this.inflightSize += payload.length;
    const settle = (outcome: ProposalOutcome): void => {
      this.gathering.settled(leftAtMs, entry.pending.length, this.entry?.pending.length ?? 0);
      this.settle(entry, units, payload.length, outcome);
    };
    const { ceilingMs } = entry;
    const committed = ceilingMs === 0 ? undefined : () => this.options.clock.committed(ceilingMs);
    this.options.raft.propose(payload, this.assigned.track(entry.commitTs, settle), committed);
  }

  // ---- End of the synchronous section. ----

  /** What became of an entry: called once an entry, for applied ones in log order. */
  private settle(entry: TurnEntry, units: readonly Unit[], bytes: number, outcome: ProposalOutcome): void {
    const { overlay, clock, onApplied, onAbandoned, onRoom } = this.options;
    this.inflight.splice(this.inflight.indexOf(entry), 1);
    this.inflightSize -= bytes;
    overlay.remove(entry);
    if (entry.ceilingMs !== 0) clock.carried(entry.ceilingMs, outcome.kind === 'applied');
    if (outcome.kind === 'applied') onApplied(entry, units, outcome.result as BatchResult);
    else onAbandoned(entry, failureOf(outcome));
    onRoom();
    // Room for the entry that was kept open.
    if (this.entry !== undefined) this.scheduleTurnEnd();
  }

  /**
   * A timestamp to read history at: above everything acknowledged, and nothing that is still to be proposed will be committed
   * at or below it.
   */
  readTimestamp(at?: HlcTimestamp): HlcTimestamp {
    const { clock } = this.options;
    if (at !== undefined) clock.observeForeign(at, clock.maxLeadMs);
    const readTs = at ?? this.draw();
    // Commands later in this turn must not commit below a timestamp that has been read at.
    if (this.entry === undefined) this.turnTs = undefined;
    return readTs;
  }

  /**
   * Proposes an entry that no operation asked for, in order with the operations' entries: everything evaluated before is
   * ahead of it in the log.
   * @param build gets the entry's commit timestamp
   * @throws NotLeaderError, BusyError, OutcomeUnknownError
   */
  proposeAside(build: (commitTs: HlcTimestamp) => Buffer, kind: AsideKind): Promise<EntryResult> {
    const { refusal, clock, raft, onRoom } = this.options;
    const refused = refusal();
    if (refused !== undefined) return Promise.reject(refused);
    if (this.isFull() && kind !== 'urgent')
      return Promise.reject(new BusyError('too much is on its way; try again later'));
    const opening = clock.opening();
    if (opening !== undefined) return opening.then(() => this.proposeAside(build, kind));
    this.closeEntry();
    const ts = this.draw();
    const payload = build(ts);
    const counted = kind === 'maintenance' ? 0 : 1;
    this.asideCount += counted;
    this.inflightSize += payload.length;
    return new Promise((resolve, reject) => {
      const done = (outcome: ProposalOutcome): void => {
        this.asideCount -= counted;
        this.inflightSize -= payload.length;
        if (outcome.kind === 'applied') resolve(outcome.result as EntryResult);
        else reject(failureOf(outcome));
        onRoom();
      };
      raft.propose(payload, this.assigned.track(ts, done));
    });
  }
}
