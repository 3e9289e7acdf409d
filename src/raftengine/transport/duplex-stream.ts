/**
 * Two-way streams of messages. Each has a connection of its own, so that it shares no buffer with the lanes. Both
 * directions carry what a lane carries (batches and pieces of frames, see `peer-protocol.ts`); the opener's first frame is
 * its header. An empty message is the end mark: what ends without it was cut, and is told as an error.
 */
import grpc from '@grpc/grpc-js';
import {
  type Cancel,
  type Clock,
  type DuplexHandler,
  type DuplexStream,
  type Millis,
  type NodeId,
  PeerRefusedError,
  type Scheduler,
} from '../../platform/index.ts';
import { MalformedFrameError, StreamBrokenError } from '../errors.ts';
import { openChannel, type PeerTls } from './channel.ts';
import {
  answerTo,
  checkCallee,
  DUPLEX_PATH,
  FrameAssembler,
  introduce,
  MAX_FRAME_BYTES,
  type OwnIdentity,
  type PeerIdentity,
  setKind,
} from './peer-protocol.ts';
import { type LaneCall, SendLane } from './send-lane.ts';

/** A message that finds more than this waiting, the longest message apart, ends the stream: the other side does not keep up, and memory is finite. */
const MAX_QUEUE_BYTES = 64 * 1024 * 1024;
/** A stream that is not accepted, does not move or does not come to its end in this time is given up. */
const STALL_MS = 5000;
const STALL_CHECK_MS = 1000;
const END_MARK = Buffer.alloc(0);
const identity = (bytes: Buffer): Buffer => bytes;

/** The gRPC call under one end. */
interface EndCall extends LaneCall {
  /** Says that nothing more comes. */
  end(): unknown;
}

interface EndOptions {
  readonly peer: NodeId;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Ends the call at once, with a reason for the other side when it can be told. */
  readonly cut: (error: Error) => void;
  /** Gets the first frame, on the side that did not open the stream. */
  readonly onHeader?: (header: Buffer) => void;
}

/** One end of a two-way stream, whichever side opened it. */
export class DuplexEnd implements DuplexStream {
  private readonly options: EndOptions;
  private readonly lane: SendLane;
  private readonly assembler = new FrameAssembler();
  private readonly openedAtMs: Millis;
  private call: EndCall | undefined;
  private cancelTimer: Cancel;
  /** Longest message since the queue was empty; it may be longer than what may wait beside it. */
  private longestBytes = 0;
  private isFlushPending = false;
  /** Closed on this side: what is queued still goes out, nothing is told any more. */
  private isClosing = false;
  /** The end mark was written. */
  private isEnded = false;
  private isOver = false;
  private hasHeader: boolean;
  private closedAtMs: Millis = 0;
  private messageHandler: ((message: Buffer) => void) | undefined;
  private endHandler: ((error: Error | undefined) => void) | undefined;

  constructor(options: EndOptions) {
    this.options = options;
    this.hasHeader = options.onHeader === undefined;
    this.lane = new SendLane(Number.POSITIVE_INFINITY, () => options.clock.monotonicMs());
    this.openedAtMs = options.clock.monotonicMs();
    this.cancelTimer = options.scheduler.after(STALL_CHECK_MS, () => this.checkStall());
  }

  get queuedBytes(): number {
    return this.lane.queuedBytes + this.lane.inFlightBytes;
  }

  onMessage(handler: (message: Buffer) => void): void {
    this.messageHandler = handler;
  }

  onEnd(handler: (error: Error | undefined) => void): void {
    this.endHandler = handler;
  }

  send(message: Buffer): void {
    if (this.isOver || this.isClosing) return;
    const isTooLong = message.length > MAX_FRAME_BYTES;
    if (this.lane.isEmpty) this.longestBytes = 0;
    if (isTooLong || this.lane.queuedBytes - this.longestBytes > MAX_QUEUE_BYTES) {
      const reason = isTooLong ? 'a message is too long' : 'the other side does not keep up';
      const error = new StreamBrokenError(`the stream to node ${this.options.peer} was ended: ${reason}`);
      // The handlers never run inside a call of the stream's owner.
      this.options.scheduler.endOfTurn(() => this.over(error, true));
      return;
    }
    this.longestBytes = Math.max(this.longestBytes, message.length);
    this.lane.push(message);
    if (this.isFlushPending) return;
    this.isFlushPending = true;
    this.options.scheduler.endOfTurn(() => {
      this.isFlushPending = false;
      this.flush();
    });
  }

  close(): void {
    if (this.isOver || this.isClosing) return;
    this.isClosing = true;
    this.closedAtMs = this.options.clock.monotonicMs();
    this.flush();
  }

  /** The other side accepted: what was sent goes out. */
  attach(call: EndCall): void {
    if (this.isOver) return;
    this.call = call;
    this.lane.attach({
      write: (batch, written) =>
        call.write(batch, () => {
          written();
          if (this.isClosing) this.flush();
        }),
    });
    if (this.isClosing) this.flush();
  }

  /** Takes what came over the call. */
  receive(message: Buffer): void {
    if (this.isOver) return;
    if (message.length === 0) {
      // Answered by the end of this direction, so that the call comes to its end.
      if (!this.isEnded) this.call?.end();
      this.over(undefined, false);
      return;
    }
    try {
      this.assembler.receive(message, this.take);
    } catch (error) {
      if (!(error instanceof MalformedFrameError)) throw error;
      this.over(error, true);
    }
  }

  /** The call ended without an end mark, or must end. */
  fail(error: Error, isCut = false): void {
    this.over(error, isCut);
  }

  private readonly take = (message: Buffer): void => {
    if (this.isOver || this.isClosing) return;
    if (this.hasHeader) {
      this.messageHandler?.(message);
      return;
    }
    this.hasHeader = true;
    try {
      this.options.onHeader?.(message);
    } catch (error) {
      // A header that its handler cannot read refuses the stream, not this node.
      this.over(error as Error, true);
    }
  };

  private flush(): void {
    if (this.isOver) return;
    this.lane.flush();
    if (!this.isClosing || this.isEnded || this.call === undefined || !this.lane.isEmpty) return;
    this.isEnded = true;
    this.call.write(END_MARK, () => {});
    this.call.end();
  }

  private checkStall(): void {
    if (this.isOver) return;
    const now = this.options.clock.monotonicMs();
    const isNotAccepted = this.call === undefined && now - this.openedAtMs > STALL_MS;
    const isNotEnding = this.isClosing && now - this.closedAtMs > STALL_MS;
    if (this.lane.isStalled(STALL_MS) || isNotAccepted || isNotEnding) {
      this.over(new StreamBrokenError(`the stream to node ${this.options.peer} does not move`), true);
    } else {
      this.cancelTimer = this.options.scheduler.after(STALL_CHECK_MS, () => this.checkStall());
    }
  }

  private over(error: Error | undefined, isCut: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    this.cancelTimer();
    this.lane.detach();
    if (isCut) this.options.cut(error ?? new StreamBrokenError('the stream was cut'));
    if (!this.isClosing) this.endHandler?.(error);
  }
}

export interface OutboundDuplex {
  readonly self: OwnIdentity;
  readonly to: NodeId;
  readonly address: string;
  /** Undefined: plain text. */
  readonly tls: PeerTls | undefined;
  readonly kind: string;
  readonly header: Buffer;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** See `PeerAdmission.admit`. */
  readonly admit: (peer: PeerIdentity) => Promise<void> | undefined;
  /** The connection is gone. */
  readonly onReleased: () => void;
}

/** Opens a stream; whatever goes wrong is told by `onEnd`, in a later turn. */
export function openDuplex(stream: OutboundDuplex): DuplexEnd {
  const { self, to, clock, scheduler } = stream;
  const client = openChannel(stream.address, stream.tls);
  const metadata = introduce(self, to);
  setKind(metadata, stream.kind);
  const call = client.makeBidiStreamRequest(DUPLEX_PATH, identity, identity, metadata);
  const end = new DuplexEnd({ peer: to, clock, scheduler, cut: () => call.cancel() });
  // The first frame is the header.
  end.send(stream.header);
  call.on('metadata', (answer: grpc.Metadata) => {
    const fail = (error: unknown): void => end.fail(error as Error, true);
    try {
      const peer = checkCallee(answer, self);
      if (peer.nodeId !== to) throw new PeerRefusedError(`node ${peer.nodeId} answers at the address of node ${to}`);
      const admitted = stream.admit(peer);
      if (admitted === undefined) end.attach(call);
      else admitted.then(() => end.attach(call), fail);
    } catch (error) {
      fail(error);
    }
  });
  call.on('data', (message: Buffer) => end.receive(message));
  call.on('error', (error: grpc.ServiceError) => {
    end.fail(new StreamBrokenError(`the stream to node ${to} broke: ${error.details}`, { cause: error }));
  });
  // Not at the status: messages that came before it may still wait to be read.
  call.on('end', () => end.fail(new StreamBrokenError(`the stream to node ${to} was cut before its end`)));
  call.on('status', () => {
    client.close();
    stream.onReleased();
  });
  return end;
}

/** A stream that ends at once, as one to a node whose address is not known. */
export function refusedDuplex(clock: Clock, scheduler: Scheduler, peer: NodeId, error: Error): DuplexEnd {
  const end = new DuplexEnd({ peer, clock, scheduler, cut: () => {} });
  scheduler.endOfTurn(() => end.fail(error));
  return end;
}

type InboundCall = grpc.ServerDuplexStream<Buffer, Buffer>;

export interface InboundDuplex {
  readonly self: OwnIdentity;
  readonly from: NodeId;
  readonly call: InboundCall;
  readonly handler: DuplexHandler;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly onReleased: () => void;
}

/** Serves an inbound stream whose introduction was accepted. */
export function serveDuplex(stream: InboundDuplex): DuplexEnd {
  const { call, from, clock, scheduler } = stream;
  const end = new DuplexEnd({
    peer: from,
    clock,
    scheduler,
    cut: (error) => call.emit('error', { code: grpc.status.ABORTED, details: error.message }),
    onHeader: (header) => stream.handler(from, header, end),
  });
  call.on('data', (message: Buffer) => end.receive(message));
  const cut = (): void => {
    end.fail(new StreamBrokenError(`the stream from node ${from} was cut before its end`));
    stream.onReleased();
  };
  call.on('cancelled', cut);
  call.on('close', cut);
  call.on('end', () => {
    cut();
    call.end();
  });
  call.sendMetadata(answerTo(call.metadata, stream.self));
  end.attach(call);
  return end;
}
