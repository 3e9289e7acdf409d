import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RouteEngine } from '../../src/distribution/routes/route-engine.ts';
import { RouteTableLoader } from '../../src/distribution/routes/route-table.ts';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import { LeaderUnavailableError } from '../../src/kv/contract/errors.ts';
import { createKvService } from '../../src/kv/service/service.ts';
import { groupId, nodeId, SeededRandom } from '../../src/platform/index.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { route } from '../distribution/builders.ts';
import { bytes, CONF, FakeRaft, GROUP, text } from '../support/lone-group.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { Wire } from '../support/wire.ts';

const CATALOG = groupId(1);
const OTHER = groupId(3);
const MEMBERS = { ...CONF, voters: [nodeId(1), nodeId(2)] };

/** The catalog's keys, two routes of one group, and one of another. */
function someRoutes(): RouteEngine {
  const loader = new RouteTableLoader();
  loader.add(route(1, '', '\x01', CATALOG));
  loader.add(route(2, '\x01', 'm', GROUP));
  loader.add(route(3, 'm', 't', GROUP));
  loader.add(route(4, 't', '', OTHER));
  const routes = new RouteEngine(0);
  routes.publish(loader.finish(1, 1));
  return routes;
}

/** Two nodes with one group each side; the first leads. */
function pair() {
  const clock = new ManualClock();
  const scheduler = new ManualScheduler(clock);
  const wire = new Wire();
  const node = (id: number) => {
    const store = new MemoryStore();
    const stateMachine = new GroupStateMachine({ store, initialConf: MEMBERS });
    const raft = new FakeRaft(stateMachine, store);
    raft.ownsEverything = true;
    const routes = someRoutes();
    const kv = createKvService({
      routes,
      membersOf: (group) => (group === GROUP ? [nodeId(1)] : []),
      network: wire.end(id),
      clock,
      scheduler,
      random: new SeededRandom(id),
    });
    kv.addGroup({ raft, stateMachine, store });
    return { raft, kv, routes };
  };
  const first = node(1);
  const second = node(2);
  first.raft.lead();
  const flow = (): void => {
    for (let round = 0; round < 10; round++) {
      scheduler.endTurn();
      first.raft.commit();
      wire.deliver();
    }
  };
  return { first, second, flow, scheduler };
}

describe('the key-value service', () => {
  test('asks about keys in the directory of the moment', () => {
    const { first } = pair();
    const { kv } = first;
    assert.equal(kv.groupOf(bytes('k')), GROUP);
    assert.equal(kv.groupOf(bytes('z')), OTHER);
    assert.deepEqual(kv.stretchAt(bytes('k')), { group: GROUP, end: bytes('t') }, 'cuts inside a group do not show');
    assert.deepEqual(kv.stretchAt(bytes('u')), { group: OTHER, end: undefined });
    assert.deepEqual(kv.bordersBetween(bytes('k'), bytes('z')), [bytes('m'), bytes('t')], 'here they do');
    assert.deepEqual(kv.bordersBetween(bytes('m'), bytes('t')), []);
    assert.deepEqual(kv.dataGroups(), [GROUP, OTHER], 'the catalog group has only its own keys here');
    assert.equal(kv.routesVersion, 1);
    const moved = new RouteTableLoader();
    moved.add(route(1, '', '', CATALOG));
    first.routes.publish(moved.finish(2, 1));
    assert.equal(kv.groupOf(bytes('k')), CATALOG);
    assert.deepEqual(kv.dataGroups(), [CATALOG]);
    assert.equal(kv.routesVersion, 2);
  });

  test('sends everybody to the catalog group while it knows no directory', () => {
    const { first } = pair();
    const { kv } = first;
    const wire = new Wire();
    const clock = new ManualClock();
    const blank = createKvService({
      routes: new RouteEngine(0),
      membersOf: () => [],
      network: wire.end(9),
      clock,
      scheduler: new ManualScheduler(clock),
      random: new SeededRandom(9),
    });
    assert.equal(blank.groupOf(bytes('k')), CATALOG);
    assert.deepEqual(blank.stretchAt(bytes('k')), { group: CATALOG, end: undefined });
    assert.deepEqual(blank.dataGroups(), []);
    assert.equal(blank.routesVersion, 0);
    assert.equal(kv.routesVersion, 1);
  });

  test('lets groups go and takes them in again while it runs', async () => {
    const { first, second, flow } = pair();
    await first.kv.removeGroup(GROUP);
    assert.equal(first.kv.servesLocally(GROUP), false);
    assert.equal(first.kv.executor(GROUP), undefined);
    await first.kv.removeGroup(GROUP);
    let error: Error | undefined;
    second.kv.forward(GROUP, 'x', bytes(''), 1100, (refusal) => {
      error = refusal;
    });
    flow();
    assert.equal(error, undefined, 'it waits for somebody who leads');
    const store = new MemoryStore();
    const stateMachine = new GroupStateMachine({ store, initialConf: MEMBERS });
    const raft = new FakeRaft(stateMachine, store);
    first.kv.addGroup({ raft, stateMachine, store });
    raft.lead();
    assert.equal(first.kv.servesLocally(GROUP), true);
  });

  test('reaches a group that it has no replica of', async () => {
    const { first, second, flow } = pair();
    await second.kv.removeGroup(GROUP);
    first.kv.onForward('echo', (payload, answer) => answer(undefined, payload));
    let reply: string | undefined;
    second.kv.forward(GROUP, 'echo', bytes('hello'), 2000, (_error, bytesBack) => {
      reply = bytesBack?.toString();
    });
    flow();
    assert.equal(reply, 'hello');
    assert.equal(second.kv.leaderOf(GROUP), nodeId(1));
  });

  test('asks the members when its own replica was taken out of the group', async () => {
    const { first, second, flow } = pair();
    await second.kv.removeGroup(GROUP);
    const store = new MemoryStore();
    const stateMachine = new GroupStateMachine({ store, initialConf: { ...MEMBERS, voters: [nodeId(1)] } });
    const raft = new FakeRaft(stateMachine, store);
    raft.leaderId = undefined;
    second.kv.addGroup({ raft, stateMachine, store });
    first.kv.onForward('echo', (payload, answer) => answer(undefined, payload));
    let reply: string | undefined;
    second.kv.forward(GROUP, 'echo', bytes('hello'), 2000, (_error, bytesBack) => {
      reply = bytesBack?.toString();
    });
    flow();
    assert.equal(reply, 'hello');
  });

  test('knows where it serves', () => {
    const { first, second } = pair();
    assert.equal(first.kv.nodeId, nodeId(1));
    assert.equal(first.kv.servesLocally(GROUP), true);
    assert.equal(second.kv.servesLocally(GROUP), false);
    assert.equal(first.kv.servesLocally(groupId(99)), false);
  });

  test('takes a command at any node to the leader and the reply back, after apply', () => {
    const { first, second, flow } = pair();
    first.kv.onForward('set', (payload, answer) => {
      first.kv.submit(GROUP, {
        evaluate: (view) => view.put(bytes('k'), payload, 0n as typeof view.ts),
        complete: (error) => answer(error, error === undefined ? bytes('OK') : undefined),
      });
    });
    let reply: string | undefined;
    second.kv.forward(GROUP, 'set', bytes('value'), 2000, (error, bytesBack) => {
      assert.equal(error, undefined);
      reply = bytesBack?.toString();
    });
    flow();
    assert.equal(reply, 'OK');
    let seen: string | undefined;
    first.kv.submit(GROUP, {
      evaluate: (view) => text(view.get(bytes('k'))),
      complete: (_error, value) => {
        seen = value;
      },
    });
    assert.equal(seen, 'value');
    assert.ok(first.kv.stats(GROUP).operations >= 2);
  });

  test('scans and counts what was acknowledged, and redirects where it does not lead', async () => {
    const { first, second, flow } = pair();
    for (const name of ['a', 'b', 'c']) {
      first.kv.submit(GROUP, {
        evaluate: (view) => view.put(bytes(name), bytes(name), 0n as typeof view.ts),
        complete: () => undefined,
      });
    }
    flow();
    const request = { start: bytes(''), end: bytes('z'), limit: 2 };
    const page = await first.kv.scan(GROUP, request);
    assert.deepEqual(
      page.rows.map((row) => row.key.toString()),
      ['a', 'b'],
    );
    assert.equal(page.next?.toString(), 'c');
    assert.equal(await first.kv.countKeys(GROUP, 0), 3);
    await assert.rejects(second.kv.scan(GROUP, request), NotLeaderError);
    await assert.rejects(second.kv.countKeys(GROUP, 0), NotLeaderError);
    await assert.rejects(first.kv.scan(groupId(99), request), NotLeaderError);
  });

  test('refuses operations on a group that is not here, and gives up forwards when it is closed', async () => {
    const { second } = pair();
    const errors: (Error | undefined)[] = [];
    second.kv.submit(groupId(99), { evaluate: () => 0, complete: (error) => errors.push(error) });
    second.raft.leaderId = undefined;
    second.kv.forward(GROUP, 'x', bytes(''), 10_000, (error) => errors.push(error));
    await second.kv.close();
    assert.ok(errors[0] instanceof NotLeaderError);
    assert.ok(errors[1] instanceof LeaderUnavailableError);
  });

  test('tells the time of its node, which no operation gets less than', () => {
    const { first, flow } = pair();
    let ts = 0n;
    const before = first.kv.nowTs();
    first.kv.submit(GROUP, {
      evaluate: (view) => {
        ts = view.ts;
      },
      complete: () => undefined,
    });
    flow();
    assert.ok(ts >= before);
  });
});
