/**
 * Restarts the nodes of a cluster one after the other, as an operator does, under clients that know nothing of it, and keeps every write that was
 * acknowledged, not only the last of each key:
 *
 *   a log       each client's list, which gets the numbers from 1 on: one that is missing, twice or out of order is seen, and
 *               so is every answer that does not say how many there are;
 *   a register  each client's string, written again and again: every write answers what it has taken the place of, which has to be
 *               the write before it;
 *   tickets     one counter of all clients: no two get the same number, and none is left out.
 *
 * A client that sends again what had no answer, as ioredis does by itself, would be seen in the log if the first one had run. No error answer is
 * expected from anybody.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import type { ProcessNodes } from '../support/process-nodes.ts';
import { Balancer, type Place } from './balancer.ts';
import { RestartTimeline, type SlowWait } from './restart-timeline.ts';

const TICKETS = 'tickets';
/** Commands of a client between two rests: a client that never rests shows how much a cluster does, not how long it takes. */
const BURST = 20;
const REST_MS = 5;
const PAGE = 1_000;
/** Waits from here on are told with what went on meanwhile. */
const SLOW_MS = 100;

/** Runs one command; a reply as text. */
type Run = (...command: string[]) => Promise<string>;

/** What one client was told, and what it had to wait. */
class Caller {
  readonly name: string;
  private readonly run: Run;
  private readonly tickets: number[];
  private readonly timeline: RestartTimeline;
  private readonly place: () => Place | undefined;
  private readonly startsEachTime: boolean;
  acknowledged = 0;
  longestMs = 0;
  /** Which command took that long. */
  longest = '';
  readonly complaints: string[] = [];

  /**
   * @param place where its connection goes
   * @param startsEachTime it is a program that is started for each command, and takes its time before it connects
   */
  constructor(
    name: string,
    run: Run,
    tickets: number[],
    timeline: RestartTimeline,
    place: () => Place | undefined,
    startsEachTime: boolean,
  ) {
    this.name = name;
    this.run = run;
    this.tickets = tickets;
    this.timeline = timeline;
    this.place = place;
    this.startsEachTime = startsEachTime;
  }

  async go(isOver: () => boolean): Promise<void> {
    for (let nth = 1; !isOver(); nth++) {
      const previous = nth === 1 ? '' : String(nth - 1);
      await this.expect(String(nth), 'rpush', `log:${this.name}`, String(nth));
      await this.expect(previous, 'set', `register:${this.name}`, String(nth), 'get');
      await this.expect(String(nth), 'get', `register:${this.name}`);
      const ticket = await this.timed('incr', TICKETS);
      if (ticket !== undefined) this.tickets.push(Number(ticket));
      this.acknowledged = nth;
      if (nth % BURST === 0) await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
  }

  private async expect(reply: string, ...command: string[]): Promise<void> {
    const answer = await this.timed(...command);
    if (answer !== undefined && answer !== reply)
      this.complain(`${command.join(' ')} answered ${answer}, not ${reply}`);
  }

  private async timed(...command: string[]): Promise<string | undefined> {
    const startMs = performance.now();
    let answer: string | undefined;
    try {
      answer = await this.run(...command);
    } catch (error) {
      this.complain(`${command.join(' ')}: ${(error as Error).message.trim()}`);
    }
    const endMs = performance.now();
    const place = this.place();
    const fromMs = this.startsEachTime ? Math.max(startMs, place?.acceptedMs ?? 0) : startMs;
    const tookMs = endMs - fromMs;
    this.timeline.waited(`${this.name}: ${command.join(' ')}`, fromMs, endMs, place);
    if (tookMs > this.longestMs) {
      this.longestMs = tookMs;
      this.longest = command.join(' ');
    }
    return answer;
  }

  private complain(what: string): void {
    this.complaints.push(`${this.name}: ${what}`);
  }

  /** Forgets how long anything took: a cluster that is just founded switches its features on first. */
  forgetWaits(): void {
    this.longestMs = 0;
    this.longest = '';
  }

  /** Reads back all that it was told. */
  async check(reader: Redis, where: string): Promise<void> {
    const log: string[] = [];
    for (let at = 0; ; at += PAGE) {
      const page = await reader.lrange(`log:${this.name}`, at, at + PAGE - 1);
      log.push(...page);
      if (page.length < PAGE) break;
    }
    const wrong = log.findIndex((entry, at) => entry !== String(at + 1));
    assert.equal(wrong, -1, `${where}: the log of ${this.name} has ${log[wrong]} at ${wrong}`);
    // The last round may have ended between its commands.
    assert.ok(log.length >= this.acknowledged, `${where}: the log of ${this.name} ends at ${log.length}`);
    const register = Number(await reader.get(`register:${this.name}`));
    assert.ok(register >= this.acknowledged, `${where}: the register of ${this.name} is ${register}`);
  }
}

/** What came of the rounds. */
export interface RestartReport {
  readonly restarts: number;
  readonly acknowledged: number;
  readonly longestMs: number;
  /** Which command of which client that was. */
  readonly longest: string;
  /** Half, and all but one of a hundred and of a thousand commands, were answered within this. */
  readonly percentilesMs: { readonly p50: number; readonly p99: number; readonly p999: number };
  /** How many took long, and the longest of them. */
  readonly slowCount: number;
  readonly slowest: readonly SlowWait[];
  /** Everything that no client should have been told. */
  readonly complaints: readonly string[];
}

export interface RestartOptions {
  readonly restarts: number;
  /** Whether redis-cli is there. */
  readonly hasRedisCli: boolean;
  readonly onRestart?: (nth: number, nodeId: number) => void;
}

const asText = (reply: unknown): string => (reply === null ? '' : String(reply));

/** Settles when every client has had `more` rounds. */
async function goOn(callers: readonly Caller[], more: number): Promise<void> {
  const before = callers.map(({ acknowledged }) => acknowledged);
  for (;;) {
    const isThrough = callers.every(
      ({ acknowledged, complaints }, at) => acknowledged >= before[at]! + more || complaints.length > 0,
    );
    if (isThrough) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Restarts nodes in turn under load, and reads everything back through every node.
 * @throws AssertionError when something acknowledged is missing, or something is there twice
 */
export async function runRestartRounds(cluster: ProcessNodes, options: RestartOptions): Promise<RestartReport> {
  const balancer = new Balancer(() => cluster.nodeIds.map((nodeId) => cluster.redisPort(nodeId)));
  const port = await balancer.listen();
  const clients: Redis[] = [];
  const tickets: number[] = [];
  const timeline = new RestartTimeline(SLOW_MS, cluster);
  /** As it comes: it connects again, and sends again what had no answer. */
  const plain = (name: string): Caller => {
    const client = new Redis(port, '127.0.0.1');
    client.on('error', () => undefined);
    clients.push(client);
    const run: Run = async (word, ...args) => asText(await client.call(word!, ...args));
    const place = (): Place | undefined => balancer.placeOf((client.stream as Socket | undefined)?.localPort);
    return new Caller(name, run, tickets, timeline, place, false);
  };
  const callers = ['ioredis 1', 'ioredis 2', 'ioredis 3'].map(plain);
  // Its connections are told from those of the others by where they come in.
  const single = new Balancer(() => cluster.nodeIds.map((nodeId) => cluster.redisPort(nodeId)));
  if (options.hasRedisCli) {
    const execute = promisify(execFile);
    const singlePort = await single.listen();
    callers.push(
      new Caller(
        'redis-cli',
        async (...command) => {
          const { stdout, stderr } = await execute('redis-cli', ['-p', String(singlePort), '-e', ...command]);
          if (stderr !== '') throw new Error(stderr);
          return stdout.replace(/\n$/, '');
        },
        tickets,
        timeline,
        () => single.last,
        true,
      ),
    );
  }
  let isOver = false;
  const running = callers.map((each) => each.go(() => isOver));
  try {
    await goOn(callers, 5);
    for (const each of callers) each.forgetWaits();
    timeline.forget();
    for (let nth = 1; nth <= options.restarts; nth++) {
      const nodeId = cluster.nodeIds[nth % cluster.nodeIds.length]!;
      options.onRestart?.(nth, nodeId);
      timeline.begins(`node ${nodeId} stops`);
      await cluster.shutDown(nodeId);
      timeline.begins(`node ${nodeId} is down`);
      await goOn(callers, 5);
      timeline.begins(`node ${nodeId} starts`);
      cluster.revive(nodeId);
      await cluster.ready();
      timeline.begins(`node ${nodeId} serves`);
      await goOn(callers, 5);
    }
    isOver = true;
    await Promise.all(running);
    for (const nodeId of cluster.nodeIds) {
      const reader = cluster.client(nodeId);
      for (const each of callers) await each.check(reader, `through node ${nodeId}`);
      const last = Number(await reader.get(TICKETS));
      const sorted = [...tickets].sort((a, b) => a - b);
      const gap = sorted.findIndex((ticket, at) => ticket !== at + 1);
      assert.equal(gap, -1, `ticket ${gap + 1} is missing, or ${sorted[gap]} was given out twice`);
      assert.equal(last, sorted.length, `through node ${nodeId}: the counter of tickets`);
    }
  } finally {
    isOver = true;
    timeline.end();
    for (const client of clients) client.disconnect();
    for (const each of [balancer, single]) each.close();
  }
  const slowest = callers.reduce((a, b) => (b.longestMs > a.longestMs ? b : a));
  return {
    restarts: options.restarts,
    acknowledged: callers.reduce((sum, { acknowledged }) => sum + 4 * acknowledged, 0),
    longestMs: slowest.longestMs,
    longest: `${slowest.name}: ${slowest.longest}`,
    percentilesMs: {
      p50: timeline.percentileMs(50),
      p99: timeline.percentileMs(99),
      p999: timeline.percentileMs(99.9),
    },
    slowCount: timeline.slowCount,
    slowest: timeline.slowest(),
    complaints: callers.flatMap(({ complaints }) => complaints),
  };
}
