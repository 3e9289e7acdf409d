/**
 * Snapshots between nodes. The core asks for one by a token; the bytes take streams of their own, so that they hold up
 * neither entries nor votes. Outbound: one a peer, a few a node, rate limited, some segments at a time, only those that the
 * peer lacks; the log is held from the snapshot on until the peer has it. A leader may ask another replica to send in its
 * place, and sends itself when that fails. Inbound: see `SnapshotReceiver`.
 */
import {
  ByteRateLimit,
  backoffBoundMs,
  type Clock,
  type LogIndex,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Scheduler,
  type Term,
} from '../../platform/index.ts';
import type { EngineLimits, SnapshotReader } from '../contract/index.ts';
import { StreamBrokenError } from '../errors.ts';
import type { Replica } from '../replica/index.ts';
import { CatchUps } from './catch-ups.ts';
import {
  ANSWER_YES,
  decodeStep,
  decodeWanted,
  encodeAsk,
  encodeBegin,
  encodeCommit,
  encodeSegment,
  type TransferStep,
} from './snapshot-codec.ts';
import { SnapshotOffers } from './snapshot-offers.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';

export const SNAPSHOT_STREAM = 'snapshot';
const MANIFEST_FRAME_BYTES = 512 << 10;

/** A snapshot that a peer is to get. */
interface Job {
  readonly replica: Replica;
  readonly to: NodeId;
  readonly term: Term;
  /** On whose behalf. */
  readonly leader: NodeId;
  /** The copy must not be older; 0 when the own log decides. */
  readonly leastIndex: LogIndex;
  readonly settle: (error: Error | undefined) => void;
}

/** What became of a transfer that was sent from here. */
export interface SentSnapshot {
  readonly groupId: number;
  readonly to: NodeId;
  readonly index: LogIndex;
  readonly segments: number;
  readonly bytes: number;
  /** Those that the peer did not have already. */
  readonly sentSegments: number;
  readonly sentBytes: number;
  readonly durationMs: number;
}

export interface SnapshotTransferOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly network: PeerNetwork;
  readonly limits: EngineLimits;
  readonly findReplica: (groupId: number) => Replica | undefined;
  /** Told of every transfer that failed, in either direction. */
  readonly onFailed: (groupId: number, peer: NodeId, error: Error) => void;
  readonly onSent: (sent: SentSnapshot) => void;
}

export class SnapshotTransfer {
  private readonly options: SnapshotTransferOptions;
  private readonly rate: ByteRateLimit;
  private readonly offers: SnapshotOffers;
  private readonly receiver: SnapshotReceiver;
  private readonly catchUps: CatchUps;
  private readonly waiting: Job[] = [];
  private readonly busyPeers = new Set<NodeId>();
  /** Transfers in a row that did not arrive, by whose state it is and whom it was for. */
  private readonly failures = new WeakMap<Replica, Map<NodeId, number>>();
  /** Of transfers under way; `AbortSignal.any` would keep one that never ends alive for good. */
  private readonly aborts = new Set<AbortController>();
  private isStopped = false;
  private sending = new Set<Promise<void>>();

  constructor(options: SnapshotTransferOptions) {
    this.options = options;
    const { clock, scheduler, limits, network } = options;
    this.rate = new ByteRateLimit(clock, scheduler, limits.snapshotBytesPerSecond);
    this.offers = new SnapshotOffers(network.self, scheduler, limits);
    this.receiver = new SnapshotReceiver(options);
    this.catchUps = new CatchUps(clock, scheduler, limits);
    network.onStream(SNAPSHOT_STREAM, (from, header, frames) => this.serve(from, header, frames));
  }

  /** Snapshots under way or waiting for their turn, outbound. */
  get outbound(): number {
    return this.waiting.length + this.sending.size;
  }

  /** Queues a snapshot of the replica's present state; its core hears the result through `reportSnapshot`. */
  request(replica: Replica, to: NodeId): void {
    if (this.isStopped) return;
    const { term } = replica;
    // What waits since an earlier leadership comes to nothing, and nobody would hear of it.
    if (this.waiting.some((job) => job.replica === replica && job.to === to && job.term === term)) return;
    // The core of a later leadership has ordered a snapshot of its own.
    const report = (delivered: boolean): void => {
      if (this.isCurrent(job)) replica.reportSnapshot(to, delivered);
    };
    const settle = (error: Error | undefined): void => {
      if (error === undefined) {
        this.failures.get(replica)?.delete(to);
        report(true);
        return;
      }
      if (this.isStopped) return;
      this.options.onFailed(replica.groupId, to, error);
      // That a leadership ended says nothing of the peer.
      if (!this.isCurrent(job)) return;
      // The core probes the peer again at once when told; one that is down, or has no room, gets a rest first.
      this.options.scheduler.after(this.restOf(replica, to), () => report(false));
    };
    const job: Job = { replica, to, term, leader: this.options.network.self, leastIndex: 0, settle };
    this.enqueue(job);
  }

  /** Counts a failure. @returns how long the peer is left alone after it */
  private restOf(replica: Replica, to: NodeId): Millis {
    const { snapshotRetryMs: baseMs, snapshotMaxRetryMs: capMs } = this.options.limits;
    const failures = this.failures.get(replica) ?? new Map<NodeId, number>();
    this.failures.set(replica, failures);
    const before = failures.get(to) ?? 0;
    failures.set(to, before + 1);
    return backoffBoundMs({ baseMs, capMs, factor: 2 }, before);
  }

  /** The replica is gone. Settles when nothing of it is received or installed. */
  async dropped(replica: Replica): Promise<void> {
    this.offers.dropped(replica);
    await this.receiver.dropped(replica);
  }

  async stop(): Promise<void> {
    const error = new StreamBrokenError('the engine stops');
    this.isStopped = true;
    for (const job of this.waiting.splice(0)) job.settle(error);
    for (const abort of this.aborts) abort.abort(error);
    await Promise.allSettled(this.sending);
    await this.receiver.stop();
    await this.offers.stop();
  }

  private async serve(from: NodeId, header: Buffer, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    const step = decodeStep(header, this.options.network.self);
    return step.step === 'ask' ? this.asked(from, step) : this.receiver.receive(from, step, frames);
  }

  /** A leader wants this replica to send in its place. @throws when it cannot, or when sending fails */
  private asked(from: NodeId, ask: Extract<TransferStep, { step: 'ask' }>): Promise<Buffer> {
    const replica = this.options.findReplica(ask.group);
    if (replica === undefined || replica.isClosed || replica.term !== ask.term || replica.leaderNode !== from) {
      throw new StreamBrokenError(`node ${from} does not lead the replica of group ${ask.group} here`);
    }
    if (replica.applied < ask.leastIndex) throw new StreamBrokenError('this replica is too far behind to send');
    // Its leader waits with a place taken: two nodes that ask each other would wait for each other.
    if (!this.hasPlaceFor(ask.to)) throw new StreamBrokenError('this node has other snapshots to send');
    return new Promise((resolve, reject) => {
      const settle = (error: Error | undefined): void => (error === undefined ? resolve(ANSWER_YES) : reject(error));
      const { to, term, leastIndex } = ask;
      this.enqueue({ replica, to, term, leader: from, leastIndex, settle });
    });
  }

  private enqueue(job: Job): void {
    if (this.isStopped) {
      job.settle(new StreamBrokenError('the engine stops'));
      return;
    }
    this.waiting.push(job);
    this.startWaiting();
  }

  private hasPlaceFor(to: NodeId): boolean {
    return this.sending.size < this.options.limits.maxOutboundSnapshots && !this.busyPeers.has(to);
  }

  private startWaiting(): void {
    for (let at = 0; at < this.waiting.length; ) {
      const job = this.waiting[at]!;
      if (!this.hasPlaceFor(job.to)) {
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
    let failure: Error | undefined;
    try {
      if (!(await this.delegate(job))) await this.send(job);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    job.settle(failure);
  }

  private isCurrent({ replica, term, leader }: Job): boolean {
    return !replica.isClosed && replica.term === term && replica.leaderNode === leader;
  }

  /** Lets a follower that keeps up send. @returns false when there is none, or it could not */
  private async delegate(job: Job): Promise<boolean> {
    const { replica, to, term } = job;
    const { network, limits } = this.options;
    if (!limits.snapshotsFromFollowers || job.leader !== network.self || !this.isCurrent(job)) return false;
    const candidates = replica
      .status()
      .progress.filter((peer) => peer.nodeId !== to && peer.state === 'replicate' && peer.recentlyActive)
      .sort((left, right) => right.matchIndex - left.matchIndex);
    const helper = candidates[0]?.nodeId;
    if (helper === undefined) return false;
    const leastIndex = replica.firstIndex - 1;
    this.catchUps.handOver(replica, to);
    replica.pin(to, leastIndex);
    try {
      await this.withAbort((signal) =>
        network.stream(helper, SNAPSHOT_STREAM, encodeAsk(replica.groupId, to, term, leastIndex), nothing(), signal),
      );
      this.catchUps.begin(replica, to, leastIndex);
      return true;
    } catch (error) {
      this.options.onFailed(replica.groupId, helper, error as Error);
      return false;
    } finally {
      if (!this.catchUps.holds(replica, to)) replica.unpin(to);
    }
  }

  private async send(job: Job): Promise<void> {
    const { replica, to } = job;
    if (!this.isCurrent(job)) throw new StreamBrokenError('leadership ended before the snapshot was cut');
    const startedMs = this.options.clock.monotonicMs();
    this.catchUps.handOver(replica, to);
    // The copy will be of this index or a later one.
    replica.pin(to, replica.applied);
    try {
      const offer = await this.offers.open(replica);
      let isDelivered = false;
      try {
        const { reader } = offer;
        if (reader.meta.index < job.leastIndex) throw new StreamBrokenError('the copy here is too old');
        if (!this.isCurrent(job)) throw new StreamBrokenError('leadership ended before the snapshot left');
        replica.pin(to, reader.meta.index);
        const sent = await this.withAbort((signal, abort) => this.sendCut(job, reader, signal, abort));
        isDelivered = true;
        this.catchUps.begin(replica, to, reader.meta.index);
        const durationMs = this.options.clock.monotonicMs() - startedMs;
        this.options.onSent({ groupId: replica.groupId, to, index: reader.meta.index, durationMs, ...sent });
      } finally {
        offer.release(!isDelivered && !this.isStopped);
      }
      // From here on the peer's catching up holds the log.
    } finally {
      if (!this.catchUps.holds(replica, to)) replica.unpin(to);
    }
  }

  /** Runs under a time limit and until the engine stops. */
  private async withAbort<Result>(
    work: (signal: AbortSignal, abort: AbortController) => Promise<Result>,
  ): Promise<Result> {
    const { scheduler, limits } = this.options;
    if (this.isStopped) throw new StreamBrokenError('the engine stops');
    const abort = new AbortController();
    this.aborts.add(abort);
    const cancelTimeout = scheduler.after(limits.snapshotTimeoutMs, () =>
      abort.abort(new StreamBrokenError('the snapshot took too long')),
    );
    try {
      return await work(abort.signal, abort);
    } finally {
      this.aborts.delete(abort);
      cancelTimeout();
    }
  }

  private async sendCut(job: Job, reader: SnapshotReader, signal: AbortSignal, abort: AbortController) {
    const { replica, to, term, leader } = job;
    const { network, limits } = this.options;
    const group = replica.groupId;
    const stream = (header: Buffer, frames: AsyncIterable<Buffer>): Promise<Buffer> =>
      network.stream(to, SNAPSHOT_STREAM, header, frames, signal);
    const { segments } = reader;
    const total = { segments: segments.length, bytes: sumOf(segments) };
    const wanted = decodeWanted(
      await stream(encodeBegin(group, term, reader.meta, leader, to), pieces(reader.manifest)),
      segments.length,
    );
    if (wanted === undefined) return { ...total, sentSegments: 0, sentBytes: 0 };
    const queue = [...wanted.missing];
    const worker = async (): Promise<void> => {
      for (let number = queue.shift(); number !== undefined; number = queue.shift()) {
        await stream(encodeSegment(group, wanted.session, number), this.limited(reader.frames(number)));
      }
    };
    const workers = Array.from({ length: Math.min(limits.snapshotStreams, queue.length) }, () =>
      worker().catch((error: unknown) => {
        // The others bring nothing that would be used.
        queue.length = 0;
        abort.abort(error);
        throw error;
      }),
    );
    const outcomes = await Promise.allSettled(workers);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw signal.reason instanceof Error ? signal.reason : failed.reason;
    await stream(encodeCommit(group, wanted.session), nothing());
    const sentBytes = sumOf(wanted.missing.map((number) => segments[number]!));
    return { ...total, sentSegments: wanted.missing.length, sentBytes };
  }

  private async *limited(frames: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const frame of frames) {
      await this.rate.take(frame.length);
      yield frame;
    }
  }
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

async function* nothing(): AsyncGenerator<Buffer> {}

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += MANIFEST_FRAME_BYTES) yield bytes.subarray(at, at + MANIFEST_FRAME_BYTES);
}
