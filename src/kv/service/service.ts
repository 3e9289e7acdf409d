/**
 * The key-value layer of one node: an executor for each group that has a replica here, one proxy, one round of maintenance.
 * Groups come and go while it runs. Which group a key belongs to is read from the directory that the node watches.
 */
import { RESERVED_END, type RouteEngine, type RouteTable } from '../../distribution/index.ts';
import {
  assert,
  type Clock,
  type GroupId,
  groupId,
  type HlcTimestamp,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
  timestampOfMs,
} from '../../platform/index.ts';
import { NotLeaderError, type RaftGroup } from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { GroupAdmission } from '../admission/index.ts';
import type { GroupStateMachine } from '../apply/index.ts';
import type {
  ChangeListener,
  ForwardHandler,
  KeyStretch,
  KvService,
  LeaderUnavailableError,
  LiveValue,
  LockFacts,
  LongEvaluator,
  Operation,
  ScanPage,
  ScanRequest,
} from '../contract/index.ts';
import {
  type Departures,
  LeaderProxy,
  type LocalReplica,
  type ProxyLimits,
  type ProxyStats,
} from '../forward/index.ts';
import {
  type AccessListener,
  complete,
  DEFAULT_EXECUTOR_LIMITS,
  type ExecutorLimits,
  type ExecutorStats,
  type ExpiryWork,
  GroupExecutor,
  Maintenance,
  type MaintenanceOptions,
  NodeTurn,
  type ObjectRules,
} from '../leader/index.ts';
import { type ClockComparison, type ClockLimits, Hlc } from '../time/index.ts';

/** One group as this node hosts it: the engine's handle and the state machine that the engine was given. */
export interface KvGroup {
  readonly raft: RaftGroup;
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
}

export interface KvServiceOptions {
  /** The directory, kept up to date by somebody else. */
  readonly routes: RouteEngine;
  /** Nodes that may have a replica of a group, for groups that have none here. */
  readonly membersOf: (group: GroupId) => readonly NodeId[];
  readonly network: PeerNetwork;
  readonly clock: Clock;
  /** How far `clock` can be relied on; left out: it can. */
  readonly comparison?: ClockComparison;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** Why this node reaches nobody; undefined when it is part of its cluster as far as it knows. */
  readonly excuse?: () => string | undefined;
  /** Whether every node takes large answers in streams; left out: none does. */
  readonly streamsAnswers?: () => boolean;
  /** Whether every node knows parts of transactions with one status between their keys; left out: none does. */
  readonly anchorsStatuses?: () => boolean;
  readonly limits?: {
    readonly executor?: Partial<ExecutorLimits>;
    readonly proxy?: Partial<ProxyLimits>;
    readonly clock?: Partial<ClockLimits>;
  };
  readonly maintenance?: Partial<MaintenanceOptions>;
  /** What the expiry of a row calls for; left out: all rows just go. */
  readonly expiryWork?: ExpiryWork;
  /** Hears of every key that a command or a scan touches on a leader; for signals of load. Must be quick. */
  readonly onAccess?: AccessListener;
  /** Whether writes of a group are let in; left out: all are. */
  readonly admission?: (group: GroupId) => GroupAdmission;
  /** How objects of several rows are known; left out: every key is an object by itself. */
  readonly objects?: ObjectRules;
  /** Who evaluates what reads too many rows for one turn; left out: it takes one turn all the same. */
  readonly evaluator?: LongEvaluator | undefined;
  /** Hears of locks that somebody waits for at a leader here; their status should be asked for. */
  readonly onLockMet?: (group: GroupId, lock: LockFacts) => void;
  /** Hears of background work that failed and will be tried again. */
  readonly onBackgroundError?: (error: unknown) => void;
}

/** Where a group is, as far as a node knows. */
export interface GroupLocation {
  /** Undefined while nobody is known. */
  readonly leader: NodeId | undefined;
  /** The replica here follows the leader, or it ran a request of this node a moment ago; false: it was heard of some time ago. */
  readonly isWitnessed: boolean;
  /** Nodes with a replica, as far as they are known. */
  readonly members: readonly NodeId[];
}

/** What the composition root holds beside what adapters see. */
export interface NodeKvService extends KvService {
  /** Takes a group in that the engine hosts. @throws AssertionError when it is here already */
  addGroup(group: KvGroup): GroupExecutor;
  /** Lets a group go whose replica has stopped; settles when nothing of it is under way. Unknown ones are ignored. */
  removeGroup(group: GroupId): Promise<void>;
  /** The executor of a group that is hosted here. */
  executor(group: GroupId): GroupExecutor | undefined;
  /** Who leads a group, whether it is hosted here or was asked; undefined while nobody is known. */
  leaderOf(group: GroupId): NodeId | undefined;
  /** Where a group is, for clients that choose the node themselves. */
  locationOf(group: GroupId): GroupLocation;
  /** Counters of one group's executor. @throws NotLeaderError when the group is not hosted here */
  stats(group: GroupId): ExecutorStats;
  /** How often somebody asked for the group of a key. */
  readonly routeLookups: number;
  /** Nodes that stop in good order, this one too. */
  readonly departures: Departures;
  /** Counters of the proxy. */
  proxyStats(): ProxyStats;
  /** Whether leaders here delete keys that have expired, which readers do not see in any case; on at first. For tests of clients. */
  setPurging(isOn: boolean): void;
  /** Makes everything that was applied here durable and forgets what is cached, so that it is read from disk again. For tests of clients. */
  rereadStores(): Promise<void>;
  /** Starts the periodic work. */
  start(): void;
  /** Stops the periodic work and gives up forwarded requests. The engine is stopped by its owner, afterwards. */
  close(): Promise<void>;
}

/** Whom to ask while the directory is not known: a node that waits for it, or refuses with the truth. */
const UNKNOWN_OWNER: GroupId = groupId(1);

/**
 * Builds the key-value layer without groups. Call before the network is started: it registers the handler of the `forward`
 * lane. Adapters may be given the result at once.
 */
export function createKvService(options: KvServiceOptions): NodeKvService {
  return new LocalKvService(options);
}

interface Hosted {
  readonly raft: RaftGroup;
  readonly executor: GroupExecutor;
  readonly store: GroupStore;
  readonly replica: LocalReplica;
  readonly stateMachine: GroupStateMachine;
  /** Whether this node is a member by these; each command that is sent on asks. */
  membership: { readonly conf: object; readonly isMember: boolean } | undefined;
  readonly stopMaintenance: () => Promise<void>;
}

class LocalKvService implements NodeKvService {
  readonly nodeId: NodeId;
  private readonly options: KvServiceOptions;
  private readonly routes: RouteEngine;
  private readonly hosted = new Map<GroupId, Hosted>();
  private readonly proxy: LeaderProxy;
  private readonly maintenance: Maintenance;
  private readonly turn: NodeTurn;
  private changeListener: ChangeListener | undefined;
  /** Passes on to the listener, which comes when there are groups already. */
  private readonly changes: ChangeListener;
  /** What `dataGroups` answers for `dataGroupsTable`. */
  private dataGroupIds: readonly GroupId[] = [];
  private dataGroupsTable: RouteTable | undefined;
  routeLookups = 0;

  constructor(options: KvServiceOptions) {
    const { network, clock, scheduler, random, routes } = options;
    this.options = options;
    this.nodeId = network.self;
    this.routes = routes;
    this.turn = new NodeTurn(scheduler, options.limits?.executor?.maxTurnMs ?? DEFAULT_EXECUTOR_LIMITS.maxTurnMs);
    this.proxy = new LeaderProxy({
      network,
      clock,
      scheduler,
      random,
      limits: options.limits?.proxy ?? {},
      ...(options.excuse === undefined ? {} : { excuse: options.excuse }),
      ...(options.streamsAnswers === undefined ? {} : { streamsAnswers: options.streamsAnswers }),
      directory: {
        replica: (group) => this.memberReplica(group),
        members: (group) => options.membersOf(group),
      },
    });
    const listener = () => this.changeListener;
    this.changes = {
      get isListening() {
        return listener()?.isListening === true;
      },
      changed: (group, key, hasExpired, commitTs) => listener()?.changed(group, key, hasExpired, commitTs),
      deleted: (group, start, end, commitTs) => listener()?.deleted(group, start, end, commitTs),
      began: (group) => {
        scheduler.endOfTurn(() => this.proxy.leaderChanged(group));
        listener()?.began(group);
      },
    };
    const onError = options.onBackgroundError ?? (() => undefined);
    this.maintenance = new Maintenance([], scheduler, options.maintenance, onError, options.expiryWork);
  }

  addGroup({ raft, stateMachine, store }: KvGroup): GroupExecutor {
    assert(!this.hosted.has(raft.groupId), `group ${raft.groupId} is here already`);
    const { clock, comparison, scheduler, limits, onAccess, admission, objects, evaluator } = this.options;
    const { anchorsStatuses } = this.options;
    const hlc = new Hlc(clock, comparison);
    stateMachine.listenToAdoptions((ts) => hlc.observe(ts));
    const executor = new GroupExecutor({
      nodeId: this.nodeId,
      raft,
      stateMachine,
      store,
      hlc,
      scheduler,
      turn: this.turn,
      limits: limits?.executor ?? {},
      clockLimits: limits?.clock ?? {},
      objects,
      evaluator,
      anchorsStatuses,
      changes: this.changes,
      ...(onAccess === undefined ? {} : { onAccess }),
      ...(admission === undefined ? {} : { admission: admission(raft.groupId) }),
    });
    executor.txns.onLockMet((lock) => this.options.onLockMet?.(raft.groupId, lock));
    const replica: LocalReplica = { isServing: () => executor.isServing, leader: () => raft.leader() };
    raft.onLeaderChange(() => this.proxy.leaderChanged(raft.groupId));
    const stopMaintenance = this.maintenance.add({ executor, store });
    const membership = undefined;
    this.hosted.set(raft.groupId, { raft, executor, store, replica, stateMachine, membership, stopMaintenance });
    return executor;
  }

  async removeGroup(group: GroupId): Promise<void> {
    const hosted = this.hosted.get(group);
    this.hosted.delete(group);
    await hosted?.stopMaintenance();
  }

  groupOf(key: Buffer): GroupId {
    this.routeLookups++;
    return this.routes.current.groupOf(key) ?? UNKNOWN_OWNER;
  }

  stretchAt(key: Buffer): KeyStretch {
    let stretch: KeyStretch | undefined;
    // Neighbours of one group are one stretch: where the directory is cut inside a group is nobody's business here.
    for (const { groupId: group, end } of this.routes.current.overlap(key, undefined)) {
      if (stretch !== undefined && stretch.group !== group) break;
      stretch = { group, end };
    }
    return stretch ?? { group: UNKNOWN_OWNER, end: undefined };
  }

  bordersBetween(start: Buffer, end: Buffer): Buffer[] {
    const borders: Buffer[] = [];
    for (const { start: border } of this.routes.current.overlap(start, end))
      if (Buffer.compare(border, start) > 0) borders.push(border);
    return borders;
  }

  get routesVersion(): number {
    return this.routes.current.version;
  }

  dataGroups(): readonly GroupId[] {
    const table = this.routes.current;
    if (this.dataGroupsTable !== table) {
      this.dataGroupsTable = table;
      this.dataGroupIds = table.groups().filter((group) => hasUserKeys(table, group));
    }
    return this.dataGroupIds;
  }

  unavailable(what: string): LeaderUnavailableError {
    return this.proxy.unavailable(what);
  }

  servesLocally(group: GroupId): boolean {
    return this.hosted.get(group)?.executor.isServing === true;
  }

  executor(group: GroupId): GroupExecutor | undefined {
    return this.hosted.get(group)?.executor;
  }

  leaderOf(group: GroupId): NodeId | undefined {
    const hosted = this.hosted.get(group);
    return hosted === undefined ? this.proxy.leaderOf(group) : hosted.raft.leader()?.nodeId;
  }

  locationOf(group: GroupId): GroupLocation {
    const witnessed = this.proxy.witnessedLeaderOf(group);
    const leader = witnessed ?? this.leaderOf(group);
    return { leader, isWitnessed: witnessed !== undefined, members: this.options.membersOf(group) };
  }

  /** One that was taken out, or not yet in, hears of no leader: others know more. */
  private memberReplica(group: GroupId): LocalReplica | undefined {
    const hosted = this.hosted.get(group);
    if (hosted === undefined) return undefined;
    const { conf } = hosted.stateMachine.applied();
    if (hosted.membership?.conf !== conf) {
      const { voters, votersOutgoing, learners } = conf;
      const isMember = [voters, votersOutgoing, learners].some((nodes) => nodes.includes(this.nodeId));
      hosted.membership = { conf, isMember };
    }
    return hosted.membership.isMember ? hosted.replica : undefined;
  }

  private hostedExecutor(group: GroupId): GroupExecutor {
    const hosted = this.hosted.get(group);
    if (hosted === undefined) throw new NotLeaderError(this.proxy.leaderOf(group));
    return hosted.executor;
  }

  submit<Reply>(group: GroupId, operation: Operation<Reply>): void {
    const hosted = this.hosted.get(group);
    if (hosted === undefined) complete(operation, new NotLeaderError(this.proxy.leaderOf(group)), undefined);
    else hosted.executor.submit(operation as Operation<unknown>);
  }

  readNow(group: GroupId, keys: readonly Buffer[]): readonly (LiveValue | undefined)[] | undefined {
    return this.hosted.get(group)?.executor.reads.now(keys);
  }

  endWait(group: GroupId, operation: Operation<unknown>): void {
    if (operation.wait !== undefined) operation.wait.isEnded = true;
    this.hosted.get(group)?.executor.endWait(operation);
  }

  suspendWait(group: GroupId, operation: Operation<unknown>, isSuspended: boolean): void {
    if (operation.wait !== undefined) operation.wait.isSuspended = isSuspended;
    if (!isSuspended) this.hosted.get(group)?.executor.wakeWait(operation);
  }

  onChanges(listener: ChangeListener): void {
    assert(this.changeListener === undefined, 'changes have one listener');
    this.changeListener = listener;
  }

  onPeerLost(listener: (node: NodeId) => void): void {
    this.options.network.onPeerLost(listener);
  }

  async scan(group: GroupId, request: ScanRequest): Promise<ScanPage> {
    return this.hostedExecutor(group).scan(request);
  }

  async countKeys(group: GroupId, counterClass: number): Promise<number> {
    return this.hostedExecutor(group).countKeys(counterClass);
  }

  forward(
    group: GroupId,
    service: string,
    payload: Buffer,
    deadlineMs: Millis,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
    workUntilMs?: Millis,
  ): void {
    this.proxy.forward(group, service, payload, deadlineMs, done, workUntilMs);
  }

  onForward(service: string, handler: ForwardHandler): void {
    this.proxy.onForward(service, handler);
  }

  nowTs(): HlcTimestamp {
    return timestampOfMs(this.options.clock.nowMs());
  }

  get expiredKeys(): number {
    return this.maintenance.expiredKeys;
  }

  stats(group: GroupId): ExecutorStats {
    return this.hostedExecutor(group).stats();
  }

  get departures(): Departures {
    return this.proxy.departures;
  }

  proxyStats(): ProxyStats {
    return this.proxy.stats();
  }

  setPurging(isOn: boolean): void {
    this.maintenance.isPurging = isOn;
  }

  async rereadStores(): Promise<void> {
    await Promise.all(
      [...this.hosted.values()].map(async ({ store }) => {
        await store.flush();
        store.forgetCached?.();
      }),
    );
  }

  start(): void {
    this.maintenance.start();
  }

  async close(): Promise<void> {
    this.proxy.close();
    await this.maintenance.stop();
  }
}

/** True when a group has more than the reserved keys. */
function hasUserKeys(table: RouteTable, group: GroupId): boolean {
  for (const { end } of table.ofGroup(group)) {
    if (end === undefined || Buffer.compare(end, RESERVED_END) > 0) return true;
  }
  return false;
}
