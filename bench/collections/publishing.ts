/** How many messages a second reach one subscriber on each of several nodes. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scratch } from '../scratch.ts';

const CHANNEL = 'channel';
const MESSAGE = 'x'.repeat(100);
const CLIENTS = 50;
const PIPELINE = 16;
/** Nothing has come for so long: what is missing is lost. */
const SILENCE_MS = 5_000;
const TIMEOUT_MS = 600_000;
const SUBSCRIBED_BYTES = Buffer.byteLength(`*3\r\n$9\r\nsubscribe\r\n$${CHANNEL.length}\r\n${CHANNEL}\r\n:1\r\n`);
const MESSAGE_BYTES = Buffer.byteLength(
  `*3\r\n$7\r\nmessage\r\n$${CHANNEL.length}\r\n${CHANNEL}\r\n$${MESSAGE.length}\r\n${MESSAGE}\r\n`,
);

export interface PublishFigures {
  /** Messages that were published, at least. */
  readonly published: number;
  /** Messages a second that each subscriber has got, from the first to the last that came. */
  readonly perSecond: number;
  /** The least that a subscriber has got. */
  readonly received: number;
}

/** Counts messages by their bytes: to parse them would be what is measured. */
class Subscriber {
  private readonly socket: Socket;
  private bytes = 0;
  private firstAtMs = 0;
  lastAtMs = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.lastAtMs = performance.now();
      if (this.bytes <= SUBSCRIBED_BYTES) this.firstAtMs = this.lastAtMs;
      this.bytes += chunk.length;
    });
  }

  static async open(port: number): Promise<Subscriber> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const subscriber = new Subscriber(socket);
    socket.write(`SUBSCRIBE ${CHANNEL}\r\n`);
    while (subscriber.bytes < SUBSCRIBED_BYTES) await once(socket, 'data');
    return subscriber;
  }

  get received(): number {
    return (this.bytes - SUBSCRIBED_BYTES) / MESSAGE_BYTES;
  }

  get perSecond(): number {
    return this.received / Math.max((this.lastAtMs - this.firstAtMs) / 1000, 0.001);
  }

  close(): void {
    this.socket.destroy();
  }
}

/**
 * @param ports one subscriber each; messages are published through the first
 * @param messages how many; redis-benchmark ends with a whole pipeline
 */
export async function measurePublishing(
  scratch: Scratch,
  ports: readonly number[],
  messages: number,
): Promise<PublishFigures> {
  const subscribers = await Promise.all(ports.map((port) => Subscriber.open(port)));
  const publish = ['-h', '127.0.0.1', '-p', String(ports[0]), '-c', String(CLIENTS), '-P', String(PIPELINE)];
  try {
    await scratch.run(
      'redis-benchmark',
      [...publish, '-n', String(messages), '-q', 'PUBLISH', CHANNEL, MESSAGE],
      TIMEOUT_MS,
    );
    const endedMs = performance.now();
    const isSilent = (): boolean =>
      subscribers.every(({ lastAtMs }) => performance.now() - Math.max(lastAtMs, endedMs) > SILENCE_MS);
    while (subscribers.some(({ received }) => received < messages) && !isSilent()) await delay(1);
    return {
      published: messages,
      received: Math.floor(Math.min(...subscribers.map(({ received }) => received))),
      perSecond: Math.min(...subscribers.map(({ perSecond }) => perSecond)),
    };
  } finally {
    for (const subscriber of subscribers) subscriber.close();
  }
}
