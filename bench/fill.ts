/**
 * Writes every key once, over pipelining connections that are dealt out to the nodes. Keys come in an order that is far from theirs, and values
 * cannot be compressed, so a database gets nothing for nothing. What a node refuses because it is behind is sent again.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage, isErrorReply, openConnection, ReplySplitter } from '../cmd/redis/index.ts';

/** Digits of a key's number. */
const DIGITS = 12;
const PREFIX = 'key:';
/** Of each name. */
export const KEY_BYTES = PREFIX.length + DIGITS;
/** Values are cut from so many random bytes, at places that follow from the key. */
const RANDOM_BYTES = 1 << 20;
const VALUE_STRIDE = 7919;
const REFUSED_PAUSE_MS = 100;
/** Of the next key's place in the order, as a share of all: the golden ratio keeps neighbours in time far apart. */
const STRIDE_SHARE = 0.618_033_988_7;

/** See the top of the file. */
export interface FillOptions {
  readonly ports: readonly number[];
  readonly connections: number;
  /** Commands that a connection has under way. */
  readonly pipeline: number;
  readonly keys: number;
  readonly valueBytes: number;
  /** `onPart` is told after each of so many equal parts. */
  readonly parts: number;
  readonly onPart: (commands: number) => void;
}

const commonDivisor = (left: number, right: number): number =>
  right === 0 ? left : commonDivisor(right, left % right);

/** A step that comes to every number below `count` before it comes to one again. */
function strideOf(count: number): number {
  let stride = Math.max(1, Math.floor(count * STRIDE_SHARE));
  while (commonDivisor(stride, count) !== 1) stride++;
  return stride;
}

/** What the connections of one run share. */
class Fill {
  refused = 0;
  firstRefusal = '';
  private readonly options: FillOptions;
  private readonly stride: number;
  private readonly random: Buffer;
  /** A command with room for the digits of its key and for its value. */
  private readonly command: Buffer;
  private readonly digitsAt: number;
  private readonly valueAt: number;
  private given = 0;
  private written = 0;
  private part = 1;
  private readonly again: number[] = [];

  constructor(options: FillOptions) {
    this.options = options;
    const { keys, valueBytes } = options;
    this.stride = strideOf(keys);
    this.random = randomBytes(RANDOM_BYTES + valueBytes);
    const head = `*3\r\n$3\r\nSET\r\n$${KEY_BYTES}\r\n${PREFIX}`;
    const middle = `\r\n$${valueBytes}\r\n`;
    this.digitsAt = head.length;
    this.valueAt = head.length + DIGITS + middle.length;
    this.command = Buffer.from(`${head}${'0'.repeat(DIGITS)}${middle}${' '.repeat(valueBytes)}\r\n`, 'latin1');
  }

  /** Keys to write next, at most `pipeline`. */
  take(): number[] {
    const { keys, pipeline } = this.options;
    const taken = this.again.splice(0, pipeline);
    while (taken.length < pipeline && this.given < keys) taken.push((this.given++ * this.stride) % keys);
    return taken;
  }

  bytesOf(keys: readonly number[]): Buffer {
    const { command, random } = this;
    const { valueBytes } = this.options;
    const batch = Buffer.allocUnsafe(keys.length * command.length);
    keys.forEach((key, at) => {
      const start = at * command.length;
      command.copy(batch, start);
      let rest = key;
      for (let digit = start + this.digitsAt + DIGITS - 1; rest > 0; digit--) {
        batch[digit] = 0x30 + (rest % 10);
        rest = Math.floor(rest / 10);
      }
      const from = (key * VALUE_STRIDE) % RANDOM_BYTES;
      random.copy(batch, start + this.valueAt, from, from + valueBytes);
    });
    return batch;
  }

  answered(key: number, reply: Buffer): void {
    if (isErrorReply(reply)) {
      this.refused++;
      this.firstRefusal ||= errorMessage(reply);
      this.again.push(key);
      return;
    }
    this.written++;
    const { keys, parts, onPart } = this.options;
    if (this.written < Math.floor((keys * this.part) / parts)) return;
    const from = Math.floor((keys * (this.part - 1)) / parts);
    this.part++;
    onPart(this.written - from);
  }
}

function fillOver(socket: Socket, fill: Fill): Promise<void> {
  return new Promise((resolve, reject) => {
    let batch: number[] = [];
    let at = 0;
    const splitter = new ReplySplitter((reply) => fill.answered(batch[at++]!, reply));
    const send = (): void => {
      batch = fill.take();
      at = 0;
      if (batch.length === 0) {
        socket.end();
        resolve();
        return;
      }
      socket.write(fill.bytesOf(batch));
    };
    socket.on('data', (chunk: Buffer) => {
      const refused = fill.refused;
      splitter.feed(chunk);
      if (at < batch.length) return;
      if (fill.refused === refused) send();
      else void delay(REFUSED_PAUSE_MS).then(send);
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('a node closed a connection with commands outstanding')));
    send();
  });
}

/** Settles when every key was acknowledged. @returns how many answers were refusals, and what the first one said */
export async function fillCluster(options: FillOptions): Promise<{ readonly refused: number; readonly why: string }> {
  const { connections, ports } = options;
  const fill = new Fill(options);
  const sockets = await Promise.all(
    Array.from({ length: connections }, (_, at) =>
      openConnection({ host: '127.0.0.1', port: ports[at % ports.length]! }, {}),
    ),
  );
  try {
    await Promise.all(sockets.map((socket) => fillOver(socket, fill)));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  return { refused: fill.refused, why: fill.firstRefusal };
}
