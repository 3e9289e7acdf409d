/** The row that has all libraries of functions. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RedisError } from '../../../../src/adapter/redis/protocol/index.ts';
import { LibrarySet, type StoredLibrary } from '../../../../src/adapter/redis/scripts/library-set.ts';

const CODE = Buffer.from('#!lua name=one\nredis.register_function("f", function() return "\xff" end)', 'latin1');
const ONE: StoredLibrary = {
  name: 'one',
  code: CODE,
  functions: [
    { name: 'f', description: undefined, flags: [] },
    { name: 'G', description: 'what it does', flags: ['no-writes', 'allow-cross-slot-keys'] },
  ],
};

/** What release 0.2.0 has on disk. */
const BYTES = [
  '0100000001000000036f6e65000000462321',
  CODE.toString('hex').slice(4),
  '000000020000000166000000000000',
  '00000001470100000',
  '00c7768617420697420646f657311',
].join('');

describe('the row of libraries', () => {
  test('has these bytes', () => {
    assert.equal(LibrarySet.EMPTY.with([ONE]).encode().toString('hex'), BYTES);
    assert.deepEqual(LibrarySet.decode(Buffer.from(BYTES, 'hex')).libraries, [ONE]);
    assert.deepEqual(LibrarySet.decode(LibrarySet.EMPTY.encode()).libraries, []);
  });

  test('cut short or of a later format is refused', () => {
    const bytes = Buffer.from(BYTES, 'hex');
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => LibrarySet.decode(bytes.subarray(0, length)), RangeError);
    }
    bytes[0] = 2;
    assert.throws(() => LibrarySet.decode(bytes), RedisError);
  });

  test('has at most 4 MiB', () => {
    const long = { ...ONE, name: 'two', functions: [], code: Buffer.alloc(4 * 1024 * 1024) };
    assert.throws(() => LibrarySet.EMPTY.with([long]).encode(), /ERR all libraries together may take 4 MiB/);
  });

  test('finds functions whatever the case of their names, and refuses a second of a name', () => {
    const set = LibrarySet.EMPTY.with([ONE]);
    assert.equal(set.function('g')?.declaration.name, 'G');
    assert.equal(set.without('one').function('g'), undefined);
    const other = { ...ONE, name: 'two', functions: [{ name: 'g', description: undefined, flags: [] }] };
    assert.throws(() => set.with([other]), /ERR Function g already exists/);
  });
});
