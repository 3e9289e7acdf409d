/**
 * What is remembered of a replacement under way, so that whoever asks next goes on with it: the notes of a unit of work in the
 * catalog. Ids of groups are told by their differences, so that some thousands of them fit.
 *
 *   record := codec u8, incarnation 16 bytes, successor u16, address str8, isRemoved u8, groups, groups (voter, learner)
 *   groups := count varint, first and differences varint each
 */

import { MAX_WORK_PROGRESS_BYTES } from '../../distribution/index.ts';
import { type GroupId, groupId, type NodeId, nodeId } from '../../platform/index.ts';
import { AdminError } from '../contract/index.ts';

export interface ReplaceRecord {
  /** Of the life that is replaced. */
  readonly incarnation: Buffer;
  readonly successor: NodeId;
  readonly address: string;
  /** The dead node has left all groups; a member with its id is the successor from here on. */
  readonly isRemoved: boolean;
  /** Where it had a vote. */
  readonly voterOf: readonly GroupId[];
  /** Where it was a learner. */
  readonly learnerOf: readonly GroupId[];
}

const CODEC = 1;

/** Name of the unit of work. */
export const replaceWork = (dead: NodeId): string => `replace/${dead}`;

function putVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}

function putGroups(bytes: number[], groups: readonly GroupId[]): void {
  putVarint(bytes, groups.length);
  let before = 0;
  for (const id of groups.toSorted((left, right) => left - right)) {
    putVarint(bytes, id - before);
    before = id;
  }
}

/** @throws AdminError TOO_MANY_GROUPS when it does not fit */
export function encodeReplace(record: ReplaceRecord): Buffer {
  const address = Buffer.from(record.address);
  const bytes = [CODEC, ...record.incarnation, record.successor >>> 8, record.successor & 0xff];
  bytes.push(address.length, ...address, record.isRemoved ? 1 : 0);
  putGroups(bytes, record.voterOf);
  putGroups(bytes, record.learnerOf);
  if (bytes.length > MAX_WORK_PROGRESS_BYTES) {
    const count = record.voterOf.length + record.learnerOf.length;
    throw new AdminError(
      'INVALID_ARGUMENT',
      `a replacement of ${count} replicas at once cannot be written down; take the node out of some groups with \`remove\` first`,
    );
  }
  return Buffer.from(bytes);
}

/** @throws AdminError for notes of another version */
export function decodeReplace(bytes: Buffer): ReplaceRecord {
  let at = 0;
  const next = (): number => {
    const byte = bytes[at++];
    if (byte === undefined) throw unreadable();
    return byte;
  };
  const varint = (): number => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = next();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw unreadable();
    at += length;
    return bytes.subarray(at - length, at);
  };
  const groups = (): GroupId[] => {
    const found: GroupId[] = [];
    let id = 0;
    for (let left = varint(); left > 0; left--) {
      id += varint();
      found.push(groupId(id));
    }
    return found;
  };
  if (next() !== CODEC) throw unreadable();
  const incarnation = Buffer.from(take(16));
  const successor = nodeId((next() << 8) | next());
  const address = take(next()).toString();
  const isRemoved = next() === 1;
  return { incarnation, successor, address, isRemoved, voterOf: groups(), learnerOf: groups() };
}

const unreadable = (): AdminError =>
  new AdminError('REPLACE_CONFLICT', 'the notes of the replacement are of a newer program; ask a node that has it');
