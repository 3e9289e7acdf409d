/** A port of DynamoDB over operations that a test makes up, and clients that write bytes. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import {
  type AnyOperation,
  declareOperation,
  type RequestContext,
} from '../../../../src/adapter/dynamodb/operation/index.ts';
import type { Credential } from '../../../../src/adapter/dynamodb/wire/credentials.ts';
import { Exchanges, HttpPort, MemoryBudget } from '../../../../src/adapter/dynamodb/wire/index.ts';
import {
  type Clock,
  type Scheduler,
  SystemClock,
  SystemRandom,
  SystemScheduler,
} from '../../../../src/platform/index.ts';
import type { TlsPort } from '../../../../src/security/index.ts';

export interface BedOptions {
  /** Left out: nobody is asked for a signature. */
  readonly credentials?: readonly Credential[];
  readonly operations?: readonly AnyOperation[];
  readonly budgetBytes?: number;
  readonly tls?: TlsPort;
  readonly clock?: Clock;
  /** Of the port's patience. */
  readonly scheduler?: Scheduler;
}

/** Answers what it was asked. */
export const echo = (name: string, access: 'read' | 'write' = 'read'): AnyOperation =>
  declareOperation<object, object, object>({
    name,
    access,
    validate: (input) => input,
    run: async (_context, input) => input,
  });

/** Answers what `run` makes. */
export const operation = (
  name: string,
  run: (context: RequestContext, input: object) => Promise<object>,
): AnyOperation => declareOperation<object, object, object>({ name, access: 'read', validate: (input) => input, run });

export interface PortBed {
  readonly port: number;
  readonly exchanges: Exchanges;
  readonly http: HttpPort;
  readonly failures: unknown[];
  stop(): Promise<void>;
}

/** Opens a port; stop it. */
export async function openBed(options: BedOptions = {}): Promise<PortBed> {
  const { credentials, operations, budgetBytes, tls } = options;
  const { clock = new SystemClock(), scheduler = new SystemScheduler() } = options;
  const failures: unknown[] = [];
  const exchanges = new Exchanges({
    operations: new Map((operations ?? [echo('GetItem'), echo('PutItem', 'write')]).map((one) => [one.name, one])),
    credentials: credentials && {
      find: (id) => credentials.find(({ accessKeyId }) => accessKeyId === id),
    },
    region: undefined,
    accountId: '000000000000',
    budget: new MemoryBudget(budgetBytes ?? 64 * 1024 * 1024),
    clock,
    random: new SystemRandom(),
    logger: { error: (facts) => failures.push(facts) },
  });
  const http = new HttpPort({
    host: '127.0.0.1',
    port: 0,
    tls,
    clock,
    scheduler,
    logger: undefined,
    exchanges,
  });
  const port = await http.listen();
  return { port, exchanges, http, failures, stop: () => http.stop() };
}

/** An answer as it came. */
export interface RawAnswer {
  readonly status: number;
  /** By lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A connection that writes what it is told and reads answers one after the other. */
export class RawClient {
  readonly socket: Socket;
  private received = Buffer.alloc(0);
  /** What has come since `received` was put together. */
  private chunks: Buffer[] = [];
  /** Of the answer whose head has come. */
  private neededBytes = 0;
  private isEnded = false;
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.chunks.push(chunk);
      this.wake();
    });
    socket.on('close', () => {
      this.isEnded = true;
      this.wake();
    });
    socket.on('error', () => {});
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawClient(socket);
  }

  write(...parts: readonly (string | Buffer)[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** The next answer; undefined when the connection ends before it. */
  async answer(): Promise<RawAnswer | undefined> {
    for (;;) {
      const found = this.take();
      if (found !== undefined) return found;
      if (this.isEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private take(): RawAnswer | undefined {
    const arrived = this.received.length + this.chunks.reduce((sum, { length }) => sum + length, 0);
    if (arrived < this.neededBytes) return undefined;
    this.received = Buffer.concat([this.received, ...this.chunks]);
    this.chunks = [];
    const end = this.received.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const [first, ...lines] = this.received.subarray(0, end).toString('latin1').split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers.get('content-length') ?? 0);
    this.neededBytes = end + 4 + length;
    if (this.received.length < end + 4 + length) return undefined;
    const body = Buffer.from(this.received.subarray(end + 4, end + 4 + length));
    this.received = this.received.subarray(end + 4 + length);
    this.neededBytes = 0;
    return { status: Number(first!.split(' ')[1]), headers, body };
  }
}

/** A request as bytes. */
export function requestBytes(
  target: string,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Buffer {
  const bytes = Buffer.from(body);
  const all: Record<string, string> = {
    host: 'localhost',
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': `DynamoDB_20120810.${target}`,
    'content-length': String(bytes.length),
    ...headers,
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\n${head.join('')}\r\n`), bytes]);
}

/** The members of a JSON answer. */
export const membersOf = (answer: RawAnswer | undefined): Record<string, unknown> => {
  assert.ok(answer, 'an answer came');
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
};
