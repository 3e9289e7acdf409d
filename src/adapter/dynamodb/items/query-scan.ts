/**
 * Query and Scan. A page ends after `Limit` items that were read, or when their sizes reach a megabyte, the item that does included; it goes on over
 * the borders of groups. Global indexes are read from leaders: what was acknowledged is in them.
 */
import { meets, ProjectedItems } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { fenceKey, isHeadRow, partitionRowAt } from '../rows/index.ts';
import {
  type attributesOf,
  hashKeyBytesIn,
  isGlobal,
  itemOfIndexRow,
  itemOfRow,
  keyBytes,
  keyOf,
  rowKeyOf,
  segmentOf,
  type TableDescriptor,
} from '../tables/index.ts';
import { type AttributeValue, type Item, itemSize, readUnits, type WireItem, wireItem } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import type { ItemStore } from './item-store.ts';
import { type PagePlan, type PageRange, planQuery, planScan, rangeOfPlan } from './page-plan.ts';
import type { QueryInput, ScanInput } from './requests.ts';
import { fenceOf } from './write-item.ts';

/** Sizes of the items of a page. */
const PAGE_BYTES = 1024 * 1024;
/** Rows have less than the sizes that are counted, which have the names of keys and other things too. */
const ROWS_AT_ONCE = 1_000;

interface ReadPage {
  readonly items: readonly Item[];
  readonly scanned: number;
  /** Of all that was read. */
  readonly bytes: number;
  /** Where the page ended before its range did. */
  readonly lastKey: Item | undefined;
  /** Items that had to be read in the table. */
  readonly fetchedUnits: number;
}

/** What both answer. */
export interface PageAnswer {
  readonly Items: readonly WireItem[] | undefined;
  readonly Count: number;
  readonly ScannedCount: number;
  readonly LastEvaluatedKey: WireItem | undefined;
  readonly ConsumedCapacity: object | undefined;
}

/** Reads a page. @throws StaleTableError when the table is another by now */
export async function answerPage(
  store: ItemStore,
  context: RequestContext,
  table: TableDescriptor,
  plan: PagePlan,
): Promise<PageAnswer> {
  const range = rangeOfPlan(table, plan);
  const isConsistent = plan.input.ConsistentRead === true;
  const isFresh = isConsistent || (range.index !== undefined && isGlobal(range.index));
  const fence = fenceKey(table.id, segmentOf(table, range.token).start);
  const [page] = await Promise.all([
    readPage(store, context, plan, range, isFresh),
    isFresh ? store.checkTable(table, fence, context.deadlineMs) : undefined,
  ]);
  return shownPage(plan, range, page, isConsistent);
}

/** Both of them. */
export function queryAndScanOperations(store: ItemStore): AnyOperation[] {
  const run = (context: RequestContext, plan: PagePlan): Promise<PageAnswer> =>
    store.withTable(plan.name, context.deadlineMs, (table) => answerPage(store, context, table, plan));
  return [
    declareOperation({ name: 'Query', access: 'read', validate: (input: QueryInput) => planQuery(input), run }),
    declareOperation({ name: 'Scan', access: 'read', validate: (input: ScanInput) => planScan(input), run }),
  ];
}

function shownPage(plan: PagePlan, { table, index }: PageRange, page: ReadPage, isConsistent: boolean): PageAnswer {
  const costs = new TableCosts(table.name);
  const units = readUnits(page.bytes, isConsistent ? 'consistent' : 'eventual');
  costs.addTable((index === undefined ? units : 0) + page.fetchedUnits);
  if (index !== undefined) isGlobal(index) ? costs.addGlobal(index.name, units) : costs.addLocal(index.name, units);
  const { projection, select } = plan;
  const projected = projection === undefined ? undefined : new ProjectedItems(projection);
  const shown = (item: Item): WireItem => wireItem(projected === undefined ? item : projected.of(item));
  return {
    Items: select === 'COUNT' ? undefined : page.items.map(shown),
    Count: page.items.length,
    ScannedCount: page.scanned,
    LastEvaluatedKey: page.lastKey === undefined ? undefined : wireItem(page.lastKey),
    ConsumedCapacity: costs.shown(plan.input.ReturnConsumedCapacity),
  };
}

async function readPage(
  store: ItemStore,
  { deadlineMs, signal }: RequestContext,
  plan: PagePlan,
  { table, index, range, isFetched }: PageRange,
  isFresh: boolean,
): Promise<ReadPage> {
  const { filter, isReverse, input } = plan;
  const limit = input.Limit ?? Number.POSITIVE_INFINITY;
  const isConsistent = input.ConsistentRead === true;
  const items: Item[] = [];
  let scanned = 0;
  let bytes = 0;
  let fetchedUnits = 0;
  const keySchemas = index === undefined ? [table.key] : [index.key, table.key];
  const ended = (last: Item | undefined): ReadPage => ({ items, scanned, bytes, lastKey: last, fetchedUnits });
  let { start, end } = range;
  while (Buffer.compare(start, end) < 0) {
    const wanted = { limit: Math.min(ROWS_AT_ONCE, limit - scanned), maxBytes: PAGE_BYTES - bytes, reverse: isReverse };
    for await (const page of store.pages(table, { start, end }, wanted, isFresh, deadlineMs, signal)) {
      const rows = page.rows
        .filter(({ key }) => isWanted(key, table, index))
        .map(({ key, value }) =>
          index === undefined ? itemOfRow(table, key, value) : itemOfIndexRow(table, index, key, value),
        );
      const wholes = isFetched
        ? await Promise.all(rows.map(({ item }) => fetched(store, table, item, isFresh, deadlineMs)))
        : rows.map(({ item }) => item);
      for (const [at, { item, record }] of rows.entries()) {
        const whole = wholes[at];
        scanned++;
        bytes += record.itemBytes;
        if (isFetched) {
          fetchedUnits += readUnits(
            whole === undefined ? 0 : itemSize(whole),
            isConsistent ? 'consistent' : 'eventual',
          );
        }
        if (whole !== undefined && (filter === undefined || meets(filter, whole))) items.push(whole);
        if (scanned >= limit || bytes >= PAGE_BYTES) return ended(lastKey(keySchemas, item));
      }
      if (isReverse) end = page.start;
      else start = page.end;
    }
  }
  return ended(undefined);
}

/** Heads and rows of local indexes lie among the items of a table. */
function isWanted(key: Buffer, table: PageRange['table'], index: PageRange['index']): boolean {
  if (isHeadRow(key)) return false;
  if (index !== undefined && isGlobal(index)) return true;
  if (index === undefined && table.localIndexes.length === 0) return true;
  const row = partitionRowAt(key, hashKeyBytesIn(key, table.key));
  return index === undefined ? row.kind === 'item' : row.kind === 'localIndex' && row.localIndex === index.number;
}

/** The item that a row of a local index is of. */
async function fetched(
  store: ItemStore,
  table: PageRange['table'],
  item: Item,
  isFresh: boolean,
  deadlineMs: number,
): Promise<Item | undefined> {
  const place = keyBytes(table.key, item);
  const key = rowKeyOf(table, place);
  const row = await store.get(table, key, fenceOf(table, place), isFresh, deadlineMs);
  return row === undefined ? undefined : itemOfRow(table, key, row).item;
}

function lastKey(schemas: readonly Parameters<typeof attributesOf>[0][], item: Item): Item {
  const key = new Map<string, AttributeValue>();
  for (const schema of [...schemas].reverse()) for (const [name, value] of keyOf(schema, item)) key.set(name, value);
  return key;
}
