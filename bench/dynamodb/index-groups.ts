/** A cluster in which tables and their global indexes are in groups that different nodes lead: a write is a transaction over both. */
import { setTimeout as delay } from 'node:timers/promises';
import { indexRange, tableRange } from '../../src/adapter/dynamodb/rows/index.ts';
import { emptyPlacement, placeTable } from '../../src/adapter/dynamodb/tables/placement.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import type { LocalNodes } from '../local-nodes.ts';
import { moveRange, ownersFrom, splitAt } from '../range-moves.ts';

/** Data groups of a cluster that is founded with two. */
const TABLE_GROUP = 2;
const INDEX_GROUP = 3;
export const GROUPS = 2;
const FIRST_GLOBAL_INDEX = 1;
const CALL_TIMEOUT_MS = 10_000;
const LEAD_TIMEOUT_MS = 60_000;
const LOOK_MS = 200;

/** Has a group take a range that begins at a key. */
async function give(admin: AdminClient, start: Buffer, group: number): Promise<void> {
  const [owner] = await ownersFrom(admin, start);
  if (owner !== group) await moveRange(admin, start, group);
}

/** Has a node lead a group, and waits until all know it. */
async function lead(nodes: LocalNodes, admin: AdminClient, groupId: number, to: number): Promise<void> {
  for (const endMs = performance.now() + LEAD_TIMEOUT_MS; performance.now() < endMs; await delay(LOOK_MS)) {
    const members = await nodes.members();
    const leaders = members.map(({ groups }) => groups.find((group) => group.groupId === groupId)?.leader);
    if (leaders.every((leader) => leader === to)) return;
    await admin.call('TransferLeader', { groupId, to }, CALL_TIMEOUT_MS).catch(() => undefined);
  }
  throw new Error(`node ${to} does not lead group ${groupId}`);
}

/**
 * Prepares a new cluster of two data groups for its first tables.
 * @param tables how many will be made
 * @returns the node that leads them; another one leads their indexes
 */
export async function leadIndexesElsewhere(nodes: LocalNodes, tables: number): Promise<number> {
  const [first, second] = await nodes.members();
  const admin = new AdminClient(first!.addresses.grpc);
  try {
    await admin.call('SetSetting', { name: 'balance.leaders', value: 'off' }, CALL_TIMEOUT_MS);
    const placement = emptyPlacement();
    for (let left = tables; left > 0; left--) {
      const table = placeTable(placement, () => false);
      const { start, end } = tableRange(table);
      const indexes = indexRange(table, FIRST_GLOBAL_INDEX).start;
      for (const key of [end, indexes, start]) await splitAt(admin, key);
      await give(admin, start, TABLE_GROUP);
      await give(admin, indexes, INDEX_GROUP);
    }
    await lead(nodes, admin, TABLE_GROUP, first!.nodeId);
    await lead(nodes, admin, INDEX_GROUP, second!.nodeId);
    return first!.nodeId;
  } finally {
    admin.close();
  }
}
