/** Simulated machines that each run one part of a node which speaks to its kind on the others. */
import {
  type NodeId,
  nodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
  SimFabric,
  SimMachine,
  Simulation,
} from '../../../src/platform/index.ts';

/** What a part is made with. */
export interface StagedParts {
  readonly network: PeerNetwork;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly peers: () => readonly NodeId[];
  readonly onError: (error: unknown) => void;
}

export abstract class NodeStage<Part extends { start(): void }> {
  readonly simulation: Simulation;
  readonly fabric: SimFabric;
  readonly machines = new Map<NodeId, SimMachine>();
  readonly nodes = new Map<NodeId, Part>();
  readonly errors: unknown[] = [];
  /** As every node is told. */
  listed: readonly NodeId[];

  constructor(count: number, seed = 1) {
    this.simulation = new Simulation({ seed });
    this.fabric = new SimFabric(this.simulation);
    this.listed = Array.from({ length: count }, (_, at) => nodeId(at + 1));
    for (const id of this.listed) this.machines.set(id, new SimMachine(this.fabric, id));
  }

  /** Starts all, and lets them meet. */
  async started(): Promise<this> {
    for (const id of this.listed) await this.boot(id);
    await this.pass(50);
    return this;
  }

  protected abstract make(parts: StagedParts): Part;

  async boot(id: NodeId): Promise<void> {
    const { network, scheduler, random } = this.machines.get(id)!;
    for (const other of this.machines.keys()) if (other !== id) network.setPeer(other, 'elsewhere:1');
    const onError = (error: unknown): void => void this.errors.push(error);
    const part = this.make({ network, scheduler, random, peers: () => this.listed, onError });
    this.nodes.set(id, part);
    await network.start();
    part.start();
  }

  crash(id: number): void {
    this.nodes.delete(nodeId(id));
    this.machines.get(nodeId(id))!.crash({ losePower: false });
  }

  at(id: number): Part {
    return this.nodes.get(nodeId(id))!;
  }

  pass(ms: number): Promise<void> {
    return this.simulation.runFor(ms);
  }

  /** Lets time pass until a promise has settled. @returns how long it took */
  async settled(promise: Promise<unknown> | undefined, maxMs = 10_000): Promise<number> {
    const beganMs = this.simulation.nowMs();
    await this.simulation.runToEnd(Promise.resolve(promise), maxMs);
    return this.simulation.nowMs() - beganMs;
  }
}
