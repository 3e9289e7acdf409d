/** What counts on the way: disks, networks, databases and gRPC servers that are passed through. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { countingServer, GrpcCounters } from '../../../src/adapter/metrics/index.ts';
import { CommandCounters } from '../../../src/adapter/redis/command/counters.ts';
import { OK } from '../../../src/adapter/redis/protocol/reply.ts';
import { ReplyWriter } from '../../../src/adapter/redis/protocol/reply-writer.ts';
import { ReplyRing } from '../../../src/adapter/redis/session/reply-ring.ts';
import {
  BucketCounts,
  type Disk,
  type DiskFile,
  type DuplexStream,
  MeasuredDisk,
  MeasuredNetwork,
  nodeId,
  type PeerNetwork,
} from '../../../src/platform/index.ts';
import { EngineCounters, LeadershipNotes } from '../../../src/raftengine/contract/counters.ts';
import { Role } from '../../../src/raftengine/core/types.ts';
import { StoreActivity } from '../../../src/store/level/activity.ts';
import type { Level } from '../../../src/store/level/level.ts';
import { measured } from '../../../src/store/level/measured-level.ts';

/** A clock that goes on by a millisecond each time that it is read. */
const ticking = () => {
  let nowMs = 0;
  return { nowMs: () => nowMs, monotonicMs: () => nowMs++ };
};

test('counts by range add up to what was observed, each at or below its bound', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 20_000, noNaN: true }), { maxLength: 200 }), (values) => {
      const counts = new BucketCounts();
      for (const value of values) counts.observe(value);
      assert.equal(counts.total, values.length);
      assert.ok(Math.abs(counts.sum - values.reduce((sum, value) => sum + value, 0)) < 1e-3);
      let below = 0;
      for (const [at, bound] of counts.bounds.entries()) {
        below += counts.counts[at]!;
        assert.equal(below, values.filter((value) => value <= bound).length);
      }
    }),
  );
});

describe('a disk that is measured', () => {
  const bytes = Buffer.from('entry');
  const file = (write: DiskFile['write']): DiskFile => ({
    write,
    sync: async () => {},
    read: async () => bytes,
    readSync: () => bytes,
    size: async () => 5,
    truncate: async () => {},
    close: async () => {},
  });
  const disk = (write: DiskFile['write']): Disk => ({
    open: async () => file(write),
    list: async () => ['a'],
    makeFolder: async () => {},
    rename: async () => {},
    remove: async () => {},
    syncFolder: async () => {},
  });

  test('books durable writes, and only those, with their time', async () => {
    const one = new MeasuredDisk(
      disk(async () => {}),
      ticking(),
    );
    const durable = await one.open('log', { durable: true });
    await durable.write(bytes, 0);
    await (await one.open('other', { create: true })).write(bytes, 0);
    assert.equal(one.counters.writeMs.total, 1);
    assert.equal(one.counters.writeMs.sum, 1);
    assert.equal(one.counters.writtenBytes, 5);
    assert.deepEqual([await durable.read(0, 5), durable.readSync(0, 5), await durable.size()], [bytes, bytes, 5]);
    assert.deepEqual(await one.list('x'), ['a']);
  });

  test('books failures, passes them on, and is writable again when a write succeeds', async () => {
    let isBroken = true;
    const one = new MeasuredDisk(
      disk(async () => {
        if (isBroken) throw new Error('no space');
      }),
      ticking(),
    );
    const durable = await one.open('log', { durable: true });
    await assert.rejects(durable.write(bytes, 0), /no space/);
    assert.deepEqual([one.counters.failures, one.counters.isWritable, one.counters.writtenBytes], [1, false, 0]);
    isBroken = false;
    await durable.write(bytes, 0);
    assert.equal(one.counters.isWritable, true);
  });
});

describe('a network that is measured', () => {
  test('books frames by lane and streams by kind in both directions, and passes everything on', async () => {
    const calls: string[] = [];
    const handlers = new Map<string, (...args: never[]) => unknown>();
    let takes = true;
    let lose: (peer: ReturnType<typeof nodeId>) => void = () => {};
    const inner: PeerNetwork = {
      self: nodeId(1),
      setPeer: (peer, address) => calls.push(`setPeer ${peer} ${address}`),
      removePeer: (peer) => calls.push(`removePeer ${peer}`),
      fence: (peer, life) => calls.push(`fence ${peer} ${life}`),
      confirm: (peer, life) => calls.push(`confirm ${peer} ${life}`),
      onAccepted: () => calls.push('onAccepted'),
      onRefused: () => calls.push('onRefused'),
      onFrame: (lane, handler) => handlers.set(lane, handler),
      onStream: (kind, handler) => handlers.set(kind, handler),
      onDuplex: (kind) => calls.push(`onDuplex ${kind}`),
      duplex: (to, kind) => ({ to, kind }) as unknown as DuplexStream,
      onPeerLost: (listener) => {
        lose = listener;
      },
      start: async () => {},
      send: () => takes,
      queuedBytes: () => 3,
      stream: async (_to, _kind, _header, frames) => {
        for await (const frame of frames) if (frame.length > 100) throw new Error('broke');
        return Buffer.from('ok');
      },
      stop: async () => {},
    };
    const network = new MeasuredNetwork(inner);
    const { counters } = network;
    network.setPeer(nodeId(2), 'a:1');
    network.removePeer(nodeId(2));
    network.fence(nodeId(2), 'life');
    network.confirm(nodeId(2), 'life');
    network.onAccepted(() => undefined);
    network.onRefused(() => undefined);
    network.onDuplex('watch', () => {});
    assert.deepEqual(calls, [
      'setPeer 2 a:1',
      'removePeer 2',
      'fence 2 life',
      'confirm 2 life',
      'onAccepted',
      'onRefused',
      'onDuplex watch',
    ]);
    assert.equal(network.queuedBytes(nodeId(2), 'bulk'), 3);
    lose(nodeId(2));
    assert.equal(counters.lostPeers, 1);

    assert.equal(network.send(nodeId(2), 'bulk', Buffer.alloc(10)), true);
    takes = false;
    assert.equal(network.send(nodeId(2), 'bulk', Buffer.alloc(10)), false);
    const got: Buffer[] = [];
    network.onFrame('bulk', (_from, frame) => got.push(frame));
    (handlers.get('bulk') as (from: number, frame: Buffer) => void)(2, Buffer.alloc(7));
    assert.equal(got.length, 1);
    assert.deepEqual(counters.lanes.bulk, {
      sentCount: 1,
      sentBytes: 10,
      receivedCount: 1,
      receivedBytes: 7,
      failures: 1,
    });

    async function* frames(...sizes: number[]): AsyncGenerator<Buffer> {
      for (const size of sizes) yield Buffer.alloc(size);
    }
    assert.equal((await network.stream(nodeId(2), 'snapshot', Buffer.alloc(2), frames(20, 30))).toString(), 'ok');
    await assert.rejects(network.stream(nodeId(2), 'snapshot', Buffer.alloc(2), frames(101)), /broke/);
    network.onStream('snapshot', async (_from, _header, incoming) => {
      for await (const _ of incoming);
      return Buffer.alloc(0);
    });
    const receive = handlers.get('snapshot') as (
      from: number,
      header: Buffer,
      frames: AsyncIterable<Buffer>,
    ) => Promise<Buffer>;
    await receive(2, Buffer.alloc(1), frames(40));
    assert.deepEqual(counters.streams.get('snapshot'), {
      sentCount: 2,
      sentBytes: 155,
      receivedCount: 1,
      receivedBytes: 41,
      failures: 1,
    });
  });
});

describe('a database that is measured', () => {
  test('books reads and synced writes, and sums what databases say of their files', async () => {
    const stats = [
      '                               Compactions',
      'Level  Files Size(MB) Time(sec) Read(MB) Write(MB)',
      '--------------------------------------------------',
      '  0        2        1         0        0         4',
      '  1        5       12         3       20        18',
    ].join('\n');
    const inner = (): Level => ({
      open: async () => {},
      close: async () => {},
      getSync: () => undefined,
      batch: async () => {},
      chain: () => ({ put: () => {}, del: () => {}, write: async () => {} }),
      iterator: () => ({ nextv: async () => [], close: async () => {} }),
      snapshot: () => ({ close: async () => {} }),
      property: (name) => (name === 'leveldb.stats' ? stats : '1000'),
    });
    const activity = new StoreActivity();
    const open = measured(inner, ticking(), activity);
    const [one, other] = [open('a'), open('b')];
    await one.open();
    await other.open();
    one.getSync(Buffer.alloc(1));
    one.iterator({});
    await one.batch([], { sync: true });
    await one.batch([], { sync: false });
    await one.chain().write({ sync: true });
    assert.deepEqual([activity.pointReads, activity.iterators, activity.batchMs.total], [1, 1, 2]);
    assert.deepEqual(activity.levelUse(), [
      {
        level: 0,
        files: 4,
        bytes: 2 << 20,
        compactionSeconds: 0,
        compactionReadBytes: 0,
        compactionWrittenBytes: 8 << 20,
      },
      {
        level: 1,
        files: 10,
        bytes: 24 << 20,
        compactionSeconds: 6,
        compactionReadBytes: 40 << 20,
        compactionWrittenBytes: 36 << 20,
      },
    ]);
    assert.equal(activity.memoryBytes(), 2000);
    await other.close();
    assert.equal(activity.memoryBytes(), 1000);
  });
});

describe('replies on their way out', () => {
  test('are booked when they are written, in the order of the requests, also those that the client does not want', () => {
    const ring = new ReplyRing();
    const writer = new ReplyWriter();
    const [set, get] = [new CommandCounters(), new CommandCounters()];
    const first = ring.reserve(2, false, set, 100);
    const second = ring.reserve(2, true, get, 101);
    ring.settle(second, OK);
    ring.writeTo(writer, 110);
    assert.deepEqual([set.calls, get.calls], [0, 0]);
    ring.settle(first, OK);
    ring.writeTo(writer, 120);
    assert.deepEqual([set.calls, set.latencyMs.sum, get.calls, get.latencyMs.sum], [1, 20, 1, 19]);
  });

  test('keep what they are booked on when there are many, and count errors once', () => {
    const ring = new ReplyRing();
    const writer = new ReplyWriter();
    const counters = new CommandCounters();
    const slots = Array.from({ length: 100 }, (_, at) =>
      ring.reserve(2, false, at % 2 === 0 ? counters : undefined, at),
    );
    for (const slot of slots) ring.settle(slot, OK);
    ring.noteError(slots[0]!);
    ring.noteError(slots[1]!);
    ring.writeTo(writer, 1000);
    assert.deepEqual([counters.calls, counters.errors], [50, 1]);
    assert.equal(counters.latencyMs.sum, 50 * 1000 - (50 * 98) / 2);
  });
});

describe('notes of leadership', () => {
  const after = (...steps: readonly (readonly [Role, number, number])[]): number[] => {
    const counters = new EngineCounters();
    const notes = new LeadershipNotes(counters);
    for (const [role, term, leader] of steps) notes.note(role, term, leader === 0 ? 0 : nodeId(leader));
    return [counters.electionsStarted, counters.electionsWon, counters.leaderChanges];
  };

  test('count elections that were stood in and won, and changes of leader', () => {
    assert.deepEqual(after([Role.PreCandidate, 0, 0], [Role.Candidate, 1, 0], [Role.Leader, 1, 1]), [1, 1, 1]);
    // Alone in its group.
    assert.deepEqual(after([Role.Leader, 1, 1]), [1, 1, 1]);
    // Two that were lost, and somebody else won.
    assert.deepEqual(after([Role.Candidate, 1, 0], [Role.Candidate, 2, 0], [Role.Follower, 3, 2]), [2, 0, 1]);
  });

  test('do not count a pre-vote, a restart, or a leader that is lost and found again', () => {
    assert.deepEqual(after([Role.Follower, 7, 0], [Role.PreCandidate, 7, 0], [Role.Follower, 7, 0]), [0, 0, 0]);
    assert.deepEqual(after([Role.Follower, 1, 2], [Role.Follower, 1, 0], [Role.Follower, 2, 2]), [0, 0, 1]);
    assert.deepEqual(after([Role.Follower, 1, 2], [Role.Follower, 2, 3], [Role.Follower, 3, 2]), [0, 0, 3]);
  });
});

describe('a gRPC server that is counted', () => {
  test('books calls by method and code, and leaves answers as they are', async () => {
    const echo: grpc.MethodDefinition<Buffer, Buffer> = {
      path: '/test.Echo/Say',
      requestStream: false,
      responseStream: false,
      requestSerialize: (value) => value,
      requestDeserialize: (value) => value,
      responseSerialize: (value) => value,
      responseDeserialize: (value) => value,
    };
    const list = { ...echo, path: '/test.Echo/List', responseStream: true };
    const counters = new GrpcCounters();
    const server = new grpc.Server();
    countingServer(server, counters, ticking()).addService(
      { Say: echo, List: list },
      {
        Say: ((call, answer) => {
          if (call.request.length === 0) answer({ code: grpc.status.INVALID_ARGUMENT, details: 'empty' });
          else answer(null, call.request);
        }) as grpc.handleUnaryCall<Buffer, Buffer>,
        List: ((call) => {
          call.write(call.request);
          if (call.request.length === 1) call.emit('error', { code: grpc.status.NOT_FOUND, details: 'gone' });
          else call.end();
        }) as grpc.handleServerStreamingCall<Buffer, Buffer>,
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    const same = (value: Buffer): Buffer => value;
    const say = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(echo.path, same, same, Buffer.from(text), (error, reply) =>
          error === null ? resolve(String(reply)) : reject(error),
        );
      });
    const listed = async (text: string): Promise<number> => {
      let count = 0;
      for await (const _ of client.makeServerStreamRequest(list.path, same, same, Buffer.from(text))) count++;
      return count;
    };
    try {
      assert.equal(await say('hello'), 'hello');
      await assert.rejects(say(''), { code: grpc.status.INVALID_ARGUMENT });
      assert.equal(await listed('ab'), 1);
      await assert.rejects(listed('a'), { code: grpc.status.NOT_FOUND });
    } finally {
      client.close();
      server.forceShutdown();
    }
    const ended = (method: string) => Object.fromEntries(counters.methods.get(method)!.ended);
    assert.deepEqual(ended('test.Echo/Say'), { OK: 1, INVALID_ARGUMENT: 1 });
    assert.deepEqual(ended('test.Echo/List'), { OK: 1, NOT_FOUND: 1 });
    assert.equal(counters.methods.get('test.Echo/Say')!.latencyMs.total, 2);
  });
});
