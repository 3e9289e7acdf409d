/**
 * A group whose majority is gone for good goes on with one of its replicas. The only tool here that loses acknowledged writes, so it
 * looks before it acts: it refuses while a majority of the voters answers, takes the replica that has most, raises time above
 * everything that the lost ones may have given out, fences them, and leaves a record in the group's log and in the catalog.
 */
import { type ClusterState, settingOf } from '../../distribution/index.ts';
import { type Clock, type GroupId, type Millis, type NodeId, type Scheduler, sleep } from '../../platform/index.ts';
import {
  AdminError,
  type CatalogClient,
  type GroupMembers,
  type RecoverRequest,
  type RecoverResult,
  type ReplicaStatus,
  type SurvivingReplica,
} from '../contract/index.ts';
import type { LogEnd, NodeReport, RecoverOrder } from './node-messages.ts';

/** A lost leader's clock may have been ahead, and has reserved time that nobody heard of: a window, and what clocks may differ by. */
const TIME_MARGIN_MS: Millis = 3_500;
const PROBE_MS: Millis = 2_000;
const LOOK_MS: Millis = 100;
const AUDIT_LEASE_MS: Millis = 1_000;

export interface RecoveryOperatorOptions {
  readonly self: NodeId;
  readonly incarnation: Buffer;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly catalog: CatalogClient;
  readonly catalogGroup: GroupId;
  /** Every node that anybody here knows of. */
  readonly nodes: () => readonly NodeId[];
  readonly report: (node: NodeId, timeoutMs: Millis) => Promise<NodeReport>;
  readonly logEnd: (node: NodeId, group: GroupId, timeoutMs: Millis) => Promise<LogEnd>;
  readonly order: (node: NodeId, order: RecoverOrder, timeoutMs: Millis) => Promise<number>;
  readonly reviveCatalog: (node: NodeId, timeoutMs: Millis) => Promise<void>;
  readonly members: (groups: readonly GroupId[], timeoutMs: Millis) => Promise<readonly GroupMembers[]>;
}

interface Heard {
  readonly node: NodeId;
  readonly report: NodeReport;
  readonly replica: ReplicaStatus;
}

interface Plan {
  readonly survivors: readonly SurvivingReplica[];
  readonly chosen: SurvivingReplica;
  readonly lost: readonly NodeId[];
  readonly floorMs: Millis;
  readonly uncertain: number;
}

/** See the top of the file. */
export class RecoveryOperator {
  private readonly options: RecoveryOperatorOptions;

  constructor(options: RecoveryOperatorOptions) {
    this.options = options;
  }

  /** @throws AdminError QUORUM_ANSWERS, NOT_RECOVERABLE */
  async recover(request: RecoverRequest, timeoutMs: Millis): Promise<RecoverResult> {
    const { groupId, isDryRun } = request;
    const { clock, order, catalogGroup, reviveCatalog } = this.options;
    const untilMs = clock.monotonicMs() + timeoutMs;
    const { survivors, chosen, lost, floorMs, uncertain } = await this.plan(request, timeoutMs / 3);
    const node = chosen.nodeId;
    const result = { groupId, node, survivors, lost, floorMs };
    if (isDryRun) return { ...result, isDone: false, uncertainEntries: uncertain, audit: '', note: '' };
    const learners = survivors.map(({ nodeId }) => nodeId).filter((each) => each !== node);
    const atMs = clock.nowMs();
    const expected = { lastTerm: chosen.lastTerm, lastIndex: chosen.lastIndex };
    const uncertainEntries = await order(
      node,
      { group: groupId, learners, lost, expected, floorMs, atMs },
      (untilMs - clock.monotonicMs()) / 2,
    );
    await this.untilLed(groupId, untilMs);
    if (groupId === catalogGroup) await reviveCatalog(node, Math.max(PROBE_MS, untilMs - clock.monotonicMs()));
    const record = {
      group: groupId,
      node,
      lost,
      lastTerm: chosen.lastTerm,
      lastIndex: chosen.lastIndex,
      uncertainEntries,
      floorMs,
    };
    const { audit, note } = await this.writeDown(groupId, atMs, record, lost, untilMs);
    return { ...result, isDone: true, uncertainEntries, audit, note };
  }

  private async plan({ groupId, node }: RecoverRequest, timeoutMs: Millis): Promise<Plan> {
    const { clock, logEnd } = this.options;
    const isOracle = groupId === (await this.oracleGroup(timeoutMs / 2));
    const { heard, reports } = await this.listen(groupId, Math.min(PROBE_MS, timeoutMs));
    const newest = [...heard].sort((a, b) => b.replica.appliedIndex - a.replica.appliedIndex)[0];
    if (newest === undefined) {
      throw new AdminError(
        'NOT_RECOVERABLE',
        `no node that answers has a replica of group ${groupId}; its data can only come from a saved snapshot`,
      );
    }
    const { voters } = newest.replica;
    const answering = voters.filter((voter) => heard.some((each) => each.node === voter));
    const needed = (voters.length >> 1) + 1;
    if (answering.length >= needed) {
      throw new AdminError(
        'QUORUM_ANSWERS',
        `${answering.length} of the ${voters.length} voters of group ${groupId} answer and ${needed} are enough: ` +
          'it needs no recovery, an election ends what is wrong within seconds',
      );
    }
    const survivors = await Promise.all(
      heard.map(
        async (each): Promise<SurvivingReplica> => ({
          nodeId: each.node,
          ...(await logEnd(each.node, groupId, timeoutMs)),
        }),
      ),
    );
    // The log that ends in the highest term, and then the longest, has everything that any of the others had committed.
    survivors.sort((left, right) => right.lastTerm - left.lastTerm || right.lastIndex - left.lastIndex);
    const most = survivors[0]!;
    const chosen = node === undefined ? most : survivors.find(({ nodeId }) => nodeId === node);
    if (chosen === undefined)
      throw new AdminError('NOT_RECOVERABLE', `node ${node} has no replica of group ${groupId}, or does not answer`);
    if (chosen.lastTerm !== most.lastTerm || chosen.lastIndex !== most.lastIndex) {
      throw new AdminError(
        'NOT_RECOVERABLE',
        `node ${most.nodeId} has more of group ${groupId} than node ${chosen.nodeId}; recover it there`,
      );
    }
    const ceilings = reports.flatMap(({ replicas }) =>
      // What spans groups is ordered by the oracle alone, which must be above all of them.
      replicas
        .filter((replica) => isOracle || replica.groupId === groupId)
        .map(({ hlcCeilingMs }) => hlcCeilingMs ?? 0),
    );
    const { commitIndex } = heard.find((each) => each.node === chosen.nodeId)!.replica;
    return {
      survivors,
      chosen,
      lost: voters.filter((voter) => !answering.includes(voter)),
      floorMs: Math.max(clock.nowMs(), ...reports.map(({ nowMs }) => nowMs), ...ceilings) + TIME_MARGIN_MS,
      uncertain: Math.max(0, chosen.lastIndex - commitIndex),
    };
  }

  /** The group that grants timestamps; without the catalog it is taken to be the catalog's. */
  private async oracleGroup(timeoutMs: Millis): Promise<number> {
    const { catalog, catalogGroup } = this.options;
    const clusterState = await catalog.clusterState(Math.min(PROBE_MS, timeoutMs)).catch(() => undefined);
    return clusterState === undefined ? catalogGroup : Number(settingOf(clusterState, 'tso.group'));
  }

  private async listen(
    group: GroupId,
    timeoutMs: Millis,
  ): Promise<{ readonly heard: readonly Heard[]; readonly reports: readonly NodeReport[] }> {
    const asked = await Promise.allSettled(
      this.options.nodes().map(async (node) => ({ node, report: await this.options.report(node, timeoutMs) })),
    );
    const answers = asked.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const heard = answers.flatMap(({ node, report }): Heard[] => {
      const replica = report.replicas.find(({ groupId }) => groupId === group);
      // A replica without members was never filled.
      return replica === undefined || replica.voters.length === 0 ? [] : [{ node, report, replica }];
    });
    return { heard, reports: answers.map(({ report }) => report) };
  }

  private async untilLed(group: GroupId, untilMs: Millis): Promise<void> {
    const { clock, scheduler, members } = this.options;
    for (;;) {
      const [now] = await members([group], Math.max(LOOK_MS, untilMs - clock.monotonicMs()));
      if (now?.problem === '') return;
      if (clock.monotonicMs() >= untilMs) {
        throw new AdminError(
          'NOT_RECOVERABLE',
          `group ${group} has no leader yet although its replica was made the only voter; look at \`status ${group}\``,
        );
      }
      await sleep(scheduler, LOOK_MS);
    }
  }

  /** The catalog remembers it, and refuses the lost nodes from now on: two of them could otherwise decide without anybody. */
  private async writeDown(
    group: GroupId,
    atMs: Millis,
    record: object,
    lost: readonly NodeId[],
    untilMs: Millis,
  ): Promise<{ readonly audit: string; readonly note: string }> {
    const { catalog, self, incarnation, clock } = this.options;
    const name = `recovered/${group}/${new Date(atMs).toISOString()}`;
    const left = (): Millis => Math.max(PROBE_MS, untilMs - clock.monotonicMs());
    try {
      const clusterState = await catalog.clusterState(left());
      const progress = Buffer.from(JSON.stringify(record));
      await catalog.run(
        { kind: 'leaseWork', name, node: self, incarnation, leaseMs: AUDIT_LEASE_MS, progress },
        left(),
      );
      await catalog.run({ kind: 'releaseWork', name, node: self, incarnation, isDone: false, progress }, left());
      await this.fence(clusterState, lost, left);
      const next = `give the group other voters with add_learner and promote, and take the lost nodes out of groups that are well with replace`;
      return {
        audit: name,
        note: `node ${lost.join(', ')} can never come back with the old data folder; next: ${next}`,
      };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const note =
        `it is written down in the log of group ${group} alone, and node ${lost.join(', ')} is not fenced, because the ` +
        `catalog does not answer (${why}); never start ${lost.length === 1 ? 'it' : 'them'} again with the old data folder`;
      return { audit: `log of group ${group}`, note };
    }
  }

  private async fence(clusterState: ClusterState, lost: readonly NodeId[], left: () => Millis): Promise<void> {
    for (const { nodeId, incarnation } of clusterState.nodes) {
      if (lost.includes(nodeId)) await this.options.catalog.run({ kind: 'removeNode', nodeId, incarnation }, left());
    }
  }
}
