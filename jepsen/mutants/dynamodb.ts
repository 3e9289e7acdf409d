/** Mutants of the DynamoDB adapter. */
import type { Mutant } from './types.ts';

const DIRECTORY = 'src/adapter/dynamodb/tables/directory.ts';
const TABLE_JOBS = 'src/adapter/dynamodb/tables/jobs.ts';
const TRANSACT_WRITE = 'src/adapter/dynamodb/items/transact-write.ts';

/** Between the look at a page of a fill and its transaction. */
const PAGE_KEYS = 'const keys = page.rows.map(({ key }) => key);';
/** Between the reads of a transaction and its locks. */
const COMMIT_PLAN = 'const plan = await this.plan(intents, work, request.txnId);';

/** Indexes that are made while many write to what they are filled with. */
const INDEX_RUN = {
  workload: 'dynamo-index',
  nemeses: [],
  seconds: 20,
  rate: 300,
  concurrency: 20,
  groups: 3,
} as const;

export const DYNAMODB_MUTANTS: readonly Mutant[] = [
  {
    name: 'ignored-fences',
    description: 'a write of an item does not look whether its table is still the one that the node knows',
    mutations: [
      {
        file: 'src/adapter/dynamodb/items/write-item.ts',
        find: '  checkFence(view, table, place);\n  const key = rowKeyOf(table, place);',
        replace: '  const key = rowKeyOf(table, place);',
      },
      // Nodes would hear of the change: by asking, from what their clients want to read, and from each other.
      {
        file: DIRECTORY,
        find: 'await this.renewAll(askedMs + POLL_TIMEOUT_MS);',
        replace: '',
      },
      {
        file: DIRECTORY,
        find: 'else if (version === this.version) this.keep(table);',
        replace: 'else if (version === this.version && !this.known.has(name)) this.keep(table);',
      },
      {
        file: 'src/adapter/dynamodb/items/leader-endpoint.ts',
        find: 'const table = await tableOf(store, head.table);',
        replace:
          "const known = head.kind === 'page' ? undefined : store.services.directory.knownNow(head.table.name); " +
          'const table = known ?? (await tableOf(store, head.table));',
      },
    ],
    ...INDEX_RUN,
  },
  {
    name: 'unread-fill',
    description: 'a new index is filled with items as they were found, and nobody looks what they are by then',
    // Others write to items between the look at a page and its transaction.
    delays: [
      {
        file: TABLE_JOBS,
        find: PAGE_KEYS,
        replace: `${PAGE_KEYS} await new Promise((resolve) => setTimeout(resolve, 200));`,
      },
    ],
    mutations: [
      {
        file: TABLE_JOBS,
        find: 'const options = { limit, maxBytes: FILL_BYTES, reverse: false, keysOnly: true };',
        replace: 'const options = { limit, maxBytes: FILL_BYTES, reverse: false, keysOnly: false };',
      },
      {
        file: TABLE_JOBS,
        find: 'if (!(await this.fillPage(id, task, keys, page.end, make))) return true;',
        replace:
          "const asFound = new Map(page.rows.map((row) => [row.key.toString('hex'), row])); " +
          'if (!(await this.fillPage(id, task, keys, page.end, make, asFound))) return true;',
      },
      {
        file: TABLE_JOBS,
        find: '    make: RowMaker,\n  ): Promise<boolean> {\n    const rows = keys',
        replace:
          '    make: RowMaker,\n    asFound: Map<string, { value: Buffer }>,\n  ): Promise<boolean> {\n    const rows = keys',
      },
      {
        file: TABLE_JOBS,
        find: 'keys: [descriptorKey(id), jobKey(id), ...rows]',
        replace: 'keys: [descriptorKey(id), jobKey(id)]',
      },
      {
        file: TABLE_JOBS,
        find: 'const row = view.get(key);\n        if (row === undefined) continue;',
        replace: "const row = asFound.get(key.toString('hex'));\n        if (row === undefined) continue;",
      },
    ],
    ...INDEX_RUN,
  },
  {
    name: 'impatient-fill',
    description: 'what others write to while a new index is filled is left out of it',
    // Others write to items between a page's reads and its locks. Transactions of few keys are not held up: clients go on, and a fill comes to its end.
    delays: [
      {
        file: 'src/kv/txn/transaction-runner.ts',
        find: COMMIT_PLAN,
        replace: `if (request.keys.length > 8) await new Promise((resolve) => setTimeout(resolve, 100)); ${COMMIT_PLAN}`,
      },
    ],
    mutations: [
      {
        file: TABLE_JOBS,
        find: "if (limit === 1 || !hasCode(error, 'CONFLICT')) throw error;\n        limit = Math.max(1, limit >> 2);",
        replace: "if (!hasCode(error, 'CONFLICT')) throw error;\n        from = page.end;",
      },
    ],
    ...INDEX_RUN,
  },
  {
    name: 'unmerged-records',
    description: 'a stream is read without the records of transactions that have not been moved among the others',
    mutations: [
      {
        file: 'src/adapter/dynamodb/streams/shard-reader.ts',
        find: 'for (const { key, value, commitTs } of transactions.rows) add(transactionPlace(prefix, key, commitTs), value);',
        replace: '',
      },
    ],
    workload: 'dynamo-stream',
    nemeses: [],
    seconds: 10,
    rate: 200,
    groups: 3,
  },
  {
    name: 'late-tokens',
    description: "the row of a transaction's token is written when the transaction is done, and not with it",
    mutations: [
      {
        file: 'src/adapter/dynamodb/items/transaction-body.ts',
        find: 'if (token !== undefined && isRepeated(view, token)) return undefined;',
        replace: 'if (token !== undefined && view.get(token.key) !== undefined) return undefined;',
      },
      {
        file: TRANSACT_WRITE,
        find: 'return { bound, outcome: await store.write(allKeys, [...tables.values()], deadlineMs, body, remote) };',
        replace:
          'const outcome = await store.write(allKeys, [...tables.values()], deadlineMs, body, remote); await new Promise((resolve) => setTimeout(resolve, 1500)); if (token !== undefined) await store.write([token.key], [], deadlineMs, (view) => { view.put(token.key, Buffer.concat([Buffer.of(1), token.digest]), 0n as never); }); return { bound, outcome };',
      },
    ],
    workload: 'dynamo-list-append',
    nemeses: [],
    seconds: 25,
    rate: 300,
    concurrency: 20,
    groups: 3,
  },
];
