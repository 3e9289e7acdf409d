/** A node's report of a window as bytes, on its way to the catalog leader. */

import { ByteReader, ByteWriter, type GroupId, groupId, nodeId } from '../../platform/index.ts';
import { CatalogCorruptError } from '../contract/index.ts';
import type { CoarseLoad, LoadDetail, ReportedWindow, RouteLoad, TopKey } from './load-window.ts';

const CODEC = 1;

/** The report of a window. */
export function encodeWindow(window: ReportedWindow): Buffer {
  const writer = new ByteWriter(1024).u8(CODEC).u16(window.nodeId).u53(window.startMs).u53(window.endMs);
  writer.u32(window.ledGroups.length);
  for (const group of window.ledGroups) writer.u32(group);
  writer.u32(window.routes.length);
  for (const load of window.routes) writeLoad(writer, load);
  writer.u32(window.coarse.length);
  for (const { groupId: group, reads, writes } of window.coarse) writer.u32(group).u53(reads).u53(writes);
  return writer.finish();
}

function writeLoad(writer: ByteWriter, load: RouteLoad): void {
  writer.u53(load.routeId).bytes(load.start).u32(load.groupId).u53(load.routeVersion);
  writer.u53(load.reads).u53(load.writes).u53(load.readBytes).u53(load.writtenBytes);
  const { detail } = load;
  writer.u8(detail === undefined ? 0 : 1);
  if (detail === undefined) return;
  writer.u16(detail.bounds.length);
  for (const bound of detail.bounds) writer.bytes(bound);
  writer.u16(detail.weights.length);
  for (const weight of detail.weights) writer.u53(weight);
  writer.u16(detail.topKeys.length);
  for (const { key, share, leastShare } of detail.topKeys) writer.bytes(key).f64(share).f64(leastShare);
  writer.u53(detail.sampledOps).u8(detail.isAligned ? 1 : 0);
}

/** @throws CatalogCorruptError */
export function decodeWindow(bytes: Buffer): ReportedWindow {
  const reader = new ByteReader(bytes, 'a load window', CatalogCorruptError);
  reader.version(CODEC);
  const head = { nodeId: nodeId(reader.u16()), startMs: reader.u53(), endMs: reader.u53() };
  const ledGroups = readMany(reader, reader.u32(), (): GroupId => groupId(reader.u32()));
  const routes = readMany(reader, reader.u32(), readLoad);
  const coarse = readMany(
    reader,
    reader.u32(),
    (): CoarseLoad => ({ groupId: groupId(reader.u32()), reads: reader.u53(), writes: reader.u53() }),
  );
  reader.end();
  return { ...head, ledGroups, routes, coarse };
}

function readMany<Item>(reader: ByteReader, count: number, read: (reader: ByteReader) => Item): Item[] {
  const items: Item[] = [];
  for (let left = count; left > 0; left--) items.push(read(reader));
  return items;
}

function readLoad(reader: ByteReader): RouteLoad {
  return {
    routeId: reader.u53(),
    start: reader.bytes(),
    groupId: groupId(reader.u32()),
    routeVersion: reader.u53(),
    reads: reader.u53(),
    writes: reader.u53(),
    readBytes: reader.u53(),
    writtenBytes: reader.u53(),
    detail: reader.flag() ? readDetail(reader) : undefined,
  };
}

function readDetail(reader: ByteReader): LoadDetail {
  return {
    bounds: readMany(reader, reader.u16(), () => reader.bytes()),
    weights: readMany(reader, reader.u16(), () => reader.u53()),
    topKeys: readMany(
      reader,
      reader.u16(),
      (): TopKey => ({ key: reader.bytes(), share: reader.share(), leastShare: reader.share() }),
    ),
    sampledOps: reader.u53(),
    isAligned: reader.flag(),
  };
}
