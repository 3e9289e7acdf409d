/** Which group a command's keys belong to. */
import { type KvService, LeaderUnavailableError } from '../../kv/index.ts';
import type { GroupId } from '../../platform/index.ts';
import { type CommandSpec, keyIndexes } from './command.ts';
import { KEYSPACES } from './keyspace.ts';
import { RedisError } from './reply.ts';

/** A command's group, and its first key with the storage key that routing has computed. */
export interface Route {
  /** Undefined when the command names no key. */
  readonly group: GroupId | undefined;
  readonly firstKey: Buffer | undefined;
  readonly firstStorageKey: Buffer | undefined;
}

const NO_KEYS: Route = { group: undefined, firstKey: undefined, firstStorageKey: undefined };

export const crossGroup = (): RedisError =>
  new RedisError(
    "CROSSSLOT Keys in request don't hash to the same slot: they belong to different groups, use a {hash tag}",
  );

/** The group for what names no key. @throws LeaderUnavailableError before this node knows any */
export function anyGroup(kv: KvService): GroupId {
  const group = kv.dataGroups()[0];
  if (group === undefined) throw new LeaderUnavailableError('no group is known yet');
  return group;
}

/** The group of storage keys, undefined when there are none. @throws RedisError CROSSSLOT when they belong to different groups */
export function commonGroup(kv: KvService, storageKeys: readonly Buffer[]): GroupId | undefined {
  let group: GroupId | undefined;
  for (const key of storageKeys) {
    const one = kv.groupOf(key);
    if (group !== undefined && one !== group) throw crossGroup();
    group = one;
  }
  return group;
}

/** @throws RedisError CROSSSLOT when the keys belong to different groups */
export function routeOf(kv: KvService, spec: CommandSpec, args: readonly Buffer[], db: number): Route {
  const { keys } = spec;
  if (keys === undefined) return NO_KEYS;
  const keyspace = KEYSPACES[db]!;
  if (typeof keys !== 'function' && keys.first === keys.last && spec.keyElsewhere === undefined) {
    const firstKey = args[keys.first]!;
    const firstStorageKey = keyspace.storageKey(firstKey);
    return { group: kv.groupOf(firstStorageKey), firstKey, firstStorageKey };
  }
  const indexes = keyIndexes(spec, args);
  if (indexes.length === 0) return NO_KEYS;
  const firstKey = args[indexes[0]!]!;
  const firstStorageKey = keyspace.storageKey(firstKey);
  const group = kv.groupOf(firstStorageKey);
  if (kv.dataGroups().length > 1) {
    for (let nth = 1; nth < indexes.length; nth++) {
      if (kv.groupOf(keyspace.storageKey(args[indexes[nth]!]!)) !== group) throw crossGroup();
    }
    const elsewhere = spec.keyElsewhere?.(args);
    if (elsewhere !== undefined && kv.groupOf(KEYSPACES[elsewhere.db]!.storageKey(elsewhere.key)) !== group) {
      throw crossGroup();
    }
  }
  return { group, firstKey, firstStorageKey };
}
