/** The leader's end of what nodes ask about items: the same bodies, over rows that this node leads. */
import { type KvService, submit } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import type { ValueReader } from '../rows/index.ts';
import type { TableDescriptor } from '../tables/index.ts';
import { readChange, writeDone } from './change-message.ts';
import { StaleTableError } from './errors.ts';
import { bindChange, doneChange } from './item-changes.ts';
import type { ItemStore } from './item-store.ts';
import { ITEM_SERVICE, type MessageHead, type NamedTable, readHead } from './message-head.ts';
import { encodeDone, encodeRefused } from './outcome-message.ts';
import { readPageQuestion, writePagePart } from './page-message.ts';
import { leaderRows, readPart } from './page-part.ts';
import { bindAll, transactionBody } from './transaction-body.ts';
import { readTransaction, transactionDone } from './transaction-message.ts';
import { writeItem } from './write-item.ts';

/** How long a table is looked up that this node does not know. */
const LOOK_UP_MS: Millis = 2_000;

/** Starts to answer for the groups that this node leads; once, at start. */
export function serveItems(kv: KvService, store: ItemStore): void {
  kv.onForward(ITEM_SERVICE, (payload, answer) => {
    answered(store, payload).then(
      (bytes) => answer(undefined, bytes),
      (error: Error) => answer(error, undefined),
    );
  });
}

async function answered(store: ItemStore, payload: Buffer): Promise<Buffer> {
  const { head, reader } = readHead(payload);
  try {
    const table = await tableOf(store, head.table);
    switch (head.kind) {
      case 'change':
        return await changed(store, head, table, reader);
      case 'page':
        return await paged(store, head, table, reader);
      case 'transaction':
        return await transacted(store, head, table, reader);
    }
  } catch (error) {
    return encodeRefused(error);
  }
}

/** The table of a message. @throws StaleTableError when it is another than the asking node knows */
async function tableOf(store: ItemStore, { name, id, version }: NamedTable): Promise<TableDescriptor> {
  const { directory, clock } = store.services;
  const isIt = (table: TableDescriptor | undefined): table is TableDescriptor =>
    table?.id === id && table.version === version;
  const deadlineMs = clock.monotonicMs() + LOOK_UP_MS;
  const known = await directory.find(name, deadlineMs);
  if (isIt(known)) return known;
  const now = await directory.renew(name, deadlineMs);
  if (isIt(now)) return now;
  throw new StaleTableError();
}

async function changed(
  store: ItemStore,
  { group }: MessageHead,
  table: TableDescriptor,
  reader: ValueReader,
): Promise<Buffer> {
  const { change, invocation, part } = readChange(reader);
  const bound = bindChange(table, change, part, invocation);
  const done = await submit(store.services.kv, group, (view) =>
    doneChange(bound, writeItem(view, bound.write, { kind: 'time', ts: view.ts }), part),
  );
  return encodeDone((writer) => writeDone(writer, done));
}

async function transacted(
  store: ItemStore,
  head: MessageHead,
  first: TableDescriptor,
  reader: ValueReader,
): Promise<Buffer> {
  const { token, others, changes } = readTransaction(reader, head.table);
  const tables = new Map([[first.name, first]]);
  for (const other of others) tables.set(other.name, await tableOf(store, other));
  const body = transactionBody(bindAll(changes, tables).bound, token);
  const outcome = await submit(store.services.kv, head.group, (view) => body(view, { kind: 'time', ts: view.ts }));
  return encodeDone(transactionDone(outcome));
}

async function paged(
  store: ItemStore,
  { group }: MessageHead,
  table: TableDescriptor,
  reader: ValueReader,
): Promise<Buffer> {
  const question = readPageQuestion(reader, table);
  const part = await readPart(leaderRows(store.services.kv, group), question);
  return encodeDone((writer) => writePagePart(writer, part));
}
