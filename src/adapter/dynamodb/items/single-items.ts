/** GetItem, PutItem, UpdateItem, DeleteItem. */
import { createHash } from 'node:crypto';
import { hlcTimestamp } from '../../../platform/index.ts';
import { validationError } from '../errors/index.ts';
import { CONDITIONAL_WRITE, GET, ProjectedItems, readExpressions, UPDATE } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { INVOCATION_BYTES } from '../rows/index.ts';
import { itemOfRow, rowKeyOf, type TableDescriptor, tableNameOf } from '../tables/index.ts';
import { type Item, itemSize, readItem, readUnits, type WireItem, wireItem, writeUnits } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import { AlreadyWrittenError } from './errors.ts';
import { type BoundChange, bindChange, type ItemChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { placeOfKey } from './key-errors.ts';
import type { DeleteItemInput, GetItemInput, PutItemInput, ReturnValues, UpdateItemInput } from './requests.ts';
import { fenceOf, type Invocation, type ItemWrite, keysOfWrite, type WrittenItem, writeItem } from './write-item.ts';

interface WritePlan {
  readonly name: string;
  readonly change: ItemChange;
  readonly returns: ReturnValues;
  readonly input: PutItemInput | UpdateItemInput | DeleteItemInput;
}

const checkReturns = (returns: ReturnValues): void => {
  if (returns !== 'NONE' && returns !== 'ALL_OLD') throw validationError('ReturnValues can only be ALL_OLD or NONE');
};

function planWrite(
  kind: 'put' | 'update' | 'delete',
  input: PutItemInput | UpdateItemInput | DeleteItemInput,
): WritePlan {
  const returns = input.ReturnValues ?? 'NONE';
  if (kind !== 'update') checkReturns(returns);
  const { condition, update } = readExpressions(input, kind === 'update' ? UPDATE : CONDITIONAL_WRITE);
  const item = readItem('Item' in input ? input.Item : input.Key);
  const returnsItem = input.ReturnValuesOnConditionCheckFailure === 'ALL_OLD';
  return { name: tableNameOf(input.TableName), change: { kind, item, condition, update, returnsItem }, returns, input };
}

/** Attributes that an answer shows; undefined when it shows none. */
function shownAttributes(
  returns: ReturnValues,
  { before, after }: WrittenItem,
  updated: { readonly changedBefore: Item; readonly changedAfter: Item } | undefined,
): WireItem | undefined {
  const shown = {
    NONE: undefined,
    ALL_OLD: before,
    ALL_NEW: after,
    UPDATED_OLD: updated?.changedBefore,
    UPDATED_NEW: updated?.changedAfter,
  }[returns];
  return shown === undefined || shown.size === 0 ? undefined : wireItem(shown);
}

/** The call that a request is an attempt of; undefined when the client does not say. */
function invocationOf({ invocation }: RequestContext): Invocation | undefined {
  if (invocation === undefined) return undefined;
  const hash = createHash('sha256').update(invocation.id).digest().subarray(0, INVOCATION_BYTES);
  return { hash, isRepeated: invocation.attempt > 1 };
}

/** What an earlier attempt was answered, or would have been: the same change of the item as it was then. */
async function writtenBefore(
  store: ItemStore,
  write: ItemWrite,
  { commitTs }: AlreadyWrittenError,
  { deadlineMs }: RequestContext,
): Promise<WrittenItem> {
  const key = rowKeyOf(write.table, write.place);
  const row = await store.getAt(key, hlcTimestamp(commitTs - 1n), deadlineMs);
  const before = row === undefined ? undefined : itemOfRow(write.table, key, row).item;
  const after = write.change(before);
  const bytes = [before, after].map((item) => (item === undefined ? 0 : itemSize(item)));
  // Nothing was written to indexes now.
  const none = new Map<string, number>();
  return {
    before,
    after,
    costs: { table: writeUnits(Math.max(...bytes), false), globalIndexes: none, localIndexes: none },
  };
}

/**
 * Does one change by itself; the second attempt of a call that has been done is answered as the first one.
 * @throws DynamoError; StaleTableError when the table is another by now
 */
export async function writeChange(
  store: ItemStore,
  context: RequestContext,
  table: TableDescriptor,
  change: ItemChange,
): Promise<{ readonly bound: BoundChange; readonly written: WrittenItem }> {
  const bound = bindChange(table, change, invocationOf(context));
  const { write } = bound;
  try {
    const written = await store.write(keysOfWrite(write), [table], context.deadlineMs, (view, lane) =>
      writeItem(view, write, lane),
    );
    return { bound, written };
  } catch (error) {
    if (!(error instanceof AlreadyWrittenError)) throw error;
    return { bound, written: await writtenBefore(store, write, error, context) };
  }
}

/** Only tables with local indexes have item collections. */
export function collectionMetrics(table: TableDescriptor, key: Item, asked: string | undefined): object | undefined {
  if (asked !== 'SIZE' || table.localIndexes.length === 0) return undefined;
  const { name } = table.key.hash[0]!;
  return {
    ItemCollectionKey: wireItem(new Map([[name, key.get(name)!]])),
    // What is estimated lies in between; how large a collection really is nobody counts, and nothing depends on it.
    SizeEstimateRangeGB: [0, 1],
  };
}

/** All of them. */
export function singleItemOperations(store: ItemStore): AnyOperation[] {
  const write = (context: RequestContext, plan: WritePlan): Promise<object> =>
    store.withTable(plan.name, context.deadlineMs, async (table) => {
      const { input } = plan;
      const { bound, written } = await writeChange(store, context, table, plan.change);
      const costs = new TableCosts(table.name);
      costs.addWrite(written.costs);
      return {
        Attributes: shownAttributes(plan.returns, written, bound.updated),
        ConsumedCapacity: costs.shown(input.ReturnConsumedCapacity),
        ItemCollectionMetrics: collectionMetrics(table, plan.change.item, input.ReturnItemCollectionMetrics),
      };
    });

  return [
    declareOperation({
      name: 'GetItem',
      access: 'read',
      validate(input: GetItemInput) {
        const { projection } = readExpressions(input, GET);
        return { name: tableNameOf(input.TableName), key: readItem(input.Key), projection, input };
      },
      run: ({ deadlineMs }, { name, key, projection, input }) =>
        store.withTable(name, deadlineMs, async (table) => {
          const place = placeOfKey(table, key);
          const rowKey = rowKeyOf(table, place);
          const isConsistent = input.ConsistentRead === true;
          const row = await store.get(table, rowKey, fenceOf(table, place), isConsistent, deadlineMs);
          const item = row === undefined ? undefined : itemOfRow(table, rowKey, row).item;
          const costs = new TableCosts(table.name);
          costs.addTable(readUnits(item === undefined ? 0 : itemSize(item), isConsistent ? 'consistent' : 'eventual'));
          const shown = item === undefined || projection === undefined ? item : new ProjectedItems(projection).of(item);
          return {
            Item: shown === undefined ? undefined : wireItem(shown),
            ConsumedCapacity: costs.shown(input.ReturnConsumedCapacity),
          };
        }),
    }),
    declareOperation({
      name: 'PutItem',
      access: 'write',
      validate: (input: PutItemInput) => planWrite('put', input),
      run: write,
    }),
    declareOperation({
      name: 'UpdateItem',
      access: 'write',
      validate: (input: UpdateItemInput) => planWrite('update', input),
      run: write,
    }),
    declareOperation({
      name: 'DeleteItem',
      access: 'write',
      validate: (input: DeleteItemInput) => planWrite('delete', input),
      run: write,
    }),
  ];
}
