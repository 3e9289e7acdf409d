/**
 * What the state machine keeps beside the data, in the same atomic unit: the term of the applied entry, the largest
 * timestamp ever applied, the membership, what the group owns and what it takes in. Fixed layouts, big-endian.
 */

import type { JobId } from '../../distribution/index.ts';
import { type HlcTimestamp, hlcTimestamp, type Millis, type NodeId, nodeId, type Term } from '../../platform/index.ts';
import type { ConfState } from '../../raftengine/index.ts';
import { CorruptEntryError, type ImportState } from '../contract/index.ts';

/** Names of the meta values in the store. */
export const MetaName = {
  Applied: 'kv.applied',
  Conf: 'kv.conf',
  /** The span table, in its own codec. */
  Spans: 'kv.spans',
  /** How far each job that copies to here has come. */
  Imports: 'kv.imports',
  /** Which oracle the group listens to; absent until that is changed for the first time. */
  Authority: 'kv.authority',
  /** A GC threshold that came with a range while another move needed history: it counts when none does. */
  HeldGc: 'kv.heldGc',
  /** Transactions that began at or below it get no locks; absent until the first certification for collection. */
  TxnFloor: 'kv.txnFloor',
} as const;

/** Stored under `MetaName.Applied` with every entry. */
export interface AppliedMeta {
  readonly term: Term;
  /** Largest commit timestamp ever applied (protocols §1.3 `max_ts`). */
  readonly maxTs: HlcTimestamp;
  /** Leaders issue timestamps below it, and the next one begins at it; 0 before the first was committed. */
  readonly ceilingMs: Millis;
}

/** Value of `MetaName.Applied`: term u64, maxTs u64, and once there is one the ceiling u64. */
export function encodeAppliedMeta({ term, maxTs, ceilingMs }: AppliedMeta): Buffer {
  const buffer = Buffer.allocUnsafe(ceilingMs === 0 ? 16 : 24);
  writeUint53(buffer, term, 0);
  buffer.writeBigUInt64BE(maxTs, 8);
  if (ceilingMs !== 0) writeUint53(buffer, ceilingMs, 16);
  return buffer;
}

/** @throws CorruptEntryError */
export function decodeAppliedMeta(buffer: Buffer): AppliedMeta {
  if (buffer.length !== 16 && buffer.length !== 24) {
    throw new CorruptEntryError('the stored applied state has the wrong length');
  }
  return {
    term: readUint53(buffer, 0),
    maxTs: hlcTimestamp(buffer.readBigUInt64BE(8)),
    ceilingMs: buffer.length === 16 ? 0 : readUint53(buffer, 16),
  };
}

function writeUint53(buffer: Buffer, value: number, offset: number): void {
  buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), offset);
  buffer.writeUInt32BE(value >>> 0, offset + 4);
}

function readUint53(buffer: Buffer, offset: number): number {
  return buffer.readUInt32BE(offset) * 0x1_0000_0000 + buffer.readUInt32BE(offset + 4);
}

/** Layout: autoLeave u8, then four lists, each count u16 and node ids u16. */
export function encodeConf(conf: ConfState): Buffer {
  const lists = [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext];
  const buffer = Buffer.allocUnsafe(1 + lists.reduce((size, list) => size + 2 + 2 * list.length, 0));
  buffer[0] = conf.autoLeave ? 1 : 0;
  let offset = 1;
  for (const list of lists) {
    offset = buffer.writeUInt16BE(list.length, offset);
    for (const id of list) offset = buffer.writeUInt16BE(id, offset);
  }
  return buffer;
}

/** @throws CorruptEntryError */
export function decodeConf(buffer: Buffer): ConfState {
  let offset = 1;
  const readList = (): NodeId[] => {
    if (offset + 2 > buffer.length) throw new CorruptEntryError('a stored membership is cut short');
    const count = buffer.readUInt16BE(offset);
    offset += 2;
    if (offset + 2 * count > buffer.length) throw new CorruptEntryError('a stored membership is cut short');
    const list: NodeId[] = [];
    for (let at = 0; at < count; at++, offset += 2) list.push(nodeId(buffer.readUInt16BE(offset)));
    return list;
  };
  const voters = readList();
  const votersOutgoing = readList();
  const learners = readList();
  const learnersNext = readList();
  if (offset !== buffer.length || buffer[0]! > 1) throw new CorruptEntryError('a stored membership is damaged');
  return { voters, votersOutgoing, learners, learnersNext, autoLeave: buffer[0] === 1 };
}

/** Value of `MetaName.Imports`: count u32, then ascending job u64, attempt u32, seq u64, bookmark with its length u32. */
export function encodeImports(imports: ReadonlyMap<JobId, ImportState>): Buffer {
  const rows = [...imports].sort(([a], [b]) => a - b);
  const buffer = Buffer.allocUnsafe(4 + rows.reduce((size, [, { bookmark }]) => size + 24 + bookmark.length, 0));
  let offset = buffer.writeUInt32BE(rows.length, 0);
  for (const [job, { attempt, seq, bookmark }] of rows) {
    writeUint53(buffer, job, offset);
    buffer.writeUInt32BE(attempt, offset + 8);
    writeUint53(buffer, seq, offset + 12);
    offset = buffer.writeUInt32BE(bookmark.length, offset + 20);
    offset += bookmark.copy(buffer, offset);
  }
  return buffer;
}

/** @throws CorruptEntryError */
export function decodeImports(buffer: Buffer): Map<JobId, ImportState> {
  const imports = new Map<JobId, ImportState>();
  const cut = (): CorruptEntryError => new CorruptEntryError('the stored imports are cut short');
  if (buffer.length < 4) throw cut();
  let offset = 4;
  for (let left = buffer.readUInt32BE(0); left > 0; left--) {
    if (offset + 24 > buffer.length) throw cut();
    const end = offset + 24 + buffer.readUInt32BE(offset + 20);
    if (end > buffer.length) throw cut();
    imports.set(readUint53(buffer, offset), {
      attempt: buffer.readUInt32BE(offset + 8),
      seq: readUint53(buffer, offset + 12),
      bookmark: Buffer.from(buffer.subarray(offset + 24, end)),
    });
    offset = end;
  }
  if (offset !== buffer.length) throw new CorruptEntryError('the stored imports are damaged');
  return imports;
}
