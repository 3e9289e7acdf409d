/**
 * A thread of its own that does to every node what other clients would: PING and a GET of a small key, one after the other on a connection each, and
 * keeps the longest wait. A thread, because the one that abuses is busy itself.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { encodeCommand } from '../../cmd/redis/index.ts';

/** Probes that follow one another at once would be a load of their own. */
const PROBE_EVERY_MS = 5;
const SMALL_KEY = 'small';
const SMALL_VALUE = 'value';
const NIL = Buffer.from('$-1\r\n');

/** What other clients have met since `begin`. */
export interface ProbeResult {
  /** Longest waits, a node each, in the order of the ports. */
  readonly pingMs: readonly number[];
  readonly getMs: readonly number[];
  /** Answers that were not what was asked for. */
  readonly failures: number;
}

/** `beginGone`: as `begin`, and the small key may be gone. */
type Order = 'begin' | 'beginGone' | 'look' | 'end';

/** When probes are as usual again. */
export interface Calm {
  readonly calmMs: number;
  readonly quietMs: number;
  readonly patienceMs: number;
}

const LOOK_EVERY_MS = 50;

/** Asks one thing again and again. */
class Probe {
  slowestMs = 0;
  failures = 0;
  /** As `slowestMs`, since somebody last looked. */
  private recentMs = 0;
  private readonly socket: Socket;
  private readonly command: Buffer;
  private readonly expected: Buffer;
  private sentMs = 0;
  private answer = Buffer.alloc(0);
  private mayBeGone = false;

  constructor(socket: Socket, command: readonly string[], expected: string) {
    this.socket = socket;
    this.command = encodeCommand(command);
    this.expected = Buffer.from(expected);
    socket.on('data', (chunk) => this.heard(chunk));
    this.send();
  }

  begin(mayBeGone: boolean): void {
    this.mayBeGone = mayBeGone;
    this.slowestMs = 0;
    this.failures = 0;
    this.recentMs = 0;
  }

  /** The longest wait since the last call, with that of what has no answer yet. */
  look(): number {
    const waitMs = Math.max(this.recentMs, this.sentMs === 0 ? 0 : performance.now() - this.sentMs);
    this.recentMs = 0;
    return waitMs;
  }

  /** The longest wait, with that of what has no answer yet. */
  get waitMs(): number {
    return this.sentMs === 0 ? this.slowestMs : Math.max(this.slowestMs, performance.now() - this.sentMs);
  }

  private send(): void {
    this.sentMs = performance.now();
    this.answer = Buffer.alloc(0);
    this.socket.write(this.command);
  }

  private heard(chunk: Buffer): void {
    this.answer = Buffer.concat([this.answer, chunk]);
    const isError = this.answer[0] === 0x2d && this.answer.includes('\r\n');
    const isNil = this.answer.equals(NIL);
    if (!isError && !isNil && this.answer.length < this.expected.length) return;
    const waitMs = performance.now() - this.sentMs;
    this.slowestMs = Math.max(this.slowestMs, waitMs);
    this.recentMs = Math.max(this.recentMs, waitMs);
    if (!this.answer.equals(this.expected) && !(isNil && this.mayBeGone)) this.failures++;
    this.sentMs = 0;
    void delay(PROBE_EVERY_MS).then(() => this.send());
  }
}

async function openSocket(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

async function probe(ports: readonly number[]): Promise<void> {
  const pings: Probe[] = [];
  const gets: Probe[] = [];
  for (const port of ports) {
    pings.push(new Probe(await openSocket(port), ['PING'], '+PONG\r\n'));
    const value = `$${SMALL_VALUE.length}\r\n${SMALL_VALUE}\r\n`;
    gets.push(new Probe(await openSocket(port), ['GET', SMALL_KEY], value));
  }
  const all = [...pings, ...gets];
  parentPort!.on('message', (order: Order) => {
    if (order === 'begin' || order === 'beginGone') for (const each of all) each.begin(order === 'beginGone');
    else if (order === 'look') parentPort!.postMessage(Math.max(...all.map((each) => each.look())));
    else
      parentPort!.postMessage({
        pingMs: pings.map(({ waitMs }) => waitMs),
        getMs: gets.map(({ waitMs }) => waitMs),
        failures: all.reduce((sum, { failures }) => sum + failures, 0),
      } satisfies ProbeResult);
  });
  parentPort!.postMessage('ready');
}

/** The thread as the benchmark sees it. The small key must have its value. */
export class Prober {
  private readonly worker: Worker;

  private constructor(worker: Worker) {
    this.worker = worker;
  }

  static async start(ports: readonly number[], writeSmall: (key: string, value: string) => Promise<unknown>) {
    await writeSmall(SMALL_KEY, SMALL_VALUE);
    const worker = new Worker(new URL(import.meta.url), { workerData: ports });
    await once(worker, 'message');
    return new Prober(worker);
  }

  /** @param mayBeGone whether it is right when the small key is not there any more */
  begin(mayBeGone: boolean): void {
    this.worker.postMessage((mayBeGone ? 'beginGone' : 'begin') satisfies Order);
  }

  /** Whether nobody has waited for longer than `calmMs` for `quietMs`, before `patienceMs` are over. */
  async settles({ calmMs, quietMs, patienceMs }: Calm): Promise<boolean> {
    const untilMs = performance.now() + patienceMs;
    let calmSinceMs = performance.now();
    for (;;) {
      await delay(LOOK_EVERY_MS);
      const answer = once(this.worker, 'message');
      this.worker.postMessage('look' satisfies Order);
      const [waitMs] = (await answer) as [number];
      const nowMs = performance.now();
      if (waitMs > calmMs) calmSinceMs = nowMs;
      if (nowMs - calmSinceMs >= quietMs) return true;
      if (nowMs >= untilMs) return false;
    }
  }

  async end(): Promise<ProbeResult> {
    const answer = once(this.worker, 'message');
    this.worker.postMessage('end' satisfies Order);
    const [result] = (await answer) as [ProbeResult];
    return result;
  }

  stop(): Promise<unknown> {
    return this.worker.terminate();
  }
}

if (!isMainThread) await probe(workerData as readonly number[]);
