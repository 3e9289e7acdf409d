/** The body of a transaction: its changes over one view, all of them or none. Where its rows are led in one group, or as a transaction of a node. */
import type { KeyView } from '../../../kv/index.ts';
import { DynamoError, validationError } from '../errors/index.ts';
import { rowKeyOf, type TableDescriptor } from '../tables/index.ts';
import { type BoundChange, bindChange } from './item-changes.ts';
import type { WriteBody } from './item-store.ts';
import { isEmptyKey } from './key-errors.ts';
import { isRepeated, type RequestToken } from './request-token.ts';
import type { NamedChange, Outcome } from './transaction-message.ts';
import { keysOfWrite, type StreamLane, writeItem } from './write-item.ts';

/** Why one action of a transaction was not done. */
export interface CancellationReason {
  readonly Code: string;
  readonly Message?: string;
  readonly Item?: unknown;
}

const NO_REASON: CancellationReason = { Code: 'None' };

/** A transaction in which some actions may not be done. */
export const canceled = (reasons: readonly CancellationReason[]): DynamoError =>
  new DynamoError(
    'TransactionCanceledException',
    `Transaction cancelled, please refer cancellation reasons for specific reasons [${reasons.map(({ Code }) => Code).join(', ')}]`,
    { CancellationReasons: reasons },
  );

/** A transaction that others were in the way of. @param actions how many it has */
export function canceledByOthers(actions: number): DynamoError {
  const reason = { Code: 'TransactionConflict', Message: 'Transaction is ongoing for the item' };
  return canceled(Array.from({ length: actions }, () => reason));
}

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

/** Changes with their tables, and the rows that they read. */
export interface BoundTransaction {
  readonly bound: readonly BoundChange[];
  readonly keys: readonly Buffer[];
}

/** The actions with their tables. @throws DynamoError when one does not fit its table, or two are for one item */
export function bindAll(
  changes: readonly NamedChange[],
  tables: ReadonlyMap<string, TableDescriptor>,
): BoundTransaction {
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

/** What a transaction does. All conditions are looked at over one state, so the reasons of a refusal are of one moment. */
export const transactionBody =
  (bound: readonly BoundChange[], token: RequestToken | undefined): WriteBody<Outcome> =>
  (view: KeyView, lane: StreamLane) => {
    if (token !== undefined && isRepeated(view, token)) return undefined;
    const reasons: CancellationReason[] = [];
    const costs = bound.flatMap(({ write }, number) => {
      try {
        const done = writeItem(view, write, lane, true, number);
        reasons.push(NO_REASON);
        return done.costs;
      } catch (error) {
        // Anything else is none of the client's business, and ends the evaluation.
        if (!(error instanceof DynamoError)) throw error;
        reasons.push(reasonOf(error));
        return [];
      }
    });
    if (reasons.some((reason) => reason !== NO_REASON)) throw canceled(reasons);
    return costs;
  };
