/** Which group a command's keys belong to. */
import type { KvService } from '../../../kv/index.ts';
import type { GroupId } from '../../../platform/index.ts';
import { type CommandSpec, keyIndexes } from '../command/index.ts';
import { KEYSPACES, slotAround, slotOf } from '../keys/index.ts';
import { RedisError } from '../protocol/index.ts';
import type { QueuedData } from './storage-keys.ts';

/** A command's group, and its first key with the storage key that routing has computed. */
export interface Route {
  /** Undefined when the command names no key. */
  readonly group: GroupId | undefined;
  readonly firstKey: Buffer | undefined;
  readonly firstStorageKey: Buffer | undefined;
  /** True when other keys of the command belong to other groups, by the directory; `group` is then the first key's. */
  readonly crosses: boolean;
}

/** Where a command goes that names no key, or whose keys are looked up again and again. */
export const NO_ROUTE: Route = { group: undefined, firstKey: undefined, firstStorageKey: undefined, crosses: false };

export const crossGroup = (): RedisError =>
  new RedisError(
    "CROSSSLOT Keys in request don't hash to the same slot: they belong to different groups, use a {hash tag}",
  );

/** The group for what names no key. @throws LeaderUnavailableError before this node knows any */
export function anyGroup(kv: KvService): GroupId {
  const group = kv.dataGroups()[0];
  if (group === undefined) throw kv.unavailable('no group is known yet');
  return group;
}

/**
 * The group of storage keys, undefined when there are none.
 * @param commands that the keys belong to, which may find others
 */
export function commonGroup(
  kv: KvService,
  storageKeys: readonly Buffer[],
  commands: readonly QueuedData[] = [],
): GroupId | 'several' | undefined {
  let group: GroupId | undefined;
  // Keys that are named together mostly lie together: the directory is asked once a stretch.
  let [start, end]: readonly (Buffer | undefined)[] = [];
  for (const key of storageKeys) {
    if (start !== undefined && Buffer.compare(key, start) >= 0) {
      if (end === undefined || Buffer.compare(key, end) < 0) continue;
    }
    const stretch = kv.stretchAt(key);
    if (group !== undefined && stretch.group !== group) return 'several';
    group = stretch.group;
    [start, end] = [key, stretch.end];
  }
  return commands.some((command) => findsBeyond(kv, command, group)) ? 'several' : group;
}

/**
 * Whether a command may find keys that are not in the group of those that it names, by the directory. Keys of one slot are in one group, unless
 * the slot was cut.
 */
export function findsBeyond(kv: KvService, { spec, args, db }: QueuedData, group: GroupId | undefined): boolean {
  const found = spec.findsKeys?.(args) ?? [];
  if (found.length === 0 || kv.dataGroups().length <= 1) return false;
  return found.some(({ pattern, star }) => {
    const slot = slotAround(pattern, star);
    return slot === undefined || groupOfSlot(kv, db, slot) !== group;
  });
}

/** The group that has all keys of a slot; undefined when they belong to several. */
function groupOfSlot(kv: KvService, db: number, slot: number): GroupId | undefined {
  const { start, end } = KEYSPACES[db]!.slotRange(slot, slot + 1);
  const stretch = kv.stretchAt(start);
  return stretch.end !== undefined && Buffer.compare(stretch.end, end) < 0 ? undefined : stretch.group;
}

/** From so many keys on it is worth finding out whether a slot has one group: keys that are named together mostly have one tag. */
const MANY_KEYS = 64;

/** Whether keys at some positions belong to another group than the first. */
function crossesAt(
  kv: KvService,
  db: number,
  args: readonly Buffer[],
  indexes: readonly number[],
  group: GroupId,
): boolean {
  const keyspace = KEYSPACES[db]!;
  const slot = indexes.length < MANY_KEYS ? undefined : slotOf(args[indexes[0]!]!);
  const isWhole = slot !== undefined && groupOfSlot(kv, db, slot) === group;
  for (let nth = 1; nth < indexes.length; nth++) {
    const key = args[indexes[nth]!]!;
    if (isWhole && slotOf(key) === slot) continue;
    if (kv.groupOf(keyspace.storageKey(key)) !== group) return true;
  }
  return false;
}

/** Where a command goes, by the directory as this node knows it. */
export function routeOf(kv: KvService, spec: CommandSpec, args: readonly Buffer[], db: number): Route {
  const { keys } = spec;
  if (keys === undefined) {
    const only = spec.keyElsewhere?.(args);
    if (only === undefined) return NO_ROUTE;
    return { ...NO_ROUTE, group: kv.groupOf(KEYSPACES[only.db]!.storageKey(only.key)) };
  }
  const keyspace = KEYSPACES[db]!;
  const isPlain = spec.keyElsewhere === undefined && spec.findsKeys === undefined;
  if (isPlain && typeof keys !== 'function' && !('all' in keys) && keys.first === keys.last) {
    const firstKey = args[keys.first]!;
    const firstStorageKey = keyspace.storageKey(firstKey);
    return { group: kv.groupOf(firstStorageKey), firstKey, firstStorageKey, crosses: false };
  }
  const indexes = keyIndexes(spec, args);
  if (indexes.length === 0) return NO_ROUTE;
  const firstKey = args[indexes[0]!]!;
  const firstStorageKey = keyspace.storageKey(firstKey);
  const group = kv.groupOf(firstStorageKey);
  let crosses = false;
  if (kv.dataGroups().length > 1) {
    crosses = crossesAt(kv, db, args, indexes, group);
    const elsewhere = spec.keyElsewhere?.(args);
    if (elsewhere !== undefined) {
      crosses ||= kv.groupOf(KEYSPACES[elsewhere.db]!.storageKey(elsewhere.key)) !== group;
    }
  }
  crosses ||= findsBeyond(kv, { spec, args, db }, group);
  return { group, firstKey, firstStorageKey, crosses };
}
