/**
 * The network between nodes as a constructor argument: ordered, at-most-once frames per lane and peer, plus bulk streams.
 * Frames may be lost (a connection broke) but never reordered within a lane, duplicated or corrupted by the real
 * implementation; the simulated twin does all of that on request where the user of a lane must tolerate it.
 */
import { type ErrorDisposition, KvorumError } from './errors.ts';
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

/**
 * Why a node does not listen to another one:
 * - `mismatch`: it is of another cluster, says what cannot be, or is not the one that was meant;
 * - `removed`: its data folder was removed from the cluster for good;
 * - `changed`: the cluster knows its node with another data folder;
 * - `met`: its node was met with another data folder before, of which the cluster has not said anything yet;
 * - `twice`: two processes take turns with one data folder, so one of the two folders is a copy.
 */
export type RefusalReason = 'mismatch' | 'removed' | 'changed' | 'met' | 'twice';

/** The peers of a connection are not the ones they should be. */
export class PeerRefusedError extends KvorumError {
  readonly code = 'PEER_REFUSED';
  readonly disposition: ErrorDisposition = 'final';
  readonly reason: RefusalReason;

  constructor(message: string, reason: RefusalReason = 'mismatch') {
    super(message);
    this.reason = reason;
  }
}

/** What a node says of its data folder when it introduces itself. */
export interface FolderIntroduction {
  /** Random identity of the data folder, text. */
  readonly incarnation: string;
  /** Data folders of the same node that were removed from the cluster, as far as it knows. */
  readonly removed: readonly string[];
}

/** Decides which data folders of other nodes a network listens to, and does not forget it. */
export interface PeerAdmission {
  /** What this node says of its own folder. */
  introduction(): FolderIntroduction;
  /**
   * @returns undefined when the folder is listened to; else settles when it is known for good that it is: nothing is taken
   *   from the peer before
   * @throws PeerRefusedError
   */
  admit(peer: NodeId, introduction: FolderIntroduction): Promise<void> | undefined;
  /** The cluster knows a node with this folder. @returns true when another one was listened to until now */
  confirm(peer: NodeId, incarnation: string): boolean;
  /** The cluster has removed a folder for good. @returns true when it was listened to until now */
  remove(peer: NodeId, incarnation: string): boolean;
}

/** A peer does not listen to this node. */
export interface Refusal {
  readonly peer: NodeId;
  readonly reason: RefusalReason;
  /** As the peer says it. */
  readonly message: string;
}

export interface PeerNetwork {
  readonly self: NodeId;
  /** Address of a peer, `host:port`; a changed address replaces the connection. */
  setPeer(peer: NodeId, address: string): void;
  removePeer(peer: NodeId): void;
  /** The cluster has removed a data folder of a node: it is cut off and refused from now on. This node itself is named too. */
  fence(peer: NodeId, incarnation: string): void;
  /** The cluster knows a node with this data folder: any other one is cut off and refused. */
  confirm(peer: NodeId, incarnation: string): void;
  /**
   * Called whenever a peer has accepted this node's introduction. From then on it listens to no other data folder under
   * this node's id, whatever becomes of it, until the cluster removes this one.
   */
  onAccepted(listener: (peer: NodeId) => void): void;
  /** Called whenever a peer refused this node's introduction. */
  onRefused(listener: (refusal: Refusal) => void): void;
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
