import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { createKvService, Hlc, LeaderUnavailableError, NotLeaderError } from '../../src/kv/index.ts';
import { GroupStateMachine } from '../../src/kv/state-machine.ts';
import { groupId, nodeId, SeededRandom } from '../../src/platform/index.ts';
import { bytes, CONF, FakeRaft, GROUP, ManualClock, ManualScheduler, text } from './fakes.ts';
import { MemoryStore } from './memory-store.ts';
import { Wire } from './network.ts';

/** Two nodes with one group each side; the first leads. */
function pair() {
  const clock = new ManualClock();
  const scheduler = new ManualScheduler(clock);
  const wire = new Wire();
  const node = (id: number) => {
    const store = new MemoryStore();
    const stateMachine = new GroupStateMachine({ store, initialConf: CONF });
    const raft = new FakeRaft(stateMachine);
    const kv = createKvService({
      groups: [{ raft, stateMachine, store }],
      route: () => GROUP,
      network: wire.end(id),
      clock,
      scheduler,
      random: new SeededRandom(id),
      hlc: new Hlc(clock),
    });
    return { raft, kv };
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
  it('routes keys, lists groups and knows where it serves', () => {
    const { first, second } = pair();
    assert.equal(first.kv.groupOf(bytes('k')), GROUP);
    assert.deepEqual(first.kv.dataGroups(), [GROUP]);
    assert.equal(first.kv.nodeId, nodeId(1));
    assert.equal(first.kv.servesLocally(GROUP), true);
    assert.equal(second.kv.servesLocally(GROUP), false);
    assert.equal(first.kv.servesLocally(groupId(99)), false);
  });

  it('takes a command at any node to the leader and the reply back, after apply', () => {
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

  it('scans and counts what was acknowledged, and redirects where it does not lead', async () => {
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

  it('refuses operations on a group that is not here, and gives up forwards when it is closed', async () => {
    const { second } = pair();
    const errors: (Error | undefined)[] = [];
    second.kv.submit(groupId(99), { evaluate: () => 0, complete: (error) => errors.push(error) });
    second.raft.leaderId = undefined;
    second.kv.forward(GROUP, 'x', bytes(''), 10_000, (error) => errors.push(error));
    await second.kv.close();
    assert.ok(errors[0] instanceof NotLeaderError);
    assert.ok(errors[1] instanceof LeaderUnavailableError);
  });

  it('shows the time that an operation would get', () => {
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
    assert.ok(first.kv.nowTs() >= ts);
  });
});
