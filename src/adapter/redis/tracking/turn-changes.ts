/**
 * What is changed in one turn of the event loop, in the groups that this node leads: user keys, each once, and who has changed them where that is
 * known of one client alone.
 *
 * The rows of an entry are told when it is applied (`changed`), with its timestamp. Its commands own up to theirs when they complete (`wrote`). A row
 * that nobody has owned up to, because a transaction of another node or a purge wrote it, is nobody's.
 */
import type { HlcTimestamp } from '../../../platform/index.ts';
import { DATABASE_COUNT, headOf, KEYSPACES } from '../keys/index.ts';
import type { ChangedKey } from './codec.ts';

/** Beyond this it is cheaper to say that everything has changed. */
const MAX_KEYS = 100_000;
/** It is not known that one client alone has changed the key. */
export const NOBODY = 0;

const FIRST_KEY = KEYSPACES[0]!.wholeDb().start;
const LAST_KEY = KEYSPACES[DATABASE_COUNT - 1]!.wholeDb().end;

/** What was gathered. */
export interface GatheredChanges {
  /** Whatever was read before may have changed. */
  readonly isEverything: boolean;
  readonly keys: readonly ChangedKey[];
}

/** What a command wrote: rows as latin1 text, each with the user key that it belongs to. */
export interface WrittenRows {
  /** Of the entry that they are in. */
  readonly ts: HlcTimestamp;
  readonly rows: ReadonlyMap<string, string>;
}

/** Writes of one key, by row and timestamp, with the client that has owned up to them; undefined: nobody yet. */
type Writes = Map<string, number | undefined>;

const writeOf = (row: string, ts: HlcTimestamp): string => `${ts} ${row}`;

/** See the top of the file. */
export class TurnChanges {
  private isEverything = false;
  /** The writes of each key; undefined: they are nobody's. */
  private keys = new Map<string, Writes | undefined>();

  get isEmpty(): boolean {
    return !this.isEverything && this.keys.size === 0;
  }

  /**
   * A row was written or deleted.
   * @param isNobodys its command will not own up to it
   */
  changed(row: Buffer, ts: HlcTimestamp, isNobodys: boolean): void {
    if (this.isEverything) return;
    const head = headOf(row);
    if (head === undefined || head.db >= DATABASE_COUNT) return;
    const key = head.userKey.toString('latin1');
    if (isNobodys) this.keys.set(key, undefined);
    else if (this.keys.has(key)) this.keys.get(key)?.set(writeOf(row.toString('latin1'), ts), undefined);
    else this.keys.set(key, new Map([[writeOf(row.toString('latin1'), ts), undefined]]));
    if (this.keys.size > MAX_KEYS) this.everything();
  }

  /** All rows in `[start, end)` were deleted. */
  deleted(start: Buffer, end: Buffer, ts: HlcTimestamp, isNobodys: boolean): void {
    // Rows of a large collection.
    if (headOf(start) !== undefined) this.changed(start, ts, isNobodys);
    else if (Buffer.compare(start, LAST_KEY) < 0 && Buffer.compare(FIRST_KEY, end) < 0) this.everything();
  }

  /** Whatever was read before may have changed. */
  everything(): void {
    this.isEverything = true;
    this.keys = new Map();
  }

  /** A command that has taken effect has written these rows. @param client `NOBODY`: one that wants to hear of its own changes */
  wrote(client: number, { ts, rows }: WrittenRows): void {
    for (const [row, key] of rows) {
      const writes = this.keys.get(key);
      const write = writeOf(row, ts);
      if (writes?.has(write) !== true) continue;
      const known = writes.get(write);
      writes.set(write, known === undefined || known === client ? client : NOBODY);
    }
  }

  /** What was gathered; then there is nothing. */
  take(): GatheredChanges {
    const { isEverything } = this;
    const keys = Array.from(this.keys, ([key, writes]): ChangedKey => ({ key, client: ownerOf(writes) }));
    this.isEverything = false;
    this.keys = new Map();
    return { isEverything, keys };
  }
}

/** The client that has owned up to all writes of a key. */
function ownerOf(writes: Writes | undefined): number {
  const owners = new Set(writes?.values());
  const [owner] = owners;
  return owners.size === 1 ? (owner ?? NOBODY) : NOBODY;
}
