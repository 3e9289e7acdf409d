/**
 * Replaces a dead node in all of its groups, one step nearer to the end with every call: check, fence, remove, wait for the
 * successor, add it as a learner, promote it. What was decided is in the catalog (a unit of work with notes), what was done is in
 * the memberships, so any node can go on after any interruption, and two that try at once are told apart by the lease.
 *
 * The order is that of safety: the old life is fenced before anything else happens, because a disk that comes back must
 * not vote beside its successor; a successor gets a vote only where it has caught up.
 */
import type { ClusterState, NodeRow } from '../../distribution/index.ts';
import { type Clock, counted, type GroupId, KvorumError, type Millis, type NodeId } from '../../platform/index.ts';
import {
  AdminError,
  type CatalogClient,
  type GroupMembers,
  type MembershipResult,
  type ReplacedGroup,
  type ReplaceRequest,
  type ReplaceStage,
  type ReplaceStatus,
} from '../contract/index.ts';
import type { NodeReport } from './node-messages.ts';
import { decodeReplace, encodeReplace, type ReplaceRecord, replaceWork } from './replace-record.ts';

/** Between two calls of an operator who waits; one who does not come back frees the replacement for others after this. */
const LEASE_MS: Millis = 10_000;
/** A node that does not answer within this is silent. */
const PROBE_MS: Millis = 1_000;
/** Groups that are worked on at a time. */
const AT_ONCE = 8;
/** A successor that the catalog has heard of within this is there. */
const ALIVE_MS: Millis = 10_000;

export interface ReplaceOperatorOptions {
  readonly self: NodeId;
  readonly incarnation: Buffer;
  /** The data folder that is listened to here under the id of a node. */
  readonly metFolder: (node: NodeId) => string | undefined;
  readonly clock: Clock;
  readonly catalog: CatalogClient;
  readonly report: (node: NodeId, timeoutMs: Millis) => Promise<NodeReport>;
  readonly members: (groups: readonly GroupId[], timeoutMs: Millis) => Promise<readonly GroupMembers[]>;
  readonly addLearner: (group: GroupId, node: NodeId, address: string, timeoutMs: Millis) => Promise<MembershipResult>;
  readonly promote: (group: GroupId, node: NodeId, timeoutMs: Millis) => Promise<MembershipResult>;
  readonly remove: (group: GroupId, node: NodeId, timeoutMs: Millis) => Promise<MembershipResult>;
}

/** The life of a node that the catalog has removed before. */
const FENCED = Buffer.alloc(16);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** See the top of the file. */
export class ReplaceOperator {
  private readonly options: ReplaceOperatorOptions;

  constructor(options: ReplaceOperatorOptions) {
    this.options = options;
  }

  /**
   * Goes on with a replacement, or begins it.
   * @throws AdminError NODE_NOT_FOUND, NODE_ANSWERS, LAST_VOTER, QUORUM_AT_RISK, REPLACE_CONFLICT; CatalogError WORK_HELD
   */
  async advance(request: ReplaceRequest, timeoutMs: Millis): Promise<ReplaceStatus> {
    const untilMs = this.options.clock.monotonicMs() + timeoutMs;
    const { catalog, clock } = this.options;
    const clusterState = await catalog.clusterState(timeoutMs / 4);
    const unit = clusterState.work.find(({ name }) => name === replaceWork(request.dead));
    const known = unit === undefined || unit.progress.length === 0 ? undefined : decodeReplace(unit.progress);
    if (known !== undefined) {
      if (known.successor !== request.successor) {
        throw new AdminError(
          'REPLACE_CONFLICT',
          `node ${request.dead} is being replaced by node ${known.successor}; go on with \`replace ${request.dead} ${known.successor}\``,
        );
      }
      if (request.isDryRun) return this.statusOf(request, known, 'REMOVE', [], 'it was begun and goes on');
      return this.goOn(request, known, clusterState, untilMs);
    }
    const row = clusterState.nodes.find(({ nodeId }) => nodeId === request.dead);
    const record = await this.check(request, row, untilMs - clock.monotonicMs());
    if (
      row === undefined &&
      !isMet(clusterState, record, request.dead) &&
      record.voterOf.length + record.learnerOf.length === 0
    ) {
      return this.doneAlready(request, clusterState);
    }
    if (request.isDryRun) {
      const count = record.voterOf.length + record.learnerOf.length;
      const what = `it leaves ${counted(count, 'group')} and its data folder can never come back`;
      return this.statusOf(request, record, 'CHECK', [], what);
    }
    await this.note(request.dead, record, untilMs);
    return this.goOn(request, record, clusterState, untilMs);
  }

  private doneAlready(request: ReplaceRequest, clusterState: ClusterState): ReplaceStatus {
    const { dead, successor } = request;
    const gone = clusterState.removed?.some(({ nodeId }) => nodeId === dead) === true;
    const isThere = clusterState.nodes.some(({ nodeId }) => nodeId === successor);
    if (gone && isThere) {
      return { dead, successor, stage: 'DONE', groups: [], message: `node ${dead} was removed already` };
    }
    const known = clusterState.nodes.map(({ nodeId }) => nodeId).join(', ');
    throw new AdminError('NODE_NOT_FOUND', `node ${dead} is not in the cluster; there are ${known || 'none'}`);
  }

  /** Whether the cluster can do without the node, before anything is done to it. */
  private async check(request: ReplaceRequest, row: NodeRow | undefined, timeoutMs: Millis): Promise<ReplaceRecord> {
    const { self, members } = this.options;
    const { dead, successor, address } = request;
    if (dead === self) {
      throw new AdminError('NODE_ANSWERS', `node ${dead} is the one that was asked; ask another node with --endpoints`);
    }
    if (!request.mayAnswer && row !== undefined) await this.checkSilence(dead, row);
    const groups = await members([], timeoutMs / 2);
    const unknown = groups.filter(({ problem }) => problem !== '');
    if (unknown.length > 0) {
      const names = unknown.map(({ groupId, problem }) => `group ${groupId}: ${problem}`).join('; ');
      throw new AdminError('QUORUM_AT_RISK', `not all groups have a leader (${names}); bring those back first`);
    }
    const suffrageIn = (group: GroupMembers): string | undefined =>
      group.members.find(({ nodeId }) => nodeId === dead)?.suffrage;
    for (const group of groups) if (suffrageIn(group) === 'voter') checkRest(group, dead);
    const where = (suffrages: readonly string[]): GroupId[] =>
      groups.filter((group) => suffrages.includes(suffrageIn(group) ?? '')).map(({ groupId }) => groupId);
    const met = this.options.metFolder(dead);
    return {
      // Without a row it was fenced already, or it ended before its first heartbeat; then those who met it know its folder.
      incarnation: row?.incarnation ?? (met === undefined ? FENCED : Buffer.from(met, 'hex')),
      successor,
      address,
      isRemoved: false,
      voterOf: where(['voter', 'outgoing']),
      learnerOf: where(['learner']),
    };
  }

  /** A life that still runs is stopped by whoever runs it, not by surprise. */
  private async checkSilence(dead: NodeId, row: NodeRow): Promise<void> {
    let report: NodeReport;
    try {
      report = await this.options.report(dead, PROBE_MS);
    } catch {
      return;
    }
    // The successor may be there already, under the same id.
    if (report.incarnation !== undefined && report.incarnation !== row.incarnation.toString('hex')) return;
    throw new AdminError(
      'NODE_ANSWERS',
      `node ${dead} answers at ${report.address}; stop its process first, or say --even-if-it-answers`,
    );
  }

  /** Writes the record and takes the lease for a while. */
  private async note(dead: NodeId, record: ReplaceRecord, untilMs: Millis): Promise<void> {
    const { catalog, self, incarnation } = this.options;
    const name = replaceWork(dead);
    const progress = encodeReplace(record);
    await catalog.run(
      { kind: 'leaseWork', name, node: self, incarnation, leaseMs: LEASE_MS, progress },
      this.left(untilMs),
    );
  }

  private async goOn(
    request: ReplaceRequest,
    known: ReplaceRecord,
    clusterState: ClusterState,
    untilMs: Millis,
  ): Promise<ReplaceStatus> {
    const { catalog, self, incarnation } = this.options;
    const { dead, successor } = request;
    let record = { ...known, address: request.address || known.address };
    await this.note(dead, record, untilMs);
    const old = clusterState.nodes.find(({ nodeId }) => nodeId === dead);
    if (isMet(clusterState, record, dead) || old?.incarnation.equals(record.incarnation)) {
      await catalog.run({ kind: 'removeNode', nodeId: dead, incarnation: record.incarnation }, this.left(untilMs));
    }
    if (!record.isRemoved) {
      const left = await this.forEachGroup(record, (group) => this.takeOut(group, dead, untilMs));
      if (left.some(({ state }) => state !== 'removed')) {
        return this.statusOf(request, record, 'REMOVE', left, `node ${dead} is fenced and leaves its groups`);
      }
      record = { ...record, isRemoved: true };
      await this.note(dead, record, untilMs);
    }
    const row = (await catalog.clusterState(this.left(untilMs))).nodes.find(({ nodeId }) => nodeId === successor);
    if (row === undefined || row.incarnation.equals(record.incarnation)) {
      const message = `start node ${successor} with an empty data folder and --join; it has not reported yet`;
      return this.statusOf(request, record, 'AWAIT_NODE', [], message);
    }
    if (this.options.clock.nowMs() - row.heartbeatMs > ALIVE_MS) {
      const message = `node ${successor} was here and is silent; start it again`;
      return this.statusOf(request, record, 'AWAIT_NODE', [], message);
    }
    const groups = await this.forEachGroup(record, (group, isVoter) =>
      this.takeIn(group, successor, isVoter, record.address || row.address, untilMs),
    );
    if (groups.some(({ state }) => state !== 'done')) {
      return this.statusOf(request, record, 'CATCH_UP', groups, `node ${successor} gets the data of its groups`);
    }
    await catalog.run(
      { kind: 'releaseWork', name: replaceWork(dead), node: self, incarnation, isDone: true, progress: undefined },
      this.left(untilMs),
    );
    return this.statusOf(request, record, 'DONE', groups, `node ${successor} has taken the place of node ${dead}`);
  }

  private async takeOut(group: GroupId, dead: NodeId, untilMs: Millis): Promise<Omit<ReplacedGroup, GroupPart>> {
    await this.options.remove(group, dead, this.left(untilMs));
    return { state: 'removed', lagEntries: 0, problem: '' };
  }

  private async takeIn(
    group: GroupId,
    node: NodeId,
    isVoter: boolean,
    address: string,
    untilMs: Millis,
  ): Promise<Omit<ReplacedGroup, GroupPart>> {
    const { members, addLearner, promote } = this.options;
    const [now] = await members([group], this.left(untilMs));
    if (now === undefined || now.problem !== '') throw new AdminError('GROUP_NOT_FOUND', now?.problem ?? 'it is gone');
    const member = now.members.find(({ nodeId }) => nodeId === node);
    if (member?.suffrage === 'voter') return { state: 'done', lagEntries: 0, problem: '' };
    // Said again to a learner that nobody has heard of yet, which may have been away when it was said.
    if (member === undefined || (!member.isActive && member.matchIndex === 0)) {
      const { note } = await addLearner(group, node, address, this.left(untilMs));
      return { state: isVoter ? 'learner' : 'done', lagEntries: now.lastIndex, problem: note };
    }
    if (!isVoter) return { state: 'done', lagEntries: 0, problem: '' };
    try {
      await promote(group, node, this.left(untilMs));
      return { state: 'done', lagEntries: 0, problem: '' };
    } catch (error) {
      return { state: 'learner', lagEntries: member.lagEntries, problem: messageOf(error) };
    }
  }

  /** Works on some groups at a time; what a group refuses is told in its row and tried again with the next call. */
  private async forEachGroup(
    record: ReplaceRecord,
    work: (group: GroupId, isVoter: boolean) => Promise<Omit<ReplacedGroup, GroupPart>>,
  ): Promise<ReplacedGroup[]> {
    const all = [
      ...record.voterOf.map((group) => ({ group, isVoter: true })),
      ...record.learnerOf.map((group) => ({ group, isVoter: false })),
    ];
    const rows: ReplacedGroup[] = [];
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const step = all.slice(at, at + AT_ONCE).map(async ({ group, isVoter }): Promise<ReplacedGroup> => {
        try {
          return { groupId: group, isVoter, ...(await work(group, isVoter)) };
        } catch (error) {
          if (!(error instanceof KvorumError)) throw error;
          return {
            groupId: group,
            isVoter,
            state: record.isRemoved ? 'removed' : 'member',
            lagEntries: 0,
            problem: error.message,
          };
        }
      });
      rows.push(...(await Promise.all(step)));
    }
    return rows;
  }

  private statusOf(
    { dead, successor }: ReplaceRequest,
    record: ReplaceRecord,
    stage: ReplaceStage,
    groups: readonly ReplacedGroup[],
    message: string,
  ): ReplaceStatus {
    const state = record.isRemoved ? 'removed' : 'member';
    const planned = (isVoter: boolean) => (groupId: GroupId) => ({
      groupId,
      isVoter,
      state,
      lagEntries: 0,
      problem: '',
    });
    const shown =
      groups.length > 0 ? groups : [...record.voterOf.map(planned(true)), ...record.learnerOf.map(planned(false))];
    return { dead, successor, stage, groups: shown, message };
  }

  private left(untilMs: Millis): Millis {
    return Math.max(PROBE_MS, untilMs - this.options.clock.monotonicMs());
  }
}

/** Nodes have met the folder, and the catalog has not heard of it. */
function isMet({ nodes, removed }: ClusterState, { incarnation }: ReplaceRecord, node: NodeId): boolean {
  const isGone = removed?.some((each) => each.nodeId === node && each.incarnation === incarnation.toString('hex'));
  return !incarnation.equals(FENCED) && isGone !== true && nodes.every(({ nodeId }) => nodeId !== node);
}

/** What `forEachGroup` knows by itself. */
type GroupPart = 'groupId' | 'isVoter';

/** @throws AdminError when the voters that stay cannot decide anything */
function checkRest(group: GroupMembers, dead: NodeId): void {
  const rest = group.members.filter(({ nodeId, suffrage }) => suffrage === 'voter' && nodeId !== dead);
  if (rest.length === 0) {
    throw new AdminError(
      'LAST_VOTER',
      `node ${dead} is the last voter of group ${group.groupId}; its data is nowhere else`,
    );
  }
  const answering = rest.filter(({ isActive }) => isActive);
  if (answering.length >= (rest.length >> 1) + 1) return;
  const silent = rest.filter(({ isActive }) => !isActive).map(({ nodeId }) => nodeId);
  throw new AdminError(
    'QUORUM_AT_RISK',
    `without node ${dead} too few voters of group ${group.groupId} answer; bring back node ${silent.join(' or ')} first`,
  );
}
