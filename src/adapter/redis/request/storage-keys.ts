/** The keys that commands name, as they are stored. */
import { type CommandSpec, keyIndexes } from '../command/index.ts';
import { KEYSPACES } from '../keys/index.ts';

/** A queued command of a transaction. */
export interface QueuedData {
  readonly spec: CommandSpec;
  readonly args: readonly Buffer[];
  /** How many there are, where that is known before they are read. */
  readonly argumentCount?: number | undefined;
  /** As the client gave them, where they are others; known on the client's node only. */
  readonly given?: readonly Buffer[] | undefined;
  readonly db: number;
}

/** Adds the storage keys of a command to a list. */
function addStorageKeys(keys: Buffer[], { spec, args, db }: QueuedData): void {
  const keyspace = KEYSPACES[db]!;
  for (const index of keyIndexes(spec, args)) keys.push(keyspace.storageKey(args[index]!));
  const elsewhere = spec.keyElsewhere?.(args);
  if (elsewhere !== undefined) keys.push(KEYSPACES[elsewhere.db]!.storageKey(elsewhere.key));
}

/** All storage keys of commands, in order. */
export function storageKeysOf(commands: readonly QueuedData[]): Buffer[] {
  const keys: Buffer[] = [];
  for (const command of commands) addStorageKeys(keys, command);
  return keys;
}
