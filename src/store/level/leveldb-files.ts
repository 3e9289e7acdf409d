/**
 * Proves the files of a closed LevelDB folder, before LevelDB reads them. LevelDB has a checksum on every block and on every
 * record, but does not look at those of blocks, and skips a record that does not match: a damaged byte would be a wrong
 * value or, worse, a key that is not there. The formats are LevelDB's, see its documents table_format.md and log_format.md.
 *
 * A log may end in the middle of what was written last. Every batch of the store is synced before the next one begins, so
 * a record that does not match is damage when another batch begins behind it, and the end of the log when none does.
 */
import type { Disk, DiskFile } from '../../platform/index.ts';
import { CorruptStoreError } from '../rows/index.ts';

const FOOTER_BYTES = 48;
/** Type of a block and checksum, behind its contents. */
const TRAILER_BYTES = 5;
const TABLE_MAGIC = 0xdb4775248b80fb57n;
/** Bytes read and proved before the event loop gets its turn. */
const SLICE_BYTES = 1 << 20;
const LOG_BLOCK_BYTES = 32 << 10;
const LOG_HEADER_BYTES = 7;
/** Kinds of records that begin a batch. */
const LOG_FULL = 1;
const LOG_FIRST = 2;
const LOG_LAST = 4;

const NO_NAMES: ReadonlySet<string> = new Set();
/** Reads everything at once. */
const AT_ONCE = async (): Promise<boolean> => true;

const CRC32C_TABLES = makeTables();

/** Four tables: the effect of a byte, and of a byte with one, two and three bytes behind it. */
function makeTables(): readonly Int32Array[] {
  const tables = [0, 1, 2, 3].map(() => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
    tables[0]![byte] = crc;
  }
  for (let at = 1; at < 4; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[at - 1]![byte]!;
      tables[at]![byte] = (before >>> 8) ^ tables[0]![before & 0xff]!;
    }
  }
  return tables;
}

/** CRC-32C (Castagnoli) of `bytes[from, to)`, unsigned. */
export function crc32c(bytes: Buffer, from: number, to: number): number {
  const [first, second, third, fourth] = CRC32C_TABLES as [Int32Array, Int32Array, Int32Array, Int32Array];
  let crc = -1;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc = fourth[crc & 0xff]! ^ third[(crc >>> 8) & 0xff]! ^ second[(crc >>> 16) & 0xff]! ^ first[crc >>> 24]!;
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ first[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}

/** LevelDB stores checksums rotated and shifted, because a checksum of bytes with their checksum says little. */
const unmask = (masked: number): number => {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
};

/**
 * Proves all logs of a folder, and the tables that its manifest names; an absent folder is fine. A table that no manifest names was
 * being written when the process ended, or was about to be deleted: LevelDB deletes it when it opens.
 * @param trusted names of tables that are not read
 * @throws CorruptStoreError that names the file
 */
export async function proveLevelFolder(
  location: string,
  disk: Disk,
  trusted: ReadonlySet<string> = NO_NAMES,
): Promise<void> {
  // Names are numbers with leading zeros, so logs come in the order in which they were written.
  let torn: string | undefined;
  const names = await disk.list(location);
  const directory = await readDirectory(location, names, disk);
  if (directory.problem !== undefined) throw new CorruptStoreError(location, `has a damaged file ${directory.problem}`);
  for (const name of names) {
    const isTable = name.endsWith('.ldb') || name.endsWith('.sst');
    if (isTable ? !directory.tables.has(Number.parseInt(name, 10)) : !name.endsWith('.log')) continue;
    if (isTable && trusted.has(name)) continue;
    const file = await disk.open(`${location}/${name}`);
    try {
      const log = isTable ? undefined : await readLog(file);
      const problem = log === undefined ? await tableProblem(file) : log.problem;
      if (problem !== undefined) throw new CorruptStoreError(location, `has a damaged file ${name}: ${problem}`);
      if (log === undefined) continue;
      if (torn !== undefined && log.hasBatches) throw new CorruptStoreError(location, `has a damaged file ${torn}`);
      if (log.isTorn) torn = name;
    } finally {
      await file.close();
    }
  }
}

/**
 * Proves one table of a database that is open.
 * @param goOn settles false when the rest is not to be read; asked before every slice
 * @throws CorruptStoreError; not when the table is gone, because LevelDB has replaced it by others
 */
export async function proveTable(
  location: string,
  name: string,
  disk: Disk,
  goOn: () => Promise<boolean>,
): Promise<void> {
  let file: DiskFile;
  try {
    file = await disk.open(`${location}/${name}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    const problem = await tableProblem(file, goOn);
    if (problem !== undefined) throw new CorruptStoreError(location, `has a damaged file ${name}: ${problem}`);
  } finally {
    await file.close();
  }
}

/** Numbers of the tables that belong to the database, or what is wrong. */
type Directory = { readonly problem: string } | { readonly problem?: undefined; readonly tables: ReadonlySet<number> };

/**
 * CURRENT names the MANIFEST, whose records say which tables there are. Without them LevelDB would begin an empty database over
 * the tables of another, and a record that it skips is a table that it forgets. Records are synced one by one, so the last one
 * may be cut off by a power loss; all that is there of the others has to match.
 */
async function readDirectory(location: string, names: readonly string[], disk: Disk): Promise<Directory> {
  const isDatabase = names.some((name) => /^(MANIFEST-\d+|\d+\.(ldb|sst|log))$/.test(name));
  if (!names.includes('CURRENT')) return isDatabase ? { problem: 'CURRENT: it is missing' } : { tables: new Set() };
  const current = (await readWhole(`${location}/CURRENT`, disk)).toString('latin1');
  const manifest = /^(MANIFEST-\d{6,})\n$/.exec(current)?.[1];
  if (manifest === undefined) return { problem: 'CURRENT: it names no manifest' };
  if (!names.includes(manifest)) return { problem: `CURRENT: ${manifest}, which it names, is missing` };
  const edits = readManifest(await readWhole(`${location}/${manifest}`, disk));
  if (typeof edits === 'string') return { problem: `${manifest}: ${edits}` };
  const tables = new Set<number>();
  for (const edit of edits) {
    if (!applyEdit(edit, tables)) return { problem: `${manifest}: it holds a record of an unknown form` };
  }
  return { tables };
}

async function readWhole(path: string, disk: Disk): Promise<Buffer> {
  const file = await disk.open(path);
  try {
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

/** @returns the records of a manifest, without one that the end cuts off; or what is wrong with them */
function readManifest(bytes: Buffer): Buffer[] | string {
  const edits: Buffer[] = [];
  let parts: Buffer[] = [];
  let records = 0;
  for (let blockAt = 0; blockAt < bytes.length; blockAt += LOG_BLOCK_BYTES) {
    const block = bytes.subarray(blockAt, blockAt + LOG_BLOCK_BYTES);
    let at = 0;
    while (at + LOG_HEADER_BYTES <= block.length) {
      const next = at + LOG_HEADER_BYTES + block.readUInt16LE(at + 4);
      const isCutOff = next > block.length && blockAt + block.length === bytes.length && records > 0;
      if (isCutOff) return edits;
      const isWhole = next <= block.length && crc32c(block, at + 6, next) === unmask(block.readUInt32LE(at));
      if (!isWhole) return `the record at ${blockAt + at} does not match its checksum`;
      records++;
      const kind = block[at + 6]!;
      if (kind === LOG_FULL || kind === LOG_FIRST) parts = [];
      parts.push(block.subarray(at + LOG_HEADER_BYTES, next));
      if (kind === LOG_FULL || kind === LOG_LAST) edits.push(Buffer.concat(parts));
      at = next;
    }
  }
  return records === 0 ? 'it is empty' : edits;
}

/** What a record of a manifest says, field by field: a number each, then what belongs to it. */
const EditField = {
  Comparator: 1,
  LogNumber: 2,
  NextFileNumber: 3,
  LastSequence: 4,
  CompactPointer: 5,
  DeletedFile: 6,
  NewFile: 7,
  PrevLogNumber: 9,
} as const;

/** Adds the tables that an edit brings and takes away those that it removes. @returns false when it cannot be read */
function applyEdit(edit: Buffer, tables: Set<number>): boolean {
  let at = 0;
  let isSoundEdit = true;
  const number = (): number => {
    const found = readVarint(edit, at);
    if (found === undefined) isSoundEdit = false;
    at = found?.next ?? edit.length;
    return found?.value ?? 0;
  };
  const bytes = (): void => {
    const length = number();
    at += length;
    if (at > edit.length) isSoundEdit = false;
  };
  while (at < edit.length && isSoundEdit) {
    switch (number()) {
      case EditField.Comparator:
        bytes();
        break;
      case EditField.LogNumber:
      case EditField.NextFileNumber:
      case EditField.LastSequence:
      case EditField.PrevLogNumber:
        number();
        break;
      case EditField.CompactPointer:
        number();
        bytes();
        break;
      case EditField.DeletedFile:
        number();
        tables.delete(number());
        break;
      case EditField.NewFile: {
        number();
        const table = number();
        number();
        bytes();
        bytes();
        tables.add(table);
        break;
      }
      default:
        return false;
    }
  }
  return isSoundEdit;
}

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/** A number of seven bits a byte, low ones first. @returns undefined when it does not end or is too large */
function readVarint(bytes: Buffer, from: number): { value: number; next: number } | undefined {
  let value = 0;
  let unit = 1;
  for (let at = from; at < bytes.length && at < from + 7; at++) {
    value += (bytes[at]! & 0x7f) * unit;
    if (bytes[at]! < 0x80) return { value, next: at + 1 };
    unit *= 128;
  }
  return undefined;
}

function readHandle(bytes: Buffer, from: number): { handle: BlockHandle; next: number } | undefined {
  const offset = readVarint(bytes, from);
  const size = offset && readVarint(bytes, offset.next);
  return offset && size && { handle: { offset: offset.value, size: size.value }, next: size.next };
}

const isSound = (bytes: Buffer, from: number, size: number): boolean =>
  crc32c(bytes, from, from + size + 1) === unmask(bytes.readUInt32LE(from + size + 1));

/** @returns what is wrong with a table, undefined when every byte that is ever read is proved */
async function tableProblem(file: DiskFile, goOn = AT_ONCE): Promise<string | undefined> {
  const fileBytes = await file.size();
  if (fileBytes < FOOTER_BYTES) return 'it is too short';
  const footer = await file.read(fileBytes - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.readBigUInt64LE(FOOTER_BYTES - 8) !== TABLE_MAGIC) return 'its end is not that of a table';
  const metaindex = readHandle(footer, 0);
  const index = metaindex && readHandle(footer, metaindex.next);
  if (metaindex === undefined || index === undefined) return 'its footer is damaged';
  const handles = [metaindex.handle, index.handle];
  for (const handle of [metaindex.handle, index.handle]) {
    const { offset, size } = handle;
    if (offset + size + TRAILER_BYTES > fileBytes) return 'its footer is damaged';
    const block = await file.read(offset, size + TRAILER_BYTES);
    if (!isSound(block, 0, size)) return `the block at ${offset} does not match its checksum`;
    const contents = block[size] === 0 ? block.subarray(0, size) : uncompress(block.subarray(0, size));
    const listed = contents && handlesOf(contents);
    if (listed === undefined) return `the index block at ${offset} is damaged`;
    handles.push(...listed);
  }
  handles.sort((a, b) => a.offset - b.offset);
  return blocksProblem(file, handles, fileBytes - FOOTER_BYTES, goOn);
}

/** Blocks lie one behind the other without gaps; proves that and each of them. */
async function blocksProblem(
  file: DiskFile,
  handles: BlockHandle[],
  end: number,
  goOn: () => Promise<boolean>,
): Promise<string | undefined> {
  let slice: Buffer = Buffer.alloc(0);
  let sliceAt = 0;
  let position = 0;
  for (const { offset, size } of handles) {
    const bytes = size + TRAILER_BYTES;
    if (offset !== position || offset + bytes > end)
      return `the block at ${offset} is not where the one before it ends`;
    if (offset + bytes > sliceAt + slice.length) {
      if (!(await goOn())) return undefined;
      slice = await file.read(offset, Math.max(SLICE_BYTES, bytes));
      sliceAt = offset;
      if (slice.length < bytes) return `it ends in the block at ${offset}`;
    }
    if (!isSound(slice, offset - sliceAt, size)) return `the block at ${offset} does not match its checksum`;
    position = offset + bytes;
  }
  return position === end ? undefined : 'it holds bytes that belong to no block';
}

/** Values of an index block: each names a block. Keys share prefixes and do not matter here. */
function handlesOf(contents: Buffer): BlockHandle[] | undefined {
  if (contents.length < 4) return undefined;
  const entriesEnd = contents.length - 4 - 4 * contents.readUInt32LE(contents.length - 4);
  const handles: BlockHandle[] = [];
  let at = 0;
  while (at < entriesEnd) {
    const shared = readVarint(contents, at);
    const unshared = shared && readVarint(contents, shared.next);
    const value = unshared && readVarint(contents, unshared.next);
    const found = value && readHandle(contents, value.next + unshared.value);
    if (found === undefined || found.next > entriesEnd) return undefined;
    handles.push(found.handle);
    at = found.next;
  }
  return handles;
}

/** Snappy, as in its format_description.txt. @returns undefined when the bytes are not of that format */
export function uncompress(bytes: Buffer): Buffer | undefined {
  const length = readVarint(bytes, 0);
  if (length === undefined || length.value > 1 << 30) return undefined;
  const into = Buffer.alloc(length.value);
  let from = length.next;
  let at = 0;
  while (from < bytes.length) {
    const tag = bytes[from++]!;
    const kind = tag & 3;
    let count = (tag >>> 2) + 1;
    if (kind === 0) {
      if (count > 60) {
        const extra = count - 60;
        if (from + extra > bytes.length) return undefined;
        count = bytes.readUIntLE(from, extra) + 1;
        from += extra;
      }
      if (from + count > bytes.length || at + count > into.length) return undefined;
      bytes.copy(into, at, from, from + count);
      from += count;
      at += count;
      continue;
    }
    const offsetBytes = kind === 3 ? 4 : kind;
    if (from + offsetBytes > bytes.length) return undefined;
    let back = bytes.readUIntLE(from, offsetBytes);
    from += offsetBytes;
    if (kind === 1) {
      back += (tag >>> 5) << 8;
      count = ((tag >>> 2) & 7) + 4;
    }
    if (back === 0 || back > at || at + count > into.length) return undefined;
    for (; count > 0; count--, at++) into[at] = into[at - back]!;
  }
  return at === into.length ? into : undefined;
}

interface LogReport {
  /** Undefined when nothing is wrong but perhaps the last batch. */
  readonly problem?: string;
  readonly isTorn: boolean;
  readonly hasBatches: boolean;
}

async function readLog(file: DiskFile): Promise<LogReport> {
  const fileBytes = await file.size();
  let brokenAt: number | undefined;
  let hasBatches = false;
  for (let sliceAt = 0; sliceAt < fileBytes; sliceAt += SLICE_BYTES) {
    const slice = await file.read(sliceAt, SLICE_BYTES);
    for (let blockAt = 0; blockAt < slice.length; blockAt += LOG_BLOCK_BYTES) {
      const block = slice.subarray(blockAt, blockAt + LOG_BLOCK_BYTES);
      let at = 0;
      while (at + LOG_HEADER_BYTES <= block.length) {
        const next = at + LOG_HEADER_BYTES + block.readUInt16LE(at + 4);
        const kind = block[at + 6]!;
        const isWhole = kind >= LOG_FULL && kind <= LOG_LAST && next <= block.length;
        if (isWhole && crc32c(block, at + 6, next) === unmask(block.readUInt32LE(at))) {
          const isBegin = kind === LOG_FULL || kind === LOG_FIRST;
          if (brokenAt !== undefined && isBegin) {
            const problem = `the record at ${brokenAt} does not match its checksum`;
            return { problem, isTorn: true, hasBatches };
          }
          hasBatches ||= isBegin;
        } else brokenAt ??= sliceAt + blockAt + at;
        // Behind a record whose length cannot be believed, the next block is where a record begins for certain.
        if (!isWhole) break;
        at = next;
      }
      // Only at the end of a whole block is there room that no header fits into.
      if (at < block.length && block.length < LOG_BLOCK_BYTES) brokenAt ??= sliceAt + blockAt + at;
    }
  }
  return { isTorn: brokenAt !== undefined, hasBatches };
}
