/**
 * Writes keys into a cluster over several connections, and again until it is certain that they are there. What it sends may be sent twice: a
 * connection that ends, or a node that does not know an outcome, leaves it open whether a command took effect.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type CommandLine, Lane, ServerError, type Upstream } from '../redis/index.ts';

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
/** On their way on a connection in the beginning, and by how much of a command there may be more for each that was taken. */
const FIRST_COMMANDS = 8;
const GROWTH = 0.1;
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
  maxBytes: 1024 ** 2,
  maxCommands: 64,
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
  private takenMs = 0;
  private waiting: (() => void)[] = [];
  private failure: unknown;

  constructor(options: WriterOptions) {
    this.options = options;
    this.lanes = Array.from({ length: options.connections }, (_, at) => new Lane(options, at));
    this.loads = this.lanes.map(() => 0);
    this.window = options.connections * FIRST_COMMANDS;
  }

  /**
   * Sends a command that may take effect twice, once there is room for it.
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
    const { maxBytes, maxCommands } = this.options;
    let lane = this.leastLoaded();
    const isFull = (): boolean =>
      (this.commands > 0 && this.bytes + bytes > maxBytes) ||
      this.commands >= this.window ||
      this.loads[lane]! >= maxCommands;
    while (this.failure === undefined && isFull()) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
      lane = this.leastLoaded();
    }
    if (this.failure !== undefined) throw this.failure;
    this.bytes += bytes;
    this.commands += 1;
    this.loads[lane]! += 1;
    void this.write(lane, database, command)
      .then(onWritten)
      .catch((error: unknown) => {
        this.failure ??= error;
      })
      .finally(() => {
        this.bytes -= bytes;
        this.commands -= 1;
        this.loads[lane]! -= 1;
        for (const wake of this.waiting.splice(0)) wake();
      });
  }

  /** Waits for all answers. @throws the error that ended a command */
  async settled(): Promise<void> {
    while (this.failure === undefined && this.loads.some((load) => load > 0)) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    if (this.failure !== undefined) throw this.failure;
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
  }

  private leastLoaded(): number {
    let best = 0;
    for (let lane = 1; lane < this.loads.length; lane++) if (this.loads[lane]! < this.loads[best]!) best = lane;
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
        this.window = Math.max(1, this.window / 2);
        return this.takenMs;
      },
    );
    this.takenMs = performance.now();
    this.window = Math.min(this.window + GROWTH, this.options.connections * this.options.maxCommands);
    return { reply, isRepeated: tries > 1 };
  }
}
