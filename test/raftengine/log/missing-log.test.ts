/** Logs that are not the one that was here: gone, without their newest part, of somebody else, or forged. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { groupId, nodeId } from '../../../src/platform/index.ts';
import { NodeRecord } from '../../../src/raftengine/founding/node-record.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  sealFrame,
  segmentName,
} from '../../../src/raftengine/log/format.ts';
import { type CheckpointRow, FrameWriter } from '../../../src/raftengine/log/frame-writer.ts';
import type { LogRecord } from '../../../src/raftengine/log/segments.ts';
import { WalLogStore } from '../../../src/raftengine/log/wal-log-store.ts';
import { append, contents, entry, GROUP } from '../../support/log-store-contract.ts';
import { FOLDER, INCARNATION, NODE, WalBench } from './wal-bench.ts';

const RECORD = `${NODE}/record.json`;
const SEGMENT_BYTES = 16384;

/** A log of several segments. @param isClosed in order; else its process died */
async function filledLog(seed: number, isClosed: boolean): Promise<{ bench: WalBench; names: string[] }> {
  const bench = new WalBench(seed);
  const store = await bench.open();
  for (let i = 1; i <= 60; i++) await bench.run(store.write([append(GROUP, entry(1, i, 'v'.repeat(600)))]));
  if (isClosed) await bench.run(store.close());
  else bench.machine.crash({ losePower: true });
  return { bench, names: await bench.segments() };
}

const remove = (bench: WalBench, path: string): Promise<void> => bench.run(bench.machine.disk.remove(path));

async function readFile(bench: WalBench, path: string): Promise<Buffer> {
  const file = await bench.run(bench.machine.disk.open(path));
  const bytes = file.readSync(0, SEGMENT_BYTES);
  await bench.run(file.close());
  return bytes;
}

async function writeFile(bench: WalBench, path: string, bytes: Buffer): Promise<void> {
  const file = await bench.run(bench.machine.disk.open(path, { create: true, durable: true }));
  await bench.run(file.truncate(0));
  await bench.run(file.write(bytes, 0));
  await bench.run(file.close());
}

describe('a log that is gone', () => {
  test('is not taken for a new one', async () => {
    for (const isClosed of [false, true]) {
      const { bench } = await filledLog(1, isClosed);
      await remove(bench, FOLDER);
      await assert.rejects(bench.open(), { code: 'LOG_MISSING', message: /\/node\/log is gone.*mounted\?/ });
      // Still so when the folder of the mount is there.
      await bench.run(bench.machine.disk.makeFolder(FOLDER));
      await assert.rejects(bench.open(), { code: 'LOG_MISSING' });
    }
  });

  test('is not taken for a new one after a single write', async () => {
    const bench = new WalBench(2);
    const store = await bench.open();
    await bench.run(store.write([append(GROUP, entry(1, 1))]));
    bench.machine.crash({ losePower: true });
    await remove(bench, FOLDER);
    await assert.rejects(bench.open(), { code: 'LOG_MISSING' });
  });

  test('is refused without its newest segments, however many are gone', async () => {
    for (const isClosed of [false, true]) {
      const { names } = await filledLog(3, isClosed);
      assert.ok(names.length >= 4);
      for (let gone = 1; gone <= names.length; gone++) {
        const { bench } = await filledLog(3, isClosed);
        for (const name of names.slice(-gone)) await remove(bench, `${FOLDER}/${name}`);
        await assert.rejects(bench.open(), {
          code: 'LOG_MISSING',
          message: gone < names.length ? new RegExp(names.at(-1)!) : /the write-ahead log in \/node\/log is gone/,
          file: `${FOLDER}/${names.at(-1)}`,
        });
      }
    }
  });

  test('is refused when the newest segment is there and holds nothing, and so does the one before', async () => {
    const { bench, names } = await filledLog(4, true);
    for (const name of names.slice(-2)) {
      const path = `${FOLDER}/${name}`;
      const header = (await readFile(bench, path)).subarray(0, SEGMENT_HEADER_BYTES);
      await writeFile(bench, path, Buffer.concat([header, Buffer.alloc(SEGMENT_BYTES - SEGMENT_HEADER_BYTES)]));
    }
    await assert.rejects(bench.open(), { code: 'LOG_CORRUPT', file: `${FOLDER}/${names.at(-2)}` });
  });

  test('is refused with segments of another data folder', async () => {
    const { bench, names } = await filledLog(5, true);
    const { disk, random } = bench.machine;
    const stranger: LogRecord = {
      incarnation: 'ff'.repeat(16),
      newestSegment: 0,
      noteLaterForms: async () => undefined,
      noteSegment: async () => undefined,
    };
    const foreign = bench.run(WalLogStore.open({ disk, folder: FOLDER, random, record: stranger }));
    await assert.rejects(foreign, { code: 'LOG_CORRUPT', message: /belongs to the log of another data folder/ });
    const newest = `${FOLDER}/${names.at(-1)}`;
    const header = {
      ...(decodeSegmentHeader(await readFile(bench, newest)) as SegmentHeader),
    };
    const other = encodeSegmentHeader({ ...header, owner: stranger.incarnation });
    const file = await bench.run(disk.open(newest, { durable: true }));
    await bench.run(file.write(other, 0));
    await assert.rejects(bench.open(), { code: 'LOG_CORRUPT', file: newest });
  });

  test('is refused by name in the layout of earlier versions', async () => {
    const old = Buffer.from('4b56524d57414c01010000000100000000400000efbeadde', 'hex');
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    old.copy(header);
    header.writeUInt32LE(crc32(old), 24);
    assert.equal(decodeSegmentHeader(header), 'log format 1 is not known to this version of kvorum');
    const bench = new WalBench(6);
    await bench.run(bench.machine.disk.makeFolder(FOLDER));
    await writeFile(bench, `${FOLDER}/${segmentName(1)}`, header);
    await assert.rejects(bench.open(), {
      code: 'DATA_FOLDER_CORRUPT',
      message: /record\.json.*older version of kvorum/,
    });
  });

  test('keeps a segment that was made ahead through restarts, and goes on in it', async () => {
    const bench = new WalBench(7);
    let store = await bench.open();
    let index = 0;
    // More than half of a segment: the next one is made.
    for (; index < 12; index++) await bench.run(store.write([append(GROUP, entry(1, index + 1, 'v'.repeat(600)))]));
    await bench.simulation.runFor(50);
    const names = await bench.segments();
    assert.equal(names.length, 2);
    for (let round = 0; round < 4; round++) {
      bench.machine.crash({ losePower: round % 2 === 0 });
      store = await bench.open();
      assert.equal(store.group(GROUP).lastIndex(), index);
      assert.deepEqual(await bench.segments(), names);
    }
    for (; index < 30; index++) await bench.run(store.write([append(GROUP, entry(1, index + 1, 'v'.repeat(600)))]));
    bench.machine.crash({ losePower: true });
    assert.equal((await bench.open()).group(GROUP).lastIndex(), index);
  });
});

describe('the record beside the log', () => {
  test('is refused when it is gone while a log is there', async () => {
    const { bench } = await filledLog(8, true);
    await remove(bench, RECORD);
    await assert.rejects(bench.open(), { code: 'DATA_FOLDER_CORRUPT', path: RECORD });
  });

  test('is refused when any bit of it is another one', async () => {
    const { bench } = await filledLog(9, true);
    const { length } = await readFile(bench, RECORD);
    for (let at = 0; at < length; at++) {
      bench.machine.disk.flipBit(RECORD, at, at % 8);
      await assert.rejects(
        bench.open(),
        ({ code }: { code?: string }) => code === 'DATA_FOLDER_CORRUPT' || code === 'DATA_FOLDER_MISMATCH',
        `byte ${at}`,
      );
      bench.machine.disk.flipBit(RECORD, at, at % 8);
    }
    assert.equal((await bench.open()).group(GROUP).lastIndex(), 60);
  });

  test('does not forget what it was once read to say', async () => {
    let said = 0;
    for (let seed = 0; seed < 60; seed++) {
      const { simulation, machine } = new WalBench(seed);
      const { disk } = machine;
      const open = (): Promise<NodeRecord> =>
        simulation.runToEnd(NodeRecord.open({ disk, folder: NODE, incarnation: INCARNATION }));
      await simulation.runToEnd(disk.makeFolder(NODE));
      const record = await open();
      void record.noteSegment(1);
      await simulation.runFor(machine.random.next() * 0.8);
      machine.crash({ losePower: false });
      const { newestSegment } = await open();
      said += newestSegment;
      machine.crash({ losePower: true });
      assert.equal((await open()).newestSegment, newestSegment, `seed ${seed}`);
    }
    assert.ok(said > 5 && said < 55, `${said} of 60`);
  });

  test('knows who has accepted the folder only once that is stable, and can be told again', async () => {
    const { simulation, machine } = new WalBench(12);
    const { disk } = machine;
    await simulation.runToEnd(disk.makeFolder(NODE));
    const open = (): Promise<NodeRecord> =>
      simulation.runToEnd(NodeRecord.open({ disk, folder: NODE, incarnation: INCARNATION }));
    const record = await open();
    disk.isFull = true;
    for (let round = 0; round < 2; round++) {
      await assert.rejects(simulation.runToEnd(record.noteAcceptance(nodeId(2))), { code: 'ENOSPC' });
      assert.deepEqual(record.acceptedBy, []);
    }
    disk.isFull = false;
    await simulation.runToEnd(Promise.all([nodeId(2), nodeId(3)].map((peer) => record.noteAcceptance(peer))));
    assert.deepEqual(record.acceptedBy, [2, 3]);
    machine.crash({ losePower: true });
    assert.deepEqual((await open()).acceptedBy, [2, 3]);
  });

  test('is refused in a folder that it is not of', async () => {
    const { bench } = await filledLog(10, true);
    const { disk } = bench.machine;
    const opened = bench.run(NodeRecord.open({ disk, folder: NODE, incarnation: 'ab'.repeat(16) }));
    await assert.rejects(opened, { code: 'DATA_FOLDER_MISMATCH' });
  });

  test('has these bytes', async () => {
    const { bench } = await filledLog(11, true);
    assert.equal(
      (await readFile(bench, RECORD)).toString(),
      `{"format":2,"incarnation":"${INCARNATION}","newestSegment":4,"installs":{},"acceptedBy":[],"peers":{},"crc":3471790862}`,
    );
    const place = { sequence: 3, size: SEGMENT_BYTES, salt: 0xdeadbeef, owner: INCARNATION };
    const segment = { ...place, isSealed: false, isMarked: false };
    assert.equal(
      encodeSegmentHeader(segment).toString('hex', 0, 48),
      '4b56524d57414c01020000000300000000400000efbeadde00112233445566778899aabbccddeeff2cbbbd7f00000000',
    );
    const marked = { ...segment, isMarked: true };
    assert.equal(
      encodeSegmentHeader(marked).toString('hex', 0, 40),
      '4b56524d57414c01040000000300000000400000efbeadde00112233445566778899aabbccddeeff',
    );
    const writer = new FrameWriter(3, 4096, Buffer.alloc(64), 0, true);
    writer.hardState(GROUP, { term: 3, vote: nodeId(1), commitIndex: 2 });
    sealFrame(writer.frame, marked, 4096);
    assert.equal(
      writer.frame.toString('hex'),
      '1fcdf4cb1c000000030000000010000008001000000107000000030000000000000001000200000000000000',
    );
  });
});

/** Segments that no log would write, or that release 0.1.0 has written, frame by frame. */
class Forgery {
  readonly bench: WalBench;
  private readonly record: Promise<NodeRecord>;

  constructor(seed: number) {
    this.bench = new WalBench(seed);
    this.record = this.makeRecord();
  }

  private async makeRecord(): Promise<NodeRecord> {
    const { disk } = this.bench.machine;
    await this.bench.run(disk.makeFolder(NODE));
    const record = await this.bench.run(NodeRecord.open({ disk, folder: NODE, incarnation: INCARNATION }));
    await this.bench.run(disk.makeFolder(FOLDER));
    return record;
  }

  /** A segment whose frames were begun one after the other, without marks. @returns where they end */
  segment(sequence: number, ...bodies: ((frame: FrameWriter) => void)[]): Promise<number> {
    return this.formed(sequence, false, bodies);
  }

  /** A segment whose frames have marks: their own place, unless they are given another one. @returns where they end */
  marked(sequence: number, ...bodies: ((frame: FrameWriter) => void)[]): Promise<number> {
    return this.formed(sequence, true, bodies);
  }

  private async formed(
    sequence: number,
    isMarked: boolean,
    bodies: readonly ((frame: FrameWriter) => void)[],
  ): Promise<number> {
    const record = await this.record;
    const place = { sequence, size: SEGMENT_BYTES, salt: sequence * 7, owner: INCARNATION };
    const header = { ...place, isSealed: false, isMarked };
    const bytes = Buffer.alloc(SEGMENT_BYTES);
    encodeSegmentHeader(header).copy(bytes);
    let position = SEGMENT_HEADER_BYTES;
    for (const write of bodies) {
      const writer = new FrameWriter(sequence, position, Buffer.alloc(4096), 0, isMarked);
      write(writer);
      sealFrame(writer.frame, header, position);
      writer.frame.copy(bytes, position);
      position = Math.ceil((position + writer.length) / 8) * 8;
    }
    await writeFile(this.bench, `${FOLDER}/${segmentName(sequence)}`, bytes);
    await this.bench.run(record.noteSegment(sequence));
    return position;
  }
}

const row = (vote: number, lastIndex: number): CheckpointRow => ({
  groupId: GROUP,
  hard: { term: 3, vote: vote as CheckpointRow['hard']['vote'], commitIndex: 0 },
  truncatedIndex: 0,
  truncatedTerm: 0,
  lastIndex,
});

describe('a log whose frames are all intact', () => {
  test('is refused when a checkpoint counts entries that no segment holds', async () => {
    const whole = new Forgery(20);
    await whole.segment(1, (frame) => frame.checkpoint(0, 1, [row(1, 0)]));
    assert.equal((await whole.bench.open()).group(GROUP).hardState().term, 3);
    const forged = new Forgery(21);
    await forged.segment(1, (frame) => frame.checkpoint(0, 1, [row(1, 5)]));
    await assert.rejects(forged.bench.open(), { code: 'LOG_CORRUPT', message: /entry 1 of group 7 is in no segment/ });
  });

  test('is refused when a checkpoint remembers another vote than the records before it', async () => {
    for (const [vote, isRefused] of [
      [1, false],
      [2, true],
    ] as const) {
      const forged = new Forgery(22);
      const end = await forged.segment(1, (frame) => {
        frame.checkpoint(0, 1, []);
        frame.hardState(GROUP, row(1, 0).hard);
      });
      await forged.segment(2, (frame) => frame.checkpoint(end, 1, [row(vote, 0)]));
      const opened = forged.bench.open();
      if (isRefused) await assert.rejects(opened, { code: 'LOG_CORRUPT', message: /hard state of group 7/ });
      else assert.equal((await opened).group(GROUP).hardState().vote, 1);
    }
  });

  test('ends before what never became stable, with all that was under way beside it, and goes on in another segment', async () => {
    const forged = new Forgery(24);
    const hard = (term: number) => (frame: FrameWriter) => frame.hardState(GROUP, { ...row(1, 0).hard, term });
    const second = await forged.marked(1, (frame) => frame.checkpoint(0, 1, []));
    await forged.marked(
      1,
      (frame) => frame.checkpoint(0, 1, []),
      hard(4),
      (frame) => {
        hard(5)(frame);
        frame.mark(second);
      },
    );
    const { bench } = forged;
    // What frame 2 says is lost, so frame 3 says nothing.
    bench.machine.disk.flipBit(`${FOLDER}/${segmentName(1)}`, second + 30);
    const store = await bench.open();
    assert.deepEqual(store.groups(), []);
    // As long as the frame that was lost: the next one here would begin where frame 3 does.
    await bench.run(store.write([{ groupId: GROUP, hardState: row(2, 0).hard, entries: [], resetTo: undefined }]));
    bench.machine.crash({ losePower: true });
    const again = await bench.open();
    assert.deepEqual(again.group(GROUP).hardState(), row(2, 0).hard);
  });

  test('is refused when a frame is damaged that was stable when a later one was begun', async () => {
    for (const isStable of [false, true]) {
      const forged = new Forgery(25);
      const hard = (frame: FrameWriter): void => frame.hardState(GROUP, row(1, 0).hard);
      const second = await forged.marked(1, (frame) => frame.checkpoint(0, 1, []));
      const third = await forged.marked(1, (frame) => frame.checkpoint(0, 1, []), hard);
      const marks = [second, second, isStable ? third : second, second];
      await forged.marked(
        1,
        (frame) => frame.checkpoint(0, 1, []),
        ...marks.map((mark) => (frame: FrameWriter) => {
          hard(frame);
          frame.mark(mark);
        }),
      );
      const { bench } = forged;
      bench.machine.disk.flipBit(`${FOLDER}/${segmentName(1)}`, second + 30);
      const opened = bench.open();
      if (isStable) await assert.rejects(opened, { code: 'LOG_CORRUPT', offset: second });
      else assert.deepEqual((await opened).groups(), []);
    }
  });

  test('is refused when a segment bears the name of another one', async () => {
    const { bench, names } = await filledLog(23, true);
    const paths = names.map((name) => `${FOLDER}/${name}`);
    await writeFile(bench, paths[2]!, await readFile(bench, paths[1]!));
    await assert.rejects(bench.open(), {
      code: 'LOG_CORRUPT',
      file: paths[2]!,
      message: /the header is that of segment 2/,
    });
  });
});

describe('a log of release 0.1.0', () => {
  test('goes on as it is, frame by frame, until marks are allowed, and then in another segment', async () => {
    const forged = new Forgery(26);
    await forged.segment(1, (frame) => frame.checkpoint(0, 1, [row(1, 0)]));
    const { bench } = forged;
    const other = groupId(8);
    const write = (store: WalLogStore, index: number) => [
      store.write([append(GROUP, entry(1, index, 'x'.repeat(100)))]),
      store.write([append(other, entry(1, index, 'x'.repeat(100)))]),
    ];
    bench.machine.disk.syncMs = 10;
    const store = await bench.open();
    const took = async (writes: readonly Promise<void>[]): Promise<number> => {
      const startMs = bench.simulation.nowMs();
      await bench.run(Promise.all(writes));
      return Math.round(bench.simulation.nowMs() - startMs);
    };
    assert.equal(await took(write(store, 1)), 20);
    assert.equal((await readFile(bench, `${FOLDER}/${segmentName(1)}`)).readUInt32LE(8), 2);
    store.markFrames();
    // The first frame of the segment is alone.
    await bench.run(Promise.all(write(store, 2)));
    assert.equal((await readFile(bench, `${FOLDER}/${segmentName(2)}`)).readUInt32LE(8), 4);
    assert.equal(await took(write(store, 3)), 10);
    const held = [contents(store, GROUP), contents(store, other)];
    bench.machine.crash({ losePower: true });
    const again = await bench.open();
    assert.deepEqual([contents(again, GROUP), contents(again, other)], held);
    assert.equal(await took(write(again, 4)), 10);
  });

  test('has its next segment made again when that was made ahead without marks', async () => {
    const forged = new Forgery(27);
    await forged.segment(1, (frame) => frame.checkpoint(0, 1, [row(1, 0)]));
    const { bench } = forged;
    const store = await bench.open();
    await bench.run(store.write([append(GROUP, entry(1, 1, 'x'.repeat(9_000)))]));
    await bench.simulation.runFor(100);
    const second = `${FOLDER}/${segmentName(2)}`;
    assert.equal((await readFile(bench, second)).readUInt32LE(8), 2);
    store.markFrames();
    await bench.run(store.write([append(GROUP, entry(1, 2))]));
    assert.equal((await readFile(bench, second)).readUInt32LE(8), 4);
    const held = contents(store, GROUP);
    bench.machine.crash({ losePower: true });
    assert.deepEqual(contents(await bench.open(), GROUP), held);
  });
});
