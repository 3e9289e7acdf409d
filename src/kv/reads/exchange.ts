/**
 * Carries closed timestamps to the nodes that have replicas: one message a pair of nodes and period, for all groups that the
 * sender leads and the receiver follows. The receiver answers with its clock, and the next message carries that back: so it
 * knows, on its own clock, after which moment the notices were made, however long they were on the way and whatever wall
 * clocks say.
 */
import type { Cancel, DuplexStream, Elapsed, Millis, NodeId, PeerNetwork, Scheduler } from '../../platform/index.ts';
import type { ClosedNotice, ReplicasOf } from '../contract/index.ts';
import type { NodeClaims } from './claims.ts';
import type { GroupCloser } from './closer.ts';
import { decodeClosed, encodeClosed } from './wire.ts';

/** Kind of the two-way streams. */
export const CLOSED_STREAM = 'closed';
/** A stream with more unsent bytes than this gets no further message. */
const MAX_QUEUED_BYTES = 64 * 1024;

export interface ClosedExchangeOptions {
  readonly network: Pick<PeerNetwork, 'self' | 'onDuplex' | 'duplex'>;
  readonly elapsed: Elapsed;
  readonly scheduler: Pick<Scheduler, 'after'>;
  readonly claims: Pick<NodeClaims, 'accept'>;
  /** Those of all groups with a replica here; what is not led closes nothing. */
  readonly closers: () => Iterable<Pick<GroupCloser, 'close'>>;
  readonly replicasOf: ReplicasOf;
  readonly periodMs: Millis;
  readonly onError: (error: unknown) => void;
}

interface Way {
  readonly stream: DuplexStream;
  heardMs: Millis | undefined;
}

export class ClosedExchange {
  private readonly options: ClosedExchangeOptions;
  private readonly ways = new Map<NodeId, Way>();
  private cancel: Cancel | undefined;

  /** Call before the network is started. */
  constructor(options: ClosedExchangeOptions) {
    this.options = options;
    options.network.onDuplex(CLOSED_STREAM, (_from, _header, stream) => this.receive(stream));
  }

  start(): void {
    const round = (): void => {
      this.cancel = this.options.scheduler.after(this.options.periodMs, round);
      this.publish();
    };
    round();
  }

  stop(): void {
    this.cancel?.();
    for (const { stream } of this.ways.values()) stream.close();
    this.ways.clear();
  }

  /** Closes what can be closed and tells everybody. */
  publish(): void {
    const { closers, elapsed, claims, network, replicasOf } = this.options;
    const byNode = new Map<NodeId, ClosedNotice[]>();
    const beganMs = elapsed.elapsedMs();
    for (const closer of closers()) {
      const notice = closer.close();
      if (notice === undefined) continue;
      claims.accept(notice, beganMs);
      for (const node of replicasOf(notice.group)) {
        if (node === network.self) continue;
        const notices = byNode.get(node);
        if (notices === undefined) byNode.set(node, [notice]);
        else notices.push(notice);
      }
    }
    for (const [node, notices] of byNode) this.send(node, notices);
    for (const [node, { stream }] of this.ways) {
      if (byNode.has(node)) continue;
      this.ways.delete(node);
      stream.close();
    }
  }

  private send(node: NodeId, notices: readonly ClosedNotice[]): void {
    let way = this.ways.get(node);
    if (way === undefined) {
      way = this.open(node);
      if (!this.ways.has(node)) return;
    }
    if (way.stream.queuedBytes > MAX_QUEUED_BYTES) return;
    way.stream.send(encodeClosed({ kind: 'notices', heardMs: way.heardMs, notices }));
  }

  private open(node: NodeId): Way {
    const way: Way = {
      stream: this.options.network.duplex(node, CLOSED_STREAM, Buffer.alloc(0)),
      heardMs: undefined,
    };
    this.ways.set(node, way);
    way.stream.onMessage((bytes) => {
      this.understand(way.stream, () => {
        const message = decodeClosed(bytes);
        if (message.kind === 'received') way.heardMs = message.nowMs;
      });
    });
    way.stream.onEnd(() => {
      if (this.ways.get(node) === way) this.ways.delete(node);
    });
    return way;
  }

  private receive(stream: DuplexStream): void {
    const { elapsed, claims } = this.options;
    stream.onEnd(() => undefined);
    stream.onMessage((bytes) => {
      this.understand(stream, () => {
        const message = decodeClosed(bytes);
        if (message.kind !== 'notices') return;
        if (message.heardMs !== undefined) {
          for (const notice of message.notices) claims.accept(notice, message.heardMs);
        }
        stream.send(encodeClosed({ kind: 'received', nowMs: elapsed.elapsedMs() }));
      });
    });
  }

  private understand(stream: DuplexStream, take: () => void): void {
    try {
      take();
    } catch (error) {
      stream.close();
      this.options.onError(error);
    }
  }
}
