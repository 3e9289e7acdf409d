import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BatchChains, chainAfter } from '../../../../src/adapter/redis/request/batch-chains.ts';
import type { ForwardedBatchMessage } from '../../../../src/adapter/redis/request/forwarded-command.ts';
import type { RedisServerOptions } from '../../../../src/adapter/redis/server/server.ts';
import { groupId } from '../../../../src/platform/index.ts';
import { FakeKv } from '../../../support/fake-kv.ts';
import { eventually, request, testServers } from '../harness.ts';

const servers = testServers();

const batch = (count: number, chain?: number, place = 0): ForwardedBatchMessage => ({
  kind: 'batch',
  group: groupId(7),
  requests: new Array(count),
  chain: chain === undefined ? undefined : { chain, place },
});

describe('a batch of a chain', () => {
  test('goes on where the one before it has ended, in order with it', () => {
    const chains = new BatchChains();
    const chain = chains.join(batch(3, 1));
    assert.equal(chains.join(batch(2, 1, 3)), chain);
    assert.equal(chains.join(batch(1, 1, 5)), chain);
    assert.equal(chain?.length, 6);
  });

  test('may not run where those before it are not known to have run', () => {
    const chains = new BatchChains();
    assert.equal(chains.join(batch(1, 1, 3)), undefined, 'another leader had the ones before it');
    chains.join(batch(3, 1));
    assert.equal(chains.join(batch(1, 1, 4)), undefined, 'one in between has not come');
    assert.equal(chains.join(batch(1, 2, 3)), undefined, 'they are of an earlier chain of the same connection');
    assert.equal(chains.join(batch(1, 33, 3)), undefined, 'they are of another connection');
    chains.join(batch(3, 2));
    assert.equal(chains.join(batch(1, 1, 3)), undefined, 'their chain is over');
  });

  test('begins a chain of its own when nothing else is under way', () => {
    const chains = new BatchChains();
    const before = chains.join(batch(3, 1));
    before!.firstRefused = 1;
    const after = chains.join(batch(1, 1));
    assert.notEqual(after, before);
    assert.equal(after!.firstRefused, Number.POSITIVE_INFINITY);
    assert.notEqual(chains.join(batch(1)), chains.join(batch(1)));
  });

  test('has a number that no other chain has', () => {
    let taken = 0;
    const take = (count: number): number => (taken += count);
    const numbers: number[] = [];
    for (let last: number | undefined; numbers.length < 100; numbers.push(last!)) last = chainAfter(last, take);
    assert.equal(new Set(numbers).size, 100);
    assert.ok(taken >= 100);
  });

  test('is not known any more when very many others have begun since', () => {
    const chains = new BatchChains();
    for (let sender = 0; sender < 16_385; sender++) chains.join(batch(1, sender * 32));
    assert.equal(chains.join(batch(1, 0, 1)), undefined);
    assert.notEqual(chains.join(batch(1, 32, 1)), undefined);
  });
});

describe('a connection to a node that does not lead', () => {
  /** A client of a node that forwards to another, whose operations complete when the test says so. */
  const bench = async (features?: RedisServerOptions['features']) => {
    const leader = new FakeKv({ nodeId: 2 });
    const kv = new FakeKv({ nodeId: 1, state: leader.state });
    kv.leader = leader;
    await servers.start({ kv: leader });
    const server = await servers.start({ kv, ...(features === undefined ? {} : { features }) });
    leader.holding = true;
    const client = await server.connect();
    const other = await server.connect();
    /** What was sent before has long been read. */
    const settle = async (): Promise<void> => {
      for (let at = 0; at < 5; at++) await other.call('ping');
    };
    const send = (at: number): void => client.send(request('append', 'a', String(at)));
    return { leader, kv, client, send, settle };
  };

  test('sends a command on while the one before it is under way, a few at a time', async () => {
    const { leader, kv, client, send, settle } = await bench();
    for (let at = 1; at <= 4; at++) {
      send(at);
      await eventually(() => leader.submitted === at, `command ${at} is sent on`);
    }
    send(5);
    send(6);
    await settle();
    assert.equal(kv.forwarded, 4);
    leader.releaseHeld();
    assert.deepEqual(await client.readMany(6), [1, 2, 3, 4, 5, 6]);
    assert.equal(kv.forwarded, 5);
  });

  test('has its commands run in order though one comes to the leader before the one that was sent before it', async () => {
    const { leader, kv, client, send } = await bench();
    leader.holding = false;
    send(1);
    assert.equal(await client.read(), 1, 'the leader knows a chain of one command');
    kv.forwardTakesMs = 50;
    send(2);
    await eventually(() => kv.forwarded === 2, 'the second is on its way');
    kv.forwardTakesMs = 0;
    send(3);
    assert.deepEqual(await client.readMany(2), [2, 3]);
    assert.equal(kv.forwarded, 4, 'the third was refused, and sent again');
  });

  test('waits for the one before it where some node does not know chains', async () => {
    const { leader, kv, client, send, settle } = await bench(() => ({ kind: 'off', lacking: [] }));
    send(1);
    await eventually(() => leader.submitted === 1, 'the first is sent on');
    send(2);
    await settle();
    assert.equal(kv.forwarded, 1);
    leader.releaseHeld();
    assert.deepEqual(await client.readMany(2), [1, 2]);
  });
});
