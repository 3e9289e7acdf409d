/**
 * Linearizable reads on a replica (Raft thesis §6.4): it asks the leader how far it has to have come, and answers itself when
 * it has. The leader draws a timestamp, makes sure that it still leads, and waits for everything in flight: then nothing
 * will be committed at or below that timestamp by anything that the replica does not have at the leader's applied index.
 * That is what a closed timestamp is, so the answer is taken in as one, and every guard of those holds for these reads too.
 *
 * Service `readindex`:
 *   request := group u32, minTs u64          0: none
 *   reply   := term u64, ts u64, appliedIndex u64
 */
import {
  type Elapsed,
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import { BusyError, NotLeaderError } from '../../raftengine/index.ts';
import { CorruptEntryError, type KvService } from '../contract/index.ts';
import { forwarded } from '../forward/index.ts';
import type { GroupExecutor } from '../leader/index.ts';
import type { NodeClaims } from './claims.ts';
import type { GroupCloser } from './closer.ts';

/** Name of the forwarded service. */
export const READ_INDEX_SERVICE = 'readindex';

const REQUEST_BYTES = 12;
const REPLY_BYTES = 24;

const damaged = (): CorruptEntryError => new CorruptEntryError('a read index is damaged or of another version');

/** A timestamp that is above everything that was acknowledged before, drawn by whoever is known to lead after that. */
export const draw = (executor: GroupExecutor): Promise<HlcTimestamp> =>
  new Promise((resolve, reject) => {
    executor.draw(1, (error, ts) => (ts === undefined ? reject(error) : resolve(ts)));
  });

/** A group as its leader here closes it on demand. */
export interface IndexedGroup {
  readonly executor: GroupExecutor;
  readonly closer: Pick<GroupCloser, 'mayClose'>;
  /** As of applied state. */
  readonly term: () => number;
  readonly appliedIndex: () => number;
}

async function answerHere(group: IndexedGroup, minTs: HlcTimestamp): Promise<Buffer> {
  const { executor, closer } = group;
  if (minTs > 0n) executor.clock.observeForeign(minTs, executor.clock.maxLeadMs);
  const ts = await draw(executor);
  // A read of nothing at that timestamp: what was evaluated before is applied, and what comes is above.
  await executor.txns.read({ keys: [], readTs: ts });
  // An entry whose outcome nobody knows may still come.
  if (!closer.mayClose(ts)) throw new BusyError('a timestamp of this turn cannot be closed; ask the leader itself');
  const reply = Buffer.allocUnsafe(REPLY_BYTES);
  reply.writeBigUInt64BE(BigInt(group.term()), 0);
  reply.writeBigUInt64BE(ts, 8);
  reply.writeBigUInt64BE(BigInt(group.appliedIndex()), 16);
  return reply;
}

/** Starts to answer for this node's groups. @param groupOf undefined when there is no replica here */
export function serveReadIndex(
  kv: Pick<KvService, 'onForward'>,
  groupOf: (group: GroupId) => IndexedGroup | undefined,
): void {
  kv.onForward(READ_INDEX_SERVICE, (payload, answer) => {
    if (payload.length !== REQUEST_BYTES) throw damaged();
    const group = groupOf(groupId(payload.readUInt32BE(0)));
    if (group === undefined) {
      answer(new NotLeaderError(undefined), undefined);
      return;
    }
    answerHere(group, hlcTimestamp(payload.readBigUInt64BE(4))).then(
      (reply) => answer(undefined, reply),
      (error: Error) => answer(error, undefined),
    );
  });
}

export interface ReadIndexOptions {
  readonly kv: Pick<KvService, 'forward'>;
  readonly claims: Pick<NodeClaims, 'accept'>;
  readonly elapsed: Elapsed;
  readonly scheduler: Scheduler;
}

/** Those who wait for one question. */
interface Round {
  minTs: HlcTimestamp;
  deadlineMs: Millis;
  readonly asked: Promise<void>;
}

/** Asks leaders for the replicas of this node: one question a group at a time, for everybody who was there when it left. */
export class ReadIndexClient {
  private readonly options: ReadIndexOptions;
  /** Questions that have not left. */
  private readonly gathering = new Map<GroupId, Round>();
  /** Settles when the one that has left is answered. */
  private readonly underWay = new Map<GroupId, Promise<void>>();
  /** Questions since start. */
  rounds = 0;

  constructor(options: ReadIndexOptions) {
    this.options = options;
  }

  /**
   * Settles when the claims of the group cover everything that was acknowledged before the call, as soon as the replica has
   * applied what they name. @throws as `KvService.forward`
   */
  ask(group: GroupId, minTs: HlcTimestamp, deadlineMs: Millis): Promise<void> {
    const open = this.gathering.get(group);
    if (open !== undefined) {
      if (minTs > open.minTs) open.minTs = minTs;
      open.deadlineMs = Math.max(open.deadlineMs, deadlineMs);
      return open.asked;
    }
    // What left before somebody asked may be answered with less than he has seen acknowledged.
    const before = this.underWay.get(group);
    const round: Round = { minTs, deadlineMs, asked: this.begin(group, before) };
    this.gathering.set(group, round);
    return round.asked;
  }

  private async begin(group: GroupId, before: Promise<void> | undefined): Promise<void> {
    if (before !== undefined) await before.catch(() => undefined);
    else await new Promise<void>((resolve) => this.options.scheduler.endOfTurn(resolve));
    const { minTs, deadlineMs } = this.gathering.get(group)!;
    this.gathering.delete(group);
    const answered = this.send(group, minTs, deadlineMs);
    this.underWay.set(group, answered);
    try {
      await answered;
    } finally {
      if (this.underWay.get(group) === answered) this.underWay.delete(group);
    }
  }

  private async send(group: GroupId, minTs: HlcTimestamp, deadlineMs: Millis): Promise<void> {
    const { kv, claims, elapsed } = this.options;
    this.rounds++;
    const payload = Buffer.allocUnsafe(REQUEST_BYTES);
    payload.writeUInt32BE(group, 0);
    payload.writeBigUInt64BE(minTs, 4);
    const askedMs = elapsed.elapsedMs();
    const reply = await forwarded(kv, group, READ_INDEX_SERVICE, payload, deadlineMs);
    if (reply.length !== REPLY_BYTES) throw damaged();
    const notice = {
      group,
      term: Number(reply.readBigUInt64BE(0)),
      closedTs: hlcTimestamp(reply.readBigUInt64BE(8)),
      appliedIndex: Number(reply.readBigUInt64BE(16)),
      ageMs: 0,
    };
    // What was acknowledged before the question left lies at or below.
    claims.accept(notice, askedMs);
  }
}
