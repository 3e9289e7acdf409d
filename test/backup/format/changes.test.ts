/** The archive of changes, byte by byte: later versions read it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ChangeStep, decodeStep, encodeStep } from '../../../src/backup/format/change-step.ts';
import { DataKey } from '../../../src/backup/format/data-key.ts';
import { BackupPlace, ChangeLog, decodePart, encodePart, SimulatedObjects } from '../../../src/backup/index.ts';
import { groupId, hlcTimestamp, SeededRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { WrappingKeys } from '../../../src/security/index.ts';
import { type ExportedVersion, type Json, openJson, sealJson } from '../../../src/store/index.ts';
import { inlineCompression } from '../../../src/store/segments/compression.ts';

const HASH = 'c'.repeat(64);
const CHAIN = '20260102T030405Z-1f3a5c7e';
const KEY = new DataKey('0011223344556677', Buffer.alloc(32, 7));
const PART_NAME = `${'ab'.repeat(12)}-3`;

const STEP: ChangeStep = {
  chain: CHAIN,
  seq: 5,
  createdMs: 1_767_323_045_000,
  version: '0.2.0',
  clusterName: 'orders',
  from: hlcTimestamp(115_823_283_077_120_000n),
  to: hlcTimestamp(115_823_283_077_130_000n),
  before: HASH,
  ceilingMs: 1_767_323_046_000,
  dataKey: undefined,
  parts: [{ group: groupId(3), versions: 2, bytes: 70, object: { name: PART_NAME, bytes: 90 }, sha256: HASH }],
};
const GOLDEN =
  `{"format":1,"chain":"${CHAIN}","seq":5,"createdMs":1767323045000,"version":"0.2.0","clusterName":"orders",` +
  `"from":"115823283077120000","to":"115823283077130000","before":"${HASH}","ceilingMs":1767323046000,"dataKey":null,` +
  `"parts":[{"group":3,"versions":2,"bytes":70,"object":{"name":"${PART_NAME}","bytes":90},"sha256":"${HASH}"}]}`;

const GOLDEN_PROOF = '5b3b98acf3826c2b4cbb93be681dccb4a07dbedd0ea93464993e4b892a76a1f1';

const VERSIONS: readonly ExportedVersion[] = [
  { key: Buffer.from('a'), commitTs: hlcTimestamp(7n), expireTs: hlcTimestamp(9n), value: Buffer.from('one') },
  { key: Buffer.from('a'), commitTs: hlcTimestamp(8n), expireTs: hlcTimestamp(0n), value: undefined },
];

async function* pages(...all: (readonly ExportedVersion[])[]): AsyncGenerator<readonly ExportedVersion[]> {
  yield* all;
}

async function* piecesOf(bytes: Buffer, length = 7): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function encoded(...all: (readonly ExportedVersion[])[]): Promise<{ bytes: Buffer; versions: number }> {
  const tally = { versions: 0, bytes: 0 };
  const pieces: Buffer[] = [];
  for await (const piece of encodePart(pages(...all), inlineCompression, tally)) pieces.push(piece);
  return { bytes: Buffer.concat(pieces), versions: tally.versions };
}

async function decoded(bytes: Buffer): Promise<ExportedVersion[]> {
  const found: ExportedVersion[] = [];
  for await (const page of decodePart(piecesOf(bytes), inlineCompression, 'it')) found.push(...page);
  return found;
}

describe('a part of the archive of changes', () => {
  test('has these bytes for ever', async () => {
    const { bytes, versions } = await encoded(VERSIONS);
    assert.equal(versions, 2);
    const [head, raw] = [bytes.subarray(0, 16), await inlineCompression.expand(bytes.subarray(16), 43)];
    assert.equal(head.toString('latin1', 0, 8), 'KVRMCHG1');
    assert.deepEqual([head.readUInt32BE(8), head.readUInt32BE(12)], [43, bytes.length - 16]);
    assert.equal(
      raw.toString('hex'),
      `0000000161${'0000000000000007'}01${'0000000000000009'}000000036f6e65` + `0000000161${'0000000000000008'}00`,
    );
    assert.deepEqual(await decoded(bytes), VERSIONS);
  });

  test('has blocks of some size, and comes in pieces of any', async () => {
    const many = Array.from({ length: 40 }, (_, at) => ({ ...VERSIONS[0]!, value: Buffer.alloc(20_000, at) }));
    const { bytes } = await encoded(many.slice(0, 15), many.slice(15));
    assert.deepEqual(await decoded(bytes), many);
    assert.deepEqual((await encoded([])).bytes.length, 0, 'nothing of nothing');
  });

  test('is refused when it is cut off or is something else', async () => {
    const { bytes } = await encoded(VERSIONS);
    for (let length = 0; length < bytes.length; length++) {
      // Nothing but the head says nothing, which the number of versions in the step contradicts.
      if (length === 8) continue;
      await assert.rejects(decoded(bytes.subarray(0, length)), { code: 'BACKUP_DAMAGED' });
    }
    await assert.rejects(decoded(Buffer.concat([Buffer.from('KVRMENC1'), bytes.subarray(8)])), {
      code: 'BACKUP_DAMAGED',
    });
  });
});

describe('a step of the archive of changes', () => {
  test('has these bytes for ever', () => {
    const bytes = encodeStep(STEP, undefined);
    assert.equal(bytes.toString().split('\n')[0], GOLDEN);
    const { proof, ...read } = decodeStep(bytes, 'it');
    assert.deepEqual([proof, read], [undefined, STEP]);
    const first: ChangeStep = { ...STEP, seq: 0, before: undefined, parts: [] };
    const { proof: none, ...begun } = decodeStep(encodeStep(first, undefined), 'it');
    assert.deepEqual([none, begun], [undefined, first]);
  });

  test('has a proof of these bytes where there is a key', () => {
    const keyed = { ...STEP, dataKey: KEY.id };
    const { proof, ...read } = decodeStep(encodeStep(keyed, KEY), 'it');
    assert.deepEqual([proof, read], [GOLDEN_PROOF, keyed]);
  });

  test('is refused when it is of another format, or is not what it must be', () => {
    const value = openJson(encodeStep(STEP, undefined), 'it') as { readonly [name: string]: Json };
    assert.throws(() => decodeStep(sealJson({ ...value, format: 2 }), 'it'), { code: 'BACKUP', message: /format 2/ });
    const part = (value.parts as readonly { readonly [name: string]: Json }[])[0]!;
    const wrongs: readonly { readonly [name: string]: Json }[] = [
      { chain: 'x' },
      { seq: -1 },
      { from: 'now' },
      { to: 5 },
      { before: null },
      { before: 'x' },
      { ceilingMs: -1 },
      { parts: [{ ...part, group: 0 }] },
      { parts: [{ ...part, object: { name: '../x', bytes: 1 } }] },
      { parts: [{ ...part, sha256: 'x' }] },
      { parts: 1 },
      { proof: 'x' },
    ];
    for (const wrong of wrongs) {
      assert.throws(() => decodeStep(sealJson({ ...value, ...wrong }), 'it'), { code: 'BACKUP_DAMAGED' });
    }
  });
});

describe('the archive of changes at a place', () => {
  const random = new SeededRandom(4);
  const logAt = async (key: WrappingKeys | 'none') => {
    const store = new SimulatedObjects(new SystemScheduler(), random);
    return { store, log: new ChangeLog(await BackupPlace.write(store, key, random)) };
  };
  const keys = WrappingKeys.parse('01'.repeat(32), 'the test');

  test('shows nothing of what is in it where there is a key, and every bit that is turned over is seen', async () => {
    const { store, log } = await logAt(keys);
    const content = (await encoded(VERSIONS)).bytes;
    const written = await log.putPart(CHAIN, 5, PART_NAME, piecesOf(content));
    const part = { group: groupId(3), versions: 2, bytes: 43, ...written };
    const step: ChangeStep = { ...STEP, dataKey: log.place.dataKey?.id, parts: [part] };
    await log.assertStored(step);
    await log.putStep(step);
    const read = async (): Promise<void> => {
      const { step: stored } = await log.step(CHAIN, 5);
      for await (const _ of log.readPart(stored, stored.parts[0]!));
    };
    await read();
    for (const name of [...store.objects.keys()].filter((one) => one.startsWith('changes/'))) {
      const whole = store.objects.get(name)!;
      assert.ok(!whole.includes('one'));
      for (let at = 0; at < whole.length; at += 1) {
        const damaged = Buffer.from(whole);
        damaged[at]! ^= 1 << (at % 8);
        store.objects.set(name, damaged);
        await assert.rejects(read(), { code: /^BACKUP/ });
      }
      store.objects.set(name, whole);
    }
    // Another step's part, in its place.
    const other = await log.putPart(CHAIN, 6, PART_NAME, piecesOf(content));
    assert.equal(other.sha256, written.sha256);
    store.objects.set(
      `changes/parts/${CHAIN}/000000000005/${PART_NAME}`,
      store.objects.get(`changes/parts/${CHAIN}/000000000006/${PART_NAME}`)!,
    );
    await assert.rejects(read(), { code: 'BACKUP_DAMAGED' });
  });

  test('has one step of a number, whoever was faster', async () => {
    const { log } = await logAt('none');
    const first = await log.putStep({ ...STEP, parts: [] });
    const second = await log.putStep({ ...STEP, parts: [], to: hlcTimestamp(STEP.to + 1n) });
    assert.deepEqual(second, first);
    assert.deepEqual([...(await log.chains())], [[CHAIN, [5]]]);
  });

  test('is not believed to keep what it lost', async () => {
    const { store, log } = await logAt('none');
    store.fault = (operation, name) => (operation === 'put' && name.startsWith('changes/') ? 'dropped' : undefined);
    await assert.rejects(log.putStep({ ...STEP, parts: [] }), { code: 'BACKUP_DAMAGED', message: /is missing/ });
    await assert.rejects(log.assertStored(STEP), { code: 'BACKUP_DAMAGED', message: /lost/ });
  });
});
