import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type DuplexStream, type NodeId, nodeId, SimFabric, SimMachine, Simulation } from '../../src/platform/index.ts';

const [A, B] = [nodeId(1), nodeId(2)];

/** What an end heard: texts, then `closed` or `broke`. */
function listen(stream: DuplexStream): string[] {
  const heard: string[] = [];
  stream.onMessage((message) => heard.push(message.toString()));
  stream.onEnd((error) => heard.push(error === undefined ? 'closed' : 'broke'));
  return heard;
}

async function pair(seed = 1) {
  const simulation = new Simulation({ seed });
  const fabric = new SimFabric(simulation);
  const machines = new Map([A, B].map((id) => [id, new SimMachine(fabric, id)]));
  const inbound: { stream: DuplexStream; heard: string[]; header: string; from: NodeId }[] = [];
  const boot = async (id: NodeId): Promise<void> => {
    const { network } = machines.get(id)!;
    network.setPeer(id === A ? B : A, 'elsewhere:1');
    network.onDuplex('talk', (from, header, stream) =>
      inbound.push({ stream, heard: listen(stream), header: header.toString(), from }),
    );
    await network.start();
  };
  await boot(A);
  await boot(B);
  const open = (kind = 'talk') => {
    const stream = machines.get(A)!.network.duplex(B, kind, Buffer.from('hello'));
    return { stream, heard: listen(stream) };
  };
  const say = (stream: DuplexStream, from: number, count: number): void => {
    for (let at = from; at < from + count; at++) stream.send(Buffer.from(String(at)));
  };
  return { simulation, fabric, machines, inbound, boot, open, say };
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, at) => String(at));

describe('a two-way stream of the simulated network', () => {
  test('brings every message once and in order in both directions, on links that reorder and repeat', async () => {
    const { simulation, fabric, inbound, open, say } = await pair();
    fabric.links.setAll({ reorderRate: 0.3, duplicateRate: 0.3 });
    const near = open();
    say(near.stream, 0, 200);
    await simulation.runFor(5);
    assert.equal(inbound.length, 1);
    assert.deepEqual([inbound[0]!.header, inbound[0]!.from], ['hello', A]);
    say(inbound[0]!.stream, 0, 100);
    await simulation.runFor(20);
    assert.deepEqual(inbound[0]!.heard, texts(200));
    assert.deepEqual(near.heard, texts(100));
  });

  for (const closer of ['opener', 'receiver'] as const)
    test(`that its ${closer} closes brings what was said before, and tells the other side alone`, async () => {
      const { simulation, inbound, open, say } = await pair();
      const near = open();
      await simulation.runFor(5);
      const far = inbound[0]!;
      const [self, other] = closer === 'opener' ? [near, far] : [far, near];
      say(self.stream, 0, 3);
      self.stream.close();
      say(self.stream, 9, 1);
      say(other.stream, 0, 1);
      await simulation.runFor(50);
      assert.deepEqual([self.heard, other.heard], [[], ['0', '1', '2', 'closed']]);
    });

  test('ends for both sides when a message is lost, and nothing that came after it arrives', async () => {
    const { simulation, fabric, inbound, open, say } = await pair(7);
    const near = open();
    await simulation.runFor(5);
    fabric.links.set(A, B, { lossRate: 0.05 });
    for (let at = 0; at < 300; at++) {
      say(near.stream, at, 1);
      await simulation.runFor(0.2);
    }
    await simulation.runFor(20);
    const { heard } = inbound[0]!;
    assert.equal(heard.at(-1), 'broke');
    assert.ok(heard.length > 1 && heard.length < 200);
    assert.deepEqual(heard.slice(0, -1), texts(heard.length - 1));
    assert.deepEqual(near.heard, ['broke']);
  });

  test('ends for both sides when the machines are cut off from each other', async () => {
    const { simulation, fabric, inbound, open, say } = await pair();
    const near = open();
    await simulation.runFor(5);
    fabric.setCut(B, A, true);
    say(near.stream, 0, 3);
    await simulation.runFor(20);
    assert.deepEqual([near.heard, inbound[0]!.heard], [['broke'], ['broke']]);
    const again = open();
    await simulation.runFor(20);
    // The way there is open; the first word back finds the cut.
    inbound[1]!.stream.send(Buffer.from('x'));
    await simulation.runFor(20);
    assert.deepEqual([again.heard, inbound[1]!.heard], [['broke'], ['broke']]);
  });

  test('ends for the side that lives when the other one crashes, and its old self hears nothing', async () => {
    const { simulation, machines, inbound, boot, open, say } = await pair();
    const near = open();
    await simulation.runFor(5);
    machines.get(B)!.crash({ losePower: false });
    say(near.stream, 0, 3);
    await boot(B);
    await simulation.runFor(20);
    assert.deepEqual([near.heard, inbound[0]!.heard], [['broke'], []]);
    open();
    await simulation.runFor(20);
    assert.equal(inbound.length, 2);
  });

  test('ends when nobody takes it or the node is not known', async () => {
    const { simulation, machines, open } = await pair();
    const refused = open('unheard of');
    const nobody = listen(machines.get(A)!.network.duplex(nodeId(9), 'talk', Buffer.alloc(0)));
    await simulation.runFor(20);
    assert.deepEqual([refused.heard, nobody], [['broke'], ['broke']]);
  });

  test('shows what waits, and ends when too much of it does', async () => {
    const { simulation, fabric, inbound, open, say } = await pair();
    const near = open();
    await simulation.runFor(5);
    fabric.links.set(A, B, { bytesPerMs: 1, maxQueuedBytes: 20 });
    near.stream.send(Buffer.alloc(10));
    assert.equal(near.stream.queuedBytes, 10);
    await simulation.runFor(4);
    assert.equal(near.stream.queuedBytes, 6);
    await simulation.runFor(20);
    assert.equal(near.stream.queuedBytes, 0);
    say(near.stream, 100, 7);
    assert.equal(near.stream.queuedBytes, 21);
    say(near.stream, 107, 1);
    await simulation.runFor(100);
    assert.deepEqual(near.heard, ['broke']);
    assert.equal(inbound[0]!.heard.at(-1), 'broke');
  });

  test('runs the same way again from the same seed', async () => {
    const run = async (seed: number): Promise<string> => {
      const { simulation, fabric, inbound, open, say } = await pair(seed);
      fabric.links.setAll({ lossRate: 0.02 });
      for (let at = 0; at < 20; at++) {
        const near = open();
        say(near.stream, 0, 10);
        await simulation.runFor(3);
        for (const far of inbound) say(far.stream, 0, 2);
      }
      await simulation.runFor(50);
      return `${simulation.traceHash()} ${JSON.stringify(inbound.map((far) => far.heard))}`;
    };
    assert.equal(await run(5), await run(5));
    assert.notEqual(await run(5), await run(6));
  });
});
