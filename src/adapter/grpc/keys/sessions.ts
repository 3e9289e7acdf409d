/**
 * Transactions of several calls, held on the node that began them. One that nobody uses is given up; one that has ended is
 * remembered for a while, so that a call whose answer was lost finds the same answer. Calls on one transaction run one after
 * the other.
 */

import type { KvTransaction } from '../../../kv/index.ts';
import {
  type Cancel,
  dispositionOf,
  type HlcTimestamp,
  type Millis,
  type NodeId,
  type Scheduler,
} from '../../../platform/index.ts';
import { RequestError } from '../calls.ts';

/** Bounds of the transactions of a node. */
export interface SessionLimits {
  readonly maxOpen: number;
  /** Ended ones that are remembered; the oldest are forgotten first. */
  readonly maxEnded: number;
  readonly idleTimeoutMs: Millis;
  /** How long an outcome is remembered. */
  readonly rememberMs: Millis;
}

export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  maxOpen: 10_000,
  maxEnded: 20_000,
  idleTimeoutMs: 30_000,
  rememberMs: 60_000,
};

const NODE_BYTES = 2;
/** Calls that wait behind one another on one transaction. */
const MAX_WAITING = 64;

type State = 'open' | 'committed' | 'rolledBack' | 'expired';

interface Session {
  readonly name: string;
  readonly transaction: KvTransaction;
  state: State;
  commitTs: HlcTimestamp | undefined;
  /** A commit was tried, and nobody knows what became of it. */
  isInDoubt: boolean;
  /** Settles when all calls so far are done. */
  last: Promise<unknown>;
  waiting: number;
  cancelTimer: Cancel;
}

export class TransactionSessions {
  readonly limits: SessionLimits;
  private readonly nodeId: NodeId;
  private readonly scheduler: Scheduler;
  private readonly sessions = new Map<string, Session>();
  private openCount = 0;

  constructor(nodeId: NodeId, scheduler: Scheduler, limits: Partial<SessionLimits> = {}) {
    this.nodeId = nodeId;
    this.scheduler = scheduler;
    this.limits = { ...DEFAULT_SESSION_LIMITS, ...limits };
  }

  /** Transactions that are under way. */
  get open(): number {
    return this.openCount;
  }

  /** @throws RequestError TRANSACTION_LIMIT */
  assertRoom(): void {
    if (this.openCount < this.limits.maxOpen) return;
    throw new RequestError('TRANSACTION_LIMIT', 'wait', `${this.limits.maxOpen} transactions are open on this node`);
  }

  /** Holds a transaction. @returns what its caller names it by: the node, then the transaction's own id */
  add(transaction: KvTransaction): Buffer {
    const handle = Buffer.alloc(NODE_BYTES + transaction.id.length);
    handle.writeUInt16BE(this.nodeId);
    transaction.id.copy(handle, NODE_BYTES);
    const session: Session = {
      name: handle.toString('latin1'),
      transaction,
      state: 'open',
      commitTs: undefined,
      isInDoubt: false,
      last: Promise.resolve(),
      waiting: 0,
      cancelTimer: () => undefined,
    };
    this.sessions.set(session.name, session);
    this.openCount++;
    this.rest(session);
    return handle;
  }

  /** Runs a call on a transaction that is under way. @throws RequestError TXN_NOT_FOUND, TRANSACTION_OVER, BUSY */
  use<T>(handle: Buffer, call: (transaction: KvTransaction) => Promise<T>): Promise<T> {
    return this.inOrder(handle, (session) => {
      if (session.state !== 'open') throw over(session.state);
      return call(session.transaction);
    });
  }

  /** Commits, or says what became of the commit before. @throws as `use`; what the commit throws */
  commit(handle: Buffer, deadlineMs: Millis): Promise<HlcTimestamp> {
    return this.inOrder(handle, async (session) => {
      if (session.state === 'committed') return session.commitTs!;
      if (session.state !== 'open') throw over(session.state);
      try {
        const commitTs = await session.transaction.commit(deadlineMs);
        session.commitTs = commitTs;
        this.end(session, 'committed');
        return commitTs;
      } catch (error) {
        // As long as nobody knows the outcome it can be asked for again.
        session.isInDoubt = isUnknown(error);
        if (!session.isInDoubt) this.end(session, 'rolledBack');
        throw error;
      }
    });
  }

  /** Gives a transaction up; harmless when it is over already. @throws RequestError TXN_NOT_FOUND, TRANSACTION_OVER */
  rollback(handle: Buffer): Promise<void> {
    return this.inOrder(handle, async (session) => {
      if (session.state === 'committed') throw over(session.state);
      if (session.state !== 'open') return;
      this.end(session, 'rolledBack');
      await session.transaction.rollback();
    });
  }

  /** Gives all of them up; they lose nothing that was promised. */
  async close(): Promise<void> {
    const open = [...this.sessions.values()].filter(({ state }) => state === 'open');
    for (const session of this.sessions.values()) session.cancelTimer();
    this.sessions.clear();
    this.openCount = 0;
    await Promise.allSettled(open.map(({ transaction }) => transaction.rollback()));
  }

  private find(handle: Buffer): Session {
    const session = this.sessions.get(handle.toString('latin1'));
    if (session !== undefined) return session;
    const node = handle.length > NODE_BYTES ? handle.readUInt16BE(0) : this.nodeId;
    const message =
      node === this.nodeId
        ? 'this node has no such transaction: it ended more than a minute ago, or the node was started again'
        : `the transaction was begun on node ${node}; all its calls go there`;
    throw new RequestError('TXN_NOT_FOUND', 'final', message);
  }

  private async inOrder<T>(handle: Buffer, call: (session: Session) => Promise<T>): Promise<T> {
    const session = this.find(handle);
    if (session.waiting >= MAX_WAITING) {
      throw new RequestError('BUSY', 'wait', `${MAX_WAITING} calls are waiting on the transaction`);
    }
    session.waiting++;
    session.cancelTimer();
    const mine = session.last.then(() => call(session));
    session.last = mine.catch(() => undefined);
    try {
      return await mine;
    } finally {
      session.waiting--;
      if (session.waiting === 0) this.rest(session);
    }
  }

  /** Nobody uses it now: after a while it is given up, or forgotten. */
  private rest(session: Session): void {
    session.cancelTimer();
    if (!this.sessions.has(session.name)) return;
    const isOpen = session.state === 'open';
    const afterMs = isOpen ? this.limits.idleTimeoutMs : this.limits.rememberMs;
    session.cancelTimer = this.scheduler.after(afterMs, () => {
      if (!isOpen) {
        this.sessions.delete(session.name);
        return;
      }
      // Who asks for a commit in doubt is told that nobody knows it any more, never that it did not happen.
      this.end(session, 'expired');
      if (session.isInDoubt) this.sessions.delete(session.name);
      session.transaction.rollback().catch(() => undefined);
      this.rest(session);
    });
  }

  private end(session: Session, state: Exclude<State, 'open'>): void {
    session.state = state;
    if (!this.sessions.has(session.name)) return;
    this.openCount--;
    // Those that ended last are the most likely to be asked for.
    this.sessions.delete(session.name);
    this.sessions.set(session.name, session);
    if (this.sessions.size - this.openCount <= this.limits.maxEnded) return;
    for (const old of this.sessions.values()) {
      if (old.state === 'open') continue;
      old.cancelTimer();
      this.sessions.delete(old.name);
      return;
    }
  }
}

const isUnknown = (error: unknown): boolean => (dispositionOf(error) ?? 'unknown') === 'unknown';

function over(state: Exclude<State, 'open'>): Error {
  if (state === 'committed') return new RequestError('TRANSACTION_OVER', 'final', 'the transaction is committed');
  const why = state === 'expired' ? 'was not used for too long and is rolled back' : 'is rolled back';
  return new RequestError('TRANSACTION_OVER', 'restart', `the transaction ${why}`);
}
