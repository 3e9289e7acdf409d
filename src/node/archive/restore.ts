/**
 * An archive becomes the data folder of a new cluster's node, offline. Every segment is proven; of each group the versions up
 * to the archive's moment are written to a new store, and nothing of what was under way: no locks, no jobs, no nodes. Changes may lead on to a later
 * moment: each version goes to the group that had its key in the archive, wherever it was when it was written. The new
 * cluster has its own members, its own life of the node, its own incarnation of the catalog; and its timestamps begin above all
 * that the old one may have given out. Several members restore the same archive with the same incarnation, each for itself.
 */
import { dirname, join } from 'node:path';
import { KEYSPACES_OF_ADAPTERS } from '../../adapter/keyspaces.ts';
import { CATALOG_GROUP } from '../../config/index.ts';
import {
  CATALOG_END,
  CATALOG_START,
  type CatalogMutation,
  decodeSpanTable,
  encodeGroup,
  encodeMeta,
  groupKey,
  loadCatalog,
  META_KEY,
  nodeKey,
  settingKey,
  workKey,
} from '../../distribution/index.ts';
import { DEFAULT_CLOCK_LIMITS, encodeAppliedMeta, encodeConf, MetaName, snapshotFacts } from '../../kv/index.ts';
import {
  type Disk,
  type GroupId,
  type HlcTimestamp,
  hlcTimestamp,
  type Millis,
  NEVER,
  type NodeId,
  physicalMs,
  type Random,
} from '../../platform/index.ts';
import {
  type ConfState,
  type LogRecord,
  openDataFolder,
  type SnapshotMeta,
  WalLogStore,
} from '../../raftengine/index.ts';
import {
  type CopyManifest,
  CorruptSnapshotError,
  DiskLevelFolders,
  type ExportedVersion,
  type GroupStore,
  openGroupStore,
  removeGroupStore,
  type SegmentEntry,
  SegmentFolder,
} from '../../store/index.ts';
import {
  type Archive,
  type ArchivedCopy,
  ArchiveError,
  groupFolder,
  readArchive,
  readGroupManifest,
} from './archive-folder.ts';
import { type ReplayedGroup, replayChanges } from './replay.ts';

const EMPTY = Buffer.alloc(0);
/** Settings by which a cluster makes backups and archives changes by itself. */
const BACKUP_SETTINGS = ['backup.everyMs', 'backup.archiveEveryMs'];
const PAGE_BYTES = 1 << 20;
const FRAME_BYTES = 1 << 20;
/** Small values of a group that its new life takes over as they are. */
const KEPT_META = [MetaName.Spans, MetaName.Authority, MetaName.TxnFloor] as const;

/** Where copies come from. */
export interface ArchiveSource {
  /** For messages. */
  readonly place: string;
  /** What the archive says of itself. */
  read(): Promise<Archive>;
  /** @throws CorruptSnapshotError, BackupDamagedError */
  manifest(copy: ArchivedCopy): Promise<CopyManifest>;
  /** The bytes of a segment. @param at its number in the manifest */
  frames(copy: ArchivedCopy, segment: SegmentEntry, at: number): AsyncIterable<Buffer>;
  /** What leads from the copies to a later moment; left out: the copies' own is wanted. */
  readonly changes?: SourceOfChanges;
}

/** Changes behind the moment of an archive. */
export interface SourceOfChanges {
  readonly at: HlcTimestamp;
  /** The old cluster's timestamps are below, as far as is known. */
  readonly ceilingMs: Millis;
  /** Of each key in the order of timestamps; some may come twice. @throws BackupDamagedError */
  pages(): AsyncIterable<readonly ExportedVersion[]>;
}

/** An archive in a folder. */
export function folderSource(disk: Disk, folder: string): ArchiveSource {
  return {
    place: folder,
    read: () => readArchive(disk, folder),
    manifest: (copy) => readGroupManifest(disk, folder, copy),
    frames: ({ group }, segment) => {
      const files = new SegmentFolder(disk, groupFolder(folder, group));
      return framesOf(disk, files.pathOf(segment), segment.bytes);
    },
  };
}

export interface RestoreOptions {
  readonly disk: Disk;
  readonly random: Random;
  /** Of this machine; the new incarnation when none is given. */
  readonly wallMs: Millis;
  readonly source: ArchiveSource;
  /** Absent or empty. */
  readonly dataFolder: string;
  readonly clusterName: string;
  readonly node: NodeId;
  /** Voters of every group, this node among them. */
  readonly members: readonly NodeId[];
  /** Of the catalog; the same on all members. Undefined: a new one. */
  readonly incarnation: number | undefined;
  readonly onGroup?: (group: GroupId, done: number, total: number) => void;
}

export interface RestoreReport {
  readonly archive: Archive;
  /** The moment that the new cluster is of. */
  readonly at: HlcTimestamp;
  readonly incarnation: number;
  /** Timestamps of the new cluster are above this moment. */
  readonly floorMs: Millis;
  readonly rows: number;
}

/** What of a copy the new life of its group needs; the versions are in its store. */
interface CopiedGroup {
  readonly group: GroupId;
  readonly facts: ReturnType<typeof snapshotFacts>;
  readonly meta: ReadonlyMap<string, Buffer>;
  readonly gcThreshold: HlcTimestamp;
  /** Newest values of the catalog's rows, in its group. */
  readonly catalog: ReadonlyMap<string, Buffer> | undefined;
}

/** A copy whose manifest was read. */
interface ReadCopy {
  readonly copy: ArchivedCopy;
  readonly manifest: CopyManifest;
}

/** What every group of the new cluster begins with. */
interface NewLife {
  readonly conf: ConfState;
  readonly at: HlcTimestamp;
  /** Of what the restore itself writes. */
  readonly writeTs: HlcTimestamp;
  readonly ceilingMs: Millis;
}

/**
 * Restores an archive.
 * @throws ArchiveError when the folder is not empty or the node is no member; CorruptSnapshotError that names a damaged file.
 *   Nothing is left behind then.
 */
export async function restoreArchive(options: RestoreOptions): Promise<RestoreReport> {
  const { disk, dataFolder, source, members, node } = options;
  if ((await disk.list(dataFolder)).length > 0) {
    throw new ArchiveError(`${dataFolder} is not empty; a cluster is restored into a folder that is absent or empty`);
  }
  if (!members.includes(node)) throw new ArchiveError(`node ${node} is not among the members ${members.join(', ')}`);
  const archive = await source.read();
  const copies: ReadCopy[] = [];
  for (const copy of archive.groups) copies.push({ copy, manifest: await source.manifest(copy) });
  if (!copies.some(({ copy }) => copy.group === CATALOG_GROUP)) {
    throw new ArchiveError(`${source.place} lacks the group of the catalog`);
  }
  const facts = copies.map(({ manifest }) => snapshotFacts(manifest));
  const at = source.changes?.at ?? archive.at;
  const floorMs = Math.max(
    physicalMs(at) + 1,
    source.changes?.ceilingMs ?? 0,
    ...facts.map(({ ceilingMs }) => ceilingMs),
  );
  const life: NewLife = {
    conf: {
      voters: members.toSorted((left, right) => left - right),
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
    at,
    writeTs: hlcTimestamp(at + 1n),
    // Whoever gave out timestamps below the ceiling may have asked for more that is not in the archive.
    ceilingMs: floorMs + DEFAULT_CLOCK_LIMITS.windowMs,
  };
  const work = `${dataFolder}.restoring`;
  await disk.remove(work);
  await disk.makeFolder(work);
  try {
    // First: a folder with data and without an owner is refused.
    const folder = await openDataFolder({ ...options, folder: work, nodeId: node, joins: false });
    await folder.close();
    let rows = 0;
    const copied: CopiedGroup[] = [];
    for (const [at, read] of copies.entries()) {
      options.onGroup?.(read.copy.group, at, copies.length);
      copied.push(await copyGroup(options, work, read, archive.at));
      rows += read.manifest.rows;
    }
    rows += await replayInto(options, work, copied);
    let { incarnation } = options;
    const starts = new Map<GroupId, SnapshotMeta>();
    for (const one of copied) {
      const begun = await beginGroup(options, work, one, life);
      if (begun.incarnation !== undefined) incarnation = begun.incarnation;
      starts.set(one.group, begun.start);
    }
    await writeLog(options, work, folder.record, starts);
    // An empty folder may be there.
    await disk.remove(dataFolder);
    await disk.rename(work, dataFolder);
    await disk.syncFolder(dirname(dataFolder));
    return { archive, at: life.at, incarnation: incarnation!, floorMs: life.ceilingMs, rows };
  } catch (error) {
    await disk.remove(work).catch(() => {});
    throw error;
  }
}

/** Installs a copy and takes over of it what the new life keeps. */
async function copyGroup(
  options: RestoreOptions,
  work: string,
  read: ReadCopy,
  at: HlcTimestamp,
): Promise<CopiedGroup> {
  const { disk, source } = options;
  const { copy: archived, manifest } = read;
  const { group } = archived;
  const copyAt = join(work, `copy-${group}`);
  const copy = await openGroupStore({ location: copyAt, disk, ...KEYSPACES_OF_ADAPTERS.forStores });
  const target = await openTarget(options, work, group);
  try {
    const staged = await copy.stageImport(manifest);
    for (const segment of staged.missing) {
      await staged.receive(segment, source.frames(archived, manifest.segments[segment]!, segment));
    }
    await staged.finish();
    await staged.install();
    if (copy.gcThreshold > at) {
      throw new ArchiveError(`of group ${group} the versions of the archive's moment had been collected already`);
    }
    const catalog = group === CATALOG_GROUP ? new Map<string, Buffer>() : undefined;
    await copyVersions(copy, target, at, catalog);
    await target.flush();
    const meta = new Map<string, Buffer>();
    for (const name of KEPT_META) {
      const value = copy.meta(name);
      if (value !== undefined) meta.set(name, value);
    }
    return { group, facts: snapshotFacts(manifest), meta, gcThreshold: copy.gcThreshold, catalog };
  } finally {
    await target.close();
    await copy.close();
    await removeGroupStore(copyAt, new DiskLevelFolders(disk), disk);
    await disk.remove(join(work, `group-${group}.cut`));
  }
}

/** Writes what came after the copies. */
async function replayInto(options: RestoreOptions, work: string, groups: readonly CopiedGroup[]): Promise<number> {
  const { changes } = options.source;
  if (changes === undefined) return 0;
  const opened: ReplayedGroup[] = [];
  try {
    for (const { group, meta } of groups) {
      const table = meta.get(MetaName.Spans);
      const spans = table === undefined ? [] : decodeSpanTable(table).spans;
      const owned = spans.filter(({ state }) => state === 'ACTIVE' || state === 'FENCED');
      opened.push({ store: await openTarget(options, work, group), spans: owned });
    }
    const versions = await replayChanges(opened, changes.pages());
    for (const { store } of opened) await store.flush();
    return versions;
  } finally {
    for (const { store } of opened) await store.close();
  }
}

/** Begins the new life of a group. */
async function beginGroup(
  options: RestoreOptions,
  work: string,
  { group, facts, meta, gcThreshold, catalog }: CopiedGroup,
  life: NewLife,
): Promise<{ readonly start: SnapshotMeta; readonly incarnation: number | undefined }> {
  const target = await openTarget(options, work, group);
  try {
    const rewritten =
      catalog === undefined ? undefined : newCatalog(catalog, life, options.incarnation, options.wallMs);
    const { index, term } = facts;
    const start: SnapshotMeta = { index: Math.max(index, target.appliedIndex) + 1, term: term + 1, conf: life.conf };
    const writer = target.write();
    for (const { key, value } of rewritten?.mutations ?? []) {
      if (value === undefined) writer.delete(key, life.writeTs);
      else writer.put(key, value, life.writeTs, NEVER);
    }
    for (const [name, value] of meta) writer.setMeta(name, value);
    writer.setMeta(MetaName.Conf, encodeConf(life.conf));
    const applied = { term: start.term, maxTs: life.writeTs, ceilingMs: life.ceilingMs };
    writer.setMeta(MetaName.Applied, encodeAppliedMeta(applied));
    if (gcThreshold > 0n) target.setGcThreshold(writer, gcThreshold);
    writer.commit(start.index);
    await target.flush();
    return { start, incarnation: rewritten?.incarnation };
  } finally {
    await target.close();
  }
}

const openTarget = ({ disk }: RestoreOptions, work: string, group: GroupId): Promise<GroupStore> =>
  openGroupStore({ location: join(work, `group-${group}`), disk, ...KEYSPACES_OF_ADAPTERS.forStores });

/** @param catalog gets the newest values of the catalog's rows */
async function copyVersions(
  from: GroupStore,
  to: GroupStore,
  upTo: HlcTimestamp,
  catalog: Map<string, Buffer> | undefined,
): Promise<void> {
  let next: { readonly start: Buffer; readonly after: HlcTimestamp | undefined } | undefined = {
    start: EMPTY,
    after: undefined,
  };
  while (next !== undefined) {
    const page = await from.exportVersions({ ...next, end: undefined, maxBytes: PAGE_BYTES });
    const writer = to.write();
    for (const { key, commitTs, expireTs, value } of page.versions) {
      if (commitTs > upTo) continue;
      if (value === undefined) writer.delete(key, commitTs);
      else writer.put(key, value, commitTs, expireTs);
      if (catalog === undefined || !isCatalogKey(key)) continue;
      if (value === undefined) catalog.delete(key.toString('latin1'));
      else catalog.set(key.toString('latin1'), Buffer.from(value));
    }
    writer.commit(to.appliedIndex + 1);
    await to.pressure();
    next = page.next;
  }
}

const isCatalogKey = (key: Buffer): boolean =>
  Buffer.compare(key, CATALOG_START) >= 0 && Buffer.compare(key, CATALOG_END) < 0;

/** What changes in the catalog when it begins a new life. @throws ArchiveError when work was under way that cannot go on */
function newCatalog(
  rows: ReadonlyMap<string, Buffer>,
  { conf }: NewLife,
  wanted: number | undefined,
  wallMs: Millis,
): { readonly mutations: readonly CatalogMutation[]; readonly incarnation: number } {
  const state = loadCatalog([...rows].map(([key, value]) => ({ key: Buffer.from(key, 'latin1'), value })));
  if (state.meta === undefined) throw new ArchiveError('the archive has no catalog');
  if (state.jobs.size > 0) throw new ArchiveError('the archive was taken while a range was being moved');
  const least = state.meta.incarnation + 1;
  const incarnation = wanted ?? Math.max(least, Math.floor(wallMs));
  if (incarnation < least) {
    throw new ArchiveError(
      `incarnation ${incarnation} is not above ${state.meta.incarnation}, that of the old cluster`,
    );
  }
  const { meta } = state;
  const mutations: CatalogMutation[] = [
    { key: META_KEY, value: encodeMeta({ ...meta, incarnation, documentRevision: meta.documentRevision + 1 }) },
    ...[...state.nodes.keys()].map((id) => ({ key: nodeKey(id), value: undefined })),
    ...[...state.work.keys()].map((name) => ({ key: workKey(name), value: undefined })),
    // The new cluster would put its backups among those of the old one, and take away what it does not keep.
    ...BACKUP_SETTINGS.filter((name) => state.settings.has(name)).map((name) => {
      return { key: settingKey(name), value: undefined };
    }),
  ];
  for (const group of state.groups.values()) {
    if (group.state !== 'ACTIVE') continue;
    const row = { ...group, revision: group.revision + 1, founders: conf.voters, preferredLeader: undefined };
    mutations.push({ key: groupKey(group.id), value: encodeGroup(row) });
  }
  return { mutations, incarnation };
}

/** Every group's log begins where its store is, so that a start opens them all. */
async function writeLog(
  { disk, random }: RestoreOptions,
  work: string,
  record: LogRecord,
  starts: ReadonlyMap<GroupId, SnapshotMeta>,
): Promise<void> {
  const log = await WalLogStore.open({ disk, folder: join(work, 'log'), random, record });
  try {
    await log.write(
      [...starts].map(([groupId, resetTo]) => ({
        groupId,
        hardState: { term: resetTo.term, vote: 0 as const, commitIndex: resetTo.index },
        entries: [],
        resetTo,
      })),
    );
  } finally {
    await log.close();
  }
}

async function* framesOf(disk: Disk, path: string, bytes: number): AsyncGenerator<Buffer> {
  let file: Awaited<ReturnType<Disk['open']>>;
  try {
    file = await disk.open(path);
  } catch (error) {
    throw new CorruptSnapshotError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    for (let at = 0; at < bytes; at += FRAME_BYTES) yield await file.read(at, Math.min(FRAME_BYTES, bytes - at));
  } finally {
    await file.close();
  }
}
