/**
 * A transaction on its way to the leader of the group that has all of its rows, and what it has done.
 *
 *   transaction := (flag, [key, digest]), count of tables beside the first, table*, count of changes, (table varint, change)*
 *   done        := flag, [count, costs*]
 *
 * A change names its table by its place, 0 is that of the message's head.
 */
import type { ByteWriter, GroupId } from '../../../platform/index.ts';
import { readOptional, writeOptional } from '../messages/index.ts';
import { type ValueReader, writeVarint } from '../rows/index.ts';
import type { TableDescriptor } from '../tables/index.ts';
import { readAskedChange, readCosts, writeAskedChange, writeCosts } from './change-message.ts';
import type { ItemChange } from './item-changes.ts';
import { messageOf, type NamedTable, readTable, writeTable } from './message-head.ts';
import type { RequestToken } from './request-token.ts';
import type { WriteCosts } from './write-item.ts';

/** One change of one table. */
export interface NamedChange {
  readonly name: string;
  readonly change: ItemChange;
}

/** What a transaction has done, change by change; undefined for one that was done before under the same token. */
export type Outcome = readonly WriteCosts[] | undefined;

/** @param tables that the changes name, by their names; one at least */
export function encodeTransaction(
  group: GroupId,
  tables: ReadonlyMap<string, TableDescriptor>,
  changes: readonly NamedChange[],
  token: RequestToken | undefined,
): Buffer {
  const [first, ...others] = tables.values();
  const names = [...tables.keys()];
  const writer = messageOf('transaction', group, first!);
  writeOptional(writer, token, (_, { key, digest }) => writer.bytes(key).bytes(digest));
  writeVarint(writer, others.length);
  for (const table of others) writeTable(writer, table);
  writeVarint(writer, changes.length);
  for (const { name, change } of changes) {
    writeVarint(writer, names.indexOf(name));
    writeAskedChange(writer, { change, invocation: undefined, part: undefined });
  }
  return writer.finishView();
}

/** A transaction as another node asks for it. */
export interface AskedTransaction {
  readonly token: RequestToken | undefined;
  /** Beside that of the message's head. */
  readonly others: readonly NamedTable[];
  readonly changes: readonly NamedChange[];
}

/** @param first table of the message's head @param reader behind it @throws CorruptRowError */
export function readTransaction(reader: ValueReader, first: NamedTable): AskedTransaction {
  const token = readOptional(reader, () => ({ key: reader.bytes(), digest: reader.bytes() }));
  const others = reader.many(() => readTable(reader));
  const tables = [first, ...others];
  const changes = reader.many(() => {
    const table = tables[reader.varint()];
    if (table === undefined) throw reader.corrupt('has a change of a table that it does not name');
    return { name: table.name, change: readAskedChange(reader).change };
  });
  reader.end();
  return { token, others, changes };
}

/** Encodes what was done. */
export const transactionDone =
  (outcome: Outcome) =>
  (writer: ByteWriter): void =>
    writeOptional(writer, outcome, (_, costs) => {
      writeVarint(writer, costs.length);
      for (const one of costs) writeCosts(writer, one);
    });

/** @throws CorruptRowError */
export const readTransactionDone = (reader: ValueReader): Outcome =>
  readOptional(reader, () => reader.many(() => readCosts(reader)));
