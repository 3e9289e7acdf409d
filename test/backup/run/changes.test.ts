/** Any moment out of a backup and the changes behind it, whatever the cluster, the store and whoever archives go through meanwhile. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type BackupManifest,
  BackupPlace,
  beginChain,
  ChangeLog,
  changeWindows,
  cleanUp,
  type PlaceKey,
  planMoment,
  readableBackups,
  readChanges,
  resumeChain,
  SimulatedObjects,
  type StoredStep,
  verifyChanges,
  writeStep,
} from '../../../src/backup/index.ts';
import { replayChanges } from '../../../src/node/archive/replay.ts';
import { type HlcTimestamp, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import { WrappingKeys } from '../../../src/security/index.ts';
import { inlineCompression } from '../../../src/store/segments/compression.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { HASTY, type LeftOut, ModelCluster, modelKey, strayPart } from './model-cluster.ts';

const CHAIN = '20260102T030405Z-00000001';
const LATER_CHAIN = '20260103T030405Z-00000002';
const NAME = 'model';
const FACTS = { createdMs: 1_767_000_000_000, version: 'test', clusterName: NAME };
const KEY = WrappingKeys.parse('01'.repeat(32), 'the test');
const moment = (at: HlcTimestamp): string => `moment ${at}`;

/** A cluster, a place, and whoever archives there; what that one has noted outlives it. */
class Stage {
  readonly random: SeededRandom;
  readonly store: SimulatedObjects;
  readonly cluster: ModelCluster;
  readonly key: PlaceKey;
  /** What a cluster remembers: the last step that was noted. */
  noted: { readonly chain: string; readonly seq: number; readonly sha256: string } | undefined;
  /** States of the backups' moments. */
  readonly bases = new Map<string, Map<string, string>>();
  private backups = 0;

  constructor(seed: number, key: PlaceKey = 'none') {
    this.random = new SeededRandom(seed);
    this.store = new SimulatedObjects(HASTY, this.random);
    this.cluster = new ModelCluster(this.random);
    this.key = key;
  }

  async open(): Promise<ChangeLog> {
    const log = new ChangeLog(await BackupPlace.write(this.store, this.key, this.random));
    this.cluster.log = log;
    return log;
  }

  async begin(chain = CHAIN): Promise<void> {
    this.note(await beginChain(chain, { log: await this.open(), facts: FACTS, cluster: this.cluster }));
  }

  /** One step; again when ranges change hands each time it is tried. */
  async step(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.attempt();
      } catch (error) {
        if (attempt === 20 || !/changed hands|was moved/.test(String(error))) throw error;
      }
    }
  }

  /** By somebody who knows what was noted only. */
  async attempt(): Promise<void> {
    const log = await this.open();
    const { chain, seq, sha256 } = this.noted!;
    const before = await resumeChain(log, chain, seq, sha256);
    const { cluster, random } = this;
    const signal = new AbortController().signal;
    this.note(await writeStep(before, { log, facts: FACTS, cluster, parallel: 2, random, signal }));
  }

  /** A backup of the present moment, as a manifest; what is in it the stage knows. */
  async backUp(): Promise<BackupManifest> {
    const log = await this.open();
    const at = await this.cluster.moment();
    const id = `20260102T040506Z-${String(++this.backups).padStart(8, '0')}`;
    const manifest = { ...FACTS, id, at, catalogVersion: 1, dataKey: log.place.dataKey?.id, groups: [] };
    await log.place.putManifest(manifest);
    this.bases.set(id, this.cluster.at(at));
    return manifest;
  }

  /** The cluster of a moment, out of what is at the place. */
  async restored(at: HlcTimestamp, named?: string): Promise<Map<string, string>> {
    const place = await BackupPlace.read(this.store, this.key === 'none' ? undefined : this.key, this.random);
    const plan = await planMoment(place, at, named, moment);
    const stores = [new MemoryStore(), new MemoryStore()];
    const border = modelKey(11);
    for (const [key, value] of this.bases.get(plan.backup.id)!) {
      const store = stores[Buffer.compare(Buffer.from(key), border) < 0 ? 0 : 1]!;
      const writer = store.write();
      writer.put(Buffer.from(key), Buffer.from(value), plan.backup.at, hlcTimestamp(0n));
      writer.commit(store.appliedIndex + 1);
    }
    const groups = [
      { store: stores[0]!, spans: [{ start: Buffer.alloc(0), end: border }] },
      { store: stores[1]!, spans: [{ start: border, end: undefined }] },
    ];
    await replayChanges(groups, readChanges(plan, { compression: inlineCompression }));
    const found = new Map<string, string>();
    for (const store of stores) {
      const page = await store.scan({ start: Buffer.alloc(0), end: Buffer.from([0xff]), readTs: at, limit: 1_000 });
      for (const { key, value } of page.rows) found.set(key.toString(), value.toString());
    }
    return found;
  }

  /** Moments of the window, in its middle and at its ends. @returns those that are not as they were */
  async wrongMoments(count = 6): Promise<HlcTimestamp[]> {
    const place = await BackupPlace.read(this.store, undefined, this.random);
    const [window] = await changeWindows(new ChangeLog(place), await readableBackups(place));
    const [first, last] = [window!.backups[0]!.at, window!.to];
    const wrong: HlcTimestamp[] = [];
    for (let at = 0; at < count; at++) {
      const share = at === 0 ? 0n : at === 1 ? last - first : BigInt(this.random.int(Number(last - first) + 1));
      const wanted = hlcTimestamp(first + share);
      const [found, known] = [await this.restored(wanted), this.cluster.at(wanted)];
      if (!isSame(found, known)) wrong.push(wanted);
    }
    return wrong;
  }

  names(prefix: string): string[] {
    return [...this.store.objects.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  private note({ step: { chain, seq }, sha256 }: StoredStep): void {
    this.noted = { chain, seq, sha256 };
  }
}

function isSame(left: Map<string, string>, right: Map<string, string>): boolean {
  return left.size === right.size && [...left].every(([key, value]) => right.get(key) === value);
}

/** A life: a chain, a backup, steps; what was asked last may fail. */
async function live(stage: Stage, steps: number): Promise<void> {
  await stage.begin();
  stage.cluster.happen(30);
  await stage.backUp();
  for (let at = 0; at < steps; at++) {
    stage.cluster.happen(10);
    await stage.step();
  }
}

async function wrongWithout(leftOut: LeftOut): Promise<number> {
  let wrong = 0;
  for (let seed = 1; seed <= 25 && wrong === 0; seed++) {
    const stage = new Stage(seed);
    stage.cluster.leftOut = leftOut;
    await live(stage, 6);
    wrong += (await stage.wrongMoments(12).catch(() => [hlcTimestamp(0n)])).length;
  }
  return wrong;
}

describe('any moment behind a backup', () => {
  test('is what it was, whatever was written, moved and split meanwhile', async () => {
    for (let seed = 1; seed <= 15; seed++) {
      const stage = new Stage(seed, seed % 5 === 0 ? KEY : 'none');
      await live(stage, 8);
      assert.deepEqual(await stage.wrongMoments(), [], `seed ${seed}`);
    }
  });

  test('would not be without each of the guards', async () => {
    assert.ok((await wrongWithout({ confirm: true })) > 0, 'ranges that were moved meanwhile');
    assert.ok((await wrongWithout({ locks: true })) > 0, 'transactions that are open at the moment');
    assert.ok((await wrongWithout({ clock: true })) > 0, 'clocks that are not past the moment');
  });

  test('is what it was when whoever archives dies at any step, and its answers are lost', async () => {
    for (const fault of ['unavailable', 'lost'] as const) {
      let isThrough = false;
      for (let step = 1; !isThrough; step += 1) {
        const stage = new Stage(step);
        await stage.begin();
        await stage.backUp();
        stage.cluster.happen(10);
        let operations = 0;
        let isDead = false;
        stage.store.fault = (operation) => {
          operations += 1;
          isDead ||= operations >= step;
          const isLost = fault === 'lost' && operation === 'put' && operations === step;
          return isDead ? (isLost ? 'lost' : 'unavailable') : undefined;
        };
        isThrough = await stage.step().then(
          () => !isDead,
          () => false,
        );
        stage.store.fault = () => undefined;
        for (let at = 0; at < 2; at++) {
          stage.cluster.happen(5);
          await stage.step();
        }
        assert.deepEqual(await stage.wrongMoments(4), [], `${fault} at ${step}`);
        assert.equal(stage.names('changes/steps/').length, stage.noted!.seq + 1, 'one step of each number');
      }
    }
  });

  test('is what it was when two archive at once, because one of them does not know that it is not its turn', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const stage = new Stage(seed);
      await live(stage, 1);
      for (let round = 0; round < 3; round++) {
        // What one of them fails with is that ranges change hands.
        await Promise.allSettled([stage.attempt(), stage.attempt()]);
        await stage.step();
      }
      assert.deepEqual(await stage.wrongMoments(4), [], `seed ${seed}`);
    }
  });

  test('is refused when there is none, with those that there are', async () => {
    const stage = new Stage(3);
    await stage.begin();
    await stage.step();
    const early = stage.cluster;
    await assert.rejects(stage.restored(hlcTimestamp(5_000n)), { code: 'BACKUP', message: /none to choose from/ });
    early.happen(5);
    const backup = await stage.backUp();
    await assert.rejects(stage.restored(backup.at), { message: /none to choose from/ }, 'no changes lead on yet');
    await stage.step();
    await stage.restored(backup.at);
    await assert.rejects(stage.restored(hlcTimestamp(backup.at - 1n)), {
      message: new RegExp(`moment ${backup.at - 1n} cannot be restored .* there are moment ${backup.at} to moment `),
    });
    await assert.rejects(stage.restored(backup.at, '20260102T040506Z-99999999'), { message: /from backup 2026/ });
  });

  test('is refused when a step was lost, exchanged or damaged', async () => {
    const stage = new Stage(4, KEY);
    await live(stage, 5);
    const steps = stage.names('changes/steps/');
    const verify = async (): Promise<readonly string[]> => {
      const place = await BackupPlace.read(stage.store, KEY, stage.random);
      const window = (await changeWindows(new ChangeLog(place), await readableBackups(place))).at(-1)!;
      const plan = await planMoment(place, window.to, undefined, moment);
      return (await verifyChanges(plan, { compression: inlineCompression })).problems;
    };
    assert.deepEqual(await verify(), []);
    const [name, content] = [steps[3]!, stage.store.objects.get(steps[3]!)!];
    stage.store.objects.delete(name);
    await assert.rejects(verify(), { message: /cannot be restored|none to choose/ });
    stage.store.objects.set(name, content);
    const { step } = await (await stage.open()).step(CHAIN, stage.noted!.seq);
    const part = stage.names('changes/parts/').find((one) => one.endsWith(step.parts[0]!.object.name))!;
    const kept = stage.store.objects.get(part)!;
    stage.store.objects.delete(part);
    assert.match((await verify()).join(), /is missing/);
    stage.store.objects.set(part, kept);
    // A chain of the same numbers, by somebody without the key, or of another time.
    const other = new Stage(5, KEY);
    await live(other, 5);
    stage.store.objects.set(name, other.store.objects.get(steps[3]!)!);
    await assert.rejects(verify().then((problems) => assert.deepEqual(problems, [])));
  });
});

describe('a clean-up of the archive of changes', () => {
  const clean = async (stage: Stage, ids: readonly string[] = []) =>
    cleanUp({
      place: await BackupPlace.read(stage.store, undefined, stage.random),
      choose: () => ids,
      nowMs: () => FACTS.createdMs,
      random: stage.random,
    });

  test('takes what leads on from no backup that is kept, and what attempts have left', async () => {
    const stage = new Stage(6);
    await live(stage, 3);
    const first = [...stage.bases.keys()][0]!;
    await stage.backUp();
    for (let at = 0; at < 3; at++) await stage.step();
    const before = stage.names('changes/steps/').length;
    const log = await stage.open();
    const [chain, seq] = [CHAIN, stage.noted!.seq];
    const content = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('left behind');
    };
    await log.putPart(chain, seq, strayPart(stage.random), content());
    // On its way: the next step's.
    await log.putPart(chain, seq + 1, strayPart(stage.random), content());
    assert.deepEqual((await clean(stage)).steps, 1, 'the first step leads to the first backup only');
    const { steps } = await clean(stage, [first]);
    assert.ok(steps > 0);
    assert.equal(stage.names('changes/steps/').length, before - steps - 1);
    const strays = stage.names('changes/parts/').filter((name) => name.includes('deadbeef'));
    assert.deepEqual(strays.length, 1);
    assert.ok(strays[0]!.includes(String(seq + 1)));
    assert.deepEqual(await stage.wrongMoments(), []);
    await stage.step();
    assert.deepEqual(await stage.wrongMoments(), [], 'what was on its way was left alone');
  });

  test('keeps what each moment needs, at any time, while changes are archived', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const stage = new Stage(seed);
      await live(stage, 2);
      for (let round = 0; round < 3; round++) {
        await stage.backUp();
        const ids = [...stage.bases.keys()];
        const old = ids.slice(0, -1).filter(() => stage.random.int(2) === 0);
        await Promise.all([
          stage.step(),
          clean(stage, old).then(() => {
            for (const id of old) stage.bases.delete(id);
          }),
        ]);
        await stage.step();
        assert.deepEqual(await stage.wrongMoments(4), [], `seed ${seed}`);
      }
    }
  });

  test('takes a chain that broke off when no backup of it is kept, and leaves one that has just begun', async () => {
    const stage = new Stage(7);
    await live(stage, 3);
    const ids = [...stage.bases.keys()];
    await stage.begin(LATER_CHAIN);
    await stage.step();
    await clean(stage);
    assert.ok(stage.names(`changes/steps/${CHAIN}`).length > 1);
    await clean(stage, ids);
    assert.deepEqual(stage.names(`changes/steps/${CHAIN}`), []);
    assert.deepEqual(stage.names(`changes/parts/${CHAIN}`), []);
    assert.equal(stage.names(`changes/steps/${LATER_CHAIN}`).length, 2);
  });

  test('deletes nothing of the archive when one of its ends cannot be read', async () => {
    const stage = new Stage(8);
    await live(stage, 3);
    const steps = stage.names('changes/');
    stage.store.objects.set(steps.find((name) => name.startsWith('changes/steps/'))!, Buffer.from('damaged'));
    await assert.rejects(clean(stage, [...stage.bases.keys()]), { code: 'BACKUP_DAMAGED' });
    assert.deepEqual(stage.names('changes/'), steps);
  });
});
