/** TransactGetItems: up to a hundred items as they were at one moment. */
import type { KeyView } from '../../../kv/index.ts';
import { DynamoError, isConflict, validationError } from '../errors/index.ts';
import { GET, ProjectedItems, type Projection, readExpressions } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { rowKeyOf, type TableDescriptor, tableNameOf } from '../tables/index.ts';
import { type Item, itemSize, readItem, readUnits, wireItem } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import type { ItemStore } from './item-store.ts';
import { isEmptyKey, placeOfKey } from './key-errors.ts';
import type { TransactGetItemsInput } from './requests.ts';
import { canceled, canceledByOthers, reasonOf } from './transaction-body.ts';
import { checkFence, fenceOf, readItemRow } from './write-item.ts';

const MAX_BYTES = 4 * 1024 * 1024;

interface AskedItem {
  readonly name: string;
  readonly key: Item;
  readonly projection?: Projection | undefined;
}

/** One item of a transaction: undefined when it is not there. */
export interface ReadItem {
  readonly table: TableDescriptor;
  readonly item: Item | undefined;
}

/** Reads items together. @throws DynamoError `TransactionCanceledException` when a key does not fit its table */
export function transactGet(
  store: ItemStore,
  { deadlineMs }: RequestContext,
  asked: readonly AskedItem[],
): Promise<readonly ReadItem[]> {
  return store.withTables(new Set(asked.map(({ name }) => name)), deadlineMs, async (tables) => {
    const places = asked.map(({ name, key }, at) => {
      try {
        const table = tables.get(name)!;
        return { table, place: placeOfKey(table, key) };
      } catch (error) {
        if (!(error instanceof DynamoError) || isEmptyKey(error)) throw error;
        throw canceled(asked.map((_, other) => (other === at ? reasonOf(error) : { Code: 'None' })));
      }
    });
    const names = new Set(places.map(({ table, place }) => rowKeyOf(table, place).toString('latin1')));
    if (names.size < places.length) {
      throw validationError('Transaction request cannot include multiple operations on one item');
    }
    const keys = places.flatMap(({ table, place }) => [rowKeyOf(table, place), fenceOf(table, place)]);
    const body = (view: KeyView): ReadItem[] =>
      places.map(({ table, place }) => {
        checkFence(view, table, place);
        return { table, item: readItemRow(view, table, place) };
      });
    const read = await store.read(keys, deadlineMs, body).catch((error: unknown) => {
      throw isConflict(error) ? canceledByOthers(asked.length) : error;
    });
    const bytes = read.reduce((sum, { item }) => sum + (item === undefined ? 0 : itemSize(item)), 0);
    if (bytes > MAX_BYTES)
      throw validationError('The total size of the items in a transaction cannot be more than 4 MB');
    return read;
  });
}

/** The operation. */
export const transactGetOperation = (store: ItemStore): AnyOperation =>
  declareOperation({
    name: 'TransactGetItems',
    access: 'read',
    validate: (input: TransactGetItemsInput) => ({
      asked: input.TransactItems.map(({ Get: get }): AskedItem => {
        const { projection } = readExpressions(get, GET);
        return { name: tableNameOf(get.TableName), key: readItem(get.Key), projection };
      }),
      returns: input.ReturnConsumedCapacity,
    }),
    async run(context, { asked, returns }) {
      const read = await transactGet(store, context, asked);
      const costs = new Map<string, TableCosts>();
      const responses = read.map(({ table, item }, at) => {
        const cost = costs.get(table.name) ?? new TableCosts(table.name);
        costs.set(table.name, cost);
        cost.addTable(readUnits(item === undefined ? 0 : itemSize(item), 'transactional'));
        if (item === undefined) return {};
        const { projection } = asked[at]!;
        return { Item: wireItem(projection === undefined ? item : new ProjectedItems(projection).of(item)) };
      });
      const shown = [...costs.values()].flatMap((cost) => cost.shown(returns, 'read') ?? []);
      return { Responses: responses, ConsumedCapacity: shown.length === 0 ? undefined : shown };
    },
  });
