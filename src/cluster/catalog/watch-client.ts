/**
 * Keeps a node's `RouteEngine` current: watches the catalog at the node that leads its group, begins again from the newest
 * published version whenever the stream ends, and takes the catalog straight from memory when this node leads.
 *
 * Where streams do not last, it asks from time to time instead: a stream that is closed at its first beat. After some
 * answers it tries a lasting one again. Whatever comes, only whole versions are published and never an older one.
 */
import {
  CatalogCorruptError,
  type CatalogVersion,
  decodeWatchMessage,
  encodeWatchRequest,
  type RouteEngine,
  type RouteTable,
  type WatchBeat,
  type WatchProblem,
  WatchReceiver,
} from '../../distribution/index.ts';
import {
  backoffMs,
  type Cancel,
  type Clock,
  type DuplexStream,
  type Millis,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import type { CatalogSource } from './source.ts';
import type { WatchLogger } from './watch-server.ts';
import { decodeWatchEnd, encodeWatchAck, WATCH_KIND, type WatchEnd, type WatchEndReason } from './watch-wire.ts';

/** Limits of a watcher, each with its reason. */
export const WATCH_CLIENT_LIMITS = {
  minBackoffMs: 50,
  maxBackoffMs: 2_000,
  /** Without a word for so long (five beats) the stream is given up: its server may stand still. */
  silenceMs: 5_000,
  /** A stream that lived so long did well: what went wrong before it is forgotten. */
  provenMs: 2_000,
  /** Streams that break one after another before the watcher polls. */
  failuresBeforePolling: 3,
  pollMs: 2_000,
  /** Added to it at random, so that a thousand nodes do not poll at once. */
  pollJitterMs: 1_000,
  /** Answered polls before a stream is tried again: 1 at first, doubled each time that it breaks again. */
  maxPollsBeforeStream: 16,
  /** How often a waiting watcher looks whether the group has another leader. */
  resolveMs: 100,
  /** How often an open stream is looked after. */
  checkMs: 500,
  /** Longest rest after a node said that it does not lead: it may only need to load the rows first. */
  maxRedirectMs: 500,
  /** Redirections that are followed without a rest. */
  maxRedirects: 2,
} as const;

export interface WatchClientOptions {
  readonly network: PeerNetwork;
  readonly engine: RouteEngine;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** Who leads the catalog group as far as this node knows. */
  readonly leader: () => NodeId | undefined;
  /** The catalog of this node for the times that it leads the group; undefined when it has no replica of it. */
  readonly localSource: CatalogSource | undefined;
  readonly logger?: WatchLogger;
}

/** How a node stands with the catalog, for operators. */
export interface WatchStatus {
  readonly version: CatalogVersion;
  /** `poll`: streams do not last, so it asks every few seconds. */
  readonly mode: 'local' | 'stream' | 'poll' | 'waiting';
  /** The node that the routes come from now; this one when it leads. */
  readonly connectedTo: NodeId | undefined;
  /** Newest version that a beat named, the term of the leader that sent it, and how long that is ago. */
  readonly lastBeat:
    | { readonly version: CatalogVersion; readonly leaderTerm: number; readonly agoMs: Millis }
    | undefined;
  /** Snapshots that were published. */
  readonly resets: number;
  /** Streams that broke one after another. */
  readonly failures: number;
  /** Why the last stream ended. */
  readonly lastProblem: string | undefined;
}

/** One stream, from its opening to its end. */
interface Attempt {
  readonly target: NodeId;
  readonly stream: DuplexStream;
  readonly receiver: WatchReceiver;
  readonly isPoll: boolean;
  readonly openedMs: Millis;
  /** When it was heard of last; its opening counts. */
  heardMs: Millis;
  /** A message came. */
  hasHeard: boolean;
}

/** See the top of the file. */
export class WatchClient {
  private readonly options: WatchClientOptions;
  private readonly listeners = new Set<(table: RouteTable) => void>();
  private unlisten: (() => void) | undefined;
  private isStopped = false;
  private isLocal = false;
  private attempt: Attempt | undefined;
  private cancelTimer: Cancel | undefined;
  /** Nothing is tried before this time, unless another node leads than the last time. */
  private retryAtMs: Millis = 0;
  private lastLeader: NodeId | undefined;
  /** Whom the last server named. */
  private redirect: NodeId | undefined;
  private redirects = 0;
  /** Rests one after another; the next one is twice as long. */
  private rests = 0;
  private failures = 0;
  private isPolling = false;
  private answeredPolls = 0;
  private pollsBeforeStream = 1;
  private problem: WatchProblem | undefined;
  private lastBeat: { readonly beat: WatchBeat; readonly atMs: Millis } | undefined;
  private resets = 0;
  private lastProblem: string | undefined;

  constructor(options: WatchClientOptions) {
    this.options = options;
  }

  /** Begins to watch. The network is started. */
  start(): void {
    this.unlisten = this.options.localSource?.onChange(() => this.localChanged());
    this.run();
  }

  /** Ends the watching; the engine keeps what it has. */
  stop(): void {
    this.isStopped = true;
    this.unlisten?.();
    this.cancelTimer?.();
    this.drop();
  }

  /**
   * Calls `listener` with each table right after it became current. It must not throw.
   * @returns ends the listening
   */
  onPublished(listener: (table: RouteTable) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get status(): WatchStatus {
    const { attempt, lastBeat } = this;
    const { engine, network, clock } = this.options;
    const heardFrom = attempt?.hasHeard === true ? attempt.target : undefined;
    const remote = this.isPolling ? 'poll' : heardFrom === undefined ? 'waiting' : 'stream';
    return {
      version: engine.current.version,
      mode: this.isLocal ? 'local' : remote,
      connectedTo: this.isLocal ? network.self : heardFrom,
      lastBeat: lastBeat && {
        version: lastBeat.beat.version,
        leaderTerm: lastBeat.beat.leaderTerm,
        agoMs: clock.monotonicMs() - lastBeat.atMs,
      },
      resets: this.resets,
      failures: this.failures,
      lastProblem: this.lastProblem,
    };
  }

  private localChanged(): void {
    const wasLocal = this.isLocal;
    if (!this.takeLocal() && wasLocal) this.run();
  }

  /** Publishes what this node leads. @returns false when it does not lead */
  private takeLocal(): boolean {
    const state = this.options.localSource?.state;
    this.isLocal = state !== undefined && !this.isStopped;
    if (!this.isLocal || state === undefined) return false;
    this.cancelTimer?.();
    this.drop();
    this.forgiveAll();
    if (this.options.engine.publish(state.routes)) this.published();
    return true;
  }

  /** Opens a stream when it is time to, and looks after the one that is open. */
  private run(): void {
    if (this.isStopped || this.takeLocal()) return;
    const { clock, network, leader } = this.options;
    const now = clock.monotonicMs();
    const { attempt } = this;
    if (attempt !== undefined) {
      if (now - attempt.heardMs > WATCH_CLIENT_LIMITS.silenceMs) this.broke(attempt, 'silence');
      else this.runAfter(WATCH_CLIENT_LIMITS.checkMs);
      return;
    }
    const known = leader();
    const target = this.redirect ?? known;
    if (known !== this.lastLeader && known !== undefined) {
      // What went wrong with another leader says nothing about this one.
      this.failures = 0;
      this.isPolling = false;
      this.retryAtMs = 0;
    }
    if (target === undefined || target === network.self || now < this.retryAtMs) {
      this.runAfter(WATCH_CLIENT_LIMITS.resolveMs);
      return;
    }
    this.lastLeader = known ?? this.lastLeader;
    this.redirect = undefined;
    this.open(target, now);
  }

  private runAfter(ms: Millis): void {
    this.cancelTimer?.();
    this.cancelTimer = this.options.scheduler.after(ms, () => this.run());
  }

  private open(target: NodeId, now: Millis): void {
    const { network, engine } = this.options;
    const request = WatchReceiver.nextRequest(engine, network.self, this.problem);
    const stream = network.duplex(target, WATCH_KIND, encodeWatchRequest(request));
    const receiver = new WatchReceiver(engine);
    const attempt = { target, stream, receiver, isPoll: this.isPolling, openedMs: now, heardMs: now, hasHeard: false };
    this.attempt = attempt;
    this.problem = undefined;
    stream.onMessage((message) => this.take(attempt, message));
    stream.onEnd((error) => this.broke(attempt, error?.message ?? 'it was closed without a reason'));
    this.runAfter(WATCH_CLIENT_LIMITS.checkMs);
  }

  private take(attempt: Attempt, bytes: Buffer): void {
    if (attempt !== this.attempt) return;
    const now = this.options.clock.monotonicMs();
    attempt.heardMs = now;
    try {
      const end = decodeWatchEnd(bytes);
      if (end !== undefined) {
        this.ended(attempt, end);
        return;
      }
      const message = decodeWatchMessage(bytes);
      if (!attempt.hasHeard && !attempt.isPoll)
        this.options.logger?.info({ node: attempt.target }, 'watching the catalog');
      attempt.hasHeard = true;
      const step = attempt.receiver.receive(message);
      if (message.kind === 'beat') this.lastBeat = { beat: message, atMs: now };
      if (step.problem !== undefined) {
        this.problem = step.problem;
        this.rest(attempt, step.problem);
        return;
      }
      if (step.ack !== undefined) attempt.stream.send(encodeWatchAck(step.ack));
      if (!attempt.isPoll && now - attempt.openedMs > WATCH_CLIENT_LIMITS.provenMs) this.forgiveAll();
      if (message.kind === 'beat' && attempt.isPoll) this.polled();
      if (step.isPublished) {
        if (message.kind === 'reset') this.resets++;
        this.published();
      }
    } catch (error) {
      if (!(error instanceof CatalogCorruptError)) throw error;
      // Damaged on the way, or of a newer version than this node.
      this.problem = 'INVALID';
      this.rest(attempt, error.message);
    }
  }

  private published(): void {
    const { current } = this.options.engine;
    for (const listener of this.listeners) listener(current);
  }

  /** All of the past is forgotten: things go well. */
  private forgiveAll(): void {
    this.failures = 0;
    this.rests = 0;
    this.redirects = 0;
    this.isPolling = false;
    this.pollsBeforeStream = 1;
    this.retryAtMs = 0;
  }

  /** The connection is gone, or its other end is silent. */
  private broke(attempt: Attempt, reason: string): void {
    if (attempt !== this.attempt) return;
    if (!attempt.isPoll && ++this.failures >= WATCH_CLIENT_LIMITS.failuresBeforePolling && !this.isPolling) {
      this.isPolling = true;
      this.answeredPolls = 0;
      this.options.logger?.warn({ node: attempt.target, reason }, 'streams of the catalog break; polling');
    }
    if (this.isPolling) this.restUntilPoll(reason);
    else this.rest(attempt, reason);
  }

  private ended(attempt: Attempt, end: WatchEnd): void {
    const { self } = this.options.network;
    const isNews = end.leader !== undefined && end.leader !== self && end.leader !== attempt.target;
    if (REDIRECTS.has(end.reason) && isNews && this.redirects < WATCH_CLIENT_LIMITS.maxRedirects) {
      this.redirects++;
      this.drop();
      this.lastProblem = end.reason;
      this.redirect = end.leader;
      this.retryAtMs = 0;
      this.run();
      return;
    }
    this.redirects = 0;
    this.rest(attempt, end.reason, REDIRECTS.has(end.reason) ? WATCH_CLIENT_LIMITS.maxRedirectMs : undefined);
  }

  /** A poll has got everything that there was. */
  private polled(): void {
    this.drop();
    this.answeredPolls++;
    if (this.answeredPolls >= this.pollsBeforeStream) {
      // One more break and it polls again, for longer.
      this.isPolling = false;
      this.failures = WATCH_CLIENT_LIMITS.failuresBeforePolling - 1;
      this.pollsBeforeStream = Math.min(this.pollsBeforeStream * 2, WATCH_CLIENT_LIMITS.maxPollsBeforeStream);
      this.retryAtMs = 0;
      this.run();
    } else {
      this.restUntilPoll(undefined);
    }
  }

  private restUntilPoll(problem: string | undefined): void {
    const { clock, random } = this.options;
    this.drop();
    this.lastProblem = problem ?? this.lastProblem;
    this.retryAtMs =
      clock.monotonicMs() + WATCH_CLIENT_LIMITS.pollMs + random.next() * WATCH_CLIENT_LIMITS.pollJitterMs;
    this.runAfter(WATCH_CLIENT_LIMITS.resolveMs);
  }

  /** Lets the stream go and tries again after a growing rest. */
  private rest(attempt: Attempt, reason: string, capMs: Millis = WATCH_CLIENT_LIMITS.maxBackoffMs): void {
    if (attempt !== this.attempt) return;
    const { clock, random } = this.options;
    this.drop();
    this.lastProblem = reason;
    const { minBackoffMs: baseMs } = WATCH_CLIENT_LIMITS;
    const ms = backoffMs({ baseMs, capMs, factor: 2, jitter: 'equal' }, this.rests++, random);
    this.retryAtMs = clock.monotonicMs() + ms;
    this.runAfter(Math.min(ms, WATCH_CLIENT_LIMITS.resolveMs));
  }

  private drop(): void {
    const { attempt } = this;
    this.attempt = undefined;
    attempt?.stream.close();
  }
}

/** Ends after which another node may be the right one. */
const REDIRECTS: ReadonlySet<WatchEndReason> = new Set(['NOT_LEADER', 'INVALID_CURSOR', 'STOPPING']);
