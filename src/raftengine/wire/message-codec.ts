/**
 * Wire form of Raft messages: one frame is one batch of messages between two nodes, of any number of groups. The layout is
 * fixed and big-endian; sender and receiver are those of the connection and are not repeated. Numbers that outgrow 32
 * bits are unsigned 64-bit below 2^53; instants are IEEE doubles because they are echoed, never compared.
 *
 *   frame    version:u8  count:u32  message*
 *   message  kind:u8  flags:u8  group:u32  term:u64  body
 *   append            prevIndex:u64 prevTerm:u64 commit:u64 sentAt:f64 count:u32 (term:u64 kind:u8 length:u32 payload)*
 *   appendResponse    index:u64 hintIndex:u64 hintTerm:u64 sentAt:f64          flags bit 0: reject
 *   heartbeat         commit:u64 sentAt:f64 readRound:u64                      flags bit 0: rest
 *   heartbeatResponse sentAt:f64 readRound:u64                                 flags bit 0: rest
 *   vote, preVote     lastIndex:u64 lastTerm:u64                               flags bit 0: transfer
 *   (pre)voteResponse [commit:u64 commitTerm:u64]                              flags bit 0: reject, bit 1: with a commit
 *   timeoutNow        -
 *   snapshot          index:u64 term:u64 conf                                  flags bit 0: autoLeave
 *   conf              4 x (count:u16 node:u16*): voters, votersOutgoing, learners, learnersNext
 */
import { assert, assertNever, type GroupId, groupId, type NodeId, nodeId } from '../../platform/index.ts';
import type { ConfState, Entry, EntryKind, Message, SnapshotMeta } from '../core/index.ts';
import { MalformedFrameError } from '../errors.ts';

const VERSION = 1;
const HEADER_BYTES = 5;
const ENVELOPE_BYTES = 14;
const ENTRY_BYTES = 13;
const FLAG = 1;
/** Only refusals have it: a node that cannot read them loses nothing but a refusal. */
const COMMIT_FLAG = 2;
/** Above this a count cannot be right, whatever the frame's size says. */
const MAX_ENTRY_KIND = 1;

/** Wire values: never renumber. */
const KIND: Readonly<Record<Message['kind'], number>> = {
  append: 1,
  appendResponse: 2,
  heartbeat: 3,
  heartbeatResponse: 4,
  vote: 5,
  preVote: 6,
  voteResponse: 7,
  preVoteResponse: 8,
  timeoutNow: 9,
  snapshot: 10,
};

const TWO_32 = 0x1_0000_0000;

function writeU64(out: Buffer, value: number, at: number): number {
  const high = Math.floor(value / TWO_32);
  out.writeUInt32BE(high, at);
  return out.writeUInt32BE(value - high * TWO_32, at + 4);
}

function confBytes(conf: ConfState): number {
  return 8 + 2 * (conf.voters.length + conf.votersOutgoing.length + conf.learners.length + conf.learnersNext.length);
}

/** Encoded size of one message inside a batch, in bytes. */
export function messageBytes(message: Message): number {
  switch (message.kind) {
    case 'append': {
      let bytes = ENVELOPE_BYTES + 36 + ENTRY_BYTES * message.entries.length;
      for (const entry of message.entries) bytes += entry.payload.length;
      return bytes;
    }
    case 'appendResponse':
      return ENVELOPE_BYTES + 32;
    case 'heartbeat':
      return ENVELOPE_BYTES + 24;
    case 'heartbeatResponse':
      return ENVELOPE_BYTES + 16;
    case 'vote':
    case 'preVote':
      return ENVELOPE_BYTES + 16;
    case 'voteResponse':
    case 'preVoteResponse':
      return ENVELOPE_BYTES + (message.commitIndex > 0 ? 16 : 0);
    case 'timeoutNow':
      return ENVELOPE_BYTES;
    case 'snapshot':
      return ENVELOPE_BYTES + 16 + confBytes(message.snapshot.conf);
    default:
      return assertNever(message);
  }
}

function flagOf(message: Message): boolean {
  switch (message.kind) {
    case 'appendResponse':
    case 'voteResponse':
    case 'preVoteResponse':
      return message.reject;
    case 'vote':
    case 'preVote':
      return message.transfer;
    case 'heartbeat':
    case 'heartbeatResponse':
      return message.rest;
    case 'snapshot':
      return message.snapshot.conf.autoLeave;
    default:
      return false;
  }
}

function flagsOf(message: Message): number {
  const isAnswer = message.kind === 'voteResponse' || message.kind === 'preVoteResponse';
  return (flagOf(message) ? FLAG : 0) | (isAnswer && message.commitIndex > 0 ? COMMIT_FLAG : 0);
}

function writeNodes(out: Buffer, nodes: readonly NodeId[], start: number): number {
  let at = out.writeUInt16BE(nodes.length, start);
  for (const node of nodes) at = out.writeUInt16BE(node, at);
  return at;
}

function writeConf(out: Buffer, conf: ConfState, start: number): number {
  let at = writeNodes(out, conf.voters, start);
  at = writeNodes(out, conf.votersOutgoing, at);
  at = writeNodes(out, conf.learners, at);
  return writeNodes(out, conf.learnersNext, at);
}

function writeMessage(out: Buffer, message: Message, start: number): number {
  let at = out.writeUInt8(KIND[message.kind], start);
  at = out.writeUInt8(flagsOf(message), at);
  at = out.writeUInt32BE(message.groupId, at);
  at = writeU64(out, message.term, at);
  switch (message.kind) {
    case 'append': {
      at = writeU64(out, message.prevIndex, at);
      at = writeU64(out, message.prevTerm, at);
      at = writeU64(out, message.commitIndex, at);
      at = out.writeDoubleBE(message.sentAtMs, at);
      at = out.writeUInt32BE(message.entries.length, at);
      let expected = message.prevIndex;
      for (const entry of message.entries) {
        expected += 1;
        assert(entry.index === expected, 'entries of an append follow prevIndex without a gap');
        at = writeU64(out, entry.term, at);
        at = out.writeUInt8(entry.kind, at);
        at = out.writeUInt32BE(entry.payload.length, at);
        at += entry.payload.copy(out, at);
      }
      return at;
    }
    case 'appendResponse':
      at = writeU64(out, message.index, at);
      at = writeU64(out, message.hintIndex, at);
      at = writeU64(out, message.hintTerm, at);
      return out.writeDoubleBE(message.sentAtMs, at);
    case 'heartbeat':
      at = writeU64(out, message.commitIndex, at);
      at = out.writeDoubleBE(message.sentAtMs, at);
      return writeU64(out, message.readRound, at);
    case 'heartbeatResponse':
      at = out.writeDoubleBE(message.sentAtMs, at);
      return writeU64(out, message.readRound, at);
    case 'vote':
    case 'preVote':
      at = writeU64(out, message.lastIndex, at);
      return writeU64(out, message.lastTerm, at);
    case 'voteResponse':
    case 'preVoteResponse':
      if (message.commitIndex === 0) return at;
      at = writeU64(out, message.commitIndex, at);
      return writeU64(out, message.commitTerm, at);
    case 'timeoutNow':
      return at;
    case 'snapshot':
      at = writeU64(out, message.snapshot.index, at);
      at = writeU64(out, message.snapshot.term, at);
      return writeConf(out, message.snapshot.conf, at);
    default:
      return assertNever(message);
  }
}

/**
 * Encodes a batch as one frame. Payloads are copied once, into the frame.
 * @param messages all for the same receiver
 */
export function encodeMessages(messages: readonly Message[]): Buffer {
  let bytes = HEADER_BYTES;
  for (const message of messages) bytes += messageBytes(message);
  const out = Buffer.allocUnsafe(bytes);
  let at = out.writeUInt8(VERSION, 0);
  at = out.writeUInt32BE(messages.length, at);
  for (const message of messages) at = writeMessage(out, message, at);
  assert(at === bytes, 'the size of a batch was computed as it was written');
  return out;
}

/** Reads fields in order; every read checks the frame's end. */
class Cursor {
  readonly frame: Buffer;
  at = 0;

  constructor(frame: Buffer) {
    this.frame = frame;
  }

  need(bytes: number): number {
    const start = this.at;
    if (start + bytes > this.frame.length) throw new MalformedFrameError(`frame ends inside a field at byte ${start}`);
    this.at = start + bytes;
    return start;
  }

  u8(): number {
    return this.frame[this.need(1)]!;
  }

  u16(): number {
    return this.frame.readUInt16BE(this.need(2));
  }

  u32(): number {
    return this.frame.readUInt32BE(this.need(4));
  }

  u64(): number {
    const start = this.need(8);
    const high = this.frame.readUInt32BE(start);
    if (high > 0x1f_ffff) throw new MalformedFrameError(`number above 2^53 at byte ${start}`);
    return high * TWO_32 + this.frame.readUInt32BE(start + 4);
  }

  f64(): number {
    return this.frame.readDoubleBE(this.need(8));
  }

  slice(bytes: number): Buffer {
    const start = this.need(bytes);
    return this.frame.subarray(start, start + bytes);
  }

  nodes(): NodeId[] {
    const nodes: NodeId[] = [];
    for (let left = this.u16(); left > 0; left--) nodes.push(nodeId(this.u16()));
    return nodes;
  }
}

function readEntries(cursor: Cursor, prevIndex: number): Entry[] {
  const count = cursor.u32();
  if (count * ENTRY_BYTES > cursor.frame.length) throw new MalformedFrameError(`${count} entries do not fit the frame`);
  const entries: Entry[] = [];
  for (let offset = 1; offset <= count; offset++) {
    const term = cursor.u64();
    const kind = cursor.u8();
    if (kind > MAX_ENTRY_KIND) throw new MalformedFrameError(`unknown entry kind ${kind}`);
    entries.push({ term, index: prevIndex + offset, kind: kind as EntryKind, payload: cursor.slice(cursor.u32()) });
  }
  return entries;
}

function readConf(cursor: Cursor, autoLeave: boolean): ConfState {
  return {
    voters: cursor.nodes(),
    votersOutgoing: cursor.nodes(),
    learners: cursor.nodes(),
    learnersNext: cursor.nodes(),
    autoLeave,
  };
}

function readMessage(cursor: Cursor, from: NodeId, to: NodeId): Message {
  const kind = cursor.u8();
  const flags = cursor.u8();
  const flag = (flags & FLAG) !== 0;
  const group: GroupId = groupId(cursor.u32());
  const term = cursor.u64();
  switch (kind) {
    case KIND.append: {
      const prevIndex = cursor.u64();
      const prevTerm = cursor.u64();
      const commitIndex = cursor.u64();
      const sentAtMs = cursor.f64();
      const entries = readEntries(cursor, prevIndex);
      return { kind: 'append', groupId: group, from, to, term, prevIndex, prevTerm, entries, commitIndex, sentAtMs };
    }
    case KIND.appendResponse: {
      const index = cursor.u64();
      const hintIndex = cursor.u64();
      const hintTerm = cursor.u64();
      const sentAtMs = cursor.f64();
      return {
        kind: 'appendResponse',
        groupId: group,
        from,
        to,
        term,
        index,
        reject: flag,
        hintIndex,
        hintTerm,
        sentAtMs,
      };
    }
    case KIND.heartbeat: {
      const commitIndex = cursor.u64();
      const sentAtMs = cursor.f64();
      const readRound = cursor.u64();
      return { kind: 'heartbeat', groupId: group, from, to, term, commitIndex, sentAtMs, readRound, rest: flag };
    }
    case KIND.heartbeatResponse: {
      const sentAtMs = cursor.f64();
      const readRound = cursor.u64();
      return { kind: 'heartbeatResponse', groupId: group, from, to, term, sentAtMs, readRound, rest: flag };
    }
    case KIND.vote:
    case KIND.preVote: {
      const lastIndex = cursor.u64();
      const lastTerm = cursor.u64();
      const name = kind === KIND.vote ? 'vote' : 'preVote';
      return { kind: name, groupId: group, from, to, term, lastIndex, lastTerm, transfer: flag };
    }
    case KIND.voteResponse:
    case KIND.preVoteResponse: {
      const hasCommit = (flags & COMMIT_FLAG) !== 0;
      const commitIndex = hasCommit ? cursor.u64() : 0;
      const commitTerm = hasCommit ? cursor.u64() : 0;
      const name = kind === KIND.voteResponse ? 'voteResponse' : 'preVoteResponse';
      return { kind: name, groupId: group, from, to, term, reject: flag, commitIndex, commitTerm };
    }
    case KIND.timeoutNow:
      return { kind: 'timeoutNow', groupId: group, from, to, term };
    case KIND.snapshot: {
      const index = cursor.u64();
      const snapshotTerm = cursor.u64();
      const snapshot = { index, term: snapshotTerm, conf: readConf(cursor, flag) };
      return { kind: 'snapshot', groupId: group, from, to, term, snapshot };
    }
    default:
      throw new MalformedFrameError(`unknown message kind ${kind}`);
  }
}

/**
 * Decodes a frame that came from `from`. Payloads are views of the frame.
 * @throws MalformedFrameError when the frame is of another version, holds an unknown kind, is cut or has bytes left over
 */
export function decodeMessages(frame: Buffer, from: NodeId, to: NodeId): Message[] {
  const cursor = new Cursor(frame);
  const version = cursor.u8();
  if (version !== VERSION) throw new MalformedFrameError(`frame version ${version}, expected ${VERSION}`);
  const count = cursor.u32();
  const messages: Message[] = [];
  for (let left = count; left > 0; left--) messages.push(readMessage(cursor, from, to));
  if (cursor.at !== frame.length)
    throw new MalformedFrameError(`${frame.length - cursor.at} bytes after the last message`);
  return messages;
}

/** What a snapshot stream announces before its frames. */
export interface SnapshotHeader {
  readonly groupId: GroupId;
  /** Term of the sending leader. */
  readonly term: number;
  readonly meta: SnapshotMeta;
}

/** Header of a snapshot stream: the token message as a batch of one. */
export function encodeSnapshotHeader(header: SnapshotHeader, from: NodeId, to: NodeId): Buffer {
  return encodeMessages([
    { kind: 'snapshot', groupId: header.groupId, from, to, term: header.term, snapshot: header.meta },
  ]);
}

/** @throws MalformedFrameError */
export function decodeSnapshotHeader(bytes: Buffer, from: NodeId, to: NodeId): Extract<Message, { kind: 'snapshot' }> {
  const message = decodeMessages(bytes, from, to)[0];
  if (message?.kind !== 'snapshot') throw new MalformedFrameError('a snapshot stream starts with its token');
  return message;
}
