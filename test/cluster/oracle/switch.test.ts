import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AuthoritySwitch, carryOut } from '../../../src/cluster/oracle/switch.ts';
import { type CatalogState, EMPTY_CATALOG } from '../../../src/distribution/catalog/catalog-state.ts';
import type { GroupRow } from '../../../src/distribution/contract/cluster-types.ts';
import { RouteTableLoader } from '../../../src/distribution/routes/route-table.ts';
import type { OracleStatus } from '../../../src/kv/oracle/codec.ts';
import {
  type Authority,
  applyFence,
  type FenceCommand,
  FIRST_AUTHORITY,
  reachedTs,
} from '../../../src/kv/time/authority.ts';
import { type GroupId, groupId, type HlcTimestamp, hlcTimestamp } from '../../../src/platform/index.ts';
import { route } from '../../distribution/builders.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';

const GROUPS = 4;

/** The groups of a cluster as their logs have them; every grant of every oracle is remembered. */
class FakeGroups {
  readonly groups = new Map<GroupId, { authority: Authority; maxTs: bigint; ceilingMs: number }>();
  readonly grants: { epoch: number; ts: bigint }[] = [];
  /** Asked before each message: throws when it is lost, may wait. */
  disturb: (group: GroupId) => Promise<void> = async () => undefined;
  messages = 0;

  constructor() {
    for (let id = 1; id <= GROUPS; id++) this.add(groupId(id));
  }

  add(group: GroupId): void {
    this.groups.set(group, { authority: FIRST_AUTHORITY, maxTs: 10n << 16n, ceilingMs: 20 });
  }

  private answer(group: GroupId, isDone: boolean): OracleStatus {
    const { authority, maxTs, ceilingMs } = this.groups.get(group)!;
    return { isDone, authority, maxTs: hlcTimestamp(maxTs), ceilingMs, boundMs: 0, leadMs: 0 };
  }

  async status(group: GroupId): Promise<OracleStatus> {
    this.messages++;
    await this.disturb(group);
    return this.answer(group, true);
  }

  async fence(group: GroupId, command: FenceCommand): Promise<OracleStatus> {
    this.messages++;
    await this.disturb(group);
    const state = this.groups.get(group)!;
    const next = applyFence(state.authority, command);
    if (next !== undefined) {
      state.authority = next;
      if (command.kind === 'open') this.reach(group, command.floor);
    }
    const answer = this.answer(group, next !== undefined);
    await this.disturb(group);
    return answer;
  }

  private reach(group: GroupId, ts: HlcTimestamp): void {
    const state = this.groups.get(group)!;
    if (ts > state.maxTs) state.maxTs = ts;
    state.ceilingMs = Math.max(state.ceilingMs, Number(ts >> 16n) + 1);
  }

  /** A group's clock goes on: where its leader changes it jumps to the ceiling. */
  advance(group: GroupId, ms: number): void {
    const state = this.groups.get(group)!;
    state.maxTs = BigInt(reachedTs({ maxTs: hlcTimestamp(state.maxTs), ceilingMs: state.ceilingMs })) + 1n;
    state.ceilingMs = Number(state.maxTs >> 16n) + ms;
  }

  /** Somebody asks a group for a timestamp, and a group takes work that it stamps. */
  grant(group: GroupId): bigint | undefined {
    const state = this.groups.get(group)!;
    const { authority } = state;
    if (authority.mode === 'local' || authority.oracle !== group || !authority.isOpen) return undefined;
    state.maxTs += 1n;
    state.ceilingMs = Math.max(state.ceilingMs, Number(state.maxTs >> 16n) + 1);
    this.grants.push({ epoch: authority.epoch, ts: state.maxTs });
    return state.maxTs;
  }
}

const ROUTES = (() => {
  const loader = new RouteTableLoader();
  loader.add(route(1, '', '\x01', 1));
  loader.add(route(2, '\x01', '', 2));
  return loader.finish(1, 1);
})();

/** A catalog whose cluster state says so at this revision. */
function catalog(revision: number, oracle: string | undefined, groups: readonly number[] = [1, 2, 3, 4]): CatalogState {
  const row = (id: number): [GroupId, GroupRow] => [
    groupId(id),
    { id: groupId(id), revision: 1, founders: [], state: 'ACTIVE', preferredLeader: undefined, createdMs: 0 },
  ];
  const meta = { documentRevision: revision } as CatalogState['meta'];
  const name = 'tso.group';
  const settings = oracle === undefined ? [] : [[name, { name, revision: 1, value: oracle }] as const];
  return { ...EMPTY_CATALOG, meta, routes: ROUTES, groups: new Map(groups.map(row)), settings: new Map(settings) };
}

const authorities = (fake: FakeGroups): Authority[] => [...fake.groups.values()].map(({ authority }) => authority);

describe('a change of the oracle', () => {
  test('needs nothing while the setting says what holds from the beginning', async () => {
    const fake = new FakeGroups();
    assert.equal(await carryOut(catalog(3, undefined), 3, fake), true);
    assert.deepEqual(authorities(fake), Array(GROUPS).fill(FIRST_AUTHORITY));
  });

  test('goes to a group of its own, to one that holds data, to none, and back, each time above all that was said', async () => {
    const fake = new FakeGroups();
    fake.advance(groupId(3), 5_000);
    const steps = [
      { setting: '4', oracle: 4, mode: 'tso' },
      { setting: '2', oracle: 2, mode: 'bridge' },
      { setting: '0', oracle: 0, mode: 'local' },
      { setting: '1', oracle: 1, mode: 'bridge' },
    ] as const;
    let said = fake.grant(groupId(1))!;
    for (const [at, { setting, oracle, mode }] of steps.entries()) {
      const revision = 10 + at;
      assert.equal(await carryOut(catalog(revision, setting), revision, fake), true);
      for (const authority of authorities(fake)) {
        assert.equal(authority.epoch, revision);
        assert.equal(authority.mode, mode);
        assert.equal(authority.oracle, oracle);
      }
      for (let group = 1; group <= GROUPS; group++) {
        const ts = fake.grant(groupId(group));
        assert.equal(ts !== undefined, group === oracle);
        if (ts === undefined) continue;
        assert.ok(ts > said);
        said = ts;
      }
      // Without an oracle each group goes on alone, above what the last one said.
      if (mode === 'local') for (const { maxTs } of fake.groups.values()) assert.ok(maxTs >= said);
      fake.advance(groupId(1 + (at % GROUPS)), 3_000);
    }
  });

  test('waits for every group before anybody grants', async () => {
    const fake = new FakeGroups();
    fake.disturb = async (group) => {
      if (group === 3) throw new Error('no leader');
    };
    await assert.rejects(carryOut(catalog(5, '4'), 5, fake));
    assert.equal(fake.grant(groupId(4)), undefined);
    fake.disturb = async () => undefined;
    assert.equal(await carryOut(catalog(6, '4'), 6, fake), true, 'under the epoch that it began with');
    assert.ok(fake.grant(groupId(4)) !== undefined);
  });

  test('takes in groups that came later, and does nothing for a group that does not exist', async () => {
    const fake = new FakeGroups();
    await carryOut(catalog(5, '4'), 5, fake);
    fake.add(groupId(9));
    fake.advance(groupId(9), 60_000);
    assert.equal(await carryOut(catalog(7, '4', [1, 2, 3, 4, 9]), 7, fake), true);
    assert.equal(fake.groups.get(groupId(9))!.authority.epoch, 5);
    assert.ok(fake.grant(groupId(4))! > fake.groups.get(groupId(9))!.maxTs);
    assert.equal(await carryOut(catalog(8, '77'), 8, fake), true);
    assert.equal(fake.groups.get(groupId(1))!.authority.epoch, 5);
  });

  test('never has two oracles at once, nor one below another, however leaders of the catalog overlap and fail', async () => {
    const change = fc.record({
      setting: fc.constantFrom('0', '1', '2', '3', '4'),
      /** How long this leader's messages are on their way, in turns; lost at the turns given. */
      delays: fc.array(fc.nat(6), { minLength: 30, maxLength: 30 }),
      lost: fc.array(fc.nat(40), { maxLength: 3 }),
      startsAt: fc.nat(12),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(GROUPS), { maxLength: 60 }),
        async (changes, asks) => {
          const fake = new FakeGroups();
          let turn = 0;
          const waiting: { at: number; go: () => void }[] = [];
          const until = (at: number): Promise<void> => new Promise((go) => waiting.push({ at, go: () => go() }));
          let pending = 0;
          for (const [at, { setting, delays, lost, startsAt }] of changes.entries()) {
            let messages = 0;
            const late = async (): Promise<void> => {
              const message = messages++;
              await until(turn + delays[message % delays.length]!);
              if (lost.includes(message)) throw new Error('lost');
            };
            const channel = {
              status: async (group: GroupId) => {
                await late();
                return fake.status(group);
              },
              fence: async (group: GroupId, command: FenceCommand) => {
                await late();
                const answer = await fake.fence(group, command);
                await late();
                return answer;
              },
            };
            // Its cluster state is of its own revision: a later leader knows a later one.
            const revision = 10 + at;
            pending++;
            void until(startsAt * (at + 1))
              .then(() => carryOut(catalog(revision, setting), revision, channel))
              .catch(() => false)
              .finally(() => pending--);
          }
          for (; pending > 0; turn++) {
            assert.ok(turn < 5_000, 'every attempt ends');
            for (const one of waiting.splice(0)) {
              if (one.at <= turn) one.go();
              else waiting.push(one);
            }
            await new Promise((resolve) => setImmediate(resolve));
            const ask = asks[turn % Math.max(1, asks.length)];
            if (ask !== undefined && ask < GROUPS) {
              fake.advance(groupId(ask + 1), 10);
              for (let group = 1; group <= GROUPS; group++) fake.grant(groupId(group));
            }
            const open = authorities(fake).filter(
              ({ mode, oracle, isOpen }, at) => mode !== 'local' && oracle === at + 1 && isOpen,
            );
            assert.ok(open.length <= 1, 'one oracle at a time');
          }
          // Who was switched to last wins, once somebody carries it out undisturbed.
          const last = changes.at(-1)!.setting;
          const revision = 10 + changes.length;
          for (let tries = 0; tries < 3; tries++) await carryOut(catalog(revision, last), revision, fake);
          for (const { oracle } of authorities(fake)) assert.equal(oracle, Number(last));
          for (let group = 1; group <= GROUPS; group++) fake.grant(groupId(group));
          const byEpoch = new Map<number, bigint[]>();
          for (const { epoch, ts } of fake.grants) byEpoch.set(epoch, [...(byEpoch.get(epoch) ?? []), ts]);
          let end = 0n;
          for (const [epoch, granted] of [...byEpoch].sort(([a], [b]) => a - b)) {
            const before = end;
            for (const ts of granted) assert.ok(ts > before, `epoch ${epoch} begins above what was granted before`);
            for (const ts of granted) if (ts > end) end = ts;
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test('is begun again until it is done, looked at again later, and follows the cluster state', async () => {
    const fake = new FakeGroups();
    const scheduler = new ManualScheduler(new ManualClock());
    let state: CatalogState | undefined;
    let listener: () => void = () => undefined;
    const errors: unknown[] = [];
    const source = {
      get state() {
        return state;
      },
      leaderTerm: 1,
      onChange: (heard: () => void) => {
        listener = heard;
        return () => {
          listener = () => undefined;
        };
      },
      trackSlowestCursor: () => undefined,
    };
    const authority = new AuthoritySwitch({ source, channel: fake, scheduler, onError: (error) => errors.push(error) });
    authority.start();
    const pass = async (ms: number): Promise<void> => {
      scheduler.advance(ms);
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    };
    await pass(1_000);
    assert.equal(fake.messages, 0, 'nothing without a catalog');
    fake.disturb = async () => {
      throw new Error('no leader');
    };
    state = catalog(5, '4');
    listener();
    await pass(0);
    assert.equal(errors.length, 1);
    fake.disturb = async () => undefined;
    await pass(500);
    assert.ok(authorities(fake).every(({ epoch }) => epoch === 5));
    const { messages } = fake;
    listener();
    await pass(1_000);
    assert.equal(fake.messages, messages, 'the same cluster state asks for nothing new');
    fake.add(groupId(2));
    await pass(10_000);
    assert.ok(
      authorities(fake).every(({ epoch }) => epoch === 5),
      'somebody else had changed it',
    );
    state = catalog(6, '1');
    listener();
    await pass(0);
    assert.ok(authorities(fake).every(({ epoch }) => epoch === 6));
    await authority.stop();
  });
});
