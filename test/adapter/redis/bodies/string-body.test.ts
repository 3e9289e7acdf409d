import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  armBody,
  copyValue,
  DEFAULT_BODY_LIMITS,
  openHash,
  openString,
  readString,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { incarnationIn } from '../../../../src/adapter/redis/keys/index.ts';
import { readValue, typeNameOf, writeString } from '../../../../src/adapter/redis/values/index.ts';
import { hlcTimestamp, NEVER } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, checkAll, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('key');
const OTHER = bytesOf('other');
const LATER = hlcTimestamp(2_000n);

const headOf = (access: TestAccess, key = KEY) => access.view.get(access.storageKey(key));
const isLarge = (access: TestAccess, key = KEY): boolean => readValue(access, key)?.form === 1;
const whole = (access: TestAccess, key = KEY): Buffer | undefined => readString(access, key)?.payload;

function change(access: TestAccess, offset: number, bytes: string | Buffer, key = KEY): void {
  const string = openString(access, key);
  string.write(offset, typeof bytes === 'string' ? bytesOf(bytes) : bytes);
  string.save();
}

/** A string of `length` bytes in chunks. */
function makeLarge(access: TestAccess, length: number, key = KEY): Buffer {
  const bytes = Buffer.from(Array.from({ length }, (_, at) => (at % 251) + 1));
  writeString(access, key, bytes, NEVER);
  change(access, 0, '\x01', key);
  assert.ok(isLarge(access, key));
  return bytes;
}

type Operation =
  | { readonly kind: 'write' | 'append' | 'replace' | 'set'; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'grow'; readonly length: number }
  | { readonly kind: 'slice'; readonly from: number; readonly to: number }
  | { readonly kind: 'copy' };

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
  fc.integer({ min: 0, max: 40 }).map((length) => Buffer.alloc(length)),
);
const offset = fc.integer({ min: 0, max: 150 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), offset, bytes }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('append' as const, 'append' as const, 'set' as const),
      offset,
      bytes,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('replace' as const), offset, bytes }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('grow' as const), length: fc.integer({ min: 0, max: 300 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('slice' as const), from: offset, to: offset }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('copy' as const) }) },
);

/** The same on bytes in one piece. */
function overwritten(model: Buffer, at: number, part: Buffer): Buffer {
  const next = Buffer.alloc(Math.max(model.length, at + part.length));
  model.copy(next);
  part.copy(next, at);
  return next;
}

describe('a string that is changed in parts', () => {
  test('is what bytes in one piece would be, through every form and size of chunks', () => {
    const rounds = fc.array(fc.array(operation, { minLength: 1, maxLength: 4 }), { maxLength: 30, size: 'max' });
    fc.assert(
      fc.property(rounds, (commands) => {
        const access = accessTo(TINY_LIMITS);
        let model: Buffer | undefined;
        for (const operations of commands) {
          const string = openString(access, KEY);
          let isCopied = false;
          for (const step of operations) {
            const before: Buffer = model ?? Buffer.alloc(0);
            if (step.kind === 'write') {
              string.write(step.offset, step.bytes);
              model = overwritten(before, step.offset, step.bytes);
            } else if (step.kind === 'append') {
              string.append(step.bytes);
              model = Buffer.concat([before, step.bytes]);
            } else if (step.kind === 'replace') {
              string.replace(step.bytes);
              model = Buffer.from(step.bytes);
            } else if (step.kind === 'grow') {
              string.grow(step.length);
              if (step.length > before.length) model = overwritten(before, step.length, Buffer.alloc(0));
            } else if (step.kind === 'slice') {
              assert.deepEqual(string.slice(step.from, step.to), before.subarray(step.from, step.to));
              assert.equal(string.byteAt(step.from), before[step.from] ?? 0);
              const joined = Buffer.alloc(Math.max(0, Math.min(step.to, before.length) - step.from));
              for (const part of string.parts(step.from, step.to)) part.bytes.copy(joined, part.at - step.from);
              assert.deepEqual(joined, before.subarray(step.from, step.to));
            } else {
              isCopied = step.kind === 'copy';
            }
            assert.equal(string.length, model?.length ?? 0);
          }
          string.save();
          const set = operations.find(({ kind }) => kind === 'set');
          if (set?.kind === 'set') {
            writeString(access, KEY, set.bytes, NEVER);
            model = set.bytes;
          }
          if (isCopied && model !== undefined) {
            assert.equal(copyValue(access, access.storageKey(KEY), access.storageKey(OTHER)), true);
            checkAll(access, OTHER);
            assert.deepEqual(whole(access, OTHER), model);
          }
          assert.deepEqual(whole(access), model);
          checkAll(access, KEY);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('lies in one piece up to 4 KiB, and when all of it was written at once', () => {
    const access = accessTo(DEFAULT_BODY_LIMITS);
    change(access, 0, 'x'.repeat(4_000));
    change(access, 4_000, 'y'.repeat(96));
    assert.equal(isLarge(access), false);
    change(access, 4_096, 'z');
    assert.equal(isLarge(access), true);
    writeString(access, KEY, Buffer.alloc(10_000, 1), NEVER);
    assert.equal(isLarge(access), false);
    openString(access, KEY).slice(0, 10);
    openString(access, KEY).save();
    assert.equal(isLarge(access), false, 'it was only read');
    change(access, 0, 'x'.repeat(10_000), OTHER);
    assert.equal(isLarge(access, OTHER), false, 'there was nothing before');
    assert.equal(typeNameOf(headOf(access)!.value), 'string');
    change(access, 5, 'x');
    assert.equal(typeNameOf(headOf(access)!.value), 'string');
    assert.throws(() => openHash(access, KEY), /WRONGTYPE/);
  });

  test('stays in one piece until every node can read chunks', () => {
    const access = { ...accessTo(DEFAULT_BODY_LIMITS), mayCreateBodies: false };
    writeString(access, KEY, Buffer.alloc(5_000, 1), NEVER);
    change(access, 5_000, 'x');
    change(access, 100_000, 'y', OTHER);
    assert.equal(isLarge(access), false);
    assert.equal(isLarge(access, OTHER), false);
    assert.deepEqual(whole(access), Buffer.concat([Buffer.alloc(5_000, 1), bytesOf('x')]));
  });

  test('keeps its expiry, takes another one, and goes with it', () => {
    const access = accessTo(TINY_LIMITS);
    writeString(access, KEY, bytesOf('short'), LATER);
    change(access, 5, 'a'.repeat(30));
    assert.ok(isLarge(access));
    assert.equal(headOf(access)?.expireTs, LATER);
    change(access, 100, 'more');
    assert.equal(headOf(access)?.expireTs, LATER);
    const string = openString(access, KEY);
    string.append(bytesOf('x'));
    string.save(NEVER);
    assert.equal(headOf(access)?.expireTs, NEVER);
    openString(access, KEY).save(LATER);
    assert.equal(headOf(access)?.expireTs, LATER);
    access.view.ts = hlcTimestamp(3_000n);
    assert.equal(openString(access, KEY).exists, false);
    change(access, 20, 'new');
    assert.deepEqual(whole(access), Buffer.concat([Buffer.alloc(20), bytesOf('new')]));
    assert.equal(headOf(access)?.expireTs, NEVER);
    checkAll(access, KEY);
  });

  test('has rows only where it is not zeros', () => {
    const access = accessTo(DEFAULT_BODY_LIMITS);
    const length = 512 * 1024 * 1024;
    access.view.forget();
    change(access, length - 1, '\x80');
    assert.equal(access.view.written.size, 2);
    const string = openString(access, KEY);
    assert.equal(string.length, length);
    assert.equal(string.byteAt(length - 1), 0x80);
    assert.equal(string.byteAt(length / 2), 0);
    let parts = 0;
    for (const part of string.parts(0, length)) parts += part.bytes.length > 0 ? 1 : 0;
    assert.equal(parts, 1);
    // Zeros over what is not there, and as a part of what is written at once.
    access.view.forget();
    change(access, 0, Buffer.alloc(100));
    assert.equal(access.view.written.size, 0);
    writeString(access, OTHER, Buffer.alloc(100_000), NEVER);
    access.view.forget();
    change(access, 50_000, 'x', OTHER);
    assert.equal(access.view.written.size, 2);
    checkAll(access, KEY);
  });

  test('has at most 1,000 chunks, however long it becomes', () => {
    const access = accessTo(DEFAULT_BODY_LIMITS);
    const { chunkBytes, maxChunks } = DEFAULT_BODY_LIMITS;
    const model = makeLarge(access, chunkBytes * maxChunks);
    assert.equal(access.view.keys().length, 1 + maxChunks);
    const before = incarnationIn(headOf(access)!.value)!.toString('hex');
    change(access, model.length, 'x');
    assert.notEqual(incarnationIn(headOf(access)!.value)!.toString('hex'), before);
    access.view.collect();
    assert.equal(access.view.keys().length, 1 + maxChunks / 2 + 1);
    assert.deepEqual(whole(access), Buffer.concat([model, bytesOf('x')]));
    change(access, 512 * 1024 * 1024 - 1, 'x');
    access.view.collect();
    assert.ok(access.view.keys().length <= 1 + maxChunks);
    assert.deepEqual(openString(access, KEY).slice(0, model.length + 2), Buffer.concat([model, bytesOf('x\x00')]));
  });
});

describe('the version of the head of a large string', () => {
  const writesHead = (access: TestAccess, run: () => void): boolean => {
    access.view.forget();
    run();
    return access.view.written.has(access.storageKey(KEY).toString('latin1'));
  };

  test('changes with the first change after it was armed, also of one that writes what is there', () => {
    for (const [offset, part] of [
      [40, 'in place'],
      [0, '\x01'],
    ] as const) {
      const access = accessTo(TINY_LIMITS);
      makeLarge(access, 60);
      const write = () => change(access, offset, part);
      assert.equal(writesHead(access, write), false);
      assert.equal(
        writesHead(access, () => armBody(access, KEY)),
        true,
      );
      assert.equal(
        writesHead(access, () => openString(access, KEY).save()),
        false,
        'nothing was changed',
      );
      assert.equal(writesHead(access, write), true);
      assert.equal(writesHead(access, write), false);
      checkAll(access, KEY);
    }
  });
});

test('a part of a long string costs what it touches', () => {
  const access = accessTo(DEFAULT_BODY_LIMITS);
  for (const [length, chunkBytes] of [
    [10_000, 512],
    [100_000, 512],
    [1_000_000, 1_024],
    [10_000_000, 16_384],
  ] as const) {
    makeLarge(access, length);
    const touched = 1 + Math.floor(5_999 / chunkBytes) - Math.floor(5_000 / chunkBytes);
    const cost = (run: () => void): readonly [number, number] => {
      access.view.forget();
      run();
      return [access.view.reads, access.view.written.size];
    };
    assert.deepEqual(
      cost(() => openString(access, KEY).length),
      [1, 0],
    );
    assert.deepEqual(
      cost(() => openString(access, KEY).byteAt(length >> 1)),
      [2, 0],
    );
    assert.deepEqual(
      cost(() => openString(access, KEY).slice(5_000, 6_000)),
      [1 + touched, 0],
    );
    assert.deepEqual(
      cost(() => change(access, length >> 1, '\xfe')),
      [2, 1],
    );
    assert.deepEqual(
      cost(() => change(access, length, 'x')),
      [2, 2],
    );
  }
});
