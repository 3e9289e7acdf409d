/** The leader proxy where the leader is hard to find or does not answer. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LeaderUnavailableError } from '../../src/kv/contract/errors.ts';
import { decodeFrame } from '../../src/kv/forward/forward-codec.ts';
import { nodeId } from '../../src/platform/index.ts';
import { BusyError, OutcomeUnknownError } from '../../src/raftengine/errors.ts';
import { GROUP } from '../support/lone-group.ts';
import { ProxyCluster as Cluster } from './proxy-cluster.ts';

describe('the leader proxy', () => {
  describe('at a node that has no replica of the group', () => {
    const outsider = () => {
      const cluster = new Cluster();
      cluster.node(1).belief.hosts = false;
      return cluster;
    };

    test('asks the members and remembers who answered', () => {
      const cluster = outsider();
      cluster.serveEcho();
      cluster.lead(3);
      const first = cluster.forward(1);
      cluster.flow();
      assert.equal(first.reply, '3:x', 'node 2 named node 3');
      const before = cluster.wire.frames;
      const second = cluster.forward(1);
      cluster.flow();
      assert.equal(second.reply, '3:x');
      assert.equal(cluster.wire.frames - before, 2, 'the leader is asked at once');
      assert.equal(cluster.node(1).proxy.leaderOf(GROUP), nodeId(3));
    });

    test('says who leads for a second after it was served there, and not when it only heard of somebody', () => {
      const cluster = outsider();
      cluster.serveEcho();
      cluster.lead(3);
      const says = () => cluster.node(1).proxy.witnessedLeaderOf(GROUP);
      assert.equal(says(), undefined);
      cluster.forward(1);
      cluster.flow();
      assert.equal(says(), nodeId(3));
      cluster.pass(1_100);
      assert.deepEqual([says(), cluster.node(1).proxy.leaderOf(GROUP)], [undefined, nodeId(3)]);
      assert.equal(cluster.node(2).proxy.witnessedLeaderOf(GROUP), nodeId(3), 'a replica follows its leader');
    });

    test('goes round the members while none of them knows a leader', () => {
      const cluster = outsider();
      const ran = cluster.serveEcho();
      const waiting = cluster.forward(1);
      cluster.pass(200);
      assert.ok(!waiting.isDone);
      cluster.node(3).belief.serving = true;
      cluster.pass(600);
      assert.equal(waiting.reply, '3:x');
      assert.deepEqual(ran, ['3:x']);
    });

    test('finds another member when the one it knew is gone', () => {
      const cluster = outsider();
      cluster.serveEcho();
      cluster.lead(3);
      cluster.forward(1);
      cluster.flow();
      cluster.wire.cut(1, 3);
      cluster.lead(2);
      const result = cluster.forward(1);
      cluster.pass(500);
      assert.equal(result.reply, '2:x');
    });
  });

  describe('at a node whose replica was taken out without being told', () => {
    /** Node 1 hears of no leader any more; node 3 leads the others. */
    const deserted = () => {
      const cluster = new Cluster();
      cluster.serveEcho();
      cluster.lead(3);
      cluster.node(1).belief.leader = undefined;
      return cluster;
    };

    test('asks the others when it has known no leader for longer than elections take', () => {
      const cluster = deserted();
      const early = cluster.forward(1, 'early', 1000);
      cluster.pass(1100);
      assert.ok(early.error instanceof LeaderUnavailableError, 'for all it knows there is an election');
      assert.equal(cluster.wire.frames, 0);
      const late = cluster.forward(1, 'late', 2000);
      cluster.pass(1500);
      assert.equal(late.reply, '3:late', 'node 2 named node 3');
      const before = cluster.wire.frames;
      const next = cluster.forward(1, 'next');
      cluster.flow();
      assert.equal(next.reply, '3:next');
      assert.equal(cluster.wire.frames - before, 2, 'who answered is asked at once');
    });

    test('believes its own replica as soon as that knows a leader again', () => {
      const cluster = deserted();
      const first = cluster.forward(1, 'x', 4000);
      cluster.pass(3000);
      assert.equal(first.reply, '3:x');
      cluster.lead(2);
      const second = cluster.forward(1);
      cluster.flow();
      assert.equal(second.reply, '2:x');
      cluster.node(1).belief.leader = undefined;
      const third = cluster.forward(1, 'x', 1000);
      cluster.pass(1100);
      assert.ok(third.error instanceof LeaderUnavailableError, 'another election');
    });
  });

  describe('with a leader that does not answer', () => {
    const CALLERS = 1000;
    /** Node 2 takes everything and answers nothing. */
    const blackHole = () => {
      const cluster = new Cluster();
      cluster.lead(2);
      cluster.node(2).proxy.onForward('echo', () => undefined);
      return cluster;
    };
    const requestsOf = (cluster: Cluster): number =>
      cluster.wire.queue.reduce((sum, { frame }) => sum + (decodeFrame(frame)?.length ?? 0), 0);

    test('tells a thousand callers so in time, with few messages', () => {
      const cluster = blackHole();
      const sent = Array.from({ length: CALLERS }, () => cluster.forward(1, 'x', 1000));
      cluster.pass(1100);
      for (const { error } of sent) assert.ok(error instanceof OutcomeUnknownError, 'these were sent');
      assert.equal(cluster.node(1).proxy.stats().openBreakers, 1);

      let messages = 0;
      const held: ReturnType<Cluster['forward']>[] = [];
      for (let wave = 0; wave < 10; wave++) {
        for (let at = 0; at < CALLERS / 10; at++) held.push(cluster.forward(1, 'x', 1000));
        for (let ms = 0; ms < 100; ms += 5) {
          cluster.scheduler.advance(5);
          cluster.scheduler.endTurn();
          messages += requestsOf(cluster);
          cluster.wire.deliver();
        }
      }
      cluster.pass(1100);
      const refused = held.filter(({ error }) => error instanceof LeaderUnavailableError).length;
      const unknown = held.filter(({ error }) => error instanceof OutcomeUnknownError).length;
      assert.equal(refused + unknown, CALLERS, 'everybody was told');
      assert.ok(unknown <= 5, `${unknown} of them were sent`);
      assert.ok(messages <= 5, `${messages} messages for ${CALLERS} requests`);
    });

    test('lets everybody through as soon as a probe is answered', () => {
      const cluster = blackHole();
      for (let at = 0; at < 5; at++) cluster.forward(1, 'x', 300);
      cluster.pass(310);
      cluster.serveEcho();
      const results = Array.from({ length: 50 }, () => cluster.forward(1, 'x', 2000));
      cluster.pass(200);
      for (const { reply } of results) assert.equal(reply, '2:x');
      assert.equal(cluster.node(1).proxy.stats().openBreakers, 0);
    });

    test('goes to a new leader at once', () => {
      const cluster = blackHole();
      for (let at = 0; at < 5; at++) cluster.forward(1, 'x', 300);
      cluster.pass(310);
      cluster.serveEcho();
      const result = cluster.forward(1, 'x', 2000);
      cluster.flow();
      cluster.lead(3);
      for (const { belief } of cluster.nodes.values()) belief.term = 2;
      cluster.pass(50);
      assert.equal(result.reply, '3:x');
    });
  });

  test('sends few requests again to a leader that refuses them all', () => {
    const cluster = new Cluster();
    cluster.lead(2);
    let calls = 0;
    cluster.node(2).proxy.onForward('echo', (_payload, answer) => {
      calls++;
      answer(new BusyError('full'), undefined);
    });
    const results = Array.from({ length: 1000 }, () => cluster.forward(1, 'x', 2000));
    cluster.pass(2100);
    for (const { error } of results) assert.ok(error instanceof BusyError);
    assert.ok(calls < 1300, `${calls} messages for 1000 requests`);
    assert.ok(cluster.node(1).proxy.stats().overBudget > 0);
  });
});
