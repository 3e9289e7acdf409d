/** BatchWriteItem and BatchGetItem: each member by itself, all of them checked before the first is done. */
import { dispositionOf } from '../../../platform/index.ts';
import { validationError } from '../errors/index.ts';
import { GET, ProjectedItems, type Projection, readExpressions } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { itemOfRow, rowKeyOf, type TableDescriptor, tableNameOf } from '../tables/index.ts';
import { type Item, itemSize, readItem, readUnits, type WireItem, wireItem } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import { type BoundChange, bindChange, type DoneChange, type ItemChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { placeOfKey } from './key-errors.ts';
import type { BatchGetItemInput, BatchWriteItemInput, WireKeysAndAttributes, WireWriteRequest } from './requests.ts';
import { collectionMetrics } from './single-items.ts';
import { writeChange } from './write-change.ts';
import { checkItem, fenceOf } from './write-item.ts';

const MAX_WRITES = 25;
const MAX_GETS = 100;
const MAX_BYTES = 16 * 1024 * 1024;
const DUPLICATES = 'Provided list of item keys contains duplicates';

interface NamedWrite {
  /** As the request writes it. */
  readonly member: string;
  readonly name: string;
  readonly change: ItemChange;
  readonly wire: WireWriteRequest;
}

function planWrites({ RequestItems }: BatchWriteItemInput): NamedWrite[] {
  const writes = Object.keys(RequestItems).flatMap((member) =>
    RequestItems[member]!.map((wire): NamedWrite => {
      const { PutRequest: put, DeleteRequest: remove } = wire;
      if ((put === undefined) === (remove === undefined)) {
        throw validationError(
          'Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes',
        );
      }
      const item = readItem(put === undefined ? remove!.Key : put.Item);
      const kind = put === undefined ? 'delete' : 'put';
      const change = { kind, item, condition: undefined, update: undefined, returnsItem: false } as const;
      return { member, name: tableNameOf(member), change, wire };
    }),
  );
  if (writes.length > MAX_WRITES) throw validationError('Too many items requested for the BatchWriteItem call');
  return writes;
}

/** What a member could not be done for, and may be asked again. */
const isPassing = (error: unknown): boolean => {
  const disposition = dispositionOf(error);
  return disposition === 'wait' || disposition === 'restart';
};

function distinctRows(rows: readonly Buffer[]): void {
  if (new Set(rows.map((row) => row.toString('latin1'))).size < rows.length) throw validationError(DUPLICATES);
}

async function runWrites(
  store: ItemStore,
  context: RequestContext,
  writes: readonly NamedWrite[],
  input: BatchWriteItemInput,
): Promise<object> {
  const { deadlineMs } = context;
  return store.withTables(new Set(writes.map(({ name }) => name)), deadlineMs, async (tables) => {
    const bound = writes.map(({ name, change }): BoundChange => bindChange(tables.get(name)!, change));
    distinctRows(bound.map(({ write }) => rowKeyOf(write.table, write.place)));
    for (const [at, { write }] of bound.entries()) {
      const { kind, item } = writes[at]!.change;
      if (kind === 'put') checkItem(write.table, item, itemSize(item), false);
    }
    // A call's id stands for one change of an item, and a batch may be asked again in part.
    const each = { ...context, invocation: undefined };
    const outcomes = await Promise.allSettled(
      writes.map(({ name, change }) =>
        store.withTable(name, deadlineMs, (table) => writeChange(store, each, table, change, undefined)),
      ),
    );
    return answerOfWrites(writes, bound, outcomes, input);
  });
}

function answerOfWrites(
  writes: readonly NamedWrite[],
  bound: readonly BoundChange[],
  outcomes: readonly PromiseSettledResult<DoneChange>[],
  input: BatchWriteItemInput,
): object {
  const unprocessed = new Map<string, WireWriteRequest[]>();
  const metrics = new Map<string, object[]>();
  const costs = new Map<string, TableCosts>();
  const isNothingDone = outcomes.every(({ status }) => status === 'rejected');
  for (const [at, outcome] of outcomes.entries()) {
    const { member, change, wire } = writes[at]!;
    const { table } = bound[at]!.write;
    if (outcome.status === 'rejected') {
      // Clients ask for what was not done again at once: when that is all of it, the error says how long to wait.
      if (isNothingDone || !isPassing(outcome.reason)) throw outcome.reason;
      unprocessed.set(member, [...(unprocessed.get(member) ?? []), wire]);
      continue;
    }
    const cost = costs.get(table.name) ?? new TableCosts(table.name);
    costs.set(table.name, cost);
    cost.addWrite(outcome.value.costs);
    const one = collectionMetrics(table, change.item, input.ReturnItemCollectionMetrics);
    if (one !== undefined) metrics.set(member, [...(metrics.get(member) ?? []), one]);
  }
  return {
    UnprocessedItems: Object.fromEntries(unprocessed),
    ItemCollectionMetrics: metrics.size === 0 ? undefined : Object.fromEntries(metrics),
    ConsumedCapacity: listOf(costs, input.ReturnConsumedCapacity),
  };
}

function listOf(
  costs: ReadonlyMap<string, TableCosts>,
  asked: BatchWriteItemInput['ReturnConsumedCapacity'],
): object[] | undefined {
  const shown = [...costs.values()].flatMap((cost) => cost.shown(asked) ?? []);
  return asked === undefined || asked === 'NONE' ? undefined : shown;
}

interface AskedTable {
  readonly member: string;
  readonly name: string;
  readonly keys: readonly Item[];
  readonly projection: Projection | undefined;
  readonly wire: WireKeysAndAttributes;
}

function planGets({ RequestItems }: BatchGetItemInput): AskedTable[] {
  const tables = Object.keys(RequestItems).map((member): AskedTable => {
    const wire = RequestItems[member]!;
    const { projection } = readExpressions(wire, GET);
    return { member, name: tableNameOf(member), keys: wire.Keys.map((key) => readItem(key)), projection, wire };
  });
  const count = tables.reduce((sum, { keys }) => sum + keys.length, 0);
  if (count > MAX_GETS) throw validationError('Too many items requested for the BatchGetItem call');
  return tables;
}

interface GotItem {
  readonly asked: AskedTable;
  readonly table: TableDescriptor;
  readonly wireKey: WireItem;
  readonly item: Item | undefined;
}

async function runGets(
  store: ItemStore,
  { deadlineMs }: RequestContext,
  asked: readonly AskedTable[],
  input: BatchGetItemInput,
): Promise<object> {
  return store.withTables(new Set(asked.map(({ name }) => name)), deadlineMs, async (tables) => {
    const places = asked.flatMap((one) =>
      one.keys.map((key, at) => {
        const table = tables.get(one.name)!;
        const place = placeOfKey(table, key);
        return { asked: one, table, wireKey: one.wire.Keys[at]!, place, row: rowKeyOf(table, place) };
      }),
    );
    distinctRows(places.map(({ row }) => row));
    const got = await Promise.all(
      places.map(async ({ asked: one, table, wireKey, place, row }): Promise<GotItem> => {
        const isConsistent = one.wire.ConsistentRead === true;
        const value = await store.get(table, row, fenceOf(table, place), isConsistent, deadlineMs);
        return {
          asked: one,
          table,
          wireKey,
          item: value === undefined ? undefined : itemOfRow(table, row, value).item,
        };
      }),
    );
    return answerOfGets(asked, got, input);
  });
}

function answerOfGets(asked: readonly AskedTable[], got: readonly GotItem[], input: BatchGetItemInput): object {
  const responses = new Map<string, WireItem[]>(asked.map(({ member }) => [member, []]));
  const unprocessed = new Map<string, WireItem[]>();
  const costs = new Map<string, TableCosts>();
  const projected = new Map(
    asked.map((one) => [one, one.projection === undefined ? undefined : new ProjectedItems(one.projection)]),
  );
  let bytes = 0;
  for (const { asked: one, table, wireKey, item } of got) {
    const size = item === undefined ? 0 : itemSize(item);
    if (bytes > 0 && bytes + size > MAX_BYTES) {
      unprocessed.set(one.member, [...(unprocessed.get(one.member) ?? []), wireKey]);
      continue;
    }
    bytes += size;
    const cost = costs.get(table.name) ?? new TableCosts(table.name);
    costs.set(table.name, cost);
    cost.addTable(readUnits(size, one.wire.ConsistentRead === true ? 'consistent' : 'eventual'));
    if (item === undefined) continue;
    const part = projected.get(one);
    responses.get(one.member)!.push(wireItem(part === undefined ? item : part.of(item)));
  }
  const left = [...unprocessed].map(([member, keys]) => {
    const { wire } = asked.find((one) => one.member === member)!;
    return [member, { ...wire, Keys: keys }];
  });
  return {
    Responses: Object.fromEntries(responses),
    UnprocessedKeys: Object.fromEntries(left),
    ConsumedCapacity: listOf(costs, input.ReturnConsumedCapacity),
  };
}

/** Both of them. */
export const batchOperations = (store: ItemStore): AnyOperation[] => [
  declareOperation({
    name: 'BatchWriteItem',
    access: 'write',
    validate: (input: BatchWriteItemInput) => ({ input, writes: planWrites(input) }),
    run: (context, { input, writes }) => runWrites(store, context, writes, input),
  }),
  declareOperation({
    name: 'BatchGetItem',
    access: 'read',
    validate: (input: BatchGetItemInput) => ({ input, asked: planGets(input) }),
    run: (context, { input, asked }) => runGets(store, context, asked, input),
  }),
];
