import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  deltaKey,
  jobHistoryKey,
  jobKey,
  META_KEY,
  nodeKey,
  parseCatalogKey,
  routeKey,
  tombstoneKey,
} from '../../src/distribution/contract/catalog-keys.ts';
import {
  type CatalogMeta,
  decodeDelta,
  decodeJob,
  decodeMeta,
  decodeNode,
  decodeRoute,
  encodeDelta,
  encodeJob,
  encodeMeta,
  encodeNode,
  encodeRoute,
  JOB_PHASES,
  type JobRow,
  type NodeRow,
} from '../../src/distribution/contract/catalog-rows.ts';
import { CatalogCorruptError } from '../../src/distribution/contract/errors.ts';
import type { CatalogDelta, Route, RouteMutation } from '../../src/distribution/contract/types.ts';
import {
  decodeSpanCommand,
  decodeSpanTable,
  encodeSpanCommand,
  encodeSpanTable,
} from '../../src/distribution/ownership/span-codec.ts';
import { SpanTable } from '../../src/distribution/ownership/span-table.ts';
import { applySpanCommand } from '../../src/distribution/ownership/span-transitions.ts';
import type { SpanCommand } from '../../src/distribution/ownership/span-types.ts';
import {
  decodeWatchMessage,
  decodeWatchRequest,
  encodeWatchMessage,
  encodeWatchRequest,
  type WatchMessage,
} from '../../src/distribution/watch/watch-messages.ts';
import { hlcTimestamp, nodeId } from '../../src/platform/index.ts';
import { bytes, group, remove, route, upsert } from './builders.ts';

const golden = JSON.parse(readFileSync(new URL('bytes.golden.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>;

const key = fc.uint8Array({ maxLength: 12 }).map((value) => Buffer.from(value));
const count = fc.maxSafeNat();
const ts = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(hlcTimestamp);
const owner = fc.integer({ min: 1, max: 0xffff_ffff }).map(group);
const optionalKey = fc.option(key, { nil: undefined });

const anyRoute: fc.Arbitrary<Route> = fc.record({
  id: count,
  start: key,
  end: optionalKey,
  groupId: owner,
  state: fc.constantFrom('ACTIVE', 'MOVING'),
  jobId: count,
  parentId: count,
  splitAtTs: ts,
  minWriteTs: ts,
  spanEpoch: count,
  createdVersion: count,
  modifiedVersion: count,
});
const anyMutation: fc.Arbitrary<RouteMutation> = fc.oneof(anyRoute.map(upsert), anyRoute.map(remove));
const anyDelta: fc.Arbitrary<CatalogDelta> = fc.record({
  version: count,
  committedMs: count,
  cause: fc.constantFrom('bootstrap', 'split', 'batchSplit', 'merge', 'moveBegin', 'movePublish', 'moveAbort'),
  batchId: fc.option(
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id)),
    { nil: undefined },
  ),
  mutations: fc.array(anyMutation, { maxLength: 5 }),
});
const anyMeta: fc.Arbitrary<CatalogMeta> = fc.record({
  version: count,
  nextRouteId: count,
  nextJobId: count,
  deltaFloor: count,
  incarnation: count,
  catalogGroup: owner,
  documentRevision: count,
});
const anyJob: fc.Arbitrary<JobRow> = fc.record({
  id: count,
  revision: count,
  routeId: count,
  start: key,
  end: optionalKey,
  src: owner,
  dst: owner,
  phase: fc.constantFrom(...JOB_PHASES),
  attempt: fc.nat(),
  fenceTs: ts,
  spanEpoch: count,
  progress: key,
  lastError: fc.string({ unit: 'grapheme' }),
  createdMs: count,
  updatedMs: count,
});
const anyNode: fc.Arbitrary<NodeRow> = fc.record({
  nodeId: fc.integer({ min: 1, max: 65_535 }).map(nodeId),
  revision: count,
  incarnation: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id)),
  address: fc.string(),
  locality: fc.string(),
  capabilities: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  heartbeatMs: count,
  leaderCount: fc.nat(),
  replicaCount: fc.nat(),
  storedBytes: count,
});
const anyEndpoint = fc.record({ service: fc.string(), host: fc.string(), port: fc.integer({ min: 0, max: 65_535 }) });
const anyFoundNode: fc.Arbitrary<NodeRow> = fc
  .tuple(anyNode, fc.array(anyEndpoint, { minLength: 1, maxLength: 3 }))
  .map(([node, endpoints]) => ({ ...node, endpoints }));
const anyMessage: fc.Arbitrary<WatchMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('batch' as const),
    seq: count,
    incarnation: count,
    deltas: fc.array(anyDelta.map(encodeDelta), { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('reset' as const),
    seq: count,
    incarnation: count,
    version: count,
    page: fc.nat(),
    isLast: fc.boolean(),
    routes: fc.array(anyRoute, { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('beat' as const), incarnation: count, version: count, leaderTerm: count }),
);

/** Whatever is encoded comes back; cut short, continued or of another codec it is refused. */
function roundTrip<Value>(
  any: fc.Arbitrary<Value>,
  encode: (value: Value) => Buffer,
  decode: (from: Buffer) => Value,
): void {
  fc.assert(
    fc.property(any, fc.nat(), (value, cut) => {
      const encoded = encode(value);
      // fast-check makes records without a prototype.
      assert.deepEqual(decode(encoded), structuredCloneOf(value));
      assert.throws(() => decode(encoded.subarray(0, cut % encoded.length)), CatalogCorruptError);
      assert.throws(() => decode(Buffer.concat([encoded, Buffer.of(0)])), CatalogCorruptError);
      encoded[0] = 99;
      assert.throws(() => decode(encoded), CatalogCorruptError);
    }),
  );
}

/** The same with plain prototypes, as decoders make them. */
function structuredCloneOf<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(structuredCloneOf) as Value;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, structuredCloneOf(field)])) as Value;
}

describe('rows and messages', () => {
  test('come back from their bytes', () => {
    roundTrip(anyRoute, encodeRoute, decodeRoute);
    roundTrip(anyDelta, encodeDelta, decodeDelta);
    roundTrip(anyMeta, encodeMeta, decodeMeta);
    roundTrip(anyJob, encodeJob, decodeJob);
    roundTrip(anyNode, encodeNode, decodeNode);
    roundTrip(anyFoundNode, encodeNode, decodeNode);
    roundTrip(anyMessage, encodeWatchMessage, decodeWatchMessage);
  });

  test('have the bytes that are on disks and wires already', () => {
    const ranged = route(7, 'a', 'q', 3, {
      state: 'MOVING',
      jobId: 9,
      parentId: 2,
      splitAtTs: hlcTimestamp(0x1122n),
      minWriteTs: hlcTimestamp(0x3344n),
      spanEpoch: 4,
      createdVersion: 5,
      modifiedVersion: 6,
    });
    const job: JobRow = {
      id: 9,
      revision: 3,
      routeId: 7,
      start: bytes('a'),
      end: undefined,
      src: group(3),
      dst: group(4),
      phase: 'FENCE',
      attempt: 2,
      fenceTs: hlcTimestamp(0x55n),
      spanEpoch: 5,
      progress: bytes('p'),
      lastError: 'é',
      createdMs: 10,
      updatedMs: 11,
    };
    const node: NodeRow = {
      nodeId: nodeId(258),
      revision: 1,
      incarnation: Buffer.alloc(16, 7),
      address: 'h:1',
      locality: 'zone=a',
      capabilities: 5n,
      heartbeatMs: 12,
      leaderCount: 1,
      replicaCount: 2,
      storedBytes: 2 ** 40,
    };
    const found: NodeRow = { ...node, endpoints: [{ service: 'redis', host: '10.0.0.1', port: 6379 }] };
    const delta: CatalogDelta = {
      version: 6,
      committedMs: 1000,
      cause: 'batchSplit',
      batchId: Buffer.alloc(16, 1),
      mutations: [remove(ranged), upsert(ranged)],
    };
    const commands: SpanCommand[] = [
      { kind: 'assign', start: bytes(''), end: undefined, epoch: 1 },
      { kind: 'incoming', job: 1, attempt: 2, start: bytes('a'), end: bytes('b') },
      { kind: 'captureOn', job: 1, start: bytes('a'), end: bytes('b') },
      { kind: 'captureOff', job: 3 },
      { kind: 'fence', job: 1, attempt: 2 },
      { kind: 'unfence', job: 1, attempt: 1 },
      { kind: 'release', job: 1, attempt: 2, dst: group(5), fenceTs: hlcTimestamp(0x66n) },
      { kind: 'activate', job: 1, floor: hlcTimestamp(0x66n), epoch: 2 },
      { kind: 'drop', job: 4 },
      { kind: 'purge', job: 1 },
      { kind: 'forget', job: 1 },
    ];
    let table = SpanTable.empty;
    for (const index of [0, 2, 4, 6, 3, 9]) table = applySpanCommand(table, commands[index]!).table;
    const reset: WatchMessage = {
      kind: 'reset',
      seq: 3,
      incarnation: 7,
      version: 6,
      page: 1,
      isLast: true,
      routes: [ranged],
    };
    const request = { cursor: 5, incarnation: 7, maxBatch: 128, nodeId: nodeId(3) };

    const made: Record<string, Buffer> = {
      'key of meta': META_KEY,
      'key of route': routeKey(7),
      'key of delta': deltaKey(2 ** 33),
      'key of job': jobKey(9),
      'key of job history': jobHistoryKey(11, 9),
      'key of node': nodeKey(nodeId(258)),
      'key of tombstone': tombstoneKey(nodeId(258), Buffer.alloc(16, 7)),
      meta: encodeMeta({
        version: 6,
        nextRouteId: 8,
        nextJobId: 10,
        deltaFloor: 2,
        incarnation: 7,
        catalogGroup: group(1),
        documentRevision: 0,
      }),
      route: encodeRoute(ranged),
      delta: encodeDelta(delta),
      job: encodeJob(job),
      node: encodeNode(node),
      'node with endpoints': encodeNode(found),
      'span table': encodeSpanTable(table),
      'watch request': encodeWatchRequest(request),
      'watch batch': encodeWatchMessage({ kind: 'batch', seq: 2, incarnation: 7, deltas: [encodeDelta(delta)] }),
      'watch reset': encodeWatchMessage(reset),
      'watch beat': encodeWatchMessage({ kind: 'beat', incarnation: 7, version: 6, leaderTerm: 4 }),
    };
    for (const command of commands) made[`span ${command.kind}`] = encodeSpanCommand(command);
    const hex = Object.fromEntries(Object.entries(made).map(([name, encoded]) => [name, encoded.toString('hex')]));
    assert.deepEqual(hex, golden);

    const stored = (name: string): Buffer => Buffer.from(golden[name]!, 'hex');
    assert.deepEqual(decodeRoute(stored('route')), ranged);
    assert.deepEqual(decodeDelta(stored('delta')), delta);
    assert.deepEqual(decodeJob(stored('job')), job);
    assert.deepEqual(decodeNode(stored('node')), node);
    assert.deepEqual(decodeNode(stored('node with endpoints')), found);
    assert.deepEqual(decodeSpanTable(stored('span table')), table);
    assert.deepEqual(decodeWatchRequest(stored('watch request')), request);
    assert.deepEqual(decodeWatchMessage(stored('watch reset')), reset);
    for (const command of commands) assert.deepEqual(decodeSpanCommand(stored(`span ${command.kind}`)), command);
    const families = Object.keys(golden)
      .filter((name) => name.startsWith('key of'))
      .map((name) => parseCatalogKey(stored(name)).family);
    assert.deepEqual(families, ['meta', 'route', 'delta', 'job', 'jobHistory', 'node', 'tombstone']);
    assert.throws(() => parseCatalogKey(bytes('\x00cx')), CatalogCorruptError);
    assert.throws(() => parseCatalogKey(bytes('r\x00\x00\x00k')), CatalogCorruptError);
  });
});
