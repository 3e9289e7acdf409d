/**
 * What the state machine keeps beside the data, in the same atomic unit: the term of the applied entry, the largest
 * timestamp ever applied, the membership, what the group owns and what it takes in. Fixed layouts, big-endian.
 */

import type { JobId } from '../../distribution/index.ts';
import {
  ByteReader,
  ByteWriter,
  type HlcTimestamp,
  type Millis,
  type NodeId,
  nodeId,
  type Term,
} from '../../platform/index.ts';
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
  /** Largest commit timestamp ever applied. */
  readonly maxTs: HlcTimestamp;
  /** Leaders issue timestamps below it, and the next one begins at it; 0 before the first was committed. */
  readonly ceilingMs: Millis;
}

/** Value of `MetaName.Applied`: term u64, maxTs u64, and once there is one the ceiling u64. */
export function encodeAppliedMeta({ term, maxTs, ceilingMs }: AppliedMeta): Buffer {
  const writer = new ByteWriter(ceilingMs === 0 ? 16 : 24).u53(term).u64(maxTs);
  if (ceilingMs !== 0) writer.u53(ceilingMs);
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeAppliedMeta(buffer: Buffer): AppliedMeta {
  const reader = new ByteReader(buffer, 'the stored applied state', CorruptEntryError);
  const meta = { term: reader.u53(), maxTs: reader.timestamp(), ceilingMs: reader.isAtEnd ? 0 : reader.u53() };
  reader.end();
  return meta;
}

/** Layout: autoLeave u8, then four lists, each count u16 and node ids u16. */
export function encodeConf(conf: ConfState): Buffer {
  const writer = new ByteWriter().u8(conf.autoLeave ? 1 : 0);
  for (const list of [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext]) {
    writer.u16(list.length);
    for (const id of list) writer.u16(id);
  }
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeConf(buffer: Buffer): ConfState {
  const reader = new ByteReader(buffer, 'a stored membership', CorruptEntryError);
  const readList = (): NodeId[] => {
    const list: NodeId[] = [];
    for (let left = reader.u16(); left > 0; left--) list.push(nodeId(reader.u16()));
    return list;
  };
  const autoLeave = reader.flag();
  const voters = readList();
  const votersOutgoing = readList();
  const learners = readList();
  const learnersNext = readList();
  reader.end();
  return { voters, votersOutgoing, learners, learnersNext, autoLeave };
}

/** Value of `MetaName.Imports`: count u32, then ascending job u64, attempt u32, seq u64, bookmark with its length u32. */
export function encodeImports(imports: ReadonlyMap<JobId, ImportState>): Buffer {
  const rows = [...imports].sort(([a], [b]) => a - b);
  const writer = new ByteWriter().u32(rows.length);
  for (const [job, { attempt, seq, bookmark }] of rows) writer.u53(job).u32(attempt).u53(seq).bytes(bookmark);
  return writer.finish();
}

/** @throws CorruptEntryError */
export function decodeImports(buffer: Buffer): Map<JobId, ImportState> {
  const reader = new ByteReader(buffer, 'a table of imports', CorruptEntryError);
  const imports = new Map<JobId, ImportState>();
  for (let left = reader.u32(); left > 0; left--) {
    const job = reader.u53();
    imports.set(job, { attempt: reader.u32(), seq: reader.u53(), bookmark: reader.bytes() });
  }
  reader.end();
  return imports;
}
