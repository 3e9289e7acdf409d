/**
 * Streams the catalog to the nodes that watch it, from the node that leads the catalog group. One `WatchSession` a stream
 * decides what is sent; this file has the streams, the clock and the reasons to end.
 *
 * A burst of commits is gathered until the end of the event-loop turn. The first beat comes as soon as a watcher has
 * everything, so that it knows that it is current, and that a poll is over.
 */
import {
  CatalogCorruptError,
  type CatalogState,
  type CatalogVersion,
  decodeWatchRequest,
  InvalidCursorError,
  WATCH_LIMITS,
  type WatchRequest,
  WatchSession,
} from '../../distribution/index.ts';
import type { Cancel, Clock, DuplexStream, Millis, NodeId, PeerNetwork, Scheduler } from '../../platform/index.ts';
import type { CatalogSource } from './source.ts';
import { WatchEncoder } from './watch-encoder.ts';
import { decodeWatchAck, encodeWatchEnd, WATCH_KIND, type WatchEndReason } from './watch-wire.ts';

/** How exactly beats and stalls are noticed. */
const TICK_MS: Millis = 200;

/** Where watchers that come and go are told of. */
export interface WatchLogger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

export interface WatchServerOptions {
  readonly network: PeerNetwork;
  readonly source: CatalogSource;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Who leads the catalog group as far as this node knows, for watchers that came to the wrong node. */
  readonly leader?: () => NodeId | undefined;
  readonly logger?: WatchLogger;
}

/** One watcher, for operators. */
export interface WatcherStatus {
  readonly nodeId: NodeId;
  /** Newest version that it is known to have. */
  readonly version: CatalogVersion;
  /** How long the stream has been open. */
  readonly openMs: Millis;
}

interface Served {
  readonly node: NodeId;
  readonly stream: DuplexStream;
  readonly session: WatchSession;
  readonly request: WatchRequest;
  readonly openedMs: Millis;
  /** Numbers of the newest message that was sent, and of the newest that was acknowledged. */
  sentSeq: number;
  ackedSeq: number;
  /** When it was told last by this file, not by its session, that it has everything. */
  greetedMs: Millis | undefined;
  isOver: boolean;
}

/** See the top of the file. Takes streams as soon as it is made, which is before the network starts. */
export class WatchServer {
  private readonly options: WatchServerOptions;
  private readonly encoder = new WatchEncoder();
  /** One stream a node: the newest. */
  private readonly served = new Map<NodeId, Served>();
  private readonly unlisten: () => void;
  private isPumpPending = false;
  private cancelTick: Cancel | undefined;
  private isStopped = false;

  constructor(options: WatchServerOptions) {
    this.options = options;
    this.unlisten = options.source.onChange(() => this.changed());
    options.source.trackSlowestCursor(() => this.slowestCursor());
    options.network.onDuplex(WATCH_KIND, (from, header, stream) => this.accept(from, header, stream));
  }

  /**
   * Version that the slowest of the connected watchers is known to have, for the retention of the change log; undefined
   * when there is none. One that is being sent a snapshot counts with what it had before.
   */
  slowestCursor(): CatalogVersion | undefined {
    let slowest: CatalogVersion | undefined;
    for (const served of this.served.values()) {
      const version = this.versionOf(served);
      if (slowest === undefined || version < slowest) slowest = version;
    }
    return slowest;
  }

  /** Everybody who watches here. */
  watchers(): WatcherStatus[] {
    const now = this.options.clock.monotonicMs();
    return [...this.served.values()].map((served) => ({
      nodeId: served.node,
      version: this.versionOf(served),
      openMs: now - served.openedMs,
    }));
  }

  /** Messages encoded so far; streams that were sent copies of them are not counted. */
  get encodings(): number {
    return this.encoder.encodings;
  }

  /** Ends all streams and takes no more. */
  stop(): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.unlisten();
    for (const served of this.served.values()) this.end(served, 'STOPPING');
  }

  private versionOf(served: Served): CatalogVersion {
    const { session, request } = served;
    const { state } = this.options.source;
    // A version of another life of the catalog says nothing about this one.
    const isOfThisLife = request.incarnation === state?.meta?.incarnation || served.greetedMs !== undefined;
    return isOfThisLife || session.ackedVersion !== request.cursor ? session.ackedVersion : 0;
  }

  private accept(from: NodeId, header: Buffer, stream: DuplexStream): void {
    const { source, clock, scheduler } = this.options;
    let request: WatchRequest;
    try {
      request = decodeWatchRequest(header);
    } catch (error) {
      if (!(error instanceof CatalogCorruptError)) throw error;
      this.options.logger?.warn({ node: from, error: error.message }, 'refused a watcher of the catalog');
      this.refuse(stream, 'BAD_REQUEST');
      return;
    }
    if (this.isStopped || source.state === undefined) {
      this.refuse(stream, this.isStopped ? 'STOPPING' : 'NOT_LEADER');
      return;
    }
    const older = this.served.get(from);
    if (older !== undefined) this.end(older, 'REPLACED');
    const now = clock.monotonicMs();
    const served: Served = {
      node: from,
      stream,
      session: new WatchSession(request, now),
      request,
      openedMs: now,
      sentSeq: 0,
      ackedSeq: 0,
      greetedMs: undefined,
      isOver: false,
    };
    this.served.set(from, served);
    stream.onMessage((message) => this.acknowledged(served, message));
    stream.onEnd(() => this.forget(served));
    this.cancelTick ??= scheduler.after(TICK_MS, () => this.tick());
    this.pump(served, source.state);
  }

  private changed(): void {
    if (this.isPumpPending || this.served.size === 0) return;
    this.isPumpPending = true;
    this.options.scheduler.endOfTurn(() => {
      this.isPumpPending = false;
      this.pumpAll();
    });
  }

  private tick(): void {
    this.cancelTick = undefined;
    const now = this.options.clock.monotonicMs();
    for (const served of this.served.values()) if (served.session.isStalled(now)) this.end(served, 'STALLED');
    this.pumpAll();
    if (this.served.size > 0) this.cancelTick = this.options.scheduler.after(TICK_MS, () => this.tick());
  }

  private pumpAll(): void {
    const { state } = this.options.source;
    for (const served of this.served.values()) {
      if (state === undefined) this.end(served, 'NOT_LEADER');
      else this.pump(served, state);
    }
  }

  private acknowledged(served: Served, message: Buffer): void {
    const { state } = this.options.source;
    const seq = decodeWatchAck(message);
    if (served.isOver || state === undefined) return;
    if (seq === undefined || seq > served.sentSeq) {
      this.end(served, 'BAD_REQUEST');
      return;
    }
    served.ackedSeq = Math.max(served.ackedSeq, seq);
    served.session.ack(seq);
    this.pump(served, state);
  }

  /** Sends all that there is to say and that the watcher's window takes. */
  private pump(served: Served, state: CatalogState): void {
    if (served.isOver) return;
    const { clock, source, logger } = this.options;
    const now = clock.monotonicMs();
    try {
      let message = served.session.next(state, now, source.leaderTerm);
      while (message !== undefined) {
        if (message.kind !== 'beat') served.sentSeq = message.seq;
        served.stream.send(this.encoder.encode(message));
        message = served.session.next(state, now, source.leaderTerm);
      }
    } catch (error) {
      if (error instanceof InvalidCursorError) {
        this.end(served, 'INVALID_CURSOR');
      } else if (error instanceof CatalogCorruptError) {
        logger?.warn({ node: served.node, error: error.message }, 'the catalog cannot be streamed');
        this.end(served, 'CATALOG_CORRUPT');
      } else {
        throw error;
      }
      return;
    }
    if (served.ackedSeq === served.sentSeq) this.greet(served, state, now);
  }

  /** The beats that the session does not make: the first one, and those of a catalog that has not begun. */
  private greet(served: Served, state: CatalogState, now: Millis): void {
    const { greetedMs } = served;
    if (greetedMs !== undefined && (state.meta !== undefined || now - greetedMs < WATCH_LIMITS.beatMs)) return;
    served.greetedMs = now;
    const incarnation = state.meta?.incarnation ?? 0;
    const version = state.meta?.version ?? 0;
    const leaderTerm = this.options.source.leaderTerm;
    served.stream.send(this.encoder.encode({ kind: 'beat', incarnation, version, leaderTerm }));
  }

  private refuse(stream: DuplexStream, reason: WatchEndReason): void {
    stream.send(encodeWatchEnd({ reason, leader: this.options.leader?.() }));
    stream.close();
  }

  private end(served: Served, reason: WatchEndReason): void {
    this.forget(served);
    this.refuse(served.stream, reason);
    this.options.logger?.info({ node: served.node, reason }, 'ended a watch of the catalog');
  }

  private forget(served: Served): void {
    served.isOver = true;
    if (this.served.get(served.node) !== served) return;
    this.served.delete(served.node);
    if (this.served.size === 0) this.encoder.forget();
  }
}
