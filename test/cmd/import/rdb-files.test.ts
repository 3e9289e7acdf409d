import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { differenceOf } from '../../../cmd/import/compare-values.ts';
import {
  framePayload,
  RdbFileParser,
  RdbFormatError,
  type RdbRecord,
  type RdbValue,
  readPayload,
} from '../../../src/adapter/redis/index.ts';
import { RespConnection } from '../../compat/resp-connection.ts';
import { LARGE_FORMS, startFilled } from './dataset.ts';

const ROOM = 2 ** 30;
/** Parts from the first element of everything that is not tiny. */
const SMALL = { wholeBytes: 200, maxValueBytes: 2 ** 20, partElements: 7 };

function recordsOf(bytes: Buffer, chunkBytes: number, parser = new RdbFileParser()): RdbRecord[] {
  const records: RdbRecord[] = [];
  const take = (): void => {
    for (let record = parser.next(); record !== undefined; record = parser.next()) records.push(record);
  };
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    parser.feed(bytes.subarray(at, at + chunkBytes));
    take();
  }
  parser.finish();
  take();
  assert.ok(parser.isDone);
  return records;
}

/** Values by database and key, parts put together. */
function valuesOf(records: readonly RdbRecord[]): Map<string, { value: RdbValue; expires: boolean }> {
  const found = new Map<string, { value: RdbValue; expires: boolean }>();
  for (const record of records) {
    if (record.kind !== 'value' && record.kind !== 'part') continue;
    const name = `${record.database} ${record.key.toString()}`;
    const value = record.kind === 'value' ? readPayload(framePayload(record.bytes), ROOM) : record.value;
    const before = found.get(name)?.value;
    found.set(name, {
      value: before === undefined ? value : joined(before, value),
      expires: record.expiresMs !== undefined,
    });
  }
  return found;
}

function joined(left: RdbValue, right: RdbValue): RdbValue {
  if (left.type === 'list' && right.type === 'list') return { type: 'list', values: [...left.values, ...right.values] };
  if (left.type === 'set' && right.type === 'set') return { type: 'set', members: [...left.members, ...right.members] };
  if (left.type === 'hash' && right.type === 'hash') return { type: 'hash', fields: [...left.fields, ...right.fields] };
  if (left.type === 'stream' && right.type === 'stream') return joinedStream(left, right);
  assert.ok(left.type === 'zset' && right.type === 'zset');
  return { type: 'zset', members: [...left.members, ...right.members] };
}

type Stream = Extract<RdbValue, { type: 'stream' }>;

/** What the last part says counts; groups are put together by their names. */
function joinedStream(left: Stream, right: Stream): Stream {
  const groups = new Map(left.groups.map((group) => [group.name.toString(), group]));
  for (const { consumers, pending, ...group } of right.groups) {
    const before = groups.get(group.name.toString());
    const known = new Map([...(before?.consumers ?? []), ...consumers].map((each) => [each.name.toString(), each]));
    const all = [...(before?.pending ?? []), ...pending];
    groups.set(group.name.toString(), { ...group, consumers: [...known.values()], pending: all });
  }
  return { ...right, entries: [...left.entries, ...right.entries], groups: [...groups.values()] };
}

const FORMS: readonly (readonly [string, readonly string[]])[] = [
  ['in its usual forms', []],
  ['in its large forms, uncompressed', LARGE_FORMS],
  ['without a checksum', ['--rdbchecksum', 'no']],
];

for (const [name, options] of FORMS)
  describe(`a file of redis-server ${name}`, () => {
    let folder: string;
    let filled: Awaited<ReturnType<typeof startFilled>>;
    let bytes: Buffer;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'kvorum-rdb-'));
      filled = await startFilled(folder, 'without parts', ...options);
      bytes = await filled.save();
    });
    after(async () => {
      await filled.server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test('has what DUMP says, whole or in parts, however the bytes are cut', async () => {
      const connection = await RespConnection.open(filled.server.host, filled.server.port);
      for (const [chunkBytes, parser] of [
        [bytes.length, new RdbFileParser()],
        [1, new RdbFileParser(SMALL)],
        [97, new RdbFileParser(SMALL)],
        [97, new RdbFileParser()],
      ] as const) {
        const records = recordsOf(bytes, chunkBytes, parser);
        const values = valuesOf(records);
        assert.equal(values.size, filled.keys);
        for (const [place, { value, expires }] of values) {
          const [database, key] = place.split(' ') as [string, string];
          const [, dumped, ttl] = await connection.call([
            ['SELECT', database],
            ['DUMP', key],
            ['PTTL', key],
          ]);
          const expected = readPayload(Buffer.from(dumped!.text!, 'latin1'), ROOM);
          assert.equal(differenceOf(expected, value), undefined, place);
          assert.equal(Number(ttl!.text) > 0, expires, place);
        }
        assert.deepEqual(records.filter(({ kind }) => kind === 'function').length, 1);
        assert.deepEqual(records.at(-1), { kind: 'end', isChecked: name !== 'without a checksum' });
      }
      connection.close();
    });

    test('that ends too early, or has a byte changed, is refused or has other values, and nothing worse', () => {
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
          assert.throws(() => recordsOf(bytes.subarray(0, at), 4096), RdbFormatError);
          const changed = Buffer.from(bytes);
          changed[at]! ^= change;
          try {
            for (const record of recordsOf(changed, 4096, new RdbFileParser(SMALL)))
              if (record.kind === 'value') readPayload(framePayload(record.bytes), ROOM);
            // Only what no checksum guards can be changed unseen.
            assert.ok(name === 'without a checksum' || at >= bytes.length - 8, `byte ${at}`);
          } catch (error) {
            if (!(error instanceof RdbFormatError)) throw error;
          }
        }),
        { numRuns: 300 },
      );
    });
  });

test('a string that begins with a byte that begins none is refused', () => {
  for (let first = 0x82; first < 0xc0; first++) {
    const bytes = Buffer.concat([Buffer.from('REDIS0010'), Buffer.from([0, 1, 0x61, first]), Buffer.alloc(64)]);
    assert.throws(() => recordsOf(bytes, bytes.length), RdbFormatError, String(first));
  }
});
