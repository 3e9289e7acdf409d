/** The catalog over the key-value layer as it is: executor, spans, proxy and leadership, with a group that commits on command. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bootstrapCatalog } from '../../../src/cluster/catalog/bootstrap.ts';
import { ForwardingCatalogClient } from '../../../src/cluster/catalog/client.ts';
import { CatalogEndpoint } from '../../../src/cluster/catalog/endpoint.ts';
import type { FoundingConfiguration } from '../../../src/cluster/catalog/founding.ts';
import { KvCatalogGroup } from '../../../src/cluster/catalog/group.ts';
import { Heartbeats } from '../../../src/cluster/catalog/heartbeats.ts';
import { CatalogLeader } from '../../../src/cluster/catalog/leader.ts';
import { RouteEngine } from '../../../src/distribution/routes/route-engine.ts';
import { GroupStateMachine } from '../../../src/kv/apply/state-machine.ts';
import { NotOwnerError } from '../../../src/kv/contract/errors.ts';
import { ForwardingSpanClient } from '../../../src/kv/ranges/client.ts';
import { serveSpans } from '../../../src/kv/ranges/endpoint.ts';
import { createKvService } from '../../../src/kv/service/service.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { visible } from '../../distribution/catalog-model.ts';
import { CONF, FakeRaft, GROUP } from '../../support/lone-group.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { Wire } from '../../support/wire.ts';
import { bytes, splitAt, versionOf } from './founded.ts';

const NODES = [nodeId(1), nodeId(2)];
const FOUNDING: FoundingConfiguration = {
  incarnation: 5,
  groups: [
    { id: GROUP, founders: NODES, preferredLeader: undefined, ranges: [{ start: Buffer.alloc(0), end: undefined }] },
  ],
};

/** Two nodes; the first one has the group and leads it. */
function pair() {
  const clock = new ManualClock();
  const scheduler = new ManualScheduler(clock);
  const wire = new Wire();
  const errors: unknown[] = [];
  const node = (id: number) => {
    const store = new MemoryStore();
    const stateMachine = new GroupStateMachine({ store, initialConf: { ...CONF, voters: NODES } });
    const raft = new FakeRaft(stateMachine, store);
    raft.ownsEverything = false;
    const kv = createKvService({
      routes: new RouteEngine(0),
      membersOf: (group) => (group === GROUP ? NODES : []),
      network: wire.end(id),
      clock,
      scheduler,
      random: new SeededRandom(id),
    });
    kv.addGroup({ raft, stateMachine, store });
    const group = new KvCatalogGroup({ kv, groupId: GROUP, leader: () => raft.leader(), scheduler });
    const leader = new CatalogLeader({ group, clock, scheduler, onError: (error) => errors.push(error) });
    new CatalogEndpoint(kv, leader, new Heartbeats(leader, clock));
    serveSpans(kv, (asked) => kv.executor(asked)?.spans);
    const client = new ForwardingCatalogClient({ kv, catalogGroup: GROUP, clock, scheduler });
    group.start();
    const spans = new ForwardingSpanClient(kv, clock);
    const onError = (error: unknown): void => void errors.push(error);
    bootstrapCatalog({ leader, group, catalogGroup: GROUP, spans, founding: FOUNDING, scheduler, onError });
    return { raft, kv, leader, client, group };
  };
  const first = node(1);
  const second = node(2);
  let isHeld = false;
  const until = async (what: string, condition: () => boolean): Promise<void> => {
    for (let round = 0; !condition(); round++) {
      if (round > 2_000) throw new Error(`waited in vain until ${what}: ${errors}`);
      await new Promise<void>((resolve) => setImmediate(resolve));
      scheduler.advance(5);
      scheduler.endTurn();
      if (!isHeld) first.raft.commit();
      wire.deliver();
    }
  };
  const outcome = async <Value>(promise: Promise<Value>): Promise<Value> => {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await until('a promise settles', () => isSettled);
    return promise;
  };
  const hold = (value: boolean): void => {
    isHeld = value;
  };
  return { first, second, until, outcome, hold, errors };
}

describe('the catalog in the key-value layer', () => {
  test('is founded on a group that owns nothing, and serves every node', async () => {
    const { first, second, until, outcome, errors } = pair();
    first.raft.lead();
    await until('there is a catalog', () => versionOf(first.leader.state) === 1);
    assert.deepEqual(errors, []);
    const spans = first.raft.stateMachine.spanTable.spans.map(({ start, end, state }) => [start, end, state]);
    assert.deepEqual(spans, [
      [bytes(''), bytes('\x01'), 'ACTIVE'],
      [bytes('\x01'), undefined, 'ACTIVE'],
    ]);
    const { version } = await outcome(second.client.run(splitAt(first.leader.state, 'k')));
    assert.equal(version, 2);
    assert.deepEqual(
      (await outcome(second.client.clusterState())).groups.map(({ id }) => id),
      [GROUP],
    );
    assert.equal(second.leader.state, undefined);
  });

  test('is loaded again by the next leadership, with what became of the commits of the one before', async () => {
    const { first, second, until, outcome, hold } = pair();
    first.raft.lead();
    await until('there is a catalog', () => versionOf(first.leader.state) === 1);
    const term = first.leader.leaderTerm;
    hold(true);
    const op = splitAt(first.leader.state, 'k');
    const lost = first.leader.run(op);
    await until('it is proposed', () => first.raft.proposals.length > 0);
    // The entry gets into the log and is applied by the next leadership; nobody hears of it.
    const [entry] = first.raft.proposals;
    first.raft.stepDown();
    await assert.rejects(outcome(lost), OutcomeUnknownError);
    await until('it has forgotten', () => first.leader.state === undefined);
    first.raft.apply(entry!.payload);
    first.raft.leaderId = nodeId(1);
    first.raft.lead();
    hold(false);
    await until('it has loaded', () => first.leader.state !== undefined);
    assert.equal(versionOf(first.leader.state), 2);
    assert.ok(first.leader.leaderTerm > term);
    assert.equal((await outcome(first.leader.run(op, true))).version, 2);
    const merged = splitAt(first.leader.state, 'p');
    assert.equal((await outcome(second.client.run(merged))).version, 3);
    const state = await outcome(first.leader.read((one) => visible(one)));
    assert.deepEqual(state, visible(first.leader.state!));
  });

  test('rests on rows that the group itself keeps from users', async () => {
    const { first, until, outcome } = pair();
    first.raft.lead();
    const early = outcome(first.group.scan({ start: bytes('\x00c'), end: bytes('\x00d'), limit: 10 }));
    await assert.rejects(early, NotOwnerError);
    await until('there is a catalog', () => versionOf(first.leader.state) === 1);
    const { rows } = await outcome(first.group.scan({ start: bytes('\x00c'), end: bytes('\x00d'), limit: 10 }));
    assert.ok(rows.length >= 4);
  });
});
