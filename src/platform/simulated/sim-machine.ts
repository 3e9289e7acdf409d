/** One machine of a simulated cluster: its clocks, disk and network end, and its power switch. */
import type { Random } from '../random.ts';
import type { Millis, NodeId } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import { SimClock } from './sim-clock.ts';
import { SimDisk } from './sim-disk.ts';
import type { SimFabric, SimNetwork } from './sim-network.ts';
import { SimScheduler } from './sim-scheduler.ts';

/** Monotonic clocks begin anywhere in this range: a value of one machine means nothing on another. */
const MAX_MONOTONIC_ORIGIN_MS = 1_000_000;

export class SimMachine implements EventOwner {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly clock: SimClock;
  readonly scheduler: SimScheduler;
  readonly disk: SimDisk;
  readonly network: SimNetwork;
  /** For what runs on the machine. */
  readonly random: Random;
  private readonly fabric: SimFabric;
  private lifeCount = 1;
  private pausedUntil: Millis = 0;
  private sleepsUntil: Millis = 0;

  constructor(fabric: SimFabric, nodeId: NodeId) {
    const { simulation } = fabric;
    this.fabric = fabric;
    this.nodeId = nodeId;
    this.name = `n${nodeId}`;
    this.random = simulation.random.fork(1);
    this.clock = new SimClock(simulation, this.random.next() * MAX_MONOTONIC_ORIGIN_MS);
    this.scheduler = new SimScheduler(simulation, this.clock, this);
    this.disk = new SimDisk(simulation, this);
    this.network = fabric.attach(nodeId, this);
  }

  get life(): number {
    return this.lifeCount;
  }

  get pausedUntilMs(): Millis {
    return this.pausedUntil;
  }

  /**
   * Kills what runs on the machine: its timers, operations and frames never complete, its connections break. The disk keeps
   * what was synced; with `losePower` anything else may be lost or torn. Build a new process over the same machine afterwards
   * and let go of the old one: nothing of it may be called any more.
   */
  crash(options: { readonly losePower: boolean }): void {
    this.lifeCount += 1;
    this.pausedUntil = 0;
    this.wakeAt(this.fabric.simulation.nowMs());
    this.disk.crash(options.losePower);
    this.network.crash();
  }

  /** The process stands still (a long garbage collection, a stopped virtual machine); its clocks go on. */
  pauseFor(ms: Millis): void {
    this.pausedUntil = this.fabric.simulation.nowMs() + ms;
    this.wakeAt(this.pausedUntil);
  }

  /** The machine is suspended and wakes again: nothing runs, and its monotonic clock stands still. */
  suspendFor(ms: Millis): void {
    this.pauseFor(ms);
    this.clock.sleep(ms);
    this.sleepsUntil = this.pausedUntil;
  }

  /** A sleep ends earlier than was said: its monotonic clock stood still for less. */
  private wakeAt(atMs: Millis): void {
    if (this.sleepsUntil > atMs) this.clock.sleep(atMs - this.sleepsUntil);
    this.sleepsUntil = Math.min(this.sleepsUntil, atMs);
  }
}
