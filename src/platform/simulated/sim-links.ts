/** What the wires between simulated machines do to frames, per direction. */
import type { Lane } from '../network.ts';
import type { SeededRandom } from '../random.ts';
import type { Millis, NodeId } from '../types.ts';
import type { Simulation } from './simulation.ts';

/** Behaviour of one direction of a link. Rates are probabilities per frame; the `forward` lane is spared them. */
export interface LinkBehaviour {
  readonly minDelayMs: Millis;
  readonly maxDelayMs: Millis;
  /** Frames that vanish. */
  readonly lossRate: number;
  /** Frames that arrive twice. */
  readonly duplicateRate: number;
  /** Frames that may overtake earlier ones of their lane, or be overtaken. */
  readonly reorderRate: number;
  /** Nothing passes. */
  readonly isCut: boolean;
  /** Frames queued beyond this many bytes are refused, as by a connection that does not keep up. */
  readonly maxQueuedBytes: number;
  /** Throughput of a lane. */
  readonly bytesPerMs: number;
}

/** A good link: nothing is lost, repeated or reordered. */
export const GOOD_LINK: LinkBehaviour = {
  minDelayMs: 0.1,
  maxDelayMs: 0.5,
  lossRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  isCut: false,
  maxQueuedBytes: 64 * 1024 * 1024,
  bytesPerMs: 1_000_000,
};

/** Events of the same time run in a drawn order, so frames that must keep theirs arrive apart. */
const FRAME_GAP_MS: Millis = 0.0001;

/** What keeps an order of its own in one direction: the lanes, all bulk streams together, each two-way stream. */
export type LinkLane = Lane | 'stream' | `duplex ${number}`;

interface LaneState {
  /** When the last frame has left. */
  busyUntilMs: Millis;
  /** When the last frame in order arrives. */
  arrivesUntilMs: Millis;
}

/** One direction between two machines. */
export class SimLink {
  behaviour: LinkBehaviour;
  /** Counts breaks of the connection: frames and streams of an earlier one are lost. */
  connection = 0;
  private readonly simulation: Simulation;
  private readonly random: SeededRandom;
  private readonly lanes = new Map<LinkLane, LaneState>();

  constructor(simulation: Simulation, random: SeededRandom, behaviour: LinkBehaviour) {
    this.simulation = simulation;
    this.random = random;
    this.behaviour = behaviour;
  }

  /** Bytes of a lane that have not left yet. */
  queuedBytes(lane: LinkLane): number {
    const state = this.lanes.get(lane);
    if (state === undefined) return 0;
    return Math.ceil(Math.max(0, state.busyUntilMs - this.simulation.nowMs()) * this.behaviour.bytesPerMs);
  }

  /** Delays after which a frame arrives: none when it is lost, two when it is duplicated. */
  arrivals(lane: LinkLane, bytes: number): Millis[] {
    const { behaviour, random } = this;
    const now = this.simulation.nowMs();
    let state = this.lanes.get(lane);
    if (state === undefined) {
      state = { busyUntilMs: 0, arrivesUntilMs: 0 };
      this.lanes.set(lane, state);
    }
    state.busyUntilMs = Math.max(now, state.busyUntilMs) + bytes / behaviour.bytesPerMs;
    // Only Raft's own messages tolerate everything; forwarded commands are promised what one connection gives.
    const isExact = lane === 'forward';
    // A two-way stream keeps its order, and breaks by a loss.
    const isOrdered = isExact || lane.startsWith('duplex');
    if (behaviour.isCut || (!isExact && random.next() < behaviour.lossRate)) return [];
    const leavesMs = state.busyUntilMs;
    if (!isOrdered && random.next() < behaviour.reorderRate) {
      // May overtake, and does not hold up those behind it; the spread is wide enough to matter.
      const late = leavesMs + this.drawDelay() + random.next() * behaviour.maxDelayMs * 4;
      return this.withDuplicate(late - now);
    }
    state.arrivesUntilMs = Math.max(leavesMs + this.drawDelay(), state.arrivesUntilMs + FRAME_GAP_MS);
    const inOrderMs = state.arrivesUntilMs - now;
    return isOrdered ? [inOrderMs] : this.withDuplicate(inOrderMs);
  }

  /** What stands for the connection of a lane that something was sent on. */
  queue(lane: LinkLane): object {
    return this.lanes.get(lane) ?? this;
  }

  /** Drops what is remembered of a lane that is used no more. */
  forget(lane: LinkLane): void {
    this.lanes.delete(lane);
  }

  /** Forgets what is queued: the connection broke. */
  reset(): void {
    this.connection += 1;
    this.lanes.clear();
  }

  drawDelay(): Millis {
    const { minDelayMs, maxDelayMs } = this.behaviour;
    return minDelayMs + this.random.next() * (maxDelayMs - minDelayMs);
  }

  private withDuplicate(delayMs: Millis): Millis[] {
    if (this.random.next() >= this.behaviour.duplicateRate) return [delayMs];
    return [delayMs, delayMs + this.drawDelay() + this.random.next() * this.behaviour.maxDelayMs];
  }
}

export class SimLinks {
  private readonly simulation: Simulation;
  private readonly random: SeededRandom;
  private readonly links = new Map<number, SimLink>();
  private standard: LinkBehaviour = GOOD_LINK;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
    this.random = simulation.random.fork(4);
  }

  link(from: NodeId, to: NodeId): SimLink {
    const key = from * 65536 + to;
    let link = this.links.get(key);
    if (link === undefined) {
      link = new SimLink(this.simulation, this.random.fork(key), this.standard);
      this.links.set(key, link);
    }
    return link;
  }

  /** Changes the behaviour of all links, now and to come, apart from which of them are cut. */
  setAll(change: Partial<Omit<LinkBehaviour, 'isCut'>>): void {
    this.standard = { ...this.standard, ...change };
    for (const link of this.links.values()) link.behaviour = { ...link.behaviour, ...change };
  }

  /** Changes one direction. */
  set(from: NodeId, to: NodeId, change: Partial<LinkBehaviour>): void {
    const link = this.link(from, to);
    link.behaviour = { ...link.behaviour, ...change };
  }

  all(): IterableIterator<SimLink> {
    return this.links.values();
  }
}
