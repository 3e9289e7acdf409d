/** The unit of work that makes backups: what is begun is noted, what breaks is tried again, what is given up is said. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BackupDamagedError,
  BackupError,
  type BackupManifest,
  ObjectStoreUnavailableError,
} from '../../../src/backup/index.ts';
import { decodeBackupAnswer, decodeBackupQuestion, encodeBackupMessage } from '../../../src/cluster/backup/messages.ts';
import { type BackupNotes, decodeBackupNotes, encodeBackupNotes } from '../../../src/cluster/backup/notes.ts';
import type { BackupSettings } from '../../../src/cluster/backup/settings.ts';
import { type BackupWorkOptions, backupWork, nextBackupMs } from '../../../src/cluster/backup/work.ts';
import { groupId, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import { ManualClock } from '../../support/manual-time.ts';

const HOUR = 3_600_000;
const SETTINGS: BackupSettings = {
  place: 's3://backups/orders',
  everyMs: HOUR,
  keepCount: 7,
  keepMs: 0,
  bytesPerSecond: 1 << 20,
};

const manifestOf = (id: string): BackupManifest => ({
  id,
  createdMs: 1,
  version: 'test',
  clusterName: 'test',
  at: hlcTimestamp(5n),
  catalogVersion: 1,
  dataKey: undefined,
  groups: [1, 2].map((group) => ({
    group: groupId(group),
    index: 1,
    rows: 2,
    bytes: 100,
    newBytes: 40,
    copy: { name: 'c', bytes: 1 },
    copySha256: 's',
    segments: [],
  })),
});

/** The unit on one node, and the row that all nodes share. */
class Stage {
  readonly clock = new ManualClock();
  row: Buffer = Buffer.alloc(0);
  readonly saved: BackupNotes[] = [];
  settings: BackupSettings | undefined = SETTINGS;
  asked: { readonly place: string } | undefined;
  readonly errors: unknown[] = [];
  make: BackupWorkOptions['make'] = async ({ id }) => manifestOf(id);
  cleanUp: BackupWorkOptions['cleanUp'] = async () => ({ removed: ['x'], steps: 0, objects: 3, bytes: 30 });
  readonly unit = backupWork({
    settings: () => this.settings,
    takeAsked: () => {
      const { asked } = this;
      this.asked = undefined;
      return asked;
    },
    onBegun: () => undefined,
    make: (...args) => this.make(...args),
    cleanUp: (...args) => this.cleanUp(...args),
    clock: this.clock,
    random: new SeededRandom(1),
    onError: (error) => this.errors.push(error),
  });

  get notes(): BackupNotes {
    return decodeBackupNotes(this.row);
  }

  get isDue(): boolean {
    return this.unit.isDue(this.row);
  }

  async run(abort = new AbortController()): Promise<void> {
    this.row = await this.unit.run({
      signal: abort.signal,
      notes: this.row,
      save: async (bytes) => {
        abort.signal.throwIfAborted();
        this.row = bytes;
        this.saved.push(decodeBackupNotes(bytes));
      },
    });
  }
}

describe('the unit of work that makes backups', () => {
  test('is due when one is scheduled and its time has come, and not before', async () => {
    const stage = new Stage();
    assert.equal(stage.isDue, true);
    await stage.run();
    assert.equal(stage.isDue, false);
    stage.clock.advance(HOUR - 1);
    assert.equal(stage.isDue, false);
    stage.clock.advance(1);
    assert.equal(stage.isDue, true);
    stage.settings = { ...SETTINGS, everyMs: 0 };
    assert.equal(stage.isDue, false);
    stage.settings = undefined;
    assert.equal(stage.isDue, false);
  });

  test('notes what it begins before it does anything, and what came of it', async () => {
    const stage = new Stage();
    let seen: BackupNotes = {};
    stage.make = async ({ id }, onProgress, { save }) => {
      seen = stage.notes;
      onProgress({ groups: 2, groupsDone: 1, bytes: 10, doneBytes: 5, newBytes: 5 });
      await save(Buffer.alloc(0));
      return manifestOf(id);
    };
    await stage.run();
    assert.equal(seen.running?.place, SETTINGS.place);
    assert.match(seen.running?.id ?? '', /^20231114T221320Z-[0-9a-f]{8}$/);
    assert.deepEqual([stage.saved[1]?.running?.groupsDone, stage.saved[1]?.running?.doneBytes], [1, 5]);
    const { running, last, cleaned } = stage.notes;
    assert.equal(running, undefined);
    assert.deepEqual([last?.id, last?.bytes, last?.newBytes], [seen.running?.id, 200, 80]);
    assert.deepEqual([cleaned?.removed, cleaned?.objects, cleaned?.problem], [1, 3, '']);
  });

  test('goes on with the same backup where its maker lost the lease', async () => {
    const stage = new Stage();
    const abort = new AbortController();
    stage.make = async () => {
      abort.abort(new Error('the lease ran out'));
      throw new Error('the store was cut off');
    };
    await assert.rejects(stage.run(abort), /the lease ran out/);
    const begun = stage.notes.running;
    assert.equal(stage.isDue, true);
    let made: string | undefined;
    stage.make = async ({ id, attempt }) => {
      made = `${id} ${attempt}`;
      return manifestOf(id);
    };
    await stage.run();
    assert.equal(made, `${begun?.id} 2`);
    assert.equal(stage.notes.last?.id, begun?.id);
    assert.deepEqual(stage.errors, []);
  });

  test('tries again what may pass, later each time, and gives it up in the end', async () => {
    const stage = new Stage();
    stage.make = async () => {
      throw new ObjectStoreUnavailableError('s3 is away');
    };
    let attempts = 0;
    let waitedMs = 0;
    for (; stage.notes.failed === undefined; attempts++) {
      await stage.run();
      const { running } = stage.notes;
      if (running === undefined) continue;
      assert.equal(running.problem, 's3 is away');
      assert.equal(stage.isDue, false);
      const waitMs = running.retryAtMs - stage.clock.nowMs();
      assert.ok(waitMs > waitedMs);
      waitedMs = waitMs;
      stage.clock.advance(waitMs);
      assert.equal(stage.isDue, true);
    }
    assert.equal(attempts, 6);
    assert.deepEqual([stage.notes.running, stage.notes.failed?.problem], [undefined, 's3 is away']);
    // The next one has its time.
    assert.equal(stage.isDue, false);
    assert.equal(nextBackupMs(stage.notes, SETTINGS), stage.clock.nowMs() + HOUR);
  });

  test('gives up at once what cannot pass, and keeps what it knows of the last good one', async () => {
    const stage = new Stage();
    await stage.run();
    const good = stage.notes.last;
    stage.clock.advance(HOUR);
    stage.make = async () => {
      throw new BackupError('the key is another one');
    };
    await stage.run();
    assert.deepEqual(stage.notes.last, good);
    assert.equal(stage.notes.failed?.problem, 'the key is another one');
    assert.equal(stage.errors.length, 1);
  });

  test('has made a backup also when the clean-up behind it fails', async () => {
    const stage = new Stage();
    stage.cleanUp = async () => {
      throw new BackupDamagedError('a manifest is damaged');
    };
    await stage.run();
    assert.notEqual(stage.notes.last, undefined);
    assert.equal(stage.notes.cleaned?.problem, 'a manifest is damaged');
  });

  test('makes one that an operator asks for where that one says, scheduled or not', async () => {
    const stage = new Stage();
    stage.settings = { ...SETTINGS, place: '', everyMs: 0 };
    await stage.run();
    assert.deepEqual(stage.notes, {}, 'nobody asks for one');
    stage.asked = { place: '/mnt/spare' };
    await stage.run();
    assert.equal(stage.notes.last?.place, '/mnt/spare');
  });
});

describe('the notes of backups', () => {
  const notes: BackupNotes = {
    running: {
      id: 'b',
      place: '/x',
      begunMs: 2,
      attempt: 1,
      groups: 0,
      groupsDone: 0,
      bytes: 0,
      doneBytes: 0,
      newBytes: 0,
      problem: '',
      retryAtMs: 0,
    },
    last: { id: 'a', place: '/x', begunMs: 1, doneMs: 2, groups: 3, bytes: 4, newBytes: 5 },
  };

  test('have these bytes for ever', () => {
    assert.equal(
      encodeBackupNotes(notes).toString(),
      '{"format":1,"running":{"id":"b","place":"/x","begunMs":2,"attempt":1,"groups":0,"groupsDone":0,"bytes":0,' +
        '"doneBytes":0,"newBytes":0,"problem":"","retryAtMs":0},' +
        '"last":{"id":"a","place":"/x","begunMs":1,"doneMs":2,"groups":3,"bytes":4,"newBytes":5}}',
    );
    assert.deepEqual(decodeBackupNotes(encodeBackupNotes(notes)), notes);
  });

  test('fit into their row whatever went wrong, and are nothing when nobody knows their form', () => {
    const place = `s3://${'x'.repeat(507)}`;
    const problem = 'p'.repeat(10_000);
    const long = encodeBackupNotes({
      running: { ...notes.running!, place, problem },
      last: { ...notes.last!, place },
      failed: { id: 'c', place, atMs: 1, problem },
      cleaned: { atMs: 1, removed: 1, objects: 1, bytes: 1, problem },
    });
    assert.ok(long.length <= 4_096, String(long.length));
    for (const text of ['', 'nonsense', '{"format":2}', '[]']) {
      assert.deepEqual(decodeBackupNotes(Buffer.from(text)), {});
    }
  });
});

describe('what nodes say to each other about backups', () => {
  test('has these bytes for ever', () => {
    const upload = { kind: 'upload', place: '/x', placeId: '00', group: 3, at: '17' } as const;
    assert.equal(
      encodeBackupMessage(upload).toString(),
      '{"kind":"upload","place":"/x","placeId":"00","group":3,"at":"17"}',
    );
    assert.deepEqual(decodeBackupQuestion(encodeBackupMessage(upload)), upload);
    const check = { kind: 'check', place: '/x', placeId: '00' } as const;
    assert.deepEqual(decodeBackupQuestion(encodeBackupMessage(check)), check);
    const failed = { kind: 'failed', code: 'NOT_LEADER', disposition: 'redirect', message: 'm' } as const;
    assert.deepEqual(decodeBackupAnswer(encodeBackupMessage(failed)), failed);
  });

  test('is refused when it cannot be read', () => {
    for (const text of ['', 'x', 'null', '{}', '{"kind":"upload","place":"/x","placeId":"0","group":0,"at":"1"}']) {
      assert.throws(() => decodeBackupQuestion(Buffer.from(text)), { code: 'BACKUP_MESSAGE' }, text);
      assert.throws(() => decodeBackupAnswer(Buffer.from(text)), { code: 'BACKUP_MESSAGE' }, text);
    }
  });
});
