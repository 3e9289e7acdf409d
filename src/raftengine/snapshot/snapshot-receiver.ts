/**
 * Snapshots on their way in: one a group. The token reaches the core only when the copy is complete and proven, and the
 * answer to the last step says whether it was installed. Segments that came whole stay when a transfer breaks.
 */
import type { Clock, GroupId, Millis, NodeId, Scheduler } from '../../platform/index.ts';
import type { EngineLimits, SnapshotStage } from '../contract/index.ts';
import { MalformedFrameError, StreamBrokenError } from '../errors.ts';
import type { Replica } from '../replica/index.ts';
import { IncomingStream } from './incoming-stream.ts';
import { ANSWER_NO, ANSWER_YES, encodeWanted, type SnapshotToken, type TransferStep } from './snapshot-codec.ts';

/** Longest manifest that is believed: about half a million segments. */
const MAX_MANIFEST_BYTES = 128 << 20;

/** A transfer under way. */
interface Session {
  readonly id: number;
  readonly from: NodeId;
  readonly token: SnapshotToken;
  readonly replica: Replica;
  readonly stage: SnapshotStage;
  /** Segments that are still to come. */
  readonly missing: Set<number>;
  /** Those that bring something now. */
  readonly streams: Set<IncomingStream>;
  touchedMs: Millis;
  /** Set from `commit` on: settles when it is over. */
  committing: Promise<void> | undefined;
  /** From here on the stage is the replica's to install or to discard. */
  isOffered: boolean;
  /** Why it is over. */
  over: Error | undefined;
}

export interface SnapshotReceiverOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly limits: EngineLimits;
  readonly findReplica: (groupId: number) => Replica | undefined;
  readonly onFailed: (groupId: number, peer: NodeId, error: Error) => void;
}

/** See the top of the file. */
export class SnapshotReceiver {
  private readonly options: SnapshotReceiverOptions;
  private readonly sessions = new Map<GroupId, Session>();
  /** Groups of which a transfer begins at this moment. */
  private readonly beginning = new Map<GroupId, IncomingStream>();
  private lastSession = 0;

  constructor(options: SnapshotReceiverOptions) {
    this.options = options;
  }

  /** Takes one stream. @throws whatever the sender is to hear */
  async receive(
    from: NodeId,
    step: Exclude<TransferStep, { step: 'ask' }>,
    frames: AsyncIterable<Buffer>,
  ): Promise<Buffer> {
    if (step.step === 'begin') return this.begin(from, step.token, frames);
    if (step.step === 'segment') return this.segment(this.session(from, step), step.number, frames);
    return this.commit(this.session(from, step));
  }

  /** All replicas were closed. Every transfer is over, and so is every install: those that have begun are carried out. */
  async stop(): Promise<void> {
    const error = new StreamBrokenError('the engine stops');
    await Promise.all([...this.beginning.values()].map((stream) => ended(stream, error)));
    await Promise.all([...this.sessions.values()].map((session) => this.close(session, error)));
  }

  /** The replica was closed. Settles when nothing of it is received or installed. */
  async dropped(replica: Replica): Promise<void> {
    const error = closed(replica.groupId);
    const beginning = this.beginning.get(replica.groupId);
    if (beginning !== undefined) await ended(beginning, error);
    const session = this.sessions.get(replica.groupId);
    if (session?.replica === replica) await this.close(session, error);
  }

  private async begin(from: NodeId, token: SnapshotToken, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    const group = token.groupId;
    const replica = this.options.findReplica(group);
    if (replica === undefined) throw new StreamBrokenError(`no replica of group ${group} is here`);
    this.assertWanted(replica);
    if (replica.applied >= token.snapshot.index) return ANSWER_NO;
    if (this.beginning.has(group)) throw busy(group);
    const stream = new IncomingStream();
    this.beginning.set(group, stream);
    try {
      return await stream.run(() => this.beginSession(from, token, replica, stream.frames(frames)));
    } finally {
      this.beginning.delete(group);
    }
  }

  private async beginSession(
    from: NodeId,
    token: SnapshotToken,
    replica: Replica,
    frames: AsyncIterable<Buffer>,
  ): Promise<Buffer> {
    const group = token.groupId;
    await this.makeRoom(group, from);
    const stage = await replica.stateMachine.stageSnapshot(group, await gather(frames));
    try {
      this.assertWanted(replica);
    } catch (error) {
      await stage.discard();
      throw error;
    }
    this.lastSession = (this.lastSession + 1) >>> 0;
    const session: Session = {
      id: this.lastSession,
      from,
      token,
      replica,
      stage,
      missing: new Set(stage.missing),
      streams: new Set(),
      touchedMs: this.options.clock.monotonicMs(),
      committing: undefined,
      isOffered: false,
      over: undefined,
    };
    this.sessions.set(group, session);
    this.watch(session);
    return encodeWanted(session.id, stage.segments, stage.missing);
  }

  private assertWanted(replica: Replica): void {
    if (replica.isClosed) throw closed(replica.groupId);
  }

  /** A sender that begins again has given up what it began before; another one waits for a transfer that is alive. */
  private async makeRoom(group: GroupId, from: NodeId): Promise<void> {
    const session = this.sessions.get(group);
    if (session === undefined) return;
    const idleMs = this.options.clock.monotonicMs() - session.touchedMs;
    const isAlive = session.from !== from && idleMs < this.options.limits.snapshotIdleMs;
    if (session.committing !== undefined || isAlive) throw busy(group);
    await this.close(session, new StreamBrokenError('the transfer was begun again'));
  }

  /** Gives up a transfer whose sender is silent. */
  private watch(session: Session): void {
    const { clock, scheduler, limits } = this.options;
    scheduler.after(limits.snapshotIdleMs, () => {
      if (session.over !== undefined) return;
      const idleMs = clock.monotonicMs() - session.touchedMs;
      if (session.committing !== undefined || idleMs < limits.snapshotIdleMs) {
        this.watch(session);
        return;
      }
      const error = new StreamBrokenError(`node ${session.from} sent nothing for ${Math.round(idleMs)} ms`);
      this.failed(session, error).catch(() => {});
    });
  }

  private session(from: NodeId, step: { readonly group: GroupId; readonly session: number }): Session {
    const session = this.sessions.get(step.group);
    if (session?.id !== step.session || session.from !== from || session.committing !== undefined) {
      throw new StreamBrokenError(`no such transfer of a snapshot of group ${step.group} is under way`);
    }
    return session;
  }

  private async segment(session: Session, number: number, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    if (!session.missing.has(number)) throw new MalformedFrameError(`segment ${number} was not asked for`);
    const stream = new IncomingStream();
    session.streams.add(stream);
    return stream.run(async () => {
      try {
        await session.stage.receive(number, this.watched(session, stream.frames(frames)));
        session.missing.delete(number);
        return ANSWER_YES;
      } catch (error) {
        await this.failed(session, asError(error));
        throw error;
      } finally {
        session.streams.delete(stream);
      }
    });
  }

  private async *watched(session: Session, frames: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const frame of frames) {
      session.touchedMs = this.options.clock.monotonicMs();
      yield frame;
    }
    if (session.over !== undefined) throw session.over;
  }

  private commit(session: Session): Promise<Buffer> {
    if (session.missing.size > 0) throw new MalformedFrameError(`${session.missing.size} segments did not come`);
    const answer = this.proveAndOffer(session);
    session.committing = answer.then(
      () => {},
      () => {},
    );
    return answer;
  }

  private async proveAndOffer(session: Session): Promise<Buffer> {
    const { token, stage, replica } = session;
    try {
      const meta = await stage.finish();
      if (session.over !== undefined) throw session.over;
      if (meta.index !== token.snapshot.index || meta.term !== token.snapshot.term) {
        const { index, term } = token.snapshot;
        throw new MalformedFrameError(
          `the snapshot is of index ${meta.index} and term ${meta.term}, announced were ${index} and ${term}`,
        );
      }
    } catch (error) {
      await this.failed(session, asError(error));
      throw session.over ?? error;
    }
    session.isOffered = true;
    try {
      const installed = await replica.offerSnapshot(token, stage, this.options.clock.monotonicMs());
      return installed ? ANSWER_YES : ANSWER_NO;
    } catch (error) {
      this.options.onFailed(token.groupId, session.from, asError(error));
      throw error;
    } finally {
      session.over = new StreamBrokenError('the transfer is over');
      this.sessions.delete(token.groupId);
    }
  }

  private async failed(session: Session, error: Error): Promise<void> {
    if (session.over !== undefined) return;
    this.options.onFailed(session.token.groupId, session.from, error);
    await this.end(session, error);
  }

  private async end(session: Session, error: Error): Promise<void> {
    if (session.over !== undefined) return;
    session.over = error;
    this.sessions.delete(session.token.groupId);
    for (const stream of session.streams) stream.cancel(error);
    await session.stage.discard();
  }

  /** Settles when nothing of it is under way. A copy that is being proven is given up; one that is the replica's cannot be. */
  private async close(session: Session, error: Error): Promise<void> {
    // A folder that cannot be removed is removed before the next transfer.
    if (!session.isOffered) await this.end(session, error).catch(() => {});
    await session.committing;
    await Promise.all([...session.streams].map(({ over }) => over));
  }
}

const closed = (group: GroupId): StreamBrokenError => new StreamBrokenError(`the replica of group ${group} was closed`);

const busy = (group: GroupId): StreamBrokenError => new StreamBrokenError(`group ${group} receives a snapshot already`);

async function ended(stream: IncomingStream, error: Error): Promise<void> {
  stream.cancel(error);
  await stream.over;
}

async function gather(frames: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const frame of frames) {
    bytes += frame.length;
    if (bytes > MAX_MANIFEST_BYTES) throw new MalformedFrameError('the manifest of a snapshot is too long');
    pieces.push(frame);
  }
  return Buffer.concat(pieces);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
