/**
 * A key-value layer in memory for tests of the Redis adapter: one map behind one or more groups, every operation evaluated
 * and applied at once. Two fakes may share a map and stand for two nodes, one of which leads. Who owns a key is checked
 * when the state has owners; what a node believes about it is its directory, which may be older.
 */
import { headLengthOf } from '../../src/adapter/redis/keys/keyspace.ts';
import type { ChangeListener } from '../../src/kv/contract/changes.ts';
import { ConflictError, LeaderUnavailableError, NotOwnerError, RangeBusyError } from '../../src/kv/contract/errors.ts';
import { type ForwardHandler, type KeyStretch, type KvService, wholeAnswer } from '../../src/kv/contract/service.ts';
import type { KvTransaction } from '../../src/kv/contract/transactions.ts';
import type { KeyView, LiveValue, Operation, ScanPage, ScanRequest, ScanRow } from '../../src/kv/contract/view.ts';
import { AwaitedKeys, WaitEndedError } from '../../src/kv/contract/waiting.ts';
import { KeyWaits } from '../../src/kv/leader/key-waits.ts';
import {
  type Clock,
  finish,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  type Millis,
  type NodeId,
  nodeId,
  physicalMs,
  type Scheduler,
  SystemScheduler,
} from '../../src/platform/index.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';

interface StoredValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

/** Which group has which keys: borders in order, the first at the start of the key space. */
export class RangeMap {
  private borders: { readonly start: Buffer; readonly group: GroupId }[];

  constructor(group: GroupId) {
    this.borders = [{ start: Buffer.alloc(0), group }];
  }

  /** Slots of database 0 spread evenly in order; everything before them goes to the first group, everything behind to the last. */
  static spread(groups: readonly GroupId[]): RangeMap {
    const map = new RangeMap(groups[0]!);
    for (let nth = 1; nth < groups.length; nth++)
      map.assign(slotKey((16384 * nth) / groups.length), undefined, groups[nth]!);
    return map;
  }

  at(key: Buffer): KeyStretch {
    let index = 0;
    while (index + 1 < this.borders.length && Buffer.compare(this.borders[index + 1]!.start, key) <= 0) index++;
    const { group } = this.borders[index]!;
    return { group, end: this.borders[index + 1]?.start };
  }

  between(start: Buffer, end: Buffer): Buffer[] {
    const starts = this.borders.map((border) => border.start);
    return starts.filter((border) => Buffer.compare(border, start) > 0 && Buffer.compare(border, end) < 0);
  }

  assign(start: Buffer, end: Buffer | undefined, group: GroupId): void {
    const behind = end === undefined ? undefined : { start: end, group: this.at(end).group };
    const kept = this.borders.filter(
      (border) =>
        Buffer.compare(border.start, start) < 0 || (end !== undefined && Buffer.compare(border.start, end) > 0),
    );
    const all = [...kept, { start, group }, ...(behind === undefined ? [] : [behind])];
    all.sort((a, b) => Buffer.compare(a.start, b.start));
    this.borders = all.filter((border, index) => index === 0 || border.group !== all[index - 1]!.group);
  }

  copy(): RangeMap {
    const copy = new RangeMap(this.borders[0]!.group);
    copy.borders = [...this.borders];
    return copy;
  }
}

/** Where a slot of database 0 begins. */
export const slotKey = (slot: number): Buffer => {
  const at = Math.floor(slot);
  return Buffer.from([0x72, 0, at >>> 8, at & 0xff]);
};

/** The replicated state that fake nodes share. */
export class FakeState {
  /** Who owns what; undefined: nobody checks. */
  owners: RangeMap | undefined;
  /** Slots of database 0, first to below last, whose writes wait for a move. */
  fenced: readonly [number, number] | undefined;
  /** When set, says why a write is not taken now. */
  refuseWrite: (() => Error | undefined) | undefined;
  /** Whether refusals name the new owner. */
  givesHints = true;
  readonly values = new Map<string, StoredValue>();
  readonly deletedAt = new Map<string, HlcTimestamp>();
  lastTs = 0n;
  /** Hear of the keys that were written. */
  readonly writeListeners: ((names: readonly string[]) => void)[] = [];
  /** Hear of each key that was written, and whether what it held had expired. */
  readonly changeListeners: ((key: Buffer, hasExpired: boolean, ts: HlcTimestamp) => void)[] = [];
  /** Hear of each range that was deleted. */
  readonly rangeListeners: ((start: Buffer, end: Buffer, ts: HlcTimestamp) => void)[] = [];
  /** Added to the wall clock, so that tests can let time pass. */
  skewMs = 0;

  /** True when the fence touches a range. */
  isFenced(start: Buffer, end: Buffer): boolean {
    if (this.fenced === undefined) return false;
    const [from, to] = this.fenced;
    return Buffer.compare(start, slotKey(to)) < 0 && Buffer.compare(end, slotKey(from)) > 0;
  }

  /** What a group says to an access. @throws NotOwnerError, RangeBusyError */
  check(group: GroupId | undefined, key: Buffer, isWrite: boolean): void {
    const refusal = isWrite ? this.refuseWrite?.() : undefined;
    if (refusal !== undefined) throw refusal;
    if (group === undefined || this.owners === undefined) return;
    const owner = this.owners.at(key).group;
    if (owner !== group) throw new NotOwnerError(this.givesHints ? owner : undefined);
    if (!isWrite || this.fenced === undefined) return;
    const [from, to] = this.fenced;
    if (inRange(key, slotKey(from), slotKey(to))) throw new RangeBusyError('fenced');
  }

  /** A timestamp above all earlier ones. */
  nextTs(): HlcTimestamp {
    const wall = BigInt(Date.now() + this.skewMs) << 16n;
    this.lastTs = wall > this.lastTs ? wall : this.lastTs + 1n;
    return this.lastTs as HlcTimestamp;
  }
}

/** What reads of the state as it is now. @param ended called when nobody reads it any more */
export function momentOf(state: FakeState, ended: () => void = () => {}): KvTransaction {
  const values = new Map(state.values);
  const startTs = state.nextTs();
  return {
    startTs,
    get: async (key: Buffer) => {
      const found = values.get(key.toString('latin1'));
      return found !== undefined && isLive(found, startTs) ? found : undefined;
    },
    scan: async ({ start, end, limit }: ScanRequest) => {
      const rows = [...values.values()]
        .filter((row) => inRange(row.key, start, end) && isLive(row, startTs))
        .sort((left, right) => Buffer.compare(left.key, right.key));
      return { rows: rows.slice(0, limit), next: rows[limit]?.key };
    },
    rollback: async () => ended(),
  } as unknown as KvTransaction;
}

/** Buffers writes until `apply`. */
export class FakeView implements KeyView {
  readonly ts: HlcTimestamp;
  private readonly state: FakeState;
  private readonly group: GroupId | undefined;
  /** Why the command is refused, whatever it makes of it. */
  refusal: Error | undefined;
  private readonly written = new Map<string, StoredValue | undefined>();
  /** Keys among `written` that went with a range, and when they had been written. */
  private readonly hidden = new Map<string, HlcTimestamp>();
  private readonly ranges: [Buffer, Buffer][] = [];
  /** Keys among `written` that were deleted one by one. */
  private readonly deleted = new Set<string>();

  constructor(state: FakeState, ts: HlcTimestamp = state.nextTs(), group?: GroupId) {
    this.state = state;
    this.ts = ts;
    this.group = group;
  }

  isElsewhere(key: Buffer): boolean {
    return (
      this.group !== undefined && this.state.owners !== undefined && this.state.owners.at(key).group !== this.group
    );
  }

  private check(key: Buffer, isWrite: boolean): void {
    try {
      this.state.check(this.group, key, isWrite);
    } catch (error) {
      this.refusal ??= error as Error;
      throw error;
    }
  }

  get(key: Buffer): LiveValue | undefined {
    this.check(key, false);
    const name = key.toString('latin1');
    const found = this.written.has(name) ? this.written.get(name) : this.state.values.get(name);
    return found !== undefined && isLive(found, this.ts) ? found : undefined;
  }

  deletedAt(key: Buffer): HlcTimestamp {
    return this.state.deletedAt.get(key.toString('latin1')) ?? hlcTimestamp(0n);
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.check(key, true);
    this.deleted.delete(key.toString('latin1'));
    this.written.set(key.toString('latin1'), { key, value, expireTs, commitTs: this.ts });
  }

  delete(key: Buffer): void {
    this.check(key, true);
    this.written.set(key.toString('latin1'), undefined);
    this.deleted.add(key.toString('latin1'));
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.state.check(this.group, start, true);
    if (this.group !== undefined && this.state.isFenced(start, end)) throw new RangeBusyError('fenced');
    const own = this.group === undefined ? undefined : this.state.owners?.at(start).end;
    if (own !== undefined && Buffer.compare(own, end) < 0) throw new NotOwnerError(undefined);
    this.ranges.push([start, end]);
    for (const [name, stored] of [...this.state.values, ...this.written]) {
      if (stored === undefined || !inRange(stored.key, start, end)) continue;
      this.written.set(name, undefined);
      this.hidden.set(name, stored.commitTs);
    }
  }

  /** Makes the writes visible to other views. */
  apply(): void {
    const changed: [string, boolean][] = [];
    for (const [name, stored] of this.written) {
      const before = this.state.values.get(name);
      const isInRange = stored === undefined && this.hidden.has(name) && !this.deleted.has(name);
      if (!isInRange) changed.push([name, before !== undefined && !isLive(before, this.ts)]);
      if (stored === undefined) this.state.values.delete(name);
      else this.state.values.set(name, stored);
      const deletedTs = this.deleted.has(name) ? this.ts : this.hidden.get(name);
      if (stored === undefined && deletedTs !== undefined) this.state.deletedAt.set(name, deletedTs);
      else this.state.deletedAt.delete(name);
    }
    for (const listener of this.state.writeListeners) listener([...this.written.keys()]);
    for (const [name, hasExpired] of changed) {
      for (const listener of this.state.changeListeners) listener(Buffer.from(name, 'latin1'), hasExpired, this.ts);
    }
    for (const [start, end] of this.ranges) {
      for (const listener of this.state.rangeListeners) listener(start, end, this.ts);
    }
  }
}

export interface FakeKvOptions {
  readonly nodeId?: number;
  readonly state?: FakeState;
  /** Data groups; the slots of database 0 are spread over them in order. */
  readonly groups?: number;
  /** Time that forwards take and deadlines are in. Default: the system's. */
  readonly time?: Pick<Clock & Scheduler, 'monotonicMs' | 'after'>;
}

const SYSTEM_TIME: NonNullable<FakeKvOptions['time']> = {
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => new SystemScheduler().after(delayMs, callback),
};

export class FakeKv implements KvService {
  readonly nodeId: NodeId;
  readonly state: FakeState;
  /** The node that leads all groups; undefined while there is no leader. */
  leader: FakeKv | undefined = this;
  /** When set, operations complete only on `releaseHeld`, so that tests can see what waits for what. */
  holding = false;
  /** When set, the next operation fails with this error instead of being evaluated. */
  failNext: Error | undefined;
  /** When set, the next forward fails with this error instead of arriving. */
  failNextForward: Error | undefined;
  /** When set, every operation is evaluated twice, as after a conflict; the first result is dropped. The second time it comes in parts, if it may. */
  evaluateTwice = false;
  /** When set, timestamps stand still, as they do for all operations of one entry. */
  frozenTs: HlcTimestamp | undefined;
  /** Operations submitted and forwards sent since the start. */
  submitted = 0;
  forwarded = 0;
  /** Time that forwards had left when they were sent. */
  readonly patienceMs: Millis[] = [];
  /** How long a forward is under way. */
  forwardTakesMs: Millis = 0;
  routesVersion = 1;
  expiredKeys = 0;
  /** What this node believes about owners. */
  directory: RangeMap;
  /** Leaders of single groups; the others are led by `leader`. */
  readonly leaders = new Map<GroupId, FakeKv>();
  private readonly groups: readonly GroupId[];
  private readonly handlers = new Map<string, ForwardHandler>();
  private held: (() => void)[] = [];
  private readonly time: NonNullable<FakeKvOptions['time']>;
  private readonly waits: KeyWaits;
  private readonly groupOfWaiter = new WeakMap<Operation<unknown>, GroupId>();
  /** Who hears of changes of groups that are led here. */
  changes: ChangeListener | undefined;
  private readonly peerListeners: ((node: NodeId) => void)[] = [];

  constructor(options: FakeKvOptions = {}) {
    this.time = options.time ?? SYSTEM_TIME;
    this.nodeId = nodeId(options.nodeId ?? 1);
    this.state = options.state ?? new FakeState();
    this.groups = Array.from({ length: options.groups ?? 1 }, (_, index) => groupId(index + 2));
    this.directory = RangeMap.spread(this.groups);
    const { time } = this;
    this.waits = new KeyWaits({
      scheduler: {
        after: (delayMs, callback) => time.after(delayMs, callback),
        endOfTurn: (callback) => queueMicrotask(callback),
        nextTurn: (callback) => setImmediate(callback),
      },
      nowMs: () => time.monotonicMs(),
      maxWaiters: 1_000,
      mayServe: () => true,
      evaluate: (operation) => this.run(this.groupOfWaiter.get(operation)!, operation),
      onReady: () => this.waits.serve(),
    });
    this.state.writeListeners.push((names) => {
      this.waits.written(
        names.map((name) => ({ name })),
        [],
      );
      if (this.waits.hasReady) queueMicrotask(() => this.waits.serve());
    });
  }

  /** Everything takes a command here. */
  readNow(): undefined {
    return undefined;
  }

  /** How many operations wait here for keys. */
  get waiterCount(): number {
    return this.waits.size;
  }

  endWait(_group: GroupId, operation: Operation<unknown>): void {
    this.waits.end(operation);
  }

  suspendWait(_group: GroupId, operation: Operation<unknown>, isSuspended: boolean): void {
    if (operation.wait !== undefined) operation.wait.isSuspended = isSuspended;
    if (!isSuspended) this.waits.wake(operation);
    this.waits.serve();
  }

  onChanges(listener: ChangeListener): void {
    this.changes = listener;
    this.state.changeListeners.push((key, hasExpired, ts) => {
      const group = this.groupOf(key);
      if (this.leaderOf(group) === this && listener.isListening) listener.changed(group, key, hasExpired, ts);
    });
    this.state.rangeListeners.push((start, end, ts) => {
      const group = this.groupOf(start);
      if (this.leaderOf(group) === this && listener.isListening) listener.deleted(group, start, end, ts);
    });
  }

  onPeerLost(listener: (node: NodeId) => void): void {
    this.peerListeners.push(listener);
  }

  /** The connection to a node is lost. */
  losePeer(node: NodeId): void {
    for (const listener of this.peerListeners) listener(node);
  }

  /** Nobody waits here any more: leadership is over. */
  failWaiters(error: Error): void {
    this.waits.failAll(error);
  }

  groupOf(key: Buffer): GroupId {
    return this.directory.at(key).group;
  }

  stretchAt(key: Buffer): KeyStretch {
    return this.directory.at(key);
  }

  bordersBetween(start: Buffer, end: Buffer): Buffer[] {
    return this.directory.between(start, end);
  }

  /** Learns of a new version of the directory: the owners as they are now, or `directory`. */
  learn(directory = this.state.owners?.copy()): void {
    if (directory !== undefined) this.directory = directory;
    this.routesVersion++;
  }

  leaderOf(group: GroupId): FakeKv | undefined {
    return this.leaders.get(group) ?? this.leader;
  }

  dataGroups(): readonly GroupId[] {
    return this.groups;
  }

  unavailable(what: string): LeaderUnavailableError {
    return new LeaderUnavailableError(what);
  }

  servesLocally(group: GroupId): boolean {
    return this.leaderOf(group) === this;
  }

  submit<Reply>(group: GroupId, operation: Operation<Reply>): void {
    this.submitted++;
    const leader = this.leaderOf(group);
    if (leader !== this) {
      this.finish(() => operation.complete(new NotLeaderError(leader?.nodeId), undefined));
      return;
    }
    const failure = this.failNext;
    if (failure !== undefined) {
      this.failNext = undefined;
      this.finish(() => operation.complete(failure, undefined));
      return;
    }
    this.run(group, operation as Operation<unknown>);
  }

  private run(group: GroupId, operation: Operation<unknown>): void {
    if (operation.wait?.isEnded === true) {
      this.finish(() => operation.complete(new WaitEndedError(), undefined));
      return;
    }
    if (this.evaluateTwice) {
      runAside(operation, new FakeView(this.state));
      operation.putAway?.();
    }
    const view = new FakeView(this.state, this.frozenTs, group);
    let reply: unknown;
    try {
      const comesInParts = this.evaluateTwice && operation.mayComeInParts === true;
      reply = comesInParts ? finish(operation.evaluateInParts!(view)) : operation.evaluate(view);
      if (view.refusal !== undefined) throw view.refusal;
    } catch (error) {
      this.waits.leave(operation);
      this.finish(() => operation.complete(error as Error, undefined));
      return;
    }
    if (reply instanceof AwaitedKeys) {
      this.groupOfWaiter.set(operation, group);
      if (this.waits.wait(operation, reply)) operation.wait?.begins?.();
      view.apply();
      return;
    }
    this.waits.leave(operation);
    operation.putAway?.();
    view.apply();
    this.finish(() => operation.complete(undefined, reply));
    // Whom it wakes is served behind it.
    this.waits.serve();
  }

  /** Completes everything that `holding` kept back, in order. */
  releaseHeld(): void {
    this.holding = false;
    const held = this.held;
    this.held = [];
    for (const complete of held) complete();
  }

  private finish(complete: () => void): void {
    if (this.holding) this.held.push(complete);
    else complete();
  }

  async scan(group: GroupId, request: ScanRequest): Promise<ScanPage> {
    const leader = this.leaderOf(group);
    if (leader !== this) throw new NotLeaderError(leader?.nodeId);
    this.state.check(group, request.start, false);
    const border = (this.state.owners ?? this.directory).at(request.start).end;
    const isCut = border !== undefined && Buffer.compare(border, request.end) < 0;
    const end = isCut ? border : request.end;
    const ts = this.state.nextTs();
    const rows: ScanRow[] = [...this.state.values.values()]
      .filter((row) => inRange(row.key, request.start, end) && isLive(row, ts))
      .filter(({ key }) => request.headsOnly !== true || headLengthOf(key) === key.length)
      .sort((a, b) => Buffer.compare(a.key, b.key));
    const page = rows.slice(0, request.limit);
    return { rows: page, next: rows.length > request.limit ? rows[request.limit]!.key : isCut ? border : undefined };
  }

  async countKeys(group: GroupId, counterClass: number): Promise<number> {
    const leader = this.leaderOf(group);
    if (leader !== this) throw new NotLeaderError(leader?.nodeId);
    let count = 0;
    for (const { key } of this.state.values.values()) {
      const isHead = headLengthOf(key) === key.length;
      if (isHead && key[1] === counterClass && (this.state.owners ?? this.directory).at(key).group === group) count++;
    }
    return count;
  }

  forward(
    group: GroupId,
    service: string,
    payload: Buffer,
    deadlineMs: Millis,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
  ): void {
    this.forwarded++;
    this.patienceMs.push(deadlineMs - this.time.monotonicMs());
    const failure = this.failNextForward;
    if (failure !== undefined) {
      this.failNextForward = undefined;
      setImmediate(() => done(failure, undefined));
      return;
    }
    const handler = this.leaderOf(group)?.handlers.get(service);
    const arrive = () => {
      if (handler === undefined) done(new LeaderUnavailableError('no leader in time'), undefined);
      else handler(Buffer.from(payload), (error, reply) => done(error, reply && wholeAnswer(reply)));
    };
    if (this.forwardTakesMs === 0) setImmediate(arrive);
    else this.time.after(this.forwardTakesMs, arrive);
  }

  onForward(service: string, handler: ForwardHandler): void {
    this.handlers.set(service, handler);
  }

  nowTs(): HlcTimestamp {
    return this.state.nextTs();
  }

  /** Lets `ms` milliseconds pass for everything that is judged by timestamps. */
  advance(ms: number): void {
    this.state.skewMs += ms;
  }

  /** The error that a command gets which lost too often. */
  static conflict(): Error {
    return new ConflictError('lost against other writers too often');
  }
}

function runAside(operation: Operation<unknown>, view: FakeView): void {
  try {
    operation.evaluate(view);
  } catch {
    // The second evaluation decides.
  }
}

function isLive(stored: StoredValue, ts: HlcTimestamp): boolean {
  return stored.expireTs === 0n || stored.expireTs > ts;
}

function inRange(key: Buffer, start: Buffer, end: Buffer): boolean {
  return Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0;
}

/** Milliseconds of the fake's clock. */
export const fakeNowMs = (kv: FakeKv): number => physicalMs(kv.nowTs());
