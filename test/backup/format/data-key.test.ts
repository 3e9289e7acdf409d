/** Sealed objects: they open whole or not at all. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DataKey, sealedBytes } from '../../../src/backup/index.ts';
import { SeededRandom } from '../../../src/platform/index.ts';

const MIB = 1 << 20;
const SECRET = Buffer.alloc(32, 7);
const GOLDEN = '4b56524d454e433135059787be0503ae3b1f428aabc64f6adbedbff803cda3594559977d6e587668db2465ea9e43';
const GOLDEN_NAME = '74012b0bb482a3e0322517ba96521e2e5071bf30995d6419bc0831bc6f5c3243';
const KEY = new DataKey('0011223344556677', SECRET);

async function* inPieces(content: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}

async function gathered(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const seal = (content: Buffer, name = 'name'): Promise<Buffer> =>
  gathered(KEY.seal(name, inPieces(content, 300_000), new SeededRandom(5)));
const open = (sealed: Buffer, name = 'name', key = KEY): Promise<Buffer> =>
  gathered(key.open(name, inPieces(sealed, 777_777)));

describe('a sealed object', () => {
  test('opens to its content at every length around a frame, and is as long as was said', async () => {
    for (const bytes of [0, 1, 100, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 5]) {
      const content = new SeededRandom(bytes).bytes(bytes);
      const sealed = await seal(content);
      assert.equal(sealed.length, sealedBytes(bytes));
      assert.ok((await open(sealed)).equals(content), `${bytes} bytes`);
      if (bytes > 50) assert.equal(sealed.indexOf(content.subarray(0, 32)), -1, 'the content does not show');
    }
  });

  test('has these bytes for ever', async () => {
    const sealed = await seal(Buffer.from('kvorum'));
    assert.equal(sealed.toString('hex'), GOLDEN);
    assert.equal(KEY.nameOf('ab'.repeat(32)), GOLDEN_NAME);
  });

  test('does not open with a bit turned over, wherever that is', async () => {
    const sealed = await seal(Buffer.from('some content of a segment'));
    for (let at = 0; at < sealed.length; at++) {
      const damaged = Buffer.from(sealed);
      damaged[at]! ^= 1 << (at % 8);
      await assert.rejects(open(damaged), { code: 'BACKUP_DAMAGED' }, `byte ${at}`);
    }
  });

  test('does not open cut off, lengthened, with frames left out or exchanged', async () => {
    const frame = MIB + 16;
    const sealed = await seal(new SeededRandom(3).bytes(3 * MIB));
    const head = sealed.subarray(0, 24);
    const frames = [0, 1, 2].map((at) => sealed.subarray(24 + at * frame, 24 + (at + 1) * frame));
    for (const wrong of [
      sealed.subarray(0, 10),
      sealed.subarray(0, 24),
      sealed.subarray(0, sealed.length - 1),
      Buffer.concat([head, frames[0]!, frames[1]!]),
      Buffer.concat([head, frames[0]!, frames[2]!]),
      Buffer.concat([head, frames[1]!, frames[0]!, frames[2]!]),
      Buffer.concat([sealed, Buffer.from('x')]),
      Buffer.concat([sealed, frames[2]!]),
    ]) {
      await assert.rejects(open(wrong), { code: 'BACKUP_DAMAGED' });
    }
  });

  test('does not open under another name or another key', async () => {
    const sealed = await seal(Buffer.from('content'));
    await assert.rejects(open(sealed, 'other'), { code: 'BACKUP_DAMAGED' });
    await assert.rejects(open(sealed, 'name', new DataKey(KEY.id, Buffer.alloc(32, 8))), { code: 'BACKUP_DAMAGED' });
  });
});
