import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import { type Lane, nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { MalformedFrameError } from '../../../src/raftengine/errors.ts';
import { openChannel } from '../../../src/raftengine/transport/channel.ts';
import { DirectLane, DirectLanes, MessageReader } from '../../../src/raftengine/transport/direct-lane.ts';
import { createGrpcNetwork, type GrpcNetwork } from '../../../src/raftengine/transport/grpc-network.ts';
import {
  askDirect,
  FRAMES_PATH,
  introduce,
  offeredTicket,
  setLane,
} from '../../../src/raftengine/transport/peer-protocol.ts';
import { CertificateStore, type LiveCertificates } from '../../../src/security/index.ts';
import { TestAuthority } from '../../security/authority.ts';
import { bookInMemory } from '../../support/kept-peers.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { skipWithout } from '../../support/programs.ts';
import { until } from '../../support/until.ts';

const HOST = '127.0.0.1';
const TICKET = Buffer.from([...Array(32).keys()]);
/** What a caller says first, with the first half of the ticket. */
const OPENING = '4b56524d4c414e45000102030405060708090a0b0c0d0e0f';

const open: { close(): unknown }[] = [];
after(async () => {
  for (const one of open) await one.close();
});

async function serve(
  onSocket: (socket: Socket) => void,
): Promise<{ readonly address: string; readonly server: Server }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  open.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return { address: `${HOST}:${(server.address() as { port: number }).port}`, server };
}

/** A network in front of which a proxy sees every connection: what a caller has said on each. */
async function observed(id: number, tls?: LiveCertificates, mayPass: (heard: Buffer) => boolean = () => true) {
  const received: string[] = [];
  const lost: number[] = [];
  const said: Buffer[] = [];
  const network: GrpcNetwork = createGrpcNetwork({
    self: nodeId(id),
    clusterName: 'test',
    admission: bookInMemory(id),
    listen: { host: HOST, port: 0 },
    clock: new SystemClock(),
    random: new SystemRandom(),
    scheduler: new SystemScheduler(),
    tls,
  });
  for (const lane of ['control', 'bulk', 'forward'] as const)
    network.onFrame(lane, (_from, frame) => received.push(`${lane} ${frame.length} ${frame[0]}`));
  network.onPeerLost((peer) => lost.push(peer));
  await network.start();
  open.push({ close: () => network.stop() });
  const direct = new Set<Socket>();
  const { address } = await serve((socket) => {
    const place = said.push(Buffer.alloc(0)) - 1;
    const there = connect(network.port, HOST);
    there.on('error', () => {});
    socket.on('data', (bytes) => {
      if (said[place]!.length === 0 && /KVRMLANE|kvorum-lane/.test(bytes.toString('latin1'))) direct.add(socket);
      said[place] = Buffer.concat([said[place]!, bytes]);
      if (!mayPass(said[place])) socket.destroy();
      else there.write(bytes);
    });
    there.on('data', (bytes) => socket.write(bytes));
    socket.on('close', () => there.destroy());
    there.on('close', () => socket.destroy());
  });
  return { network, received, lost, said, direct, address };
}

const isDirect = (heard: Buffer): boolean => heard.includes('KVRMLANE') || heard.includes('kvorum-lane');

describe('messages of a direct connection', () => {
  test('have bytes that other releases know', async (t) => {
    const heard: Buffer[] = [];
    const { address } = await serve((socket) => {
      socket.on('data', (bytes) => heard.push(bytes));
      socket.write(TICKET.subarray(16));
    });
    const lane = new DirectLane({ address, tls: undefined, ticket: TICKET }, new SystemScheduler(), {
      onOpen: () => lane.write(Buffer.from('....ab'), () => {}),
      onRefused: assert.fail,
      onLost: assert.fail,
    });
    t.after(() => lane.close());
    const bytes = `${OPENING}000000026162`;
    await until('they have come', () => Buffer.concat(heard).toString('hex') === bytes);
  });

  test('are put together however they are cut', () => {
    const messages = [Buffer.from('a'), Buffer.alloc(300, 1), Buffer.from('bcd')];
    const bytes = Buffer.concat(
      messages.flatMap((message) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(message.length, 0);
        return [length, message, Buffer.alloc(4)];
      }),
    );
    for (let piece = 1; piece <= bytes.length; piece++) {
      const reader = new MessageReader();
      const taken: Buffer[] = [];
      let questions = 0;
      for (let at = 0; at < bytes.length; at += piece)
        questions += reader.receive(bytes.subarray(at, at + piece), (message) => taken.push(Buffer.from(message)));
      assert.deepEqual([taken, questions], [messages, messages.length], `pieces of ${piece} bytes`);
    }
    assert.throws(() => new MessageReader().receive(Buffer.from('7fffffff', 'hex'), () => {}), MalformedFrameError);
  });
});

describe('a direct connection', () => {
  test('is given up when nobody answers its questions, though the system takes what is sent', async () => {
    const scheduler = new ManualScheduler(new ManualClock());
    const { address } = await serve((socket) => {
      socket.write(TICKET.subarray(16));
      socket.resume();
    });
    const told: string[] = [];
    const lane = new DirectLane({ address, tls: undefined, ticket: TICKET }, scheduler, {
      onOpen: () => told.push('open'),
      onRefused: assert.fail,
      onLost: ({ message }) => told.push(message),
    });
    await until(() => told.length === 1);
    for (let question = 0; question < 3; question++) scheduler.advance(2000);
    assert.deepEqual(told, ['open']);
    scheduler.advance(2000);
    assert.deepEqual(told, ['open', 'the peer does not answer']);
    lane.close();
  });

  test('is refused where another one answers, or nobody', async () => {
    for (const answer of [Buffer.alloc(16), undefined]) {
      const scheduler = new ManualScheduler(new ManualClock());
      const { address } = await serve((socket) => {
        socket.resume();
        if (answer !== undefined) socket.write(answer);
      });
      const told: string[] = [];
      new DirectLane({ address, tls: undefined, ticket: TICKET }, scheduler, {
        onOpen: assert.fail,
        onRefused: ({ message }) => told.push(message),
        onLost: assert.fail,
      });
      if (answer === undefined) scheduler.advance(1000);
      await until(() => told.length === 1);
      assert.equal(told[0], answer === undefined ? 'nobody has answered' : 'somebody else has answered');
    }
  });

  test('can be taken once, by who has its ticket, as long as its call is there', async () => {
    const lanes = new DirectLanes(new SystemRandom(), new SystemScheduler(), undefined);
    const { address } = await serve((socket) => {
      socket.once('data', (heard) => lanes.takes(socket, heard));
    });
    const outcomes = async (ticket: Buffer): Promise<string> =>
      new Promise((resolve) => {
        const lane = new DirectLane({ address, tls: undefined, ticket }, new SystemScheduler(), {
          onOpen: () => resolve('open'),
          onRefused: () => resolve('refused'),
          onLost: () => {},
        });
        open.push(lane);
      });
    const take = (): void => {};
    const offered = lanes.offer(take);
    assert.equal(await outcomes(TICKET), 'refused');
    assert.equal(await outcomes(offered.ticket), 'open');
    assert.equal(await outcomes(offered.ticket), 'refused');
    // A message that is too long ends the connection that brings it.
    const spoiled = lanes.offer(take);
    const ended = new Promise<string>((resolve) => {
      const lane = new DirectLane({ address, tls: undefined, ticket: spoiled.ticket }, new SystemScheduler(), {
        onOpen: () => lane.write(Buffer.alloc(2 * 1024 * 1024), () => {}),
        onRefused: assert.fail,
        onLost: () => resolve('lost'),
      });
    });
    assert.equal(await ended, 'lost');
    const withdrawn = lanes.offer(take);
    lanes.withdraw(withdrawn);
    assert.equal(await outcomes(withdrawn.ticket), 'refused');
  });
});

test('a connection is offered to who asks for it, and for no control lane: release 0.1.0 asks for none', async () => {
  const { network } = await observed(2);
  const self = { clusterName: 'test', nodeId: nodeId(1), incarnation: 'incarnation-1', removed: [], life: 'a' };
  const client = openChannel(`${HOST}:${network.port}`, undefined);
  open.push(client);
  const ticketFor = (lane: Lane, asks: boolean): Promise<Buffer | undefined> => {
    const metadata = introduce(self, nodeId(2));
    setLane(metadata, lane);
    if (asks) askDirect(metadata);
    const call = client.makeBidiStreamRequest(
      FRAMES_PATH,
      (bytes: Buffer) => bytes,
      (bytes) => bytes,
      metadata,
    );
    call.on('error', () => {});
    return new Promise((resolve) => call.on('metadata', (answer) => resolve(offeredTicket(answer))));
  };
  assert.equal((await ticketFor('bulk', true))?.length, 32);
  assert.equal((await ticketFor('forward', true))?.length, 32);
  assert.equal(await ticketFor('control', true), undefined);
  assert.equal(await ticketFor('bulk', false), undefined);
});

for (const isSecure of [false, true]) {
  describe(`lanes of nodes ${isSecure ? 'with' : 'without'} TLS`, { skip: isSecure && skipWithout('openssl') }, () => {
    let authority: TestAuthority | undefined;
    const certificates = async (name: string): Promise<LiveCertificates | undefined> => {
      if (!isSecure) return undefined;
      authority ??= new TestAuthority();
      return CertificateStore.open(authority.issue(name), 'peer', new SystemClock());
    };
    after(() => authority?.remove());
    const pair = async (mayPass?: (heard: Buffer) => boolean) => {
      const caller = await observed(1, await certificates('one'));
      const callee = await observed(2, await certificates('two'), mayPass);
      caller.network.setPeer(nodeId(2), callee.address);
      await until('they know each other', () => caller.network.isConnected(nodeId(2)));
      return { caller, callee };
    };
    const send = (from: GrpcNetwork, lane: 'control' | 'bulk' | 'forward', bytes: number, fill: number): void =>
      assert.ok(from.send(nodeId(2), lane, Buffer.alloc(bytes, fill)));

    test('take connections of their own, but for the one of control messages', async () => {
      const { caller, callee } = await pair();
      assert.equal(callee.said.filter(isDirect).length, 2);
      const before = callee.said.map(({ length }) => length);
      send(caller.network, 'bulk', 3_000_000, 1);
      send(caller.network, 'forward', 500, 2);
      send(caller.network, 'control', 10, 3);
      await until(() => callee.received.length === 3);
      assert.deepEqual(callee.received.sort(), ['bulk 3000000 1', 'control 10 3', 'forward 500 2']);
      const grown = callee.said.map(({ length }, at) => length - (before[at] ?? 0));
      callee.said.forEach((heard, at) => {
        assert.ok(isDirect(heard) || grown[at]! < 500, `a call carried ${grown[at]} bytes`);
      });
      assert.ok(grown.some((bytes) => bytes > 3_000_000));
    });

    test('stay on their calls where a connection does not come about', async () => {
      const { caller, callee } = await pair((heard) => !isDirect(heard));
      send(caller.network, 'bulk', 3_000_000, 1);
      await until(() => callee.received.length === 1);
      assert.deepEqual(callee.received, ['bulk 3000000 1']);
    });

    test('are lost with their connection, by both sides, and come back', async () => {
      const { caller, callee } = await pair();
      for (const socket of callee.direct) socket.destroy();
      await until('both have heard of it', () => caller.lost.includes(2) && callee.lost.includes(1));
      await until('they are back', () => caller.network.isConnected(nodeId(2)));
      send(caller.network, 'forward', 7, 4);
      await until(() => callee.received.includes('forward 7 4'));
    });
  });
}
