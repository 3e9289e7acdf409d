/**
 * A snapshot of a whole cluster in a folder: copies of all groups that are of one moment.
 *
 *   archive.json            what it is of, and the hash of each group's manifest; written last
 *   group-<id>/manifest.json
 *   group-<id>/<sha256>.seg
 *
 * A folder on its way is called `<folder>.saving`. A save that broke goes on there with what is missing.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { snapshotFacts } from '../../kv/index.ts';
import {
  type Disk,
  type ErrorDisposition,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  KvorumError,
  type Millis,
} from '../../platform/index.ts';
import {
  type CopyManifest,
  CorruptSnapshotError,
  decodeManifest,
  type Json,
  openJson,
  pooledCompression,
  readSegment,
  SegmentFolder,
  sealJson,
} from '../../store/index.ts';

export const ARCHIVE_FILE = 'archive.json';
const MANIFEST_FILE = 'manifest.json';
const FORMAT = 1;

/** The folder cannot be used for what was asked. Nothing was changed. */
export class ArchiveError extends KvorumError {
  readonly code = 'ARCHIVE';
  readonly disposition: ErrorDisposition = 'final';
}

/** One group of an archive. */
export interface ArchivedCopy {
  readonly group: GroupId;
  /** sha-256 of its manifest's file. */
  readonly manifestSha256: string;
  readonly index: number;
  readonly rows: number;
  /** Of its segments. */
  readonly bytes: number;
}

export interface Archive {
  readonly createdMs: Millis;
  /** Of the program that wrote it. */
  readonly version: string;
  /** The moment that all groups are of. */
  readonly at: HlcTimestamp;
  /** Version of the catalog, the same before the first and after the last group was copied. */
  readonly catalogVersion: number;
  /** By id. */
  readonly groups: readonly ArchivedCopy[];
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
/** Where the copy of a group is. */
export const groupFolder = (folder: string, group: number): string => join(folder, `group-${group}`);

async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  let file: Awaited<ReturnType<Disk['open']>>;
  try {
    file = await disk.open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new CorruptSnapshotError(`${path} is missing`, { cause: error });
  }
  try {
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

async function writeWhole(disk: Disk, path: string, bytes: Buffer): Promise<void> {
  const file = await disk.open(path, { create: true });
  try {
    await file.truncate(0);
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.syncFolder(dirname(path));
}

/** A copy as it comes: the pieces of its manifest first, then those of its segments in order. */
export type CopyParts = AsyncIterable<{ readonly manifest?: Buffer | undefined; readonly piece?: Buffer | undefined }>;

/** Writes an archive. */
export class ArchiveWriter {
  private readonly disk: Disk;
  private readonly folder: string;

  private constructor(disk: Disk, folder: string) {
    this.disk = disk;
    this.folder = folder;
  }

  /** @throws ArchiveError when there is something at the folder */
  static async begin(disk: Disk, folder: string): Promise<ArchiveWriter> {
    if ((await disk.list(folder)).length > 0) {
      throw new ArchiveError(`${folder} is there already and is not empty; name another folder`);
    }
    await disk.makeFolder(`${folder}.saving`);
    return new ArchiveWriter(disk, folder);
  }

  /** sha-256 of a group's segments that an attempt before brought. */
  async have(group: GroupId): Promise<string[]> {
    const names = await this.disk.list(groupFolder(`${this.folder}.saving`, group));
    return names.filter((name) => name.endsWith('.seg')).map((name) => name.slice(0, -'.seg'.length));
  }

  /** Takes in the copy of a group; stable when it settles. @throws CorruptSnapshotError when it came damaged or cut */
  async add(group: GroupId, parts: CopyParts): Promise<ArchivedCopy> {
    const folder = groupFolder(`${this.folder}.saving`, group);
    const stream = parts[Symbol.asyncIterator]();
    const pieces: Buffer[] = [];
    let step = await stream.next();
    for (; !step.done && step.value.manifest !== undefined; step = await stream.next())
      pieces.push(step.value.manifest);
    const bytes = Buffer.concat(pieces);
    const manifest = decodeManifest(bytes, `the manifest of group ${group}`);
    const facts = snapshotFacts(manifest);
    if (facts.group !== group) throw new CorruptSnapshotError(`a copy of group ${facts.group} came for group ${group}`);
    await this.disk.makeFolder(folder);
    const segments = new SegmentFolder(this.disk, folder);
    for (const at of await segments.prepare(manifest.segments)) {
      const segment = manifest.segments[at]!;
      await segments.receive(segment, takeBytes(segment.bytes));
    }
    await writeWhole(this.disk, join(folder, MANIFEST_FILE), bytes);
    return {
      group,
      manifestSha256: hashOf(bytes),
      index: facts.index,
      rows: manifest.rows,
      bytes: manifest.bytes,
    };

    async function* takeBytes(length: number): AsyncGenerator<Buffer> {
      for (let left = length; left > 0 && !step.done; step = await stream.next()) {
        const piece = step.value.piece ?? Buffer.alloc(0);
        left -= piece.length;
        yield piece;
        // The next piece is the next segment's.
        if (left <= 0) {
          step = await stream.next();
          return;
        }
      }
    }
  }

  /** Completes the archive: from here on it can be seen. */
  async finish(facts: Omit<Archive, 'groups'>, copies: readonly ArchivedCopy[]): Promise<Archive> {
    const archive: Archive = { ...facts, groups: copies.toSorted((a, b) => a.group - b.group) };
    const saving = `${this.folder}.saving`;
    await writeWhole(this.disk, join(saving, ARCHIVE_FILE), encodeArchive(archive));
    await this.disk.rename(saving, this.folder);
    await this.disk.syncFolder(dirname(this.folder));
    return archive;
  }
}

function encodeArchive({ createdMs, version, at, catalogVersion, groups }: Archive): Buffer {
  const rows = groups.map(({ group, manifestSha256, index, rows: count, bytes }) => {
    return { group, manifestSha256, index, rows: count, bytes };
  });
  return sealJson({ format: FORMAT, createdMs, version, at: at.toString(), catalogVersion, groups: rows });
}

/** What an archive says of itself. @throws CorruptSnapshotError when it is damaged, or there is none */
export async function readArchive(disk: Disk, folder: string): Promise<Archive> {
  const path = join(folder, ARCHIVE_FILE);
  const value = openJson(await readWhole(disk, path), path) as unknown as Readonly<Record<string, Json>>;
  if (value.format !== FORMAT) {
    throw new CorruptSnapshotError(`${path} has format ${String(value.format)}, this version reads format ${FORMAT}`);
  }
  const groups = value.groups as unknown as readonly ArchivedCopy[];
  return {
    createdMs: Number(value.createdMs),
    version: String(value.version),
    at: hlcTimestamp(BigInt(String(value.at))),
    catalogVersion: Number(value.catalogVersion),
    groups: groups.map((row) => ({ ...row, group: groupId(row.group) })),
  };
}

/** The manifest of one group. @throws CorruptSnapshotError */
export async function readGroupManifest(
  disk: Disk,
  folder: string,
  { group, manifestSha256 }: ArchivedCopy,
): Promise<CopyManifest> {
  const path = join(groupFolder(folder, group), MANIFEST_FILE);
  const bytes = await readWhole(disk, path);
  const manifest = decodeManifest(bytes, path);
  if (hashOf(bytes) !== manifestSha256 || snapshotFacts(manifest).group !== group) {
    throw new CorruptSnapshotError(`${path} is not the manifest that ${join(folder, ARCHIVE_FILE)} names`);
  }
  return manifest;
}

/** What a look at everything in an archive found. */
export interface ArchiveCheck {
  readonly archive: Archive | undefined;
  readonly segments: number;
  readonly rows: number;
  readonly bytes: number;
  /** Each names a file; empty when all is sound. */
  readonly problems: readonly string[];
}

/**
 * Reads every block of every file of an archive.
 * @param onSegment told of each segment before it is read
 */
export async function verifyArchive(
  disk: Disk,
  folder: string,
  onSegment: (done: number, total: number) => void = () => {},
): Promise<ArchiveCheck> {
  const problems: string[] = [];
  const attempt = async <Result>(work: () => Promise<Result>): Promise<Result | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof KvorumError)) throw error;
      problems.push(error.message);
      return undefined;
    }
  };
  const archive = await attempt(() => readArchive(disk, folder));
  const copies: { readonly path: string; readonly manifest: CopyManifest }[] = [];
  for (const copy of archive?.groups ?? []) {
    const manifest = await attempt(() => readGroupManifest(disk, folder, copy));
    if (manifest !== undefined) copies.push({ path: groupFolder(folder, copy.group), manifest });
  }
  const total = copies.reduce((sum, { manifest }) => sum + manifest.segments.length, 0);
  let [segments, rows, bytes] = [0, 0, 0];
  for (const { path, manifest } of copies) {
    const files = new SegmentFolder(disk, path);
    for (const segment of manifest.segments) {
      onSegment(segments, total);
      await attempt(async () => {
        for await (const page of readSegment(disk, files.pathOf(segment), segment, pooledCompression)) {
          rows += page.length;
        }
      });
      segments += 1;
      bytes += segment.bytes;
    }
  }
  return { archive, segments, rows, bytes, problems };
}

/** Archives in a folder, newest first; the folder itself when it is one. Damaged ones have a problem. */
export async function listArchives(
  disk: Disk,
  folder: string,
): Promise<{ readonly path: string; readonly archive: Archive | undefined; readonly problem: string }[]> {
  const isOne = (await disk.list(folder)).includes(ARCHIVE_FILE);
  const paths = isOne ? [folder] : (await disk.list(folder)).map((name) => join(folder, name));
  const found: { path: string; archive: Archive | undefined; problem: string }[] = [];
  for (const path of paths) {
    if (!isOne && !(await namesIn(disk, path)).includes(ARCHIVE_FILE)) continue;
    try {
      found.push({ path, archive: await readArchive(disk, path), problem: '' });
    } catch (error) {
      if (!(error instanceof KvorumError)) throw error;
      found.push({ path, archive: undefined, problem: error.message });
    }
  }
  return found.sort((left, right) => (right.archive?.createdMs ?? 0) - (left.archive?.createdMs ?? 0));
}

/** A file has no names in it. */
async function namesIn(disk: Disk, path: string): Promise<string[]> {
  try {
    return await disk.list(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error;
    return [];
  }
}
