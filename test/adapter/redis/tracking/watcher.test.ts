/** A node that is told of changes and does not answer, or answers late. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ChangesFrame, decodeChanges, encodeAnswer } from '../../../../src/adapter/redis/tracking/codec.ts';
import { SILENT_ROUNDS, Watcher, WINDOW_BYTES } from '../../../../src/adapter/redis/tracking/watcher.ts';
import type { DuplexStream } from '../../../../src/platform/index.ts';

/** More than a frame takes, so that each of them has one such key. */
const LONG_KEY_BYTES = 300 * 1024;

class Told implements DuplexStream {
  readonly queuedBytes = 0;
  readonly frames: ChangesFrame[] = [];
  bytes = 0;
  isClosed = false;
  private receive: (message: Buffer) => void = () => undefined;

  send(message: Buffer): void {
    this.frames.push(decodeChanges(message));
    this.bytes += message.length;
  }

  answer(number: number, probe = 0): void {
    this.receive(encodeAnswer({ number, wantsWriters: false, probe }));
  }

  close(): void {
    this.isClosed = true;
  }

  onMessage(handler: (message: Buffer) => void): void {
    this.receive = handler;
  }

  onEnd(): void {}
}

function start() {
  const stream = new Told();
  const ends: (() => void)[] = [];
  const scheduler = { endOfTurn: (run: () => void) => void ends.push(run), after: () => () => {}, nextTurn: () => {} };
  const watcher = new Watcher({
    stream,
    header: { wantsWriters: false, probe: 0 },
    scheduler,
    notesWriters: () => false,
    onWanting: () => undefined,
    onGone: () => undefined,
    onError: (error) => assert.fail(String(error)),
  });
  const endTurn = (): void => {
    for (const run of ends.splice(0)) run();
  };
  return { stream, watcher, endTurn };
}

const keys = (count: number, bytes = LONG_KEY_BYTES) =>
  Array.from({ length: count }, (_, nth) => ({ key: `${nth}`.padEnd(bytes, 'x'), client: 0 }));

describe('a node that is told of changes', () => {
  test('is sent no more than its window while it does not answer, whatever one turn has changed, then that all has', () => {
    const { stream, watcher } = start();
    watcher.tell({ isEverything: false, keys: keys(100) });
    assert.ok(stream.bytes < WINDOW_BYTES + 2 * LONG_KEY_BYTES, String(stream.bytes));
    assert.ok(stream.frames.length > 10);
    const { length } = stream.frames;
    watcher.tell({ isEverything: false, keys: keys(1, 1) });
    assert.equal(stream.frames.length, length);
    stream.answer(1);
    assert.deepEqual(
      stream.frames.slice(length).map(({ isEverything, keys: told }) => [isEverything, told.length]),
      [[true, 0]],
    );
    watcher.tell({ isEverything: false, keys: keys(1, 1) });
    assert.equal(stream.frames.at(-1)!.keys[0]!.key, '0');
  });

  test('has its probe back behind what was told before, not while something of that is missing', () => {
    const { stream, watcher, endTurn } = start();
    watcher.tell({ isEverything: false, keys: keys(100) });
    const { length } = stream.frames;
    stream.answer(0, 7);
    endTurn();
    assert.equal(stream.frames.length, length, 'what would bring the probe is told nothing');
    stream.answer(length, 8);
    endTurn();
    assert.deepEqual(
      stream.frames.slice(length).map(({ isEverything, probe }) => [isEverything, probe]),
      [
        [true, 7],
        [false, 8],
      ],
    );
  });

  test('is taken for dead when it has said nothing for some rounds', () => {
    const { stream, watcher } = start();
    for (let nth = 1; nth < SILENT_ROUNDS; nth++) watcher.round();
    stream.answer(0);
    for (let nth = 1; nth < SILENT_ROUNDS; nth++) watcher.round();
    assert.ok(!stream.isClosed);
    watcher.round();
    assert.ok(stream.isClosed);
  });
});
