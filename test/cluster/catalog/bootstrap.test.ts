import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bootstrapCatalog } from '../../../src/cluster/catalog/bootstrap.ts';
import { FoundingError } from '../../../src/cluster/catalog/errors.ts';
import type { FoundingConfiguration } from '../../../src/cluster/catalog/founding.ts';
import { SpanTable } from '../../../src/distribution/ownership/span-table.ts';
import { applySpanCommand } from '../../../src/distribution/ownership/span-transitions.ts';
import { LeaderUnavailableError } from '../../../src/kv/contract/errors.ts';
import type { SpanReply, SpanRequest } from '../../../src/kv/contract/range-transfer.ts';
import { type GroupId, groupId, hlcTimestamp, nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { visible } from '../../distribution/catalog-model.ts';
import { CATALOG_GROUP, FakeCatalogCluster } from '../../support/fake-catalog.ts';
import { bytes, routeAt, versionOf } from './founded.ts';

const nodes = [1, 2, 3].map(nodeId);
const range = (start: string, end: string) => ({
  start: bytes(start),
  end: end === '' ? undefined : bytes(end),
});

/** Group 1 has the first keys and some in the middle, group 2 the rest, group 3 nothing. */
const FOUNDING: FoundingConfiguration = {
  incarnation: 42,
  groups: [
    { id: groupId(1), founders: nodes, preferredLeader: nodes[0], ranges: [range('', 'g'), range('p', 't')] },
    { id: groupId(2), founders: nodes, preferredLeader: undefined, ranges: [range('t', ''), range('g', 'p')] },
    { id: groupId(3), founders: nodes, preferredLeader: undefined, ranges: [] },
  ],
};

/** The logs of the groups, as far as spans go, and nodes that would found the cluster. */
class Founding {
  readonly cluster: FakeCatalogCluster;
  readonly tables = new Map<GroupId, SpanTable>();
  readonly errors: unknown[] = [];
  readonly ends: (() => void)[] = [];
  readonly commands: string[] = [];
  /** Called before a command reaches its group, which waits for it; what it throws is the outcome. */
  before: (group: GroupId) => void | Promise<void> = () => undefined;
  /** Called when it was applied. */
  after: (group: GroupId) => void = () => undefined;

  constructor(configurations: readonly FoundingConfiguration[]) {
    this.cluster = new FakeCatalogCluster(configurations.length);
    this.cluster.group.ownsReserved = false;
    for (const [node, founding] of configurations.entries()) {
      this.ends.push(
        bootstrapCatalog({
          leader: this.cluster.leaders[node]!,
          group: this.cluster.group.replica(node),
          catalogGroup: CATALOG_GROUP,
          spans: { command: (group, request) => this.command(group, request) },
          founding,
          scheduler: this.cluster.time,
          onError: (error) => this.errors.push(error),
        }),
      );
    }
  }

  table(group: number): SpanTable {
    return this.tables.get(groupId(group)) ?? SpanTable.empty;
  }

  private async command(group: GroupId, request: SpanRequest): Promise<SpanReply> {
    await this.before(group);
    assert.equal(request.kind, 'assign');
    if (request.kind !== 'assign') throw new Error('only ranges are given away here');
    await new Promise<void>((resolve) => setImmediate(resolve));
    const { table, outcome } = applySpanCommand(this.table(group), request);
    this.tables.set(group, table);
    if (outcome.kind === 'done' && outcome.isChanged)
      this.commands.push(`${group} ${request.start.toString('latin1')}`);
    if (group === CATALOG_GROUP && request.start.length === 0) this.cluster.group.ownsReserved = true;
    this.after(group);
    return { outcome, gcThreshold: hlcTimestamp(0n) };
  }

  async settle(): Promise<void> {
    const { time, leaders } = this.cluster;
    await time.until('there is a catalog', () => leaders.some((leader) => versionOf(leader.state) === 1));
  }

  /** Every key is owned by the group that the catalog names, and by no other. */
  check(): void {
    const state = this.cluster.group.loaded();
    for (const key of ['\x00c', '\x01', 'a', 'g', 'o', 'p', 's', 't', 'zz']) {
      const owners = [1, 2, 3].filter((id) => this.table(id).check(bytes(key), 'write').kind === 'owned');
      assert.deepEqual(owners, [routeAt(state, key).groupId], key);
    }
  }
}

describe('the beginning of a cluster', () => {
  test('gives every group its ranges and then writes the catalog', async () => {
    const founding = new Founding([FOUNDING]);
    founding.cluster.group.elect(0);
    await founding.settle();
    founding.check();
    assert.deepEqual(founding.errors, []);
    const state = founding.cluster.leaders[0]!.state!;
    assert.equal(state.meta?.incarnation, 42);
    assert.deepEqual([...state.groups.keys()], [1, 2, 3]);
    assert.equal(state.groups.get(groupId(1))?.preferredLeader, 1);
    assert.deepEqual(founding.commands, ['1 ', '1 \x01', '2 g', '1 p', '2 t']);
  });

  test('waits for groups that have no leader yet, and repeats what got lost', async () => {
    const founding = new Founding([FOUNDING]);
    let calls = 0;
    founding.before = () => {
      if (++calls % 3 === 1) throw new LeaderUnavailableError('still electing');
    };
    founding.after = () => {
      if (calls % 3 === 2) throw new OutcomeUnknownError('the answer is lost');
    };
    founding.cluster.group.elect(0);
    // Each attempt meets a failure until the parts of the earlier ones answer at once.
    const random = new SeededRandom(1);
    await founding.cluster.time.pass(1_000);
    founding.before = () => {
      if (random.int(4) === 0) throw new LeaderUnavailableError('still electing');
    };
    founding.after = () => {
      if (random.int(4) === 0) throw new OutcomeUnknownError('the answer is lost');
    };
    await founding.settle();
    founding.check();
    assert.ok(founding.errors.length > 0);
  });

  test('is finished by the next leader, whichever step the one before it came to', async () => {
    for (let steps = 1; steps <= 14; steps++) {
      const founding = new Founding([FOUNDING, FOUNDING]);
      let left = steps;
      const { group } = founding.cluster;
      const countDown = (): void => {
        if (--left === 0) group.elect(1);
      };
      founding.before = countDown;
      founding.after = countDown;
      group.fate = (kind) => {
        if (kind === 'write') countDown();
        return 'ok';
      };
      group.elect(0);
      await founding.settle();
      if (left > 0) assert.ok(steps > 12, 'leadership was lost at each step');
      founding.check();
      assert.equal(new Set(founding.commands).size, founding.commands.length, 'nothing is given twice');
      assert.deepEqual(visible(group.loaded()), visible(founding.cluster.leaders[group.leader!]!.state!));
    }
  });

  test('follows the configuration that was stored first, whatever the next leader was told', async () => {
    const other: FoundingConfiguration = {
      incarnation: 43,
      groups: [
        { id: groupId(1), founders: nodes, preferredLeader: undefined, ranges: [] },
        { id: groupId(2), founders: nodes, preferredLeader: undefined, ranges: [range('', 'h')] },
        { id: groupId(3), founders: nodes, preferredLeader: undefined, ranges: [range('h', '')] },
      ],
    };
    const founding = new Founding([FOUNDING, other]);
    let commands = 0;
    founding.after = () => {
      if (++commands === 3) founding.cluster.group.elect(1);
    };
    founding.cluster.group.elect(0);
    await founding.settle();
    founding.check();
    assert.equal(founding.cluster.group.loaded().meta?.incarnation, 42);
  });

  test('says which group refuses its range, and does not go on', async () => {
    const founding = new Founding([FOUNDING]);
    const taken = applySpanCommand(SpanTable.empty, { kind: 'assign', ...range('h', 'i'), epoch: 3 });
    founding.tables.set(groupId(2), taken.table);
    founding.cluster.group.elect(0);
    await founding.cluster.time.until('it is reported', () => founding.errors.length > 0);
    const [error] = founding.errors;
    assert.ok(error instanceof FoundingError);
    assert.equal(error.groupId, 2);
    assert.match(error.message, /group 2 refuses the range from 'g' to 'p': OWNED/);
    await founding.cluster.time.pass(5_000);
    assert.equal(founding.errors.length, 1);
    assert.equal(versionOf(founding.cluster.leaders[0]!.state), 0);
  });

  test('refuses configurations with gaps, overlaps or unknown groups before it gives anything away', async () => {
    const first = FOUNDING.groups[0]!;
    const wrong = [
      [{ ...first, ranges: [] }],
      [{ ...first, ranges: [range('a', '')] }],
      [{ ...first, ranges: [range('', 'g')] }],
      [{ ...first, ranges: [range('', 'g'), range('h', '')] }],
      [{ ...first, ranges: [range('', 'g'), range('f', '')] }],
      [{ ...first, ranges: [range('', ''), range('g', '')] }],
    ];
    for (const groups of wrong) {
      const founding = new Founding([{ incarnation: 1, groups }]);
      founding.cluster.group.elect(0);
      await founding.cluster.time.until('it is reported', () => founding.errors.length > 0);
      assert.ok(founding.errors[0] instanceof FoundingError);
      assert.deepEqual(founding.commands, []);
    }
  });

  test('is given up by a leader that was held up until others had finished it', async () => {
    const founding = new Founding([FOUNDING, FOUNDING]);
    const { group, time, leaders } = founding.cluster;
    let commands = 0;
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    founding.before = () => (++commands === 2 ? held : undefined);
    group.elect(0);
    await time.until('a command is held up', () => commands === 2);
    group.elect(1);
    await founding.settle();
    group.elect(0);
    await time.until('the first one leads again', () => leaders[0]!.state !== undefined);
    const before = commands;
    letGo();
    await time.pass(2_000);
    assert.equal(commands, before);
    founding.check();
  });

  test('gives nothing away once the catalog exists, and nothing when it is ended', async () => {
    const founding = new Founding([FOUNDING, FOUNDING]);
    founding.cluster.group.elect(0);
    await founding.settle();
    let commands = 0;
    founding.before = () => void commands++;
    founding.cluster.group.elect(1);
    await founding.cluster.time.pass(2_000);
    assert.equal(commands, 0);

    const ended = new Founding([FOUNDING]);
    for (const end of ended.ends) end();
    ended.cluster.group.elect(0);
    await ended.cluster.time.pass(1_000);
    assert.equal(ended.cluster.leaders[0]!.state?.meta, undefined);
    assert.deepEqual(ended.commands, []);
  });
});
