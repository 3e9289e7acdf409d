/**
 * The lowest plane of a node: its clock, held against those of its peers, the Raft engine, and whether its data folder has a place
 * in the cluster. It knows that replicas are hosted above it, and not what they hold.
 */
import { NodeClock } from '../kv/index.ts';
import { type Elapsed, ElapsedClock, type GroupId, type NodeId, nodeId } from '../platform/index.ts';
import { RaftEngine, SnapshotBrokenError } from '../raftengine/index.ts';
import { Later } from './later.ts';
import type { NodeParts } from './parts.ts';
import { FolderStanding } from './standing.ts';

/** What this plane asks of the replicas above it. */
export interface ReplicasAbove {
  /** How many are here. */
  count(): number;
  /** Founding one waits until enough others have accepted this node's data folder. */
  waitsToFound(): boolean;
  /** Enough of them have. */
  foundAllowed(): void;
  /** The leader of a group speaks to a replica that is not here. */
  heardOf(group: GroupId): void;
  /** The node has no place in the cluster: whoever waits here is told why. */
  refuseAll(): void;
  /** False while this node takes no leadership that it can leave to others: it stops, or is drained. */
  mayLead(): boolean;
}

/** See the top of the file. */
export interface ConsensusPlane {
  readonly clock: NodeClock;
  /** Goes by the machine's own clocks: where the system does not tell of a sleep, the node's is held back behind one. */
  readonly elapsed: Elapsed;
  readonly engine: RaftEngine;
  readonly standing: FolderStanding;
  /** The node joins a running cluster: it founds nothing. */
  readonly joins: boolean;
  /** What the node's own configuration says of another one's address. */
  addressOf(peer: NodeId): string | undefined;
  /** Another node says where it is. What the configuration says holds: there may be a tunnel, or a fault, on the way that is meant. */
  hearAddress(peer: NodeId, address: string): void;
  /** Names the replicas; once, before the start. */
  attach(replicas: ReplicasAbove): void;
  start(): Promise<void>;
  /** Stops the engine; the network is its owner's. */
  stop(): Promise<void>;
}

/** Makes the plane; nothing runs yet, and the network must not be started. */
export function buildConsensus(parts: NodeParts): ConsensusPlane {
  const { random, scheduler, network, logStore, onBackgroundError } = parts;
  const { self } = network;
  const replicas = new Later<ReplicasAbove>('what hosts the replicas');
  const joins = parts.joins === true;
  const maxOffsetMs = parts.kv?.limits?.clock?.maxForwardSkewMs;
  const clock = new NodeClock({
    clock: parts.clock,
    scheduler,
    limits: maxOffsetMs === undefined ? {} : { maxOffsetMs },
    onChange: parts.onClock,
  });
  for (const member of parts.members) {
    if (member.nodeId !== self) network.setPeer(nodeId(member.nodeId), member.address);
  }
  const addressOf = (peer: NodeId): string | undefined =>
    parts.members.find((member) => member.nodeId === peer)?.address;
  const hearAddress = (peer: NodeId, address: string): void => {
    if (addressOf(peer) === undefined) network.setPeer(peer, address);
  };
  const engine = new RaftEngine({
    nodeId: self,
    clock: parts.clock,
    peerClocks: clock,
    mayLead: () => replicas.get().mayLead(),
    random,
    scheduler,
    network,
    logStore,
    installs: parts.record.installs(onBackgroundError),
    limits: parts.limits,
    peerAddresses: { lookup: addressOf, learned: hearAddress },
    observer: {
      snapshotFailed: (group, peer, error) => onBackgroundError(new SnapshotBrokenError(group, peer, error)),
      snapshotSent: parts.onSnapshotSent,
    },
    onUnknownGroup: (group) => replicas.get().heardOf(group),
    onFatal: parts.onFatal,
  });
  const standing = new FolderStanding({
    self,
    record: parts.record,
    mayWait: () => joins && replicas.get().count() === 0,
    waitsToFound: () => replicas.get().waitsToFound() && replicas.get().count() === 0,
    onEnd: (error) => {
      replicas.get().refuseAll();
      parts.onFatal(error);
    },
    onError: onBackgroundError,
    scheduler,
    onWaits: parts.onFoundingWaits ?? (() => undefined),
  });
  standing.listenTo(network);
  standing.onAcceptance(() => replicas.get().foundAllowed());

  return {
    clock,
    elapsed: new ElapsedClock(parts.clock),
    engine,
    standing,
    joins,
    addressOf,
    hearAddress,
    attach: (above) => replicas.set(above),
    async start() {
      standing.start();
      await network.start();
      engine.start();
    },
    async stop() {
      standing.stop();
      await engine.stop();
    },
  };
}
