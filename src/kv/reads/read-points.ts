/**
 * Linearizable reads on a replica of the node that was asked (Raft thesis §6.4). The leader says how far the group is committed, once it
 * is certain that it leads, and what time it is there. A replica that has applied that much has everything that was acknowledged
 * before the question, and answers any number of reads from what it has applied. Nothing is waited for but the way to the leader
 * and back: what is on its way through the log is acknowledged to nobody yet. Part of the feature `reads.points`.
 *
 * Service `readpoint`:
 *   request := group u32
 *   reply   := index u64, ts u64
 *
 * `ts` is drawn from the clock of the group, so it rises over all answers of leaders: what has expired once stays so.
 */
import {
  type Clock,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import { NotLeaderError, type RaftGroup } from '../../raftengine/index.ts';
import { CorruptEntryError, type KvService } from '../contract/index.ts';
import type { GroupExecutor } from '../leader/index.ts';
import { type PointState, PointView } from './point-view.ts';

/** Name of the forwarded service. */
export const READ_POINT_SERVICE = 'readpoint';

const REQUEST_BYTES = 4;
const REPLY_BYTES = 16;
/** A replica hears what is committed with the next message of its leader: one that has not come so far by then is behind. */
const CATCH_UP_MS: Millis = 50;
/** A leader that is there answers in a round trip. Who waits longer is better off with the leader's own answer, which has a client's patience. */
const QUESTION_MS: Millis = 250;
/** After a question in vain the group's leader answers reads itself for so long. */
const REST_MS: Millis = 250;
/** Reads of one answer take no longer in one turn; the others have theirs in the next. */
const MAX_TURN_MS: Millis = 20;

const damaged = (): CorruptEntryError => new CorruptEntryError('a read point is damaged or of another version');

/** A replica on this node. */
export interface PointReplica {
  readonly raft: Pick<RaftGroup, 'status' | 'leader' | 'waitApplied'>;
  readonly executor: Pick<GroupExecutor, 'draw'>;
  readonly state: PointState;
}

/** @returns undefined when there is none here */
type PointReplicas = (group: GroupId) => PointReplica | undefined;

/** Starts to answer for the groups that are led here. */
export function serveReadPoints(kv: Pick<KvService, 'onForward'>, replicaOf: PointReplicas): void {
  kv.onForward(READ_POINT_SERVICE, (payload, answer) => {
    if (payload.length !== REQUEST_BYTES) throw damaged();
    const group = replicaOf(groupId(payload.readUInt32BE(0)));
    if (group === undefined) {
      answer(new NotLeaderError(undefined), undefined);
      return;
    }
    group.executor.draw(1, (error, ts) => {
      if (ts === undefined) {
        answer(error, undefined);
        return;
      }
      const reply = Buffer.allocUnsafe(REPLY_BYTES);
      // Only now: this node has led after the question came, so whatever was acknowledged before is committed here.
      reply.writeBigUInt64BE(BigInt(group.raft.status().commitIndex), 0);
      reply.writeBigUInt64BE(ts, 8);
      answer(undefined, reply);
    });
  });
}

/** Runs reads over a view, each after `begin`; undefined: this node cannot answer, the leader is to be asked. */
export type PointReader = (view: PointView | undefined) => void;

/** Reads of groups that are led elsewhere, from the replicas of this node. */
export interface PointReads {
  /** True when a read of the group can be tried here. */
  mayReadAtPoint(group: GroupId): boolean;
  /** Calls back soon, never before this returns, when the replica here has everything that was acknowledged before the call, or will not have it. */
  readAtPoint(group: GroupId, read: PointReader): void;
}

export interface ReadPointsOptions {
  readonly kv: Pick<KvService, 'forward'>;
  readonly replicaOf: PointReplicas;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** What a leader answers. */
interface ReadPoint {
  readonly index: LogIndex;
  readonly ts: HlcTimestamp;
}

/** Who asks for a point of one group. */
class GroupPoints {
  /** They came after the question that is under way had left, so its answer says nothing to them. */
  gathering: PointReader[] = [];
  isUnderWay = false;
  /** The leader answers reads until then. */
  restsUntilMs: Millis = 0;
}

/** Asks for points: one question a group at a time, for everybody who was there when it left. */
export class ReadPoints implements PointReads {
  /** Questions since start, and reads that were answered here. */
  rounds = 0;
  reads = 0;
  private readonly options: ReadPointsOptions;
  private readonly groups = new Map<GroupId, GroupPoints>();

  constructor(options: ReadPointsOptions) {
    this.options = options;
  }

  mayReadAtPoint(group: GroupId): boolean {
    const { replicaOf, clock } = this.options;
    const points = this.groups.get(group);
    if (points !== undefined && points.restsUntilMs > 0 && clock.monotonicMs() < points.restsUntilMs) return false;
    const here = replicaOf(group);
    if (here !== undefined) return here.raft.leader() !== undefined;
    this.groups.delete(group);
    return false;
  }

  readAtPoint(group: GroupId, read: PointReader): void {
    let points = this.groups.get(group);
    if (points === undefined) {
      points = new GroupPoints();
      this.groups.set(group, points);
    }
    points.gathering.push(read);
    if (points.gathering.length === 1 && !points.isUnderWay) this.leaveSoon(group, points);
  }

  /** Everybody who asks in this turn goes along. */
  private leaveSoon(group: GroupId, points: GroupPoints): void {
    points.isUnderWay = true;
    this.options.scheduler.endOfTurn(() => this.leave(group, points));
  }

  private leave(group: GroupId, points: GroupPoints): void {
    const { kv, clock } = this.options;
    const { gathering } = points;
    points.gathering = [];
    this.rounds++;
    const payload = Buffer.allocUnsafe(REQUEST_BYTES);
    payload.writeUInt32BE(group, 0);
    kv.forward(group, READ_POINT_SERVICE, payload, clock.monotonicMs() + QUESTION_MS, (_error, reply) => {
      points.isUnderWay = false;
      if (reply === undefined || reply.length !== REPLY_BYTES) {
        // Those who came later would hardly fare better.
        this.inVain(points, [...gathering, ...points.gathering.splice(0)]);
        return;
      }
      if (points.gathering.length > 0) this.leaveSoon(group, points);
      this.arrived(group, points, reply, gathering);
    });
  }

  private arrived(group: GroupId, points: GroupPoints, reply: Buffer, readers: readonly PointReader[]): void {
    const { replicaOf, scheduler } = this.options;
    const index: LogIndex = Number(reply.readBigUInt64BE(0));
    const ts = hlcTimestamp(reply.readBigUInt64BE(8));
    const serve = (): void => this.serve(group, points, { index, ts }, readers);
    const here = replicaOf(group);
    if (here === undefined || here.state.stateMachine.applied().index >= index) {
      serve();
      return;
    }
    const isLate = new AbortController();
    const cancel = scheduler.after(CATCH_UP_MS, () => isLate.abort());
    here.raft.waitApplied(index, isLate.signal).then(serve, serve).finally(cancel);
  }

  /**
   * Answers readers who all came before the question left. What is applied only grows, so a later turn is as good as this one; but
   * another replica may be here by then, or one whose state is just being replaced.
   */
  private serve(group: GroupId, points: GroupPoints, point: ReadPoint, readers: readonly PointReader[]): void {
    const { replicaOf, clock, scheduler } = this.options;
    const here = replicaOf(group);
    if (here === undefined || !hasCome(here.state, point.index)) {
      this.inVain(points, readers);
      return;
    }
    const view = new PointView(point.ts, here.state);
    const untilMs = clock.monotonicMs() + MAX_TURN_MS;
    let next = 0;
    do readers[next++]!(view);
    while (next < readers.length && clock.monotonicMs() < untilMs);
    this.reads += view.answered;
    if (next < readers.length) scheduler.nextTurn(() => this.serve(group, points, point, readers.slice(next)));
  }

  private inVain(points: GroupPoints, readers: readonly PointReader[]): void {
    points.restsUntilMs = this.options.clock.monotonicMs() + REST_MS;
    for (const read of readers) read(undefined);
  }
}

/** Whether a replica has applied so much, and its rows and its locks are of one state. */
function hasCome({ stateMachine, store }: PointState, index: LogIndex): boolean {
  const applied = stateMachine.applied().index;
  return applied >= index && store.appliedIndex === applied;
}
