/**
 * Query and Scan. A page ends after `Limit` items that were read, or when their sizes reach a megabyte, the item that does included; it goes on over
 * the borders of groups, each of which filters and projects what it has. Global indexes are read from leaders: what was acknowledged is in them.
 */
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { fenceKey } from '../rows/index.ts';
import { isGlobal, segmentOf, type TableDescriptor } from '../tables/index.ts';
import { type Item, readUnits, type WireItem, wireItem } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import type { ItemStore } from './item-store.ts';
import { type PagePlan, type PageRange, planQuery, planScan, rangeOfPlan } from './page-plan.ts';
import type { QueryInput, ScanInput } from './requests.ts';

/** Sizes of the items of a page. */
const PAGE_BYTES = 1024 * 1024;

interface ReadPage {
  readonly items: readonly Item[];
  readonly count: number;
  readonly scanned: number;
  /** Of all that was read. */
  readonly bytes: number;
  /** Where the page ended before its range did. */
  readonly lastKey: Item | undefined;
  /** Items that had to be read in the table. */
  readonly fetchedUnits: number;
  /** The group that had the last rows has looked at the fence behind them. */
  readonly isChecked: boolean;
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
  // Where the rows are led the fence is looked at on the way, unless another group has it.
  const asked = isFresh && !store.isApart(range.range.start, fence) ? fence : undefined;
  const page = await readPage(store, context, plan, range, isFresh, asked);
  // Behind the last rows: those of an index that was dropped, or of a table, go after the fence has changed.
  if (isFresh && !page.isChecked) await store.checkTable(table, fence, context.deadlineMs);
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
  return {
    Items: plan.select === 'COUNT' ? undefined : page.items.map(wireItem),
    Count: page.count,
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
  fence: Buffer | undefined,
): Promise<ReadPage> {
  const { filter, projection, isReverse, input, select } = plan;
  const limit = input.Limit ?? Number.POSITIVE_INFINITY;
  const items: Item[] = [];
  const page = { count: 0, scanned: 0, bytes: 0, fetchedUnits: 0, isChecked: false };
  let { start, end } = range;
  while (Buffer.compare(start, end) < 0) {
    const part = await store.part(
      {
        ...{ table, index, isReverse, filter, projection, isFetched, fence },
        range: { start, end },
        limit: limit - page.scanned,
        maxBytes: PAGE_BYTES - page.bytes,
        isCounted: select === 'COUNT',
        readKind: input.ConsistentRead === true ? 'consistent' : 'eventual',
      },
      isFresh,
      deadlineMs,
      signal,
    );
    items.push(...part.items);
    page.count += part.count;
    page.scanned += part.scanned;
    page.bytes += part.bytes;
    page.fetchedUnits += part.fetchedUnits;
    page.isChecked = part.isChecked;
    if (part.last !== undefined || part.next === undefined) return { ...page, items, lastKey: part.last };
    if (isReverse) end = part.next;
    else start = part.next;
  }
  return { ...page, items, lastKey: undefined };
}
