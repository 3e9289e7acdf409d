/**
 * Put, Update and Delete as changes of one item, whoever asks for them: an operation, a batch, a transaction, a statement. A plan knows no table; with one
 * it becomes what `writeItem` does.
 */
import { DynamoError } from '../errors/index.ts';
import {
  applyUpdate,
  type Condition,
  checkConditionKeys,
  checkUpdateKeys,
  type KeyNames,
  meets,
  type Update,
  type UpdatedItem,
} from '../expressions/index.ts';
import { attributesOf, type TableDescriptor } from '../tables/index.ts';
import { type Item, wireItem } from '../values/index.ts';
import { placeOfItem, placeOfKey } from './key-errors.ts';
import type { Invocation, ItemWrite, WriteCosts, WrittenItem } from './write-item.ts';

/** What is to be done to one item of a table. */
export interface ItemChange {
  readonly kind: 'put' | 'update' | 'delete' | 'check';
  /** The item of a put, else the key. */
  readonly item: Item;
  readonly condition: Condition | undefined;
  readonly update: Update | undefined;
  /** A refusal has the item in it. */
  readonly returnsItem: boolean;
}

/** A change that knows its table, and what it has done. */
export interface BoundChange {
  readonly write: ItemWrite;
  /** Of an update, once the change was evaluated. */
  updated: UpdatedItem | undefined;
}

/** What can be told of a change: the item before and after, and what an update has changed in it. In the order of their numbers between nodes. */
export const CHANGE_PARTS = ['before', 'after', 'changedBefore', 'changedAfter'] as const;
export type ChangePart = (typeof CHANGE_PARTS)[number];

/** A change that was done, with as much of the item as was asked for. */
export interface DoneChange {
  /** Undefined when nothing was asked for, or there is nothing. */
  readonly shown: Item | undefined;
  readonly costs: WriteCosts;
}

const NO_ITEM: Item = new Map();

const keyNames = (table: TableDescriptor): KeyNames => ({
  table: attributesOf(table.key).map(({ name }) => name),
  indexes: [...table.localIndexes, ...table.globalIndexes].flatMap(({ key }) =>
    attributesOf(key).map(({ name }) => name),
  ),
});

/** The condition of a write does not hold. @param item what there is, if it is to be said */
export const conditionFailed = (item: Item | undefined): DynamoError =>
  new DynamoError(
    'ConditionalCheckFailedException',
    'The conditional request failed',
    item === undefined ? {} : { Item: wireItem(item) },
  );

/**
 * What a change does to the item of a table.
 * @param part what will be told of it
 * @throws DynamoError when it does not fit the table's keys
 */
export function bindChange(
  table: TableDescriptor,
  change: ItemChange,
  part?: ChangePart,
  invocation?: Invocation,
): BoundChange {
  const { kind, item, condition, update } = change;
  const place = kind === 'put' ? placeOfItem(table, item) : placeOfKey(table, item);
  if (condition !== undefined || update !== undefined) {
    const names = keyNames(table);
    if (condition !== undefined) checkConditionKeys(condition, names);
    if (update !== undefined) checkUpdateKeys(update, names);
  }
  const bound: BoundChange = {
    updated: undefined,
    write: {
      table,
      place,
      isBlind: kind === 'put' && condition === undefined && part === undefined && invocation?.isRepeated !== true,
      isUpdate: kind === 'update',
      invocation,
      change(before) {
        if (condition !== undefined && !meets(condition, before ?? NO_ITEM)) {
          throw conditionFailed(change.returnsItem ? before : undefined);
        }
        switch (kind) {
          case 'put':
            return item;
          case 'delete':
            return undefined;
          case 'check':
            return before;
          case 'update': {
            const updated = applyUpdate(update ?? NO_UPDATE, before, item);
            bound.updated = updated;
            return updated.item;
          }
        }
      },
    },
  };
  return bound;
}

/** What is told of a change that was just written. */
export function doneChange(
  { updated }: BoundChange,
  { before, after, costs }: WrittenItem,
  part: ChangePart | undefined,
): DoneChange {
  switch (part) {
    case undefined:
      return { costs, shown: undefined };
    case 'before':
      return { costs, shown: before };
    case 'after':
      return { costs, shown: after };
    case 'changedBefore':
    case 'changedAfter':
      return { costs, shown: updated?.[part] };
  }
}

/** Makes the item when it is not there. */
const NO_UPDATE: Update = { actions: [], mismatch: '' };
