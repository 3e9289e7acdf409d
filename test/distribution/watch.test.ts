import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { CatalogState } from '../../src/distribution/catalog/catalog-state.ts';
import { CatalogCorruptError, InvalidCursorError } from '../../src/distribution/contract/errors.ts';
import type { Route } from '../../src/distribution/contract/types.ts';
import { RouteEngine } from '../../src/distribution/routes/route-engine.ts';
import {
  decodeWatchMessage,
  decodeWatchRequest,
  encodeWatchMessage,
  encodeWatchRequest,
  type WatchMessage,
} from '../../src/distribution/watch/watch-messages.ts';
import { type WatchProblem, WatchReceiver } from '../../src/distribution/watch/watch-receiver.ts';
import { WATCH_LIMITS, WatchSession } from '../../src/distribution/watch/watch-session.ts';
import { nodeId, SeededRandom } from '../../src/platform/index.ts';
import { bytes } from './builders.ts';
import { CatalogModel, SPLIT_TS } from './catalog-model.ts';

const seeds = (): fc.Arbitrary<number> => fc.integer({ min: 0, max: 0xffff_ffff });
const SELF = nodeId(3);

/** One stream from a server to a watcher; everything goes through its bytes. */
class Stream {
  readonly session: WatchSession;
  readonly receiver: WatchReceiver;
  readonly queue: WatchMessage[] = [];
  problem: WatchProblem | undefined;
  private readonly engine: RouteEngine;

  constructor(engine: RouteEngine, nowMs = 0, afterProblem?: WatchProblem, maxBatch = 3) {
    this.engine = engine;
    const request = WatchReceiver.nextRequest(engine, SELF, afterProblem, maxBatch);
    this.session = new WatchSession(decodeWatchRequest(encodeWatchRequest(request)), nowMs, 256);
    this.receiver = new WatchReceiver(engine);
  }

  /** Lets the server say everything that it can. */
  pump(state: CatalogState, nowMs = 0): WatchMessage[] {
    const sent: WatchMessage[] = [];
    for (let message = this.session.next(state, nowMs, 1); message !== undefined; ) {
      sent.push(decodeWatchMessage(encodeWatchMessage(message)));
      message = this.session.next(state, nowMs, 1);
    }
    this.queue.push(...sent);
    return sent;
  }

  receive(message: WatchMessage): void {
    const before = this.engine.current.version;
    const step = this.receiver.receive(message);
    this.problem ??= step.problem;
    if (step.ack !== undefined) this.session.ack(step.ack);
    if (!step.isPublished) assert.equal(this.engine.current.version, before);
  }

  /** Both sides talk until nothing is left to say. */
  drain(state: CatalogState): void {
    while (this.problem === undefined && this.pump(state).length > 0) {
      for (const message of this.queue.splice(0)) this.receive(message);
    }
  }
}

const rowsOf = (state: CatalogState): Route[] => [...state.routes.all()];
const rowsIn = (engine: RouteEngine): Route[] => [...engine.current.all()];

function grow(model: CatalogModel, count: number): void {
  for (let at = 0; at < count; at++) {
    model.nowMs += 1000;
    model.split(`x${String(model.version).padStart(6, '0')}`);
  }
}

function growInBatches(model: CatalogModel, batches: number): void {
  for (let at = 0; at < batches; at++) {
    const items = Array.from({ length: 256 }, (_, index) => {
      const key = `y${model.version}-${String(index).padStart(3, '0')}`;
      return { routeId: model.route(key).id, splitKey: bytes(key) };
    });
    const batchId = Buffer.alloc(16);
    batchId.writeUInt32BE(model.version);
    model.run({ kind: 'batchSplit', expectedVersion: model.version, batchId, items, splitAtTs: SPLIT_TS });
  }
}

describe('a watcher', () => {
  test('begins with a snapshot in pages and goes on with batches of deltas', () => {
    const model = CatalogModel.bootstrapped();
    growInBatches(model, 3);
    const engine = new RouteEngine(0);
    const stream = new Stream(engine);
    const pages = stream.pump(model.state);
    assert.deepEqual(
      pages.map((message) => message.kind === 'reset' && [message.page, message.routes.length, message.isLast]),
      [
        [0, 256, false],
        [1, 256, false],
        [2, 256, false],
        [3, 3, true],
      ],
    );
    stream.drain(model.state);
    for (const message of stream.queue.splice(0)) stream.receive(message);
    assert.deepEqual(rowsIn(engine), rowsOf(model.state));
    grow(model, 7);
    const batches = stream.pump(model.state);
    assert.deepEqual(
      batches.map((message) => message.kind === 'batch' && message.deltas.length),
      [3, 3, 1],
    );
    for (const message of stream.queue.splice(0)) stream.receive(message);
    assert.deepEqual(rowsIn(engine), rowsOf(model.state));
    assert.equal(stream.session.ackedVersion, model.version);
  });

  test('sees nothing of a snapshot before its last page', () => {
    const model = CatalogModel.bootstrapped();
    growInBatches(model, 2);
    const engine = new RouteEngine(0);
    const stream = new Stream(engine);
    for (const message of stream.pump(model.state)) {
      assert.equal(engine.current.version, 0);
      assert.equal(engine.current.lookup(bytes('x')), undefined);
      stream.receive(message);
    }
    assert.equal(engine.current.version, model.version);
  });

  test('gets a snapshot of one version even when the catalog and its floor move on meanwhile', () => {
    const model = CatalogModel.bootstrapped({ minVersions: 2, minAgeMs: 0 });
    growInBatches(model, 6);
    const engine = new RouteEngine(0);
    const stream = new Stream(engine);
    const atStart = rowsOf(model.state);
    const first = stream.pump(model.state);
    assert.equal(first.length, WATCH_LIMITS.window);
    grow(model, 10);
    for (const message of stream.queue.splice(0)) stream.receive(message);
    const second = stream.pump(model.state);
    for (const message of second.slice(0, 3)) stream.receive(message);
    assert.deepEqual(rowsIn(engine), atStart);
    // Its version fell below the floor meanwhile, so another snapshot follows.
    assert.equal(second[3]?.kind, 'reset');
    for (const message of second.slice(3)) stream.receive(message);
    stream.queue.length = 0;
    stream.drain(model.state);
    assert.deepEqual(rowsIn(engine), rowsOf(model.state));
  });

  test('is refused a cursor ahead of the catalog, and begins again after a restore', () => {
    const model = CatalogModel.bootstrapped();
    const backup = new Map(model.rows);
    grow(model, 5);
    const engine = new RouteEngine(0);
    const stream = new Stream(engine);
    stream.drain(model.state);
    assert.equal(engine.current.version, 6);

    const restored = new CatalogModel();
    for (const [key, value] of backup) restored.rows.set(key, value);
    restored.state = restored.reloaded();
    assert.throws(() => new Stream(engine).pump(restored.state), InvalidCursorError);
    assert.equal(restored.refusal({ kind: 'restore', incarnation: 7 }), 'VERSION_MISMATCH');
    restored.run({ kind: 'restore', incarnation: 8 });
    assert.deepEqual(rowsOf(restored.reloaded()), rowsOf(restored.state));
    const again = new Stream(engine);
    again.drain(restored.state);
    assert.deepEqual(rowsIn(engine), rowsOf(restored.state));
    assert.equal(engine.current.incarnation, 8);
    // The old life cannot come back.
    grow(model, 1);
    stream.drain(model.state);
    assert.equal(stream.problem, 'OLD_INCARNATION');
    assert.equal(engine.current.incarnation, 8);
    grow(restored, 2);
    again.drain(restored.state);
    assert.deepEqual(rowsIn(engine), rowsOf(restored.state));
  });

  test('that does not acknowledge is sent a bounded number of messages, then given up', () => {
    const model = CatalogModel.bootstrapped();
    const engine = new RouteEngine(0);
    new Stream(engine).drain(model.state);
    const stream = new Stream(engine, 0, undefined, 1);
    grow(model, 20);
    assert.equal(stream.pump(model.state, 100).length, WATCH_LIMITS.window);
    assert.equal(stream.session.ackedVersion, 1);
    assert.ok(!stream.session.isStalled(100 + WATCH_LIMITS.stallMs));
    assert.ok(stream.session.isStalled(101 + WATCH_LIMITS.stallMs));
    stream.session.ack(1);
    assert.ok(!stream.session.isStalled(101 + WATCH_LIMITS.stallMs));
    assert.equal(stream.session.ackedVersion, 2);
  });

  test('hears a beat when there is nothing new', () => {
    const model = CatalogModel.bootstrapped();
    const engine = new RouteEngine(0);
    const stream = new Stream(engine);
    stream.drain(model.state);
    assert.equal(stream.session.next(model.state, 999, 4), undefined);
    const beat = stream.session.next(model.state, 1000, 4);
    assert.deepEqual(beat, { kind: 'beat', incarnation: 7, version: 1, leaderTerm: 4 });
    assert.equal(stream.session.next(model.state, 1001, 4), undefined);
    stream.receive(beat!);
    assert.equal(stream.problem, undefined);
  });

  test('asks for a snapshot when a delta does not fit what it has', () => {
    const model = CatalogModel.bootstrapped();
    const engine = new RouteEngine(0);
    new Stream(engine).drain(model.state);
    grow(model, 3);
    const stream = new Stream(engine);
    const [message] = stream.pump(model.state);
    assert.ok(message?.kind === 'batch');
    const [first, ...rest] = message.deltas;
    stream.receive({ ...message, deltas: [first!.subarray(0, 20), ...rest] });
    assert.equal(stream.problem, 'INVALID');
    assert.equal(engine.current.version, 1);
    const again = new Stream(engine, 0, stream.problem);
    assert.equal(again.pump(model.state)[0]?.kind, 'reset');
    for (const page of again.queue.splice(0)) again.receive(page);
    assert.deepEqual(rowsIn(engine), rowsOf(model.state));
  });

  test('ignores what another source brought first, and goes on from its cursor after a gap', () => {
    const model = CatalogModel.bootstrapped();
    const engine = new RouteEngine(0);
    new Stream(engine).drain(model.state);
    grow(model, 9);
    const slow = new Stream(engine);
    const [first, second] = slow.pump(model.state);
    new Stream(engine).drain(model.state);
    slow.receive(first!);
    slow.receive(second!);
    assert.equal(slow.problem, undefined);
    grow(model, 9);
    const broken = new Stream(engine);
    broken.receive(broken.pump(model.state)[1]!);
    assert.equal(broken.problem, 'GAP');
    const again = new Stream(engine, 0, broken.problem);
    assert.equal(again.pump(model.state)[0]?.kind, 'batch');
  });

  test('does not put a snapshot together from pages of two versions, or with one missing', () => {
    const model = CatalogModel.bootstrapped();
    growInBatches(model, 2);
    const engine = new RouteEngine(0);
    const stream = new Stream(engine);
    const pages = stream.pump(model.state);
    growInBatches(model, 1);
    const later = new Stream(engine).pump(model.state);
    stream.receive(pages[0]!);
    stream.receive(later[1]!);
    assert.equal(stream.problem, 'GAP');
    const other = new Stream(engine);
    other.receive(pages[0]!);
    other.receive(pages[2]!);
    assert.equal(other.problem, 'GAP');
    assert.equal(engine.current.version, 0);
  });

  test('is never shown a gap, an overlap or an older version, whatever happens to its streams', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const random = new SeededRandom(seed);
        const model = CatalogModel.bootstrapped({ minVersions: 1 + random.int(12), minAgeMs: 0 });
        const states = [model.state];
        const history = new Map([[1, rowsOf(model.state)]]);
        const engine = new RouteEngine(0);
        let streams = [new Stream(engine)];
        let published = 0;
        for (let turn = 0; turn < 200; turn++) {
          if (random.int(4) === 0) {
            for (let left = 1 + random.int(4); left > 0; left--) {
              grow(model, 1);
              history.set(model.version, rowsOf(model.state));
            }
            states.push(model.state);
          }
          const stream = streams[random.int(streams.length)]!;
          // Another node may be behind: not every source has the newest state.
          const state = states[Math.max(0, states.length - 1 - random.int(3))]!;
          const at = streams.indexOf(stream);
          switch (random.int(6)) {
            case 0:
              streams.push(new Stream(engine));
              break;
            case 1:
              try {
                stream.pump(state);
              } catch (error) {
                assert.ok(error instanceof InvalidCursorError && !(error instanceof CatalogCorruptError));
                streams[at] = new Stream(engine);
              }
              break;
            case 2: {
              // Lost, together with everything behind it or alone: a broken stream, or a broken promise.
              stream.queue.splice(0, random.int(2) === 0 ? 1 : stream.queue.length);
              break;
            }
            case 3:
              if (stream.queue[0] !== undefined) stream.receive(stream.queue[0]);
              break;
            default:
              for (const message of stream.queue.splice(0, 1 + random.int(3))) stream.receive(message);
          }
          if (stream.problem !== undefined) streams[at] = new Stream(engine, 0, stream.problem);
          if (streams.length > 5) streams = streams.slice(-5);
          const { version } = engine.current;
          assert.ok(version >= published);
          published = version;
          if (version > 0) assert.deepEqual(rowsIn(engine), history.get(version));
        }
        const last = new Stream(engine);
        last.drain(model.state);
        assert.equal(last.problem, undefined);
        assert.deepEqual(rowsIn(engine), rowsOf(model.state));
      }),
      { numRuns: 40 },
    );
  });
});
