import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nodeId, SimFabric, SimMachine, Simulation } from '../../src/platform/index.ts';

/** Machines that chatter, write and set timers by chance: enough of everything to make a run. */
async function chatter(seed: number): Promise<{ hash: string; events: number; elapsedMs: number; lines: string[] }> {
  const lines: string[] = [];
  const simulation = new Simulation({ seed, traceTo: (line) => lines.push(line) });
  const fabric = new SimFabric(simulation);
  fabric.links.setAll({ lossRate: 0.05, duplicateRate: 0.05, reorderRate: 0.1 });
  const ids = [1, 2, 3].map(nodeId);
  for (const id of ids) {
    const machine = new SimMachine(fabric, id);
    const boot = async (): Promise<void> => {
      const file = await machine.disk.open('/log', { create: true, durable: true });
      for (const peer of ids) if (peer !== id) machine.network.setPeer(peer, 'sim');
      machine.network.onFrame('control', (from, frame) => {
        const left = frame.readUInt16LE(0);
        if (left === 0) return;
        const next = Buffer.alloc(8, left & 0xff);
        next.writeUInt16LE(left - 1);
        machine.scheduler.endOfTurn(() => {
          file.write(next, left * 8).then(() => machine.network.send(from, 'control', next));
        });
      });
      await machine.network.start();
      const beat = (): void => {
        const frame = Buffer.alloc(8);
        frame.writeUInt16LE(machine.random.int(20));
        for (const peer of ids) if (peer !== id) machine.network.send(peer, 'control', frame);
        machine.scheduler.after(5 + machine.random.int(10), beat);
      };
      beat();
    };
    void boot();
    simulation.schedule(100 + machine.random.next() * 300, 'crash', () => {
      machine.crash({ losePower: machine.random.int(2) === 0 });
      void boot();
    });
  }
  const startMs = performance.now();
  await simulation.runFor(1000);
  return { hash: simulation.traceHash(), events: simulation.events, elapsedMs: performance.now() - startMs, lines };
}

describe('simulation', () => {
  test('repeats a run exactly when the seed is the same', async () => {
    const first = await chatter(42);
    const second = await chatter(42);
    assert.ok(first.events > 5000, `${first.events} events`);
    assert.deepEqual(second.lines, first.lines);
    assert.equal(second.hash, first.hash);
  });

  test('takes another course with another seed', async () => {
    assert.notEqual((await chatter(1)).hash, (await chatter(2)).hash);
  });

  test('jumps over time in which nothing happens', async () => {
    const simulation = new Simulation({ seed: 1 });
    let fired = false;
    simulation.schedule(1000 * 3600 * 24, 'late', () => {
      fired = true;
    });
    await simulation.runFor(1000 * 3600 * 24 - 1);
    assert.equal(fired, false);
    await simulation.runFor(1);
    assert.equal(fired, true);
    assert.equal(simulation.nowMs(), 1000 * 3600 * 24);
  });

  test('lets every promise that an event settled run to its end before the next event', async () => {
    const simulation = new Simulation({ seed: 1 });
    const order: string[] = [];
    simulation.schedule(1, 'first', async () => {
      for (let step = 0; step < 50; step++) await null;
      process.nextTick(() => queueMicrotask(() => order.push('end of first')));
    });
    simulation.schedule(1.0001, 'second', () => order.push('second'));
    await simulation.runFor(2);
    assert.deepEqual(order, ['end of first', 'second']);
  });

  test('gives up on a condition that does not come true and names the seed', async () => {
    const simulation = new Simulation({ seed: 77 });
    await assert.rejects(
      simulation.runUntil(() => false, 10),
      /seed 77/,
    );
    assert.equal(simulation.nowMs(), 10);
  });

  test('stops at the first error that an event throws', async () => {
    const simulation = new Simulation({ seed: 1 });
    simulation.schedule(1, 'bad', () => {
      throw new Error('broken event');
    });
    await assert.rejects(simulation.runFor(2), /broken event/);
    await simulation.runFor(1);
  });

  test('runs more than 100 thousand small events a second', async () => {
    const simulation = new Simulation({ seed: 1 });
    let left = 50_000;
    const again = (): void => {
      left -= 1;
      if (left > 0) simulation.delay(0.01, 'tick').then(again);
    };
    again();
    const startMs = performance.now();
    await simulation.runFor(10_000);
    const perSecond = (50_000 / (performance.now() - startMs)) * 1000;
    // Far below what an idle machine does, so that a busy one does not fail it.
    assert.ok(perSecond > 50_000, `${Math.round(perSecond)} events/s`);
  });
});

describe('simulated clocks and timers', () => {
  const machine = (seed = 1) => {
    const simulation = new Simulation({ seed });
    return { simulation, machine: new SimMachine(new SimFabric(simulation), nodeId(1)) };
  };

  test('the wall clock can be moved both ways and the monotonic clock does not notice', async () => {
    const { simulation, machine: m } = machine();
    const wall = m.clock.nowMs();
    const monotonic = m.clock.monotonicMs();
    m.clock.jumpWall(-5000);
    assert.equal(m.clock.nowMs(), wall - 5000);
    await simulation.runFor(100);
    assert.equal(m.clock.nowMs(), wall - 4900);
    assert.ok(Math.abs(m.clock.monotonicMs() - monotonic - 100) < 1e-6);
  });

  test('a drifting clock makes its timers drift along and never fires one early', async () => {
    const { simulation, machine: m } = machine();
    m.clock.setDriftPpm(100_000);
    const start = m.clock.monotonicMs();
    let fired: { trueMs: number; localMs: number } | undefined;
    m.scheduler.after(110, () => {
      fired = { trueMs: simulation.nowMs(), localMs: m.clock.monotonicMs() - start };
    });
    await simulation.runUntil(() => fired !== undefined);
    assert.ok(fired!.localMs >= 110 && fired!.trueMs < 102, JSON.stringify(fired));

    fired = undefined;
    const begin = m.clock.monotonicMs();
    m.scheduler.after(100, () => {
      fired = { trueMs: simulation.nowMs(), localMs: m.clock.monotonicMs() - begin };
    });
    m.clock.setDriftPpm(-500_000);
    await simulation.runUntil(() => fired !== undefined);
    assert.ok(fired!.localMs >= 100, JSON.stringify(fired));
  });

  test('a cancelled timer and a timer of a crashed machine never fire', async () => {
    const { simulation, machine: m } = machine();
    let fired = 0;
    m.scheduler.after(10, () => fired++)();
    m.scheduler.after(10, () => fired++);
    m.scheduler.endOfTurn(() => fired++);
    m.crash({ losePower: false });
    await simulation.runFor(100);
    assert.equal(fired, 0);
    m.scheduler.endOfTurn(() => fired++);
    m.scheduler.after(10, () => fired++);
    await simulation.runFor(100);
    assert.equal(fired, 2);
  });

  test('a paused machine does nothing while its clocks go on', async () => {
    const { simulation, machine: m } = machine();
    const start = m.clock.monotonicMs();
    let firedAt = 0;
    m.scheduler.after(10, () => {
      firedAt = m.clock.monotonicMs() - start;
    });
    m.pauseFor(500);
    await simulation.runFor(1000);
    assert.ok(firedAt >= 500 && firedAt < 502, `${firedAt}`);
  });

  test('a machine that stood still ends its turn, then fires timers, then reads one connection after the other', async () => {
    const { simulation, machine: m } = machine();
    const order: string[] = [];
    const connections = { a: {}, b: {} };
    const arrive = (name: 'a' | 'b', atMs: number): void => {
      simulation.schedule(atMs, 'bytes', () => order.push(`${name}${atMs}`), m, connections[name]);
    };
    m.scheduler.after(80, () => order.push('timer 80'));
    m.scheduler.after(40, () => order.push('timer 40'));
    for (const atMs of [10, 30, 70]) arrive('b', atMs);
    for (const atMs of [20, 60]) arrive('a', atMs);
    simulation.schedule(1, 'before the pause', () => m.scheduler.endOfTurn(() => order.push('end of turn')), m);
    simulation.schedule(1.000_001, 'a pause', () => m.pauseFor(100));
    await simulation.runFor(200);
    assert.deepEqual(order, ['end of turn', 'timer 40', 'timer 80', 'b10', 'b30', 'b70', 'a20', 'a60']);
  });

  test('callbacks at the end of a turn run in order, with those that they add', async () => {
    const { simulation, machine: m } = machine();
    const order: number[] = [];
    m.scheduler.endOfTurn(() => {
      order.push(1);
      m.scheduler.endOfTurn(() => order.push(3));
    });
    m.scheduler.endOfTurn(() => order.push(2));
    await simulation.runFor(1);
    assert.deepEqual(order, [1, 2, 3]);
  });
});
