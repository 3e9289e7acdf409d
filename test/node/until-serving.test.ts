import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { untilServing } from '../../src/node/readiness.ts';
import { groupId, nodeId } from '../../src/platform/index.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

type Facts = ReturnType<Parameters<typeof untilServing>[0]>;

/** A node that starts, with one replica. */
class StartingNode {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly hurry = new AbortController();
  routesVersion = 0;
  leader: number | undefined;
  unknownToClients: string | undefined;
  isRefused = false;
  isSettled = false;

  wait(): void {
    const facts = () =>
      ({
        self: nodeId(1),
        routes: { current: { version: this.routesVersion } },
        clusterState: undefined,
        host: { all: () => [{ groupId: groupId(1), raft: { leader: () => this.leader } }] },
        standing: { isOver: this.isRefused },
        unknownToClients: this.unknownToClients,
      }) as unknown as Facts;
    void untilServing(facts, this.clock, this.scheduler, this.hurry.signal).then(() => {
      this.isSettled = true;
    });
  }

  async pass(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += 10) {
      this.scheduler.advance(10);
      await Promise.resolve();
      await Promise.resolve();
    }
  }
}

describe('a node that starts takes clients', () => {
  test('when it knows who owns what, who leads each of its groups, and who may come in', async () => {
    const node = new StartingNode();
    node.unknownToClients = 'who may come in is not known yet';
    node.wait();
    await node.pass(100);
    node.leader = 2;
    await node.pass(100);
    node.leader = undefined;
    node.routesVersion = 1;
    await node.pass(100);
    assert.equal(node.isSettled, false);
    node.leader = 2;
    await node.pass(100);
    assert.equal(node.isSettled, false);
    node.unknownToClients = undefined;
    await node.pass(20);
    assert.equal(node.isSettled, true);
  });

  test('after some seconds in any case, so that they hear why', async () => {
    const node = new StartingNode();
    node.wait();
    await node.pass(4_900);
    assert.equal(node.isSettled, false);
    await node.pass(200);
    assert.equal(node.isSettled, true);
  });

  test('at once when it has no place in the cluster, or is to stop', async () => {
    const refused = new StartingNode();
    refused.wait();
    refused.isRefused = true;
    await refused.pass(20);
    assert.equal(refused.isSettled, true);
    const stopped = new StartingNode();
    stopped.wait();
    stopped.hurry.abort();
    await stopped.pass(10);
    assert.equal(stopped.isSettled, true);
  });
});
