/** Traces of what goes wrong when apply looks at anything but the state and the entry, or forgets the past too early. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GroupStateMachine } from '../../../src/kv/apply/state-machine.ts';
import { ABSENT, encodeBatch, encodeSetGc } from '../../../src/kv/entry/entry.ts';
import { encodeSpan } from '../../../src/kv/entry/span-entries.ts';
import { groupId, timestampOfMs } from '../../../src/platform/index.ts';
import { EntryKind } from '../../../src/raftengine/core/types.ts';
import type { GroupStore } from '../../../src/store/contract/types.ts';
import { openGroupStore } from '../../../src/store/group/open.ts';
import { SimulatedLevels } from '../../../src/store/level/simulated-level.ts';
import { SnapshotTooOldError } from '../../../src/store/rows/errors.ts';
import { ASSIGN_ALL, bytes, CONF } from '../../support/lone-group.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { entry, put, range, read, ts, txn } from './entries.ts';

class Replica {
  readonly store: GroupStore;
  readonly machine: GroupStateMachine;

  constructor(store: GroupStore = new MemoryStore()) {
    this.store = store;
    this.machine = new GroupStateMachine({ store, initialConf: CONF });
    this.apply(ASSIGN_ALL);
  }

  apply(payload: Buffer): unknown {
    const index = this.machine.applied().index + 1;
    return this.machine.apply([{ index, term: 1, kind: EntryKind.Normal, payload, conf: undefined }])[0];
  }
}

const write = (at: bigint, key: string, value: string): Buffer =>
  encodeBatch(ts(at), 1, [], [{ unit: 0, key: bytes(key), value: bytes(value), expireTs: ABSENT, end: undefined }]);

/** What a replica has written down for its locks. */
const rowsOf = ({ store }: Replica): string[] =>
  [...store.residentSides()].map(({ key, name, value }) => Buffer.concat([key, name, value]).toString('hex')).sort();

/** Runs `work` on a machine whose wall clock is so much ahead. */
function at<T>(aheadMs: number, work: () => T): T {
  const { now } = Date;
  Date.now = () => now() + aheadMs;
  try {
    return work();
  } finally {
    Date.now = now;
  }
}

describe('an entry', () => {
  test('T5: of a leader with an old directory is refused by every replica alike, whatever their directories say', () => {
    const replicas = [new Replica(), new Replica()];
    const move = { job: 1, start: bytes('k'), end: bytes('l') } as const;
    const entries = [
      write(10n, 'k', 'before'),
      encodeSpan(ts(20), { kind: 'captureOn', ...move }),
      encodeSpan(ts(30), { kind: 'fence', job: 1, attempt: 1 }),
      encodeSpan(ts(40), { kind: 'release', job: 1, attempt: 1, dst: groupId(9), fenceTs: ts(39) }),
      // Proposed by a leader that has not heard of the move, and applied behind it.
      write(50n, 'k', 'late'),
      entry.prepare(60n, txn('t', 1n, 'k'), [put('k', 'late')]),
      entry.onePhase(70n, txn('u', 1n, 'k'), [put('k', 'late')]),
    ];
    const [here, there] = replicas.map((replica) => entries.map((payload) => replica.apply(payload)));
    assert.deepEqual(here, there);
    assert.deepEqual(here!.at(-3), new Map([[0, 'notOwned']]));
    for (const answer of here!.slice(-2)) assert.deepEqual(answer, { kind: 'notOwned', key: bytes('k') });
    for (const { store, machine } of replicas) {
      assert.equal(store.latest(bytes('k'))?.value.toString(), 'before');
      assert.equal(machine.locks.size, 0);
    }
  });

  test('T11: of a transaction leaves the same bytes on replicas whose clocks are 5 s apart', () => {
    const [here, there] = [new Replica(), new Replica()];
    const t = txn('t', 1n, 'a');
    const entries = [
      entry.prepare(100n, t, [put('a', '1'), read('b')], [range('c', 'f')]),
      entry.push(110n, t, 1n << 40n),
      entry.prepare(120n, txn('u', 1n, 'g'), [put('g', '2')]),
    ];
    for (const payload of entries) {
      assert.deepEqual(
        at(0, () => here.apply(payload)),
        at(5_000, () => there.apply(payload)),
      );
    }
    assert.equal(here.machine.locks.size, 4);
    assert.deepEqual(rowsOf(here), rowsOf(there));
  });
});

describe('the past', () => {
  test('T16: of a key that is written all the time is right as far back as it is promised, and refused further back', async () => {
    const MINUTES = 40;
    const PER_MINUTE = 100;
    const RETENTION_MS = 30 * 60_000;
    const levels = new SimulatedLevels();
    const store = await openGroupStore({
      location: 'group',
      openLevel: levels.openLevel,
      folders: levels,
      disk: new MemoryDisk(),
      limits: { flushBytes: 64 * 1024 },
    });
    const replica = new Replica(store);
    const startMs = 1_700_000_000_000;
    const tickMs = 60_000 / PER_MINUTE;
    for (let tick = 1; tick <= MINUTES * PER_MINUTE; tick++) {
      const nowMs = startMs + tick * tickMs;
      replica.apply(write(timestampOfMs(nowMs), 'k', `${tick}`));
      if (tick % PER_MINUTE !== 0) continue;
      replica.apply(encodeSetGc(timestampOfMs(nowMs - RETENTION_MS)));
      await store.flush();
      while (!(await store.collectGarbage(1_000))) await Promise.resolve();
      const backMs = nowMs - 29 * 60_000;
      const row = await store.get(bytes('k'), timestampOfMs(Math.max(backMs, startMs)));
      const expected = backMs <= startMs ? undefined : `${Math.floor((backMs - startMs) / tickMs)}`;
      assert.equal(row?.value.toString(), expected, `minute ${tick / PER_MINUTE}`);
    }
    const endMs = startMs + MINUTES * 60_000;
    await assert.rejects(store.get(bytes('k'), timestampOfMs(endMs - RETENTION_MS - 1_000)), SnapshotTooOldError);
    await store.close();
  });
});
