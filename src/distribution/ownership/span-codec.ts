/**
 * Bytes of span tables and span commands. The table is one value of the group's replicated state, written with the entry
 * that changed it; a command is the body of a log entry. Timestamps and numbers big-endian, lists with their length first.
 */

import { assertNever, ByteReader, ByteWriter, groupId } from '../../platform/index.ts';
import { CatalogCorruptError } from '../contract/index.ts';
import { JOB_ENDS, SpanTable } from './span-table.ts';
import { SPAN_STATES, type Span, type SpanCommand } from './span-types.ts';

const CODEC = 1;

/** Disk values of commands: only ever append. */
const KINDS: readonly SpanCommand['kind'][] = [
  'assign',
  'incoming',
  'captureOn',
  'captureOff',
  'fence',
  'unfence',
  'release',
  'activate',
  'drop',
  'purge',
  'forget',
];

/** The table as one value. */
export function encodeSpanTable(table: SpanTable): Buffer {
  const writer = new ByteWriter(64 + 96 * table.spans.length).u8(CODEC).u32(table.spans.length);
  for (const span of table.spans) {
    writer
      .bytes(span.start)
      .optional(span.end)
      .u8(SPAN_STATES.indexOf(span.state))
      .u53(span.epoch)
      .u64(span.minWriteTs)
      .u53(span.job)
      .u32(span.attempt)
      .u32(span.dst ?? 0)
      .u8(span.isPurged ? 1 : 0);
  }
  writer.u53(table.closed.floor).u32(table.closed.ends.length);
  for (const { job, end } of table.closed.ends) writer.u53(job).u8(JOB_ENDS.indexOf(end));
  return writer.finish();
}

/** @throws CatalogCorruptError for bytes of another codec, out of order or overlapping */
export function decodeSpanTable(bytes: Buffer): SpanTable {
  const reader = new ByteReader(bytes, 'a span table', CatalogCorruptError);
  reader.version(CODEC);
  const spans: Span[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const start = reader.bytes();
    const end = reader.optional();
    if (end !== undefined && Buffer.compare(start, end) >= 0) throw reader.corrupt('has an empty span');
    const last = spans.at(-1);
    if (last !== undefined && (last.end === undefined || Buffer.compare(last.end, start) > 0)) {
      throw reader.corrupt('has overlapping spans');
    }
    spans.push({
      start,
      end,
      state: reader.oneOf(SPAN_STATES),
      epoch: reader.u53(),
      minWriteTs: reader.timestamp(),
      job: reader.u53(),
      attempt: reader.u32(),
      dst: groupOrNone(reader.u32()),
      isPurged: reader.flag(),
    });
  }
  const floor = reader.u53();
  const ends = Array.from({ length: reader.u32() }, () => ({ job: reader.u53(), end: reader.oneOf(JOB_ENDS) }));
  reader.end();
  return new SpanTable(spans, { floor, ends });
}

const groupOrNone = (id: number): Span['dst'] => (id === 0 ? undefined : groupId(id));

/** A command as the body of a log entry. */
export function encodeSpanCommand(command: SpanCommand): Buffer {
  const writer = new ByteWriter(64).u8(CODEC).u8(KINDS.indexOf(command.kind));
  switch (command.kind) {
    case 'assign':
      return writer.u53(command.epoch).bytes(command.start).optional(command.end).finish();
    case 'incoming':
      return writer.u53(command.job).u32(command.attempt).bytes(command.start).optional(command.end).finish();
    case 'captureOn':
      return writer.u53(command.job).bytes(command.start).optional(command.end).finish();
    case 'fence':
    case 'unfence':
      return writer.u53(command.job).u32(command.attempt).finish();
    case 'release':
      return writer.u53(command.job).u32(command.attempt).u32(command.dst).u64(command.fenceTs).finish();
    case 'activate':
      return writer.u53(command.job).u64(command.floor).u53(command.epoch).finish();
    case 'captureOff':
    case 'drop':
    case 'purge':
    case 'forget':
      return writer.u53(command.job).finish();
    default:
      return assertNever(command);
  }
}

/** @throws CatalogCorruptError; an unknown command stops the replica */
export function decodeSpanCommand(bytes: Buffer): SpanCommand {
  const reader = new ByteReader(bytes, 'a span command', CatalogCorruptError);
  reader.version(CODEC);
  const command = readBody(reader, reader.oneOf(KINDS));
  reader.end();
  return command;
}

function readBody(reader: ByteReader, kind: SpanCommand['kind']): SpanCommand {
  switch (kind) {
    case 'assign':
      return { kind, epoch: reader.u53(), start: reader.bytes(), end: reader.optional() };
    case 'incoming':
      return { kind, job: reader.u53(), attempt: reader.u32(), start: reader.bytes(), end: reader.optional() };
    case 'captureOn':
      return { kind, job: reader.u53(), start: reader.bytes(), end: reader.optional() };
    case 'fence':
    case 'unfence':
      return { kind, job: reader.u53(), attempt: reader.u32() };
    case 'release':
      return {
        kind,
        job: reader.u53(),
        attempt: reader.u32(),
        dst: groupId(reader.u32()),
        fenceTs: reader.timestamp(),
      };
    case 'activate':
      return { kind, job: reader.u53(), floor: reader.timestamp(), epoch: reader.u53() };
    case 'captureOff':
    case 'drop':
    case 'purge':
    case 'forget':
      return { kind, job: reader.u53() };
    default:
      return assertNever(kind);
  }
}
