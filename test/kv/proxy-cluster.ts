/** Nodes with a proxy each, over a wire in memory. */
import assert from 'node:assert/strict';
import type { ProxyLimits } from '../../src/kv/forward/forward-types.ts';
import { LeaderProxy } from '../../src/kv/forward/proxy.ts';
import { groupId, nodeId, SeededRandom } from '../../src/platform/index.ts';
import { bytes, GROUP } from '../support/lone-group.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';
import { Wire } from '../support/wire.ts';

export const OTHER_GROUP = groupId(GROUP + 1);

/** Nodes that share a wire and believe what the test says about the leader. */
export class ProxyCluster {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly wire = new Wire();
  readonly nodes = new Map<number, ReturnType<ProxyCluster['add']>>();

  constructor(count = 3, limits: Partial<ProxyLimits> = {}, streamsAnswers = () => false) {
    for (let id = 1; id <= count; id++) this.nodes.set(id, this.add(id, limits, streamsAnswers));
  }

  private add(id: number, partial: Partial<ProxyLimits>, streamsAnswers: () => boolean) {
    const belief = { serving: false, leader: undefined as number | undefined, term: 1, hosts: true };
    const replica = {
      isServing: () => belief.serving,
      leader: () => (belief.leader === undefined ? undefined : { nodeId: nodeId(belief.leader), term: belief.term }),
    };
    // Another group, which node 3 always leads.
    const other = { isServing: () => id === 3, leader: () => ({ nodeId: nodeId(3), term: 1 }) };
    const directory = {
      replica: (group: number) =>
        group === GROUP && belief.hosts ? replica : group === OTHER_GROUP ? other : undefined,
      members: (group: number) => (group === GROUP ? [nodeId(2), nodeId(3)] : []),
    };
    const { clock, scheduler } = this;
    const network = this.wire.end(id);
    const random = new SeededRandom(id);
    const limits = { gatherTurns: 0, ...partial };
    const proxy = new LeaderProxy({ network, directory, clock, scheduler, random, limits, streamsAnswers });
    return { belief, proxy };
  }

  node(id: number) {
    return this.nodes.get(id)!;
  }

  lead(leader: number): void {
    for (const [id, { belief }] of this.nodes) {
      belief.serving = id === leader;
      belief.leader = leader;
    }
  }

  /** Lets everything that can happen now happen. */
  flow(): void {
    for (let round = 0; round < 10; round++) {
      this.scheduler.endTurn();
      this.wire.deliver();
    }
  }

  pass(ms: number): void {
    for (let at = 0; at < ms; at += 5) {
      this.scheduler.advance(5);
      this.flow();
    }
  }

  forward(from: number, payload = 'x', timeoutMs = 1000, group = GROUP, workMs = timeoutMs) {
    const result = { calls: [] as [Error | undefined, string | undefined][] };
    this.node(from).proxy.forward(
      group,
      'echo',
      bytes(payload),
      this.clock.monotonicMs() + timeoutMs,
      (error, reply) => {
        result.calls.push([error, reply?.toString('latin1')]);
      },
      this.clock.monotonicMs() + workMs,
    );
    return {
      get isDone() {
        return result.calls.length > 0;
      },
      get reply() {
        assert.equal(result.calls.length, 1);
        if (result.calls[0]![0] !== undefined) throw result.calls[0]![0];
        return result.calls[0]![1];
      },
      get error() {
        assert.equal(result.calls.length, 1);
        return result.calls[0]![0];
      },
    };
  }

  /** Handlers that note what they ran and answer with who they are. */
  serveEcho(): string[] {
    const ran: string[] = [];
    for (const [id, { proxy }] of this.nodes) {
      proxy.onForward('echo', (payload, answer) => {
        ran.push(`${id}:${payload.toString('latin1')}`);
        answer(undefined, bytes(`${id}:${payload.toString('latin1')}`));
      });
    }
    return ran;
  }
}
