import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteReader, ByteWriter, NEVER } from '../../src/platform/index.ts';

class DamagedError extends Error {}

const reading = (bytes: Buffer): ByteReader => new ByteReader(bytes, 'a row', DamagedError);

/** One of each field. */
const written = (): Buffer =>
  new ByteWriter(4)
    .u8(200)
    .u16(60_000)
    .u32(4_000_000_000)
    .u53(2 ** 53 - 1)
    .u64(2n ** 64n - 1n)
    .f64(0.25)
    .bytes(Buffer.from('copied'))
    .bytes(Buffer.from('seen'))
    .text('grüße')
    .optional(undefined)
    .optional(Buffer.from('there'))
    .raw(Buffer.from('tail'))
    .finish();

function readAll(reader: ByteReader): unknown[] {
  return [
    reader.u8(),
    reader.u16(),
    reader.u32(),
    reader.u53(),
    reader.u64(),
    reader.share(),
    reader.bytes().toString(),
    reader.view().toString(),
    reader.text(),
    reader.optional(),
    reader.optional()?.toString(),
    reader.raw(4).toString(),
  ];
}

describe('bytes', () => {
  test('are read as they were written', () => {
    const reader = reading(written());
    assert.deepEqual(readAll(reader), [
      200,
      60_000,
      4_000_000_000,
      2 ** 53 - 1,
      2n ** 64n - 1n,
      0.25,
      'copied',
      'seen',
      'grüße',
      undefined,
      'there',
      'tail',
    ]);
    assert.equal(reader.isAtEnd, true);
    reader.end();
  });

  test("that were cut anywhere, or have more behind them, are refused with the caller's error", () => {
    const whole = written();
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => readAll(reading(whole.subarray(0, length))), DamagedError);
    }
    const longer = reading(Buffer.concat([whole, Buffer.of(0)]));
    readAll(longer);
    assert.throws(() => longer.end(), /^Error: a row has bytes after its end/);
  });

  test('are refused when a number, a flag or a name cannot be', () => {
    assert.throws(() => reading(Buffer.alloc(8, 0xff)).u53(), DamagedError);
    assert.throws(() => reading(Buffer.of(2)).flag(), DamagedError);
    assert.throws(() => reading(Buffer.of(2)).oneOf(['first', 'second']), DamagedError);
    assert.throws(() => reading(new ByteWriter().f64(1.5).finish()).share(), DamagedError);
  });

  test('that are kept are apart from the buffer that they came in, and views are not', () => {
    const message = new ByteWriter().bytes(Buffer.from('kept')).bytes(Buffer.from('view')).u64(NEVER).finish();
    const reader = reading(message);
    const [kept, view] = [reader.bytes(), reader.view()];
    assert.equal(reader.rest().length, 8);
    message.fill('x');
    assert.deepEqual([kept.toString(), view.toString()], ['kept', 'xxxx']);
  });

  test('are as long as what was written, whatever was expected', () => {
    for (const expectedBytes of [1, 3, 100]) {
      const writer = new ByteWriter(expectedBytes).u8(1).u16(2);
      assert.equal(writer.size, 3);
      assert.deepEqual(writer.finishView(), Buffer.of(1, 0, 2));
      assert.deepEqual(writer.finish(), Buffer.of(1, 0, 2));
    }
  });
});
