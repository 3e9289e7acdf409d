/**
 * What the catalog leader and a watcher say to each other, with the bytes beside. A stream carries messages in order and
 * may break anywhere; a watcher then comes back with the version that it has published last.
 */

import { assertNever, ByteReader, ByteWriter, type NodeId, nodeId } from '../../platform/index.ts';
import {
  CatalogCorruptError,
  type CatalogIncarnation,
  type CatalogVersion,
  type Route,
  readRoute,
  writeRoute,
} from '../contract/index.ts';

const CODEC = 1;

/** Asks for everything after a version. */
export interface WatchRequest {
  /** The version that the watcher has published last; 0 when it has none. */
  readonly cursor: CatalogVersion;
  /** Of that version; 0 asks for a snapshot. */
  readonly incarnation: CatalogIncarnation;
  /** Most deltas in one message. */
  readonly maxBatch: number;
  readonly nodeId: NodeId;
}

/** Consecutive versions. */
export interface WatchBatch {
  readonly kind: 'batch';
  /** Number of the message in its stream, for acknowledgements. */
  readonly seq: number;
  readonly incarnation: CatalogIncarnation;
  /** As they are stored, ascending without a gap. */
  readonly deltas: readonly Buffer[];
}

/** One page of all routes of one version, in order. */
export interface WatchReset {
  readonly kind: 'reset';
  readonly seq: number;
  readonly incarnation: CatalogIncarnation;
  readonly version: CatalogVersion;
  /** Counts from 0. */
  readonly page: number;
  readonly isLast: boolean;
  readonly routes: readonly Route[];
}

/** Nothing new: says that the stream lives and how far the catalog is. Not acknowledged. */
export interface WatchBeat {
  readonly kind: 'beat';
  readonly incarnation: CatalogIncarnation;
  readonly version: CatalogVersion;
  readonly leaderTerm: number;
}

export type WatchMessage = WatchBatch | WatchReset | WatchBeat;

const Kind = { batch: 1, reset: 2, beat: 3 } as const;

/** The first message of a watcher. */
export function encodeWatchRequest(request: WatchRequest): Buffer {
  return new ByteWriter(32)
    .u8(CODEC)
    .u53(request.cursor)
    .u53(request.incarnation)
    .u32(request.maxBatch)
    .u16(request.nodeId)
    .finish();
}

/** @throws CatalogCorruptError */
export function decodeWatchRequest(bytes: Buffer): WatchRequest {
  const reader = new ByteReader(bytes, 'a watch request', CatalogCorruptError);
  reader.version(CODEC);
  const request = {
    cursor: reader.u53(),
    incarnation: reader.u53(),
    maxBatch: reader.u32(),
    nodeId: nodeId(reader.u16()),
  };
  reader.end();
  return request;
}

/** A message of the server. */
export function encodeWatchMessage(message: WatchMessage): Buffer {
  const writer = new ByteWriter(1024).u8(CODEC).u8(Kind[message.kind]).u53(message.incarnation);
  switch (message.kind) {
    case 'batch':
      writer.u53(message.seq).u32(message.deltas.length);
      for (const delta of message.deltas) writer.bytes(delta);
      return writer.finish();
    case 'reset':
      writer
        .u53(message.seq)
        .u53(message.version)
        .u32(message.page)
        .u8(message.isLast ? 1 : 0);
      writer.u32(message.routes.length);
      for (const route of message.routes) writeRoute(writer, route);
      return writer.finish();
    case 'beat':
      return writer.u53(message.version).u53(message.leaderTerm).finish();
    default:
      return assertNever(message);
  }
}

/** Where the number of a batch or a page stands: behind codec, kind and incarnation. */
const SEQ_AT = 10;

/**
 * The same batch or page for another stream, in which it has another number: a copy, which costs less than encoding again.
 * @param encoded of `encodeWatchMessage`, not a beat
 */
export function renumberWatchMessage(encoded: Buffer, seq: number): Buffer {
  const copy = Buffer.from(encoded);
  copy.writeBigUInt64BE(BigInt(seq), SEQ_AT);
  return copy;
}

/** @throws CatalogCorruptError */
export function decodeWatchMessage(bytes: Buffer): WatchMessage {
  const reader = new ByteReader(bytes, 'a watch message', CatalogCorruptError);
  reader.version(CODEC);
  const kind = reader.u8();
  const message = readBody(reader, kind, reader.u53());
  reader.end();
  return message;
}

function readBody(reader: ByteReader, kind: number, incarnation: CatalogIncarnation): WatchMessage {
  switch (kind) {
    case Kind.batch: {
      const seq = reader.u53();
      const deltas: Buffer[] = [];
      for (let left = reader.u32(); left > 0; left--) deltas.push(reader.bytes());
      return { kind: 'batch', seq, incarnation, deltas };
    }
    case Kind.reset: {
      const head = { seq: reader.u53(), version: reader.u53(), page: reader.u32(), isLast: reader.flag() };
      const routes: Route[] = [];
      for (let left = reader.u32(); left > 0; left--) routes.push(readRoute(reader));
      return { kind: 'reset', incarnation, ...head, routes };
    }
    case Kind.beat:
      return { kind: 'beat', incarnation, version: reader.u53(), leaderTerm: reader.u53() };
    default:
      throw reader.corrupt(`has unknown kind ${kind}`);
  }
}
