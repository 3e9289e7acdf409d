/** What commands over all keys work with: the key space in order, page by page, wherever its parts are. */
import type { Millis, Random } from '../../../platform/index.ts';
import type { KeyRange, Keyspace, ScanCursors } from '../keys/index.ts';
import type { ClientSession } from './client-session.ts';

/** One page of a scan over a group's keys. */
export interface PageRequest {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
  /** Keys to look at, matching or not. */
  readonly limit: number;
  /** Glob over user keys; undefined matches all. */
  readonly pattern: Buffer | undefined;
  /** Name of a type as TYPE answers it; undefined matches all. */
  readonly typeName: string | undefined;
}

/** What was found of the expiries of some keys. */
export interface KeySample {
  readonly keys: number;
  /** Keys that expire some time. */
  readonly expiring: number;
  /** What these have left together. */
  readonly leftMs: Millis;
}

/** Matching keys of a page, in order of their storage keys. */
export interface KeyPage {
  readonly storageKeys: readonly Buffer[];
  /** Storage key to go on from; undefined at the end of the range. */
  readonly next: Buffer | undefined;
  /** Keys that were looked at, matching or not. */
  readonly examined: number;
}

export interface ScanContext {
  readonly session: ClientSession;
  /** The database that the connection has selected. */
  readonly keyspace: Keyspace;
  readonly random: Random;
  readonly cursors: ScanCursors;
  /** Keys of a database. @param timeoutMs how long to look for leaders, default the configured command timeout */
  count(db: number, timeoutMs?: Millis): Promise<number>;
  /** Looks at some keys of a database, of those that this node leads. @param keys that the database has, about */
  sample(db: number, keys: number): Promise<KeySample>;
  /**
   * A page in order of storage keys: what matches among the next keys, at most `limit` of them. It may end early, also
   * empty, where a group's keys end; `next` goes on.
   */
  page(request: PageRequest): Promise<KeyPage>;
  /**
   * Runs a data command of one key. Beware of many at a time.
   * @returns the reply as RESP2 bytes @throws RedisError with the command's error
   */
  evaluate(db: number, args: readonly Buffer[]): Promise<Buffer>;
  /** Deletes a range in all groups. Atomic within a stretch of a group, not across. */
  flush(range: KeyRange): Promise<void>;
}
