/** The key-value layer of one node: an executor per group, one proxy, one round of maintenance. */
import type {
  Clock,
  GroupId,
  HlcTimestamp,
  Millis,
  NodeId,
  PeerNetwork,
  Random,
  Scheduler,
} from '../platform/index.ts';
import type { RaftGroup } from '../raftengine/index.ts';
import type { GroupStore } from '../store/index.ts';
import { complete } from './completion.ts';
import { NotLeaderError } from './errors.ts';
import { type ExecutorLimits, type ExecutorStats, GroupExecutor } from './executor.ts';
import type { Hlc } from './hlc.ts';
import { Maintenance, type MaintenanceOptions } from './maintenance.ts';
import { LeaderProxy, type ProxyLimits } from './proxy.ts';
import type { GroupStateMachine } from './state-machine.ts';
import type { ForwardHandler, KvService, Operation, ScanPage, ScanRequest } from './types.ts';

/** One data group as this node hosts it: the engine's handle and the state machine that the engine was given. */
export interface KvGroup {
  readonly raft: RaftGroup;
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
}

export interface KvServiceOptions {
  /** Groups that hold user data, at least one. */
  readonly groups: readonly KvGroup[];
  /** Which of them owns a key. */
  readonly route: (key: Buffer) => GroupId;
  readonly network: PeerNetwork;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly hlc: Hlc;
  readonly limits?: { readonly executor?: Partial<ExecutorLimits>; readonly proxy?: Partial<ProxyLimits> };
  readonly maintenance?: Partial<MaintenanceOptions>;
  /** Hears of background work that failed and will be tried again. */
  readonly onBackgroundError?: (error: unknown) => void;
}

/** What the composition root holds beside what adapters see. */
export interface NodeKvService extends KvService {
  /** Counters of one group's executor. */
  stats(group: GroupId): ExecutorStats;
  /** Starts the periodic work. */
  start(): void;
  /** Stops the periodic work and gives up forwarded requests. The engine is stopped by its owner, afterwards. */
  close(): Promise<void>;
}

/**
 * Builds the key-value layer. Call before the network is started: it registers the handler of the `forward` lane.
 * Adapters may be given the result at once.
 */
export function createKvService(options: KvServiceOptions): NodeKvService {
  return new LocalKvService(options);
}

class LocalKvService implements NodeKvService {
  readonly nodeId: NodeId;
  private readonly route: (key: Buffer) => GroupId;
  private readonly hlc: Hlc;
  private readonly executors = new Map<GroupId, GroupExecutor>();
  private readonly groupIds: readonly GroupId[];
  private readonly proxy: LeaderProxy;
  private readonly maintenance: Maintenance;

  constructor(options: KvServiceOptions) {
    const { network, clock, scheduler, hlc, groups } = options;
    this.nodeId = network.self;
    this.route = options.route;
    this.hlc = hlc;
    const maintained = groups.map(({ raft, stateMachine, store }) => {
      const limits = options.limits?.executor ?? {};
      const executor = new GroupExecutor({ nodeId: network.self, raft, stateMachine, store, hlc, scheduler, limits });
      this.executors.set(raft.groupId, executor);
      return { executor, store };
    });
    this.groupIds = [...this.executors.keys()].sort((a, b) => a - b);
    this.proxy = new LeaderProxy({
      network,
      clock,
      scheduler,
      random: options.random,
      limits: options.limits?.proxy ?? {},
      groups: groups.map(({ raft }) => ({
        groupId: raft.groupId,
        isServing: () => this.servesLocally(raft.groupId),
        leader: () => raft.leader()?.nodeId,
      })),
    });
    const onError = options.onBackgroundError ?? (() => undefined);
    this.maintenance = new Maintenance(maintained, { hlc, scheduler }, options.maintenance, onError);
  }

  groupOf(key: Buffer): GroupId {
    return this.route(key);
  }

  dataGroups(): readonly GroupId[] {
    return this.groupIds;
  }

  servesLocally(group: GroupId): boolean {
    return this.executors.get(group)?.isServing === true;
  }

  private executor(group: GroupId): GroupExecutor {
    const executor = this.executors.get(group);
    if (executor === undefined) throw new NotLeaderError(undefined);
    return executor;
  }

  submit<Reply>(group: GroupId, operation: Operation<Reply>): void {
    const executor = this.executors.get(group);
    if (executor === undefined) complete(operation, new NotLeaderError(undefined), undefined);
    else executor.submit(operation as Operation<unknown>);
  }

  async scan(group: GroupId, request: ScanRequest): Promise<ScanPage> {
    return this.executor(group).scan(request);
  }

  async countKeys(group: GroupId, counterClass: number): Promise<number> {
    return this.executor(group).countKeys(counterClass);
  }

  forward(
    group: GroupId,
    service: string,
    payload: Buffer,
    deadlineMs: Millis,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
  ): void {
    this.proxy.forward(group, service, payload, deadlineMs, done);
  }

  onForward(service: string, handler: ForwardHandler): void {
    this.proxy.onForward(service, handler);
  }

  nowTs(): HlcTimestamp {
    return this.hlc.peek();
  }

  stats(group: GroupId): ExecutorStats {
    return this.executor(group).stats();
  }

  start(): void {
    this.maintenance.start();
  }

  async close(): Promise<void> {
    this.proxy.close();
    await this.maintenance.stop();
  }
}
