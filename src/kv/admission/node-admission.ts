/**
 * The pressure of a node: measures it now and then, tells each group's admission, and tells the other nodes when this one can take
 * no more, because a leader must not commit on a majority that is full. A minority that lags is left behind: it catches up
 * later, by a snapshot if need be.
 */
import type { KeyRules } from '../../distribution/index.ts';
import type {
  BucketCounts,
  Cancel,
  Clock,
  DiskSpace,
  GroupId,
  LogIndex,
  Millis,
  NodeId,
  PeerNetwork,
  Scheduler,
} from '../../platform/index.ts';
import type { GroupStatus } from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import { GroupAdmission } from './group-admission.ts';
import { harder, judgePressure, type Pressure, type PressureLevel } from './pressure.ts';

/** The machine, as far as admission and collection care; what is left out does not press. */
export interface PressedMachine {
  /** Space on the data disk; undefined where it cannot be asked. */
  space?(): Promise<DiskSpace | undefined>;
  /** Durable writes of the log, milliseconds. */
  readonly syncMs?: BucketCounts;
  /** The log waits for room on the disk. */
  isLogOutOfSpace?(): boolean;
  /** Half of its processors at least have been wanted for a while, by whomever: what can wait leaves them alone. */
  isBusy?(): boolean;
}

/** A replica on this node. */
export interface PressedGroup {
  readonly groupId: GroupId;
  readonly store: GroupStore;
  status(): GroupStatus;
}

export interface NodeAdmissionOptions {
  readonly network: Pick<PeerNetwork, 'self' | 'stream' | 'onStream'>;
  readonly groups: () => readonly PressedGroup[];
  readonly machine: PressedMachine;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Which keys are rows of one object. */
  readonly keys: KeyRules;
  /** Kept free on the data disk; undefined: a fiftieth of it, 128 MiB to 1 GiB. */
  readonly reserveBytes?: number;
  /** Bytes of history that this node may hold; undefined: a tenth of the disk, at most 16 GiB. */
  readonly overhangBytes?: number;
}

const PERIOD_MS: Millis = 500;
/** Between looks at how much history there is: it takes a question to every store. */
const OVERHANG_MS: Millis = 10_000;
const MIB = 1024 ** 2;
const RESERVE_SHARE = 1 / 50;
const LEAST_RESERVE = 128 * MIB;
const MOST_RESERVE = 1024 * MIB;
const OVERHANG_SHARE = 1 / 10;
const MOST_OVERHANG = 16 * 1024 * MIB;
/** Share of the budget of history from which on collection is urgent. */
const URGENT_SHARE = 0.8;
/** Windows of the log's latencies, and of the process' stalls, that count together. */
const SYNC_WINDOWS = 40;
/** Fewer writes say nothing about one in a hundred. */
const MIN_SYNCS = 20;
/** What another node said counts so long; it says it again every period. */
const NOTICE_MS: Millis = 1_500;
const KIND = 'pressure';

interface Notice {
  readonly untilMs: Millis;
  readonly reason: string;
  /** Undefined: all of them. */
  readonly groups: ReadonlySet<GroupId> | undefined;
}

async function* nothing(): AsyncGenerator<Buffer> {}

/** See the top of the file. Made before the network starts: it registers its handler. */
export class NodeAdmission {
  private readonly options: NodeAdmissionOptions;
  private readonly admissions = new Map<GroupId, GroupAdmission>();
  private readonly levels = new Map<GroupId, PressureLevel>();
  private readonly notices = new Map<NodeId, Notice>();
  /** How late the last windows ended. */
  private readonly stalls: Millis[] = [];
  /** Counts of the log's latencies at the ends of the last windows. */
  private readonly syncs: Float64Array[] = [];
  private space: DiskSpace | undefined;
  private overhang = 0;
  private overhangAtMs = Number.NEGATIVE_INFINITY;
  /** Applied index at the last look at a group. */
  private readonly looked = new Map<GroupId, LogIndex>();
  private isNodePressed = false;
  private nodeLevel: PressureLevel = 'ok';
  private cancel: Cancel | undefined;
  private isStopped = false;
  private isMeasuring = false;

  constructor(options: NodeAdmissionOptions) {
    this.options = options;
    options.network.onStream(KIND, async (from, header) => {
      this.hear(from, header);
      return Buffer.alloc(0);
    });
  }

  /** The admission of a group; the same object for as long as the node runs. */
  of(group: GroupId): GroupAdmission {
    let admission = this.admissions.get(group);
    if (admission === undefined) {
      admission = new GroupAdmission(this.options.clock, this.options.keys);
      this.admissions.set(group, admission);
    }
    return admission;
  }

  /** What was last measured of the data disk. */
  get diskSpace(): DiskSpace | undefined {
    return this.space;
  }

  /** Looks now whether the disk has room for what could not be written: half of what is kept free. */
  async hasSpace(): Promise<boolean> {
    this.space = (await this.options.machine.space?.().catch(() => undefined)) ?? this.space;
    return this.space === undefined || this.space.freeBytes >= this.reserveBytes / 2;
  }

  /** Kept free on the data disk. */
  get reserveBytes(): number {
    const { reserveBytes } = this.options;
    if (reserveBytes !== undefined) return reserveBytes;
    const total = this.space?.totalBytes ?? 0;
    return Math.min(MOST_RESERVE, Math.max(LEAST_RESERVE, total * RESERVE_SHARE));
  }

  /** Bytes of history that this node may hold. */
  get overhangLimitBytes(): number {
    const { overhangBytes } = this.options;
    if (overhangBytes !== undefined) return overhangBytes;
    return Math.min(MOST_OVERHANG, this.space === undefined ? MOST_OVERHANG : this.space.totalBytes * OVERHANG_SHARE);
  }

  /** Bytes of versions that are not the newest of their key, over all stores here; some seconds old. */
  get overhangBytes(): number {
    return this.overhang;
  }

  /** True when history is so much that collecting it is worth some latency. */
  get isOverhangUrgent(): boolean {
    return this.overhangBytes > this.overhangLimitBytes * URGENT_SHARE;
  }

  start(): void {
    if (this.isStopped) return;
    const dueMs = this.options.clock.monotonicMs() + PERIOD_MS;
    this.cancel = this.options.scheduler.after(PERIOD_MS, () => {
      this.noteStall(this.options.clock.monotonicMs() - dueMs);
      if (!this.isMeasuring) {
        this.isMeasuring = true;
        this.measure().finally(() => {
          this.isMeasuring = false;
        });
      }
      this.start();
    });
  }

  private noteStall(lateMs: Millis): void {
    this.stalls.push(Math.max(0, lateMs));
    if (this.stalls.length > SYNC_WINDOWS) this.stalls.shift();
  }

  stop(): void {
    this.isStopped = true;
    this.cancel?.();
  }

  private async measure(): Promise<void> {
    const { machine } = this.options;
    // A disk that cannot be asked does not press; the log and the stores say by themselves when they cannot write.
    this.space = (await machine.space?.().catch(() => undefined)) ?? this.space;
    if (!this.isStopped) this.judge();
  }

  private judge(): void {
    const { groups, machine, clock } = this.options;
    if (clock.monotonicMs() - this.overhangAtMs >= OVERHANG_MS) this.measureOverhang();
    const heavy = this.overhang > this.overhangLimitBytes ? this.heavyKeys() : undefined;
    const node = judgePressure(
      {
        freeBytes: this.space?.freeBytes,
        reserveBytes: this.reserveBytes,
        isOutOfSpace: machine.isLogOutOfSpace?.() === true,
        bufferShare: 0,
        levelZeroFiles: undefined,
        applyLag: 0,
        syncP99Ms: this.syncP99Ms(),
        longestStallMs: Math.max(0, ...this.stalls),
      },
      this.nodeLevel,
    );
    this.nodeLevel = node.level;
    const full: GroupId[] = [];
    const isPressed = node.level !== 'ok' || heavy !== undefined || this.notices.size > 0;
    for (const group of groups()) {
      const { groupId, store } = group;
      // Of thousands of idle groups none is asked.
      const isIdle = this.looked.get(groupId) === store.appliedIndex && this.levels.get(groupId) === 'ok';
      if (isIdle && !isPressed && !this.isNodePressed) continue;
      this.looked.set(groupId, store.appliedIndex);
      const status = group.status();
      const own = harder(node, this.judgeGroup(group, status));
      this.levels.set(groupId, own.level);
      if (own.level === 'stop') full.push(groupId);
      this.of(groupId).update(harder(own, this.fullMajority(groupId, status, own)), heavy?.get(groupId));
    }
    this.isNodePressed = isPressed;
    if (full.length > 0) this.tellOthers(node, full);
    for (const [from, { untilMs }] of this.notices) if (untilMs <= clock.monotonicMs()) this.notices.delete(from);
  }

  private measureOverhang(): void {
    this.overhangAtMs = this.options.clock.monotonicMs();
    this.overhang = 0;
    for (const { store } of this.options.groups()) this.overhang += store.pressures?.().overhangBytes ?? 0;
  }

  private judgeGroup({ groupId, store }: PressedGroup, { commitIndex, appliedIndex }: GroupStatus): Pressure {
    const pressures = store.pressures?.();
    return judgePressure(
      {
        freeBytes: undefined,
        reserveBytes: 0,
        isOutOfSpace: pressures?.isOutOfSpace ?? false,
        bufferShare: pressures === undefined ? 0 : pressures.bufferedBytes / pressures.bufferLimitBytes,
        levelZeroFiles: pressures?.levelZeroFiles,
        applyLag: commitIndex - appliedIndex,
        syncP99Ms: undefined,
        longestStallMs: 0,
      },
      this.levels.get(groupId),
    );
  }

  /** So many members can take no more that what is proposed would be committed on one of them. */
  private fullMajority(group: GroupId, { conf }: GroupStatus, own: Pressure): Pressure {
    const nowMs = this.options.clock.monotonicMs();
    const { self } = this.options.network;
    const full = conf.voters.filter((voter) => {
      if (voter === self) return own.level === 'stop';
      const notice = this.notices.get(voter);
      return notice !== undefined && notice.untilMs > nowMs && (notice.groups?.has(group) ?? true);
    });
    const isMajorityLeft = conf.voters.length - full.length > Math.floor(conf.voters.length / 2);
    if (isMajorityLeft || full.length === 0) return { level: 'ok', reason: '' };
    const other = full.find((voter) => voter !== self);
    const why = other === undefined ? own.reason : (this.notices.get(other)?.reason ?? own.reason);
    return { level: 'stop', reason: `node ${full.join(', ')} can take no more (${why})` };
  }

  /** Of each group the keys that most of its history belongs to, by their names. */
  private heavyKeys(): Map<GroupId, Set<string>> {
    const heavy = new Map<GroupId, Set<string>>();
    const fairShare = this.overhangLimitBytes / 100;
    for (const { groupId, store } of this.options.groups()) {
      const keys = (store.pressures?.().lastPass?.topKeys ?? []).filter(({ bytes }) => bytes >= fairShare);
      if (keys.length > 0) heavy.set(groupId, new Set(keys.map(({ key }) => key.toString('latin1'))));
    }
    return heavy;
  }

  private syncP99Ms(): Millis | undefined {
    const { syncMs } = this.options.machine;
    if (syncMs === undefined) return undefined;
    this.syncs.push(Float64Array.from(syncMs.counts));
    if (this.syncs.length > SYNC_WINDOWS) this.syncs.shift();
    const first = this.syncs[0]!;
    let total = 0;
    for (let at = 0; at < first.length; at++) total += syncMs.counts[at]! - first[at]!;
    if (total < MIN_SYNCS) return undefined;
    let above = 0;
    for (let at = first.length - 1; at > 0; at--) {
      above += syncMs.counts[at]! - first[at]!;
      // The lower end of the range that the slowest hundredth lies in.
      if (above >= total / 100) return syncMs.bounds[at - 1]!;
    }
    return 0;
  }

  private tellOthers(node: Pressure, full: readonly GroupId[]): void {
    const { network, groups, scheduler } = this.options;
    const reason = node.level === 'stop' ? node.reason : 'a store there is behind';
    const notice = Buffer.from(JSON.stringify(node.level === 'stop' ? { reason } : { reason, groups: full }));
    const peers = new Set(groups().flatMap((group) => group.status().conf.voters));
    peers.delete(network.self);
    for (const peer of peers) {
      const abort = new AbortController();
      const cancel = scheduler.after(NOTICE_MS, () => abort.abort(new Error('the notice is too old')));
      // Lost ones are said again.
      network
        .stream(peer, KIND, notice, nothing(), abort.signal)
        .catch(() => undefined)
        .finally(cancel);
    }
  }

  private hear(from: NodeId, header: Buffer): void {
    let said: { reason?: unknown; groups?: unknown };
    try {
      said = JSON.parse(header.toString()) as typeof said;
    } catch {
      return;
    }
    const groups = Array.isArray(said.groups) ? new Set(said.groups as GroupId[]) : undefined;
    const untilMs = this.options.clock.monotonicMs() + NOTICE_MS;
    this.notices.set(from, { untilMs, reason: String(said.reason ?? ''), groups });
  }
}
