/** Switching streams of tables on and off. */
import { type DynamoError, validationError } from '../errors/index.ts';
import { openStream, type TableDescriptor, type TableStream } from './descriptor.ts';
import type { WireStreamSpecification } from './requests.ts';
import { INVALID } from './table-checks.ts';

/** How long a stream that was switched off is still read. */
const KEPT_MS = 24 * 60 * 60 * 1000;
/** How long its records are kept. */
export const STREAM_RECORDS_MS = KEPT_MS + 60 * 60 * 1000;
const GENERATIONS = 256;

/** What `StreamSpecification` asks for has to be whole. @throws DynamoError */
export function checkStream(wire: WireStreamSpecification | undefined): void {
  if (wire === undefined) return;
  const hasView = wire.StreamViewType !== undefined;
  if (wire.StreamEnabled && !hasView) throw streamInvalid('StreamViewType is required when StreamEnabled is true');
  if (!wire.StreamEnabled && hasView) throw streamInvalid('StreamViewType must not be set when StreamEnabled is false');
}

const streamInvalid = (what: string): DynamoError => validationError(`${INVALID}${what}`);

/** A new stream behind those that there were. */
export function withNewStream(
  streams: readonly TableStream[],
  viewType: TableStream['viewType'],
  nowMs: number,
): TableStream[] {
  const kept = streams.filter(({ disabledMs }) => disabledMs === undefined || disabledMs > nowMs - KEPT_MS);
  const generation = ((streams.at(-1)?.generation ?? -1) + 1) % GENERATIONS;
  // Labels name streams for good, so two have different ones.
  const enabledMs = Math.max(nowMs, (streams.at(-1)?.enabledMs ?? 0) + 1);
  const label = new Date(enabledMs).toISOString().slice(0, -1);
  return [...kept, { generation, viewType, label, enabledMs }];
}

/** Streams whose records are there still. */
export const keptStreams = ({ streams }: TableDescriptor, nowMs: number): readonly TableStream[] =>
  streams.filter(({ disabledMs }) => disabledMs === undefined || nowMs - disabledMs <= STREAM_RECORDS_MS);

/** A table that is to be deleted: its streams end, and can be read for a day. */
export const withoutOpenStream = (table: TableDescriptor, nowMs: number): TableDescriptor => ({
  ...table,
  streams: table.streams.map((stream) => ({ ...stream, disabledMs: stream.disabledMs ?? nowMs })),
});

/** Streams of a table after a change. @throws DynamoError when it is so already */
export function changedStreams(table: TableDescriptor, wire: WireStreamSpecification, nowMs: number): TableStream[] {
  const open = openStream(table);
  if (wire.StreamEnabled) {
    if (open !== undefined) throw validationError(`Table already has an enabled stream: TableName: ${table.name}`);
    return withNewStream(table.streams, wire.StreamViewType!, nowMs);
  }
  if (open === undefined) throw validationError(`Table has no stream to disable: TableName: ${table.name}`);
  return table.streams.map((stream) => (stream === open ? { ...stream, disabledMs: nowMs } : stream));
}
