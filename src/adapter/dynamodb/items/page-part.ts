/**
 * The part of a page that one group has: its rows are read, filtered and projected where they are, so that only what is answered travels. Leaders do so
 * for themselves and for other nodes, replicas for their own node.
 */
import {
  type ConsistentReads,
  isCrossGroup,
  type KvService,
  NotOwnerError,
  RangeBusyError,
  type ScanPage,
  type ScanRequest,
  type StoredValue,
} from '../../../kv/index.ts';
import type { GroupId, Millis } from '../../../platform/index.ts';
import { type Condition, meets, ProjectedItems, type Projection } from '../expressions/index.ts';
import {
  BASE_INDEX,
  isHeadRow,
  partitionRowAt,
  partitionsStart,
  type RowRange,
  tokenIn,
  tokenRange,
} from '../rows/index.ts';
import {
  type AnyIndex,
  hashKeyBytesIn,
  isGlobal,
  itemOfIndexRow,
  itemOfRow,
  keyBytes,
  keyOf,
  rowKeyOf,
  type TableDescriptor,
} from '../tables/index.ts';
import { type AttributeValue, type Item, itemSize, type ReadKind, readUnits } from '../values/index.ts';
import { checkFenceRow } from './write-item.ts';

/** Rows of one look at the store, and keys. */
const ROWS_AT_ONCE = 1_000;
const KEYS_AT_ONCE = 256;

/** What is asked of one group. */
export interface PartQuestion {
  readonly table: TableDescriptor;
  /** Undefined for the table itself. */
  readonly index: AnyIndex | undefined;
  readonly range: RowRange;
  readonly isReverse: boolean;
  /** Items that may be read. */
  readonly limit: number;
  /** The part ends with the item whose size reaches this. */
  readonly maxBytes: number;
  readonly filter: Condition | undefined;
  readonly projection: Projection | undefined;
  /** Only how many items there are is asked. */
  readonly isCounted: boolean;
  /** What is shown is in the table, not in the index: what that costs depends on how it is read. */
  readonly isFetched: boolean;
  readonly readKind: ReadKind;
  /** The fence of the table's segment, looked at when the rows were read, if the group has it too. */
  readonly fence: Buffer | undefined;
}

/** What it answers. */
export interface PagePart {
  /** Those that meet the filter; none when they are only counted. */
  readonly items: readonly Item[];
  readonly count: number;
  readonly scanned: number;
  /** Of all that was read. */
  readonly bytes: number;
  /** Items that had to be read in the table. */
  readonly fetchedUnits: number;
  /** The last item that was read, where the limit or the bytes have ended the part. */
  readonly last: Item | undefined;
  /** Where somebody else goes on: the group has no more of the range. Undefined when it had all of it. */
  readonly next: Buffer | undefined;
  /** The fence was looked at; false when it was not asked for, or another group has it. */
  readonly isChecked: boolean;
}

/** Rows and values of one group. */
export interface RowSource {
  page(request: ScanRequest): Promise<ScanPage>;
  values(keys: readonly Buffer[]): Promise<readonly (Pick<StoredValue, 'value'> | undefined)[]>;
}

/** What a group has that this node leads. */
export const leaderRows = (kv: KvService, group: GroupId): RowSource => ({
  page: (request) => kv.scan(group, request),
  values: (keys) =>
    new Promise((resolve, reject) => {
      kv.submit<readonly (Pick<StoredValue, 'value'> | undefined)[]>(group, {
        isWrite: false,
        storageKeys: () => keys,
        evaluate: (view) => keys.map((key) => view.get(key)),
        complete: (error, found) => (error === undefined ? resolve(found!) : reject(error)),
      });
    }),
});

/** What a replica of this node has, as old as that may be; its leader answers for it when it is older. */
export const replicaRows = (
  reads: ConsistentReads,
  group: GroupId,
  maxStalenessMs: Millis,
  deadlineMs: Millis,
): RowSource => {
  const asked = { group, consistency: { kind: 'bounded', maxStalenessMs }, deadlineMs } as const;
  return {
    page: async (range) => (await reads.ofGroup({ ...asked, range })).page!,
    values: async (keys) => (await reads.ofGroup({ ...asked, keys })).values,
  };
};

/**
 * Reads a part.
 * @throws StaleTableError when the fence is of another version; NotOwnerError, RangeBusyError when the group does not have the range's beginning
 */
export async function readPart(source: RowSource, question: PartQuestion): Promise<PagePart> {
  const part = await new PartReader(source, question).read();
  const { fence, table } = question;
  if (fence === undefined) return part;
  try {
    const [row] = await source.values([fence]);
    checkFenceRow(table, row);
    return { ...part, isChecked: true };
  } catch (error) {
    if (!isElsewhere(error)) throw error;
    return part;
  }
}

class PartReader {
  private readonly source: RowSource;
  private readonly question: PartQuestion;
  private readonly projected: ProjectedItems | undefined;
  private readonly items: Item[] = [];
  private count = 0;
  private scanned = 0;
  private bytes = 0;
  private fetchedUnits = 0;

  constructor(source: RowSource, question: PartQuestion) {
    this.source = source;
    this.question = question;
    this.projected = question.projection === undefined ? undefined : new ProjectedItems(question.projection);
  }

  async read(): Promise<PagePart> {
    const { range, isReverse, limit, maxBytes } = this.question;
    let { start, end } = range;
    for (let pages = 0; ; pages++) {
      const stretch = isReverse ? { start, end } : this.withoutHeads(start, end);
      if (Buffer.compare(stretch.start, stretch.end) >= 0) {
        if (isReverse || Buffer.compare(stretch.end, end) >= 0) return this.part(undefined, undefined);
        start = stretch.end;
        continue;
      }
      const bounds = { limit: Math.min(ROWS_AT_ONCE, limit - this.scanned), maxBytes: maxBytes - this.bytes };
      let page: ScanPage;
      try {
        page = await this.source.page({ ...stretch, ...bounds, reverse: isReverse });
      } catch (error) {
        // The group has no more than was read.
        if (pages === 0 || !isElsewhere(error)) throw error;
        return this.part(undefined, isReverse ? stretch.end : stretch.start);
      }
      const last = await this.take(page);
      if (last !== undefined) return this.part(last, undefined);
      if (isReverse) end = page.next ?? stretch.start;
      else start = page.next ?? stretch.end;
    }
  }

  /** The next stretch of a range that has no heads in it: records of a stream may be many. */
  private withoutHeads(start: Buffer, end: Buffer): RowRange {
    const { table, index } = this.question;
    const token = tokenIn(start);
    if (token === undefined || (index !== undefined && isGlobal(index))) return { start, end };
    const isHead = table.segments.some((segment) => segment.start === token);
    const behind = isHead ? partitionsStart(table.id, BASE_INDEX, token) : start;
    const next = table.segments.find((segment) => segment.start > token);
    const until = next === undefined ? end : tokenRange(table.id, BASE_INDEX, next.start, next.start + 1).start;
    return {
      start: Buffer.compare(start, behind) < 0 ? behind : start,
      end: Buffer.compare(until, end) < 0 ? until : end,
    };
  }

  /** Takes rows. @returns the item that has ended the part; undefined when it goes on */
  private async take({ rows }: ScanPage): Promise<Item | undefined> {
    const { table, index, filter, isCounted, isFetched, limit, maxBytes } = this.question;
    const found = rows
      .filter(({ key }) => isWanted(key, table, index))
      .map(({ key, value }) =>
        index === undefined ? itemOfRow(table, key, value) : itemOfIndexRow(table, index, key, value),
      );
    const wholes = isFetched ? await this.fetched(found.map(({ item }) => item)) : found.map(({ item }) => item);
    for (const [at, { item, record }] of found.entries()) {
      const whole = wholes[at];
      this.scanned++;
      this.bytes += record.itemBytes;
      if (isFetched) {
        this.fetchedUnits += readUnits(whole === undefined ? 0 : itemSize(whole), this.question.readKind);
      }
      if (whole !== undefined && (filter === undefined || meets(filter, whole))) {
        this.count++;
        if (!isCounted) this.items.push(this.projected === undefined ? whole : this.projected.of(whole));
      }
      if (this.scanned >= limit || this.bytes >= maxBytes) return item;
    }
    return undefined;
  }

  /** The items that rows of a local index are of: they lie in the same partition. */
  private async fetched(items: readonly Item[]): Promise<(Item | undefined)[]> {
    const { table } = this.question;
    const keys = items.map((item) => rowKeyOf(table, keyBytes(table.key, item)));
    const wholes: (Item | undefined)[] = [];
    for (let from = 0; from < keys.length; from += KEYS_AT_ONCE) {
      const some = keys.slice(from, from + KEYS_AT_ONCE);
      const values = await this.source.values(some);
      for (const [at, value] of values.entries()) {
        wholes.push(value === undefined ? undefined : itemOfRow(table, some[at]!, value.value).item);
      }
    }
    return wholes;
  }

  private part(last: Item | undefined, next: Buffer | undefined): PagePart {
    const { items, count, scanned, bytes, fetchedUnits } = this;
    return { items, count, scanned, bytes, fetchedUnits, last: last && this.keyOf(last), next, isChecked: false };
  }

  /** What a page names the item by that it ended with. */
  private keyOf(item: Item): Item {
    const { table, index } = this.question;
    const key = new Map<string, AttributeValue>();
    for (const schema of index === undefined ? [table.key] : [table.key, index.key])
      for (const [name, value] of keyOf(schema, item)) key.set(name, value);
    return key;
  }
}

/** Nothing was read, and somebody else has to be asked. */
const isElsewhere = (error: unknown): boolean =>
  error instanceof NotOwnerError || error instanceof RangeBusyError || isCrossGroup(error);

/** Heads and rows of local indexes lie among the items of a table. */
function isWanted(key: Buffer, table: TableDescriptor, index: AnyIndex | undefined): boolean {
  if (isHeadRow(key)) return false;
  if (index !== undefined && isGlobal(index)) return true;
  if (index === undefined && table.localIndexes.length === 0) return true;
  const row = partitionRowAt(key, hashKeyBytesIn(key, table.key));
  return index === undefined ? row.kind === 'item' : row.kind === 'localIndex' && row.localIndex === index.number;
}
