/** Closed timestamps and reads from replicas of one node, put together. */
import {
  type Clock,
  type Elapsed,
  type GroupId,
  type HlcTimestamp,
  type Millis,
  NEVER,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import type { RaftGroup } from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { GroupStateMachine } from '../apply/index.ts';
import type { KvService, ReadAtReply, ReadAtRequest, ReadStats } from '../contract/index.ts';
import { GroupRouter } from '../forward/index.ts';
import type { GroupExecutor } from '../leader/index.ts';
import type { CoveredMoment } from '../txn/index.ts';
import { NodeClaims, type ReadableReplica } from './claims.ts';
import { type ClosableGroup, GroupCloser } from './closer.ts';
import { ClosedExchange } from './exchange.ts';
import { type AnsweringGroup, leaderReads, serveReads } from './leader-endpoint.ts';
import { type IndexedGroup, ReadIndexClient, serveReadIndex } from './read-index.ts';
import { type PointReads, type PointReplica, ReadPoints, serveReadPoints } from './read-points.ts';
import { type ReadLimits, ReplicaReader } from './reader.ts';
import type { SessionSource } from './session.ts';
import { type ReadSnapshot, type SnapshotOptions, SnapshotReader, type SnapshotReaderOptions } from './snapshot.ts';

/** Periods of closing. */
export interface ClosingTimes {
  /** What is closed lies so far back. */
  readonly lagMs: Millis;
  readonly periodMs: Millis;
}

export const DEFAULT_CLOSING: ClosingTimes = { lagMs: 1000, periodMs: 200 };

/** A group with a replica here. */
export interface HostedReplica {
  readonly groupId: GroupId;
  readonly raft: RaftGroup;
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
  readonly executor: GroupExecutor;
}

export interface ReplicaReadsOptions {
  readonly kv: KvService;
  readonly network: PeerNetwork;
  readonly clock: Clock;
  /** Ages are measured by it. */
  readonly elapsed: Elapsed;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** See `SnapshotReaderOptions`. */
  readonly oracleTs: (after: HlcTimestamp) => Promise<HlcTimestamp | undefined>;
  readonly hosted: { all(): readonly HostedReplica[]; get(group: GroupId): HostedReplica | undefined };
  /** Names the cluster in tokens. */
  readonly cluster: () => bigint;
  /** See `SnapshotReaderOptions`. */
  readonly pins?: SnapshotReaderOptions['pins'];
  readonly closing?: Partial<ClosingTimes>;
  readonly limits?: Partial<ReadLimits>;
  readonly onError: (error: unknown) => void;
}

/** Reads with a consistency of the reader's choice. */
export interface ReplicaReads extends SessionSource {
  /** See `ReplicaReader.readAt`. */
  readAt(request: ReadAtRequest): Promise<ReadAtReply>;
  /** See `SnapshotReader.begin`. */
  snapshot(options: SnapshotOptions): Promise<ReadSnapshot>;
  /** See `SnapshotReader.draw`: of all groups with data. */
  draw(deadlineMs: Millis): Promise<CoveredMoment>;
  /** True when a read of the group can be tried here. */
  mayServe(group: GroupId): boolean;
  stats(): ReadStats;
  /** Linearizable reads of groups that are led elsewhere, from the replicas here. */
  readonly points: PointReads;
  /** Names the cluster in tokens. */
  cluster(): bigint;
  start(): void;
  stop(): void;
}

/** Puts it together. Call before the network is started. */
export function createReplicaReads(options: ReplicaReadsOptions): ReplicaReads {
  const { kv, network, clock, elapsed, scheduler, hosted } = options;
  const { lagMs, periodMs } = { ...DEFAULT_CLOSING, ...options.closing };
  const parts = new WeakMap<GroupExecutor, { readonly closer: GroupCloser; readonly replica: ReadableReplica }>();
  const partsOf = (group: HostedReplica) => {
    let made = parts.get(group.executor);
    if (made === undefined) {
      made = { closer: new GroupCloser(closable(group), elapsed, lagMs), replica: readable(group) };
      parts.set(group.executor, made);
    }
    return made;
  };
  const replicaOf = (group: GroupId): ReadableReplica | undefined => {
    const one = hosted.get(group);
    return one === undefined ? undefined : partsOf(one).replica;
  };
  const claims = new NodeClaims(replicaOf);
  const answering = (group: GroupId): AnsweringGroup | undefined => {
    const one = hosted.get(group);
    const own = claims.of(group);
    return one === undefined || own === undefined ? undefined : { executor: one.executor, claims: own, elapsed };
  };
  const indexed = (group: GroupId): IndexedGroup | undefined => {
    const one = hosted.get(group);
    if (one === undefined) return undefined;
    const { executor, stateMachine } = one;
    const applied = () => stateMachine.applied();
    return { executor, closer: partsOf(one).closer, term: () => applied().term, appliedIndex: () => applied().index };
  };
  const exchange = new ClosedExchange({
    network,
    elapsed,
    scheduler,
    claims,
    closers: () =>
      hosted
        .all()
        .filter(({ executor }) => executor.isServing)
        .map((group) => partsOf(group).closer),
    replicasOf: (group) => replicasOf(hosted.get(group)),
    periodMs,
    onError: options.onError,
  });
  const pointReplica = (group: GroupId): PointReplica | undefined => {
    const one = hosted.get(group);
    return one === undefined ? undefined : { raft: one.raft, executor: one.executor, state: one };
  };
  serveReads(kv, answering);
  serveReadIndex(kv, indexed);
  serveReadPoints(kv, pointReplica);
  const askLeader = leaderReads(kv, answering);
  const reader = new ReplicaReader({
    claims,
    replicaOf,
    askLeader,
    readIndex: new ReadIndexClient({ kv, claims, elapsed, scheduler }),
    // One whose lease is over may have been replaced: it answers as a replica as far as it can.
    leads: (group) => kv.servesLocally(group) && hosted.get(group)?.raft.holdsLease() === true,
    clock,
    elapsed,
    scheduler,
    cluster: options.cluster,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const points = new ReadPoints({ kv, replicaOf: pointReplica, clock, scheduler });
  const { random, oracleTs, cluster, pins } = options;
  const router = new GroupRouter({ kv, clock, scheduler, random });
  const asked = { reader, askLeader, claims, router, kv, oracleTs };
  const snapshots = new SnapshotReader({ ...asked, pins, clock, elapsed, cluster });
  return {
    snapshot: (wanted) => snapshots.begin(wanted),
    draw: (deadlineMs) => snapshots.draw(kv.dataGroups(), NEVER, deadlineMs),
    readAt: (request) => reader.readAt(request),
    readNow: (group, keys, demand, kind) => reader.readNow(group, keys, demand, kind),
    elapsedMs: () => elapsed.elapsedMs(),
    points,
    mayServe: (group) => reader.mayServe(group),
    stats: () => ({ ...reader.stats(), pointRounds: points.rounds, pointReads: points.reads }),
    cluster: options.cluster,
    start: () => exchange.start(),
    stop: () => exchange.stop(),
  };
}

const closable = ({ groupId, raft, stateMachine, executor }: HostedReplica): ClosableGroup => ({
  group: groupId,
  isServing: () => executor.isServing,
  holdsLease: () => raft.holdsLease(),
  get term() {
    return stateMachine.applied().term;
  },
  get appliedIndex() {
    return stateMachine.applied().index;
  },
  get boundMs() {
    return executor.clock.bound;
  },
  oldestAssigned: (): HlcTimestamp | undefined => executor.oldestAssigned(),
  observe: (ts) => executor.clock.observe(ts),
  now: () => executor.clock.now(),
});

const readable = ({ raft, stateMachine, store }: HostedReplica): ReadableReplica => ({
  stateMachine,
  store,
  term: () => raft.leader()?.term ?? stateMachine.applied().term,
});

/** Members of every kind, learners too. */
function replicasOf(group: HostedReplica | undefined): readonly NodeId[] {
  if (group === undefined) return [];
  const { voters, votersOutgoing, learners } = group.stateMachine.applied().conf;
  return [...new Set([...voters, ...votersOutgoing, ...learners])];
}
