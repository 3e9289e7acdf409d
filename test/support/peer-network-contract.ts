/** The promises of `PeerNetwork`, to be run over every implementation. No test waits for time: each waits for a condition. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type DuplexStream, type Lane, nodeId, type PeerNetwork, type Refusal } from '../../src/platform/index.ts';

/** Where networks are made, and what may happen between them. */
export interface NetworkWorld {
  /** The network of a node that has not started: a new one, also for a node that was stopped before. */
  add(id: number, folder: string): PeerNetwork;
  /** Where the network of a node is reached once it has started; another address whenever it is asked. */
  addressOf(id: number): Promise<string>;
  /** Lets time go on until the condition holds. @throws when it does not hold soon */
  until(condition: () => boolean): Promise<void>;
  /** Breaks all connections between two nodes; new ones may be made. */
  breakBetween(a: number, b: number): void;
  /** From now on nothing of what one node sends to the other is taken from it. */
  hold(from: number, to: number): void;
  dispose(): Promise<void>;
}

/** What an implementation leaves out on purpose. */
export interface NetworkTraits {
  /** Data folders are told apart. */
  readonly hasFolders: boolean;
  /** Frames for a peer that cannot be reached are taken and lost, instead of refused. */
  readonly losesSilently?: boolean;
}

const LANES: readonly Lane[] = ['control', 'bulk', 'forward'];
const MIB = 1024 * 1024;

/** One end of a two-way stream and what it heard. */
class Talk {
  readonly stream: DuplexStream;
  readonly header: string;
  readonly from: number;
  readonly texts: string[] = [];
  bytes = 0;
  /** Undefined while it lasts, null when the other side closed it. */
  end: Error | null | undefined;

  constructor(stream: DuplexStream, header = '', from = 0) {
    this.stream = stream;
    this.header = header;
    this.from = from;
    stream.onMessage((message) => {
      assert.equal(this.end, undefined, 'nothing comes after the end');
      this.bytes += message.length;
      if (message.length < 100) this.texts.push(message.toString());
    });
    stream.onEnd((error) => {
      assert.equal(this.end, undefined, 'the end is told once');
      this.end = error ?? null;
    });
  }

  say(...texts: string[]): void {
    for (const text of texts) this.stream.send(Buffer.from(text));
  }
}

/** A node with everything that its network told. */
class Peer {
  readonly id: number;
  readonly network: PeerNetwork;
  readonly heard: { from: number; lane: Lane; text: string; bytes: number }[] = [];
  readonly lost: number[] = [];
  readonly accepted: number[] = [];
  readonly refusals: Refusal[] = [];
  readonly talks: Talk[] = [];

  constructor(id: number, network: PeerNetwork) {
    this.id = id;
    this.network = network;
    for (const lane of LANES) {
      network.onFrame(lane, (from, frame) =>
        this.heard.push({ from, lane, text: frame.subarray(0, 100).toString(), bytes: frame.length }),
      );
    }
    network.onPeerLost((peer) => this.lost.push(peer));
    network.onAccepted((peer) => this.accepted.push(peer));
    network.onRefused((refusal) => this.refusals.push(refusal));
    network.onDuplex('talk', (from, header, stream) => this.talks.push(new Talk(stream, header.toString(), from)));
  }

  send(to: Peer, text: string, lane: Lane = 'bulk'): boolean {
    return this.network.send(nodeId(to.id), lane, Buffer.from(text));
  }

  open(to: number, header = 'hello', kind = 'talk'): Talk {
    return new Talk(this.network.duplex(nodeId(to), kind, Buffer.from(header)));
  }

  texts(lane?: Lane): string[] {
    return this.heard.filter((one) => lane === undefined || one.lane === lane).map(({ text }) => text);
  }
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, at) => `m${at}`);

async function* framesOf(count: number, bytes: number, onYield: () => void = () => {}): AsyncGenerator<Buffer> {
  for (let at = 0; at < count; at++) {
    onYield();
    yield Buffer.alloc(bytes, at);
  }
}

class Bench {
  readonly world: NetworkWorld;

  constructor(world: NetworkWorld) {
    this.world = world;
  }

  async start(id: number, folder = `folder-${id}`, prepare: (peer: Peer) => void = () => {}): Promise<Peer> {
    const peer = new Peer(id, this.world.add(id, folder));
    prepare(peer);
    await peer.network.start();
    return peer;
  }

  /** Makes two nodes known to each other and waits until each reaches the other. */
  async join(a: Peer, b: Peer): Promise<void> {
    a.network.setPeer(nodeId(b.id), await this.world.addressOf(b.id));
    b.network.setPeer(nodeId(a.id), await this.world.addressOf(a.id));
    await this.reach(a, b);
    await this.reach(b, a);
  }

  /** Sends until something arrives, and forgets that it did. */
  async reach(from: Peer, to: Peer): Promise<void> {
    const hasArrived = (): boolean => to.heard.some(({ text }) => text === 'are you there');
    await this.world.until(() => hasArrived() || from.send(to, 'are you there', 'control'));
    await this.world.until(() => {
      if (!hasArrived()) from.send(to, 'are you there', 'control');
      return hasArrived();
    });
    // All that was sent before it on the same lane has arrived or is lost.
    from.send(to, 'that is all', 'control');
    await this.world.until(() => to.heard.some(({ text }) => text === 'that is all'));
    to.heard.splice(0, to.heard.length, ...to.heard.filter(({ text }) => !/are you there|that is all/.test(text)));
  }

  async pair(prepare: (peer: Peer) => void = () => {}): Promise<[Peer, Peer]> {
    const [a, b] = [await this.start(1, 'folder-1', prepare), await this.start(2, 'folder-2', prepare)];
    await this.join(a, b);
    return [a, b];
  }

  /** A stream that both ends have. */
  async talk(from: Peer, to: Peer, header = 'hello'): Promise<[near: Talk, far: Talk]> {
    const near = from.open(to.id, header);
    const count = to.talks.length;
    await this.world.until(() => to.talks.length > count);
    return [near, to.talks[count]!];
  }
}

/** @param name of the implementation @param make a new world for each test */
export function peerNetworkContract(name: string, make: () => Promise<NetworkWorld>, traits: NetworkTraits): void {
  const promise = (title: string, body: (bench: Bench, world: NetworkWorld) => Promise<void>): void => {
    test(title, async () => {
      const world = await make();
      try {
        await body(new Bench(world), world);
      } finally {
        await world.dispose();
      }
    });
  };

  describe(`${name}: frames`, () => {
    promise(
      'frames of a lane arrive at its handler once, in order and whole, with their sender',
      async (bench, world) => {
        const [a, b] = await bench.pair();
        const texts = numbered(300);
        for (const text of texts) for (const lane of LANES) assert.ok(a.send(b, `${lane} ${text}`, lane));
        assert.ok(a.network.send(nodeId(2), 'forward', Buffer.alloc(3 * MIB, 'x')));
        assert.ok(a.network.send(nodeId(2), 'forward', Buffer.alloc(0)));
        assert.ok(b.send(a, 'back', 'control'));
        await world.until(() => b.heard.length === 902 && a.heard.length === 1);
        for (const lane of LANES) {
          assert.deepEqual(
            b.texts(lane).slice(0, 300),
            texts.map((text) => `${lane} ${text}`),
          );
        }
        assert.deepEqual(
          b.heard
            .filter(({ lane }) => lane === 'forward')
            .slice(300)
            .map(({ bytes }) => bytes),
          [3 * MIB, 0],
        );
        assert.deepEqual([...new Set(b.heard.map(({ from }) => from))], [1]);
        assert.deepEqual(a.heard, [{ from: 2, lane: 'control', text: 'back', bytes: 4 }]);
      },
    );

    promise('a full lane refuses frames, shows what waits and delays no other lane', async (bench, world) => {
      const [a, b] = await bench.pair();
      const frame = Buffer.alloc(8 * MIB);
      let taken = 0;
      while (taken < 100 && a.network.send(nodeId(2), 'bulk', frame)) taken++;
      assert.ok(taken >= 7 && taken <= 8, `${taken} frames of 8 MiB in a queue of 64 MiB`);
      assert.ok(a.network.queuedBytes(nodeId(2), 'bulk') > 48 * MIB);
      assert.equal(a.network.queuedBytes(nodeId(2), 'control'), 0);
      assert.ok(a.send(b, 'vote', 'control'));
      await world.until(() => b.heard.length === taken + 1);
      assert.notEqual(b.heard.at(-1)?.lane, 'control', 'it overtook what waited');
      await world.until(() => a.network.queuedBytes(nodeId(2), 'bulk') === 0);
      assert.ok(a.network.send(nodeId(2), 'bulk', frame));
    });

    promise(
      'nothing is taken for this node itself, for one that is not known, or by a node that stopped',
      async (bench) => {
        const [a, b] = await bench.pair();
        a.network.setPeer(nodeId(1), 'itself:1');
        assert.equal(a.send(a, 'x'), false);
        assert.equal(a.network.send(nodeId(9), 'bulk', Buffer.from('x')), false);
        assert.equal(a.network.queuedBytes(nodeId(9), 'bulk'), 0);
        await a.network.stop();
        assert.equal(a.send(b, 'x'), false);
      },
    );

    promise('a lane, a kind of stream and a kind of two-way stream have one handler each', async (bench) => {
      const [a] = await bench.pair((peer) => peer.network.onStream('copy', async () => Buffer.alloc(0)));
      assert.throws(() => a!.network.onFrame('bulk', () => {}));
      assert.throws(() => a!.network.onStream('copy', async () => Buffer.alloc(0)));
      assert.throws(() => a!.network.onDuplex('talk', () => {}));
    });
  });

  describe(`${name}: lost connections`, () => {
    promise('one that breaks is told at both ends, and what is sent later arrives', async (bench, world) => {
      const [a, b] = await bench.pair();
      world.breakBetween(1, 2);
      await world.until(() => a.lost.includes(2) && b.lost.includes(1));
      await bench.reach(a, b);
      await bench.reach(b, a);
      a.send(b, 'after');
      await world.until(() => b.texts().includes('after'));
    });

    promise(
      'a peer that stops is lost; what was sent meanwhile does not come when it is back',
      async (bench, world) => {
        const [a, b] = await bench.pair();
        await b.network.stop();
        await world.until(() => a.lost.includes(2));
        // It may take a moment longer until the way there is known to be gone.
        await world.until(() => !a.send(b, 'meanwhile') || traits.losesSilently === true);
        const again = await bench.start(2);
        again.network.setPeer(nodeId(1), await world.addressOf(1));
        await bench.reach(a, again);
        a.send(again, 'after');
        await world.until(() => again.heard.length > 0);
        assert.deepEqual(again.texts(), ['after']);
        assert.deepEqual(b.heard, []);
      },
    );

    promise(
      'a peer that is removed is lost at once and reached no more, until it is set again',
      async (bench, world) => {
        const [a, b] = await bench.pair();
        const near = a.open(2);
        await world.until(() => b.talks.length === 1);
        a.network.removePeer(nodeId(2));
        assert.equal(a.send(b, 'x'), false);
        const later = a.open(2);
        await world.until(() => a.lost.includes(2) && near.end instanceof Error && later.end instanceof Error);
        a.network.setPeer(nodeId(2), await world.addressOf(2));
        await bench.reach(a, b);
      },
    );

    promise('another address takes the place of the connection, the same one changes nothing', async (bench, world) => {
      const [a, b] = await bench.pair();
      const [first, second] = [await world.addressOf(2), await world.addressOf(2)];
      a.network.setPeer(nodeId(2), first);
      await world.until(() => a.lost.includes(2));
      await bench.reach(a, b);
      a.lost.length = 0;
      a.network.setPeer(nodeId(2), first);
      assert.ok(a.send(b, 'still'));
      await world.until(() => b.texts().includes('still'));
      assert.deepEqual(a.lost, []);
      a.network.setPeer(nodeId(2), second);
      await world.until(() => a.lost.includes(2));
      await bench.reach(a, b);
    });

    promise('a node that stopped hears nothing more', async (bench, world) => {
      const [a, b] = await bench.pair();
      const [near, far] = await bench.talk(a, b);
      for (let at = 0; at < 50; at++) a.send(b, 'on its way');
      await b.network.stop();
      const { length } = b.heard;
      await world.until(() => a.lost.includes(2) && near.end instanceof Error && far.end instanceof Error);
      assert.deepEqual([b.heard.length, b.lost], [length, []]);
    });
  });

  describe(`${name}: streams`, () => {
    promise('frames come in order, and the answer goes back', async (bench) => {
      const got: number[] = [];
      const [a] = await bench.pair((peer) =>
        peer.network.onStream('copy', async (from, header, frames) => {
          for await (const frame of frames) got.push(frame.length === 0 ? -1 : frame[0]!);
          return Buffer.from(`${header.toString()} of ${from}`);
        }),
      );
      const answer = a.network.stream(nodeId(2), 'copy', Buffer.from('head'), framesOf(200, 1000));
      assert.equal((await resultOf(bench, answer)).toString(), 'head of 1');
      assert.deepEqual(got, [...Array(200).keys()]);
      const empty = a.network.stream(nodeId(2), 'copy', Buffer.alloc(0), framesOf(0, 0));
      assert.equal((await resultOf(bench, empty)).toString(), ' of 1');
    });

    promise('the sender is as slow as the receiver', async (bench, { until }) => {
      const gate = Promise.withResolvers<void>();
      let taken = 0;
      let produced = 0;
      const [a, b] = await bench.pair((peer) =>
        peer.network.onStream('copy', async (_from, _header, frames) => {
          for await (const _frame of frames) if (++taken === 2) await gate.promise;
          return Buffer.from(`took ${taken}`);
        }),
      );
      const frames = framesOf(100, MIB, () => {
        produced++;
      });
      const answer = a.network.stream(nodeId(2), 'copy', Buffer.alloc(0), frames);
      await until(() => taken === 2);
      // Time for a sender that would run ahead: a hundred messages there and back.
      for (let at = 0; at < 100; at++) await bench.reach(at % 2 === 0 ? a : b, at % 2 === 0 ? b : a);
      assert.ok(produced <= 60, `${produced} MiB were produced for a receiver that took 2`);
      gate.resolve();
      assert.equal((await resultOf(bench, answer)).toString(), 'took 100');
    });

    for (const how of ['whose receiver fails', 'that is aborted', 'whose connection breaks', 'whose receiver stops']) {
      promise(`one ${how} fails at its sender, which lets go of its source`, async (bench, { until, breakBetween }) => {
        let taken = 0;
        let isCut = false;
        const [a, b] = await bench.pair((peer) =>
          peer.network.onStream('copy', async (_from, _header, frames) => {
            try {
              for await (const _frame of frames) if (++taken === 3 && how === 'whose receiver fails') break;
            } catch {
              isCut = true;
            }
            throw new Error('busy with another one');
          }),
        );
        let isReleased = false;
        async function* endless(): AsyncGenerator<Buffer> {
          try {
            for (;;) yield Buffer.alloc(1000);
          } finally {
            isReleased = true;
          }
        }
        const abort = new AbortController();
        const answer = a.network.stream(nodeId(2), 'copy', Buffer.alloc(0), endless(), abort.signal);
        const failure = outcomeOf(answer);
        await until(() => taken >= 3);
        if (how === 'that is aborted') abort.abort(new Error('enough'));
        else if (how === 'whose connection breaks') breakBetween(1, 2);
        else if (how === 'whose receiver stops') await b.network.stop();
        await until(() => failure.error !== undefined && isReleased);
        if (how === 'whose receiver fails') assert.match(failure.error!.message, /busy with another one/);
        else if (how !== 'whose receiver stops') await until(() => isCut);
      });
    }

    promise(
      'one whose source fails fails with it, and the receiver knows that it is not whole',
      async (bench, { until }) => {
        let taken = 0;
        let isCut = false;
        const [a] = await bench.pair((peer) =>
          peer.network.onStream('copy', async (_from, _header, frames) => {
            try {
              for await (const _frame of frames) taken++;
            } catch {
              isCut = true;
            }
            return Buffer.alloc(0);
          }),
        );
        async function* failing(): AsyncGenerator<Buffer> {
          yield Buffer.alloc(1000);
          await until(() => taken > 0);
          throw new Error('disk broke');
        }
        const failure = outcomeOf(a.network.stream(nodeId(2), 'copy', Buffer.alloc(0), failing()));
        await until(() => failure.error !== undefined && isCut);
        assert.match(failure.error!.message, /disk broke/);
      },
    );

    promise(
      'one that nobody takes fails: another kind, a node that is not known, a signal that fired',
      async (bench, { until }) => {
        const [a] = await bench.pair((peer) => peer.network.onStream('copy', async () => Buffer.alloc(0)));
        const fired = AbortSignal.abort(new Error('enough'));
        const failures = [
          a.network.stream(nodeId(2), 'unheard of', Buffer.alloc(0), framesOf(3, 10)),
          a.network.stream(nodeId(9), 'copy', Buffer.alloc(0), framesOf(3, 10)),
          a.network.stream(nodeId(2), 'copy', Buffer.alloc(0), framesOf(3, 10), fired),
        ].map(outcomeOf);
        await until(() => failures.every(({ error }) => error !== undefined));
      },
    );
  });

  describe(`${name}: two-way streams`, () => {
    promise('messages arrive in order in both directions, empty and long ones too', async (bench, { until }) => {
      const [a, b] = await bench.pair();
      const [near, far] = await bench.talk(a, b, 'the header');
      assert.deepEqual([far.header, far.from], ['the header', 1]);
      near.say(...numbered(200));
      near.stream.send(Buffer.alloc(3 * MIB));
      near.say('', 'last');
      far.say(...numbered(100));
      await until(() => far.texts.at(-1) === 'last' && near.texts.length === 100);
      assert.deepEqual(far.texts, [...numbered(200), '', 'last']);
      assert.ok(far.bytes > 3 * MIB);
      assert.deepEqual(near.texts, numbered(100));
      await until(() => near.stream.queuedBytes === 0 && far.stream.queuedBytes === 0);
      assert.deepEqual([near.end, far.end], [undefined, undefined]);
    });

    for (const closer of ['opener', 'receiver']) {
      promise(
        `one that its ${closer} closes brings what was said before, and tells the other side alone`,
        async (bench, { until }) => {
          const [a, b] = await bench.pair();
          const [near, far] = await bench.talk(a, b);
          const [self, other] = closer === 'opener' ? [near, far] : [far, near];
          self.say(...numbered(50));
          other.say('crosses the end on its way');
          self.stream.close();
          self.say('too late');
          self.stream.close();
          await until(() => other.end !== undefined);
          assert.deepEqual([other.end, other.texts], [null, numbered(50)]);
          other.say('anybody there?');
          other.stream.close();
          await bench.reach(a, b);
          await bench.reach(b, a);
          assert.deepEqual([self.end, self.texts], [undefined, []]);
        },
      );
    }

    promise('one that is closed at once still says what it had to say', async (bench, { until }) => {
      const [a, b] = await bench.pair();
      const brief = a.open(2, 'brief');
      brief.say('one', 'two');
      brief.stream.close();
      await until(() => b.talks[0]?.end !== undefined);
      assert.deepEqual([b.talks[0]!.header, b.talks[0]!.texts, b.talks[0]!.end], ['brief', ['one', 'two'], null]);
    });

    promise('one that nobody takes ends with an error, later and never by a throw', async (bench, { until }) => {
      const [a] = await bench.pair();
      const talks = [a.open(2, '', 'unheard of'), a.open(9)];
      for (const { end } of talks) assert.equal(end, undefined, 'not within the call');
      await until(() => talks.every(({ end }) => end instanceof Error));
      for (const { stream } of talks) {
        stream.send(Buffer.from('x'));
        stream.close();
      }
    });

    promise('both ends hear that the connection broke', async (bench, world) => {
      const [a, b] = await bench.pair();
      const [near, far] = await bench.talk(a, b);
      near.say('before');
      await world.until(() => far.texts.length === 1);
      world.breakBetween(1, 2);
      await world.until(() => near.end instanceof Error && far.end instanceof Error);
      near.say('after');
      far.say('after');
      await bench.reach(a, b);
      const [, again] = await bench.talk(a, b, 'again');
      assert.deepEqual([far.texts, near.texts, again.header], [['before'], [], 'again']);
    });

    promise('both ends hear that a node stopped, and it opens no more', async (bench, { until }) => {
      const [a, b] = await bench.pair();
      const talks = [...(await bench.talk(a, b)), ...(await bench.talk(b, a))];
      await b.network.stop();
      await until(() => talks.every(({ end }) => end instanceof Error));
      const later = b.open(1);
      await until(() => later.end instanceof Error);
    });

    promise('what the other side does not take is shown, and too much of it ends the stream', async (bench, world) => {
      const [a, b] = await bench.pair();
      const [near] = await bench.talk(a, b);
      world.hold(1, 2);
      const chunk = Buffer.alloc(4 * MIB);
      for (let at = 0; at < 8; at++) near.stream.send(chunk);
      assert.ok(near.stream.queuedBytes > 8 * MIB, `${near.stream.queuedBytes} bytes wait`);
      assert.equal(near.end, undefined);
      for (let at = 0; at < 30; at++) near.stream.send(chunk);
      assert.equal(near.end, undefined, 'not within the call');
      await world.until(() => near.end instanceof Error);
    });
  });

  if (!traits.hasFolders) return;
  describe(`${name}: data folders`, () => {
    promise('nothing is taken before a peer has accepted this node, and that it has is told', async (bench, world) => {
      const a = await bench.start(1);
      const b = await bench.start(2);
      a.network.setPeer(nodeId(2), await world.addressOf(2));
      assert.equal(a.send(b, 'too early'), false);
      await world.until(() => a.accepted.includes(2));
      assert.ok(a.send(b, 'now'));
      await world.until(() => b.heard.length > 0);
      assert.deepEqual(b.texts(), ['now']);
      assert.deepEqual([a.refusals, b.refusals], [[], []]);
    });

    promise(
      'a folder that the cluster removed is cut off and refused, and the next one is taken',
      async (bench, world) => {
        const [a, b] = await bench.pair();
        b.network.fence(nodeId(1), 'folder-1');
        await world.until(() => b.lost.includes(1) && a.refusals.length > 0);
        assert.deepEqual([a.refusals[0]!.peer, a.refusals[0]!.reason], [2, 'removed']);
        assert.equal(a.send(b, 'x'), false);
        await a.network.stop();
        const next = await bench.start(1, 'another folder');
        await bench.join(next, b);
        b.network.fence(nodeId(1), 'folder-1');
        assert.ok(next.send(b, 'fencing the old one again does not touch the new one'));
      },
    );

    promise('once the cluster names a folder, any other one is cut off and refused', async (bench, world) => {
      const [a, b] = await bench.pair();
      b.network.confirm(nodeId(1), 'the right one');
      await world.until(() => b.lost.includes(1) && a.refusals.some(({ reason }) => reason === 'changed'));
      assert.equal(a.send(b, 'x'), false);
      await a.network.stop();
      const right = await bench.start(1, 'the right one');
      await bench.join(right, b);
    });

    promise('another folder under an id that was met is refused, and takes nothing', async (bench, world) => {
      const [a, b] = await bench.pair();
      await a.network.stop();
      const impostor = await bench.start(1, 'another folder');
      impostor.network.setPeer(nodeId(2), await world.addressOf(2));
      b.network.setPeer(nodeId(1), await world.addressOf(1));
      await world.until(() => impostor.refusals.some(({ reason }) => reason === 'met'));
      assert.equal(impostor.send(b, 'x'), false);
      assert.equal(b.send(impostor, 'x'), false);
      assert.deepEqual([b.heard, impostor.heard], [[], []]);
    });
  });
}

/** What became of a promise, without anybody having to wait for it. */
function outcomeOf(promise: Promise<unknown>): { error: Error | undefined } {
  const outcome: { error: Error | undefined } = { error: undefined };
  promise.then(
    () => {
      outcome.error = undefined;
    },
    (error: Error) => {
      outcome.error = error;
    },
  );
  return outcome;
}

/** A promise's value, with time going on. */
async function resultOf<Value>(bench: Bench, promise: Promise<Value>): Promise<Value> {
  let isSettled = false;
  const settle = (): void => {
    isSettled = true;
  };
  promise.then(settle, settle);
  await bench.world.until(() => isSettled);
  return promise;
}
