/**
 * Snapshots on their way in: one a group. The token reaches the core only when the copy is complete and proven, and the
 * answer to the last step says whether it was installed. Segments that came whole stay when a transfer breaks.
 */
import type { Clock, GroupId, Millis, NodeId, Scheduler } from '../platform/index.ts';
import { MalformedFrameError, StreamBrokenError } from './errors.ts';
import type { EngineLimits } from './limits.ts';
import type { Replica } from './replica.ts';
import { ANSWER_NO, ANSWER_YES, encodeWanted, type SnapshotToken, type TransferStep } from './snapshot-codec.ts';
import type { SnapshotStage } from './types.ts';

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
  /** Streams that bring something now. */
  streams: number;
  touchedMs: Millis;
  isCommitting: boolean;
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
  private readonly beginning = new Set<GroupId>();
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

  /** Every transfer is over. */
  async stop(): Promise<void> {
    const error = new StreamBrokenError('the engine stops');
    await Promise.allSettled([...this.sessions.values()].map((session) => this.end(session, error)));
  }

  private async begin(from: NodeId, token: SnapshotToken, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    const group = token.groupId;
    const replica = this.options.findReplica(group);
    if (replica === undefined) throw new StreamBrokenError(`no replica of group ${group} is here`);
    if (replica.applied >= token.snapshot.index) return ANSWER_NO;
    if (this.beginning.has(group)) throw busy(group);
    this.beginning.add(group);
    try {
      await this.makeRoom(group, from);
      const stage = await replica.stateMachine.stageSnapshot(group, await gather(frames));
      this.lastSession = (this.lastSession + 1) >>> 0;
      const session: Session = {
        id: this.lastSession,
        from,
        token,
        replica,
        stage,
        missing: new Set(stage.missing),
        streams: 0,
        touchedMs: this.options.clock.monotonicMs(),
        isCommitting: false,
        over: undefined,
      };
      this.sessions.set(group, session);
      this.watch(session);
      return encodeWanted(session.id, stage.segments, stage.missing);
    } finally {
      this.beginning.delete(group);
    }
  }

  /** A sender that begins again has given up what it began before; another one waits for a transfer that is alive. */
  private async makeRoom(group: GroupId, from: NodeId): Promise<void> {
    const session = this.sessions.get(group);
    if (session === undefined) return;
    const idleMs = this.options.clock.monotonicMs() - session.touchedMs;
    const isAlive = session.from !== from && idleMs < this.options.limits.snapshotIdleMs;
    if (session.isCommitting || isAlive) throw busy(group);
    await this.end(session, new StreamBrokenError('the transfer was begun again'));
  }

  /** Gives up a transfer whose sender is silent. */
  private watch(session: Session): void {
    const { clock, scheduler, limits } = this.options;
    scheduler.after(limits.snapshotIdleMs, () => {
      if (session.over !== undefined) return;
      const idleMs = clock.monotonicMs() - session.touchedMs;
      if (session.isCommitting || idleMs < limits.snapshotIdleMs) {
        this.watch(session);
        return;
      }
      const error = new StreamBrokenError(`node ${session.from} sent nothing for ${Math.round(idleMs)} ms`);
      this.failed(session, error).catch(() => {});
    });
  }

  private session(from: NodeId, step: { readonly group: GroupId; readonly session: number }): Session {
    const session = this.sessions.get(step.group);
    if (session?.id !== step.session || session.from !== from || session.isCommitting) {
      throw new StreamBrokenError(`no such transfer of a snapshot of group ${step.group} is under way`);
    }
    return session;
  }

  private async segment(session: Session, number: number, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    if (!session.missing.has(number)) throw new MalformedFrameError(`segment ${number} was not asked for`);
    session.streams += 1;
    try {
      await session.stage.receive(number, this.watched(session, frames));
      session.missing.delete(number);
      return ANSWER_YES;
    } catch (error) {
      await this.failed(session, asError(error));
      throw error;
    } finally {
      session.streams -= 1;
    }
  }

  private async *watched(session: Session, frames: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const frame of frames) {
      if (session.over !== undefined) throw session.over;
      session.touchedMs = this.options.clock.monotonicMs();
      yield frame;
    }
    if (session.over !== undefined) throw session.over;
  }

  private async commit(session: Session): Promise<Buffer> {
    const { token, stage, replica } = session;
    if (session.missing.size > 0) throw new MalformedFrameError(`${session.missing.size} segments did not come`);
    session.isCommitting = true;
    try {
      const meta = await stage.finish();
      if (meta.index !== token.snapshot.index || meta.term !== token.snapshot.term) {
        throw new MalformedFrameError(`the snapshot is of index ${meta.index}, announced was ${token.snapshot.index}`);
      }
    } catch (error) {
      await this.failed(session, asError(error));
      throw error;
    }
    try {
      // From here on the stage is the replica's.
      const installed = await replica.offerSnapshot(token, stage, this.options.clock.monotonicMs());
      return installed ? ANSWER_YES : ANSWER_NO;
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
    await session.stage.discard();
  }
}

const busy = (group: GroupId): StreamBrokenError => new StreamBrokenError(`group ${group} receives a snapshot already`);

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
