/**
 * A disk whose files are encrypted: those that are written once, front to back, and read from then on (segments of copies). Whoever reads
 * and writes sees them in clear; names and lengths are those of the files below.
 *
 *   file    "KVRMSEAL", version u8 (1), salt (16), part ..
 *   part    a sealed piece (`DataKeys`) of 64 KiB, the last one shorter; bound to the salt and to its number
 *   end     the last part is bound to being the last: a file that was cut, or lengthened, opens no more than its whole parts
 *
 * A file that is in clear is read only where that is allowed: on a folder that is being encrypted.
 */
import { assert, type Disk, type DiskFile, type DiskOpenOptions, PassingDisk } from '../platform/index.ts';
import { type DataKeys, SEAL_BYTES, type Sealing } from './data-keys.ts';
import { SealedFileError } from './errors.ts';

const MAGIC = Buffer.from('KVRMSEAL\x01', 'latin1');
const SALT_BYTES = 16;
const HEAD_BYTES = MAGIC.length + SALT_BYTES;
export const PART_BYTES = 64 * 1024;
const STORED_PART_BYTES = PART_BYTES + SEAL_BYTES;
/** Parts that are read or written at once. */
const PARTS_AT_ONCE = 8;

/** Where a part belongs. */
function placeOf(salt: Buffer, number: number, isLast: boolean): Buffer {
  const place = Buffer.allocUnsafe(SALT_BYTES + 7);
  salt.copy(place);
  place.writeUIntBE(number, SALT_BYTES, 6);
  place[SALT_BYTES + 6] = Number(isLast);
  return place;
}

/** See the top of the file. */
export class SealedDisk extends PassingDisk {
  private readonly keys: DataKeys;
  private readonly sealing: Sealing;
  private readonly allowsClear: () => boolean;

  constructor(inner: Disk, keys: DataKeys, allowsClear: () => boolean) {
    super(inner);
    this.keys = keys;
    this.sealing = keys.sealing('file');
    this.allowsClear = allowsClear;
  }

  /** @throws SealedFileError when a file that is there is in clear and must not be */
  async open(path: string, options: DiskOpenOptions = {}): Promise<DiskFile> {
    const file = await this.inner.open(path, options);
    try {
      const stored = await file.size();
      if (stored === 0) return new SealedFile(path, file, this.sealing, this.keys.drawSalt(), 0);
      const head = await file.read(0, HEAD_BYTES);
      if (head.length === HEAD_BYTES && head.subarray(0, MAGIC.length).equals(MAGIC)) {
        return new SealedFile(path, file, this.sealing, head.subarray(MAGIC.length), stored);
      }
      if (!this.allowsClear()) throw new SealedFileError(`${path} is not encrypted as everything here is`);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}

/** Bytes in clear of a file of `stored` bytes. */
function clearBytes(stored: number): number {
  const rest = stored - HEAD_BYTES;
  const whole = Math.floor(rest / STORED_PART_BYTES);
  return Math.max(0, whole * PART_BYTES + Math.max(0, rest - whole * STORED_PART_BYTES - SEAL_BYTES));
}

class SealedFile implements DiskFile {
  private readonly path: string;
  private readonly inner: DiskFile;
  private readonly sealing: Sealing;
  private readonly salt: Buffer;
  /** Bytes in clear. */
  private length: number;
  /** Nothing is written any more: the last part lies there. */
  private isEnded: boolean;
  /** What was written behind the last whole part. */
  private tail: Buffer[] = [];
  private tailBytes = 0;

  constructor(path: string, inner: DiskFile, sealing: Sealing, salt: Buffer, stored: number) {
    this.path = path;
    this.inner = inner;
    this.sealing = sealing;
    this.salt = salt;
    this.length = clearBytes(stored);
    this.isEnded = stored > 0;
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    assert(
      !this.isEnded && position === this.length,
      'an encrypted file is written once, from its first byte to its last',
    );
    this.length += bytes.length;
    this.tail.push(Buffer.from(bytes));
    this.tailBytes += bytes.length;
    // One whole part may be the last one, which is sealed as such.
    if (this.tailBytes > PARTS_AT_ONCE * PART_BYTES) await this.writeParts(false);
  }

  /** Seals what there is, all of it when the file ends, and writes it. */
  private async writeParts(isEnd: boolean): Promise<void> {
    const clear = Buffer.concat(this.tail);
    const first = (this.length - this.tailBytes) / PART_BYTES;
    const count = isEnd ? Math.ceil(clear.length / PART_BYTES) : Math.ceil(clear.length / PART_BYTES) - 1;
    const kept = clear.subarray(count * PART_BYTES);
    this.tail = kept.length === 0 ? [] : [kept];
    this.tailBytes = kept.length;
    const sealedBytes = clear.length - kept.length + count * SEAL_BYTES;
    const isBegin = first === 0;
    const stored = Buffer.allocUnsafe((isBegin ? HEAD_BYTES : 0) + sealedBytes);
    let at = 0;
    if (isBegin) {
      at += MAGIC.copy(stored);
      at += this.salt.copy(stored, at);
    }
    for (let part = 0; part < count; part++) {
      const piece = clear.subarray(part * PART_BYTES, Math.min(clear.length, (part + 1) * PART_BYTES));
      const place = placeOf(this.salt, first + part, isEnd && part === count - 1);
      at = this.sealing.sealInto(stored, at, piece, place);
    }
    if (stored.length > 0) await this.inner.write(stored, isBegin ? 0 : HEAD_BYTES + first * STORED_PART_BYTES);
  }

  /** Writes what is still here; nothing can be written afterwards. */
  private async end(): Promise<void> {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.length > 0) await this.writeParts(true);
  }

  async sync(): Promise<void> {
    await this.end();
    await this.inner.sync();
  }

  async read(position: number, length: number): Promise<Buffer> {
    await this.end();
    const bound = Math.min(position + length, this.length);
    if (position >= bound) return Buffer.alloc(0);
    const pieces: Buffer[] = [];
    const end = Math.ceil(bound / PART_BYTES);
    for (let part = Math.floor(position / PART_BYTES); part < end; part += PARTS_AT_ONCE) {
      const count = Math.min(PARTS_AT_ONCE, end - part);
      const stored = await this.inner.read(HEAD_BYTES + part * STORED_PART_BYTES, count * STORED_PART_BYTES);
      pieces.push(...this.openParts(stored, part, count));
    }
    return cut(pieces, position, bound);
  }

  readSync(position: number, length: number): Buffer {
    assert(this.isEnded, 'an encrypted file is read when it has been written');
    const bound = Math.min(position + length, this.length);
    if (position >= bound) return Buffer.alloc(0);
    const first = Math.floor(position / PART_BYTES);
    const count = Math.ceil(bound / PART_BYTES) - first;
    const stored = this.inner.readSync(HEAD_BYTES + first * STORED_PART_BYTES, count * STORED_PART_BYTES);
    return cut(this.openParts(stored, first, count), position, bound);
  }

  private openParts(stored: Buffer, first: number, count: number): Buffer[] {
    const last = Math.ceil(this.length / PART_BYTES) - 1;
    return Array.from({ length: count }, (_, at) => {
      const number = first + at;
      const sealed = stored.subarray(at * STORED_PART_BYTES, Math.min(stored.length, (at + 1) * STORED_PART_BYTES));
      const piece = this.sealing.open(sealed, placeOf(this.salt, number, number === last));
      if (piece === undefined) {
        throw new SealedFileError(`${this.path} is damaged, or was cut, or was encrypted with a key that is not here`);
      }
      return piece;
    });
  }

  async size(): Promise<number> {
    return this.length;
  }

  async truncate(): Promise<void> {
    throw new SealedFileError(`${this.path} is encrypted, and such files are not cut`);
  }

  async close(): Promise<void> {
    try {
      await this.end();
    } finally {
      await this.inner.close();
    }
  }
}

/** Bytes of whole parts, of which the first has `position`. */
function cut(pieces: readonly Buffer[], position: number, end: number): Buffer {
  const from = position % PART_BYTES;
  const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  return bytes.subarray(from, from + end - position);
}
