/**
 * What a node knows of tables. Descriptors are kept in memory; while there are any, the version of the catalog is asked for, and what may have changed
 * is dropped. All of it is a hint: writes and consistent reads look at the fence of their segment, and come back here with `renew` when that is another.
 */
import type { Millis } from '../../../platform/index.ts';
import {
  CATALOG_VERSION_KEY,
  DESCRIPTOR_ROWS,
  decodeLeftStream,
  descriptorKey,
  leftStreamIn,
  leftStreamKey,
  leftStreamRows,
  NAME_ROWS,
  nameIn,
  nameKey,
} from '../rows/index.ts';
import { catalogVersion, tableNumber } from './catalog.ts';
import { decodeDescriptor, type TableDescriptor } from './descriptor.ts';
import type { TableServices } from './table-services.ts';

/** How long a change may go unnoticed by what asks no fence. */
const POLL_MS: Millis = 200;
/** How long one question may take; the next one is asked after it. */
const POLL_TIMEOUT_MS: Millis = 2_000;
/** Without an answer for so long nothing that is known counts any more. */
const MAX_SILENCE_MS: Millis = 5_000;
/** Descriptors in memory. Beyond it those that were looked up first go. */
const MAX_TABLES = 10_000;
/** Streams of tables that were deleted within a day, as far as they are listed. */
const MAX_LEFT_STREAMS = 10_000;

/** See the top of the file. One a node. */
export class TableDirectory {
  private readonly services: TableServices;
  private readonly known = new Map<string, TableDescriptor>();
  /** Look-ups under way, so that many requests for one table ask once. */
  private readonly asked = new Map<string, Promise<TableDescriptor | undefined>>();
  /** Version of the catalog that `known` is of, or newer; undefined before it was heard of. */
  private version: number | undefined;
  private heardMs: Millis = 0;
  private isWatching = false;
  private isStopped = false;

  constructor(services: TableServices) {
    this.services = services;
  }

  /** A table by its name, as it is known; undefined when it has to be looked up. */
  knownNow(name: string): TableDescriptor | undefined {
    const known = this.known.get(name);
    return known !== undefined && this.isFresh() ? known : undefined;
  }

  /** A table by its name, as it is known or else as it is; undefined when there is none. */
  async find(name: string, deadlineMs: Millis): Promise<TableDescriptor | undefined> {
    return this.knownNow(name) ?? this.renew(name, deadlineMs);
  }

  /** A table as it is now. */
  renew(name: string, deadlineMs: Millis): Promise<TableDescriptor | undefined> {
    const asked = this.asked.get(name);
    if (asked !== undefined) return asked;
    const asking = this.lookUp(name, deadlineMs).finally(() => this.asked.delete(name));
    this.asked.set(name, asking);
    return asking;
  }

  private async lookUp(name: string, deadlineMs: Millis): Promise<TableDescriptor | undefined> {
    const { version } = this;
    const table = await this.read(name, deadlineMs);
    if (table === undefined) this.known.delete(name);
    // What was read before a change that has been heard of since may be older than the change.
    else if (version === this.version) this.keep(table);
    return table;
  }

  private async read(name: string, deadlineMs: Millis): Promise<TableDescriptor | undefined> {
    const named = await this.get(nameKey(name), deadlineMs);
    if (named === undefined) return undefined;
    const row = await this.get(descriptorKey(tableNumber(named)), deadlineMs);
    return row === undefined ? undefined : decodeDescriptor(row);
  }

  /** A document or a row of the catalog, as it is now. */
  async get(key: Buffer, deadlineMs: Millis): Promise<Buffer | undefined> {
    const { result } = await this.services.cluster.one({ kind: 'get', key }, deadlineMs);
    return result.kind === 'get' ? result.value?.value : undefined;
  }

  /** Names in their order, behind `after`. */
  async names(after: string | undefined, limit: number, deadlineMs: Millis, signal: AbortSignal): Promise<string[]> {
    const start = after === undefined ? NAME_ROWS.start : Buffer.concat([nameKey(after), Buffer.of(0)]);
    const names: string[] = [];
    const options = { limit, reverse: false, keysOnly: true };
    const pages = this.services.cluster.scan({ start, end: NAME_ROWS.end }, options, deadlineMs, signal);
    for await (const page of pages) for (const { key } of page.rows) names.push(nameIn(key));
    return names;
  }

  /** A stream of a table that was deleted, with what is left of the table; undefined when there is none of that name. */
  async leftStream(name: string, label: string, deadlineMs: Millis): Promise<TableDescriptor | undefined> {
    const row = await this.get(leftStreamKey(name, label), deadlineMs);
    const table =
      row === undefined ? undefined : await this.get(descriptorKey(decodeLeftStream(row).table), deadlineMs);
    return table === undefined ? undefined : decodeDescriptor(table);
  }

  /** Labels of streams of deleted tables by the names of these. @param only of one name @param sinceMs leaves out those that ended before */
  async leftStreams(
    only: string | undefined,
    sinceMs: Millis,
    deadlineMs: Millis,
    signal: AbortSignal,
  ): Promise<Map<string, string[]>> {
    const labels = new Map<string, string[]>();
    const options = { limit: MAX_LEFT_STREAMS, reverse: false, keysOnly: false };
    for await (const { rows } of this.services.cluster.scan(leftStreamRows(only), options, deadlineMs, signal)) {
      for (const { key, value } of rows) {
        const { table, label } = leftStreamIn(key);
        if (decodeLeftStream(value).disabledMs >= sinceMs) labels.set(table, [...(labels.get(table) ?? []), label]);
      }
    }
    return labels;
  }

  /** Version of the catalog, another one after each change of a table. */
  async catalogVersion(deadlineMs: Millis): Promise<number> {
    return catalogVersion(await this.get(CATALOG_VERSION_KEY, deadlineMs));
  }

  /** All tables as they are now, in no order that means anything. */
  async all(deadlineMs: Millis, signal: AbortSignal): Promise<TableDescriptor[]> {
    const tables: TableDescriptor[] = [];
    const options = { limit: undefined, reverse: false, keysOnly: false };
    for await (const { rows } of this.services.cluster.scan(DESCRIPTOR_ROWS, options, deadlineMs, signal))
      for (const { value } of rows) tables.push(decodeDescriptor(value));
    return tables;
  }

  /** A table that this node has changed itself. */
  keep(table: TableDescriptor): void {
    const known = this.known.get(table.name);
    if (known !== undefined && known.id === table.id && known.version > table.version) return;
    this.known.delete(table.name);
    this.known.set(table.name, table);
    for (const name of this.known.keys()) {
      if (this.known.size <= MAX_TABLES) break;
      this.known.delete(name);
    }
    if (!this.isWatching) this.watch();
  }

  stop(): void {
    this.isStopped = true;
    this.known.clear();
  }

  private isFresh(): boolean {
    return this.services.clock.monotonicMs() - this.heardMs <= MAX_SILENCE_MS;
  }

  /** Asks for the version again and again for as long as anything is known. */
  private watch(): void {
    this.isWatching = true;
    this.heardMs = this.services.clock.monotonicMs();
    const again = (): void => {
      this.services.scheduler.after(POLL_MS, () => {
        if (this.isStopped || this.known.size === 0) {
          this.isWatching = false;
          this.version = undefined;
          return;
        }
        this.poll().then(again, (error: unknown) => {
          this.services.onBackgroundError(error);
          again();
        });
      });
    };
    again();
  }

  private async poll(): Promise<void> {
    const { clock } = this.services;
    const askedMs = clock.monotonicMs();
    const version = catalogVersion(await this.get(CATALOG_VERSION_KEY, askedMs + POLL_TIMEOUT_MS));
    if (version !== this.version) {
      // Also the first time: what was looked up before may be older than this version.
      this.version = version;
      await this.renewAll(askedMs + POLL_TIMEOUT_MS);
    }
    this.heardMs = askedMs;
  }

  /** Few tables change; those that have not are kept, so that no request has to wait. */
  private async renewAll(deadlineMs: Millis): Promise<void> {
    const names = [...this.known.keys()];
    const numbers = await this.getAll(names.map(nameKey), deadlineMs);
    const found = names.flatMap((name, at) => (numbers[at] === undefined ? [] : [{ name, row: numbers[at] }]));
    const rows = await this.getAll(
      found.map(({ row }) => descriptorKey(tableNumber(row))),
      deadlineMs,
    );
    const now = new Map(found.map(({ name }, at) => [name, rows[at]]));
    for (const name of names) {
      const row = now.get(name);
      if (row === undefined) this.known.delete(name);
      else this.keep(decodeDescriptor(row));
    }
  }

  private async getAll(keys: readonly Buffer[], deadlineMs: Millis): Promise<(Buffer | undefined)[]> {
    const outcomes = await this.services.cluster.batch(
      keys.map((key) => ({ kind: 'get', key })),
      deadlineMs,
    );
    return outcomes.map((outcome) => {
      if (outcome.error !== undefined) throw outcome.error;
      return outcome.result.kind === 'get' ? outcome.result.value?.value : undefined;
    });
  }
}
