/**
 * What a backup is worth: it is restored, and so is a copy that the cluster itself makes of the same moment out of its history. Group by
 * group both have the same digest, or the backup is not what the cluster was.
 */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AdminClient, SnapshotClient } from '../../src/adapter/grpc/index.ts';
import { KEYSPACES_OF_ADAPTERS } from '../../src/adapter/keyspaces.ts';
import { type BackupManifest, BackupPlace, openObjects, parsePlace } from '../../src/backup/index.ts';
import { type ArchiveSource, backupSource, folderSource, restoreArchive, saveArchive } from '../../src/node/index.ts';
import {
  type GroupId,
  type HlcTimestamp,
  nodeId,
  SystemDisk,
  SystemRandom,
  SystemScheduler,
} from '../../src/platform/index.ts';
import { type GroupStore, openGroupStore } from '../../src/store/index.ts';

const CALL_MS = 3_000;
const PAGE_BYTES = 1 << 20;
const NODE = nodeId(1);
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

/** Saves what the cluster was at the moment of a backup. */
async function saveSameMoment(backup: BackupManifest, addresses: readonly string[], folder: string): Promise<void> {
  await saveArchive({
    ...parts,
    folder,
    wallMs: backup.createdMs,
    version: backup.version,
    cluster: {
      groups: async () => backup.groups.map(({ group }) => group),
      catalog: async () => ({ version: backup.catalogVersion, jobs: [] }),
      point: async () => backup.at,
      async *copy(group, at, have) {
        const client = new SnapshotClient(await leaderOf(group, addresses));
        try {
          yield* client.copy(group, at, have, NEVER_ENDED);
        } finally {
          client.close();
        }
      },
    },
  });
}

/** Of what users would read: what a store notes of its log, and older versions, may differ. */
async function digestOf(store: GroupStore, at: HlcTimestamp): Promise<string> {
  const newest = new Map<string, string>();
  let next: { readonly start: Buffer; readonly after: HlcTimestamp | undefined } | undefined = {
    start: Buffer.alloc(0),
    after: undefined,
  };
  const seen = new Map<string, HlcTimestamp>();
  while (next !== undefined) {
    const page = await store.exportVersions({ ...next, end: undefined, maxBytes: PAGE_BYTES });
    for (const { key, commitTs, expireTs, value } of page.versions) {
      const name = key.toString('hex');
      if (commitTs > at || commitTs < (seen.get(name) ?? 0n)) continue;
      seen.set(name, commitTs);
      if (value === undefined) newest.delete(name);
      else newest.set(name, `${commitTs} ${expireTs} ${value.toString('hex')}`);
    }
    next = page.next;
  }
  const hash = createHash('sha256');
  for (const [name, row] of [...newest].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${name} ${row}\n`);
  return hash.digest('hex');
}

async function digestsOf(
  backup: BackupManifest,
  source: ArchiveSource,
  dataFolder: string,
  incarnation: number | undefined,
): Promise<{ readonly digests: ReadonlyMap<GroupId, string>; readonly incarnation: number }> {
  const restored = await restoreArchive({
    ...parts,
    ...{ source, dataFolder, incarnation },
    wallMs: backup.createdMs,
    clusterName: 'restored',
    node: NODE,
    members: [NODE],
  });
  const digests = new Map<GroupId, string>();
  for (const { group } of backup.groups) {
    const location = join(dataFolder, `group-${group}`);
    const store = await openGroupStore({ location, disk: parts.disk, ...KEYSPACES_OF_ADAPTERS.forStores });
    try {
      digests.set(group, await digestOf(store, backup.at));
    } finally {
      await store.close();
    }
  }
  return { digests, incarnation: restored.incarnation };
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
    await saveSameMoment(backup, addresses, saved);
    const of = backupSource(place, backup);
    const made = await digestsOf(backup, of, join(folder, 'of-backup'), undefined);
    const own = await digestsOf(backup, folderSource(parts.disk, saved), join(folder, 'of-cluster'), made.incarnation);
    return backup.groups
      .map(({ group }) => group)
      .filter((group) => made.digests.get(group) !== own.digests.get(group));
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}
