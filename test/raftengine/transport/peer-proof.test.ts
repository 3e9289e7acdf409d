import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { createGrpcNetwork, type GrpcNetwork } from '../../../src/raftengine/transport/grpc-network.ts';
import {
  answerTo,
  checkCallee,
  checkCaller,
  introduce,
  type OwnIdentity,
} from '../../../src/raftengine/transport/peer-protocol.ts';
import { ClusterSecret } from '../../../src/security/index.ts';
import { bookInMemory } from '../../support/kept-peers.ts';
import { until } from '../../support/until.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvorum-secret-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const RIGHT = '0123456789abcdef0123456789abcdef';
const WRONG = 'f'.repeat(32);
let files = 0;
async function secretOf(text: string, isRequired = true): Promise<ClusterSecret> {
  const path = join(folder, `secret-${++files}`);
  writeFileSync(path, `${text}\n`);
  return (await ClusterSecret.open(path, isRequired))!;
}

const identity = (id: number, secret?: ClusterSecret): OwnIdentity => ({
  clusterName: 'orders',
  nodeId: nodeId(id),
  incarnation: `a${id}`,
  removed: id === 1 ? ['b1', 'b2'] : [],
  life: `c${id}`,
  secret,
});

describe('an introduction', () => {
  test('carries a proof whose bytes other releases know, one for each side', async () => {
    const secret = await secretOf(RIGHT);
    const call = introduce(identity(1, secret), nodeId(2));
    assert.deepEqual(call.get('kvorum-proof'), ['2e951774392fb01cb2e31c192acbd758997173dfebcdbbcfd416a25dbe8b2785']);
    assert.deepEqual(answerTo(call, identity(2, secret)).get('kvorum-proof'), [
      '55d3db2c60677f38e90bdd537b4b88271c1ab0a45590be896f584e666f120acc',
    ]);
    assert.deepEqual(introduce(identity(1), nodeId(2)).get('kvorum-proof'), [], 'nothing without a secret');
  });

  test('is taken by both sides when the secret is the same', async () => {
    const [caller, callee] = [identity(1, await secretOf(RIGHT)), identity(2, await secretOf(RIGHT))];
    const call = introduce(caller, nodeId(2));
    assert.equal(checkCaller(call, callee).nodeId, 1);
    assert.equal(checkCallee(answerTo(call, callee), caller).nodeId, 2);
  });

  test('is refused without a proof, with that of others, and with one that was overheard elsewhere', async () => {
    const secret = await secretOf(RIGHT);
    const [caller, callee] = [identity(1, secret), identity(2, secret)];
    const call = introduce(caller, nodeId(2));
    const answer = answerTo(call, callee);
    const code = 'PEER_REFUSED';
    assert.throws(() => checkCaller(introduce(identity(1), nodeId(2)), callee), {
      code,
      message: /^node 1 does not prove that it has the secret.*grpc\.secretFile.*grpc\.secretOptional.*0\.1\.0/,
    });
    const foreign = await secretOf(WRONG);
    assert.throws(() => checkCaller(introduce(identity(1, foreign), nodeId(2)), callee), {
      code,
      message: /^the secret of node 1 is none of those in grpc\.secretFile/,
    });
    // Towards another node, from another one, of another process, as an answer.
    const stolen = (at: 'kvorum-node' | 'kvorum-life' | 'kvorum-incarnation', value: string) => {
      const changed = call.clone();
      changed.set(at, value);
      return () => checkCaller(changed, callee);
    };
    const towards3 = introduce(caller, nodeId(3));
    towards3.set('kvorum-target', '2');
    for (const attempt of [
      stolen('kvorum-node', '3'),
      stolen('kvorum-life', 'd1'),
      stolen('kvorum-incarnation', 'z1'),
      () => checkCaller(towards3, callee),
      () => checkCallee(answer, { ...caller, life: 'another process' }),
      () => checkCallee(call, identity(2, secret)),
    ]) {
      assert.throws(attempt, { code });
    }
  });

  test('may do without while the secret is optional, but is never taken with a wrong one', async () => {
    const callee = identity(2, await secretOf(RIGHT, false));
    assert.equal(checkCaller(introduce(identity(1), nodeId(2)), callee).nodeId, 1);
    const wrong = introduce(identity(1, await secretOf(WRONG, false)), nodeId(2));
    assert.throws(() => checkCaller(wrong, callee), { code: 'PEER_REFUSED' });
    // A node that has none yet does not look at proofs.
    assert.equal(checkCaller(introduce(identity(1, await secretOf(WRONG)), nodeId(2)), identity(2)).nodeId, 1);
  });
});

describe('two nodes on a network where strangers are', () => {
  const makePeer = async (id: number, secret?: ClusterSecret) => {
    const frames: string[] = [];
    const streams: string[] = [];
    const refusals: string[] = [];
    const network: GrpcNetwork = createGrpcNetwork({
      self: nodeId(id),
      clusterName: 'orders',
      admission: bookInMemory(id),
      listen: { host: '127.0.0.1', port: 0 },
      clock: new SystemClock(),
      random: new SystemRandom(),
      scheduler: new SystemScheduler(),
      secret,
    });
    network.onFrame('control', (from, frame) => frames.push(`${from}: ${frame}`));
    network.onStream('copy', async (from, header, rest) => {
      streams.push(`${from}: ${header}`);
      for await (const frame of rest) streams.push(`${from}: ${frame}`);
      return Buffer.from('taken');
    });
    network.onRefused(({ message }) => refusals.push(message));
    await network.start();
    return { network, frames, streams, refusals };
  };
  type Peer = Awaited<ReturnType<typeof makePeer>>;
  const meet = (a: Peer, b: Peer): void => {
    a.network.setPeer(b.network.self, `127.0.0.1:${b.network.port}`);
    b.network.setPeer(a.network.self, `127.0.0.1:${a.network.port}`);
  };
  async function* bytes(text: string) {
    yield Buffer.from(text);
  }
  const copy = (from: Peer, to: Peer): Promise<Buffer> =>
    from.network.stream(to.network.self, 'copy', Buffer.from('everything'), bytes('secrets of users'));
  const within = async (peers: readonly Peer[], work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } finally {
      await Promise.all(peers.map(({ network }) => network.stop()));
    }
  };

  test('speak to each other when they have the secret', async () => {
    const [a, b] = [await makePeer(1, await secretOf(RIGHT)), await makePeer(2, await secretOf(RIGHT))];
    await within([a, b], async () => {
      meet(a, b);
      await until('they know each other', () => a.network.isConnected(nodeId(2)) && b.network.isConnected(nodeId(1)));
      a.network.send(nodeId(2), 'control', Buffer.from('vote'));
      await until('a frame arrives', () => b.frames.includes('1: vote'));
      assert.equal(String(await copy(a, b)), 'taken');
      assert.deepEqual(b.streams, ['1: everything', '1: secrets of users']);
    });
  });

  test('hear nothing from one who has not, and send it nothing', async () => {
    const [a, stranger] = [await makePeer(1, await secretOf(RIGHT)), await makePeer(2)];
    await within([a, stranger], async () => {
      meet(a, stranger);
      await until('the stranger hears why', () => stranger.refusals.some((text) => /does not prove/.test(text)));
      // The stranger takes everybody, and is left with nothing.
      await assert.rejects(copy(a, stranger), { code: 'PEER_REFUSED' });
      assert.deepEqual([stranger.streams, stranger.frames, a.frames], [[], [], []]);
      assert.equal(a.network.isConnected(nodeId(2)), false);
      assert.equal(a.network.send(nodeId(2), 'control', Buffer.from('vote')), false);
    });
  });

  test('go on while the secret is brought to one after another', async () => {
    const [a, old] = [await makePeer(1, await secretOf(RIGHT, false)), await makePeer(2)];
    await within([a, old], async () => {
      meet(a, old);
      await until('they know each other', () => a.network.isConnected(nodeId(2)) && old.network.isConnected(nodeId(1)));
      assert.equal(String(await copy(a, old)), 'taken');
      assert.equal(String(await copy(old, a)), 'taken');
    });
  });
});
