/** What a node does with reads of a group that is led elsewhere when its own replica may answer them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PointReads, PointView } from '../../../../src/kv/index.ts';
import { FakeKv, FakeView } from '../../../support/fake-kv.ts';
import { eventually, request, testServers } from '../harness.ts';

/** A view of what is applied, which some keys stop. */
class View extends FakeView {
  isStopped = false;
  private readonly stopsAt: string;

  constructor(kv: FakeKv, stopsAt: string) {
    super(kv.state);
    this.stopsAt = stopsAt;
  }

  begin(): void {
    this.isStopped = false;
  }

  override get(key: Buffer) {
    this.isStopped ||= key.toString('latin1').endsWith(this.stopsAt);
    if (this.isStopped) throw new Error('the leader is to answer');
    return super.get(key);
  }
}

/** Points that come when the test says so. */
class Points implements PointReads {
  isTaken = true;
  readonly asked: ((view: PointView | undefined) => void)[] = [];

  mayReadAtPoint(): boolean {
    return this.isTaken;
  }

  readAtPoint(_group: number, read: (view: PointView | undefined) => void): void {
    this.asked.push(read);
  }
}

const servers = testServers();

/** A client of a node that forwards to another, which leads all groups. */
async function bench() {
  const leader = new FakeKv({ nodeId: 2 });
  const kv = new FakeKv({ nodeId: 1, state: leader.state });
  kv.leader = leader;
  await servers.start({ kv: leader });
  const points = new Points();
  const server = await servers.start({ kv, points });
  const client = await server.connect();
  await client.call('set', 'a', '1');
  await client.call('set', 'b', '2');
  const came = (stopsAt = '\0none') => points.asked.shift()!(new View(leader, stopsAt) as unknown as PointView);
  const forwardedBy = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
    const before = kv.forwarded;
    return [await work(), kv.forwarded - before];
  };
  return { leader, kv, points, client, came, forwardedBy };
}

describe('reads of a node that does not lead', () => {
  test('are answered by its replica, unless the batch has more than small reads', async () => {
    const { points, client, came, forwardedBy } = await bench();
    const [replies, forwarded] = await forwardedBy(async () => {
      client.send(Buffer.concat([request('get', 'a'), request('strlen', 'b'), request('lrange', 'a', '0', '0')]));
      return client.readMany(3);
    });
    assert.deepEqual([replies[0], replies[1], forwarded], ['1', 1, 1]);
    const [again, none] = await forwardedBy(async () => {
      client.send(Buffer.concat([request('get', 'a'), request('mget', 'b', 'c'), request('incr', 'a')]));
      return client.readMany(3);
    });
    assert.deepEqual([again, none], [['1', ['2', null], 2], 1]);
    const [reads, sent] = await forwardedBy(async () => {
      client.send(Buffer.concat([request('get', 'a'), request('llen', 'a'), request('exists', 'b', 'c')]));
      await eventually(() => points.asked.length === 1, 'the batch asks for a point');
      came();
      return client.readMany(3);
    });
    assert.equal(reads[0], '2');
    assert.match(String(reads[1]), /WRONGTYPE/);
    assert.deepEqual([reads[2], sent], [1, 0]);
  });

  test('are forwarded from the first on that the replica cannot answer', async () => {
    const { points, client, came, forwardedBy } = await bench();
    const [reads, forwarded] = await forwardedBy(async () => {
      client.send(Buffer.concat([request('get', 'a'), request('get', 'b'), request('get', 'a')]));
      await eventually(() => points.asked.length === 1, 'the batch asks for a point');
      came('b');
      return client.readMany(3);
    });
    assert.deepEqual([reads, forwarded], [['1', '2', '1'], 1]);
  });

  test('hold up what the same client asks for behind them', async () => {
    const { leader, points, client, came } = await bench();
    client.send(request('get', 'a'));
    await eventually(() => points.asked.length === 1, 'the read asks for a point');
    client.send(request('set', 'a', 'later'));
    const submitted = leader.submitted;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(leader.submitted, submitted);
    came();
    assert.deepEqual(await client.readMany(2), ['1', '+OK']);
  });

  test('are forwarded where there is no point, and where the leader has to know of them', async () => {
    const { points, client, forwardedBy } = await bench();
    const [, untracked] = await forwardedBy(async () => {
      client.send(request('get', 'a'));
      await eventually(() => points.asked.length === 1, 'the read asks for a point');
      points.asked.shift()!(undefined);
      return client.read();
    });
    assert.equal(untracked, 1);
    points.isTaken = false;
    assert.equal((await forwardedBy(() => client.call('get', 'a')))[1], 1);
    points.isTaken = true;
    await client.call('hello', '3');
    await client.call('client', 'tracking', 'on');
    assert.equal((await forwardedBy(() => client.call('get', 'a')))[1], 1);
  });
});
