/**
 * Heartbeats at the catalog's leader. They come every second from every node and are kept in memory; a row is written
 * only when there is news, so that the log of the catalog group does not grow while nothing happens. A new leader knows the rows
 * alone and hears from every node that lives within seconds; silence counts from the time it began to lead.
 */
import {
  type CatalogState,
  type ClusterState,
  clusterStateOf,
  type NodeRow,
  saysOtherThan,
  storableNode,
} from '../../distribution/index.ts';
import type { Clock, Millis, NodeId, Term } from '../../platform/index.ts';
import type { ClusterStateVersion, NodeReport, VersionedClusterState } from './codec.ts';
import type { CatalogLeader } from './leader.ts';

/** A heartbeat that brings nothing new is written this often, for whoever leads next. */
export const HEARTBEAT_ROW_MS: Millis = 30_000;
/** Load changes all the time under load; it is written at most this often. */
export const LOAD_ROW_MS: Millis = 5_000;

/** See the top of the file. */
export class Heartbeats {
  private readonly leader: CatalogLeader;
  private readonly clock: Clock;
  /** The newest of each node, of the leadership `term`. */
  private readonly heard = new Map<NodeId, NodeRow>();
  private term: Term = 0;
  private ledSinceMs: Millis = 0;

  constructor(leader: CatalogLeader, clock: Clock) {
    this.leader = leader;
    this.clock = clock;
    leader.onChange(() => this.followTerm());
    this.followTerm();
  }

  /** Wall-clock time from which on silence of a node counts, whatever its row says. */
  get countsFromMs(): Millis {
    return this.ledSinceMs;
  }

  /** What was heard by an earlier leadership says nothing about now. */
  private followTerm(): void {
    if (this.leader.leaderTerm === this.term) return;
    this.heard.clear();
    this.term = this.leader.leaderTerm;
    this.ledSinceMs = this.clock.nowMs();
  }

  /**
   * Takes a heartbeat.
   * @returns the cluster state, when the node has another one
   * @throws CatalogError NOT_BOOTSTRAPPED, NODE_REMOVED, NODE_CHANGED, NODE_LACKS_FEATURE; NotLeaderError
   */
  async take(given: NodeReport, has: ClusterStateVersion): Promise<VersionedClusterState | undefined> {
    const state = this.leader.state ?? (await this.leader.read((loaded) => loaded));
    const report = storableNode(state, given);
    const nowMs = this.clock.nowMs();
    if (isNews(state, report, nowMs)) {
      const node = { ...report, heartbeatMs: nowMs };
      // A removed node has no row, so it comes here and is refused by rows that are certainly the newest.
      await this.leader.run({ kind: 'putNode', node, expectedRevision: undefined });
    }
    const newest = this.leader.state;
    const row = newest?.nodes.get(report.nodeId);
    if (newest?.meta === undefined || row === undefined) return undefined;
    this.heard.set(report.nodeId, { ...row, ...report, heartbeatMs: nowMs });
    const { incarnation, documentRevision } = newest.meta;
    if (has.incarnation === incarnation && has.revision === documentRevision) return undefined;
    return { incarnation, document: this.clusterState(newest) };
  }

  /** The cluster state of a state, with the newest heartbeats. */
  clusterState(state: CatalogState): ClusterState {
    const clusterState = clusterStateOf(state);
    return { ...clusterState, nodes: clusterState.nodes.map((row) => this.newest(row)) };
  }

  /**
   * Nodes that were heard of during the last `maxSilenceMs`. The others are dead only if this leadership is older than that
   * itself, see `countsFromMs`.
   */
  liveNodes(state: CatalogState, maxSilenceMs: Millis): Set<NodeId> {
    const sinceMs = this.clock.nowMs() - maxSilenceMs;
    const live = new Set<NodeId>();
    for (const row of state.nodes.values()) if (this.newest(row).heartbeatMs >= sinceMs) live.add(row.nodeId);
    return live;
  }

  private newest(row: NodeRow): NodeRow {
    const heard = this.heard.get(row.nodeId);
    return heard?.incarnation.equals(row.incarnation) === true ? { ...heard, revision: row.revision } : row;
  }
}

/** True when a row is to be written, or the attempt to is to be refused. */
function isNews(state: CatalogState, report: NodeReport, nowMs: Millis): boolean {
  const row = state.nodes.get(report.nodeId);
  if (row === undefined || !row.incarnation.equals(report.incarnation)) return true;
  if (saysOtherThan(row, report)) return true;
  // Clocks of leaders differ: a row from the future is as old as one from the past.
  const ageMs = Math.abs(nowMs - row.heartbeatMs);
  if (ageMs >= HEARTBEAT_ROW_MS) return true;
  const { leaderCount, replicaCount, storedBytes } = report;
  const isSameLoad =
    row.leaderCount === leaderCount && row.replicaCount === replicaCount && row.storedBytes === storedBytes;
  return !isSameLoad && ageMs >= LOAD_ROW_MS;
}
