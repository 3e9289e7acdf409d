/**
 * Writes keys into a cluster over several connections, and again until it is certain that they are there. What it sends may be sent twice: a
 * connection that ends, or a node that does not know an outcome, leaves it open whether a command took effect.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type CommandLine, Lane, ServerError, type Upstream } from '../redis/index.ts';
import { SlotLeaders } from './slot-leaders.ts';

/** Words at the front of refusals that say nothing of the command itself, but of the cluster at this moment. */
const PASSING = new Set([
  'CLUSTERDOWN',
  'TRYAGAIN',
  'UNKNOWN',
  'LOADING',
  'BUSY',
  'MASTERDOWN',
  'READONLY',
  'OOM',
  'NOREPLICAS',
]);
/** On their way on a connection in the beginning; one more for each that was taken, until the cluster is slow, and then by how much of one. */
const FIRST_COMMANDS = 32;
const GROWTH = 0.1;
/** How old what is known of leaders may be. */
const LEADERS_MS = 10_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
/** After this, a command whose outcome is open takes no effect any more. */
export const SETTLE_MS = 8_000;

/** Whether the same command may be taken later. */
export const isPassing = (error: unknown): boolean =>
  error instanceof ServerError ? PASSING.has(error.code) : error instanceof Error;

export interface WriterOptions extends Upstream {
  readonly connections: number;
  /** Bytes that may be on their way, on all connections together. */
  readonly maxBytes: number;
  /** Commands on their way on a connection. */
  readonly maxCommands: number;
  /** No command is tried for longer than this. */
  readonly giveUpMs: number;
}

export const DEFAULT_WRITER_LIMITS = {
  connections: 8,
  maxBytes: 4 * 1024 ** 2,
  maxCommands: 1_000,
  giveUpMs: 60_000,
} as const;

/** A cluster took nothing for so long that it makes no sense to go on. */
export class GaveUpError extends Error {
  override readonly name = 'GaveUpError';
}

/**
 * Tries until the cluster answers with something else than that it cannot now.
 * @param onPassing is called when it has said so; answers when the cluster took something else last
 * @throws GaveUpError; whatever `act` throws that does not pass
 */
export async function untilTaken<T>(
  giveUpMs: number,
  act: () => Promise<T>,
  onPassing: () => number = () => 0,
): Promise<T> {
  const startMs = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await act();
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (performance.now() - Math.max(startMs, onPassing()) > giveUpMs)
        throw new GaveUpError(`nothing was taken for ${Math.round(giveUpMs / 1000)} s: ${(error as Error).message}`);
    }
    await delay(pauseMs);
  }
}

/** Sends commands once. @returns the answers, errors of the server as values @throws what says that the cluster cannot now */
export async function answersOf(
  lane: Lane,
  database: number,
  commands: readonly CommandLine[],
): Promise<readonly unknown[]> {
  const answers = await lane.send(database, commands);
  const passing = answers.find(isPassing);
  if (passing !== undefined) throw passing;
  return answers;
}

/** Sends commands that may take effect twice, until they are taken. @returns as `answersOf` @throws GaveUpError */
export const ask = (
  lane: Lane,
  giveUpMs: number,
  database: number,
  commands: readonly CommandLine[],
): Promise<readonly unknown[]> => untilTaken(giveUpMs, () => answersOf(lane, database, commands));

/** What became of a command that may be sent twice. */
export interface Written {
  /** What the server says in the end. */
  readonly reply: unknown;
  /** It was sent more than once. */
  readonly isRepeated: boolean;
}

/** Several lanes, with a bound on what is on its way. */
export class Writer {
  readonly options: WriterOptions;
  private readonly lanes: readonly Lane[];
  private readonly loads: number[];
  private bytes = 0;
  private commands = 0;
  /** Commands that may be on their way: fewer when the cluster does not keep up, slowly more again when it does. */
  private window: number;
  private growth = 1;
  private takenMs = 0;
  /** When a command was last sent whose outcome was not known. */
  private openMs = Number.NEGATIVE_INFINITY;
  private waiting: (() => void)[] = [];
  private failure: unknown;
  private leaders: SlotLeaders | undefined;
  private leadersMs = Number.NEGATIVE_INFINITY;

  constructor(options: WriterOptions) {
    this.options = options;
    this.lanes = Array.from({ length: options.connections }, (_, at) => new Lane(options, at));
    this.loads = this.lanes.map(() => 0);
    this.window = options.connections * FIRST_COMMANDS;
  }

  /**
   * Sends a command that may take effect twice, once there is room for it. Its key is its second word.
   * @param onWritten is called when the server has answered with something else than that it cannot now
   * @returns when there was room
   * @throws the error that ended an earlier command
   */
  async put(
    database: number,
    command: CommandLine,
    bytes: number,
    onWritten: (written: Written) => void,
  ): Promise<void> {
    const place = database === 0 ? this.leaderOf(command[1] as Buffer) : undefined;
    let lane = this.leastLoaded(place);
    while (this.failure === undefined && this.isFull(bytes, lane)) {
      await this.changed();
      lane = this.leastLoaded(place);
    }
    if (this.failure !== undefined) throw this.failure;
    this.bytes += bytes;
    this.commands += 1;
    this.loads[lane]! += 1;
    void this.write(lane, database, command)
      .then(onWritten)
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.commands -= 1;
        this.loads[lane]! -= 1;
        this.release(bytes);
      });
  }

  /** Waits until there is room for bytes of others, who release them. @throws the error that ended an earlier command */
  async reserve(bytes: number): Promise<void> {
    while (this.failure === undefined && this.bytes > 0 && this.bytes + bytes > this.options.maxBytes)
      await this.changed();
    if (this.failure !== undefined) throw this.failure;
    this.bytes += bytes;
  }

  release(bytes: number): void {
    this.bytes -= bytes;
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** A lane to the node that carries out commands on a key, if that is known. */
  laneOf(key: Buffer): Lane {
    return this.lanes[this.leastLoaded(this.leaderOf(key))]!;
  }

  /** Nothing more is written. */
  fail(error: unknown): void {
    this.failure ??= error;
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** Waits for all answers. @throws the error that ended a command */
  async settled(): Promise<void> {
    while (this.failure === undefined && (this.bytes > 0 || this.commands > 0)) await this.changed();
    if (this.failure !== undefined) throw this.failure;
  }

  /** Waits until nothing that was sent can take effect any more. @throws the error that ended a command */
  async quiet(): Promise<void> {
    await this.settled();
    await delay(Math.max(0, this.openMs + SETTLE_MS - performance.now()));
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
  }

  private isFull(bytes: number, lane: number): boolean {
    const { maxBytes, maxCommands } = this.options;
    return (
      (this.bytes > 0 && this.bytes + bytes > maxBytes) ||
      this.commands >= this.window ||
      this.loads[lane]! >= maxCommands
    );
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Where it is in the list of servers. What is known of leaders is renewed meanwhile. */
  private leaderOf(key: Buffer): number | undefined {
    if (performance.now() > this.leadersMs + LEADERS_MS && this.options.targets.length > 1) {
      this.leadersMs = performance.now();
      void SlotLeaders.ask(this.options).then((leaders) => {
        this.leaders = leaders;
      });
    }
    return this.leaders?.placeOf(key);
  }

  /** @param place of the server whose lanes count; undefined: all do */
  private leastLoaded(place: number | undefined): number {
    const { targets } = this.options;
    const isSpread = place !== undefined && this.lanes.length >= targets.length;
    let best = isSpread ? place : 0;
    for (let lane = best; lane < this.loads.length; lane += isSpread ? targets.length : 1)
      if (this.loads[lane]! < this.loads[best]!) best = lane;
    return best;
  }

  private async write(lane: number, database: number, command: CommandLine): Promise<Written> {
    let tries = 0;
    const reply = await untilTaken(
      this.options.giveUpMs,
      async () => {
        tries += 1;
        const [answer] = await answersOf(this.lanes[lane]!, database, [command]);
        return answer;
      },
      () => {
        this.openMs = performance.now();
        this.window = Math.max(1, this.window / 2);
        this.growth = GROWTH;
        return this.takenMs;
      },
    );
    this.takenMs = performance.now();
    this.window = Math.min(this.window + this.growth, this.options.connections * this.options.maxCommands);
    return { reply, isRepeated: tries > 1 };
  }
}
