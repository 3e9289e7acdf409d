/**
 * Snapshots between nodes. The core asks for one by a token; the bytes take their own stream, so that they hold up
 * neither entries nor votes. Outbound: one a peer, a few a node, rate limited, the log held from the snapshot on until
 * the peer has it. Inbound: one a group; the token reaches the core only when the copy is complete and verified, and the
 * answer to the sender says whether it was installed.
 */
import type { Clock, NodeId, PeerNetwork, Scheduler } from '../platform/index.ts';
import type { EngineCounters } from './counters.ts';
import { MalformedFrameError, StreamBrokenError } from './errors.ts';
import type { EngineLimits } from './limits.ts';
import { decodeSnapshotHeader, encodeSnapshotHeader } from './message-codec.ts';
import { ByteRateLimit } from './rate-limit.ts';
import type { Replica } from './replica.ts';

export const SNAPSHOT_STREAM = 'snapshot';

/** The receiver's answer, one byte. */
const ANSWER_INSTALLED = 1;
const ANSWER_NOT_NEEDED = 0;

interface Job {
  readonly replica: Replica;
  readonly to: NodeId;
  readonly term: number;
}

export interface SnapshotTransferOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly network: PeerNetwork;
  readonly limits: EngineLimits;
  readonly counters: EngineCounters;
  readonly findReplica: (groupId: number) => Replica | undefined;
  /** Told of every transfer that failed, in either direction. */
  readonly onFailed: (groupId: number, peer: NodeId, error: Error) => void;
}

export class SnapshotTransfer {
  private readonly options: SnapshotTransferOptions;
  private readonly rate: ByteRateLimit;
  private readonly waiting: Job[] = [];
  private readonly busyPeers = new Set<NodeId>();
  private readonly receiving = new Set<number>();
  /** Of transfers under way; `AbortSignal.any` would keep one that never ends alive for good. */
  private readonly aborts = new Set<AbortController>();
  private isStopped = false;
  private sending = new Set<Promise<void>>();

  constructor(options: SnapshotTransferOptions) {
    this.options = options;
    this.rate = new ByteRateLimit(options.clock, options.scheduler, options.limits.snapshotBytesPerSecond);
    options.network.onStream(SNAPSHOT_STREAM, (from, header, frames) => this.receive(from, header, frames));
  }

  /** Snapshots under way or waiting for their turn, outbound. */
  get outbound(): number {
    return this.waiting.length + this.sending.size;
  }

  /** Queues a snapshot of the replica's present state; its core hears the result through `reportSnapshot`. */
  request(replica: Replica, to: NodeId): void {
    if (this.isStopped) return;
    if (this.waiting.some((job) => job.replica === replica && job.to === to)) return;
    this.waiting.push({ replica, to, term: replica.term });
    this.startWaiting();
  }

  async stop(): Promise<void> {
    this.waiting.length = 0;
    this.isStopped = true;
    for (const abort of this.aborts) abort.abort(new StreamBrokenError('the engine stops'));
    await Promise.allSettled(this.sending);
  }

  private startWaiting(): void {
    for (let at = 0; at < this.waiting.length && this.sending.size < this.options.limits.maxOutboundSnapshots; ) {
      const job = this.waiting[at]!;
      if (this.busyPeers.has(job.to)) {
        at += 1;
        continue;
      }
      this.waiting.splice(at, 1);
      this.start(job);
    }
  }

  private start(job: Job): void {
    this.busyPeers.add(job.to);
    const running = this.run(job).finally(() => {
      this.busyPeers.delete(job.to);
      this.sending.delete(running);
      this.startWaiting();
    });
    this.sending.add(running);
  }

  private async run(job: Job): Promise<void> {
    const { replica, to } = job;
    if (!this.isCurrent(job)) return;
    try {
      await this.send(job);
      this.options.counters.snapshotsSent++;
      replica.reportSnapshot(to, true);
    } catch (error) {
      this.options.onFailed(replica.groupId, to, asError(error));
      // The core probes the peer again at once when told; a peer that is down gets a rest first.
      this.options.scheduler.after(this.options.limits.snapshotRetryMs, () => replica.reportSnapshot(to, false));
    }
  }

  private isCurrent(job: Job): boolean {
    return !job.replica.isClosed && job.replica.isLeading && job.replica.term === job.term;
  }

  private async send(job: Job): Promise<void> {
    const { replica, to } = job;
    const { network, scheduler, limits } = this.options;
    const reader = await replica.stateMachine.openSnapshot();
    const abort = new AbortController();
    this.aborts.add(abort);
    const cancelTimeout = scheduler.after(limits.snapshotTimeoutMs, () =>
      abort.abort(new StreamBrokenError('the snapshot took too long')),
    );
    try {
      if (!this.isCurrent(job)) throw new StreamBrokenError('leadership ended before the snapshot left');
      replica.pin(to, reader.meta.index);
      const header = encodeSnapshotHeader(
        { groupId: replica.groupId, term: job.term, meta: reader.meta },
        network.self,
        to,
      );
      if (this.isStopped) throw new StreamBrokenError('the engine stops');
      await network.stream(to, SNAPSHOT_STREAM, header, this.limited(reader.frames()), abort.signal);
    } finally {
      this.aborts.delete(abort);
      cancelTimeout();
      replica.unpin(to);
      await reader.close();
    }
  }

  private async *limited(frames: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const frame of frames) {
      await this.rate.take(frame.length);
      yield frame;
    }
  }

  private async receive(from: NodeId, header: Buffer, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    const token = decodeSnapshotHeader(header, from, this.options.network.self);
    const replica = this.options.findReplica(token.groupId);
    if (replica === undefined) throw new StreamBrokenError(`no replica of group ${token.groupId} is here`);
    if (this.receiving.has(token.groupId)) {
      throw new StreamBrokenError(`group ${token.groupId} receives a snapshot already`);
    }
    this.receiving.add(token.groupId);
    try {
      const stage = await replica.stateMachine.stageSnapshot();
      try {
        for await (const frame of frames) await stage.write(frame);
        const meta = await stage.finish();
        if (meta.index !== token.snapshot.index || meta.term !== token.snapshot.term) {
          throw new MalformedFrameError(
            `the snapshot is of index ${meta.index}, announced was ${token.snapshot.index}`,
          );
        }
      } catch (error) {
        this.options.onFailed(token.groupId, from, asError(error));
        await stage.discard();
        throw error;
      }
      const installed = await replica.offerSnapshot(token, stage, this.options.clock.monotonicMs());
      return Buffer.of(installed ? ANSWER_INSTALLED : ANSWER_NOT_NEEDED);
    } finally {
      this.receiving.delete(token.groupId);
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
