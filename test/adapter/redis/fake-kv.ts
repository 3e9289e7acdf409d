/**
 * A key-value layer in memory for tests of the Redis adapter: one map behind one or more groups, every operation evaluated
 * and applied at once. Two fakes may share a map and stand for two nodes, one of which leads.
 */
import {
  ConflictError,
  type ForwardHandler,
  type KeyView,
  type KvService,
  LeaderUnavailableError,
  type LiveValue,
  NotLeaderError,
  type Operation,
  physicalMs,
  type ScanPage,
  type ScanRequest,
  type ScanRow,
} from '../../../src/kv/index.ts';
import {
  type GroupId,
  groupId,
  type HlcTimestamp,
  type Millis,
  type NodeId,
  nodeId,
} from '../../../src/platform/index.ts';

interface StoredValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

/** The replicated state that fake nodes share. */
export class FakeState {
  readonly values = new Map<string, StoredValue>();
  lastTs = 0n;
  /** Added to the wall clock, so that tests can let time pass. */
  skewMs = 0;

  /** A timestamp above all earlier ones. */
  nextTs(): HlcTimestamp {
    const wall = BigInt(Date.now() + this.skewMs) << 16n;
    this.lastTs = wall > this.lastTs ? wall : this.lastTs + 1n;
    return this.lastTs as HlcTimestamp;
  }
}

/** Buffers writes until `apply`. */
export class FakeView implements KeyView {
  readonly ts: HlcTimestamp;
  private readonly state: FakeState;
  private readonly written = new Map<string, StoredValue | undefined>();

  constructor(state: FakeState, ts: HlcTimestamp = state.nextTs()) {
    this.state = state;
    this.ts = ts;
  }

  get(key: Buffer): LiveValue | undefined {
    const name = key.toString('latin1');
    const found = this.written.has(name) ? this.written.get(name) : this.state.values.get(name);
    return found !== undefined && isLive(found, this.ts) ? found : undefined;
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.written.set(key.toString('latin1'), { key, value, expireTs, commitTs: this.ts });
  }

  delete(key: Buffer): void {
    this.written.set(key.toString('latin1'), undefined);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    for (const [name, stored] of [...this.state.values, ...this.written]) {
      if (stored !== undefined && inRange(stored.key, start, end)) this.written.set(name, undefined);
    }
  }

  /** Makes the writes visible to other views. */
  apply(): void {
    for (const [name, stored] of this.written) {
      if (stored === undefined) this.state.values.delete(name);
      else this.state.values.set(name, stored);
    }
  }
}

export interface FakeKvOptions {
  readonly nodeId?: number;
  readonly state?: FakeState;
  /** Data groups; keys are spread over them by a byte of their slot. */
  readonly groups?: number;
}

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
  /** When set, every operation is evaluated twice, as after a conflict; the first result is dropped. */
  evaluateTwice = false;
  /** When set, timestamps stand still, as they do for all operations of one entry. */
  frozenTs: HlcTimestamp | undefined;
  /** Operations submitted and forwards sent since the start. */
  submitted = 0;
  forwarded = 0;
  private readonly groups: readonly GroupId[];
  private readonly handlers = new Map<string, ForwardHandler>();
  private held: (() => void)[] = [];

  constructor(options: FakeKvOptions = {}) {
    this.nodeId = nodeId(options.nodeId ?? 1);
    this.state = options.state ?? new FakeState();
    this.groups = Array.from({ length: options.groups ?? 1 }, (_, index) => groupId(index + 2));
  }

  groupOf(key: Buffer): GroupId {
    return this.groups[(key[3] ?? 0) % this.groups.length]!;
  }

  dataGroups(): readonly GroupId[] {
    return this.groups;
  }

  servesLocally(_group: GroupId): boolean {
    return this.leader === this;
  }

  submit<Reply>(_group: GroupId, operation: Operation<Reply>): void {
    this.submitted++;
    if (this.leader !== this) {
      this.finish(() => operation.complete(new NotLeaderError(this.leader?.nodeId), undefined));
      return;
    }
    const failure = this.failNext;
    if (failure !== undefined) {
      this.failNext = undefined;
      this.finish(() => operation.complete(failure, undefined));
      return;
    }
    if (this.evaluateTwice) runAside(operation, new FakeView(this.state));
    const view = new FakeView(this.state, this.frozenTs);
    let reply: Reply;
    try {
      reply = operation.evaluate(view);
    } catch (error) {
      this.finish(() => operation.complete(error as Error, undefined));
      return;
    }
    view.apply();
    this.finish(() => operation.complete(undefined, reply));
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
    if (this.leader !== this) throw new NotLeaderError(this.leader?.nodeId);
    const ts = this.state.nextTs();
    const rows: ScanRow[] = [...this.state.values.values()]
      .filter(
        (row) => inRange(row.key, request.start, request.end) && isLive(row, ts) && this.groupOf(row.key) === group,
      )
      .sort((a, b) => Buffer.compare(a.key, b.key));
    const page = rows.slice(0, request.limit);
    return { rows: page, next: rows.length > request.limit ? rows[request.limit]!.key : undefined };
  }

  async countKeys(group: GroupId, counterClass: number): Promise<number> {
    if (this.leader !== this) throw new NotLeaderError(this.leader?.nodeId);
    let count = 0;
    for (const { key } of this.state.values.values()) {
      if (key[1] === counterClass && this.groupOf(key) === group) count++;
    }
    return count;
  }

  forward(
    _group: GroupId,
    service: string,
    payload: Buffer,
    _deadlineMs: Millis,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
  ): void {
    this.forwarded++;
    const failure = this.failNextForward;
    if (failure !== undefined) {
      this.failNextForward = undefined;
      setImmediate(() => done(failure, undefined));
      return;
    }
    const handler = this.leader?.handlers.get(service);
    setImmediate(() => {
      if (handler === undefined) done(new LeaderUnavailableError('no leader in time'), undefined);
      else handler(Buffer.from(payload), done);
    });
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
