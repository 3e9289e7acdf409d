/**
 * What a backup is worth: it is restored, and so is a copy that the cluster itself makes of the same moment out of its history. Group by
 * group both have the same digest, or the backup is not what the cluster was.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AdminClient, SnapshotClient } from '../../src/adapter/grpc/index.ts';
import { KEYSPACES_OF_ADAPTERS } from '../../src/adapter/keyspaces.ts';
import { type BackupManifest, BackupPlace, openObjects, parsePlace, planMoment } from '../../src/backup/index.ts';
import { RESERVED_END } from '../../src/distribution/index.ts';
import {
  type ArchiveSource,
  backupSource,
  folderSource,
  momentSource,
  restoreArchive,
  saveArchive,
} from '../../src/node/index.ts';
import {
  type GroupId,
  type HlcTimestamp,
  nodeId,
  SystemDisk,
  SystemRandom,
  SystemScheduler,
} from '../../src/platform/index.ts';
import { type GroupStore, openGroupStore, pooledCompression } from '../../src/store/index.ts';

const CALL_MS = 3_000;
const PAGE_BYTES = 1 << 20;
const NODE = nodeId(1);
const FIRST_KEY = Buffer.alloc(0);
const NEVER_ENDED = new AbortController().signal;

const parts = { disk: new SystemDisk(), random: new SystemRandom(), scheduler: new SystemScheduler() };

/** Where the leader of a group takes calls. @throws when no node that answers knows */
async function leaderOf(group: GroupId, addresses: readonly string[]): Promise<string> {
  for (const address of addresses) {
    const client = new AdminClient(address);
    try {
      const { nodes } = await client.call('Status', { groups: [group] }, CALL_MS);
      const leads = nodes.findIndex(({ replicas }) => replicas.some(({ role }) => role === 'leader'));
      // Addresses that nodes know each other by may be those of proxies.
      const leader = nodes[leads]?.nodeId;
      if (leader !== undefined) return addresses[leader - 1]!;
    } catch {
      // The next one may answer.
    } finally {
      client.close();
    }
  }
  throw new Error(`nobody is known to lead group ${group}`);
}

/** Saves what the groups of a backup were at a moment. */
async function saveMoment(
  backup: BackupManifest,
  at: HlcTimestamp,
  addresses: readonly string[],
  folder: string,
): Promise<void> {
  await saveArchive({
    ...parts,
    folder,
    wallMs: backup.createdMs,
    version: backup.version,
    cluster: {
      groups: async () => backup.groups.map(({ group }) => group),
      catalog: async () => ({ version: backup.catalogVersion, jobs: [] }),
      point: async () => at,
      async *copy(group, moment, have) {
        const client = new SnapshotClient(await leaderOf(group, addresses));
        try {
          yield* client.copy(group, moment, have, NEVER_ENDED);
        } finally {
          client.close();
        }
      },
    },
  });
}

/** The newest version of each key at a moment: what users would read, deletes included. */
class Newest {
  private readonly at: HlcTimestamp;
  private readonly rows = new Map<string, { readonly commitTs: HlcTimestamp; readonly row: string | undefined }>();

  constructor(at: HlcTimestamp) {
    this.at = at;
  }

  /** What a store notes of its log, and older versions, may differ. @param from the first key that counts */
  async add(store: GroupStore, from: Buffer): Promise<this> {
    let next: { readonly start: Buffer; readonly after: HlcTimestamp | undefined } | undefined = {
      start: from,
      after: undefined,
    };
    while (next !== undefined) {
      const page = await store.exportVersions({ ...next, end: undefined, maxBytes: PAGE_BYTES });
      for (const { key, commitTs, expireTs, value } of page.versions) {
        const name = key.toString('hex');
        if (commitTs > this.at || commitTs < (this.rows.get(name)?.commitTs ?? 0n)) continue;
        const row = value && `${commitTs} ${expireTs} ${value.toString('hex')}`;
        this.rows.set(name, { commitTs, row });
      }
      next = page.next;
    }
    return this;
  }

  digest(): string {
    const hash = createHash('sha256');
    for (const [name, { row }] of [...this.rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (row !== undefined) hash.update(`${name} ${row}\n`);
    }
    return hash.digest('hex');
  }
}

interface Restored {
  readonly backup: BackupManifest;
  readonly dataFolder: string;
  readonly incarnation: number;
}

async function restore(
  backup: BackupManifest,
  source: ArchiveSource,
  dataFolder: string,
  incarnation: number | undefined,
): Promise<Restored> {
  const restored = await restoreArchive({
    ...parts,
    ...{ source, dataFolder, incarnation },
    wallMs: backup.createdMs,
    clusterName: 'restored',
    node: NODE,
    members: [NODE],
  });
  return { backup, dataFolder, incarnation: restored.incarnation };
}

/** Calls back with each store that was restored. */
async function eachStore(
  { backup, dataFolder }: Restored,
  onStore: (group: GroupId, store: GroupStore) => Promise<void>,
): Promise<void> {
  for (const { group } of backup.groups) {
    const location = join(dataFolder, `group-${group}`);
    const store = await openGroupStore({ location, disk: parts.disk, ...KEYSPACES_OF_ADAPTERS.forStores });
    try {
      await onStore(group, store);
    } finally {
      await store.close();
    }
  }
}

async function digestsOf(restored: Restored): Promise<ReadonlyMap<GroupId, string>> {
  const digests = new Map<GroupId, string>();
  await eachStore(restored, async (group, store) => {
    digests.set(group, (await new Newest(restored.backup.at).add(store, FIRST_KEY)).digest());
  });
  return digests;
}

/** Of all keys of users together: ranges may have had other owners at the moment than when the backup was made. */
async function digestOfAll(restored: Restored, at: HlcTimestamp): Promise<string> {
  const newest = new Newest(at);
  await eachStore(restored, async (_group, store) => {
    await newest.add(store, RESERVED_END);
  });
  return newest.digest();
}

/**
 * Restores a backup and what the cluster itself has of its moment.
 * @param addresses where nodes 1, 2 .. take calls of operators
 * @param folder for what is made meanwhile; removed at the end
 * @returns the groups that differ
 * @throws when the backup is damaged, or the cluster does not answer
 */
export async function restoredDifferently(
  id: string,
  placeName: string,
  addresses: readonly string[],
  folder: string,
): Promise<readonly GroupId[]> {
  const store = await openObjects(parsePlace(placeName), parts);
  try {
    const place = await BackupPlace.read(store, 'none', parts.random);
    const backup = await place.readable(id);
    const saved = join(folder, 'saved');
    await saveMoment(backup, backup.at, addresses, saved);
    const made = await restore(backup, backupSource(place, backup), join(folder, 'of-backup'), undefined);
    const source = folderSource(parts.disk, saved);
    const own = await restore(backup, source, join(folder, 'of-cluster'), made.incarnation);
    const [ofBackup, ofCluster] = [await digestsOf(made), await digestsOf(own)];
    return backup.groups.map(({ group }) => group).filter((group) => ofBackup.get(group) !== ofCluster.get(group));
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Restores a moment from backups and the changes behind them, and what the cluster itself has of that moment.
 * @param addresses where nodes 1, 2 .. take calls of operators
 * @param folder for what is made meanwhile; removed at the end
 * @returns whether both are equal
 * @throws when the moment cannot be restored, or the cluster does not answer
 */
export async function isMomentRestored(
  at: HlcTimestamp,
  placeName: string,
  addresses: readonly string[],
  folder: string,
): Promise<boolean> {
  const store = await openObjects(parsePlace(placeName), parts);
  try {
    const place = await BackupPlace.read(store, 'none', parts.random);
    const plan = await planMoment(place, at, undefined, String);
    const { backup } = plan;
    const saved = join(folder, 'saved');
    await saveMoment(backup, at, addresses, saved);
    const source = momentSource(plan, { compression: pooledCompression });
    const made = await restore(backup, source, join(folder, 'of-archive'), undefined);
    const own = await restore(backup, folderSource(parts.disk, saved), join(folder, 'of-cluster'), made.incarnation);
    return (await digestOfAll(made, at)) === (await digestOfAll(own, at));
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}
