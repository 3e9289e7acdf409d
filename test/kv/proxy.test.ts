import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  ConflictError,
  LeaderUnavailableError,
  NotOwnerError,
  RangeBusyError,
  RemoteError,
} from '../../src/kv/contract/errors.ts';
import { decodeFrame, encodeFrame, type ForwardMessage, ForwardStatus } from '../../src/kv/forward/forward-codec.ts';
import { groupId, KvorumError, nodeId } from '../../src/platform/index.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from '../../src/raftengine/errors.ts';
import { bytes, GROUP } from '../support/lone-group.ts';
import { ProxyCluster as Cluster } from './proxy-cluster.ts';

describe('the leader proxy', () => {
  test('runs a request on the leader and hands its bytes back', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    const result = cluster.forward(1, 'hello');
    cluster.flow();
    assert.equal(result.reply, '2:hello');
  });

  test('puts all requests of a turn to one node in one frame, and their replies too', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    const results = Array.from({ length: 20 }, (_, at) => cluster.forward(1, String(at)));
    cluster.flow();
    assert.deepEqual(
      results.map((result) => result.reply),
      Array.from({ length: 20 }, (_, at) => `2:${at}`),
    );
    assert.equal(cluster.wire.frames, 2);
  });

  test('runs the handler here when this node leads', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(1);
    assert.equal(cluster.forward(1).reply, '1:x');
    assert.equal(cluster.wire.frames, 0);
  });

  test('waits out an election and then finds the new leader', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    const result = cluster.forward(1);
    cluster.pass(300);
    assert.ok(!result.isDone);
    cluster.lead(3);
    cluster.pass(300);
    assert.equal(result.reply, '3:x');
  });

  test('runs a waiting request here when this node becomes the leader meanwhile', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    const result = cluster.forward(1);
    cluster.lead(1);
    cluster.pass(300);
    assert.equal(result.reply, '1:x');
  });

  test('follows a redirect of a node that does not lead any more', () => {
    const cluster = new Cluster();
    const ran = cluster.serveEcho();
    cluster.lead(3);
    cluster.node(1).belief.leader = 2;
    const result = cluster.forward(1);
    cluster.flow();
    assert.equal(result.reply, '3:x');
    assert.deepEqual(ran, ['3:x']);
  });

  test('follows a redirect that the handler itself answers with', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    cluster.node(3).belief.serving = true;
    cluster.node(2).proxy.onForward('echo', (_payload, answer) => answer(new NotLeaderError(nodeId(3)), undefined));
    const result = cluster.forward(1);
    cluster.flow();
    assert.equal(result.reply, '3:x');
  });

  test('does not run in circles when two nodes point at each other', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.node(1).belief.leader = 2;
    cluster.node(2).belief.leader = 3;
    cluster.node(3).belief.leader = 2;
    const result = cluster.forward(1, 'x', 500);
    cluster.pass(600);
    assert.ok(result.error instanceof LeaderUnavailableError);
    assert.ok(cluster.wire.frames < 60, `${cluster.wire.frames} frames`);
  });

  test('never sends a request again whose frame was taken when the connection breaks: the outcome is unknown', () => {
    const cluster = new Cluster();
    const ran = cluster.serveEcho();
    cluster.lead(2);
    const result = cluster.forward(1);
    cluster.scheduler.endTurn();
    cluster.wire.deliver();
    cluster.wire.cut(1, 2);
    cluster.wire.heal();
    cluster.pass(1200);
    assert.ok(result.error instanceof OutcomeUnknownError);
    assert.deepEqual(ran, ['2:x']);
  });

  test('sends a request again whose frame was not taken', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    cluster.wire.cut(1, 2);
    const result = cluster.forward(1);
    cluster.pass(100);
    assert.ok(!result.isDone);
    cluster.wire.heal();
    cluster.pass(300);
    assert.equal(result.reply, '2:x');
  });

  test('reports at the deadline what is known: nothing happened, or nobody knows', () => {
    const cluster = new Cluster();
    const waiting = cluster.forward(1, 'x', 200);
    cluster.pass(300);
    assert.ok(waiting.error instanceof LeaderUnavailableError);
    cluster.node(2).proxy.onForward('echo', () => undefined);
    cluster.lead(2);
    const silent = cluster.forward(1, 'x', 200);
    cluster.pass(300);
    assert.ok(silent.error instanceof OutcomeUnknownError);
  });

  test('tries again while the leader is busy, and says so in the end', () => {
    const cluster = new Cluster();
    cluster.lead(2);
    let calls = 0;
    cluster.node(2).proxy.onForward('echo', (_payload, answer) => {
      calls++;
      answer(new BusyError('full'), undefined);
    });
    const result = cluster.forward(1, 'x', 1000);
    cluster.pass(1200);
    assert.ok(result.error instanceof BusyError);
    assert.ok(calls > 3);
  });

  test('brings every error back as what it was', () => {
    class SpecialError extends KvorumError {
      readonly code = 'SPECIAL';
      readonly disposition = 'final' as const;
    }
    const cluster = new Cluster();
    cluster.lead(2);
    for (const error of [
      new OutcomeUnknownError('u'),
      new TooLargeError('t'),
      new ConflictError('c'),
      new NotOwnerError(groupId(7)),
      new NotOwnerError(undefined),
      new SpecialError('s'),
      new TypeError('bug'),
    ]) {
      cluster.node(2).proxy.onForward('echo', (_payload, answer) => answer(error, undefined));
      const result = cluster.forward(1);
      cluster.flow();
      const seen = result.error;
      if (error instanceof SpecialError) {
        assert.ok(seen instanceof RemoteError);
        assert.deepEqual([seen.code, seen.disposition, seen.message], ['SPECIAL', 'final', 's']);
      } else if (error instanceof TypeError) assert.ok(seen instanceof OutcomeUnknownError);
      else assert.ok(seen !== undefined && Object.getPrototypeOf(seen) === Object.getPrototypeOf(error));
      if (error instanceof NotOwnerError) assert.equal((seen as NotOwnerError).hint, error.hint);
    }
  });

  test('takes what a handler throws for its answer', () => {
    const cluster = new Cluster();
    cluster.lead(1);
    cluster.node(1).proxy.onForward('echo', () => {
      throw new TooLargeError('thrown');
    });
    assert.ok(cluster.forward(1).error instanceof TooLargeError);
  });

  test('refuses more than it may hold', () => {
    const cluster = new Cluster(3, { maxForwards: 2, maxForwardBytes: 100 });
    cluster.forward(1);
    assert.ok(cluster.forward(1, 'x'.repeat(200)).error instanceof TooLargeError);
    assert.ok(cluster.forward(1, 'x'.repeat(100)).error instanceof BusyError);
    cluster.forward(1);
    assert.ok(cluster.forward(1).error instanceof BusyError);
  });

  test('passes megabytes in both directions', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    const large = 'y'.repeat(5_000_000);
    const result = cluster.forward(1, large);
    const small = cluster.forward(1, 'z');
    cluster.flow();
    assert.equal(result.reply, `2:${large}`);
    assert.equal(small.reply, '2:z');
  });

  test('keeps replies whose connection is full for a moment', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    const result = cluster.forward(1);
    cluster.scheduler.endTurn();
    cluster.wire.down.add('2>1');
    cluster.flow();
    assert.ok(!result.isDone);
    cluster.wire.heal();
    cluster.pass(20);
    assert.equal(result.reply, '2:x');
  });

  test('runs a duplicated request once', () => {
    const cluster = new Cluster();
    const ran = cluster.serveEcho();
    cluster.lead(2);
    const result = cluster.forward(1);
    cluster.scheduler.endTurn();
    cluster.wire.queue.push(...cluster.wire.queue);
    cluster.flow();
    assert.equal(result.reply, '2:x');
    assert.deepEqual(ran, ['2:x']);
  });

  test('refuses a request that has crossed a node already, and one that has no time left', () => {
    const cluster = new Cluster();
    const ran = cluster.serveEcho();
    cluster.lead(2);
    const request = { kind: 'request' as const, epoch: 9, group: GROUP, service: 'echo', payload: bytes('p') };
    cluster.wire.queue.push({
      from: nodeId(1),
      to: nodeId(2),
      frame: encodeFrame([
        { ...request, id: 1, hops: 2, remainingMs: 1000 },
        { ...request, id: 2, hops: 1, remainingMs: 9 },
        { ...request, id: 3, hops: 1, remainingMs: 1000, group: groupId(99) },
      ]),
    });
    cluster.flow();
    assert.deepEqual(ran, []);
  });

  test('survives every frame that can arrive', () => {
    const cluster = new Cluster();
    cluster.serveEcho();
    cluster.lead(2);
    const u32 = fc.nat(0xffff_ffff);
    const payload = fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array));
    const message: fc.Arbitrary<ForwardMessage> = fc.oneof(
      fc.record(
        {
          kind: fc.constant('request' as const),
          epoch: u32,
          id: u32,
          hops: fc.nat(255),
          remainingMs: u32,
          group: fc.constantFrom(GROUP, groupId(77)),
          service: fc.constantFrom('echo', '', 'none'),
          payload,
        },
        { noNullPrototype: true },
      ),
      fc.record(
        {
          kind: fc.constant('reply' as const),
          epoch: u32,
          id: u32,
          status: fc.constantFrom(...Object.values(ForwardStatus)),
          leaderHint: fc.constantFrom(undefined, nodeId(3)),
          body: payload,
        },
        { noNullPrototype: true },
      ),
    );
    const frame = fc.array(message, { maxLength: 5 }).map((messages) => {
      const encoded = encodeFrame(messages);
      assert.deepEqual(decodeFrame(encoded), messages);
      return encoded;
    });
    const damaged = fc.tuple(frame, fc.nat(), fc.nat(255), fc.nat()).map(([bytesOf, at, value, cut]) => {
      const copy = Buffer.from(bytesOf);
      copy[at % copy.length] = value;
      return cut % 3 === 0 ? copy.subarray(0, cut % (copy.length + 1)) : copy;
    });
    const anything = fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(fc.oneof(frame, damaged, anything), fc.constantFrom(1, 2), (arriving, to) => {
        cluster.wire.queue.push({ from: nodeId(3), to: nodeId(to), frame: arriving });
        cluster.flow();
      }),
      { numRuns: 3000 },
    );
    const after = cluster.forward(1, 'still');
    cluster.flow();
    assert.equal(after.reply, '2:still');
  });

  test('tries again while a range is being handed over, and says so in the end', () => {
    const cluster = new Cluster();
    cluster.lead(2);
    let busyUntil = 5;
    cluster.node(2).proxy.onForward('echo', (payload, answer) => {
      if (busyUntil-- > 0) answer(new RangeBusyError('moving'), undefined);
      else answer(undefined, payload);
    });
    const through = cluster.forward(1, 'x', 2000);
    cluster.pass(2000);
    assert.equal(through.reply, 'x');
    busyUntil = 1000;
    const late = cluster.forward(1, 'x', 500);
    cluster.pass(600);
    assert.ok(late.error instanceof RangeBusyError);
  });

  test('gets a crowd through a range that is handed over for a moment', () => {
    const cluster = new Cluster();
    cluster.lead(2);
    let isMoving = true;
    cluster.node(2).proxy.onForward('echo', (payload, answer) => {
      if (isMoving) answer(new RangeBusyError('moving'), undefined);
      else answer(undefined, payload);
    });
    const results = Array.from({ length: 500 }, () => cluster.forward(1, 'x', 2000));
    cluster.pass(150);
    isMoving = false;
    cluster.pass(400);
    for (const { reply } of results) assert.equal(reply, 'x');
  });

  test('leaves it to the caller to find the owner of a key', () => {
    const cluster = new Cluster();
    cluster.lead(1);
    let runs = 0;
    cluster.node(1).proxy.onForward('echo', (_payload, answer) => {
      runs += 1;
      answer(new NotOwnerError(groupId(9)), undefined);
    });
    assert.ok(cluster.forward(1).error instanceof NotOwnerError);
    assert.equal(runs, 1);
  });

  test('gives every request exactly one outcome and runs none twice, whatever the network does', () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ kind: fc.constant('forward' as const), from: fc.integer({ min: 1, max: 3 }) }),
      },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(60) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('lead' as const), who: fc.integer({ min: 1, max: 3 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('nobody' as const) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('cut' as const),
          a: fc.integer({ min: 1, max: 3 }),
          b: fc.integer({ min: 1, max: 3 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('heal' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('duplicate' as const) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const cluster = new Cluster();
        const ran = cluster.serveEcho();
        const requests: { name: string; outcome: ReturnType<Cluster['forward']> }[] = [];
        for (const [at, one] of steps.entries()) {
          cluster.scheduler.endTurn();
          if (one.kind === 'forward') {
            requests.push({ name: `r${at}`, outcome: cluster.forward(one.from, `r${at}`, 200) });
          } else if (one.kind === 'pass') cluster.pass(one.ms);
          else if (one.kind === 'lead') cluster.lead(one.who);
          else if (one.kind === 'nobody') cluster.node(1).belief.leader = undefined;
          else if (one.kind === 'cut') cluster.wire.cut(one.a, one.b);
          else if (one.kind === 'heal') cluster.wire.heal();
          else if (one.kind === 'lose') cluster.wire.queue = [];
          else cluster.wire.queue.push(...cluster.wire.queue);
        }
        cluster.pass(400);
        for (const { name, outcome } of requests) {
          const times = ran.filter((entry) => entry.endsWith(`:${name}`)).length;
          const { error } = outcome;
          if (error === undefined) assert.equal(times, 1);
          else if (error instanceof OutcomeUnknownError) assert.ok(times <= 1);
          else assert.equal(times, 0, `${name} failed as not done and ran all the same`);
        }
      }),
      { numRuns: 200 },
    );
  });
});
