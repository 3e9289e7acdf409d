/** What lies at a place of backups, byte by byte: later versions read it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DataKey } from '../../../src/backup/format/data-key.ts';
import { type BackupManifest, backupIdOf, decodeBackup, encodeBackup } from '../../../src/backup/format/manifest.ts';
import { BackupPlace, SimulatedObjects } from '../../../src/backup/index.ts';
import { groupId, hlcTimestamp, SeededRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { WrappingKeys } from '../../../src/security/index.ts';
import { type Json, openJson, sealJson } from '../../../src/store/index.ts';

const [COPY, SEGMENT, HASH] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string];
const ID = '20260102T030405Z-1f3a5c7e';
const KEY = new DataKey('0011223344556677', Buffer.alloc(32, 7));

const MANIFEST: BackupManifest = {
  id: ID,
  createdMs: 1_767_323_045_000,
  version: '0.2.0',
  clusterName: 'orders',
  at: hlcTimestamp(115_823_283_077_120_000n),
  catalogVersion: 4,
  dataKey: undefined,
  groups: [
    {
      group: groupId(1),
      index: 7,
      rows: 3,
      bytes: 200,
      newBytes: 50,
      copy: { name: COPY, bytes: 90 },
      copySha256: HASH,
      segments: [{ name: SEGMENT, bytes: 200 }],
    },
  ],
};
const GOLDEN =
  `{"format":1,"id":"${ID}","createdMs":1767323045000,"version":"0.2.0","clusterName":"orders","at":"115823283077120000",` +
  `"catalogVersion":4,"dataKey":null,"groups":[{"group":1,"index":7,"rows":3,"bytes":200,"newBytes":50,` +
  `"copy":{"name":"${COPY}","bytes":90},"copySha256":"${HASH}","segments":[{"name":"${SEGMENT}","bytes":200}]}]}`;
const GOLDEN_PROOF = 'a58f8875314ca0eef7b233b5ec40002b60d6d7200fb4a78a99dd3c738e8036c8';

describe('the manifest of a backup', () => {
  test('has these bytes for ever', () => {
    const bytes = encodeBackup(MANIFEST, undefined);
    assert.equal(bytes.toString().split('\n')[0], GOLDEN);
    const { proof, ...read } = decodeBackup(bytes, 'it');
    assert.deepEqual([proof, read], [undefined, MANIFEST]);
  });

  test('has a proof of these bytes where there is a key', () => {
    const keyed = { ...MANIFEST, dataKey: KEY.id };
    const bytes = encodeBackup(keyed, KEY);
    const { proof, ...read } = decodeBackup(bytes, 'it');
    assert.deepEqual([proof, read], [GOLDEN_PROOF, keyed]);
  });

  test('is refused when it is of another format, or is not what it must be', () => {
    const value = openJson(encodeBackup(MANIFEST, undefined), 'it') as { readonly [name: string]: Json };
    assert.throws(() => decodeBackup(sealJson({ ...value, format: 2 }), 'it'), { code: 'BACKUP', message: /format 2/ });
    const wrongs: readonly { readonly [name: string]: Json }[] = [
      { id: '../other' },
      { at: 5 },
      { groups: [{}] },
      { groups: null },
      { dataKey: 3 },
      { proof: 'x' },
      { createdMs: -1 },
    ];
    for (const wrong of wrongs) {
      assert.throws(() => decodeBackup(sealJson({ ...value, ...wrong }), 'it'), { code: 'BACKUP_DAMAGED' });
    }
    assert.throws(() => decodeBackup(Buffer.from(GOLDEN), 'it'), { code: 'BACKUP_DAMAGED' });
  });

  test('has an id that sorts by time', () => {
    assert.equal(backupIdOf(1_767_323_045_000, Buffer.from('1f3a5c7e', 'hex')), '20260102T030405Z-1f3a5c7e');
  });
});

describe('a place of backups', () => {
  test('has these objects for ever', async () => {
    const store = new SimulatedObjects(new SystemScheduler(), new SeededRandom(1));
    const keys = WrappingKeys.parse('01'.repeat(32), 'the test');
    await BackupPlace.write(store, keys, new SeededRandom(4));
    const [key, place] = [...store.objects.keys()].sort();
    assert.equal(place, 'place.json');
    assert.match(key!, /^keys\/[0-9a-f]{16}\.[0-9a-f]{16}$/);
    assert.equal(key!.endsWith(`.${keys.name}`), true);
    assert.match(
      store.objects.get('place.json')!.toString(),
      /^\{"format":1,"id":"[0-9a-f]{16}","isEncrypted":true\}\nsha256:/,
    );
  });
});
