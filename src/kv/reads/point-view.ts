/**
 * What a replica has applied, as commands see it that change nothing. It is right for a read that asked for a read point before and
 * whose replica has come there (`read-points.ts`): everything that was acknowledged before the question is in it. What a replica
 * cannot judge by itself stops the evaluation, and the leader is to answer.
 */
import { assert, type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { GroupStateMachine } from '../apply/index.ts';
import type { KeyView, LiveValue } from '../contract/index.ts';
import { isLocalKey } from '../entry/index.ts';

/** Rows that one evaluation may read; a leader has a way for those that read more. */
const MAX_ROWS = 1_024;

/** What a replica has applied. */
export interface PointState {
  readonly stateMachine: Pick<GroupStateMachine, 'applied' | 'spanTable' | 'locks' | 'maxTs'>;
  readonly store: Pick<GroupStore, 'latest' | 'appliedIndex'>;
}

/** Stops an evaluation. Not an error that anybody declares, so nobody keeps it. */
class NotReadHere extends Error {}

/** One instance serves many evaluations of one turn, one after the other. */
export class PointView implements KeyView {
  /** What TTLs are judged by: not before the question came, nor before anything that is seen was written. */
  readonly ts: HlcTimestamp;
  private readonly state: PointState;
  private rows = 0;
  /** Evaluations that did not stop. */
  answered = 0;
  /** The present evaluation met what only the leader can answer; also when it caught the error. */
  isStopped = false;

  /** @param ts drawn by the leader after the question came */
  constructor(ts: HlcTimestamp, state: PointState) {
    const { maxTs } = state.stateMachine;
    this.ts = ts > maxTs ? ts : maxTs;
    this.state = state;
  }

  /** Another evaluation begins. */
  begin(): void {
    this.rows = 0;
    this.isStopped = false;
    this.answered++;
  }

  /** @throws NotReadHere when the leader has to answer */
  get(key: Buffer): LiveValue | undefined {
    const { stateMachine, store } = this.state;
    const { locks } = stateMachine;
    const isOwned = !isLocalKey(key) && stateMachine.spanTable.check(key, 'read').kind === 'owned';
    // A transaction that has a lock may have been acknowledged where its primary is.
    const isLocked = locks.size > 0 && locks.againstRead(key) !== undefined;
    if (!isOwned || isLocked || ++this.rows > MAX_ROWS) this.stop();
    const latest = store.latest(key);
    if (latest === undefined || latest.isTombstone) return undefined;
    return latest.expireTs !== NEVER && latest.expireTs <= this.ts ? undefined : latest;
  }

  private stop(): never {
    if (!this.isStopped) this.answered--;
    this.isStopped = true;
    throw new NotReadHere('the leader is to answer');
  }

  put(): void {
    assert(false, 'what reads at a replica writes nothing');
  }

  delete(): void {
    this.put();
  }

  deleteRange(): void {
    this.put();
  }
}
