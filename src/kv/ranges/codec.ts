/**
 * Bytes of the service `span`: what a driver asks of the leader of a group, and the answers. Big-endian, lengths first.
 *
 *   request  := codec u8, kind u8, group u32, body
 *   versions := count u32, (key, commitTs u64, expireTs u64, [value])*
 *   sides    := count u32, (key, name, [value])*
 */
import {
  decodeSpanCommand,
  decodeSpanTable,
  encodeSpanCommand,
  encodeSpanTable,
  JOB_ENDS,
  type JobId,
  type Span,
  type SpanCommand,
  type SpanOutcome,
  SpanTable,
} from '../../distribution/index.ts';
import { assertNever, ByteReader, ByteWriter, type GroupId, groupId, hlcTimestamp } from '../../platform/index.ts';
import type { ExportedVersion } from '../../store/index.ts';
import {
  type BackfillPage,
  type BackfillRequest,
  type CapturePage,
  type CapturePoint,
  type CaptureRequest,
  CorruptEntryError,
  type ImportOutcome,
  type ImportRequest,
  type ImportState,
  type JobState,
  type SideChange,
  type SpanReply,
  type SpanRequest,
} from '../contract/index.ts';

/** Name under which group leaders answer. */
export const SPAN_SERVICE = 'span';

const CODEC = 1;
/** Wire values: only ever append. */
const KINDS = ['command', 'job', 'backfill', 'captured', 'import'] as const;
const IMPORT_REFUSALS = ['UNKNOWN_JOB', 'STALE_ATTEMPT', 'IMPORT_GAP', 'NOT_INCOMING'] as const;
/** Stands for the timestamp that the source's leader will put in. */
const LEFT_OPEN = hlcTimestamp(0n);

/** One question to a group. */
export type SpanMessage =
  | { readonly kind: 'command'; readonly group: GroupId; readonly request: SpanRequest }
  | { readonly kind: 'job'; readonly group: GroupId; readonly job: JobId }
  | { readonly kind: 'backfill'; readonly group: GroupId; readonly request: BackfillRequest }
  | {
      readonly kind: 'captured';
      readonly group: GroupId;
      readonly job: JobId;
      readonly from: CapturePoint;
      readonly maxBytes: number;
    }
  | { readonly kind: 'import'; readonly group: GroupId; readonly request: ImportRequest };

/** Encodes a question. */
export function encodeSpanMessage(message: SpanMessage): Buffer {
  const writer = new ByteWriter(256).u8(CODEC).u8(KINDS.indexOf(message.kind)).u32(message.group);
  switch (message.kind) {
    case 'command':
      writeRequest(writer, message.request);
      break;
    case 'job':
      writer.u53(message.job);
      break;
    case 'backfill': {
      const { job, start, after, maxBytes } = message.request;
      writer.u53(job).bytes(start);
      writeOptionalTs(writer, after);
      writer.u32(maxBytes);
      break;
    }
    case 'captured':
      writer.u53(message.job).u32(message.maxBytes);
      writePoint(writer, message.from);
      break;
    case 'import': {
      const { job, attempt, seq, bookmark, follows, versions, sides } = message.request;
      writer.u53(job).u32(attempt).u53(seq).bytes(bookmark);
      writeVersions(writer, versions);
      writeSides(writer, sides);
      writer.optional(follows);
      break;
    }
    default:
      assertNever(message);
  }
  return writer.finish();
}

/** @throws CorruptEntryError for bytes that `encodeSpanMessage` cannot have written */
export function decodeSpanMessage(bytes: Buffer): SpanMessage {
  const reader = new ByteReader(bytes, 'a question about a span', CorruptEntryError);
  reader.version(CODEC);
  const kind = reader.oneOf(KINDS);
  const group = groupId(reader.u32());
  const message = readBody(reader, kind, group);
  reader.end();
  return message;
}

function readBody(reader: ByteReader, kind: (typeof KINDS)[number], group: GroupId): SpanMessage {
  switch (kind) {
    case 'command':
      return { kind, group, request: readRequest(reader) };
    case 'job':
      return { kind, group, job: reader.u53() };
    case 'backfill': {
      const request = {
        job: reader.u53(),
        start: reader.bytes(),
        after: readOptionalTs(reader),
        maxBytes: reader.u32(),
      };
      return { kind, group, request };
    }
    case 'captured':
      return { kind, group, job: reader.u53(), maxBytes: reader.u32(), from: readPoint(reader) };
    case 'import': {
      const head = { job: reader.u53(), attempt: reader.u32(), seq: reader.u53(), bookmark: reader.bytes() };
      const request = { ...head, versions: readVersions(reader), sides: readSides(reader) };
      const follows = reader.optional();
      return { kind, group, request: follows === undefined ? request : { ...request, follows } };
    }
    default:
      return assertNever(kind);
  }
}

function writeRequest(writer: ByteWriter, request: SpanRequest): void {
  const command: SpanCommand = request.kind === 'release' ? { ...request, fenceTs: LEFT_OPEN } : request;
  writer.bytes(encodeSpanCommand(command));
  if (request.kind === 'activate') writer.u64(request.gcThreshold).u53(request.imports);
  if (request.kind === 'captureOn') writeOptionalTs(writer, request.above);
  if (request.kind === 'fence') writeCaptureRequest(writer, request.captured);
}

function readRequest(reader: ByteReader): SpanRequest {
  const command = decodeSpanCommand(reader.bytes());
  if (command.kind === 'release') {
    const { kind, job, attempt, dst } = command;
    return { kind, job, attempt, dst };
  }
  if (command.kind === 'captureOn') {
    const above = readOptionalTs(reader);
    return above === undefined ? command : { ...command, above };
  }
  if (command.kind === 'fence') {
    const captured = readCaptureRequest(reader);
    return captured === undefined ? command : { ...command, captured };
  }
  if (command.kind !== 'activate') return command;
  return { ...command, gcThreshold: reader.timestamp(), imports: reader.u53() };
}

function writeOptionalTs(writer: ByteWriter, ts: BackfillRequest['after']): void {
  writer.u8(ts === undefined ? 0 : 1);
  if (ts !== undefined) writer.u64(ts);
}

const readOptionalTs = (reader: ByteReader): BackfillRequest['after'] =>
  reader.flag() ? reader.timestamp() : undefined;

function writePoint(writer: ByteWriter, { index, position }: CapturePoint): void {
  writer.u53(index).u53(position);
}

const readPoint = (reader: ByteReader): CapturePoint => ({ index: reader.u53(), position: reader.u53() });

function writeCaptureRequest(writer: ByteWriter, request: CaptureRequest | undefined): void {
  writer.u8(request === undefined ? 0 : 1);
  if (request === undefined) return;
  writePoint(writer, request.from);
  writer.u32(request.maxBytes);
}

const readCaptureRequest = (reader: ByteReader): CaptureRequest | undefined =>
  reader.flag() ? { from: readPoint(reader), maxBytes: reader.u32() } : undefined;

function writeSides(writer: ByteWriter, sides: readonly SideChange[] = []): void {
  writer.u32(sides.length);
  for (const { key, name, value } of sides) writer.bytes(key).bytes(name).optional(value);
}

function readSides(reader: ByteReader): SideChange[] {
  const sides: SideChange[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    sides.push({ key: reader.bytes(), name: reader.bytes(), value: reader.optional() });
  }
  return sides;
}

function writeVersions(writer: ByteWriter, versions: readonly ExportedVersion[]): void {
  writer.u32(versions.length);
  for (const { key, commitTs, expireTs, value } of versions) {
    writer.bytes(key).u64(commitTs).u64(expireTs).optional(value);
  }
}

function readVersions(reader: ByteReader): ExportedVersion[] {
  const versions: ExportedVersion[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    versions.push({
      key: reader.bytes(),
      commitTs: reader.timestamp(),
      expireTs: reader.timestamp(),
      value: reader.optional(),
    });
  }
  return versions;
}

function writeSpan(writer: ByteWriter, span: Span | undefined): void {
  writer.optional(span === undefined ? undefined : encodeSpanTable(new SpanTable([span], { floor: 0, ends: [] })));
}

function readSpan(reader: ByteReader): Span | undefined {
  const bytes = reader.optional();
  return bytes === undefined ? undefined : decodeSpanTable(bytes).spans[0];
}

function writeImports(writer: ByteWriter, { attempt, seq, bookmark }: ImportState): void {
  writer.u32(attempt).u53(seq).bytes(bookmark);
}

const readImports = (reader: ByteReader): ImportState => ({
  attempt: reader.u32(),
  seq: reader.u53(),
  bookmark: reader.bytes(),
});

/** Reads an answer to its end. */
function answer<T>(bytes: Buffer, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(bytes, 'an answer about a span', CorruptEntryError);
  reader.version(CODEC);
  const result = read(reader);
  reader.end();
  return result;
}

const begin = (expectedBytes = 128): ByteWriter => new ByteWriter(expectedBytes).u8(CODEC);

/** Encodes the answer to a command. */
export function encodeSpanReply({ outcome, gcThreshold, captured }: SpanReply): Buffer {
  const writer = begin()
    .u64(gcThreshold)
    .u8(outcome.kind === 'done' ? 1 : 0);
  if (outcome.kind === 'done') {
    writer.u8(outcome.isChanged ? 1 : 0);
    writeSpan(writer, outcome.span);
  } else writer.text(outcome.reason);
  writer.u8(captured === undefined ? 0 : 1);
  if (captured !== undefined) writeCapturePage(writer, captured);
  return writer.finish();
}

/** @throws CorruptEntryError */
export const decodeSpanReply = (bytes: Buffer): SpanReply =>
  answer(bytes, (reader) => {
    const gcThreshold = reader.timestamp();
    const outcome: SpanOutcome = reader.flag()
      ? { kind: 'done', isChanged: reader.flag(), span: readSpan(reader) }
      : { kind: 'refused', reason: reader.text() as Extract<SpanOutcome, { kind: 'refused' }>['reason'] };
    const reply = { outcome, gcThreshold };
    return reader.flag() ? { ...reply, captured: readCapturePage(reader) } : reply;
  });

/** Encodes what a group knows of a job. */
export function encodeJobState({ span, end, imports, gcThreshold, nowTs, reachTs }: JobState): Buffer {
  const writer = begin().u64(gcThreshold).u64(nowTs).u64(reachTs);
  writeSpan(writer, span);
  writer.u8(end === undefined ? 0 : 1 + JOB_ENDS.indexOf(end)).u8(imports === undefined ? 0 : 1);
  if (imports !== undefined) writeImports(writer, imports);
  return writer.finish();
}

/** @throws CorruptEntryError */
export const decodeJobState = (bytes: Buffer): JobState =>
  answer(bytes, (reader) => {
    const [gcThreshold, nowTs, reachTs] = [reader.timestamp(), reader.timestamp(), reader.timestamp()];
    const span = readSpan(reader);
    const end = JOB_ENDS[reader.u8() - 1];
    const imports = reader.flag() ? readImports(reader) : undefined;
    return { span, end, imports, gcThreshold, nowTs, reachTs };
  });

/** Encodes a page of histories. */
export function encodeBackfillPage({ versions, sides, next }: BackfillPage): Buffer {
  const writer = begin(1 << 20).u8(next === undefined ? 0 : 1);
  if (next !== undefined) {
    writer.bytes(next.start);
    writeOptionalTs(writer, next.after);
  }
  writeVersions(writer, versions);
  writeSides(writer, sides);
  return writer.finish();
}

/** @throws CorruptEntryError */
export const decodeBackfillPage = (bytes: Buffer): BackfillPage =>
  answer(bytes, (reader) => {
    const next = reader.flag() ? { start: reader.bytes(), after: readOptionalTs(reader) } : undefined;
    return { next, versions: readVersions(reader), sides: readSides(reader) };
  });

function writeCapturePage(writer: ByteWriter, { versions, sides, next, isEnd }: CapturePage): void {
  writer.u8(isEnd ? 1 : 0);
  writePoint(writer, next);
  writeVersions(writer, versions);
  writeSides(writer, sides);
}

function readCapturePage(reader: ByteReader): CapturePage {
  const isEnd = reader.flag();
  const next = readPoint(reader);
  return { isEnd, next, versions: readVersions(reader), sides: readSides(reader) };
}

/** Encodes a piece of a capture log. */
export function encodeCapturePage(page: CapturePage): Buffer {
  const writer = begin(1 << 16);
  writeCapturePage(writer, page);
  return writer.finish();
}

/** @throws CorruptEntryError */
export const decodeCapturePage = (bytes: Buffer): CapturePage => answer(bytes, readCapturePage);

/** Encodes what became of an import. */
export function encodeImportOutcome(outcome: ImportOutcome): Buffer {
  const writer = begin().u8(outcome.kind === 'done' ? 1 : 0);
  if (outcome.kind === 'done') writeImports(writer, outcome.state);
  else writer.u8(IMPORT_REFUSALS.indexOf(outcome.reason));
  return writer.finish();
}

/** @throws CorruptEntryError */
export const decodeImportOutcome = (bytes: Buffer): ImportOutcome =>
  answer(bytes, (reader) =>
    reader.flag()
      ? { kind: 'done', state: readImports(reader) }
      : { kind: 'refused', reason: reader.oneOf(IMPORT_REFUSALS) },
  );
