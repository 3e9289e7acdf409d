/** Clients of one workload, and the history of what they saw. The rules are those of the runner of real processes. */
import type { Redis } from 'ioredis';
import { classifyError } from '../../../jepsen/client.ts';
import type { Op, OpType } from '../../../jepsen/history.ts';
import type { Invocation, Workload, WorkloadContext } from '../../../jepsen/types.ts';
import type { SeededRandom, Simulation } from '../../../src/platform/index.ts';
import type { ClusterNode } from './cluster-node.ts';
import { LISTENING_WORKLOADS, TRANSACTIONAL } from './plan.ts';
import { makeSimWorkload } from './route-workloads.ts';
import { asOfficialClient, type SimRedis } from './sim-redis.ts';

const FAILED_THINK_MS = 50;
const FINAL_ATTEMPTS = 20;
const FINAL_PAUSE_MS = 500;
/** Every other client only reads: on a leader that is cut off, those that write are stuck long before its successor serves. */
const READER_EVERY = 2;
const READER_DRAWS = 40;

export interface ClientsOptions {
  readonly simulation: Simulation;
  readonly nodes: readonly ClusterNode[];
  readonly workload: string;
  readonly clients: number;
  readonly thinkMs: number;
  readonly random: SeededRandom;
  /** Keys of one transaction are put into one slot. */
  readonly areKeysTogether: boolean;
  readonly say: (line: string) => void;
}

/** One logical client; it takes a new process number whenever an outcome stays unknown. */
class Client {
  private readonly group: WorkloadClients;
  private process: number;
  private connection: SimRedis | undefined;

  constructor(group: WorkloadClients, worker: number) {
    this.group = group;
    this.process = worker;
  }

  /** Invokes one operation and records what became of it. */
  async once(invocation: Invocation): Promise<OpType> {
    const { process, group } = this;
    const { f, value } = invocation;
    const { workload } = group;
    group.record(process, 'invoke', f, value);
    try {
      this.connection ??= await group.nodeOf(process).connect();
    } catch (error) {
      group.record(process, 'fail', f, value, `not connected: ${(error as Error).message}`);
      this.moveOn();
      return 'fail';
    }
    try {
      group.record(process, 'ok', f, await workload.execute(group.clientOf(this.connection), invocation));
      return 'ok';
    } catch (error) {
      if (error instanceof TypeError) throw error;
      const outcome = classifyError(error, workload.isReadOnly(f));
      group.record(process, outcome.type, f, value, outcome.error);
      if (outcome.connectionLost || outcome.type === 'info') this.moveOn();
      return outcome.type;
    }
  }

  private moveOn(): void {
    this.connection?.disconnect();
    this.connection = undefined;
    this.process += this.group.options.clients;
  }
}

export class WorkloadClients {
  readonly options: ClientsOptions;
  readonly workload: Workload;
  readonly history: Op[] = [];
  private readonly clients: Client[];
  private lastId = 0;
  private isOver = false;
  private running: Promise<unknown> = Promise.resolve();

  constructor(options: ClientsOptions) {
    this.options = options;
    this.workload = makeSimWorkload(options.workload);
    this.clients = Array.from({ length: options.clients }, (_, worker) => new Client(this, worker));
  }

  /** What the workload needs before anything happens; until it succeeds, since doing it twice changes nothing. */
  async setup(): Promise<void> {
    for (;;) {
      try {
        const connection = await this.options.nodes[0]!.connect();
        await this.workload.setup?.(this.clientOf(connection));
        connection.disconnect();
        return;
      } catch (error) {
        if (error instanceof TypeError) throw error;
        this.options.say(`${this.workload.name} is not set up: ${(error as Error).message}`);
        await this.options.simulation.delay(FAILED_THINK_MS, 'set up again');
      }
    }
  }

  start(): void {
    const { random } = this.options;
    this.running = Promise.all(
      this.clients.map((client, worker) =>
        this.drive(
          client,
          { random: random.fork(worker), nextId: () => ++this.lastId, worker },
          worker % READER_EVERY === READER_EVERY - 1,
        ),
      ),
    );
  }

  /** Settles when every client has finished what it was doing. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.running;
  }

  /** The last operations, in calm. @returns false when one would not succeed */
  async finish(): Promise<boolean> {
    for (const invocation of this.workload.finalOperations ?? []) {
      for (const client of this.clients) {
        let attempts = 0;
        while ((await client.once(invocation)) !== 'ok') {
          attempts += 1;
          if (attempts === FINAL_ATTEMPTS) return false;
          await this.options.simulation.delay(FINAL_PAUSE_MS, 'client rests');
        }
      }
    }
    return true;
  }

  record(process: number, type: OpType, f: string, value: unknown, error?: string): void {
    const { simulation, say } = this.options;
    const op: Op = {
      index: this.history.length,
      time: Math.round(simulation.nowMs() * 1e6),
      process,
      type,
      f,
      value,
      ...(error === undefined ? {} : { error }),
    };
    this.history.push(op);
    say(
      `${this.workload.name}/${process} ${type} ${f} ${JSON.stringify(value)}${error === undefined ? '' : ` (${error})`}`,
    );
  }

  /** A fault has begun, or was healed: what listeners did not hear then may be excused. */
  noteFault(f: string): void {
    if (!(LISTENING_WORKLOADS as readonly string[]).includes(this.workload.name)) return;
    const time = Math.round(this.options.simulation.nowMs() * 1e6);
    this.history.push({ index: this.history.length, time, process: 'nemesis', type: 'info', f, value: null });
  }

  clientOf(connection: SimRedis): Redis {
    const { workload, areKeysTogether } = this.options;
    return asOfficialClient(connection, areKeysTogether && TRANSACTIONAL.has(workload) ? workload : undefined);
  }

  nodeOf(process: number): ClusterNode {
    const { nodes, clients } = this.options;
    return nodes[(process + Math.floor(process / clients)) % nodes.length]!;
  }

  /** A reader draws until it gets a read, if the workload has any. */
  private generate(context: WorkloadContext, isReader: boolean): Invocation {
    let invocation = this.workload.generate(context);
    for (let left = READER_DRAWS; isReader && left > 0 && !this.workload.isReadOnly(invocation.f); left--)
      invocation = this.workload.generate(context);
    return invocation;
  }

  private async drive(client: Client, context: WorkloadContext, isReader: boolean): Promise<void> {
    const { simulation, thinkMs } = this.options;
    while (!this.isOver) {
      const outcome = await client.once(this.generate(context, isReader));
      const restMs = outcome === 'ok' ? context.random.next() * 2 * thinkMs : Math.max(thinkMs, FAILED_THINK_MS);
      await simulation.delay(restMs, 'client thinks');
    }
  }
}
