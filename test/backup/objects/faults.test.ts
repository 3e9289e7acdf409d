/** What places for objects say of themselves when they cannot be used. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FolderObjects, parsePlace } from '../../../src/backup/index.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';

const failing = (code: string): { disk: MemoryDisk; store: FolderObjects } => {
  const disk = new MemoryDisk();
  const store = new FolderObjects({ disk, folder: '/mnt/backups', random: new SeededRandom(1) });
  disk.before = (operation) => {
    if (operation === 'write' || operation === 'read') throw Object.assign(new Error(code), { code });
  };
  return { disk, store };
};

describe('a folder of objects', () => {
  test('says that it is full, closed or broken, and leaves nothing behind', async () => {
    for (const [code, expected] of [
      ['ENOSPC', 'OBJECT_STORE_FULL'],
      ['EACCES', 'OBJECT_STORE_REFUSED'],
      ['EIO', 'OBJECT_STORE_UNAVAILABLE'],
    ] as const) {
      const { disk, store } = failing(code);
      await assert.rejects(store.put('a/b', Buffer.from('x')), { code: expected });
      assert.deepEqual([...disk.files.keys()], []);
    }
  });
});

describe('a place as text', () => {
  test('is a bucket with its prefix, its endpoint and its style', () => {
    assert.deepEqual(parsePlace('s3://orders'), {
      kind: 's3',
      bucket: 'orders',
      prefix: '',
      endpoint: undefined,
      region: undefined,
      isPathStyle: false,
    });
    assert.deepEqual(parsePlace('s3://orders/eu/daily/?endpoint=http://127.0.0.1:9000&region=eu-central-1'), {
      kind: 's3',
      bucket: 'orders',
      prefix: 'eu/daily/',
      endpoint: 'http://127.0.0.1:9000',
      region: 'eu-central-1',
      isPathStyle: true,
    });
    const style = parsePlace('s3://orders?endpoint=https://s3.example.com&pathStyle=no');
    assert.equal(style.kind === 's3' && style.isPathStyle, false);
  });

  test('is a folder by its path or as a URL', () => {
    assert.deepEqual(parsePlace('/mnt/backups'), { kind: 'folder', folder: '/mnt/backups' });
    assert.deepEqual(parsePlace('file:///mnt/back%20ups'), { kind: 'folder', folder: '/mnt/back ups' });
    assert.deepEqual(parsePlace('backups', '/mnt'), { kind: 'folder', folder: '/mnt/backups' });
  });

  test('is refused with what is wrong with it', () => {
    for (const [text, problem] of [
      ['', /1 to 1024 characters/],
      ['backups', /relative/],
      ['gs://bucket', /gs: is no place/],
      ['s3://', /no name of a bucket|no URL/],
      ['s3://key:secret@orders', /credentials are not part of a place/],
      ['s3://orders/../x?endpoint=ftp://h', /no address of http/],
      ['s3://orders?style=path', /'style' says nothing/],
      ['s3://orders?pathStyle=maybe', /pathStyle is yes or no/],
      ['s3://orders/a b', /other characters/],
      ['file://other-host/x', /names no folder/],
    ] as const) {
      assert.throws(() => parsePlace(text), { code: 'OBJECT_PLACE', message: problem }, text);
    }
  });
});
