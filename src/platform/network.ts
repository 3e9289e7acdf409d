/**
 * The network between nodes as a constructor argument: ordered, at-most-once frames per lane and peer, plus bulk streams.
 * Frames may be lost (a connection broke) but never reordered within a lane, duplicated or corrupted by the real
 * implementation; the simulated twin does all of that on request where the user of a lane must tolerate it.
 */
import type { NodeId } from './types.ts';

/**
 * `control` (votes, heartbeats, read rounds) is never queued behind `bulk` (log entries) or `forward` (client commands
 * proxied to a leader, and their replies).
 */
export type Lane = 'control' | 'bulk' | 'forward';

export type FrameHandler = (from: NodeId, frame: Buffer) => void;

/** Answers one inbound stream; the returned bytes are the receiver's final answer to the sender. */
export type StreamHandler = (from: NodeId, header: Buffer, frames: AsyncIterable<Buffer>) => Promise<Buffer>;

/** One end of a two-way stream of messages between two nodes. Messages arrive in order, each once, or the stream ends. */
export interface DuplexStream {
  /** Sends a message, of any size below the frame limit. Does nothing once the stream has ended. */
  send(message: Buffer): void;
  /** Bytes that were sent and not yet taken by the connection. */
  readonly queuedBytes: number;
  /** Ends the stream in both directions; the other side hears `onEnd`. */
  close(): void;
  /** Set at once, in the turn in which the stream was got. */
  onMessage(handler: (message: Buffer) => void): void;
  /** Called once when the stream is over for whatever reason but `close` on this side; `error` undefined: the other side closed it. */
  onEnd(handler: (error: Error | undefined) => void): void;
}

/** Takes one inbound two-way stream; `header` is what the opener said. */
export type DuplexHandler = (from: NodeId, header: Buffer, stream: DuplexStream) => void;

export interface PeerNetwork {
  readonly self: NodeId;
  /** Address of a peer, `host:port`; a changed address replaces the connection. */
  setPeer(peer: NodeId, address: string): void;
  removePeer(peer: NodeId): void;
  /**
   * Refuses one life of a peer from now on, whoever it says that it is with, and forgets it if it was believed until now.
   * Left out where lives are not told apart.
   * @param incarnation of the data folder, as the peer names it
   */
  fence?(peer: NodeId, incarnation: string): void;
  /** Frames of a lane go to its one handler; set before `start`. */
  onFrame(lane: Lane, handler: FrameHandler): void;
  /** Streams of a kind go to its one handler; set before `start`. */
  onStream(kind: string, handler: StreamHandler): void;
  /** Two-way streams of a kind go to its one handler; set before `start`. */
  onDuplex(kind: string, handler: DuplexHandler): void;
  /** Opens a two-way stream to a peer that is not this node. Not being connected shows as `onEnd`, never as a throw. */
  duplex(to: NodeId, kind: string, header: Buffer): DuplexStream;
  /** Called when the connection to a peer was lost: frames in flight in either direction may be lost. */
  onPeerLost(listener: (peer: NodeId) => void): void;
  start(): Promise<void>;
  /**
   * Queues a frame. The buffer must not change afterwards.
   * @returns false when the lane's queue to that peer is full or the peer is not connected; the frame is then dropped
   */
  send(to: NodeId, lane: Lane, frame: Buffer): boolean;
  /** Bytes queued and not yet handed to the connection, for flow control. */
  queuedBytes(to: NodeId, lane: Lane): number;
  /** Sends a header and frames with back-pressure; settles with the receiver's answer, rejects when the connection breaks. */
  stream(
    to: NodeId,
    kind: string,
    header: Buffer,
    frames: AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<Buffer>;
  stop(): Promise<void>;
}
