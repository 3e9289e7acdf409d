/**
 * Open transactions as their locks tell, and the end of one by an operator's hand. Looking changes nothing: a fate is read, never
 * decided. Ending one goes the way of everybody who meets a lock: the primary decides, and what holds locks carries it out.
 */

import type { LockFacts, TxnClient, TxnIdentity, TxnStatus } from '../../kv/index.ts';
import { type Clock, type GroupId, type Millis, physicalMs } from '../../platform/index.ts';
import {
  AdminError,
  MAX_SHOWN_LOCKS,
  type ResolveTxnResult,
  type TxnsReport,
  type TxnView,
} from '../contract/index.ts';

/** Locks that one group tells at a time. */
export const MAX_TOLD_LOCKS = 20_000;

/** A lock on its way between nodes. */
export type ToldLock = Pick<LockFacts, 'txnId' | 'primary' | 'key' | 'end' | 'kind' | 'startTs' | 'deadlineTs'>;

export interface TxnOperatorOptions {
  readonly client: TxnClient;
  readonly clock: Clock;
  readonly groupIds: (timeoutMs: Millis) => Promise<readonly GroupId[]>;
  readonly groupOf: (key: Buffer) => GroupId | undefined;
  readonly locksOf: (group: GroupId, timeoutMs: Millis) => Promise<readonly ToldLock[]>;
  /** The record at the primary; undefined without one. */
  readonly fateOf: (
    group: GroupId,
    txn: Pick<TxnIdentity, 'txnId' | 'primary'>,
    timeoutMs: Millis,
  ) => Promise<TxnStatus | undefined>;
}

interface Found {
  readonly group: GroupId;
  readonly lock: ToldLock;
}

/** See the top of the file. */
export class TxnOperator {
  private readonly options: TxnOperatorOptions;

  constructor(options: TxnOperatorOptions) {
    this.options = options;
  }

  /**
   * Open transactions, oldest first.
   * @param groups none: all of them
   * @param txnId undefined: all of them
   * @param primary where the record of `txnId` is, for one that holds no lock any more
   */
  async list(
    groups: readonly GroupId[],
    limit: number,
    txnId: Buffer | undefined,
    primary: Buffer | undefined,
    timeoutMs: Millis,
  ): Promise<TxnsReport> {
    const { found, problems } = await this.locks(groups, timeoutMs / 2);
    const wanted = txnId === undefined ? found : found.filter(({ lock }) => lock.txnId.equals(txnId));
    const byTxn = Map.groupBy(wanted, ({ lock }) => lock.txnId.toString('hex'));
    const oldest = [...byTxn.values()].sort((left, right) => Number(left[0]!.lock.startTs - right[0]!.lock.startTs));
    const transactions = await Promise.all(oldest.slice(0, limit).map((locks) => this.view(locks, timeoutMs / 4)));
    if (txnId !== undefined && transactions.length === 0) {
      if (primary !== undefined) transactions.push(await this.recordOnly(txnId, primary, timeoutMs / 4));
      else if (problems.length === 0) throw notFound(txnId);
    }
    return { transactions, hasMore: oldest.length > limit, problems };
  }

  private async locks(
    groups: readonly GroupId[],
    timeoutMs: Millis,
  ): Promise<{ readonly found: readonly Found[]; readonly problems: readonly string[] }> {
    const wanted = groups.length > 0 ? groups : await this.options.groupIds(timeoutMs);
    const found: Found[] = [];
    const problems: string[] = [];
    await Promise.all(
      wanted.map(async (group) => {
        try {
          for (const lock of await this.options.locksOf(group, timeoutMs)) found.push({ group, lock });
        } catch (error) {
          problems.push(`group ${group}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }),
    );
    return { found, problems: problems.sort() };
  }

  private async view(locks: readonly Found[], timeoutMs: Millis): Promise<TxnView> {
    const nowMs = this.options.clock.nowMs();
    const { txnId, primary, startTs } = locks[0]!.lock;
    const startMs = physicalMs(startTs);
    const deadlineMs = Math.max(...locks.map(({ lock }) => physicalMs(lock.deadlineTs)));
    return {
      txnId,
      primary,
      startMs,
      ageMs: Math.max(0, nowMs - startMs),
      deadlineMs,
      isExpired: deadlineMs < nowMs,
      lockCount: locks.length,
      locks: locks.slice(0, MAX_SHOWN_LOCKS).map(({ group, lock: { key, end, kind } }) => ({
        groupId: group,
        key,
        ...(end === undefined ? {} : { end }),
        kind,
      })),
      ...(await this.fate(txnId, primary, timeoutMs)),
    };
  }

  private async fate(
    txnId: Buffer,
    primary: Buffer,
    timeoutMs: Millis,
  ): Promise<{ readonly fate: string; readonly commitMs: Millis }> {
    const group = this.options.groupOf(primary);
    try {
      if (group === undefined) return { fate: 'unknown', commitMs: 0 };
      const fate = await this.options.fateOf(group, { txnId, primary }, timeoutMs);
      if (fate === undefined) return { fate: 'open', commitMs: 0 };
      return { fate: fate.kind, commitMs: fate.kind === 'committed' ? physicalMs(fate.commitTs) : 0 };
    } catch {
      return { fate: 'unknown', commitMs: 0 };
    }
  }

  /** A transaction of which only its record is left. */
  private async recordOnly(txnId: Buffer, primary: Buffer, timeoutMs: Millis): Promise<TxnView> {
    const { fate, commitMs } = await this.fate(txnId, primary, timeoutMs);
    // Without a lock and without a record there is nothing that could be open.
    const known = fate === 'open' ? 'unknown' : fate;
    const nothing = { startMs: 0, ageMs: 0, deadlineMs: 0, isExpired: false, lockCount: 0, locks: [] };
    return { txnId, primary, ...nothing, fate: known, commitMs };
  }

  /**
   * Ends a transaction.
   * @param isForced also one whose coordinator may live: it is rolled back, and its coordinator told so
   * @throws AdminError TXN_NOT_FOUND, TXN_OPEN
   */
  async resolve(txnId: Buffer, isForced: boolean, timeoutMs: Millis): Promise<ResolveTxnResult> {
    const { client, groupOf } = this.options;
    const { found, problems } = await this.locks([], timeoutMs / 3);
    const own = found.filter(({ lock }) => lock.txnId.equals(txnId));
    if (own.length === 0) {
      if (problems.length > 0) throw new AdminError('TXN_NOT_FOUND', `not all groups answered: ${problems.join('; ')}`);
      throw notFound(txnId);
    }
    const { primary, startTs } = own[0]!.lock;
    const home = groupOf(primary);
    if (home === undefined) throw new AdminError('NO_ROUTES', 'the directory of ranges is not known yet; try again');
    let status = await client.status(home, { txnId, primary, startTs });
    if (status.kind === 'pending') {
      if (!isForced) {
        const untilMs = physicalMs(status.deadlineTs) - this.options.clock.nowMs();
        throw new AdminError(
          'TXN_OPEN',
          `its coordinator may still live, and its locks run out in ${Math.max(0, Math.ceil(untilMs / 1000))} s; wait, or roll it back with --force`,
        );
      }
      const atHome = own.filter(({ lock }) => lock.primary.equals(lock.key));
      const isWrite = atHome.some(({ lock }) => lock.kind === 'put' || lock.kind === 'delete');
      status = await client.abort(home, {
        txnId,
        primary,
        startTs,
        isPrimary: true,
        participants: [...new Set(own.map(({ group }) => group))],
        writes: isWrite ? [primary] : [],
        reads: isWrite || atHome.length === 0 ? [] : [primary],
        ranges: [],
      });
    }
    if (status.kind === 'forgotten') {
      return { txnId, fate: 'open', endedLocks: 0, note: 'its record was forgotten; the locks are left alone' };
    }
    const fate = status;
    let endedLocks = 0;
    for (const [group, locks] of Map.groupBy(own, (each) => each.group)) {
      const verdicts = locks.map(({ lock }) => ({ txnId, key: lock.key, end: lock.end, status: fate }));
      endedLocks += await client.resolve(group, verdicts);
    }
    return { txnId, fate: fate.kind, endedLocks, note: '' };
  }
}

const notFound = (txnId: Buffer): AdminError =>
  new AdminError(
    'TXN_NOT_FOUND',
    `no lock of transaction ${txnId.toString('hex')} is held anywhere: it has ended; its record is found with --primary`,
  );
