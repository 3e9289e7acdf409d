/**
 * TransactWriteItems: up to a hundred changes, all of them or none, over any tables and groups. Where all of its rows are one group's it is one command at the
 * group's leader, as a change by itself is.
 */
import { type GroupId, isOutcomeUnknown, type Millis, sleep } from '../../../platform/index.ts';
import { DynamoError, isConflict, validationError } from '../errors/index.ts';
import { CONDITIONAL_WRITE, readExpressions, UPDATE } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { type TableDescriptor, tableNameOf } from '../tables/index.ts';
import { itemSize, readItem, readUnits } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import { StaleTableError } from './errors.ts';
import type { BoundChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { ITEM_SERVICE } from './message-head.ts';
import { decodeOutcome } from './outcome-message.ts';
import { otherRequest, type RequestToken, requestToken } from './request-token.ts';
import type { TransactWriteItem, TransactWriteItemsInput } from './requests.ts';
import { collectionMetrics } from './single-items.ts';
import { bindAll, canceledByOthers, transactionBody } from './transaction-body.ts';
import { encodeTransaction, type NamedChange, type Outcome, readTransactionDone } from './transaction-message.ts';

const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Before a transaction is tried again of which it is not known whether it was done. */
const ATTEMPT_GAP_MS: Millis = 50;
const KINDS = { ConditionCheck: 'check', Put: 'put', Delete: 'delete', Update: 'update' } as const;

export interface TransactPlan {
  readonly changes: readonly NamedChange[];
  readonly token: RequestToken | undefined;
  readonly input: Pick<TransactWriteItemsInput, 'ReturnConsumedCapacity' | 'ReturnItemCollectionMetrics'>;
}

function planAction(action: TransactWriteItem): NamedChange {
  const members = Object.keys(KINDS) as (keyof typeof KINDS)[];
  const present = members.filter((member) => action[member] !== undefined);
  if (present.length !== 1) {
    throw validationError('TransactItems can only contain one of Check, Put, Update or Delete');
  }
  const member = present[0]!;
  const asked = action[member]!;
  const { condition, update } = readExpressions(asked, member === 'Update' ? UPDATE : CONDITIONAL_WRITE);
  return {
    name: tableNameOf(asked.TableName),
    change: {
      kind: KINDS[member],
      item: readItem('Item' in asked ? asked.Item : asked.Key),
      condition,
      update,
      returnsItem: asked.ReturnValuesOnConditionCheckFailure === 'ALL_OLD',
    },
  };
}

/** @throws DynamoError */
export function planTransactWrite(input: TransactWriteItemsInput): TransactPlan {
  const changes = input.TransactItems.map(planAction);
  let bytes = 0;
  for (const [at, { change }] of changes.entries()) {
    bytes += itemSize(change.item);
    const { ExpressionAttributeValues: values } = Object.values(input.TransactItems[at]!)[0] ?? {};
    if (values !== undefined) bytes += itemSize(readItem(values));
  }
  if (bytes > MAX_REQUEST_BYTES) throw validationError('Transaction request cannot be larger than 4 MB');
  const { ClientRequestToken: token, TransactItems: asked } = input;
  return { changes, token: token === undefined ? undefined : requestToken(token, asked), input };
}

/** What became of a transaction, with its actions. */
interface DoneTransaction {
  readonly bound: readonly BoundChange[];
  readonly outcome: Outcome;
}

/**
 * Does a transaction.
 * @throws DynamoError `TransactionCanceledException` with a reason for each action, `TransactionInProgressException` while this node does it for an earlier
 *   request
 */
export async function transactWrite(
  store: ItemStore,
  context: RequestContext,
  plan: Pick<TransactPlan, 'changes' | 'token'>,
): Promise<DoneTransaction> {
  const { token } = plan;
  if (token === undefined) return doTransaction(store, context, plan);
  const name = token.key.toString('latin1');
  const other = store.tokensUnderWay.get(name);
  if (other !== undefined) throw other.equals(token.digest) ? inProgress() : otherRequest();
  store.tokensUnderWay.set(name, token.digest);
  try {
    return await doTransaction(store, context, plan);
  } finally {
    store.tokensUnderWay.delete(name);
  }
}

/** SDKs ask again after it. */
const inProgress = (): DynamoError =>
  new DynamoError(
    'TransactionInProgressException',
    'The transaction with the given request token is already in progress.',
  );

async function doTransaction(
  store: ItemStore,
  { deadlineMs }: RequestContext,
  { changes, token }: Pick<TransactPlan, 'changes' | 'token'>,
): Promise<DoneTransaction> {
  const { clock, scheduler } = store.services;
  /** What an attempt ended with that may have been done. */
  let unknown: unknown;
  const attempt = async (tables: ReadonlyMap<string, TableDescriptor>): Promise<DoneTransaction> => {
    const { bound, keys } = bindAll(changes, tables);
    const allKeys = token === undefined ? keys : [...keys, token.key];
    const body = transactionBody(bound, token);
    const remote = {
      service: ITEM_SERVICE,
      encode: (group: GroupId) => encodeTransaction(group, tables, changes, token),
      decode: (bytes: Buffer) => decodeOutcome(bytes, readTransactionDone),
    };
    for (;;) {
      try {
        return { bound, outcome: await store.write(allKeys, [...tables.values()], deadlineMs, body, remote) };
      } catch (error) {
        if (error instanceof DynamoError || error instanceof StaleTableError) throw error;
        // The token's row tells the next attempt what became of this one. Until one has looked at it, what others end with says nothing of the first.
        if (token !== undefined && isOutcomeUnknown(error)) unknown ??= error;
        if (unknown === undefined) throw isConflict(error) ? canceledByOthers(changes.length) : error;
        if (clock.monotonicMs() >= deadlineMs) throw unknown;
        await sleep(scheduler, ATTEMPT_GAP_MS);
      }
    }
  };
  try {
    return await store.withTables(new Set(changes.map(({ name }) => name)), deadlineMs, attempt);
  } catch (error) {
    throw unknown === undefined || error instanceof DynamoError ? error : unknown;
  }
}

/** Costs by table; a repetition reads what it would have written. */
export function transactCosts(
  bound: readonly BoundChange[],
  outcome: Outcome,
  asked: TransactPlan['input']['ReturnConsumedCapacity'],
): object[] | undefined {
  const costs = new Map<string, TableCosts>();
  for (const [at, { write }] of bound.entries()) {
    const { name } = write.table;
    const table = costs.get(name) ?? new TableCosts(name);
    costs.set(name, table);
    if (outcome === undefined) table.addTable(readUnits(0, 'transactional'));
    else table.addWrite(outcome[at]!);
  }
  if (asked === undefined || asked === 'NONE') return undefined;
  return [...costs.values()].map((table) => table.shown(asked, outcome === undefined ? 'read' : 'write')!);
}

/** The operation. */
export const transactWriteOperation = (store: ItemStore): AnyOperation =>
  declareOperation({
    name: 'TransactWriteItems',
    access: 'write',
    validate: (input: TransactWriteItemsInput) => planTransactWrite(input),
    async run(context, plan) {
      const { bound, outcome } = await transactWrite(store, context, plan);
      const { ReturnConsumedCapacity, ReturnItemCollectionMetrics } = plan.input;
      const metrics = new Map<string, object[]>();
      for (const [at, { write }] of bound.entries()) {
        const item = plan.changes[at]!.change.item;
        const one = collectionMetrics(write.table, item, ReturnItemCollectionMetrics);
        if (one !== undefined) metrics.set(write.table.name, [...(metrics.get(write.table.name) ?? []), one]);
      }
      return {
        ConsumedCapacity: transactCosts(bound, outcome, ReturnConsumedCapacity),
        ItemCollectionMetrics: metrics.size === 0 ? undefined : Object.fromEntries(metrics),
      };
    },
  });
