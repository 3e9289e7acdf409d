/**
 * What keyless commands (KEYS, SCAN, DBSIZE, RANDOMKEY, FLUSH*, INFO) work with: all data groups at once, each asked on
 * its leader. Answers of different groups are not of one instant.
 */
import { type KvService, NotLeaderError } from '../../kv/index.ts';
import { type Clock, type GroupId, KvorumError, type Millis, type Random } from '../../platform/index.ts';
import type { Connection } from './connection.ts';
import { scanLocalPage } from './forward-endpoint.ts';
import {
  decodeCountAnswer,
  decodePageAnswer,
  encodeCount,
  encodePage,
  FORWARD_SERVICE,
  type KeyPage,
  type PageRequest,
} from './forwarded-command.ts';
import { KEYSPACES, type KeyRange, type Keyspace } from './keyspace.ts';
import type { ScanCursors } from './scan-cursors.ts';

export type { KeyPage, PageRequest } from './forwarded-command.ts';

export interface ScanContext {
  readonly connection: Connection;
  /** The database that the connection has selected. */
  readonly keyspace: Keyspace;
  readonly random: Random;
  readonly cursors: ScanCursors;
  /** Keys of a database. @param timeoutMs how long to look for leaders, default the configured command timeout */
  count(db: number, timeoutMs?: Millis): Promise<number>;
  /** A page over all groups, in order of storage keys: what matches among (at least) the next `limit` keys. */
  page(request: PageRequest): Promise<KeyPage>;
  /** Deletes a range in all groups. Atomic within a group, not across groups. */
  flush(range: KeyRange): Promise<void>;
}

export interface ClusterScanEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly random: Random;
  readonly cursors: ScanCursors;
  readonly commandTimeoutMs: Millis;
}

export class ClusterScan implements ScanContext {
  readonly connection: Connection;
  readonly keyspace: Keyspace;
  private readonly environment: ClusterScanEnvironment;

  constructor(environment: ClusterScanEnvironment, connection: Connection) {
    this.environment = environment;
    this.connection = connection;
    this.keyspace = KEYSPACES[connection.db]!;
  }

  get random(): Random {
    return this.environment.random;
  }

  get cursors(): ScanCursors {
    return this.environment.cursors;
  }

  async count(db: number, timeoutMs = this.environment.commandTimeoutMs): Promise<number> {
    const { kv } = this.environment;
    const counts = await Promise.all(
      kv.dataGroups().map(async (group) => {
        const local = await this.locally(group, () => kv.countKeys(group, db));
        return local ?? decodeCountAnswer(await this.remotely(group, encodeCount(group, db), timeoutMs));
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async page(request: PageRequest): Promise<KeyPage> {
    const { kv, commandTimeoutMs } = this.environment;
    const pages = await Promise.all(
      kv.dataGroups().map(async (group): Promise<KeyPage> => {
        const local = await this.locally(group, () => scanLocalPage(kv, group, request));
        return local ?? decodePageAnswer(await this.remotely(group, encodePage(group, request), commandTimeoutMs));
      }),
    );
    return mergePages(pages);
  }

  async flush(range: KeyRange): Promise<void> {
    await Promise.all(this.environment.kv.dataGroups().map((group) => this.connection.flushGroup(group, range)));
  }

  /** Asks this node when it leads the group; undefined when it does not. */
  private async locally<T>(group: GroupId, ask: () => Promise<T>): Promise<T | undefined> {
    if (!this.environment.kv.servesLocally(group)) return undefined;
    try {
      return await ask();
    } catch (error) {
      if (error instanceof NotLeaderError) return undefined;
      throw error;
    }
  }

  /** Asks the group's leader; a lost answer is asked for again, since nothing here changes anything. */
  private async remotely(group: GroupId, payload: Buffer, timeoutMs: Millis): Promise<Buffer> {
    const { kv, clock } = this.environment;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      try {
        return await new Promise<Buffer>((resolve, reject) => {
          kv.forward(group, FORWARD_SERVICE, payload, deadlineMs, (error, reply) => {
            if (reply !== undefined) resolve(reply);
            else reject(error);
          });
        });
      } catch (error) {
        const mayHelp = error instanceof KvorumError && error.disposition === 'unknown';
        if (!mayHelp || clock.monotonicMs() >= deadlineMs) throw error;
      }
    }
  }
}

/** One page out of the groups' pages: it reaches as far as the shortest of them does. A key seen twice is kept once. */
export function mergePages(pages: readonly KeyPage[]): KeyPage {
  if (pages.length === 1) return pages[0]!;
  let next: Buffer | undefined;
  for (const page of pages) {
    if (page.next !== undefined && (next === undefined || Buffer.compare(page.next, next) < 0)) next = page.next;
  }
  const reach = next;
  const keys = pages
    .flatMap((page) => page.storageKeys)
    .filter((key) => reach === undefined || Buffer.compare(key, reach) < 0)
    .sort(Buffer.compare)
    .filter((key, index, all) => index === 0 || !key.equals(all[index - 1]!));
  return { storageKeys: keys, next };
}
