/** What becomes of proposals when leadership moves: known wherever this replica can know it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProposalOutcome } from '../../src/raftengine/contract/types.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { type EngineNode, SimulatedEngines } from '../support/simulated-engines.ts';

/** Proposes again at whoever leads what was certainly not proposed, as everybody above the engine does. */
async function insist(cluster: SimulatedEngines, text: string, node: EngineNode): Promise<string> {
  const outcome = await node.propose(text);
  if (outcome.kind !== 'notProposed') return outcome.kind;
  assert(outcome.error instanceof NotLeaderError, outcome.error.message);
  const next = cluster.up().find((one) => one.list.leadership.at(-1)?.kind === 'serving');
  if (next === undefined) await new Promise<void>((resolve) => node.machine.scheduler.after(5, resolve));
  return insist(cluster, text, next ?? node);
}

test('a transfer of leadership leaves no outcome unknown and refuses nothing but by the next leader', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = await SimulatedEngines.found({ seed });
    const texts: string[] = [];
    const outcomes: Promise<string>[] = [];
    for (let nth = 0; nth < 5; nth++) {
      const leader = await cluster.serving();
      const target = cluster.up().find((node) => node !== leader && node.id !== ((seed + nth) % 3) + 1)!;
      const write = (count: number): void => {
        for (let at = 0; at < count; at++) {
          const text = `${nth}:${texts.length}`;
          texts.push(text);
          outcomes.push(insist(cluster, text, leader));
        }
      };
      write(5);
      await cluster.simulation.runFor((seed * 7) % 13);
      write(5);
      const transfer = leader.group.transferLeadership(target.id);
      write(5);
      await cluster.simulation.runFor(seed % 3);
      write(5);
      await cluster.simulation.runToEnd(transfer);
    }
    const kinds = await cluster.simulation.runToEnd(Promise.all(outcomes));
    assert.deepEqual([...new Set(kinds)], ['applied'], `seed ${seed}`);
    await cluster.until(() => cluster.up().every((node) => node.list.values.length >= texts.length));
    assert.deepEqual([...cluster.up()[0]!.list.values].sort(), [...texts].sort(), `seed ${seed}`);
  }
});

test('a transfer is over when the old leader knows what became of all that it proposed', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const [target, third] = cluster.up().filter((node) => node !== leader);
  // The target has everything, and nobody knows that it is committed: the leader's disk is slow and the third node silent.
  cluster.fabric.setCut(third!.id, leader.id, true);
  const write = leader.store.write.bind(leader.store);
  leader.store.write = async (all) => {
    await write(all);
    await new Promise<void>((resolve) => leader.machine.scheduler.after(200, resolve));
  };
  const told: string[] = [];
  for (let at = 0; at < 50; at++)
    leader.group.propose(Buffer.from(`${at}`), ({ kind }) =>
      told.push(`${kind} ${leader.list.leadership.at(-1)!.kind}`),
    );
  let knownAtTheEnd = 0;
  await cluster.simulation.runToEnd(
    leader.group.transferLeadership(target!.id).then(() => {
      knownAtTheEnd = told.length;
    }),
  );
  assert.equal(knownAtTheEnd, 50);
  assert.deepEqual([...new Set(told)], ['applied stopped'], 'leadership ended before any outcome was known');
});

test('what is proposed during a transfer that comes to nothing is held, and proposed in order', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const target = cluster.up().find((node) => node !== leader)!;
  cluster.fabric.setCut(leader.id, target.id, true);
  const transfer = assert.rejects(leader.group.transferLeadership(target.id), /did not finish/);
  const outcomes = ['a', 'b', 'c'].map((text) => leader.propose(text));
  await cluster.simulation.runFor(500);
  assert.deepEqual(leader.list.values, []);
  const all: ProposalOutcome[] = await cluster.simulation.runToEnd(Promise.all(outcomes));
  assert(all.every(({ kind }) => kind === 'applied'));
  assert.deepEqual(leader.list.values, ['a', 'b', 'c']);
  await cluster.simulation.runToEnd(transfer);
});

test('a leader that was cut off learns that what only it had will never be', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const rest = cluster.up().filter((node) => node !== leader);
  cluster.fabric.partition(
    [leader.id],
    rest.map((node) => node.id),
  );
  const { lastIndex } = leader.group.status();
  const lost = leader.propose('lost');
  await cluster.until(() => leader.group.status().lastIndex > lastIndex);
  await cluster.serving(undefined, rest);
  cluster.fabric.heal();
  const outcome = await cluster.simulation.runToEnd(lost);
  assert(outcome.kind === 'notProposed' && outcome.error instanceof NotLeaderError);
  await cluster.until(() => cluster.agreed());
  assert.deepEqual(leader.list.values, []);
});

test('a leader that was cut off learns that what the others have stored is applied', async () => {
  const cluster = await SimulatedEngines.found();
  const leader = await cluster.serving();
  const rest = cluster.up().filter((node) => node !== leader);
  // That they did is not heard here.
  for (const { id } of rest) cluster.fabric.setCut(id, leader.id, true);
  const { lastIndex } = leader.group.status();
  const kept = leader.propose('kept');
  await cluster.until(() => rest.every((node) => node.group.status().lastIndex > lastIndex));
  await cluster.serving(undefined, rest);
  cluster.fabric.heal();
  assert.equal((await cluster.simulation.runToEnd(kept)).kind, 'applied');
  await cluster.until(() => cluster.agreed());
  assert.deepEqual(leader.list.values, ['kept']);
});

test('what may or may not be in a snapshot that took the place of the log stays unknown', async () => {
  const cluster = await SimulatedEngines.found({
    limits: { retainEntries: 1, retainBytes: 1, truncateIntervalMs: 50 },
  });
  const leader = await cluster.serving();
  const rest = cluster.up().filter((node) => node !== leader);
  cluster.fabric.partition(
    [leader.id],
    rest.map((node) => node.id),
  );
  const outcome = leader.propose('lost');
  const next = await cluster.serving(undefined, rest);
  await cluster.proposeAll(next, 50, 'v');
  await cluster.simulation.runFor(500);
  cluster.fabric.heal();
  assert.equal((await cluster.simulation.runToEnd(outcome)).kind, 'unknown');
  assert.equal(leader.engine.counters.snapshotsInstalled, 1);
});
