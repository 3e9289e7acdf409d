/**
 * A network that counts frames and bytes by lane, and bytes of streams by kind (of which `snapshot` is one). A frame holds
 * the messages of a whole turn, so a handful of additions a frame is nothing beside it.
 */
import type {
  DuplexHandler,
  DuplexStream,
  FrameHandler,
  Lane,
  PeerNetwork,
  Refusal,
  StreamHandler,
} from './network.ts';
import type { NodeId } from './types.ts';

/** One lane or one kind of stream in both directions, since the start. */
export interface TrafficCounters {
  sentCount: number;
  sentBytes: number;
  receivedCount: number;
  receivedBytes: number;
  /** Frames that the network did not take, or streams that broke. */
  failures: number;
}

const noTraffic = (): TrafficCounters => ({
  sentCount: 0,
  sentBytes: 0,
  receivedCount: 0,
  receivedBytes: 0,
  failures: 0,
});

/** What a network did since the start. */
export class NetworkCounters {
  readonly lanes: Readonly<Record<Lane, TrafficCounters>> = {
    control: noTraffic(),
    bulk: noTraffic(),
    forward: noTraffic(),
  };
  /** Streams by kind; kinds are names in the program. */
  readonly streams = new Map<string, TrafficCounters>();
  lostPeers = 0;

  /** The counters of a kind of stream. */
  stream(kind: string): TrafficCounters {
    let counters = this.streams.get(kind);
    if (counters === undefined) {
      counters = noTraffic();
      this.streams.set(kind, counters);
    }
    return counters;
  }
}

/** See the top of the file. */
export class MeasuredNetwork implements PeerNetwork {
  readonly counters = new NetworkCounters();
  private readonly inner: PeerNetwork;

  /** Before the network is started: it listens for lost peers. */
  constructor(inner: PeerNetwork) {
    this.inner = inner;
    inner.onPeerLost(() => {
      this.counters.lostPeers++;
    });
  }

  get self(): NodeId {
    return this.inner.self;
  }

  setPeer(peer: NodeId, address: string): void {
    this.inner.setPeer(peer, address);
  }

  removePeer(peer: NodeId): void {
    this.inner.removePeer(peer);
  }

  fence(peer: NodeId, incarnation: string): void {
    this.inner.fence(peer, incarnation);
  }

  confirm(peer: NodeId, incarnation: string): void {
    this.inner.confirm(peer, incarnation);
  }

  onAccepted(listener: (peer: NodeId) => void): void {
    this.inner.onAccepted(listener);
  }

  onRefused(listener: (refusal: Refusal) => void): void {
    this.inner.onRefused(listener);
  }

  onFrame(lane: Lane, handler: FrameHandler): void {
    const traffic = this.counters.lanes[lane];
    this.inner.onFrame(lane, (from, frame) => {
      traffic.receivedCount++;
      traffic.receivedBytes += frame.length;
      handler(from, frame);
    });
  }

  onStream(kind: string, handler: StreamHandler): void {
    const traffic = this.counters.stream(kind);
    this.inner.onStream(kind, async (from, header, frames) => {
      traffic.receivedCount++;
      traffic.receivedBytes += header.length;
      const counted = countBytes(frames, (bytes) => {
        traffic.receivedBytes += bytes;
      });
      return handler(from, header, counted);
    });
  }

  onDuplex(kind: string, handler: DuplexHandler): void {
    this.inner.onDuplex(kind, handler);
  }

  duplex(to: NodeId, kind: string, header: Buffer): DuplexStream {
    return this.inner.duplex(to, kind, header);
  }

  onPeerLost(listener: (peer: NodeId) => void): void {
    this.inner.onPeerLost(listener);
  }

  start(): Promise<void> {
    return this.inner.start();
  }

  send(to: NodeId, lane: Lane, frame: Buffer): boolean {
    const traffic = this.counters.lanes[lane];
    const isTaken = this.inner.send(to, lane, frame);
    if (isTaken) {
      traffic.sentCount++;
      traffic.sentBytes += frame.length;
    } else traffic.failures++;
    return isTaken;
  }

  queuedBytes(to: NodeId, lane: Lane): number {
    return this.inner.queuedBytes(to, lane);
  }

  async stream(
    to: NodeId,
    kind: string,
    header: Buffer,
    frames: AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    const traffic = this.counters.stream(kind);
    traffic.sentCount++;
    traffic.sentBytes += header.length;
    const counted = countBytes(frames, (bytes) => {
      traffic.sentBytes += bytes;
    });
    try {
      return await this.inner.stream(to, kind, header, counted, signal);
    } catch (error) {
      traffic.failures++;
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.inner.stop();
  }
}

async function* countBytes(frames: AsyncIterable<Buffer>, count: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const frame of frames) {
    count(frame.length);
    yield frame;
  }
}
