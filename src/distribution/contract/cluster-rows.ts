/**
 * Rows of groups, settings, features and work as bytes, and the cluster state that all of them make together. The rules for
 * codec numbers are those of `catalog-rows.ts`.
 */

import { ByteReader, ByteWriter, groupId, type NodeId, nodeId } from '../../platform/index.ts';
import { decodeNode, encodeNode } from './catalog-rows.ts';
import type {
  ClusterState,
  FeatureRow,
  GroupRow,
  SettingRow,
  WithdrawalAim,
  WithdrawalRow,
  WorkRow,
} from './cluster-types.ts';
import { CatalogCorruptError } from './errors.ts';

const CODEC = 1;
/** Of a group row that names the request which made it; rows without keep to the first codec. */
const NAMED_GROUP_CODEC = 2;

/** Disk values are places in these lists: only ever append. */
const GROUP_STATES: readonly GroupRow['state'][] = ['ACTIVE', 'REMOVED'];
const WITHDRAWAL_AIMS: readonly WithdrawalAim[] = ['DRAINING', 'DECOMMISSIONING'];

/** Ids of nodes begin with 1, so 0 says "none". */
const writeOptionalNode = (writer: ByteWriter, node: NodeId | undefined): ByteWriter => writer.u16(node ?? 0);

function readOptionalNode(reader: ByteReader): NodeId | undefined {
  const id = reader.u16();
  return id === 0 ? undefined : nodeId(id);
}

/** A group row. */
export function encodeGroup(group: GroupRow): Buffer {
  const { requestId } = group;
  const codec = requestId === undefined ? CODEC : NAMED_GROUP_CODEC;
  const writer = new ByteWriter(64).u8(codec).u32(group.id).u53(group.revision).u16(group.founders.length);
  for (const founder of group.founders) writer.u16(founder);
  writer.u8(GROUP_STATES.indexOf(group.state));
  writeOptionalNode(writer, group.preferredLeader).u53(group.createdMs);
  return (requestId === undefined ? writer : writer.bytes(requestId)).finish();
}

/** @throws CatalogCorruptError */
export function decodeGroup(bytes: Buffer): GroupRow {
  const reader = new ByteReader(bytes, 'a group row', CatalogCorruptError);
  const codec = reader.versionUpTo(NAMED_GROUP_CODEC);
  const id = groupId(reader.u32());
  const revision = reader.u53();
  const founders: NodeId[] = [];
  for (let left = reader.u16(); left > 0; left--) founders.push(nodeId(reader.u16()));
  const row = {
    id,
    revision,
    founders,
    state: reader.oneOf(GROUP_STATES),
    preferredLeader: readOptionalNode(reader),
    createdMs: reader.u53(),
  };
  const named = codec === NAMED_GROUP_CODEC ? { ...row, requestId: reader.bytes() } : row;
  reader.end();
  return named;
}

/** A setting row. */
export function encodeSetting(setting: SettingRow): Buffer {
  return new ByteWriter(64).u8(CODEC).text(setting.name).u53(setting.revision).text(setting.value).finish();
}

/** @throws CatalogCorruptError */
export function decodeSetting(bytes: Buffer): SettingRow {
  const reader = new ByteReader(bytes, 'a setting row', CatalogCorruptError);
  reader.version(CODEC);
  const row = { name: reader.text(), revision: reader.u53(), value: reader.text() };
  reader.end();
  return row;
}

/** A feature row. */
export function encodeFeature(feature: FeatureRow): Buffer {
  return new ByteWriter(64).u8(CODEC).text(feature.name).u53(feature.activatedMs).finish();
}

/** @throws CatalogCorruptError */
export function decodeFeature(bytes: Buffer): FeatureRow {
  const reader = new ByteReader(bytes, 'a feature row', CatalogCorruptError);
  reader.version(CODEC);
  const row = { name: reader.text(), activatedMs: reader.u53() };
  reader.end();
  return row;
}

/** A row of background work. */
export function encodeWork(work: WorkRow): Buffer {
  const writer = new ByteWriter(128).u8(CODEC).text(work.name).u53(work.revision);
  return writeOptionalNode(writer, work.holder)
    .optional(work.incarnation)
    .u53(work.leaseUntilMs)
    .bytes(work.progress)
    .finish();
}

/** @throws CatalogCorruptError */
export function decodeWork(bytes: Buffer): WorkRow {
  const reader = new ByteReader(bytes, 'a work row', CatalogCorruptError);
  reader.version(CODEC);
  const row = {
    name: reader.text(),
    revision: reader.u53(),
    holder: readOptionalNode(reader),
    incarnation: reader.optional(),
    leaseUntilMs: reader.u53(),
    progress: reader.bytes(),
  };
  reader.end();
  return row;
}

/** A row of a node that is taken out of service. */
export function encodeWithdrawal({ nodeId: node, revision, aim, sinceMs, replicas }: WithdrawalRow): Buffer {
  const writer = new ByteWriter(32).u8(CODEC).u16(node).u53(revision);
  return writer.u8(WITHDRAWAL_AIMS.indexOf(aim)).u53(sinceMs).u32(replicas).finish();
}

/** @throws CatalogCorruptError */
export function decodeWithdrawal(bytes: Buffer): WithdrawalRow {
  const reader = new ByteReader(bytes, 'a withdrawal row', CatalogCorruptError);
  reader.version(CODEC);
  const row = {
    nodeId: nodeId(reader.u16()),
    revision: reader.u53(),
    aim: reader.oneOf(WITHDRAWAL_AIMS),
    sinceMs: reader.u53(),
    replicas: reader.u32(),
  };
  reader.end();
  return row;
}

function writeRows<Row>(writer: ByteWriter, rows: readonly Row[], encode: (row: Row) => Buffer): void {
  writer.u32(rows.length);
  for (const row of rows) writer.bytes(encode(row));
}

function readRows<Row>(reader: ByteReader, decode: (bytes: Buffer) => Row): Row[] {
  const rows: Row[] = [];
  for (let left = reader.u32(); left > 0; left--) rows.push(decode(reader.bytes()));
  return rows;
}

/** The whole cluster state, as it travels to the nodes. */
export function encodeClusterState(clusterState: ClusterState): Buffer {
  const writer = new ByteWriter(1024).u8(CODEC).u53(clusterState.revision);
  writeRows(writer, clusterState.nodes, encodeNode);
  writeRows(writer, clusterState.groups, encodeGroup);
  writeRows(writer, clusterState.settings, encodeSetting);
  writeRows(writer, clusterState.features, encodeFeature);
  writeRows(writer, clusterState.work, encodeWork);
  return writer.finish();
}

/** @throws CatalogCorruptError */
export function decodeClusterState(bytes: Buffer): ClusterState {
  const reader = new ByteReader(bytes, 'a cluster document', CatalogCorruptError);
  reader.version(CODEC);
  const clusterState = {
    revision: reader.u53(),
    nodes: readRows(reader, decodeNode),
    groups: readRows(reader, decodeGroup),
    settings: readRows(reader, decodeSetting),
    features: readRows(reader, decodeFeature),
    work: readRows(reader, decodeWork),
  };
  reader.end();
  return clusterState;
}
