import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type NodeId, nodeId, SimFabric, SimMachine, Simulation } from '../../src/platform/index.ts';

const [A, B, C] = [nodeId(1), nodeId(2), nodeId(3)];

async function cluster(seed = 1) {
  const simulation = new Simulation({ seed });
  const fabric = new SimFabric(simulation);
  const machines = new Map([A, B, C].map((id) => [id, new SimMachine(fabric, id)]));
  const received = new Map<NodeId, string[]>([A, B, C].map((id) => [id, []]));
  const lost: string[] = [];
  const boot = async (id: NodeId): Promise<void> => {
    const { network } = machines.get(id)!;
    for (const peer of [A, B, C]) if (peer !== id) network.setPeer(peer, `node${peer}:1`);
    for (const lane of ['control', 'bulk'] as const)
      network.onFrame(lane, (from, frame) => received.get(id)!.push(`${from}:${frame.toString()}`));
    network.onPeerLost((peer) => lost.push(`${id}-${peer}`));
    await network.start();
  };
  for (const id of [A, B, C]) await boot(id);
  const send = (from: NodeId, to: NodeId, text: string): boolean =>
    machines.get(from)!.network.send(to, 'bulk', Buffer.from(text));
  return { simulation, fabric, machines, received, lost, boot, send };
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `1:${i}`);

describe('simulated network', () => {
  test('delivers every frame once and in order on a good link', async () => {
    const { simulation, received, send } = await cluster();
    for (let i = 0; i < 200; i++) assert.equal(send(A, B, String(i)), true);
    await simulation.runFor(100);
    assert.deepEqual(received.get(B), numbers(200));
  });

  test('loses, repeats and reorders frames where that is switched on', async () => {
    const { simulation, fabric, received, send } = await cluster();
    const run = async (): Promise<string[]> => {
      received.get(B)!.length = 0;
      for (let i = 0; i < 500; i++) send(A, B, String(i));
      await simulation.runFor(1000);
      return received.get(B)!;
    };
    fabric.links.set(A, B, { lossRate: 0.3 });
    const lossy = await run();
    assert.ok(lossy.length > 250 && lossy.length < 450);
    assert.deepEqual(
      lossy,
      numbers(500).filter((text) => lossy.includes(text)),
    );

    fabric.links.set(A, B, { lossRate: 0, duplicateRate: 0.3 });
    const repeated = await run();
    assert.ok(repeated.length > 550);
    assert.equal(new Set(repeated).size, 500);

    fabric.links.set(A, B, { duplicateRate: 0, reorderRate: 0.3 });
    const reordered = await run();
    assert.notDeepEqual(reordered, numbers(500));
    assert.deepEqual(new Set(reordered), new Set(numbers(500)));
    for (let i = 0; i < 10; i++) send(C, B, String(i));
    await simulation.runFor(100);
    assert.deepEqual(
      received.get(B)!.filter((text) => text.startsWith('3:')),
      numbers(10).map((text) => text.replace('1:', '3:')),
    );
  });

  test('a one-way cut stops one direction only', async () => {
    const { simulation, fabric, received, lost, send } = await cluster();
    fabric.setCut(A, B, true);
    send(A, B, 'x');
    send(B, A, 'y');
    await simulation.runFor(100);
    assert.deepEqual([received.get(A), received.get(B)], [['2:y'], []]);
    assert.deepEqual(lost.sort(), ['1-2', '2-1']);
    fabric.setCut(A, B, false);
    send(A, B, 'z');
    await simulation.runFor(100);
    assert.deepEqual(received.get(B), ['1:z']);
  });

  test('a partition separates its parts, loses what was under way, and heals', async () => {
    const { simulation, fabric, received, send } = await cluster();
    send(A, C, 'under way');
    fabric.partition([A, B], [C]);
    send(A, B, 'inside');
    send(B, C, 'across');
    await simulation.runFor(100);
    assert.deepEqual([received.get(B), received.get(C)], [['1:inside'], []]);
    fabric.heal();
    send(B, C, 'again');
    await simulation.runFor(100);
    assert.deepEqual(received.get(C), ['2:again']);
  });

  test('a crash loses frames under way to the machine and tells its peers', async () => {
    const { simulation, machines, received, lost, boot, send } = await cluster();
    send(A, B, 'lost');
    machines.get(B)!.crash({ losePower: true });
    send(A, B, 'to nobody');
    await simulation.runFor(100);
    assert.deepEqual(lost.sort(), ['1-2', '3-2']);
    await boot(B);
    send(A, B, 'back');
    await simulation.runFor(100);
    assert.deepEqual(received.get(B), ['1:back']);
  });

  test('refuses frames beyond the queue and to unknown peers', async () => {
    const { simulation, fabric, machines, send } = await cluster();
    fabric.links.set(A, B, { bytesPerMs: 1, maxQueuedBytes: 10 });
    assert.equal(send(A, B, '12345678'), true);
    assert.equal(machines.get(A)!.network.queuedBytes(B, 'bulk'), 8);
    assert.equal(send(A, B, '123'), false);
    await simulation.runFor(8);
    assert.equal(send(A, B, '123'), true);
    assert.equal(send(A, nodeId(9), 'x'), false);
  });

  test('a stream carries its frames in order, asks for each one, and brings back the answer', async () => {
    const { simulation, machines } = await cluster();
    let taken = 0;
    async function* frames(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 50; i++) {
        taken += 1;
        yield Buffer.from(String(i));
      }
    }
    const got: string[] = [];
    machines.get(B)!.network.onStream('copy', async (from, header, incoming) => {
      for await (const frame of incoming) {
        got.push(frame.toString());
        assert.ok(taken <= got.length + 1, 'the sender ran ahead');
      }
      return Buffer.from(`${header.toString()} from ${from}`);
    });
    const answer = machines.get(A)!.network.stream(B, 'copy', Buffer.from('head'), frames());
    assert.equal((await simulation.runToEnd(answer)).toString(), 'head from 1');
    assert.deepEqual(
      got,
      numbers(50).map((text) => text.slice(2)),
    );
  });

  for (const [how, breakIt] of [
    ['is cut', (c: Awaited<ReturnType<typeof cluster>>) => c.fabric.setCut(B, A, true)],
    ['loses its receiver', (c: Awaited<ReturnType<typeof cluster>>) => c.machines.get(B)!.crash({ losePower: false })],
  ] as const)
    test(`a stream that ${how} fails for its sender and lets go of its source`, async () => {
      const c = await cluster();
      let released = false;
      async function* endless(): AsyncGenerator<Buffer> {
        try {
          for (;;) yield Buffer.alloc(10);
        } finally {
          released = true;
        }
      }
      let receiverError: unknown;
      c.machines.get(B)!.network.onStream('copy', async (_from, _header, incoming) => {
        try {
          for await (const _frame of incoming);
        } catch (error) {
          receiverError = error;
        }
        return Buffer.alloc(0);
      });
      const answer = c.machines.get(A)!.network.stream(B, 'copy', Buffer.alloc(0), endless());
      const outcome = assert.rejects(answer, { code: 'SIM_STREAM_BROKEN' });
      await c.simulation.runFor(20);
      breakIt(c);
      await c.simulation.runToEnd(outcome);
      await c.simulation.runFor(20);
      assert.equal(released, true);
      assert.equal(receiverError !== undefined, how === 'is cut');
    });

  test('a stream that is aborted fails for both ends', async () => {
    const { simulation, machines } = await cluster();
    let receiverError: unknown;
    machines.get(B)!.network.onStream('copy', async (_from, _header, incoming) => {
      try {
        for await (const _frame of incoming);
      } catch (error) {
        receiverError = error;
      }
      return Buffer.alloc(0);
    });
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(10);
    }
    const abort = new AbortController();
    const answer = machines.get(A)!.network.stream(B, 'copy', Buffer.alloc(0), endless(), abort.signal);
    const outcome = assert.rejects(answer, { code: 'SIM_STREAM_BROKEN' });
    await simulation.runFor(10);
    abort.abort();
    await simulation.runToEnd(outcome);
    await simulation.runFor(20);
    assert.ok(receiverError !== undefined);
  });

  test('a stream without a handler is refused', async () => {
    const { simulation, machines } = await cluster();
    async function* none(): AsyncGenerator<Buffer> {}
    const answer = machines.get(A)!.network.stream(B, 'nothing', Buffer.alloc(0), none());
    await simulation.runToEnd(assert.rejects(answer, /no handler for nothing/));
  });
});
