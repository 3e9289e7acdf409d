/** What keeps a request from costing more than it is worth: time, hops, probes; and what a node that is cut off says. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import { decodeFrame, type ForwardRequest } from '../../src/kv/forward/forward-codec.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { startSkewedCluster } from '../sim/cluster/skewed-cluster.ts';
import { GROUP } from '../support/lone-group.ts';
import { OTHER_GROUP, ProxyCluster } from './proxy-cluster.ts';

/** Requests that are on the wire now. */
const requestsOn = (cluster: ProxyCluster): (ForwardRequest & { readonly to: number })[] =>
  cluster.wire.queue.flatMap(({ to, frame }) =>
    (decodeFrame(frame) ?? []).flatMap((message) => (message.kind === 'request' ? [{ ...message, to }] : [])),
  );

describe('a forwarded request', () => {
  test('has less time left each time that it is sent, never more than its client', () => {
    const cluster = new ProxyCluster();
    cluster.lead(2);
    cluster.node(2).proxy.onForward('echo', (_payload, answer) => answer(new NotLeaderError(undefined), undefined));
    const beganMs = cluster.clock.monotonicMs();
    const result = cluster.forward(1, 'x', 1000);
    const left: number[] = [];
    for (let ms = 0; ms < 1100; ms += 5) {
      cluster.scheduler.endTurn();
      for (const { remainingMs } of requestsOn(cluster)) {
        // It was written down in one of the last 5 ms.
        assert.ok(remainingMs <= 1000 - (cluster.clock.monotonicMs() - beganMs) + 5);
        assert.ok(remainingMs < (left.at(-1) ?? Number.POSITIVE_INFINITY));
        left.push(remainingMs);
      }
      cluster.wire.deliver();
      cluster.scheduler.advance(5);
    }
    assert.ok(left.length > 3, `it was sent ${left.length} times`);
    assert.equal((result.error as { code?: string }).code, 'LEADER_UNAVAILABLE');
  });

  test('is not sent on by a node that does not lead', () => {
    const cluster = new ProxyCluster();
    const ran = cluster.serveEcho();
    cluster.lead(3);
    cluster.node(1).belief.leader = 2;
    const result = cluster.forward(1);
    for (let ms = 0; ms < 500; ms += 5) {
      cluster.scheduler.endTurn();
      for (const { hops, to } of requestsOn(cluster)) {
        assert.equal(hops, 1);
        assert.notEqual(to, 1);
      }
      assert.ok(cluster.wire.queue.every(({ from, to, frame }) => from === 1 || to === 1 || frame.length === 0));
      cluster.wire.deliver();
      cluster.scheduler.advance(5);
    }
    assert.equal(result.reply, '3:x');
    assert.deepEqual(ran, ['3:x']);
  });

  test('is not given up by a node that has stood still itself before the answers that have come meanwhile are read', () => {
    const cluster = new ProxyCluster();
    cluster.serveEcho();
    cluster.lead(2);
    const [answered, lost] = [cluster.forward(1, 'x', 100), cluster.forward(1, 'y', 100)];
    cluster.scheduler.endTurn();
    cluster.wire.deliver();
    cluster.scheduler.endTurn();
    // Node 1 hears of nothing for so long, timers included.
    cluster.clock.advance(500);
    cluster.scheduler.advance(0);
    assert.ok(!answered.isDone);
    cluster.wire.deliver();
    cluster.scheduler.passTurn();
    assert.equal(answered.reply, '2:x');
    assert.equal(lost.reply, '2:y');
    const silent = cluster.forward(1, 'z', 100);
    cluster.scheduler.endTurn();
    cluster.clock.advance(500);
    cluster.scheduler.advance(0);
    cluster.scheduler.passTurn();
    assert.ok(silent.error instanceof Error);
  });

  test('that may take long is waited for beyond its deadline while the leader that has it leads on, and no longer', () => {
    const cluster = new ProxyCluster();
    cluster.lead(2);
    const answers: (() => void)[] = [];
    cluster.node(2).proxy.onForward('echo', (payload, answer) => answers.push(() => answer(undefined, payload)));
    const [long, lost, usual] = [
      cluster.forward(1, 'x', 300, GROUP, 10_000),
      cluster.forward(1, 'y', 300, GROUP, 10_000),
      cluster.forward(1, 'z', 300),
    ];
    cluster.pass(2_000);
    assert.deepEqual([long.isDone, lost.isDone, usual.isDone], [false, false, true]);
    answers[0]!();
    cluster.flow();
    assert.equal(long.reply, 'x');
    const bounded = cluster.forward(1, 'x', 300, GROUP, 1_000);
    cluster.pass(1_100);
    assert.equal((bounded.error as { code?: string }).code, 'OUTCOME_UNKNOWN');
    cluster.node(1).belief.term = 2;
    cluster.pass(50);
    assert.equal((lost.error as { code?: string }).code, 'OUTCOME_UNKNOWN');
  });

  test('that may take long finds the next leader when the one that had it for longer than its deadline is none any more', () => {
    const cluster = new ProxyCluster();
    cluster.lead(2);
    const answers: ((error: Error) => void)[] = [];
    cluster.node(2).proxy.onForward('echo', (_payload, answer) => answers.push((error) => answer(error, undefined)));
    cluster.node(3).proxy.onForward('echo', (payload, answer) => answer(undefined, payload));
    const result = cluster.forward(1, 'x', 300, GROUP, 10_000);
    cluster.pass(1_000);
    for (const id of [1, 2, 3]) cluster.node(id).belief.leader = undefined;
    answers[0]!(new NotLeaderError(undefined));
    cluster.pass(200);
    assert.equal(result.isDone, false);
    cluster.lead(3);
    cluster.pass(100);
    assert.equal(result.reply, 'x');
  });

  test('of one group is not held back by the leader of another that does not answer', () => {
    const cluster = new ProxyCluster();
    cluster.serveEcho();
    cluster.lead(2);
    cluster.node(2).proxy.onForward('echo', () => undefined);
    for (let at = 0; at < 10; at++) cluster.forward(1, 'x', 300);
    cluster.pass(400);
    assert.equal(cluster.node(1).proxy.stats().openBreakers, 1);
    const held = cluster.forward(1, 'x', 1000);
    const other = cluster.forward(1, 'y', 1000, OTHER_GROUP);
    cluster.flow();
    assert.equal(other.reply, '3:y');
    assert.equal(held.isDone, false);
  });

  test('is the only one that finds out whether a silent leader is back', () => {
    const cluster = new ProxyCluster();
    cluster.lead(2);
    cluster.node(2).proxy.onForward('echo', () => undefined);
    for (let at = 0; at < 10; at++) cluster.forward(1, 'x', 300);
    cluster.pass(310);
    for (let at = 0; at < 200; at++) cluster.forward(1, 'x', 20_000);
    let unanswered = 0;
    for (let ms = 0; ms < 5000; ms += 5) {
      cluster.scheduler.advance(5);
      cluster.scheduler.endTurn();
      unanswered += requestsOn(cluster).length;
      cluster.wire.deliver();
    }
    assert.equal(unanswered, 1, 'one probe, which its client waits for');
  });
});

const SPACE = KEYSPACES[0]!;
const TIMEOUT_MS = 2000;
const RETRYABLE = /^(CLUSTERDOWN|TRYAGAIN|UNKNOWN|LOADING|MASTERDOWN)/;

describe('a node that is cut off', () => {
  test('tells everybody in time to come again, with hardly a message, and other groups go on', async () => {
    const { simulation, fabric, nodes, until } = await startSkewedCluster(21, { commandTimeoutMs: TIMEOUT_MS });
    const run = <T>(work: Promise<T>): Promise<T> => simulation.runToEnd(work, 60_000);
    const names = Array.from({ length: 60 }, (_, at) => `key-${at}`);
    const ledBy = (name: string): number =>
      nodes.find(({ process }) => {
        const { kv } = process!.node;
        return kv.servesLocally(kv.groupOf(SPACE.storageKey(Buffer.from(name))));
      })!.id;
    const [cut, second] = nodes;
    const elsewhere = names.filter((name) => ledBy(name) !== cut!.id);
    const here = names.filter((name) => ledBy(name) === cut!.id);
    assert.ok(here.length > 5 && elsewhere.length > 5);
    const other = await run(second!.connect());
    for (const name of names) assert.equal(String(await run(other.command(['set', name, 'old']))), 'OK');

    fabric.partition(
      [cut!.id],
      nodes.slice(1).map(({ id }) => id),
    );
    const before = cut!.process!.node.kv.proxyStats();
    const slowest: number[] = [];
    // A connection each: what is pipelined waits for what is in front of it.
    const ask = async (args: readonly string[]): Promise<string> => {
      const client = await cut!.connect();
      const beganMs = simulation.nowMs();
      const reply = await client.command([...args]).then(String, (error: Error) => error.message);
      slowest.push(simulation.nowMs() - beganMs);
      return reply;
    };
    // Other groups, asked at another node, are not touched by what happens to this one.
    for (const name of elsewhere.slice(0, 10)) {
      const beganMs = simulation.nowMs();
      assert.equal(String(await run(other.command(['get', name]))), 'old');
      assert.ok(simulation.nowMs() - beganMs < 100);
    }
    const replies: Promise<string>[] = [];
    for (let round = 0; round < 100; round++) {
      replies.push(ask(['get', elsewhere[round % elsewhere.length]!]));
      replies.push(ask(['set', elsewhere[round % elsewhere.length]!, 'lost']));
      replies.push(ask(['get', here[round % here.length]!]));
      await simulation.runFor(20);
    }
    // Whoever leads those groups now has written them.
    await until('somebody else leads', () =>
      here.every((name) => {
        const { kv } = second!.process!.node;
        const group = kv.groupOf(SPACE.storageKey(Buffer.from(name)));
        return nodes.slice(1).some(({ process }) => process!.node.kv.servesLocally(group));
      }),
    );
    for (const name of here) assert.equal(String(await run(other.command(['set', name, 'new']))), 'OK');
    for (const name of here) replies.push(ask(['get', name]));
    const all = await run(Promise.all(replies));
    const late = all.slice(300);
    for (const reply of late) assert.match(reply, RETRYABLE, 'nothing old is read behind a cut');
    const failed = all.filter((reply) => RETRYABLE.test(reply));
    assert.ok(failed.length > 200, `${failed.length} failed: ${[...new Set(all)].join(' | ')}`);
    assert.deepEqual(
      all.filter((reply) => !RETRYABLE.test(reply) && reply !== 'old'),
      [],
    );
    assert.ok(Math.max(...slowest) < TIMEOUT_MS + 300, `the slowest took ${Math.max(...slowest)} ms`);
    const after = cut!.process!.node.kv.proxyStats();
    const messages = after.counters.messages - before.counters.messages;
    assert.ok(messages < failed.length / 2, `${messages} messages for ${failed.length} failed requests`);

    fabric.heal();
    await until('it is back', () => cut!.process!.node.readiness().ready);
    for (const name of here) {
      for (let reply = ''; reply !== 'new'; ) {
        reply = await run(ask(['get', name]));
        assert.notEqual(reply, 'old');
      }
    }
  });
});
