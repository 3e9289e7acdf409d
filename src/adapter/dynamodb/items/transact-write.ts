/**
 * TransactWriteItems: up to a hundred changes, all of them or none, over any tables and groups. All conditions are looked at over one state, so the
 * reasons of a refusal are of one moment.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { expiryOf, type KeyView } from '../../../kv/index.ts';
import { hasCode, isOutcomeUnknown } from '../../../platform/index.ts';
import { DynamoError, validationError } from '../errors/index.ts';
import { CONDITIONAL_WRITE, readExpressions, UPDATE } from '../expressions/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { CorruptRowError, requestTokenKey } from '../rows/index.ts';
import { rowKeyOf, type TableDescriptor, tableNameOf } from '../tables/index.ts';
import { itemSize, readItem, readUnits } from '../values/index.ts';
import { TableCosts } from './consumed-capacity.ts';
import { type BoundChange, bindChange, type ItemChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { isEmptyKey } from './key-errors.ts';
import type { TransactWriteItem, TransactWriteItemsInput } from './requests.ts';
import { collectionMetrics } from './single-items.ts';
import { keysOfWrite, type WrittenItem, writeItem } from './write-item.ts';

/** How long a client's token stands for what was asked with it. */
const TOKEN_MS = 10 * 60 * 1000;
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
const TOKEN_FORMAT = 1;
const KINDS = { ConditionCheck: 'check', Put: 'put', Delete: 'delete', Update: 'update' } as const;

/** Why one action of a transaction was not done. */
export interface CancellationReason {
  readonly Code: string;
  readonly Message?: string;
  readonly Item?: unknown;
}

const NO_REASON: CancellationReason = { Code: 'None' };

interface NamedChange {
  readonly name: string;
  readonly change: ItemChange;
}

export interface TransactPlan {
  readonly changes: readonly NamedChange[];
  readonly token: RequestToken | undefined;
  readonly input: Pick<TransactWriteItemsInput, 'ReturnConsumedCapacity' | 'ReturnItemCollectionMetrics'>;
}

/** What a client calls a transaction by, and what it has asked with it. */
export interface RequestToken {
  readonly key: Buffer;
  /** Of the whole request. */
  readonly digest: Buffer;
}

/** A transaction in which some actions may not be done. */
export const canceled = (reasons: readonly CancellationReason[]): DynamoError =>
  new DynamoError(
    'TransactionCanceledException',
    `Transaction cancelled, please refer cancellation reasons for specific reasons [${reasons.map(({ Code }) => Code).join(', ')}]`,
    { CancellationReasons: reasons },
  );

/** What a refused action is called among the reasons. */
export function reasonOf(error: DynamoError): CancellationReason {
  if (error.type === 'ConditionalCheckFailedException') {
    const { Item } = error.members;
    return {
      Code: 'ConditionalCheckFailed',
      Message: error.message,
      ...(Item === undefined ? {} : { Item }),
    };
  }
  return { Code: 'ValidationError', Message: error.message };
}

/** The same request has the same digest, in whatever order its members come. */
function digestOf(value: unknown): Buffer {
  const sorted = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(sorted);
    if (typeof part !== 'object' || part === null) return part;
    return Object.keys(part)
      .sort()
      .map((name) => [name, sorted((part as Record<string, unknown>)[name])]);
  };
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest();
}

/** @param asked all that has to be the same when the token comes again */
export function requestToken(token: string, asked: unknown): RequestToken {
  const bytes = Buffer.from(token, 'utf8');
  return { key: requestTokenKey(crc32(bytes), bytes), digest: digestOf(asked) };
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

/** What became of a transaction: undefined for one that was done before under the same token. */
type Outcome = readonly WrittenItem[] | undefined;

const otherRequest = (): DynamoError =>
  new DynamoError(
    'IdempotentParameterMismatchException',
    'The request uses the same client token as a previous, but non-identical request.',
  );

/** Looks a token up and stores it, within the transaction that it stands for. @returns true when it has been done before @throws DynamoError */
function isRepeated(view: KeyView, { key, digest }: RequestToken): boolean {
  const row = view.get(key);
  if (row !== undefined) {
    if (row.value[0] !== TOKEN_FORMAT) throw new CorruptRowError(`a token has format ${row.value[0]}`);
    if (row.value.subarray(1).equals(digest)) return true;
    throw otherRequest();
  }
  view.put(key, Buffer.concat([Buffer.of(TOKEN_FORMAT), digest]), expiryOf(view.ts, TOKEN_MS));
  return false;
}

/** The actions with their tables. @throws DynamoError when one does not fit its table, or two are for one item */
function bindAll(
  changes: readonly NamedChange[],
  tables: ReadonlyMap<string, TableDescriptor>,
): { readonly bound: readonly BoundChange[]; readonly keys: readonly Buffer[] } {
  const seen = new Set<string>();
  const bound = changes.map(({ name, change }, at) => {
    try {
      return bindChange(tables.get(name)!, change);
    } catch (error) {
      if (!(error instanceof DynamoError) || isEmptyKey(error)) throw error;
      throw canceled(changes.map((_, other) => (other === at ? reasonOf(error) : NO_REASON)));
    }
  });
  for (const { write } of bound) {
    const name = rowKeyOf(write.table, write.place).toString('latin1');
    if (seen.has(name)) throw validationError('Transaction request cannot include multiple operations on one item');
    seen.add(name);
  }
  return { bound, keys: bound.flatMap(({ write }) => keysOfWrite(write)) };
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
  context: RequestContext,
  { changes, token }: Pick<TransactPlan, 'changes' | 'token'>,
): Promise<DoneTransaction> {
  const { deadlineMs } = context;
  return store.withTables(new Set(changes.map(({ name }) => name)), deadlineMs, async (tables) => {
    const { bound, keys } = bindAll(changes, tables);
    const body = (view: KeyView, lane: Parameters<typeof writeItem>[2]): Outcome => {
      if (token !== undefined && isRepeated(view, token)) return undefined;
      const reasons: CancellationReason[] = [];
      const written = bound.map(({ write }, number) => {
        try {
          const done = writeItem(view, write, lane, true, number);
          reasons.push(NO_REASON);
          return done;
        } catch (error) {
          // Anything else is none of the client's business, and ends the evaluation.
          if (!(error instanceof DynamoError)) throw error;
          reasons.push(reasonOf(error));
          return undefined;
        }
      });
      if (reasons.some((reason) => reason !== NO_REASON)) throw canceled(reasons);
      return written as readonly WrittenItem[];
    };
    const allKeys = token === undefined ? keys : [...keys, token.key];
    for (;;) {
      try {
        return { bound, outcome: await store.write(allKeys, [...tables.values()], deadlineMs, body) };
      } catch (error) {
        if (hasCode(error, 'CONFLICT')) {
          const reason = { Code: 'TransactionConflict', Message: 'Transaction is ongoing for the item' };
          throw canceled(changes.map(() => reason));
        }
        // The token's row tells the next attempt what became of this one.
        const isWorth = token !== undefined && isOutcomeUnknown(error);
        if (!isWorth || store.services.clock.monotonicMs() >= deadlineMs) throw error;
      }
    }
  });
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
    else table.addWrite(outcome[at]!.costs);
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
