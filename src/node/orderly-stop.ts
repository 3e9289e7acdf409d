/**
 * The stop of a node that others notice nothing of. The order is what it is about:
 *
 *   1. it is not ready any more, and says to its peers that it is about to stop;
 *   2. what it leads is handed over, while it listens still: commands that come meanwhile go to the new leaders;
 *   3. its clients are answered to the end, and their connections closed (by the servers);
 *   4. its peers send it nothing more and have every answer: it takes leave.
 *
 * Each step has a limit. What is not done by then is left to what follows a crash: an election, and outcomes that nobody knows.
 */
import type { ClusterState } from '../distribution/index.ts';
import type { Departures } from '../kv/index.ts';
import { type Clock, counted, type Millis, type NodeId, type Scheduler } from '../platform/index.ts';
import type { RaftGroup } from '../raftengine/index.ts';
import { type HandedOver, handOverAll } from './hand-over.ts';
import type { Readiness } from './readiness.ts';

/** A peer that does not say within this whether it is stopping too goes on, as far as this node knows. */
const BEGIN_MS: Millis = 500;
/** A transfer takes some round trips, and twice an election timeout when its target fails. */
const HAND_OVER_MS: Millis = 3_000;
/** Peers answer when they have heard what became of their last requests. */
const LEAVE_MS: Millis = 1_500;

export interface OrderlyStopOptions {
  readonly self: NodeId;
  readonly departures: Departures;
  readonly groups: () => readonly RaftGroup[];
  readonly clusterState: () => ClusterState | undefined;
  /** False for nodes that should not lead. */
  readonly mayLead: (node: NodeId) => boolean;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly scheduler: Scheduler;
  readonly logger: { info(facts: object, message: string): void };
}

/** See the top of the file. */
export class OrderlyStop {
  private readonly options: OrderlyStopOptions;
  private begunMs: Millis = 0;

  constructor(options: OrderlyStopOptions) {
    this.options = options;
  }

  /** Steps 1 and 2. */
  async begin(): Promise<HandedOver> {
    const { departures, groups, mayLead, clock, scheduler, logger } = this.options;
    this.begunMs = clock.monotonicMs();
    await departures.begin(this.peers(), BEGIN_MS);
    const handed = await handOverAll({ groups, mayLead, clock, scheduler, withinMs: HAND_OVER_MS });
    const facts = { ...handed, tookMs: Math.round(handed.tookMs) };
    const left = handed.left === 0 ? '' : `, left to an election: ${handed.left}`;
    logger.info(facts, `the node stops: handed over ${counted(handed.groups, 'group')}${left}`);
    return handed;
  }

  /** Step 4; nothing unless it was begun. */
  async takeLeave(): Promise<void> {
    const { departures, groups, mayLead, clock, scheduler, logger } = this.options;
    if (!departures.isStopping) return;
    this.tell('its clients have their answers');
    // What came back while clients were answered.
    await handOverAll({ groups, mayLead, clock, scheduler, withinMs: LEAVE_MS });
    const peers = this.peers();
    const left = await departures.leave(peers, LEAVE_MS);
    const silent = peers.filter((peer) => !left.includes(peer));
    if (silent.length > 0) logger.info({ silent }, `the node stops: nodes ${silent.join(', ')} did not take leave`);
    this.tell('its peers have taken leave');
  }

  /** What has come to pass, and how long after the beginning. */
  private tell(what: string): void {
    const { clock, logger } = this.options;
    logger.info({ sinceBeginMs: Math.round(clock.monotonicMs() - this.begunMs) }, `the node stops: ${what}`);
  }

  /** What whoever sends clients here is told. */
  readiness(otherwise: Readiness): Readiness {
    if (!this.options.departures.isStopping) return otherwise;
    return { ...otherwise, ready: false, reason: 'the node is stopping' };
  }

  /** Every node that may send requests here. */
  private peers(): NodeId[] {
    const { self, groups, clusterState } = this.options;
    const peers = new Set((clusterState()?.nodes ?? []).map(({ nodeId }) => nodeId));
    for (const group of groups()) {
      const { voters, votersOutgoing, learners } = group.status().conf;
      for (const node of [...voters, ...votersOutgoing, ...learners]) peers.add(node);
    }
    peers.delete(self);
    return [...peers];
  }
}
