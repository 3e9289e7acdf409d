import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  featureKey,
  groupKey,
  parseCatalogKey,
  settingKey,
  withdrawalKey,
  workKey,
} from '../../src/distribution/contract/catalog-keys.ts';
import { decodeMeta, encodeMeta } from '../../src/distribution/contract/catalog-rows.ts';
import {
  decodeClusterState,
  decodeFeature,
  decodeGroup,
  decodeSetting,
  decodeWithdrawal,
  decodeWork,
  encodeClusterState,
  encodeFeature,
  encodeGroup,
  encodeSetting,
  encodeWithdrawal,
  encodeWork,
} from '../../src/distribution/contract/cluster-rows.ts';
import type {
  ClusterState,
  FeatureRow,
  GroupRow,
  SettingRow,
  WithdrawalRow,
  WorkRow,
} from '../../src/distribution/contract/cluster-types.ts';
import { CatalogCorruptError } from '../../src/distribution/contract/errors.ts';
import { nodeId } from '../../src/platform/index.ts';
import { bytes, group } from './builders.ts';

const golden = JSON.parse(readFileSync(new URL('cluster-rows.golden.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>;

const count = fc.maxSafeNat();
const node = fc.integer({ min: 1, max: 65_535 }).map(nodeId);
const name = fc.string({ unit: 'grapheme' });
const incarnation = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id));

const namelessGroup: fc.Arbitrary<GroupRow> = fc.record({
  id: fc.integer({ min: 1, max: 0xffff_ffff }).map(group),
  revision: count,
  founders: fc.array(node, { maxLength: 9 }),
  state: fc.constantFrom('ACTIVE', 'REMOVED'),
  preferredLeader: fc.option(node, { nil: undefined }),
  createdMs: count,
});
const anyGroup = fc.oneof(
  namelessGroup,
  fc.tuple(namelessGroup, incarnation).map(([row, requestId]): GroupRow => ({ ...row, requestId })),
);
const anySetting: fc.Arbitrary<SettingRow> = fc.record({ name, revision: count, value: name });
const anyFeature: fc.Arbitrary<FeatureRow> = fc.record({ name, activatedMs: count });
const anyWork: fc.Arbitrary<WorkRow> = fc.record({
  name,
  revision: count,
  holder: fc.option(node, { nil: undefined }),
  incarnation: fc.option(incarnation, { nil: undefined }),
  leaseUntilMs: count,
  progress: fc.uint8Array({ maxLength: 20 }).map((note) => Buffer.from(note)),
});
const anyWithdrawal: fc.Arbitrary<WithdrawalRow> = fc.record({
  nodeId: node,
  revision: count,
  aim: fc.constantFrom('DRAINING', 'DECOMMISSIONING'),
  sinceMs: count,
  replicas: fc.integer({ min: 0, max: 0xffff_ffff }),
});
const anyClusterState: fc.Arbitrary<ClusterState> = fc.record({
  revision: count,
  nodes: fc.constant([]),
  groups: fc.array(anyGroup, { maxLength: 3 }),
  settings: fc.array(anySetting, { maxLength: 3 }),
  features: fc.array(anyFeature, { maxLength: 3 }),
  work: fc.array(anyWork, { maxLength: 3 }),
});

/** What is encoded comes back; cut short, continued or of another codec it is refused. */
function roundTrip<Row>(any: fc.Arbitrary<Row>, encode: (row: Row) => Buffer, decode: (from: Buffer) => Row): void {
  fc.assert(
    fc.property(any, fc.nat(), (row, cut) => {
      const encoded = encode(row);
      assert.deepEqual(encode(decode(encoded)), encoded);
      assert.equal(JSON.stringify(decode(encoded)), JSON.stringify(row));
      assert.throws(() => decode(encoded.subarray(0, cut % encoded.length)), CatalogCorruptError);
      assert.throws(() => decode(Buffer.concat([encoded, Buffer.of(0)])), CatalogCorruptError);
      encoded[0] = 99;
      assert.throws(() => decode(encoded), CatalogCorruptError);
    }),
  );
}

describe('rows of the cluster', () => {
  test('come back from their bytes', () => {
    roundTrip(anyGroup, encodeGroup, decodeGroup);
    roundTrip(anySetting, encodeSetting, decodeSetting);
    roundTrip(anyFeature, encodeFeature, decodeFeature);
    roundTrip(anyWork, encodeWork, decodeWork);
    roundTrip(anyWithdrawal, encodeWithdrawal, decodeWithdrawal);
    roundTrip(anyClusterState, encodeClusterState, decodeClusterState);
  });

  test('have the bytes that are on disks and wires already', () => {
    const row: GroupRow = {
      id: group(3),
      revision: 2,
      founders: [1, 2, 258].map(nodeId),
      state: 'REMOVED',
      preferredLeader: nodeId(2),
      createdMs: 77,
    };
    const setting: SettingRow = { name: 'autosplit', revision: 1, value: 'on' };
    const feature: FeatureRow = { name: 'ranges.move', activatedMs: 78 };
    const work: WorkRow = {
      name: 'gc/7',
      revision: 4,
      holder: nodeId(2),
      incarnation: Buffer.alloc(16, 7),
      leaseUntilMs: 79,
      progress: bytes('p'),
    };
    const free: WorkRow = { ...work, holder: undefined, incarnation: undefined, leaseUntilMs: 0 };
    const withdrawal: WithdrawalRow = {
      nodeId: nodeId(258),
      revision: 2,
      aim: 'DECOMMISSIONING',
      sinceMs: 80,
      replicas: 9,
    };
    const clusterState = {
      revision: 5,
      nodes: [],
      groups: [row],
      settings: [setting],
      features: [feature],
      work: [work],
    };
    const meta = {
      version: 6,
      nextRouteId: 8,
      nextJobId: 10,
      deltaFloor: 2,
      incarnation: 7,
      catalogGroup: group(1),
      documentRevision: 5,
    };
    const made: Record<string, Buffer> = {
      'key of group': groupKey(group(3)),
      'key of setting': settingKey('autosplit'),
      'key of feature': featureKey('ranges.move'),
      'key of work': workKey('gc/7'),
      'key of withdrawal': withdrawalKey(nodeId(258)),
      'meta with a document': encodeMeta(meta),
      group: encodeGroup(row),
      setting: encodeSetting(setting),
      feature: encodeFeature(feature),
      work: encodeWork(work),
      'free work': encodeWork(free),
      withdrawal: encodeWithdrawal(withdrawal),
      document: encodeClusterState(clusterState),
    };
    const hex = Object.fromEntries(Object.entries(made).map(([what, encoded]) => [what, encoded.toString('hex')]));
    assert.deepEqual(hex, golden);

    const stored = (what: string): Buffer => Buffer.from(golden[what]!, 'hex');
    assert.deepEqual(decodeMeta(stored('meta with a document')), meta);
    assert.deepEqual(decodeGroup(stored('group')), row);
    assert.deepEqual(decodeWork(stored('free work')), free);
    assert.deepEqual(decodeWithdrawal(stored('withdrawal')), withdrawal);
    assert.deepEqual(parseCatalogKey(stored('key of withdrawal')), { family: 'withdrawal', node: 258 });
    assert.deepEqual(decodeClusterState(stored('document')), clusterState);
    assert.deepEqual(parseCatalogKey(stored('key of group')), { family: 'group', id: 3 });
    assert.deepEqual(parseCatalogKey(stored('key of work')), { family: 'work', name: 'gc/7' });
    assert.deepEqual(parseCatalogKey(stored('key of setting')), { family: 'setting', name: 'autosplit' });
    assert.deepEqual(parseCatalogKey(stored('key of feature')), { family: 'feature', name: 'ranges.move' });
  });
});
