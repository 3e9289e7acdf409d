/** Nodes that agree on users: three directories over keys that they share, in virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RuleCommands, User, UserDirectory, type UserEnvironment } from '../../../../src/adapter/redis/acl/index.ts';
import { CommandTable, type EvaluationSettings } from '../../../../src/adapter/redis/command/index.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { isUnexpected } from '../../../../src/adapter/redis/protocol/index.ts';
import type { FeatureStanding } from '../../../../src/distribution/index.ts';
import { type Clock, nodeId, SeededRandom } from '../../../../src/platform/index.ts';
import { type PasswordCheck, Passwords, Secret } from '../../../../src/security/index.ts';
import { FakeKv, FakeState } from '../../../support/fake-kv.ts';
import { VirtualTime } from '../../../support/virtual-time.ts';

const commands = new RuleCommands(new CommandTable(ALL_COMMANDS));
const environment: UserEnvironment = { commands, allChannels: false };
const random = new SeededRandom(7);
const settings: EvaluationSettings = { random, maxStringBytes: 1 << 26 };

/** A node that may be cut off: nobody hears of it, nor it of anybody, and what is under way is lost. */
class CutKv extends FakeKv {
  isCut = false;
  private readonly virtual: VirtualTime;

  constructor(nodeNumber: number, state: FakeState, time: VirtualTime) {
    super({ nodeId: nodeNumber, state, time });
    this.virtual = time;
  }

  override forward(...[group, service, payload, deadlineMs, done]: Parameters<FakeKv['forward']>): void {
    const lost = (): void => {
      const leftMs = deadlineMs - this.virtual.monotonicMs();
      this.virtual.after(Math.max(0, leftMs), () => done(this.unavailable('no answer in time'), undefined));
    };
    if (this.isCut) lost();
    else super.forward(group, service, payload, deadlineMs, (...outcome) => (this.isCut ? lost() : done(...outcome)));
  }
}

/** The clocks of one machine, which may have slept: its monotonic clock is behind that of the others. */
class MachineClock implements Clock {
  sleptMs = 0;
  private readonly time: VirtualTime;

  constructor(time: VirtualTime) {
    this.time = time;
  }

  nowMs(): number {
    return this.time.nowMs();
  }

  monotonicMs(): number {
    return this.time.monotonicMs() - this.sleptMs;
  }
}

/** Nodes 1 to `count`; node 1 leads the row. */
class Nodes {
  readonly time = new VirtualTime();
  readonly kvs: CutKv[];
  readonly clocks: MachineClock[];
  readonly directories: UserDirectory[];
  /** How often each node was told of a change. */
  readonly changes: number[];
  standing: FeatureStanding;
  private readonly state = new FakeState();

  constructor(
    count: number,
    passwords?: PasswordCheck,
    operator?: PasswordCheck,
    standing: FeatureStanding = { kind: 'active' },
  ) {
    this.standing = standing;
    this.kvs = Array.from({ length: count }, (_, at) => new CutKv(at + 1, this.state, this.time));
    for (const kv of this.kvs) kv.leader = this.kvs[0];
    this.changes = this.kvs.map(() => 0);
    this.clocks = this.kvs.map(() => new MachineClock(this.time));
    this.directories = this.kvs.map(
      (kv, at) =>
        new UserDirectory({
          kv,
          clock: this.clocks[at]!,
          scheduler: this.time,
          random,
          settings: () => settings,
          environment,
          passwords,
          operator,
          isShared: true,
          standing: () => this.standing,
          members: () => this.kvs.map((_, nth) => nodeId(nth + 1)),
          changed: () => {
            this.changes[at]!++;
          },
          unexpected: (error) => {
            if (isUnexpected(error)) assert.fail(String(error));
          },
        }),
    );
  }

  async known(): Promise<this> {
    await this.time.until('all know the users', () => this.directories.every(({ areKnown }) => areKnown));
    return this;
  }

  /** Stores a user through a node. @returns how long it took, in virtual time */
  async store(at: number, name: string, ...rules: readonly string[]): Promise<number> {
    const sinceMs = this.time.monotonicMs();
    await this.time.outcome(
      this.directories[at]!.change((table) => {
        const before = table.find(name)?.user ?? new User(name, environment);
        return { table: table.with(before.changedBy(rules)), result: undefined };
      }),
    );
    return this.time.monotonicMs() - sinceMs;
  }

  /** Nodes that let a user in. */
  admitting(name: string, password: string): number[] {
    return this.directories.flatMap((directory, at) =>
      directory.admit(name, Buffer.from(password)) === undefined ? [] : [at],
    );
  }

  cutOff(at: number): void {
    this.kvs[at]!.isCut = true;
  }

  heal(): void {
    for (const kv of this.kvs) kv.isCut = false;
  }

  stop(): void {
    for (const directory of this.directories) directory.stop();
  }
}

describe('users of several nodes', () => {
  test('are the same on all of them when a change is answered, whichever was asked', async () => {
    const nodes = await new Nodes(3).known();
    for (const at of [0, 1, 2]) {
      const tookMs = await nodes.store(at, `user${at}`, 'on', `>p${at}`, '+get');
      assert.deepEqual(nodes.admitting(`user${at}`, `p${at}`), [0, 1, 2]);
      assert.ok(tookMs < 1_000, `${tookMs} ms`);
    }
    await nodes.store(1, 'user1', 'resetpass', '>other');
    assert.deepEqual([nodes.admitting('user1', 'p1'), nodes.admitting('user1', 'other')], [[], [0, 1, 2]]);
    nodes.stop();
  });

  test('are those of before for a node that is cut off, but not any longer than a change takes', async () => {
    const nodes = await new Nodes(3).known();
    await nodes.store(0, 'a', 'on', '>p');
    nodes.cutOff(2);
    const change = nodes.store(0, 'a', 'resetpass', '>q');
    await nodes.time.pass(2_000);
    assert.equal(nodes.directories[2]!.areKnown, true);
    const tookMs = await change;
    assert.ok(tookMs > 3_000, `${tookMs} ms`);
    assert.equal(nodes.directories[2]!.areKnown, false);
    assert.deepEqual(nodes.admitting('a', 'q'), [0, 1]);
    nodes.heal();
    await nodes.known();
    assert.deepEqual([nodes.admitting('a', 'p'), nodes.admitting('a', 'q')], [[], [0, 1, 2]]);
    nodes.stop();
  });

  test('are those of before for no longer on a machine that sleeps through the change', async () => {
    const nodes = await new Nodes(3).known();
    await nodes.store(0, 'a', 'on', '>p');
    nodes.cutOff(2);
    nodes.clocks[2]!.sleptMs = await nodes.store(0, 'a', 'off');
    assert.equal(nodes.directories[2]!.areKnown, false);
    nodes.stop();
  });

  test('of a cluster that had none are not said to hold where a node has not heard of them', async () => {
    const nodes = await new Nodes(3).known();
    nodes.cutOff(2);
    await assert.rejects(nodes.store(0, 'default', 'off'), /^RedisError: UNKNOWN .*\(node 3\)$/);
    // Without users a node does not depend on the row.
    assert.equal(nodes.directories[2]!.areKnown, true);
    nodes.heal();
    await nodes.time.until('node 3 has heard of them', () => nodes.directories[2]!.stored.revision === 1);
    nodes.stop();
  });

  test('survive that another node leads, who has promised nothing', async () => {
    const nodes = await new Nodes(3).known();
    await nodes.store(0, 'a', 'on', '>p');
    for (const kv of nodes.kvs) kv.leader = nodes.kvs[1];
    nodes.cutOff(2);
    const tookMs = await nodes.store(1, 'a', 'off');
    assert.equal(nodes.directories[2]!.areKnown, false, 'its lease was given by the leader before');
    assert.ok(tookMs > 3_000, `${tookMs} ms`);
    assert.deepEqual(nodes.admitting('a', 'p'), [2]);
    nodes.stop();
  });

  test('are unknown while nobody leads the row, and known again', async () => {
    const nodes = await new Nodes(2).known();
    await nodes.store(0, 'a', 'on', '>p');
    for (const kv of nodes.kvs) kv.leader = undefined;
    await nodes.time.pass(5_000);
    assert.deepEqual(
      nodes.directories.map(({ areKnown }) => areKnown),
      [false, false],
    );
    for (const kv of nodes.kvs) kv.leader = nodes.kvs[1];
    await nodes.known();
    assert.deepEqual(nodes.admitting('a', 'p'), [0, 1]);
    nodes.stop();
  });

  test('lose no change when several nodes change them at a time', async () => {
    const nodes = await new Nodes(3).known();
    const names = Array.from({ length: 12 }, (_, at) => `user${at}`);
    await Promise.all(names.map((name, at) => nodes.store(at % 3, name, 'on', '>p')));
    for (const name of names) assert.deepEqual(nodes.admitting(name, 'p'), [0, 1, 2]);
    assert.equal(nodes.directories[0]!.stored.revision, 12);
    nodes.stop();
  });

  test('are told from those of the same name who were deleted', async () => {
    const nodes = await new Nodes(1).known();
    await nodes.store(0, 'a', 'on', '>p');
    const [directory] = nodes.directories;
    const born = directory!.find('a')!.born;
    await nodes.store(0, 'a', 'off');
    assert.equal(directory!.find('a')!.born, born);
    await nodes.time.outcome(directory!.change((table) => ({ table: table.without(['a']), result: undefined })));
    await nodes.store(0, 'a', 'on', '>p');
    assert.notEqual(directory!.find('a')!.born, born);
    nodes.stop();
  });

  test('are not asked for before the feature is active, and cannot be unknown then', async () => {
    const nodes = new Nodes(1, undefined, undefined, { kind: 'off', lacking: [] });
    await nodes.time.pass(2_000);
    assert.equal(nodes.directories[0]!.areKnown, true);
    assert.equal(nodes.kvs[0]!.forwarded, 0);
    // A node that has heard of no cluster yet cannot know.
    nodes.standing = { kind: 'coming', unheard: [] };
    assert.equal(nodes.directories[0]!.areKnown, false);
    nodes.standing = { kind: 'active' };
    await nodes.known();
    nodes.stop();
  });
});

describe('the users of the configuration', () => {
  const opened = (password: string) => Passwords.open({ password: new Secret(password) });

  test('are the default user until it is stored', async () => {
    const nodes = await new Nodes(1, await opened('one')).known();
    assert.deepEqual([nodes.admitting('default', 'one'), nodes.admitting('default', 'two')], [[0], []]);
    await nodes.store(0, 'other', 'on');
    assert.deepEqual(nodes.admitting('default', 'one'), [0]);
    await nodes.time.outcome(
      nodes.directories[0]!.change((table) => ({
        table: table.with(nodes.directories[0]!.defaultIdentity.user.changedBy(['>two'])),
        result: undefined,
      })),
    );
    assert.deepEqual([nodes.admitting('default', 'one'), nodes.admitting('default', 'two')], [[0], [0]]);
    await nodes.store(0, 'default', 'resetpass', '>three');
    assert.deepEqual([nodes.admitting('default', 'one'), nodes.admitting('default', 'three')], [[], [0]]);
    nodes.stop();
  });

  test('are the operator whatever happens, where there is one', async () => {
    const nodes = await new Nodes(1, undefined, await opened('op')).known();
    await nodes.store(0, 'default', 'off');
    nodes.cutOff(0);
    await nodes.time.pass(6_000);
    assert.equal(nodes.directories[0]!.areKnown, false);
    assert.deepEqual([nodes.admitting('kvorum-operator', 'op'), nodes.admitting('kvorum-operator', '')], [[0], []]);
    const identity = nodes.directories[0]!.admit('kvorum-operator', Buffer.from('op'))!;
    assert.deepEqual([identity.isOperator, identity.user.isUnlimited], [true, true]);
    nodes.stop();
    const without = await new Nodes(1).known();
    assert.deepEqual(without.admitting('kvorum-operator', ''), []);
    without.stop();
  });
});
