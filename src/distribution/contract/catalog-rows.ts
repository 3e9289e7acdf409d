/**
 * The rows of the catalog as bytes. Each begins with its codec number; a reader that does not know it refuses the row. A
 * field that is added later is written under a new codec number only when it is not zero, and readers learn the new
 * number one release before writers use it.
 */

import {
  ByteReader,
  ByteWriter,
  type GroupId,
  groupId,
  type HlcTimestamp,
  type NodeId,
  nodeId,
} from '../../platform/index.ts';
import { CatalogCorruptError } from './errors.ts';
import type {
  CatalogDelta,
  CatalogIncarnation,
  CatalogVersion,
  DeltaCause,
  JobId,
  Route,
  RouteId,
  RouteMutation,
  RouteState,
} from './types.ts';

const CODEC = 1;
/** Of a job that ends with a merge; other jobs keep to the first codec. */
const MERGE_JOB_CODEC = 2;
/** Of a node row that says where clients find the node; rows that do not keep to the first codec. */
const ENDPOINTS_NODE_CODEC = 2;
/** Of a meta row that has a cluster state revision. */
const META_CODEC = 2;

/** Disk values are places in these lists: only ever append. */
const ROUTE_STATES: readonly RouteState[] = ['ACTIVE', 'MOVING'];
const CAUSES: readonly DeltaCause[] = [
  'bootstrap',
  'split',
  'batchSplit',
  'merge',
  'moveBegin',
  'movePublish',
  'moveAbort',
];

/** The phases of a move in the order of the protocol, then those of its undoing; disk values are places in this list. */
export const JOB_PHASES = [
  'PLANNED',
  'PREP_TARGET',
  'ARM_SOURCE',
  'BACKFILL',
  'CATCH_UP',
  'FENCE',
  'RELEASE',
  'ACTIVATE',
  'PUBLISH',
  'CLEANUP',
  'DONE',
  'ABORTING',
  'ABORTED',
] as const;

/** How far a move has come; docs/design/control-plane/catalog.md says what is done in each phase. */
export type JobPhase = (typeof JOB_PHASES)[number];

/** What every commit that changes routes is compared and set against. */
export interface CatalogMeta {
  readonly version: CatalogVersion;
  readonly nextRouteId: RouteId;
  readonly nextJobId: JobId;
  /** Oldest version whose delta is kept; `version + 1` when none is. */
  readonly deltaFloor: CatalogVersion;
  readonly incarnation: CatalogIncarnation;
  /** The group that the catalog itself lives in. */
  readonly catalogGroup: GroupId;
  /** See `ClusterState.revision`. */
  readonly documentRevision: number;
}

/** A move of one route between groups, driven by whoever leads the catalog group. */
export interface JobRow {
  readonly id: JobId;
  /** Grows with every write of the row. */
  readonly revision: number;
  readonly routeId: RouteId;
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  readonly src: GroupId;
  readonly dst: GroupId;
  readonly phase: JobPhase;
  /** Number of the fence that is or was tried; a fence that was lifted again makes the next one attempt + 1. */
  readonly attempt: number;
  /** What the source's release answered: the floor of the destination's commits. 0n before. */
  readonly fenceTs: HlcTimestamp;
  /** What the source's release answered: the epoch that the destination activates with. 0 before. */
  readonly spanEpoch: number;
  /** The driver's own notes on how far copying has come; at most 64 KiB. */
  readonly progress: Buffer;
  readonly lastError: string;
  readonly createdMs: number;
  readonly updatedMs: number;
  /** The neighbour in `dst` that the route becomes one with when it is there; the job has both. Left out: it is a move alone. */
  readonly mergeWith?: RouteId;
}

/** Where clients of one kind reach a node. */
export interface Endpoint {
  /** What is spoken there, such as `redis`. */
  readonly service: string;
  /** Empty: wherever the asking client has come to. */
  readonly host: string;
  readonly port: number;
}

/** Endpoints of one node at most. */
export const MAX_ENDPOINTS = 16;

/** One process of the cluster. */
export interface NodeRow {
  readonly nodeId: NodeId;
  readonly revision: number;
  /** 16 random bytes, chosen when the data folder was made. */
  readonly incarnation: Buffer;
  readonly address: string;
  /** From wide to narrow, such as `region=eu,zone=a`. */
  readonly locality: string;
  /** One bit per capability of the program that runs there. */
  readonly capabilities: bigint;
  readonly heartbeatMs: number;
  readonly leaderCount: number;
  readonly replicaCount: number;
  readonly storedBytes: number;
  /** Where clients reach it. Only once the feature `nodes.endpoints` is active; left out: nobody has said. */
  readonly endpoints?: readonly Endpoint[];
}

/** Largest progress note of a job, in bytes. */
export const MAX_PROGRESS_BYTES = 65_536;

/** The meta row. */
export function encodeMeta(meta: CatalogMeta): Buffer {
  const { documentRevision } = meta;
  const writer = new ByteWriter()
    .u8(documentRevision === 0 ? CODEC : META_CODEC)
    .u53(meta.version)
    .u53(meta.nextRouteId)
    .u53(meta.nextJobId)
    .u53(meta.deltaFloor)
    .u53(meta.incarnation)
    .u32(meta.catalogGroup);
  if (documentRevision !== 0) writer.u53(documentRevision);
  return writer.finish();
}

/** @throws CatalogCorruptError */
export function decodeMeta(bytes: Buffer): CatalogMeta {
  const reader = new ByteReader(bytes, 'a meta row', CatalogCorruptError);
  const codec = reader.versionUpTo(META_CODEC);
  const meta = {
    version: reader.u53(),
    nextRouteId: reader.u53(),
    nextJobId: reader.u53(),
    deltaFloor: reader.u53(),
    incarnation: reader.u53(),
    catalogGroup: groupId(reader.u32()),
    documentRevision: codec === META_CODEC ? reader.u53() : 0,
  };
  reader.end();
  return meta;
}

/** Appends a route without its codec number: rows, deltas and watch messages all hold routes. */
export function writeRoute(writer: ByteWriter, route: Route): void {
  writer
    .u53(route.id)
    .bytes(route.start)
    .optional(route.end)
    .u32(route.groupId)
    .u8(ROUTE_STATES.indexOf(route.state))
    .u53(route.jobId)
    .u53(route.parentId)
    .u64(route.splitAtTs)
    .u64(route.minWriteTs)
    .u53(route.spanEpoch)
    .u53(route.createdVersion)
    .u53(route.modifiedVersion);
}

/** Reads what `writeRoute` wrote. @throws CatalogCorruptError */
export function readRoute(reader: ByteReader): Route {
  return {
    id: reader.u53(),
    start: reader.bytes(),
    end: reader.optional(),
    groupId: groupId(reader.u32()),
    state: reader.oneOf(ROUTE_STATES),
    jobId: reader.u53(),
    parentId: reader.u53(),
    splitAtTs: reader.timestamp(),
    minWriteTs: reader.timestamp(),
    spanEpoch: reader.u53(),
    createdVersion: reader.u53(),
    modifiedVersion: reader.u53(),
  };
}

/** A route row. */
export function encodeRoute(route: Route): Buffer {
  const writer = new ByteWriter().u8(CODEC);
  writeRoute(writer, route);
  return writer.finish();
}

/** @throws CatalogCorruptError */
export function decodeRoute(bytes: Buffer): Route {
  const reader = new ByteReader(bytes, 'a route row', CatalogCorruptError);
  reader.version(CODEC);
  const route = readRoute(reader);
  reader.end();
  return route;
}

/** A row of the change log; also what watchers are sent. */
export function encodeDelta(delta: CatalogDelta): Buffer {
  const writer = new ByteWriter(64 + 128 * delta.mutations.length)
    .u8(CODEC)
    .u53(delta.version)
    .u53(delta.committedMs)
    .u8(CAUSES.indexOf(delta.cause))
    .optional(delta.batchId)
    .u32(delta.mutations.length);
  for (const mutation of delta.mutations) {
    if (mutation.kind === 'delete') writer.u8(0).u53(mutation.id).bytes(mutation.start);
    else writeRoute(writer.u8(1), mutation.route);
  }
  return writer.finish();
}

/** @throws CatalogCorruptError */
export function decodeDelta(bytes: Buffer): CatalogDelta {
  const reader = new ByteReader(bytes, 'a delta row', CatalogCorruptError);
  reader.version(CODEC);
  const head = {
    version: reader.u53(),
    committedMs: reader.u53(),
    cause: reader.oneOf(CAUSES),
    batchId: reader.optional(),
  };
  const mutations: RouteMutation[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    mutations.push(
      reader.flag()
        ? { kind: 'upsert', route: readRoute(reader) }
        : { kind: 'delete', id: reader.u53(), start: reader.bytes() },
    );
  }
  reader.end();
  return { ...head, mutations };
}

/** A job row, unfinished or in the history. */
export function encodeJob(job: JobRow): Buffer {
  const { mergeWith } = job;
  const writer = new ByteWriter(256)
    .u8(mergeWith === undefined ? CODEC : MERGE_JOB_CODEC)
    .u53(job.id)
    .u53(job.revision)
    .u53(job.routeId)
    .bytes(job.start)
    .optional(job.end)
    .u32(job.src)
    .u32(job.dst)
    .u8(JOB_PHASES.indexOf(job.phase))
    .u32(job.attempt)
    .u64(job.fenceTs)
    .u53(job.spanEpoch)
    .bytes(job.progress)
    .text(job.lastError)
    .u53(job.createdMs)
    .u53(job.updatedMs);
  return (mergeWith === undefined ? writer : writer.u53(mergeWith)).finish();
}

/** @throws CatalogCorruptError */
export function decodeJob(bytes: Buffer): JobRow {
  const reader = new ByteReader(bytes, 'a job row', CatalogCorruptError);
  const codec = reader.versionUpTo(MERGE_JOB_CODEC);
  const job = {
    id: reader.u53(),
    revision: reader.u53(),
    routeId: reader.u53(),
    start: reader.bytes(),
    end: reader.optional(),
    src: groupId(reader.u32()),
    dst: groupId(reader.u32()),
    phase: reader.oneOf(JOB_PHASES),
    attempt: reader.u32(),
    fenceTs: reader.timestamp(),
    spanEpoch: reader.u53(),
    progress: reader.bytes(),
    lastError: reader.text(),
    createdMs: reader.u53(),
    updatedMs: reader.u53(),
  };
  const whole = codec === MERGE_JOB_CODEC ? { ...job, mergeWith: reader.u53() } : job;
  reader.end();
  return whole;
}

/** A node row; the incarnation has 16 bytes. */
export function encodeNode(node: NodeRow): Buffer {
  const { endpoints = [] } = node;
  const writer = new ByteWriter(128)
    .u8(endpoints.length === 0 ? CODEC : ENDPOINTS_NODE_CODEC)
    .u16(node.nodeId)
    .u53(node.revision)
    .raw(node.incarnation)
    .text(node.address)
    .text(node.locality)
    .u64(node.capabilities)
    .u53(node.heartbeatMs)
    .u32(node.leaderCount)
    .u32(node.replicaCount)
    .u53(node.storedBytes);
  if (endpoints.length > 0) writer.u16(endpoints.length);
  for (const { service, host, port } of endpoints) writer.text(service).text(host).u16(port);
  return writer.finish();
}

/** @throws CatalogCorruptError */
export function decodeNode(bytes: Buffer): NodeRow {
  const reader = new ByteReader(bytes, 'a node row', CatalogCorruptError);
  const codec = reader.versionUpTo(ENDPOINTS_NODE_CODEC);
  const node = {
    nodeId: nodeId(reader.u16()),
    revision: reader.u53(),
    incarnation: reader.raw(16),
    address: reader.text(),
    locality: reader.text(),
    capabilities: reader.u64(),
    heartbeatMs: reader.u53(),
    leaderCount: reader.u32(),
    replicaCount: reader.u32(),
    storedBytes: reader.u53(),
  };
  const whole = codec === ENDPOINTS_NODE_CODEC ? { ...node, endpoints: readEndpoints(reader) } : node;
  reader.end();
  return whole;
}

function readEndpoints(reader: ByteReader): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (let left = reader.u16(); left > 0; left--) {
    endpoints.push({ service: reader.text(), host: reader.text(), port: reader.u16() });
  }
  return endpoints;
}
