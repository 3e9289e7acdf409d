/**
 * This node's outgoing connection to one peer: two HTTP/2 connections (the control lane has its own, so that no socket
 * buffer full of entries is ever in front of a heartbeat), one long call a lane. It is open once the peer has introduced
 * itself on all three calls. When any of them breaks, all are torn down and dialled again after a growing rest.
 */
import grpc from '@grpc/grpc-js';
import {
  type Backoff,
  backoffMs,
  type Cancel,
  type Clock,
  type Lane,
  type Millis,
  type NodeId,
  PeerRefusedError,
  type Random,
  type Refusal,
  type Scheduler,
} from '../../platform/index.ts';
import { openChannel, type PeerTls, STALL_MS } from './channel.ts';
import { DirectLane } from './direct-lane.ts';
import {
  askDirect,
  checkCallee,
  FRAMES_PATH,
  GOODBYE,
  introduce,
  LANES,
  type OwnIdentity,
  offeredTicket,
  type PeerIdentity,
  reasonOf,
  setLane,
} from './peer-protocol.ts';
import { type LaneCall, SendLane } from './send-lane.ts';

const REDIAL: Backoff = { baseMs: 50, capMs: 1000, factor: 2, jitter: 'equal' };
/** A peer that refused waits for an operator: it is asked seldom from the first time on. */
const REDIAL_REFUSED: Backoff = { ...REDIAL, baseMs: REDIAL.capMs };
const STALL_CHECK_MS = 1000;
const LANE_QUEUE_BYTES: Readonly<Record<Lane, number>> = {
  control: 4 * 1024 * 1024,
  bulk: 64 * 1024 * 1024,
  forward: 64 * 1024 * 1024,
};

const identity = (bytes: Buffer): Buffer => bytes;

export interface TransportLogger {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

export interface PeerLinkOptions {
  /** As it is now. */
  readonly self: () => OwnIdentity;
  readonly peer: NodeId;
  readonly address: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly logger: TransportLogger | undefined;
  /** Undefined: plain text. */
  readonly tls: PeerTls | undefined;
  /** See `PeerAdmission.admit`. */
  readonly admit: (peer: PeerIdentity) => Promise<void> | undefined;
  /** The peer has taken this node's introduction. */
  readonly onAccepted: (peer: NodeId) => void;
  readonly onRefused: (refusal: Refusal) => void;
  readonly onLost: (peer: NodeId) => void;
}

interface Connection {
  readonly clients: readonly grpc.Client[];
  readonly calls: Map<Lane, grpc.ClientDuplexStream<Buffer, Buffer>>;
  /** Connections that lanes have of their own. */
  readonly direct: Set<DirectLane>;
  /** What the lanes that the peer has accepted are sent on. */
  readonly accepted: Map<Lane, LaneCall>;
  readonly openedAtMs: Millis;
}

export class PeerLink {
  readonly address: string;
  private readonly options: PeerLinkOptions;
  private readonly lanes: Readonly<Record<Lane, SendLane>>;
  private connection: Connection | undefined;
  private isOpen = false;
  private closed = false;
  /** Failed attempts since the last open connection. */
  private failures = 0;
  private lastRefusal = '';
  private cancelTimer: Cancel | undefined;
  private flushPending = false;

  constructor(options: PeerLinkOptions) {
    this.options = options;
    this.address = options.address;
    const nowMs = (): Millis => options.clock.monotonicMs();
    this.lanes = {
      control: new SendLane(LANE_QUEUE_BYTES.control, nowMs),
      bulk: new SendLane(LANE_QUEUE_BYTES.bulk, nowMs),
      forward: new SendLane(LANE_QUEUE_BYTES.forward, nowMs),
    };
  }

  /** True when frames are taken. */
  get connected(): boolean {
    return this.isOpen;
  }

  connect(): void {
    if (this.closed || this.connection !== undefined) return;
    const { self, peer, scheduler, clock } = this.options;
    const control = openChannel(this.address, this.options.tls);
    const data = openChannel(this.address, this.options.tls);
    const connection: Connection = {
      clients: [control, data],
      calls: new Map(),
      direct: new Set(),
      accepted: new Map(),
      openedAtMs: clock.monotonicMs(),
    };
    this.connection = connection;
    for (const lane of LANES) {
      const metadata = introduce(self(), peer);
      setLane(metadata, lane);
      askDirect(metadata);
      const client = lane === 'control' ? control : data;
      const call = client.makeBidiStreamRequest(FRAMES_PATH, identity, identity, metadata);
      connection.calls.set(lane, call);
      call.on('metadata', (answer: grpc.Metadata) => this.introduced(connection, lane, answer));
      call.on('error', (error: Error) => this.lost(connection, error));
      call.on('end', () => this.lost(connection, new Error('the peer ended the call')));
      call.resume();
    }
    this.cancelTimer?.();
    this.cancelTimer = scheduler.after(STALL_CHECK_MS, () => this.checkStall(connection));
  }

  /** The peer has dialled this node, so it is there: it is dialled now, not after the rest. One that refuses this node is let wait. */
  peerIsThere(): void {
    if (this.connection === undefined && this.lastRefusal === '') this.connect();
  }

  send(lane: Lane, frame: Buffer): boolean {
    if (!this.isOpen || !this.lanes[lane].push(frame)) return false;
    if (!this.flushPending) {
      this.flushPending = true;
      this.options.scheduler.endOfTurn(() => this.flush());
    }
    return true;
  }

  queuedBytes(lane: Lane): number {
    return this.lanes[lane].queuedBytes;
  }

  close(): void {
    this.closed = true;
    this.cancelTimer?.();
    this.teardown();
  }

  private flush(): void {
    this.flushPending = false;
    for (const lane of LANES) this.lanes[lane].flush();
  }

  private introduced(connection: Connection, lane: Lane, answer: grpc.Metadata): void {
    if (this.connection !== connection) return;
    const { peer, self, admit } = this.options;
    try {
      const other = checkCallee(answer, self());
      if (other.nodeId !== peer)
        throw new PeerRefusedError(`node ${other.nodeId} answers at the address of node ${peer}`);
      const admitted = admit(other);
      const goOn = (): void => this.admitted(connection, lane, offeredTicket(answer));
      if (admitted === undefined) goOn();
      else admitted.then(goOn, (error: Error) => this.lost(connection, error));
    } catch (error) {
      this.lost(connection, error as Error);
    }
  }

  /** Both sides know each other: the lane goes its own way where the peer has offered one. */
  private admitted(connection: Connection, lane: Lane, ticket: Buffer | undefined): void {
    if (this.connection !== connection) return;
    const call = connection.calls.get(lane)!;
    if (ticket === undefined) {
      this.accepted(connection, lane, call);
      return;
    }
    const { address } = this;
    const { peer, tls, scheduler, logger } = this.options;
    const direct = new DirectLane({ address, tls, ticket }, scheduler, {
      onOpen: () => this.accepted(connection, lane, direct),
      onRefused: ({ message }) => {
        connection.direct.delete(direct);
        logger?.info({ peer, address, lane, error: message }, 'a lane stays on its call');
        this.accepted(connection, lane, call);
      },
      onLost: (error) => this.lost(connection, error),
    });
    connection.direct.add(direct);
  }

  private accepted(connection: Connection, lane: Lane, way: LaneCall): void {
    if (this.connection !== connection) return;
    connection.accepted.set(lane, way);
    if (connection.accepted.size < LANES.length) return;
    this.isOpen = true;
    this.failures = 0;
    this.lastRefusal = '';
    this.options.logger?.info({ peer: this.options.peer, address: this.address }, 'connected to peer');
    for (const [name, each] of connection.accepted) this.lanes[name].attach(each);
    this.options.onAccepted(this.options.peer);
  }

  private checkStall(connection: Connection): void {
    if (this.connection !== connection) return;
    const stalled = this.isOpen
      ? LANES.some((lane) => this.lanes[lane].isStalled(STALL_MS))
      : this.options.clock.monotonicMs() - connection.openedAtMs > STALL_MS;
    if (stalled) this.lost(connection, new Error(`no progress for ${STALL_MS} ms`));
    else this.cancelTimer = this.options.scheduler.after(STALL_CHECK_MS, () => this.checkStall(connection));
  }

  private lost(connection: Connection, error: Error): void {
    if (this.connection !== connection) return;
    const { peer, random, scheduler, logger, onLost, onRefused } = this.options;
    const wasOpen = this.isOpen;
    this.teardown();
    const refused = isRefusal(error);
    // A certificate that is not accepted stays so until somebody does something: said once, like a refusal.
    if ((refused || (!wasOpen && isTlsFailure(error))) && error.message !== this.lastRefusal) {
      this.lastRefusal = error.message;
      logger?.warn({ peer, address: this.address, error: error.message }, 'the peer was refused');
    } else if (wasOpen && isGoodbye(error)) {
      logger?.info({ peer, address: this.address }, 'the peer stops');
    } else if (wasOpen) {
      logger?.warn({ peer, address: this.address, error: error.message }, 'the connection to the peer was lost');
    }
    const delayMs = backoffMs(refused ? REDIAL_REFUSED : REDIAL, this.failures, random);
    this.failures++;
    this.cancelTimer?.();
    this.cancelTimer = scheduler.after(delayMs, () => this.connect());
    if (wasOpen) onLost(peer);
    const reason = 'metadata' in error ? reasonOf((error as grpc.ServiceError).metadata) : undefined;
    if (reason !== undefined) onRefused({ peer, reason, message: (error as grpc.ServiceError).details });
  }

  private teardown(): void {
    const connection = this.connection;
    this.connection = undefined;
    this.isOpen = false;
    for (const lane of LANES) this.lanes[lane].detach();
    if (connection === undefined) return;
    for (const direct of connection.direct) direct.close();
    for (const call of connection.calls.values()) call.cancel();
    for (const client of connection.clients) client.close();
  }
}

const isGoodbye = (error: Error): boolean => 'details' in error && error.details === GOODBYE;

/** A handshake failed; the message has what Node or OpenSSL said. */
const isTlsFailure = (error: Error): boolean =>
  /certificate|TLS|SSL|EPROTO/.test('details' in error ? String(error.details) : error.message);

function isRefusal(error: Error): boolean {
  return (
    error instanceof PeerRefusedError ||
    ('code' in error && (error as grpc.ServiceError).code === grpc.status.FAILED_PRECONDITION)
  );
}
