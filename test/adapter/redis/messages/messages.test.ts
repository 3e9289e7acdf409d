/** Messages over several nodes on simulated machines, whose links are slow, break and are cut. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_BACKLOG_BYTES } from '../../../../src/adapter/redis/messages/lane.ts';
import { Messages } from '../../../../src/adapter/redis/messages/messages.ts';
import type { Subscriber } from '../../../../src/adapter/redis/messages/topics.ts';
import type { EncodedReply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { nodeId, SeededRandom } from '../../../../src/platform/index.ts';
import { decodeReply } from '../harness.ts';
import { NodeStage, type StagedParts } from '../node-stage.ts';

/** A client that remembers the texts that it got. */
class Client implements Subscriber {
  readonly resp = 2;
  readonly got: string[] = [];

  push(message: EncodedReply): void {
    const { value } = decodeReply(message.bytes, 0)!;
    this.got.push(String((value as unknown[]).at(-1)));
  }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

class Stage extends NodeStage<Messages> {
  static started(count: number, seed?: number): Promise<Stage> {
    return new Stage(count, seed).started();
  }

  protected override make(parts: StagedParts): Messages {
    return new Messages(parts);
  }

  async subscribe(id: number, client: Client, name: string, scope: 'channel' | 'pattern' | 'shard' = 'channel') {
    this.at(id).subscribe(scope, bytes(name), client, -1);
    return this.settled(this.at(id).told());
  }

  publish(id: number, channel: string, text: string): number {
    return this.at(id).publish({ isShard: false, channel: bytes(channel), message: bytes(text) });
  }
}

describe('messages over several nodes', () => {
  test('come once to whoever listens anywhere, by a channel and by each pattern, and are counted', async () => {
    const stage = await Stage.started(3);
    const [one, two, three] = [new Client(), new Client(), new Client()];
    await stage.subscribe(1, one, 'news');
    await stage.subscribe(2, two, 'n*', 'pattern');
    await stage.subscribe(2, two, 'news');
    await stage.subscribe(3, three, 'other');
    assert.equal(stage.publish(3, 'news', 'a'), 3);
    assert.equal(stage.publish(1, 'news', 'b'), 3);
    assert.equal(stage.publish(2, 'nobody', 'c'), 1);
    await stage.pass(20);
    assert.deepEqual(one.got.toSorted(), ['a', 'b']);
    assert.deepEqual(two.got.toSorted(), ['a', 'a', 'b', 'b', 'c']);
    assert.deepEqual(three.got, []);
    assert.deepEqual(
      [1, 2, 3].map((id) => stage.at(id).listeners('channel', bytes('news'))),
      [2, 2, 2],
    );
    assert.deepEqual(stage.at(3).names('channel', bytes('n*')), [bytes('news')]);
    assert.equal(stage.at(1).counters.topics.pattern, 1);
    assert.equal(stage.at(3).hasInterest(bytes('nothing')), true, 'by the pattern');
    assert.equal(stage.at(3).hasInterest(bytes('x')), false);
  });

  test('come to nobody who has ended listening, and the answer says so on every node', async () => {
    const stage = await Stage.started(3);
    const client = new Client();
    await stage.subscribe(1, client, 'news');
    stage.at(1).unsubscribe('channel', 'news', client);
    await stage.settled(stage.at(1).told());
    assert.deepEqual(
      [1, 2, 3].map((id) => stage.publish(id, 'news', 'x')),
      [0, 0, 0],
    );
    assert.ok(stage.at(2).isIdle);
  });

  test('of a shard are messages of their own', async () => {
    const stage = await Stage.started(2);
    const [plain, sharded] = [new Client(), new Client()];
    await stage.subscribe(1, plain, 'c');
    await stage.subscribe(1, sharded, 'c', 'shard');
    assert.equal(stage.at(2).publish({ isShard: true, channel: bytes('c'), message: bytes('s') }), 1);
    assert.equal(stage.publish(2, 'c', 'p'), 1);
    await stage.pass(10);
    assert.deepEqual([plain.got, sharded.got], [['p'], ['s']]);
  });

  test('may have names and contents of any bytes', async () => {
    const stage = await Stage.started(2);
    const client = new Client();
    await stage.subscribe(1, client, '\xff\x00\r\n');
    await stage.subscribe(1, client, '\xfe[\x80-\x90]*', 'pattern');
    assert.equal(stage.publish(2, '\xff\x00\r\n', 'a'), 1);
    assert.equal(stage.publish(2, '\xfe\x85\x00', 'b'), 1);
    assert.equal(stage.publish(2, '\xfe\x95', 'c'), 0);
    await stage.pass(10);
    assert.deepEqual(client.got, ['a', 'b']);
  });

  test('whoever begins to listen waits until every node knows, and for a node that is cut off until it is taken for dead', async () => {
    const stage = await Stage.started(3);
    const client = new Client();
    assert.ok((await stage.subscribe(1, client, 'a')) < 5);
    stage.fabric.setCut(nodeId(1), nodeId(3), true);
    stage.fabric.setCut(nodeId(3), nodeId(1), true);
    const waitedMs = await stage.subscribe(1, client, 'b');
    assert.ok(waitedMs > 2000 && waitedMs < 4000, `${waitedMs} ms`);
    assert.equal(stage.publish(2, 'b', 'seen'), 1);
    stage.fabric.heal();
    await stage.pass(3000);
    assert.equal(stage.publish(3, 'b', 'again'), 1, 'it is told when it is there again');
    await stage.pass(10);
    assert.deepEqual(client.got, ['seen', 'again']);
  });

  test('of a node that has just started wait until it knows who listens', async () => {
    const stage = await Stage.started(3);
    const client = new Client();
    await stage.subscribe(1, client, 'a');
    stage.crash(2);
    await stage.pass(200);
    await stage.boot(nodeId(2));
    const ready = stage.at(2).ready();
    assert.notEqual(ready, undefined, 'it knows nothing yet');
    await stage.settled(ready);
    assert.equal(stage.publish(2, 'a', 'x'), 1);
    await stage.pass(10);
    assert.deepEqual(client.got, ['x']);
  });

  test('of a node that has just started do not wait for ever for one that is down', async () => {
    const stage = await Stage.started(2);
    stage.crash(1);
    stage.crash(2);
    await stage.boot(nodeId(2));
    const waitedMs = await stage.settled(stage.at(2).ready());
    assert.ok(waitedMs > 2000 && waitedMs < 4000, `${waitedMs} ms`);
  });

  test('wait while a link is broken for a moment', async () => {
    const stage = await Stage.started(2);
    const client = new Client();
    await stage.subscribe(1, client, 'a');
    stage.fabric.setCut(nodeId(1), nodeId(2), true);
    stage.fabric.setCut(nodeId(2), nodeId(1), true);
    await stage.pass(20);
    for (let nth = 0; nth < 5; nth++) assert.equal(stage.publish(2, 'a', String(nth)), 1);
    await stage.pass(200);
    stage.fabric.heal();
    await stage.pass(2000);
    assert.deepEqual(client.got, ['0', '1', '2', '3', '4']);
  });

  test('that wait for a slow node are bounded, and nobody else waits for it', async () => {
    const stage = await Stage.started(3);
    const [slow, other] = [new Client(), new Client()];
    await stage.subscribe(1, slow, 'a');
    await stage.subscribe(3, other, 'a');
    stage.fabric.links.set(nodeId(2), nodeId(1), { bytesPerMs: 50 });
    const text = 'm'.repeat(1024 * 1024);
    for (let nth = 0; nth < 50; nth++) {
      stage.publish(2, 'a', text);
      await stage.pass(1);
    }
    await stage.pass(50);
    assert.equal(other.got.length, 50);
    const { backlogBytes, droppedMessages } = stage.at(2).counters;
    assert.ok(backlogBytes <= MAX_BACKLOG_BYTES && backlogBytes > MAX_BACKLOG_BYTES / 2, `${backlogBytes} bytes wait`);
    assert.ok(droppedMessages > 5, `${droppedMessages} dropped`);
  });

  test('come by the last of many names that one client begins to listen to', async () => {
    const stage = await Stage.started(2);
    const client = new Client();
    const nameOf = (nth: number): string => `${'n'.repeat(1000)}${nth}`;
    for (let nth = 0; nth < 2000; nth++) stage.at(1).subscribe('channel', bytes(nameOf(nth)), client, -1);
    await stage.settled(stage.at(1).told());
    assert.equal(stage.publish(2, nameOf(1999), 'x'), 1);
    await stage.pass(20);
    assert.deepEqual(client.got, ['x']);
  });

  test('that waited for a node that died are not for whoever listens when it is there again', async () => {
    const stage = await Stage.started(2);
    await stage.subscribe(1, new Client(), 'a');
    stage.crash(1);
    await stage.pass(20);
    assert.equal(stage.publish(2, 'a', 'before'), 1, 'nobody knows yet that it is down');
    await stage.boot(nodeId(1));
    const client = new Client();
    await stage.subscribe(1, client, 'a');
    assert.equal(stage.publish(2, 'a', 'after'), 1);
    await stage.pass(1000);
    assert.deepEqual(client.got, ['after']);
  });

  test('go on after a node has sent what is no message', async () => {
    const stage = await Stage.started(2);
    const client = new Client();
    await stage.subscribe(1, client, 'a');
    const { network } = stage.machines.get(nodeId(2))!;
    const header = Buffer.from('0100000000000000060000000a', 'hex');
    const stream = network.duplex(nodeId(1), 'redis-messages', header);
    stream.onEnd(() => undefined);
    stream.send(bytes('nonsense'));
    await stage.pass(50);
    assert.equal(stage.errors.length, 1);
    await stage.pass(2000);
    await stage.settled(stage.at(2).ready());
    assert.equal(stage.publish(2, 'a', 'x'), 1);
    await stage.pass(10);
    assert.deepEqual(client.got, ['x']);
  });

  test('come from a node that joins, and to it, before anybody has said that it is there', async () => {
    const stage = new Stage(3);
    stage.listed = [nodeId(1), nodeId(2)];
    await stage.boot(nodeId(1));
    await stage.boot(nodeId(2));
    await stage.pass(50);
    const [old, fresh] = [new Client(), new Client()];
    await stage.subscribe(1, old, 'a');
    const known = stage.listed;
    stage.listed = [...known, nodeId(3)];
    await stage.boot(nodeId(3));
    await stage.settled(stage.at(3).ready());
    assert.equal(stage.publish(3, 'a', 'x'), 1);
    await stage.subscribe(3, fresh, 'b');
    assert.equal(stage.publish(2, 'b', 'y'), 1);
    stage.listed = known;
    await stage.pass(1000);
    assert.deepEqual([old.got, fresh.got], [['x'], ['y']]);
  });
});

/** One client's subscription to one channel, and what it may expect. */
interface Watched {
  readonly node: number;
  readonly client: Client;
  /** Numbers of the messages that were published after its answer. */
  readonly due: string[];
}

/** Clients come and publish on links that vary, with nodes that crash: see the checks at the end. */
async function randomRun(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const stage = await Stage.started(3, seed);
  stage.fabric.links.setAll({ minDelayMs: 0.1, maxDelayMs: 1 + random.int(30) });
  const watched: Watched[] = [];
  const everybody: Client[] = [];
  const trouble = seed % 3;
  let published = 0;
  const subscribe = (): void => {
    const node = 1 + random.int(3);
    const messages = stage.at(node);
    if (messages === undefined) return;
    const client = new Client();
    everybody.push(client);
    const one: Watched = { node, client, due: [] };
    messages.subscribe('channel', bytes('c'), client, -1);
    const answered = (): void => void watched.push(one);
    const told = messages.told();
    if (told === undefined) answered();
    else void told.then(answered);
  };
  const publish = (): void => {
    const messages = stage.at(1 + random.int(3));
    if (messages === undefined || messages.ready() !== undefined) return;
    const text = String(published++);
    for (const { due } of watched) due.push(text);
    messages.publish({ isShard: false, channel: bytes('c'), message: bytes(text) });
  };
  for (let step = 0; step < 150; step++) {
    const dice = random.int(10);
    if (dice < 2) subscribe();
    else if (dice < 8) publish();
    else if (trouble === 1 && dice === 8 && random.int(6) === 0) {
      const id = 1 + random.int(3);
      if (stage.at(id) !== undefined) {
        stage.crash(id);
        // What it has published last may be lost with it.
        for (const one of watched.splice(0, watched.length)) {
          one.due.length = 0;
          if (one.node !== id) watched.push(one);
        }
        await stage.pass(random.int(200));
        await stage.boot(nodeId(id));
      }
    } else if (trouble === 2 && dice === 8) {
      stage.fabric.breakConnection(nodeId(1 + random.int(3)), nodeId(1 + random.int(3)));
      // What was under way is lost with the link: nothing can be said of those who are there.
      watched.length = 0;
    }
    await stage.pass(random.int(20));
  }
  await stage.pass(5000);
  for (const { client, due } of watched) {
    const missing = due.filter((text) => !client.got.includes(text));
    assert.deepEqual(missing, [], `seed ${seed}: published after the answer, and not delivered`);
  }
  for (const { got } of everybody) {
    assert.equal(new Set(got).size, got.length, `seed ${seed}: something came twice`);
  }
  assert.deepEqual(stage.errors, []);
}

const RUNS = Number(process.env.KVORUM_MESSAGE_RUNS ?? 30);

test('what is published after an answer comes, and nothing twice, whatever links and nodes do', async () => {
  for (let seed = 1; seed <= RUNS; seed++) await randomRun(seed);
});
