/** Log entries of every kind as objects. */
import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import { CorruptEntryError, type ImportRequest } from '../contract/index.ts';
import type { FenceCommand } from '../time/index.ts';
import {
  EntryReader,
  type Expectation,
  type ExpiredVersion,
  type Mutation,
  Opcode,
  readExpectation,
  readMark,
  readMutation,
  readPurge,
} from './entry.ts';
import { readImport, readSpan, type SpanEntry } from './span-entries.ts';
import { readFence, readLease } from './time-entries.ts';

/** An entry as objects, for tools and tests; the state machine streams instead. */
export type DecodedEntry =
  | {
      readonly opcode: 'batch';
      /** 0 when it carries none. */
      readonly ceilingMs: Millis;
      readonly commitTs: HlcTimestamp;
      readonly unitCount: number;
      readonly expects: readonly Expectation[];
      readonly mutations: readonly Mutation[];
    }
  | { readonly opcode: 'hlcLease'; readonly ceilingMs: Millis }
  | ({ readonly opcode: 'tsFence' } & FenceCommand)
  | { readonly opcode: 'setGc'; readonly threshold: HlcTimestamp }
  | { readonly opcode: 'txnFloor'; readonly floor: HlcTimestamp }
  | { readonly opcode: 'purgeExpired'; readonly commitTs: HlcTimestamp; readonly versions: readonly ExpiredVersion[] }
  | ({ readonly opcode: 'span' } & SpanEntry)
  | ({ readonly opcode: 'import' } & ImportRequest);

/** Decodes any entry into objects. @throws CorruptEntryError for anything that `encode*` cannot have written */
export function decodeEntry(payload: Buffer): DecodedEntry {
  const reader = new EntryReader(payload);
  switch (payload[0]) {
    case Opcode.Batch: {
      const ceilingMs = reader.batchCeiling();
      const commitTs = reader.timestamp();
      const unitCount = reader.u32();
      const expectCount = reader.u32();
      const mutationCount = reader.u32();
      const expects: Expectation[] = [];
      const mutations: Mutation[] = [];
      for (let left = expectCount; left > 0; left--) expects.push(readExpectation(reader, unitCount));
      for (let left = mutationCount; left > 0; left--) mutations.push(readMutation(reader, unitCount));
      reader.end();
      return { opcode: 'batch', ceilingMs, commitTs, unitCount, expects, mutations };
    }
    case Opcode.HlcLease:
      return { opcode: 'hlcLease', ceilingMs: readLease(reader) };
    case Opcode.TsFence:
      return { opcode: 'tsFence', ...readFence(reader) };
    case Opcode.SetGc:
      return { opcode: 'setGc', threshold: readMark(reader) };
    case Opcode.TxnFloor:
      return { opcode: 'txnFloor', floor: readMark(reader) };
    case Opcode.PurgeExpired:
      return { opcode: 'purgeExpired', ...readPurge(reader) };
    case Opcode.Span:
      return { opcode: 'span', ...readSpan(reader) };
    case Opcode.Import:
      return { opcode: 'import', ...readImport(reader) };
    default:
      throw new CorruptEntryError(`an entry has unknown opcode ${payload[0]}; this replica is too old to apply it`);
  }
}
