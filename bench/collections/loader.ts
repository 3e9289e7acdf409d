/** Loads collections of known content into a cluster whose nodes come and go: whatever is refused or lost is sent again. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

const ELEMENTS_A_COMMAND = 64;
const COMMANDS_A_BATCH = 8;
const BATCH = ELEMENTS_A_COMMAND * COMMANDS_A_BATCH;
const RETRY_MS = 200;
const COMMAND_TIMEOUT_MS = 15_000;
/** After this nothing that a connection has sent takes effect any more, whatever became of it: longer than the server waits for an outcome. */
const SETTLE_MS = 8_000;
/** Prime, so that elements come in an order that looks random. */
const STRIDE = 7_368_787;

/** The element that comes at this place of a load of `count`, each once. */
export const scattered = (at: number, count: number): number => (at * STRIDE) % count;

/** The same, one after the other. */
export const inTurn = (at: number): number => at;

export const memberOf = (id: number): string => `member:${String(id).padStart(10, '0')}`;
export const contentOf = (id: number): string => `value of ${id}`;
export const itemOf = (id: number): string => `item:${id}`;

/** A connection that is opened again at the next node when it breaks. */
class Connection {
  private readonly ports: readonly number[];
  private at: number;
  private client: Redis | undefined;

  constructor(ports: readonly number[], at: number) {
    this.ports = ports;
    this.at = at;
  }

  /** @throws whatever the server answers, or the connection */
  async batch(commands: readonly (readonly (string | number)[])[]): Promise<unknown[]> {
    this.client ??= this.open();
    const { client } = this;
    try {
      const replies = await client.pipeline(commands.map(([name, ...args]) => [name, ...args] as string[])).exec();
      for (const [error] of replies!) if (error !== null) throw error;
      return replies!.map(([, reply]) => reply);
    } catch (error) {
      this.close();
      this.at += 1;
      throw error;
    }
  }

  close(): void {
    this.client?.disconnect();
    this.client = undefined;
  }

  private open(): Redis {
    const client = new Redis(this.ports[this.at % this.ports.length]!, '127.0.0.1', {
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      commandTimeout: COMMAND_TIMEOUT_MS,
    });
    client.on('error', () => undefined);
    return client;
  }
}

/** How far a load is. */
export interface Progress {
  loaded: number;
  /** Batches that were sent again. */
  retries: number;
}

/** Elements that may be sent twice, by several connections in any order. `commandOf` makes one command of some elements. */
export async function loadAnyOrder(
  ports: readonly number[],
  connections: number,
  count: number,
  commandOf: (ids: readonly number[]) => (string | number)[],
  order: (at: number, count: number) => number,
  progress: Progress,
): Promise<void> {
  let next = 0;
  const work = async (worker: number): Promise<void> => {
    const connection = new Connection(ports, worker);
    while (next < count) {
      const from = next;
      next = Math.min(count, next + BATCH);
      const ids = Array.from({ length: next - from }, (_, at) => order(from + at, count));
      const commands: (string | number)[][] = [];
      for (let at = 0; at < ids.length; at += ELEMENTS_A_COMMAND)
        commands.push(commandOf(ids.slice(at, at + ELEMENTS_A_COMMAND)));
      await repeated(() => connection.batch(commands), progress);
      progress.loaded += ids.length;
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, (_, worker) => work(worker)));
}

/** Elements of a list, in order, by one connection: what was lost is known from the length. */
export async function loadInOrder(
  ports: readonly number[],
  key: string,
  count: number,
  progress: Progress,
): Promise<void> {
  const connection = new Connection(ports, 0);
  for (let from = 0; from < count; ) {
    const to = Math.min(count, from + BATCH);
    const commands: string[][] = [];
    for (let at = from; at < to; at += ELEMENTS_A_COMMAND) {
      const items = Array.from({ length: Math.min(ELEMENTS_A_COMMAND, to - at) }, (_, index) => itemOf(at + index));
      commands.push(['rpush', key, ...items]);
    }
    let length = to;
    try {
      await connection.batch(commands);
    } catch {
      progress.retries += 1;
      await delay(SETTLE_MS);
      [length] = (await repeated(() => connection.batch([['llen', key]]), progress)) as [number];
    }
    progress.loaded += length - from;
    from = length;
  }
  connection.close();
}

/** Does it until it succeeds. */
async function repeated<T>(act: () => Promise<T>, progress: Progress): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch {
      progress.retries += 1;
      await delay(RETRY_MS);
    }
  }
}
