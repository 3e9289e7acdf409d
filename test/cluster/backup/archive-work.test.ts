/** The unit of work that archives changes: it goes on, breaks off and begins anew, asks for backups, and keeps the past for as long as it may. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackupPlace, type ChangedCluster, ChangeLog, SimulatedObjects } from '../../../src/backup/index.ts';
import {
  type ArchiveNotes,
  decodeArchiveNotes,
  encodeArchiveNotes,
} from '../../../src/cluster/backup/archive-notes.ts';
import { archiveHold, archiveViewOf } from '../../../src/cluster/backup/archive-view.ts';
import { archiveWork, type KnownBackups } from '../../../src/cluster/backup/archive-work.ts';
import {
  decodeBackupAnswer,
  decodeBackupQuestion,
  encodeBackupMessage,
  tellChanges,
  toldChanges,
} from '../../../src/cluster/backup/messages.ts';
import type { ArchiveSettings } from '../../../src/cluster/backup/settings.ts';
import { type ClusterState, MAX_WORK_PROGRESS_BYTES } from '../../../src/distribution/index.ts';
import {
  groupId,
  KvorumError,
  nodeId,
  type Scheduler,
  SeededRandom,
  timestampOfMs,
} from '../../../src/platform/index.ts';
import { ManualClock } from '../../support/manual-time.ts';

const SETTINGS: ArchiveSettings = { place: '/backups', everyMs: 10_000, holdMs: 60_000 };
const BACKUP = '20231114T221320Z-00000001';

class Collected extends KvorumError {
  readonly code = 'MOMENT_COLLECTED';
  readonly disposition = 'wait';
}

/** Sleeps pass at once, and end the work when they were so many. */
class Sleeps implements Scheduler {
  readonly clock: ManualClock;
  readonly slept: number[] = [];
  left = 0;
  onEnd: () => void = () => undefined;

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  after(delayMs: number, callback: () => void): () => void {
    this.slept.push(delayMs);
    this.left -= 1;
    if (this.left <= 0) this.onEnd();
    this.clock.advance(delayMs);
    setImmediate(callback);
    return () => undefined;
  }

  endOfTurn(callback: () => void): void {
    setImmediate(callback);
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }
}

/** One group that has everything, and the row that all nodes share. */
class Stage {
  readonly clock = new ManualClock();
  readonly scheduler = new Sleeps(this.clock);
  readonly random = new SeededRandom(1);
  readonly store = new SimulatedObjects(this.scheduler, this.random);
  readonly errors: unknown[] = [];
  readonly asked: string[] = [];
  row: Buffer = Buffer.alloc(0);
  settings: ArchiveSettings | undefined = SETTINGS;
  known: KnownBackups = { mark: '', lastMs: 0, isUnderWay: false };
  failure: (seq: number) => Error | undefined = () => undefined;
  bytes = 0;
  /** Those who keep all of the past. */
  holds = 0;
  onPoint: () => void = () => undefined;

  private readonly cluster: ChangedCluster = {
    firstKey: Buffer.from([1]),
    groups: async () => [groupId(1)],
    point: async () => {
      this.onPoint();
      return this.moment();
    },
    changes: async (group, { seq }) => {
      const error = this.failure(seq);
      if (error !== undefined) throw error;
      const spans = [{ start: Buffer.from([1]), end: undefined }];
      if (this.bytes === 0) return { part: undefined, spans, ceilingMs: 5 };
      const object = { name: `${'ab'.repeat(12)}-1`, bytes: 3 };
      this.store.objects.set(
        `changes/parts/${this.notes.chain!.id}/${String(seq).padStart(12, '0')}/${object.name}`,
        Buffer.alloc(3),
      );
      return { part: { group, versions: 2, bytes: this.bytes, object, sha256: 'c'.repeat(64) }, spans, ceilingMs: 5 };
    },
  };

  private moment(): ReturnType<typeof timestampOfMs> {
    this.clock.advance(1);
    return timestampOfMs(this.clock.nowMs());
  }

  get notes(): ArchiveNotes {
    return decodeArchiveNotes(this.row);
  }

  readonly unit = archiveWork({
    settings: () => this.settings,
    open: () => BackupPlace.write(this.store, 'none', this.random),
    cluster: () => this.cluster,
    clusterName: 'test',
    version: '1',
    backups: async () => this.known,
    askBackup: async (place) => this.asked.push(place),
    holdPast: () => {
      this.holds += 1;
      return () => {
        this.holds -= 1;
      };
    },
    clock: this.clock,
    scheduler: this.scheduler,
    random: this.random,
    onError: (error) => this.errors.push(error),
  });

  /** Some steps, by a node that loses the lease then. */
  async run(steps: number): Promise<void> {
    const abort = new AbortController();
    this.scheduler.left = steps;
    this.scheduler.slept.length = 0;
    this.scheduler.onEnd = () => abort.abort(new Error('the lease ran out'));
    const save = async (notes: Buffer): Promise<void> => {
      abort.signal.throwIfAborted();
      this.row = notes;
    };
    try {
      this.row = await this.unit.run({ signal: abort.signal, notes: this.row, save });
    } catch (error) {
      assert.match(String(error), /the lease ran out/);
    }
  }

  async backUp(): Promise<void> {
    const place = await BackupPlace.write(this.store, 'none', this.random);
    const at = this.moment();
    const facts = { createdMs: this.clock.nowMs(), version: '1', clusterName: 'test', catalogVersion: 1 };
    await place.putManifest({ id: BACKUP, at, dataKey: undefined, groups: [], ...facts });
    this.known = { mark: BACKUP, lastMs: this.clock.nowMs(), isUnderWay: false };
  }
}

describe('the unit of work that archives changes', () => {
  test('writes a step after the other, and another node goes on from what was noted', async () => {
    const stage = new Stage();
    await stage.run(3);
    const first = stage.notes.chain!;
    assert.equal(first.seq, 3);
    assert.ok(
      stage.scheduler.slept.every((ms) => ms > 9_000 && ms <= 10_000),
      stage.scheduler.slept.join(),
    );
    await stage.run(2);
    assert.deepEqual([stage.notes.chain!.id, stage.notes.chain!.seq], [first.id, 5]);
    // What was written and not noted is found.
    const row = stage.row;
    await stage.run(1);
    stage.row = row;
    await stage.run(2);
    assert.equal(stage.notes.chain!.seq, 7);
    const log = new ChangeLog(await BackupPlace.write(stage.store, 'none', stage.random));
    assert.deepEqual([...(await log.chains()).values()], [[0, 1, 2, 3, 4, 5, 6, 7]]);
    assert.deepEqual(stage.errors, []);
  });

  test('keeps the past before it takes the moment that a chain begins at, until everybody is told to', async () => {
    const stage = new Stage();
    const seen: (readonly [what: string, holds: number, isNoted: boolean])[] = [];
    stage.onPoint = () => seen.push(['moment', stage.holds, stage.notes.chain !== undefined]);
    stage.failure = () => {
      seen.push(['changes', stage.holds, stage.notes.chain !== undefined]);
      return undefined;
    };
    await stage.run(1);
    assert.deepEqual(seen.slice(0, 3), [
      ['moment', 1, false],
      ['moment', 0, true],
      ['changes', 0, true],
    ]);
    assert.equal(stage.holds, 0);
    // What could not be noted was not begun.
    const other = new Stage();
    const failed = await other.unit
      .run({
        notes: other.row,
        signal: AbortSignal.timeout(60_000),
        save: async () => {
          throw new Error('the catalog is away');
        },
      })
      .then(decodeArchiveNotes);
    assert.deepEqual([failed.chain, failed.problem, other.holds], [undefined, 'the catalog is away', 0]);
  });

  test('is due while changes are to be archived, ends when they are not, and goes on where it was', async () => {
    const stage = new Stage();
    assert.equal(stage.unit.isDue(stage.row), true);
    await stage.run(2);
    stage.settings = undefined;
    assert.equal(stage.unit.isDue(stage.row), false);
    await stage.run(2);
    assert.equal(stage.notes.chain?.seq, 2);
    stage.settings = SETTINGS;
    await stage.run(1);
    assert.equal(stage.notes.chain?.seq, 3);
    const before = stage.notes.chain!.id;
    stage.store.objects.clear();
    stage.store.objects.set('other', Buffer.alloc(0));
    await stage.run(1);
    assert.notEqual(stage.notes.chain!.id, before, 'another place');
    assert.equal(stage.notes.broken, undefined);
  });

  test('asks for a backup once, and knows which moments there are then', async () => {
    const stage = new Stage();
    await stage.run(1);
    assert.deepEqual(stage.asked, [SETTINGS.place]);
    assert.equal(stage.notes.chain?.since, undefined);
    stage.known = { ...stage.known, isUnderWay: true };
    await stage.run(2);
    assert.equal(stage.asked.length, 1);
    await stage.backUp();
    await stage.run(1);
    assert.equal(stage.asked.length, 1);
    const { since, to } = stage.notes.chain!;
    assert.ok(BigInt(since!) < BigInt(to));
  });

  test('goes on sooner behind a large step', async () => {
    const stage = new Stage();
    await stage.run(1);
    stage.bytes = 64 << 20;
    await stage.run(2);
    assert.ok(stage.scheduler.slept.at(-1)! <= 2_500, stage.scheduler.slept.join());
    assert.equal(stage.notes.chain?.versions, 4);
  });

  test('notes what goes wrong, waits longer each time, and lets another node try', async () => {
    const stage = new Stage();
    await stage.run(1);
    stage.failure = () => new Error('the place is away');
    await stage.run(50);
    assert.deepEqual([stage.notes.failures, stage.notes.problem], [5, 'the place is away']);
    assert.equal(stage.notes.chain?.seq, 1);
    assert.ok(stage.scheduler.slept.length < 10, 'it gave the unit away');
    assert.equal(stage.unit.isDue(stage.row), false);
    stage.clock.advance(30_000);
    assert.equal(stage.unit.isDue(stage.row), true);
    stage.failure = () => undefined;
    await stage.run(1);
    assert.deepEqual([stage.notes.failures, stage.notes.problem, stage.notes.chain?.seq], [0, '', 2]);
  });

  test('breaks off when the past is gone, says so, and begins anew with a backup', async () => {
    const stage = new Stage();
    await stage.run(1);
    await stage.backUp();
    await stage.run(1);
    const { id, to } = stage.notes.chain!;
    stage.failure = (seq) => (seq === 3 ? new Collected('it is gone') : undefined);
    await stage.run(1);
    assert.equal(stage.notes.chain, undefined);
    assert.deepEqual([stage.notes.broken?.to, stage.notes.broken?.why], [to, 'it is gone']);
    assert.equal((stage.errors.at(-1) as KvorumError).code, 'ARCHIVE_BROKEN');
    await stage.run(1);
    assert.notEqual(stage.notes.chain!.id, id);
    assert.equal(stage.notes.chain!.since, undefined, 'the backup before does not count');
    assert.equal(stage.notes.broken?.to, to, 'it is still said');
    assert.equal(stage.asked.length, 2);
  });

  test('breaks off when the end of its chain is not there, after some looks', async () => {
    const stage = new Stage();
    await stage.run(2);
    for (const name of [...stage.store.objects.keys()])
      if (name.startsWith('changes/')) stage.store.objects.delete(name);
    await stage.run(2);
    assert.equal(stage.notes.failures, 2);
    assert.notEqual(stage.notes.chain, undefined);
    await stage.run(1);
    assert.match(stage.notes.broken?.why ?? '', /is missing/);
  });
});

describe('the notes of the archive of changes', () => {
  const notes: ArchiveNotes = {
    chain: {
      place: '/x',
      placeId: '00',
      id: BACKUP,
      begunMs: 1,
      from: '2',
      to: '3',
      seq: 4,
      sha256: 'h',
      since: '2',
      backups: 'b',
      versions: 5,
      lastBytes: 6,
    },
    broken: { atMs: 7, to: '1', why: 'w' },
    failures: 1,
    problem: 'p',
    retryAtMs: 8,
  };

  test('have these bytes for ever', () => {
    assert.equal(
      encodeArchiveNotes(notes).toString(),
      `{"format":1,"chain":{"place":"/x","placeId":"00","id":"${BACKUP}","begunMs":1,"from":"2","to":"3","seq":4,"sha256":"h",` +
        '"since":"2","backups":"b","versions":5,"lastBytes":6},"broken":{"atMs":7,"to":"1","why":"w"},' +
        '"failures":1,"problem":"p","retryAtMs":8}',
    );
    assert.deepEqual(decodeArchiveNotes(encodeArchiveNotes(notes)), notes);
  });

  test('fit into their row, and are nothing when nobody knows their form', () => {
    const [problem, why] = ['p'.repeat(10_000), 'w'.repeat(10_000)];
    const chain = { ...notes.chain!, place: 's'.repeat(512) };
    const long = encodeArchiveNotes({ ...notes, chain, problem, broken: { ...notes.broken!, why } });
    assert.ok(long.length <= MAX_WORK_PROGRESS_BYTES);
    for (const text of ['', 'x', 'null', '{"format":2}']) {
      assert.deepEqual(decodeArchiveNotes(Buffer.from(text)), { failures: 0, problem: '', retryAtMs: 0 });
    }
  });
});

describe('the past that the archive of changes needs', () => {
  const NOW = 1_700_000_000_000;
  const stateOf = (toMs: number, settings: Readonly<Record<string, string>>, features = ['backups.archive']) => {
    const chain = {
      place: '/x',
      to: timestampOfMs(toMs).toString(),
      from: '0',
      since: timestampOfMs(5_000).toString(),
    };
    const progress = Buffer.from(JSON.stringify({ format: 1, chain, failures: 0, problem: '', retryAtMs: 0 }));
    const row = {
      name: 'archive',
      revision: 1,
      holder: nodeId(2),
      incarnation: undefined,
      leaseUntilMs: NOW + 1,
      progress,
    };
    return {
      settings: Object.entries(settings).map(([name, value]) => ({ name, value, revision: 1 })),
      features: features.map((name) => ({ name })),
      work: [row],
    } as unknown as ClusterState;
  };
  const ON = { 'backup.place': '/x', 'backup.archiveEveryMs': '1000', 'backup.archiveHoldMs': '60000' };

  test('is kept from the end of the chain on, for as long as the setting says', () => {
    assert.equal(archiveHold(stateOf(NOW - 60_000, ON), NOW)?.ts, timestampOfMs(NOW - 60_000));
    assert.equal(archiveHold(stateOf(NOW - 60_001, ON), NOW), undefined, 'too far behind');
    assert.equal(archiveHold(stateOf(NOW, { ...ON, 'backup.archiveEveryMs': '0' }), NOW), undefined, 'off');
    assert.equal(archiveHold(stateOf(NOW, { ...ON, 'backup.place': '/y' }), NOW), undefined, 'elsewhere');
    assert.equal(archiveHold(stateOf(NOW, ON, []), NOW), undefined, 'not every node can');
  });

  test('is shown, with the moments that there are', () => {
    const view = archiveViewOf(stateOf(NOW, ON), NOW);
    assert.deepEqual([view.isOn, view.node, view.sinceMs, view.untilMs], [true, 2, 5_000, NOW]);
    const off = archiveViewOf(stateOf(NOW, {}), NOW);
    assert.deepEqual([off.isOn, off.everyMs, off.untilMs], [false, 0, NOW]);
  });
});

describe('what nodes say about changes', () => {
  test('has these bytes for ever', () => {
    const at = { chain: BACKUP, seq: 4, attempt: '0a0b0c0d', from: '17', to: '18' } as const;
    const question = { kind: 'changes', place: '/x', placeId: '00', group: 3, ...at } as const;
    assert.equal(
      encodeBackupMessage(question).toString(),
      `{"kind":"changes","place":"/x","placeId":"00","group":3,"chain":"${BACKUP}","seq":4,"attempt":"0a0b0c0d","from":"17","to":"18"}`,
    );
    assert.deepEqual(decodeBackupQuestion(encodeBackupMessage(question)), question);
    const object = { name: 'n', bytes: 9 };
    const stored = {
      part: { group: groupId(3), versions: 1, bytes: 2, object, sha256: 's' },
      spans: [{ start: Buffer.from([1]), end: undefined }],
      ceilingMs: 5,
    };
    const answer = { kind: 'done', changes: tellChanges(stored) } as const;
    assert.equal(
      encodeBackupMessage(answer).toString(),
      '{"kind":"done","changes":{"part":{"group":3,"versions":1,"bytes":2,"object":{"name":"n","bytes":9},"sha256":"s"},' +
        '"spans":[["01",null]],"ceilingMs":5}}',
    );
    const read = decodeBackupAnswer(encodeBackupMessage(answer));
    assert.ok(read.kind === 'done' && read.changes !== undefined);
    assert.deepEqual(toldChanges(read.changes, groupId(3)), stored);
  });

  test('is refused when it cannot be read', () => {
    const whole = {
      kind: 'changes',
      place: '/x',
      placeId: '0',
      group: 1,
      chain: BACKUP,
      seq: 1,
      attempt: '00000000',
      from: '1',
      to: '2',
    };
    for (const wrong of [{ group: 0 }, { chain: '../x' }, { seq: 0 }, { attempt: 'x' }, { from: 'x' }, { to: 1 }]) {
      const bytes = Buffer.from(JSON.stringify({ ...whole, ...wrong }));
      assert.throws(() => decodeBackupQuestion(bytes), { code: 'BACKUP_MESSAGE' });
    }
  });
});
