/**
 * Members that come and go all the time, and disks that are lost for good: nodes are taken out of groups, taken in as learners
 * and promoted, and whole nodes are replaced by empty ones under the same id. Everything goes through what operators use. A node
 * that comes in empty gets a snapshot, since nobody keeps the log from its beginning.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminCallError, type AdminCalls, AdminClient } from '../../src/adapter/grpc/index.ts';
import type { GroupMembers } from '../../src/kv/index.ts';
import type { Random } from '../../src/platform/index.ts';
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';

/** Between one order and the next. */
const GAP_MS = { least: 50, most: 400 };
const CALL_TIMEOUT_MS = 3_000;
/** In calm all nodes must have their votes back within this. */
const REPAIR_TIMEOUT_MS = 45_000;
const REPAIR_PAUSE_MS = 200;
/** Every so many orders is the replacement of a whole node. */
const REPLACE_SHARE = 0.15;

/** Orders to whichever node takes them. */
class Operator {
  private readonly cluster: TestCluster;

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
  }

  /** @throws AdminCallError of the last node that was asked */
  async call<Name extends keyof AdminCalls>(
    name: Name,
    request: AdminCalls[Name][0],
    not?: NodeNumber,
  ): Promise<AdminCalls[Name][1]> {
    let last: unknown = new Error('no node runs');
    for (const node of this.cluster.nodes) {
      if (node === not || !this.cluster.isRunning(node)) continue;
      const client = new AdminClient(this.cluster.adminAddress(node));
      try {
        return await client.call(name, request, CALL_TIMEOUT_MS);
      } catch (error) {
        last = error;
        // A refusal is an answer.
        if (error instanceof AdminCallError && error.code !== undefined && !/^(?:NO_ROUTES|STOPPED)$/.test(error.code))
          break;
      } finally {
        client.close();
      }
    }
    throw last;
  }

  /** Membership of every group that has a leader. */
  async groups(): Promise<readonly GroupMembers[]> {
    const { groups } = await this.call('Members', { groups: [] });
    return groups.filter(({ problem }) => problem === '');
  }
}

/** Churns until it is stopped, and counts how its orders were taken. */
class Churn {
  private readonly cluster: TestCluster;
  private readonly random: Random;
  private readonly operator: Operator;
  private readonly counts = new Map<string, number>();
  private readonly over = new AbortController();
  private readonly loop: Promise<void>;
  /** A node that was emptied and has not been replaced yet. */
  private emptied: NodeNumber | undefined;

  constructor(cluster: TestCluster, random: Random) {
    this.cluster = cluster;
    this.random = random;
    this.operator = new Operator(cluster);
    this.loop = this.run();
  }

  /** Ends the churn and gives every node its votes back. @throws when that does not work out in calm */
  async stop(): Promise<unknown> {
    this.over.abort();
    await this.loop;
    for (const node of this.cluster.nodes) if (!this.cluster.isRunning(node)) await this.cluster.start(node);
    await repair(this.cluster, this.emptied);
    return Object.fromEntries([...this.counts].sort());
  }

  private async run(): Promise<void> {
    const { signal } = this.over;
    while (!signal.aborted) {
      await sleep(GAP_MS.least + this.random.next() * (GAP_MS.most - GAP_MS.least), undefined, { signal }).catch(
        () => undefined,
      );
      if (signal.aborted) return;
      try {
        this.count(await this.order());
      } catch (error) {
        this.count(`refused: ${(error as { code?: string }).code ?? 'no answer'}`);
      }
    }
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  private async order(): Promise<string> {
    const { random, cluster, operator, emptied } = this;
    if (emptied !== undefined) {
      const { stage } = await operator.call('Replace', replacing(cluster, emptied), emptied);
      if (stage !== 'DONE') return `replacement ${stage}`;
      this.emptied = undefined;
      return 'replaced';
    }
    const groups = await operator.groups();
    const isWhole = groups.every(({ members }) => members.length === cluster.nodes.length);
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
    let problem: unknown = 'members are missing';
    try {
      if (!isReplaced) {
        isReplaced = (await operator.call('Replace', replacing(cluster, emptied!), emptied)).stage === 'DONE';
      } else if (await isWholeAfterStep(cluster, operator)) return;
    } catch (error) {
      problem = error;
    }
    // Nodes that gave up are a finding of their own, and nothing to be repaired.
    if (cluster.endedByThemselves().length > 0) return;
    if (performance.now() > untilMs) throw new Error(`the memberships were not repaired in time: ${String(problem)}`);
    await sleep(REPAIR_PAUSE_MS);
  }
}

async function isWholeAfterStep(cluster: TestCluster, operator: Operator): Promise<boolean> {
  const { groups } = await operator.call('Members', { groups: [] });
  let isWhole = true;
  for (const { groupId, members, problem } of groups) {
    for (const node of cluster.nodes) {
      const suffrage = members.find(({ nodeId }) => nodeId === node)?.suffrage;
      if (suffrage === 'voter' && problem === '') continue;
      isWhole = false;
      const request = { groupId, nodeId: node };
      // What is refused now is asked again.
      const step =
        suffrage === undefined
          ? operator.call('AddLearner', { ...request, address: '' })
          : operator.call('Promote', request);
      await step.catch(() => undefined);
    }
  }
  return isWhole;
}

const churns = new WeakMap<TestCluster, Churn>();

export const membershipChurn: Nemesis = {
  name: 'membership-churn',
  description: 'removes, adds and promotes members, and replaces whole nodes by empty ones, all the time',
  async inject(cluster, random) {
    churns.set(cluster, new Churn(cluster, random));
    return 'begun';
  },
  async heal(cluster) {
    const churn = churns.get(cluster);
    churns.delete(cluster);
    return churn?.stop();
  },
};

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
