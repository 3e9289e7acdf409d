/**
 * The service that nodes offer each other. Messages are opaque bytes: what they mean is the business of the lane's owner.
 *
 *   kvorum.internal.v1.Peer/Frames  bidirectional; one call a lane, held open; the caller sends batches of frames
 *   kvorum.internal.v1.Peer/Stream  client streaming; header, frames, end mark; answered with one message
 *   kvorum.internal.v1.Peer/Duplex  bidirectional; header, messages, end mark one way, messages and end mark the other
 *
 * A message of Frames or Duplex is a batch of whole frames, `1:u8 (length:u32 frame)*`, or one piece of a frame that is too long for
 * a batch, `2:u8 frameLength:u32 offset:u32 bytes`; the pieces of a frame follow each other in order. So a value of hundreds
 * of megabytes moves in steps that flow control and the watch over stalls can see. The end mark of a Stream or a
 * Duplex is an empty message: a call that ends without it was cut.
 *
 * Handshake, in call metadata: the caller names its cluster, node, data folder (its incarnation, and those of the same node that
 * were removed) and process, and the node that it means to reach; the callee refuses with FAILED_PRECONDITION and a reason, or
 * answers with its own names, which the caller checks in turn. It answers only once it is stable that it has met that data folder.
 * Where the cluster has a secret (`grpc.secretFile`), each side adds a proof: an HMAC over what it says, whom it says it to, and, in
 * an answer, the process of the caller. So a proof that was overheard is good for the same pair of nodes only, and an answer
 * for one process.
 */
import grpc from '@grpc/grpc-js';
import {
  ByteReader,
  type FolderIntroduction,
  type Lane,
  type NodeId,
  nodeId,
  PeerRefusedError,
  type RefusalReason,
} from '../../platform/index.ts';
import type { PeerSecret } from '../../security/index.ts';
import { MalformedFrameError } from '../errors.ts';

export const SERVICE = 'kvorum.internal.v1.Peer';
export const FRAMES_PATH = `/${SERVICE}/Frames`;
export const STREAM_PATH = `/${SERVICE}/Stream`;
export const DUPLEX_PATH = `/${SERVICE}/Duplex`;
export const LANES: readonly Lane[] = ['control', 'bulk', 'forward'];

/** Status details of a call that ends because the callee stops. */
export const GOODBYE = 'the node stops';

/** Largest message on the wire; batches, pieces and the frames of streams are cut well below. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Longest frame that is believed: the largest command, on its way to the leader, and its envelope. */
export const MAX_FRAME_BYTES = 1280 * 1024 * 1024;
/** A batch takes further frames until it has this many bytes; a longer frame travels in pieces of this size. */
export const BATCH_BYTES = 1024 * 1024;
const BATCH_VERSION = 1;
const PIECE_VERSION = 2;
const PIECE_HEADER_BYTES = 9;
const LENGTH_BYTES = 4;

const identity = (bytes: Buffer): Buffer => bytes;

/** The service as `@grpc/grpc-js` wants it, with serializers that pass buffers through. */
export const PEER_SERVICE = {
  Frames: {
    path: FRAMES_PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
  Stream: {
    path: STREAM_PATH,
    requestStream: true,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
  Duplex: {
    path: DUPLEX_PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
} as const satisfies grpc.ServiceDefinition;

/** Who speaks on a connection. */
export interface PeerIdentity extends FolderIntroduction {
  readonly clusterName: string;
  readonly nodeId: NodeId;
  /** Drawn at the start of the process; empty when a program of earlier times speaks. */
  readonly life: string;
}

/** This node, as it introduces itself. */
export interface OwnIdentity extends PeerIdentity {
  /** What it proves with that it is one of the cluster, and checks others by; undefined: neither. */
  readonly secret?: PeerSecret | undefined;
}

/** Who opened a call, and who answers it. */
type Side = 'caller' | 'callee';

const KEYS = {
  cluster: 'kvorum-cluster-bin',
  node: 'kvorum-node',
  incarnation: 'kvorum-incarnation',
  removed: 'kvorum-removed',
  life: 'kvorum-life',
  reason: 'kvorum-reason',
  target: 'kvorum-target',
  lane: 'kvorum-lane',
  kind: 'kvorum-kind',
  direct: 'kvorum-direct',
  ticket: 'kvorum-ticket-bin',
  proof: 'kvorum-proof',
} as const;

const PROOF_VERSION = 'kvorum peer 1';

/** What a proof is about. @param life of the listener; a caller does not know it */
const factsOf = (
  side: Side,
  { clusterName, nodeId, incarnation, removed, life }: PeerIdentity,
  to: string,
): string[] => [PROOF_VERSION, side, clusterName, String(nodeId), incarnation, removed.join(), life, to];

/** Whom an answer is for. */
const askerOf = (node: string, life: string): string => `${node}/${life}`;

function introduction(self: OwnIdentity, side: Side, to: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(KEYS.cluster, Buffer.from(self.clusterName));
  metadata.set(KEYS.node, String(self.nodeId));
  metadata.set(KEYS.incarnation, self.incarnation);
  if (self.removed.length > 0) metadata.set(KEYS.removed, self.removed.join());
  metadata.set(KEYS.life, self.life);
  if (self.secret !== undefined) metadata.set(KEYS.proof, self.secret.prove(factsOf(side, self, to)));
  return metadata;
}

/** Metadata that introduces the caller; `target` is the node it means to reach. */
export function introduce(self: OwnIdentity, target: NodeId): grpc.Metadata {
  const metadata = introduction(self, 'caller', String(target));
  metadata.set(KEYS.target, String(target));
  return metadata;
}

/** Metadata that answers the introduction of a caller. */
export const answerTo = (caller: grpc.Metadata, self: OwnIdentity): grpc.Metadata =>
  introduction(self, 'callee', askerOf(text(caller, KEYS.node), text(caller, KEYS.life)));

/** Says in the opening metadata of a stream which lane it serves. */
export function setLane(metadata: grpc.Metadata, lane: Lane): void {
  metadata.set(KEYS.lane, lane);
}

/** Says in the opening metadata of a lane that the caller knows direct connections. */
export function askDirect(metadata: grpc.Metadata): void {
  metadata.set(KEYS.direct, '1');
}

export const asksDirect = (metadata: grpc.Metadata): boolean => text(metadata, KEYS.direct) === '1';

/** Offers a direct connection in the answer to a caller that knows them. */
export function offerDirect(answer: grpc.Metadata, ticket: Buffer): void {
  answer.set(KEYS.ticket, ticket);
}

/** The ticket of the direct connection that the callee has offered; undefined: none. */
export function offeredTicket(answer: grpc.Metadata): Buffer | undefined {
  const ticket = answer.get(KEYS.ticket)[0];
  return Buffer.isBuffer(ticket) ? ticket : undefined;
}

/** Says in the opening metadata of a byte stream what it carries. */
export function setKind(metadata: grpc.Metadata, kind: string): void {
  metadata.set(KEYS.kind, kind);
}

/** @throws PeerRefusedError */
export function laneOfCall(metadata: grpc.Metadata): Lane {
  const name = text(metadata, KEYS.lane);
  const lane = LANES.find((known) => known === name);
  if (lane === undefined) throw new PeerRefusedError(`unknown lane ${JSON.stringify(name)}`);
  return lane;
}

/** What a byte stream that a peer opens carries. @throws PeerRefusedError when it does not say */
export function kindOfCall(metadata: grpc.Metadata): string {
  return text(metadata, KEYS.kind);
}

/**
 * Who a caller says it is.
 * @throws PeerRefusedError when it is of another cluster, not a node, meant to reach another node than `self`, or does not prove it
 */
export function checkCaller(metadata: grpc.Metadata, self: OwnIdentity): PeerIdentity {
  return checkIntroduction(metadata, self, 'caller', String(self.nodeId));
}

/**
 * Who a node that was called says it is.
 * @throws PeerRefusedError when it is of another cluster, not a node, or does not prove it
 */
export function checkCallee(metadata: grpc.Metadata, self: OwnIdentity): PeerIdentity {
  return checkIntroduction(metadata, self, 'callee', askerOf(String(self.nodeId), self.life));
}

function checkIntroduction(metadata: grpc.Metadata, self: OwnIdentity, side: Side, to: string): PeerIdentity {
  const clusterName = text(metadata, KEYS.cluster);
  const id = Number(text(metadata, KEYS.node));
  const target = text(metadata, KEYS.target);
  if (clusterName !== self.clusterName) {
    throw new PeerRefusedError(
      `the peer is of cluster ${JSON.stringify(clusterName)}, this node of ${JSON.stringify(self.clusterName)}`,
    );
  }
  if (!Number.isInteger(id) || id < 1 || id > 65535) throw new PeerRefusedError('the peer does not name its node');
  if (target !== '' && target !== String(self.nodeId)) {
    throw new PeerRefusedError(
      `node ${id} meant to reach node ${target}, this is node ${self.nodeId}: check addresses`,
    );
  }
  if (id === self.nodeId) throw new PeerRefusedError(`two nodes say that they are node ${id}`);
  const removed = text(metadata, KEYS.removed);
  const peer = {
    clusterName,
    nodeId: nodeId(id),
    incarnation: text(metadata, KEYS.incarnation),
    removed: removed === '' ? [] : removed.split(','),
    life: text(metadata, KEYS.life),
  };
  checkProof(self, factsOf(side, peer, to), id, text(metadata, KEYS.proof));
  return peer;
}

function checkProof({ secret }: OwnIdentity, facts: readonly string[], id: number, proof: string): void {
  if (secret === undefined || (proof === '' && !secret.isRequired)) return;
  if (proof === '') {
    throw new PeerRefusedError(
      `node ${id} does not prove that it has the secret of this cluster: give it grpc.secretFile, and set grpc.secretOptional on the ` +
        'others until all nodes have it (release 0.1.0 cannot have it)',
    );
  }
  if (secret.accepts(facts, proof)) return;
  throw new PeerRefusedError(
    `the secret of node ${id} is none of those in grpc.secretFile here: write its first line into the file of every node`,
  );
}

const REASONS: readonly RefusalReason[] = ['mismatch', 'removed', 'changed', 'met', 'twice'];

/** Metadata of a refusal, for the side that is refused. */
export function reasonMetadata(error: Error): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (error instanceof PeerRefusedError) metadata.set(KEYS.reason, error.reason);
  return metadata;
}

/** Why the other side refused; undefined when it did not, or does not say why. */
export function reasonOf(metadata: grpc.Metadata | undefined): RefusalReason | undefined {
  const said = metadata === undefined ? '' : text(metadata, KEYS.reason);
  return REASONS.find((reason) => reason === said);
}

function text(metadata: grpc.Metadata, key: string): string {
  return metadata.get(key)[0]?.toString() ?? '';
}

/** Bytes that a frame takes inside a batch. */
export function batchedBytes(frame: Buffer): number {
  return LENGTH_BYTES + frame.length;
}

/** @param bytes sum of `batchedBytes` over `frames` @param room bytes to leave in front */
export function encodeBatch(frames: readonly Buffer[], bytes: number, room = 0): Buffer {
  const batch = Buffer.allocUnsafe(room + 1 + bytes);
  batch[room] = BATCH_VERSION;
  let at = room + 1;
  for (const frame of frames) {
    at = batch.writeUInt32BE(frame.length, at);
    at += frame.copy(batch, at);
  }
  return batch;
}

/** What comes before the bytes of a batch of one frame. @param room bytes to leave in front */
export function batchHead(frame: Buffer, room = 0): Buffer {
  const head = Buffer.allocUnsafe(room + 1 + LENGTH_BYTES);
  head[room] = BATCH_VERSION;
  head.writeUInt32BE(frame.length, room + 1);
  return head;
}

/** What comes before the bytes of a piece of a long frame, which `pieceOf` gives. @param room bytes to leave in front */
export function pieceHead(frame: Buffer, offset: number, room = 0): Buffer {
  const head = Buffer.allocUnsafe(room + PIECE_HEADER_BYTES);
  head[room] = PIECE_VERSION;
  head.writeUInt32BE(frame.length, room + 1);
  head.writeUInt32BE(offset, room + 5);
  return head;
}

/** The bytes of a piece of a long frame, from `offset` on. */
export const pieceOf = (frame: Buffer, offset: number): Buffer => frame.subarray(offset, offset + BATCH_BYTES);

/** The receiving end of one Frames call: whole frames out of batches and pieces. */
export class FrameAssembler {
  private frame: Buffer | undefined;
  private filled = 0;

  /**
   * Hands every frame that the message completes to `take`; frames of a batch are views.
   * @throws MalformedFrameError when the message is of another version, cut, or out of order
   */
  receive(message: Buffer, take: (frame: Buffer) => void): void {
    if (message[0] !== PIECE_VERSION) {
      if (this.frame !== undefined) throw new MalformedFrameError('a batch comes between the pieces of a frame');
      decodeBatch(message, take);
      return;
    }
    if (message.length <= PIECE_HEADER_BYTES) throw new MalformedFrameError('a piece of a frame is empty');
    const frameBytes = message.readUInt32BE(1);
    const offset = message.readUInt32BE(5);
    const bytes = message.length - PIECE_HEADER_BYTES;
    if (frameBytes > MAX_FRAME_BYTES) throw new MalformedFrameError(`a frame of ${frameBytes} bytes`);
    if (offset === 0 && this.frame === undefined) this.frame = Buffer.allocUnsafeSlow(frameBytes);
    const { frame } = this;
    if (frame?.length !== frameBytes || offset !== this.filled || offset + bytes > frameBytes) {
      throw new MalformedFrameError('a piece does not continue its frame');
    }
    message.copy(frame, offset, PIECE_HEADER_BYTES);
    this.filled += bytes;
    if (this.filled < frameBytes) return;
    this.frame = undefined;
    this.filled = 0;
    take(frame);
  }
}

/**
 * Hands every frame of a batch to `take`, as views.
 * @throws MalformedFrameError when the batch is of another version or cut
 */
export function decodeBatch(batch: Buffer, take: (frame: Buffer) => void): void {
  const reader = new ByteReader(batch, 'a batch', MalformedFrameError);
  const version = reader.u8();
  if (version !== BATCH_VERSION) throw new MalformedFrameError(`batch version ${version}, expected ${BATCH_VERSION}`);
  while (!reader.isAtEnd) take(reader.view());
}
