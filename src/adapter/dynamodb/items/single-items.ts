/** GetItem, PutItem, UpdateItem, DeleteItem. */
import { validationError } from '../errors/index.ts';
import { CONDITIONAL_WRITE, GET, ProjectedItems, readExpressions, UPDATE } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, EncodedOutput, type RequestContext } from '../operation/index.ts';
import { ItemJson, itemBytesIn } from '../rows/index.ts';
import { itemOfRow, rowKeyOf, type TableDescriptor, tableNameOf, writeRowAsJson } from '../tables/index.ts';
import { type Item, readItem, readUnits, wireItem } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import type { ChangePart, ItemChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { placeOfKey } from './key-errors.ts';
import type { DeleteItemInput, GetItemInput, PutItemInput, ReturnValues, UpdateItemInput } from './requests.ts';
import { writeChange } from './write-change.ts';
import { fenceOf } from './write-item.ts';

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

/** What an answer shows of the item. */
const RETURNED: Readonly<Record<ReturnValues, ChangePart | undefined>> = {
  NONE: undefined,
  ALL_OLD: 'before',
  UPDATED_OLD: 'changedBefore',
  ALL_NEW: 'after',
  UPDATED_NEW: 'changedAfter',
};

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

/** An answer that shows a row as it is. */
function wholeItem(table: TableDescriptor, key: Buffer, row: Buffer, capacity: object | undefined): EncodedOutput {
  const json = new ItemJson(row.length).ascii('{"Item":');
  writeRowAsJson(json, table, key, row);
  if (capacity !== undefined) json.json(`,"ConsumedCapacity":${JSON.stringify(capacity)}`);
  return new EncodedOutput(json.ascii('}').finish());
}

/** All of them. */
export function singleItemOperations(store: ItemStore): AnyOperation[] {
  const write = (context: RequestContext, plan: WritePlan): Promise<object> =>
    store.withTable(plan.name, context.deadlineMs, async (table) => {
      const { input } = plan;
      const done = await writeChange(store, context, table, plan.change, RETURNED[plan.returns]);
      const { shown } = done;
      const costs = new TableCosts(table.name);
      costs.addWrite(done.costs);
      return {
        Attributes: shown === undefined || shown.size === 0 ? undefined : wireItem(shown),
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
          const costs = new TableCosts(table.name);
          const bytes = row === undefined ? 0 : itemBytesIn(row);
          costs.addTable(readUnits(bytes, isConsistent ? 'consistent' : 'eventual'));
          const ConsumedCapacity = costs.shown(input.ReturnConsumedCapacity);
          if (row === undefined) return { Item: undefined, ConsumedCapacity };
          if (projection === undefined) return wholeItem(table, rowKey, row, ConsumedCapacity);
          const { item } = itemOfRow(table, rowKey, row);
          return { Item: wireItem(new ProjectedItems(projection).of(item)), ConsumedCapacity };
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
