import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import {
  ConfigError,
  clusterSettings,
  foundingOf,
  type GroupsSetting,
  loadConfig,
  nodeMemoryBytes,
  nodeSettings,
  storeMemoryBytes,
  toClusterNodes,
  toNodeOptions,
} from '../../src/config/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvorum-groups-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const MEMBERS = [1, 2, 3];
const MEMBER_LIST = '1=a:1,2=b:1,3=c:1';

const fromFlag = (groups: unknown): GroupsSetting =>
  loadConfig(nodeSettings, { flags: { groups }, environment: {} }).values.groups;

/** The one problem that a setting has. */
function refusal(groups: unknown): string {
  try {
    toNodeOptions(loadConfig(nodeSettings, { flags: { members: MEMBER_LIST, groups }, environment: {} }).values);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.deepEqual(
      error.problems.map(({ key }) => key),
      ['groups'],
      error.message,
    );
    return error.problems[0]!.message;
  }
  return assert.fail('it was taken');
}

/** Group of a storage key that is written as hexadecimal digits. */
function groupOf(setting: GroupsSetting, hex: string): number | undefined {
  const key = Buffer.from(hex, 'hex');
  return foundingOf(setting, MEMBERS).founding.ranges.find(
    ({ start, end }) => Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0),
  )?.groupId;
}

describe('a number of groups', () => {
  test('0 is one group with everything', () => {
    const { founding } = foundingOf(0, MEMBERS);
    assert.deepEqual(
      founding.groups.map(({ id, voters }) => [id, voters]),
      [[1, [1, 2, 3]]],
    );
    assert.deepEqual(founding.ranges, [{ start: Buffer.alloc(0), end: undefined, groupId: 1 }]);
  });

  test('3 divides the slots of database 0 among three groups beside the first, which has the rest', () => {
    const { founding } = foundingOf(3, MEMBERS);
    assert.deepEqual(
      founding.groups.map(({ id, preferredLeader }) => [id, preferredLeader]),
      [
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 1],
      ],
    );
    assert.equal(groupOf(3, ''), 1, 'the reserved keys');
    assert.equal(groupOf(3, '72000000'), 2, 'slot 0');
    assert.equal(groupOf(3, `7200${(5461).toString(16)}`), 3);
    assert.equal(groupOf(3, '72003fff61'), 4, 'a key of slot 16383');
    assert.equal(groupOf(3, '72010000'), 1, 'database 1');
    assert.equal(groupOf(3, '6400'), 2, 'what DynamoDB has of its own');
    assert.deepEqual(
      ['640100', '645500', '645600', '64ab00', '64ff00', '65'].map((key) => groupOf(3, key)),
      [2, 2, 3, 4, 4, 1],
      'tables by the first byte of their numbers',
    );
  });

  test('any number covers every key once, on any members, with leaders dealt out evenly', () => {
    const cases = fc.record({
      count: fc.integer({ min: 0, max: 1000 }),
      members: fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { minLength: 1, maxLength: 9 }),
    });
    fc.assert(
      fc.property(cases, ({ count, members }) => {
        const { founding, problems } = foundingOf(count, members);
        assert.deepEqual(problems, []);
        assert.equal(founding.groups.length, count + 1);
        let from: Buffer | undefined = Buffer.alloc(0);
        for (const { start, end } of founding.ranges) {
          assert.ok(from !== undefined && start.equals(from));
          from = end;
        }
        assert.equal(from, undefined);
        const led = members.map((node) => founding.groups.filter((group) => group.preferredLeader === node).length);
        assert.ok(Math.max(...led) - Math.min(...led) <= 1);
      }),
    );
  });
});

describe('a list of groups', () => {
  const SLOTS = [{ id: 1 }, { id: 5, voters: [2, 3], ranges: [{ slots: '0-8191' }], preferredLeader: 3 }];

  test('has voters of its own, and what nobody names belongs to the catalog group', () => {
    const { founding, problems } = foundingOf(SLOTS, MEMBERS);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      founding.groups.map(({ id, voters, preferredLeader }) => [id, voters, preferredLeader]),
      [
        [1, [1, 2, 3], undefined],
        [5, [2, 3], 3],
      ],
    );
    assert.equal(groupOf(SLOTS, '72001fff'), 5);
    assert.equal(groupOf(SLOTS, '72002000'), 1);
  });

  test('may name bare bounds in text and in hexadecimal, and groups that begin without keys', () => {
    const groups = [{ id: 1 }, { id: 2, ranges: [{ start: 'u', end: 'hex:76ff' }] }, { id: 3, ranges: [] }];
    assert.equal(groupOf(groups, '75'), 2);
    assert.equal(groupOf(groups, '76ff'), 1);
    assert.equal(foundingOf(groups, MEMBERS).founding.groups.length, 3);
  });

  test('may place a database elsewhere', () => {
    const groups = [{ id: 1 }, { id: 2, ranges: [{ slots: '0-16383', db: 4 }] }];
    assert.equal(groupOf(groups, '72040000'), 2);
    assert.equal(groupOf(groups, '72050000'), 1);
  });

  test('is the same as flag, environment, YAML and JSON, and read back from its written form', () => {
    const path = join(folder, 'groups.yaml');
    writeFileSync(
      path,
      'groups:\n  - id: 1\n  - id: 5\n    voters: [2, 3]\n    preferredLeader: 3\n    ranges:\n      - slots: 0-8191\n',
    );
    const text = JSON.stringify(SLOTS);
    assert.deepEqual(fromFlag(text), SLOTS);
    const { values } = loadConfig(nodeSettings, { flags: {}, environment: { KVORUM_GROUPS: text } });
    assert.deepEqual(values.groups, SLOTS);
    assert.deepEqual(loadConfig(nodeSettings, { flags: {}, environment: {}, filePath: path }).values.groups, SLOTS);
    assert.deepEqual(fromFlag(nodeSettings.groups.format(SLOTS)), SLOTS);
    assert.equal(fromFlag(nodeSettings.groups.format(7)), 7);
  });

  test('is refused with the reason when it cannot be', () => {
    assert.match(refusal('many'), /a number or a JSON list/);
    assert.match(refusal(-1), /from 0 to 1000/);
    assert.match(refusal([{ id: 2, ranges: [] }]), /group 1, which holds the catalog, is missing/);
    assert.match(refusal([{ id: 1 }, { id: 2, ranges: [] }, { id: 2, ranges: [] }]), /group 2 is listed twice/);
    assert.match(refusal([{ id: 1 }, { id: 2 }]), /group 2 names no ranges/);
    assert.match(refusal([{ id: 1, voters: [] }]), /group 1 has no voters/);
    assert.match(refusal([{ id: 1, voters: [1, 1] }]), /names a voter twice/);
    assert.match(refusal([{ id: 1, voters: [1, 9] }]), /voter 9 of group 1 is not a member; the members are 1, 2, 3/);
    assert.match(refusal([{ id: 1, voters: [1], preferredLeader: 2 }]), /preferred leader 2 of group 1 is not one of/);
    assert.match(refusal([{ id: 0 }]), /needs an id/);
    assert.match(refusal([{ id: 1, voter: [1] }]), /group 1 has no voter; it may have id, voters/);
    const ranges = (...list: object[]): string => refusal([{ id: 1 }, { id: 2, ranges: list }]);
    assert.match(ranges({ slots: '5-4' }), /first-last, from 0 to 16383/);
    assert.match(ranges({ slots: '0-16384' }), /first-last, from 0 to 16383/);
    assert.match(ranges({ slots: '0-5', db: 16 }), /from 0 to 15/);
    assert.match(ranges({ slots: '0-5', start: 'a' }), /either slots/);
    assert.match(ranges({ start: 'hex:7' }), /pairs of digits/);
    assert.match(ranges({ start: 'b', end: 'b' }), /there are no keys in/);
    assert.match(ranges({ end: 'hex:01' }), /there are no keys in/, 'those are the reserved ones');
    assert.match(
      refusal([{ id: 1 }, { id: 2, ranges: [{ slots: '0-99' }] }, { id: 3, ranges: [{ slots: '50-60' }] }]),
      /slots 50-60 of database 0 \(group 3\) overlap slots 0-99 of database 0 \(group 2\)/,
    );
    assert.match(
      refusal([
        { id: 1, ranges: [{ end: 'hex:72' }] },
        { id: 2, ranges: [{ start: 'hex:73' }] },
      ]),
      /no group has the keys from hex:72 to hex:73/,
    );
  });
});

describe('a local cluster', () => {
  const nodesOf = (flags: Record<string, unknown>) =>
    toClusterNodes(loadConfig(clusterSettings, { flags, environment: {} }).values);

  test('has three data groups unless told otherwise, and every node is told the same', () => {
    assert.deepEqual(
      nodesOf({}).map((node) => node.groups),
      [3, 3, 3],
    );
    assert.deepEqual(
      nodesOf({ groups: '0' }).map((node) => node.groups),
      [0, 0, 0],
    );
  });

  test('refuses groups that its nodes cannot have', () => {
    assert.throws(() => nodesOf({ nodes: 2, groups: '[{"id": 1, "voters": [3]}]' }), /voter 3 of group 1/);
  });

  test('shares the memory of the machine among its nodes, and each a quarter of that among its stores', () => {
    const MIB = 1024 ** 2;
    const GIB = 1024 * MIB;
    assert.equal(nodeMemoryBytes(1, 2 * GIB), GIB);
    assert.equal(nodeMemoryBytes(1, 64 * GIB), 2 * GIB, 'no more than this');
    assert.equal(nodeMemoryBytes(3, 6 * GIB), GIB);
    assert.equal(nodeMemoryBytes(9, GIB / 8), 384 * MIB, 'no less than this');
    const shares = nodesOf({}).map((node) => node.memory);
    assert.ok(shares.every((bytes) => bytes > 0 && bytes === shares[0]));
    assert.equal(storeMemoryBytes(2 * GIB), GIB / 2);
    assert.equal(storeMemoryBytes(100 * MIB), 32 * MIB, 'no less than this');
    assert.equal(toNodeOptions(nodesOf({ memory: '1gb' })[2]!).storeMemoryBytes, GIB / 4);
    assert.equal(nodesOf({ storeMemory: '64mb' })[0]!.storeMemory, 64 * 1024 ** 2);
  });
});
