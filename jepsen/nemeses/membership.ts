/**
 * Members that come and go all the time, and disks that are lost for good: nodes are taken out of groups, taken in as learners
 * and promoted, and whole nodes are replaced by empty ones under the same id. Everything goes through what operators use. A node
 * that comes in empty gets a snapshot, since nobody keeps the log from its beginning.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminCalls } from '../../src/adapter/grpc/index.ts';
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';
import { Operator } from './operator.ts';
import { Orders, ordersOf } from './orders.ts';

/** In calm all nodes must have their votes back within this. */
const REPAIR_TIMEOUT_MS = 45_000;
const REPAIR_PAUSE_MS = 200;
/** Every so many orders is the replacement of a whole node. */
const REPLACE_SHARE = 0.15;

/** Churns until it is stopped, and counts how its orders were taken. */
class Churn extends Orders {
  private readonly operator = new Operator(this.cluster);
  /** A node that was emptied and has not been replaced yet. */
  private emptied: NodeNumber | undefined;

  /** Gives every node its votes back. */
  protected override async repair(): Promise<void> {
    for (const node of this.cluster.nodes) if (!this.cluster.isRunning(node)) await this.cluster.start(node);
    await repair(this.cluster, this.emptied);
  }

  protected async order(): Promise<string> {
    const { random, cluster, operator, emptied } = this;
    if (emptied !== undefined) {
      const { stage } = await operator.call('Replace', replacing(cluster, emptied), emptied);
      if (stage !== 'DONE') return `replacement ${stage}`;
      this.emptied = undefined;
      return 'replaced';
    }
    const all = await operator.members();
    const groups = all.filter(({ problem }) => problem === '');
    // A disk may go only where the others are a majority without it.
    const isWhole = all.every(
      ({ members, problem }) =>
        problem === '' && members.filter(({ suffrage }) => suffrage === 'voter').length === cluster.nodes.length,
    );
    if (isWhole && random.next() < REPLACE_SHARE) {
      const node = cluster.nodes[random.int(cluster.nodes.length)]!;
      await cluster.empty(node);
      this.emptied = node;
      return 'emptied';
    }
    const group = groups[random.int(groups.length)];
    if (group === undefined) return 'no leaders';
    const node = cluster.nodes[random.int(cluster.nodes.length)]!;
    const request = { groupId: group.groupId, nodeId: node };
    switch (group.members.find(({ nodeId }) => nodeId === node)?.suffrage) {
      case undefined:
        await operator.call('AddLearner', { ...request, address: '' });
        return 'learners';
      case 'learner':
        await operator.call('Promote', request);
        return 'promotions';
      default:
        await operator.call('Remove', request);
        return 'removals';
    }
  }
}

const replacing = (cluster: TestCluster, node: NodeNumber): AdminCalls['Replace'][0] => ({
  dead: node,
  successor: node,
  address: cluster.peerAddress(node),
  mayAnswer: false,
  isDryRun: false,
});

/** Finishes a replacement and gives every node a vote in every group. @throws when it does not work out in time */
async function repair(cluster: TestCluster, emptied: NodeNumber | undefined): Promise<void> {
  const operator = new Operator(cluster);
  const untilMs = performance.now() + REPAIR_TIMEOUT_MS;
  let isReplaced = emptied === undefined;
  for (;;) {
    let problem: unknown;
    try {
      if (!isReplaced) {
        isReplaced = (await operator.call('Replace', replacing(cluster, emptied!), emptied)).stage === 'DONE';
      } else {
        problem = await missingAfterStep(cluster, operator);
        if (problem === undefined) return;
      }
    } catch (error) {
      problem = error;
    }
    // Nodes that gave up are a finding of their own, and nothing to be repaired.
    if (cluster.findings().length > 0) return;
    if (performance.now() > untilMs) throw new Error(`the memberships were not repaired in time: ${String(problem)}`);
    await sleep(REPAIR_PAUSE_MS);
  }
}

/** Orders whatever takes every node one step on towards its vote. @returns what was missing, undefined when nothing was */
async function missingAfterStep(cluster: TestCluster, operator: Operator): Promise<string | undefined> {
  const groups = await operator.members();
  const missing: string[] = [];
  for (const { groupId, members, problem } of groups) {
    for (const node of cluster.nodes) {
      const suffrage = members.find(({ nodeId }) => nodeId === node)?.suffrage;
      if (suffrage === 'voter' && problem === '') continue;
      const request = { groupId, nodeId: node };
      const step =
        suffrage === undefined
          ? operator.call('AddLearner', { ...request, address: '' })
          : operator.call('Promote', request);
      // What is refused now is asked again.
      const refusal = await step.then(() => '', String);
      missing.push(`node ${node} is ${suffrage ?? 'no member'} of group ${groupId}; ${problem} ${refusal}`);
    }
  }
  return missing.length === 0 ? undefined : missing.join(', ');
}

export const membershipChurn: Nemesis = ordersOf(
  'membership-churn',
  'removes, adds and promotes members, and replaces whole nodes by empty ones, all the time',
  (cluster, random) => new Churn(cluster, random),
);

/** So long one follower hears nothing, and falls behind. */
const LAG_MS = 800;
const emptiedNodes = new WeakMap<TestCluster, NodeNumber>();

export const membershipEmptyVoter: Nemesis = {
  name: 'membership-empty-voter',
  description:
    'a voter loses its disk and the leader dies while the third node is behind: only the leader has everything',
  async inject(cluster, random) {
    const leader = (await cluster.leader()) ?? cluster.nodes[random.int(cluster.nodes.length)]!;
    const others = cluster.nodes.filter((node) => node !== leader);
    const behind = others[random.int(others.length)]!;
    const emptied = others.find((node) => node !== behind)!;
    cluster.setLink(leader, behind, { cut: true });
    await sleep(LAG_MS);
    // The cut stays: what was said into it would arrive late, and the one behind would not be behind.
    await cluster.kill(leader);
    await cluster.empty(emptied);
    emptiedNodes.set(cluster, emptied);
    return { emptied, killed: leader, behind };
  },
  async heal(cluster) {
    const emptied = emptiedNodes.get(cluster);
    emptiedNodes.delete(cluster);
    cluster.healLinks();
    for (const node of cluster.nodes) if (!cluster.isRunning(node)) await cluster.start(node);
    if (emptied !== undefined) await repair(cluster, emptied);
    return undefined;
  },
};
