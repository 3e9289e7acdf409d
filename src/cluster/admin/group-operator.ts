/** Operators' work on one group, done where its leader is: what the request says is decided and proposed without a wait between. */
import { type Clock, type GroupId, type Millis, type NodeId, type Scheduler, sleep } from '../../platform/index.ts';
import {
  type ConfState,
  encodeAddresses,
  type GroupStatus,
  NotLeaderError,
  type RaftGroup,
} from '../../raftengine/index.ts';
import type { GroupMembers, Member, MembershipResult, TransferResult } from '../contract/index.ts';
import {
  decideAddLearner,
  decidePromote,
  decideRemove,
  decideTransfer,
  lagOf,
  suffrageOf,
} from './membership-rules.ts';

/** A leader forgets whom it heard once every election timeout; a few heartbeats later it has heard everybody who lives. */
const LISTEN_MS: Millis = 600;
const SAMPLE_MS: Millis = 25;
const OPEN_RETRY_MS: Millis = 200;

export interface GroupOperatorOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** This node's replica of a group. */
  readonly findGroup: (group: GroupId) => RaftGroup | undefined;
  readonly maxPromoteLag: number;
  /** Tells a node to open its replica of a group that it was taken into; rejects when it cannot be reached. */
  readonly openReplicaOn: (node: NodeId, group: GroupId, timeoutMs: Millis) => Promise<void>;
  /** How long to listen for voters before they count as silent. */
  readonly listenMs?: Millis;
}

/** Every node that a membership names. */
const everybody = (conf: ConfState): NodeId[] => [
  ...new Set([...conf.voters, ...conf.votersOutgoing, ...conf.learners, ...conf.learnersNext]),
];

/** See the top of the file. All methods throw `NotLeaderError` when this node does not lead the group. */
export class GroupOperator {
  private readonly options: GroupOperatorOptions;

  constructor(options: GroupOperatorOptions) {
    this.options = options;
  }

  /** Members as the leader knows them; addresses are filled in by whoever asks. */
  async members(group: GroupId): Promise<GroupMembers> {
    const raft = this.leading(group);
    const active = await this.heardFrom(raft, everybody(raft.status().conf));
    return membersOf(this.leading(group).status(), active);
  }

  /** @throws AdminError; ConfChangeRefusedError while another change is under way; OutcomeUnknownError */
  async addLearner(group: GroupId, node: NodeId, address: string, timeoutMs: Millis): Promise<MembershipResult> {
    // The other half is kept for the answer.
    const giveUpMs = this.options.clock.monotonicMs() + timeoutMs / 2;
    const raft = this.leading(group);
    const status = raft.status();
    const changed = suffrageOf(status.conf, node) === 'none';
    await raft.changeMembership([decideAddLearner(status, node)], encodeAddresses([[node, address]]));
    const note = await this.open(group, node, giveUpMs);
    const heard = await this.heardFrom(raft, raft.status().conf.voters);
    return { changed, group: membersOf(raft.status(), heard), note };
  }

  /** Every node knows the address by now; the new one may still be starting, or not be there at all. */
  private async open(group: GroupId, node: NodeId, giveUpMs: Millis): Promise<string> {
    const { clock } = this.options;
    for (;;) {
      try {
        await this.options.openReplicaOn(node, group, Math.max(SAMPLE_MS, giveUpMs - clock.monotonicMs()));
        return '';
      } catch (error) {
        if (clock.monotonicMs() + OPEN_RETRY_MS > giveUpMs) {
          const reason = error instanceof Error ? error.message : String(error);
          return `node ${node} did not open its replica of group ${group} yet (${reason}); start it and add it again`;
        }
      }
      await sleep(this.options.scheduler, OPEN_RETRY_MS);
    }
  }

  /** @throws AdminError; ConfChangeRefusedError while another change is under way; OutcomeUnknownError */
  async promote(group: GroupId, node: NodeId): Promise<MembershipResult> {
    const raft = this.leading(group);
    const heard = await this.heardFrom(raft, [node]);
    return this.change(raft, heard, (status) =>
      decidePromote(status, node, heard.has(node), this.options.maxPromoteLag),
    );
  }

  /** @throws AdminError; ConfChangeRefusedError while another change is under way; OutcomeUnknownError */
  async remove(group: GroupId, node: NodeId): Promise<MembershipResult> {
    const raft = this.leading(group);
    const active = await this.heardFrom(raft, raft.status().conf.voters);
    return this.change(raft, active, (status) => decideRemove(status, node, active));
  }

  /** @throws AdminError, TransferRefusedError */
  async transfer(group: GroupId, to: NodeId | undefined): Promise<TransferResult> {
    const raft = this.leading(group);
    const active = await this.heardFrom(raft, to === undefined ? raft.status().conf.voters : [to]);
    const status = this.leading(group).status();
    const from = status.nodeId;
    const successor = decideTransfer(status, to, active);
    if (successor === undefined) return { groupId: group, from, to: from, changed: false };
    // Raft hands over only to a node that it has just heard.
    await this.heardFrom(raft, [successor]);
    await raft.transferLeadership(successor);
    return { groupId: group, from, to: successor, changed: true };
  }

  /** Nothing may come between looking at the status and proposing. */
  private async change(
    raft: RaftGroup,
    heard: ReadonlySet<NodeId>,
    decide: (status: GroupStatus) => ReturnType<typeof decideRemove>,
  ): Promise<MembershipResult> {
    const step = decide(this.leading(raft.groupId).status());
    if (step !== undefined) await raft.changeMembership([step], Buffer.alloc(0));
    return { changed: step !== undefined, group: membersOf(raft.status(), heard), note: '' };
  }

  /** @throws NotLeaderError */
  assertLeads(group: GroupId): void {
    this.leading(group);
  }

  private leading(group: GroupId): RaftGroup {
    const raft = this.options.findGroup(group);
    if (raft === undefined) throw new NotLeaderError(undefined);
    const status = raft.status();
    if (status.role !== 'leader') throw new NotLeaderError(status.leader);
    return raft;
  }

  /** Which of `nodes` answered this leader lately, itself included; waits for those that have not, for as long as listening takes. */
  private async heardFrom(raft: RaftGroup, nodes: readonly NodeId[]): Promise<ReadonlySet<NodeId>> {
    const { clock, listenMs = LISTEN_MS } = this.options;
    const heard = new Set<NodeId>();
    const untilMs = clock.monotonicMs() + listenMs;
    for (;;) {
      const status = raft.status();
      heard.add(status.nodeId);
      for (const peer of status.progress) if (peer.recentlyActive) heard.add(peer.nodeId);
      if (status.role !== 'leader' || nodes.every((node) => heard.has(node))) return heard;
      // Nobody will ever hear of a node that is no member.
      if (nodes.some((node) => suffrageOf(status.conf, node) === 'none')) return heard;
      if (clock.monotonicMs() >= untilMs) return heard;
      await sleep(this.options.scheduler, SAMPLE_MS);
    }
  }
}

/** The members of a group from its leader's status. @param active who answered lately, beside those that the status names */
export function membersOf(status: GroupStatus, active: ReadonlySet<NodeId>): GroupMembers {
  const { conf } = status;
  const members = everybody(conf)
    .sort((left, right) => left - right)
    .map((node): Member => {
      const peer = status.progress.find((each) => each.nodeId === node);
      const isLeader = node === status.leader;
      return {
        nodeId: node,
        address: '',
        suffrage: suffrageOf(conf, node),
        isLeader,
        state: peer !== undefined && !isLeader ? peer.state : '',
        matchIndex: isLeader || peer === undefined ? status.lastIndex : peer.matchIndex,
        lagEntries: isLeader || peer === undefined ? 0 : lagOf(status, peer),
        isActive: isLeader || active.has(node) || peer?.recentlyActive === true,
      };
    });
  return {
    groupId: status.groupId,
    ...(status.leader === undefined ? {} : { leader: status.leader }),
    term: status.term,
    lastIndex: status.lastIndex,
    isJoint: conf.votersOutgoing.length > 0,
    members,
    problem: '',
  };
}
