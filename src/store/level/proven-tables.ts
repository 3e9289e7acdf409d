/**
 * Which tables of a LevelDB folder need not be read before LevelDB opens it: those that a process has proved or written itself, and that are still the very
 * files that it left. Tables never change, so to read all of them at every start would cost what is stored, not what was written since.
 *
 * A file is the same when its size, its inode and both times of its last change are: whoever writes to it, or puts another in its place, changes one of
 * them. What they do not show is a disk that forgets. So a folder that was not closed is taken on trust only while the machine has not been started anew,
 * because until then the page cache has what was written. What a disk changes by itself is found later, see `Level.proveTrusted`.
 *
 * The record is a text of lines, the last of which is the checksum of the others. One that is damaged or unknown is as good as none. LevelDB leaves
 * files alone whose names it does not know, and so does a program that is older than this record.
 */
import { readFile, stat } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { type Disk, replaceWholeFile } from '../../platform/index.ts';

const NAME = 'PROVEN';
const FIRST_LINE = 'kvorum tables 1';
const BOOT_FILE = '/proc/sys/kernel/random/boot_id';
const TABLE = /^\d+\.(ldb|sst)$/;

/** What tells one state of a file from another. */
export interface FileIdentity {
  readonly size: bigint;
  readonly inode: bigint;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
}

/** What was written down of a folder. */
export interface ProvenTables {
  /** Of the start of the machine; empty where it does not say. */
  readonly boot: string;
  /** The database was closed, so everything that its tables have was on the disk. */
  readonly isClosed: boolean;
  /** By name. */
  readonly tables: ReadonlyMap<string, FileIdentity>;
}

/** What is written down. */
export function encodeProven({ boot, isClosed, tables }: ProvenTables): string {
  const lines = [FIRST_LINE, `boot ${boot}`, `closed ${isClosed ? 'yes' : 'no'}`];
  for (const [name, { size, inode, modifiedNs, changedNs }] of tables)
    lines.push(`table ${name} ${size} ${inode} ${modifiedNs} ${changedNs}`);
  const text = `${lines.join('\n')}\n`;
  return `${text}crc32 ${crc32(text).toString(16).padStart(8, '0')}\n`;
}

/** @returns undefined for what is not whole, or of another form */
export function decodeProven(text: string): ProvenTables | undefined {
  const end = text.lastIndexOf('crc32 ');
  if (end < 0 || text.slice(end) !== `crc32 ${crc32(text.slice(0, end)).toString(16).padStart(8, '0')}\n`)
    return undefined;
  const [first, boot, closed, ...rows] = text.slice(0, end - 1).split('\n');
  if (first !== FIRST_LINE || boot?.startsWith('boot ') !== true || closed === undefined) return undefined;
  const tables = new Map<string, FileIdentity>();
  for (const row of rows) {
    const [, name, size, inode, modifiedNs, changedNs] =
      /^table (\d+\.(?:ldb|sst)) (\d+) (\d+) (\d+) (\d+)$/.exec(row) ?? [];
    if (name === undefined) return undefined;
    tables.set(name, {
      size: BigInt(size!),
      inode: BigInt(inode!),
      modifiedNs: BigInt(modifiedNs!),
      changedNs: BigInt(changedNs!),
    });
  }
  return { boot: boot.slice('boot '.length), isClosed: closed === 'closed yes', tables };
}

/** Looks at the files of this machine. */
async function identityOf(path: string): Promise<FileIdentity | undefined> {
  try {
    const { size, ino: inode, mtimeNs: modifiedNs, ctimeNs: changedNs } = await stat(path, { bigint: true });
    return { size, inode, modifiedNs, changedNs };
  } catch {
    return undefined;
  }
}

const isSame = (a: FileIdentity | undefined, b: FileIdentity | undefined): boolean =>
  a !== undefined &&
  b !== undefined &&
  a.size === b.size &&
  a.inode === b.inode &&
  a.modifiedNs === b.modifiedNs &&
  a.changedNs === b.changedNs;

/** Empty where the machine does not say. */
async function bootOf(): Promise<string> {
  return readFile(BOOT_FILE, 'latin1').then(
    (text) => text.trim(),
    () => '',
  );
}

/** The tables of a folder that may be taken on trust, by name. */
export async function trustedTables(location: string): Promise<ReadonlySet<string>> {
  const text = await readFile(`${location}/${NAME}`, 'latin1').catch(() => '');
  const proven = decodeProven(text);
  const trusted = new Set<string>();
  if (proven === undefined) return trusted;
  if (!proven.isClosed && (proven.boot === '' || proven.boot !== (await bootOf()))) return trusted;
  for (const [name, identity] of proven.tables)
    if (isSame(identity, await identityOf(`${location}/${name}`))) trusted.add(name);
  return trusted;
}

/**
 * Writes down that the tables of a folder are proved, or were written by this process.
 * @param isClosed the database is closed and nothing writes any more
 */
export async function noteProven(location: string, disk: Disk, isClosed: boolean): Promise<void> {
  const tables = new Map<string, FileIdentity>();
  for (const name of await disk.list(location)) {
    const identity = TABLE.test(name) ? await identityOf(`${location}/${name}`) : undefined;
    if (identity !== undefined) tables.set(name, identity);
  }
  const bytes = Buffer.from(encodeProven({ boot: await bootOf(), isClosed, tables }), 'latin1');
  await replaceWholeFile(disk, `${location}/${NAME}`, bytes);
}

/** Nothing of a folder is taken on trust from now on. */
export async function forgetProven(location: string, disk: Disk): Promise<void> {
  await disk.remove(`${location}/${NAME}`);
  await disk.syncFolder(location);
}
