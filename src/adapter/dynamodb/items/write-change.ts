/** One change by itself, where its rows are: the second attempt of a call that has been done is answered as the first one. */
import { hash } from 'node:crypto';
import { HistoryGoneError } from '../../../kv/index.ts';
import { hlcTimestamp } from '../../../platform/index.ts';
import type { RequestContext } from '../operation/index.ts';
import { INVOCATION_BYTES } from '../rows/index.ts';
import { itemOfRow, rowKeyOf, type TableDescriptor } from '../tables/index.ts';
import { itemSize, writeUnits } from '../values/index.ts';
import { encodeChange, readDone } from './change-message.ts';
import { AlreadyWrittenError } from './errors.ts';
import { bindChange, type ChangePart, type DoneChange, doneChange, type ItemChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { ITEM_SERVICE } from './message-head.ts';
import { decodeOutcome } from './outcome-message.ts';
import { type Invocation, type ItemWrite, keysOfWrite, type WrittenItem, writeItem } from './write-item.ts';

/** The call that a request is an attempt of; undefined when the client does not say. */
function invocationOf({ invocation }: RequestContext): Invocation | undefined {
  if (invocation === undefined) return undefined;
  const digest = hash('sha256', invocation.id, 'buffer');
  return { hash: digest.subarray(0, INVOCATION_BYTES), isRepeated: invocation.attempt > 1 };
}

/** What an earlier attempt was answered, or would have been: the same change of the item as it was then. */
async function writtenBefore(
  store: ItemStore,
  write: ItemWrite,
  { commitTs }: AlreadyWrittenError,
  { deadlineMs }: RequestContext,
  part: ChangePart | undefined,
): Promise<WrittenItem> {
  const key = rowKeyOf(write.table, write.place);
  let row: Buffer | undefined;
  try {
    row = await store.getAt(key, hlcTimestamp(commitTs - 1n), deadlineMs);
  } catch (error) {
    // The past is short. Whoever asked for nothing of the item need not know what it was.
    if (!(error instanceof HistoryGoneError) || part !== undefined) throw error;
    return { before: undefined, after: undefined, costs: costsOf(0) };
  }
  const before = row === undefined ? undefined : itemOfRow(write.table, key, row).item;
  const after = write.change(before);
  const bytes = [before, after].map((item) => (item === undefined ? 0 : itemSize(item)));
  return { before, after, costs: costsOf(Math.max(...bytes)) };
}

/** Nothing was written to indexes now. */
const costsOf = (bytes: number): WrittenItem['costs'] => ({
  table: writeUnits(bytes, false),
  globalIndexes: new Map<string, number>(),
  localIndexes: new Map<string, number>(),
});

/**
 * Does one change by itself.
 * @param part what of the item is to be told
 * @throws DynamoError; StaleTableError when the table is another by now
 */
export async function writeChange(
  store: ItemStore,
  context: RequestContext,
  table: TableDescriptor,
  change: ItemChange,
  part: ChangePart | undefined,
): Promise<DoneChange> {
  const bound = bindChange(table, change, part, invocationOf(context));
  const { write } = bound;
  const { invocation } = write;
  try {
    return await store.write(
      keysOfWrite(write),
      [table],
      context.deadlineMs,
      (view, lane) => doneChange(bound, writeItem(view, write, lane), part),
      {
        service: ITEM_SERVICE,
        encode: (group) => encodeChange(group, table, { change, invocation, part }),
        decode: (bytes) => decodeOutcome(bytes, readDone),
      },
    );
  } catch (error) {
    if (!(error instanceof AlreadyWrittenError)) throw error;
    return doneChange(bound, await writtenBefore(store, write, error, context, part), part);
  }
}
