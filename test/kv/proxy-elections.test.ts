import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GROUP } from '../support/lone-group.ts';
import { ProxyCluster } from './proxy-cluster.ts';

/** What nodes hear of an election, without time passing. */
function hears(cluster: ProxyCluster, id: number, leader: number | undefined, serving = false): void {
  const { belief, proxy } = cluster.node(id);
  belief.leader = leader;
  belief.serving = serving;
  belief.term = 2;
  proxy.leaderChanged(GROUP);
  cluster.flow();
}

describe('a request that meets an election', () => {
  test('goes on in the turn in which its node hears who leads', () => {
    const cluster = new ProxyCluster();
    cluster.serveEcho();
    const result = cluster.forward(1);
    cluster.flow();
    assert.equal(result.isDone, false);
    hears(cluster, 3, 3, true);
    hears(cluster, 1, 3);
    assert.equal(result.reply, '3:x');
  });

  test('pauses after a refusal no longer than until another leader is known', () => {
    const cluster = new ProxyCluster();
    cluster.serveEcho();
    cluster.lead(2);
    // Node 2 has just been deposed, and knows nobody.
    hears(cluster, 2, undefined);
    const result = cluster.forward(1);
    cluster.flow();
    assert.equal(result.isDone, false);
    hears(cluster, 1, undefined);
    hears(cluster, 3, 3, true);
    assert.equal(result.isDone, false);
    hears(cluster, 1, 3);
    assert.equal(result.reply, '3:x');
  });

  test('is kept by a leader that does not serve yet, and run in order before what comes later', () => {
    const cluster = new ProxyCluster();
    const ran = cluster.serveEcho();
    hears(cluster, 3, 3);
    hears(cluster, 1, 3);
    const early = [cluster.forward(1, 'a'), cluster.forward(2, 'b')];
    hears(cluster, 2, 3);
    assert.ok(early.every(({ isDone }) => !isDone));
    assert.equal(cluster.node(3).proxy.stats().counters.received.notLeader, 0);
    cluster.node(3).belief.serving = true;
    const late = cluster.forward(1, 'c');
    cluster.flow();
    assert.deepEqual(
      [...early, late].map(({ reply }) => reply),
      ['3:a', '3:b', '3:c'],
    );
    assert.deepEqual(ran, ['3:a', '3:b', '3:c']);
  });

  test('comes back from a leader that is deposed before it serves', () => {
    const cluster = new ProxyCluster();
    cluster.serveEcho();
    hears(cluster, 3, 3);
    hears(cluster, 1, 3);
    const result = cluster.forward(1);
    cluster.flow();
    hears(cluster, 2, 2, true);
    hears(cluster, 3, 2);
    hears(cluster, 1, 2);
    assert.equal(result.reply, '2:x');
  });

  test('is not run by a leader that begins to serve when its client is gone', () => {
    const cluster = new ProxyCluster();
    const ran = cluster.serveEcho();
    hears(cluster, 3, 3);
    hears(cluster, 1, 3);
    const result = cluster.forward(1, 'x', 300);
    cluster.pass(350);
    assert.equal(result.error?.name, 'OutcomeUnknownError');
    hears(cluster, 3, 3, true);
    assert.deepEqual(ran, []);
  });
});
