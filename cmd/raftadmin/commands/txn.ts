/** `txn`: open transactions, and the end of one. */
import { type Command, InvalidArgumentError } from 'commander';
import type { TxnLock, TxnView } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { formatEnd, formatKey } from '../keys.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { collectGroupIds, formatDuration, formatTime, parseKeyArgument, wholeNumber } from '../values.ts';

const COLUMNS: readonly Column<TxnView>[] = [
  { name: 'transaction', value: (txn) => txn.txnId.toString('hex') },
  { name: 'fate', value: (txn) => txn.fate },
  { name: 'age', align: 'right', value: (txn) => (txn.startMs === 0 ? '-' : formatDuration(txn.ageMs)) },
  { name: 'began', value: (txn) => formatTime(txn.startMs) },
  { name: 'locks until', value: (txn) => `${formatTime(txn.deadlineMs)}${txn.isExpired ? ' (over)' : ''}` },
  { name: 'locks', align: 'right', value: (txn) => String(txn.lockCount) },
  { name: 'primary', value: (txn) => formatKey(txn.primary) },
];

const LOCK_COLUMNS: readonly Column<TxnLock>[] = [
  { name: 'group', align: 'right', value: (lock) => String(lock.groupId) },
  { name: 'lock', value: (lock) => lock.kind },
  { name: 'key', value: (lock) => formatKey(lock.key) },
  { name: 'end', value: (lock) => (lock.kind === 'range' ? formatEnd(lock.end) : '-') },
];

function parseTxnId(text: string): Buffer {
  if (/^[0-9a-fA-F]{32}$/.test(text)) return Buffer.from(text, 'hex');
  throw new InvalidArgumentError('It must be the 32 hexadecimal digits that `txn list` shows.');
}

const ID = ['<transaction>', '32 hexadecimal digits', parseTxnId] as const;

/** Ids are hexadecimal for programs too, keys as they are typed. */
const shown = (txn: TxnView): unknown => ({ ...txn, txnId: txn.txnId.toString('hex') });

/** Adds the commands. */
export function addTxnCommands(program: Command, declare: Declare): void {
  const txn = examples(
    program
      .command('txn')
      .summary('open transactions and their locks')
      .description(
        'Transactions over several groups hold locks while they commit. Whoever meets one that ran out ends it.',
      ),
    ['txn list', 'the oldest first'],
    ['txn status 00112233445566778899aabbccddeeff', 'what one of them holds'],
    ['txn resolve 00112233445566778899aabbccddeeff --yes', 'ends one'],
  );
  addList(txn, declare);
  addStatus(txn, declare);
  addResolve(txn, declare);
}

function addList(txn: Command, declare: Declare): void {
  const list = txn
    .command('list')
    .summary('open transactions')
    .description('Those that hold locks, oldest first; age is counted from their beginning.')
    .argument('[group...]', 'only locks in these groups', collectGroupIds)
    .option('-n, --limit <count>', 'so many at most', wholeNumber(1, 10_000), 100);
  declare(
    examples(list, ['txn list', 'of all groups'], ['txn list 2 3 -n 10', 'the ten oldest with locks in group 2 or 3']),
    async (session: Session, groups: number[] | undefined, flags: { limit: number }) => {
      const report = await session.cluster.call('Transactions', { groups: groups ?? [], limit: flags.limit });
      const { transactions, hasMore, problems } = report;
      session.rows({ ...report, transactions: transactions.map(shown) }, COLUMNS, transactions);
      if (hasMore) session.note(`there are more; --limit shows them`);
      for (const problem of problems) session.note(problem);
      if (problems.length > 0)
        throw new CommandFailure(`the locks of ${counted(problems.length, 'group')} are not known`);
    },
  );
}

function addStatus(txn: Command, declare: Declare): void {
  const status = txn
    .command('status')
    .summary('one transaction with its locks')
    .description(
      'Looks and decides nothing. One that holds no lock any more has a record at its primary key for an hour.',
    )
    .argument(...ID)
    .option('--primary <key>', 'where its record is', parseKeyArgument);
  declare(
    examples(
      status,
      ['txn status 00112233445566778899aabbccddeeff', 'an open one'],
      ['txn status 00112233445566778899aabbccddeeff --primary hex:7200000961', 'one that has ended'],
    ),
    async (session: Session, txnId: Buffer, flags: { primary?: Buffer }) => {
      const request = { groups: [], limit: 1, txnId, ...flags };
      const { transactions, problems } = await session.cluster.call('Transactions', request);
      const [found] = transactions;
      if (found === undefined) throw new CommandFailure(`not all groups answered: ${problems.join('; ')}`);
      if (session.format === 'json') session.rows(shown(found), COLUMNS, [found]);
      else {
        session.rows(found, COLUMNS, [found]);
        if (found.locks.length > 0) {
          session.terminal.write('\n');
          session.rows(found, LOCK_COLUMNS, found.locks);
        }
      }
      for (const problem of problems) session.note(problem);
    },
  );
}

function addResolve(txn: Command, declare: Declare): void {
  const resolve = txn
    .command('resolve')
    .summary('end a transaction by its fate')
    .description(
      'Asks its primary what became of it and ends its locks accordingly. One whose coordinator may still live is left alone ' +
        'unless --force rolls it back; its coordinator then hears that nothing happened.',
    )
    .argument(...ID)
    .option('--force', 'roll back one that may still be going on');
  declare(
    examples(
      resolve,
      ['txn resolve 00112233445566778899aabbccddeeff --yes', 'by its fate'],
      ['txn resolve 00112233445566778899aabbccddeeff --force', 'asks, and rolls it back'],
    ),
    async (session: Session, txnId: Buffer, flags: { force?: boolean }) => {
      const id = txnId.toString('hex');
      const what = flags.force
        ? 'is rolled back if it has not committed'
        : 'is ended by its fate if its locks have run out';
      await session.confirm(`Transaction ${id} ${what}, for good.`);
      const result = await session.cluster.call('ResolveTransaction', { txnId, isForced: flags.force === true });
      const locks = `${counted(result.endedLocks, 'lock')} ended`;
      session.outcome(
        { ...result, txnId: id },
        `transaction ${id} is ${result.fate === 'rolledBack' ? 'rolled back' : result.fate}; ${locks}`,
      );
      session.note(result.note);
    },
  );
}
