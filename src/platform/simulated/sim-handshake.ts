/**
 * How simulated machines get to know each other: a process introduces itself to every peer, again and again until it is
 * accepted, and anew whenever the connection broke. Nothing is sent to a peer before. Machines without an admission
 * accept everybody at once, as tests of layers above want it; frames for one that is down are lost there, not refused.
 */
import {
  type FolderIntroduction,
  type PeerAdmission,
  PeerRefusedError,
  type Refusal,
  type RefusalReason,
} from '../network.ts';
import type { Millis, NodeId } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import type { SimLink, SimLinks } from './sim-links.ts';
import type { Simulation } from './simulation.ts';

/** Between two attempts at a peer. */
const RETRY_MS: Millis = 150;
const INTRODUCTION_BYTES = 200;

/** What a machine answers to an introduction. */
type Answer =
  | { readonly introduction: FolderIntroduction | undefined }
  | { readonly reason: RefusalReason; readonly message: string };

/** A machine on the network, as the handshake sees it. */
interface Machine {
  readonly self: NodeId;
  readonly owner: EventOwner;
  readonly handshake: SimHandshake;
  readonly isListening: boolean;
  reaches(peer: NodeId): boolean;
}

/** What is between machines. */
interface Fabric {
  readonly simulation: Simulation;
  readonly links: SimLinks;
  network(node: NodeId): Machine | undefined;
}

/** The part of one machine. */
export class SimHandshake {
  private readonly fabric: Fabric;
  private readonly network: Machine;
  private admission: PeerAdmission | undefined;
  /** The connection that a peer has accepted the introduction on. */
  private readonly accepted = new Map<NodeId, number>();
  private readonly dialled = new Set<NodeId>();
  private acceptedListeners: ((peer: NodeId) => void)[] = [];
  private refusedListeners: ((refusal: Refusal) => void)[] = [];

  constructor(fabric: Fabric, network: Machine) {
    this.fabric = fabric;
    this.network = network;
  }

  /** The next process has introductions made and checked. */
  use(admission: PeerAdmission): void {
    this.admission = admission;
  }

  onAccepted(listener: (peer: NodeId) => void): void {
    this.acceptedListeners.push(listener);
  }

  onRefused(listener: (refusal: Refusal) => void): void {
    this.refusedListeners.push(listener);
  }

  /** True when frames to a peer may leave. */
  isDone(peer: NodeId): boolean {
    return this.admission === undefined || this.accepted.get(peer) === this.link(peer).connection;
  }

  /** @returns true when the folder was listened to until now */
  remove(peer: NodeId, incarnation: string): boolean {
    return this.admission?.remove(peer, incarnation) === true;
  }

  /** @returns true when another folder was listened to until now */
  confirm(peer: NodeId, incarnation: string): boolean {
    return this.admission?.confirm(peer, incarnation) === true;
  }

  /** The process died. */
  forget(): void {
    this.admission = undefined;
    this.accepted.clear();
    this.dialled.clear();
    this.acceptedListeners = [];
    this.refusedListeners = [];
  }

  /** Introduces the process to a peer until it is accepted. */
  dial(peer: NodeId): void {
    if (this.admission === undefined || this.dialled.has(peer) || !this.network.reaches(peer) || this.isDone(peer))
      return;
    this.dialled.add(peer);
    const { connection } = this.link(peer);
    const introduction = this.admission.introduction();
    this.travel(this.network, peer, (other) => {
      other.handshake.hear(this.network.self, introduction, (answer) => {
        this.travel(other, this.network.self, () => this.answered(peer, connection, answer));
      });
    });
    this.fabric.simulation.schedule(
      RETRY_MS,
      'dial again',
      () => {
        this.dialled.delete(peer);
        this.dial(peer);
      },
      this.network.owner,
    );
  }

  private hear(from: NodeId, introduction: FolderIntroduction, answer: (answer: Answer) => void): void {
    if (!this.network.isListening) return;
    const accept = (): void => answer({ introduction: this.admission?.introduction() });
    const refuse = (error: unknown): void => {
      if (error instanceof PeerRefusedError) answer({ reason: error.reason, message: error.message });
    };
    try {
      const admitted = this.admission?.admit(from, introduction);
      if (admitted === undefined) accept();
      else admitted.then(accept, refuse);
    } catch (error) {
      if (!(error instanceof PeerRefusedError)) throw error;
      refuse(error);
    }
  }

  private answered(peer: NodeId, connection: number, answer: Answer): void {
    if (this.admission === undefined || !this.network.reaches(peer) || this.link(peer).connection !== connection)
      return;
    if ('reason' in answer) {
      for (const listener of this.refusedListeners) listener({ peer, ...answer });
      return;
    }
    const isAccepted = (): void => {
      if (this.link(peer).connection !== connection || this.accepted.get(peer) === connection) return;
      this.accepted.set(peer, connection);
      for (const listener of this.acceptedListeners) listener(peer);
    };
    try {
      const admitted = answer.introduction && this.admission.admit(peer, answer.introduction);
      if (admitted === undefined) isAccepted();
      else admitted.then(isAccepted, () => undefined);
    } catch (error) {
      // The peer is not the one that it should be: tried again, since another one may be there then.
      if (!(error instanceof PeerRefusedError)) throw error;
    }
  }

  private travel(from: Machine, to: NodeId, arrive: (receiver: Machine) => void): void {
    const { simulation, links } = this.fabric;
    const receiver = this.fabric.network(to);
    const link = links.link(from.self, to);
    const { connection } = link;
    if (receiver === undefined) return;
    for (const delayMs of link.arrivals('control', INTRODUCTION_BYTES)) {
      const label = simulation.isTraced ? `introduction ${from.self}>${to}` : 'introduction';
      simulation.schedule(
        delayMs,
        label,
        () => {
          if (link.connection === connection) arrive(receiver);
        },
        receiver.owner,
      );
    }
  }

  private link(peer: NodeId): SimLink {
    return this.fabric.links.link(this.network.self, peer);
  }
}
