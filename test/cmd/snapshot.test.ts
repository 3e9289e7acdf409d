/** What `raftadmin snapshot` says and how it ends, where no cluster is needed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { runRaftadmin, type Terminal } from '../../cmd/raftadmin/index.ts';
import { ArchiveWriter } from '../../src/node/index.ts';
import { groupId, hlcTimestamp, SystemDisk } from '../../src/platform/index.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { inlineCompression } from '../../src/store/segments/compression.ts';
import { encodeManifest } from '../../src/store/segments/manifest.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

class Screen implements Terminal {
  readonly env = {};
  readonly isInteractive: boolean;
  readonly isScreen = false;
  readonly isErrorScreen = false;
  readonly interrupted = new AbortController().signal;
  readonly answers: string[];
  out = '';
  errors = '';

  constructor(...answers: string[]) {
    this.answers = answers;
    this.isInteractive = answers.length > 0;
  }

  write(text: string): void {
    this.out += text;
  }

  writeError(text: string): void {
    this.errors += text;
  }

  async ask(question: string): Promise<string> {
    this.errors += question;
    return this.answers.shift() ?? '';
  }
}

/** An archive of one group that holds one key. */
async function writeArchive(folder: string): Promise<void> {
  const levels = new SimulatedLevels();
  const store = await openGroupStore({
    location: 'store',
    openLevel: levels.openLevel,
    folders: levels,
    disk: new MemoryDisk(),
    compression: inlineCompression,
  });
  const unit = store.write();
  unit.put(Buffer.from('k'), Buffer.from('v'), hlcTimestamp(9n), hlcTimestamp(0n));
  unit.commit(1);
  const conf = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const cut = await store.exportSegments(() => ({ group: 7, index: 1, term: 1, conf, maxTs: '9', ceilingMs: 0 }));
  const writer = await ArchiveWriter.begin(new SystemDisk(), folder);
  async function* parts() {
    yield { manifest: encodeManifest(cut.manifest) };
    for (const segment of cut.manifest.segments) for await (const piece of cut.frames(segment)) yield { piece };
  }
  const copy = await writer.add(groupId(7), parts());
  const at = hlcTimestamp(9n);
  await writer.finish({ createdMs: 1_700_000_000_000, version: '0.1.0', at, catalogVersion: 1 }, [copy]);
  await store.close();
}

describe('raftadmin snapshot', () => {
  let folder: string;
  let archive: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvorum-snapshot-'));
    archive = join(folder, 'monday');
    await writeArchive(archive);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('verify says that a snapshot is sound, or names what is damaged and fails', async () => {
    const sound = new Screen();
    assert.equal(await runRaftadmin(['snapshot', 'verify', archive], sound), 0);
    assert.match(sound.out, /is sound: 1 group, \d segments, \d rows/);
    const name = readdirSync(join(archive, 'group-7')).find((file) => file.endsWith('.seg'))!;
    writeFileSync(join(archive, 'group-7', name), 'nonsense');
    const damaged = new Screen();
    assert.equal(await runRaftadmin(['snapshot', 'verify', archive], damaged), 1);
    assert.ok(damaged.errors.includes(name));
    assert.match(damaged.errors, /must not be restored/);
    const missing = new Screen();
    assert.equal(await runRaftadmin(['snapshot', 'verify', join(folder, 'tuesday')], missing), 1);
    assert.match(missing.errors, /archive\.json is missing/);
  });

  test('list shows what there is, for people and for programs', async () => {
    const screen = new Screen();
    assert.equal(await runRaftadmin(['snapshot', 'list', folder], screen), 0);
    assert.match(screen.out, /monday.*2023-11-14/);
    const json = new Screen();
    assert.equal(await runRaftadmin(['-w', 'json', 'snapshot', 'list', folder], json), 0);
    const [listed] = JSON.parse(json.out) as { archive: { at: string; groups: { group: number }[] } }[];
    assert.equal(listed?.archive.at, '9');
    assert.deepEqual(
      listed?.archive.groups.map(({ group }) => group),
      [7],
    );
  });

  test('restore asks first, and off a terminal does nothing without --yes', async () => {
    const target = join(folder, 'data');
    const silent = new Screen();
    assert.equal(await runRaftadmin(['snapshot', 'restore', archive, target], silent), 2);
    assert.match(silent.errors, /stop the old one\. Say --yes to do it/);
    const unsure = new Screen('n');
    assert.equal(await runRaftadmin(['snapshot', 'restore', archive, target], unsure), 1);
    assert.match(unsure.errors, /nothing was done/);
    // Agreed, and refused by what the archive is.
    const agreed = new Screen('y');
    assert.equal(await runRaftadmin(['snapshot', 'restore', archive, target], agreed), 1);
    assert.match(agreed.errors, /lacks the group of the catalog .*\[ARCHIVE\]|lacks the group of the catalog/);
    assert.deepEqual(readdirSync(folder), ['monday']);
  });

  test('save needs a cluster', async () => {
    const screen = new Screen();
    const args = ['-e', '127.0.0.1:1', '--timeout', '500ms', 'snapshot', 'save', join(folder, 'new')];
    assert.equal(await runRaftadmin(args, screen), 3);
    assert.match(screen.errors, /no endpoint answers/);
  });
});
