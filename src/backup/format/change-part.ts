/**
 * A part of the archive of changes: versions of one group between two moments, as a content that is hashed as a whole and sealed as all contents.
 *
 *   part     "KVRMCHG1", block, ...
 *   block    raw bytes u32, packed bytes u32, the versions under zstd
 *   version  key with its length u32, commitTs u64, kind u8 (0 a delete, 1 a value); of a value expireTs u64, and the value with its length u32
 *
 * Versions of one key come in one run, in the order of their timestamps.
 */
import { ByteReader, ByteWriter, NEVER } from '../../platform/index.ts';
import type { BlockCompression, ExportedVersion } from '../../store/index.ts';
import { BackupDamagedError } from './errors.ts';

const HEAD = Buffer.from('KVRMCHG1');
/** A block is closed with the version that reaches this. */
const BLOCK_BYTES = 256 << 10;
/** No block is larger: one value, and what came before it. */
const MAX_BLOCK_BYTES = 1 << 30;
const LENGTHS_BYTES = 8;
const DELETE = 0;
const VALUE = 1;

/** What was put into a part. */
export interface PartTally {
  versions: number;
  /** Before they were packed. */
  bytes: number;
}

/** The pieces of a part; nothing where there are no versions. @param tally counts along */
export async function* encodePart(
  pages: AsyncIterable<readonly ExportedVersion[]>,
  compression: BlockCompression,
  tally: PartTally,
): AsyncGenerator<Buffer> {
  let writer = new ByteWriter(BLOCK_BYTES);
  let isBegun = false;
  const block = async (): Promise<Buffer> => {
    const raw = writer.finish();
    writer = new ByteWriter(BLOCK_BYTES);
    tally.bytes += raw.length;
    const packed = await compression.compress(raw);
    const lengths = new ByteWriter(LENGTHS_BYTES).u32(raw.length).u32(packed.length).finish();
    const pieces = isBegun ? [lengths, packed] : [HEAD, lengths, packed];
    isBegun = true;
    return Buffer.concat(pieces);
  };
  for await (const page of pages) {
    for (const { key, commitTs, expireTs, value } of page) {
      tally.versions += 1;
      writer.bytes(key).u64(commitTs);
      if (value === undefined) writer.u8(DELETE);
      else writer.u8(VALUE).u64(expireTs).bytes(value);
      if (writer.size >= BLOCK_BYTES) yield await block();
    }
  }
  if (writer.size > 0) yield await block();
}

/** The versions of a part, a block at a time. @throws BackupDamagedError */
export async function* decodePart(
  pieces: AsyncIterable<Buffer>,
  compression: BlockCompression,
  what: string,
): AsyncGenerator<readonly ExportedVersion[]> {
  const bytes = new Pieces(pieces, what);
  if (!(await bytes.take(HEAD.length)).equals(HEAD)) {
    throw new BackupDamagedError(`${what} is damaged: it is no part of an archive of changes`);
  }
  while (!(await bytes.isAtEnd())) {
    const lengths = await bytes.take(LENGTHS_BYTES);
    const [rawBytes, packedBytes] = [lengths.readUInt32BE(0), lengths.readUInt32BE(4)];
    if (rawBytes > MAX_BLOCK_BYTES || packedBytes > MAX_BLOCK_BYTES) {
      throw new BackupDamagedError(`${what} is damaged: a block of it is too large`);
    }
    const packed = await bytes.take(packedBytes);
    let raw: Buffer;
    try {
      raw = await compression.expand(packed, rawBytes);
    } catch (error) {
      throw new BackupDamagedError(`${what} is damaged: a block of it cannot be unpacked`, { cause: error });
    }
    if (raw.length !== rawBytes) throw new BackupDamagedError(`${what} is damaged: a block of it is cut off`);
    yield versionsOf(raw, what);
  }
}

function versionsOf(raw: Buffer, what: string): ExportedVersion[] {
  const reader = new ByteReader(raw, what, BackupDamagedError);
  const versions: ExportedVersion[] = [];
  while (!reader.isAtEnd) {
    const key = reader.view();
    const commitTs = reader.timestamp();
    const kind = reader.u8();
    if (kind > VALUE) throw reader.corrupt(`has a version of kind ${kind}`);
    if (kind === DELETE) versions.push({ key, commitTs, expireTs: NEVER, value: undefined });
    else versions.push({ key, commitTs, expireTs: reader.timestamp(), value: reader.view() });
  }
  return versions;
}

/** Takes lengths out of pieces of any length. */
class Pieces {
  private readonly stream: AsyncIterator<Buffer>;
  private readonly what: string;
  private held: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>, what: string) {
    this.stream = pieces[Symbol.asyncIterator]();
    this.what = what;
  }

  async isAtEnd(): Promise<boolean> {
    while (this.held.length === 0) {
      const step = await this.stream.next();
      if (step.done) return true;
      this.held = step.value;
    }
    return false;
  }

  async take(length: number): Promise<Buffer> {
    const taken: Buffer[] = [];
    for (let missing = length; missing > 0; ) {
      if (await this.isAtEnd()) throw new BackupDamagedError(`${this.what} is damaged: it is cut off`);
      const piece = this.held.subarray(0, missing);
      this.held = this.held.subarray(piece.length);
      missing -= piece.length;
      taken.push(piece);
    }
    return taken.length === 1 ? taken[0]! : Buffer.concat(taken);
  }
}
