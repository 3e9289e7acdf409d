/** Tables and items of a node put together: the operations on them, and what goes on in the background. */
import type { ConsistentReads, Transactions } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import type { AnyOperation } from '../operation/index.ts';
import {
  TableCatalog,
  TableDirectory,
  TableJobs,
  type TableServices,
  tableNameOf,
  tableOperations,
} from '../tables/index.ts';
import { batchOperations } from './batches.ts';
import { ItemStore } from './item-store.ts';
import { serveItems } from './leader-endpoint.ts';
import { queryAndScanOperations } from './query-scan.ts';
import { singleItemOperations } from './single-items.ts';
import { transactGetOperation } from './transact-get.ts';
import { transactWriteOperation } from './transact-write.ts';

export interface TablesAndItemsParts extends TableServices {
  readonly transactions: TableServices['transactions'] & Transactions;
  readonly reads: ConsistentReads;
  /** A UUID that is new. */
  readonly newTableId: () => string;
}

export interface TablesAndItems {
  /** Of tables, tags, expiry, items, batches, transactions, Query and Scan. */
  readonly operations: readonly AnyOperation[];
  readonly catalog: TableCatalog;
  readonly directory: TableDirectory;
  readonly jobs: TableJobs;
  readonly store: ItemStore;
  /** Whether a table is there now. @param nameOrArn as a request names it */
  lookUp(nameOrArn: string, deadlineMs: Millis): Promise<{ readonly name: string; readonly exists: boolean }>;
  /** Begins to answer other nodes, and the background work. */
  start(): void;
  /** Settles when nothing of it is under way. */
  stop(): Promise<void>;
}

/** One a node. */
export function createTablesAndItems(parts: TablesAndItemsParts): TablesAndItems {
  const catalog = new TableCatalog(parts);
  const directory = new TableDirectory(parts);
  const jobs = new TableJobs(parts, catalog);
  const store = new ItemStore({ ...parts, directory });
  return {
    ...{ catalog, directory, jobs, store },
    operations: [
      ...tableOperations({ catalog, directory, jobs, newTableId: parts.newTableId }),
      ...singleItemOperations(store),
      ...queryAndScanOperations(store),
      ...batchOperations(store),
      transactGetOperation(store),
      transactWriteOperation(store),
    ],
    async lookUp(nameOrArn, deadlineMs) {
      const name = tableNameOf(nameOrArn);
      return { name, exists: (await directory.renew(name, deadlineMs)) !== undefined };
    },
    start: () => {
      serveItems(parts.kv, store);
      jobs.start();
    },
    async stop() {
      directory.stop();
      await jobs.stop();
    },
  };
}
