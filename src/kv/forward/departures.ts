/**
 * Nodes that stop in good order, and what the others know of it. A node says two things, each to every peer in a stream of one byte:
 *
 *   begins  it is about to stop, so it is given no leadership. The answer says whether the peer is stopping itself.
 *   leaves  it has nothing left that others need. From then on the peer sends it no request, and answers when it has heard what
 *           became of every request that it had sent. So nothing is under way to a node that ends after that.
 *
 * A peer that is too old to know these words, or silent, does not hold a stop up: what it had sent is then of unknown outcome, as after
 * a crash.
 */
import { type Clock, type Millis, type NodeId, type PeerNetwork, type Scheduler, sleep } from '../../platform/index.ts';

const KIND = 'departure';
const BEGINS = 1;
const LEAVES = 2;
const GOES_ON: Buffer = Buffer.of(0);
const STOPS_TOO: Buffer = Buffer.of(1);
/** A node that has said it and is still there after this has changed its mind, or hangs: it is treated as any other. */
const BELIEVED_MS: Millis = 30_000;
/** Between two looks at what a node that leaves has not answered yet. The first one comes after this: what the present turn sends is under way then. */
const LOOK_MS: Millis = 5;
/** What a node that leaves has not answered by then it will not answer. */
const MOST_MS: Millis = 5_000;

export interface DeparturesOptions {
  readonly network: PeerNetwork;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Requests that were sent to a peer and have no answer yet. */
  readonly unanswered: (peer: NodeId) => number;
}

/** See the top of the file. */
export class Departures {
  private readonly options: DeparturesOptions;
  /** Peers that are about to stop, and until when that is believed. */
  private readonly stopping = new Map<NodeId, Millis>();
  /** Those of them that are to be sent nothing more. */
  private readonly leaving = new Map<NodeId, Millis>();
  private stops = false;

  /** Before the network is started. */
  constructor(options: DeparturesOptions) {
    const { network } = options;
    this.options = options;
    network.onStream(KIND, (from, header, frames) => this.hear(from, header, frames));
    network.onPeerLost((peer) => {
      this.stopping.delete(peer);
      this.leaving.delete(peer);
    });
  }

  /** This node is about to stop. */
  get isStopping(): boolean {
    return this.stops;
  }

  /** A peer is about to stop. */
  isPeerStopping(peer: NodeId): boolean {
    return this.holds(this.stopping, peer);
  }

  /** A peer that is to be sent nothing more. */
  isPeerLeaving(peer: NodeId): boolean {
    return this.leaving.size > 0 && this.holds(this.leaving, peer);
  }

  /** Says that this node is about to stop, and hears who else is. Settles after `withinMs` at the latest. */
  async begin(peers: readonly NodeId[], withinMs: Millis): Promise<void> {
    this.stops = true;
    const untilMs = this.options.clock.monotonicMs() + BELIEVED_MS;
    for (const [peer, answer] of await this.tell(peers, BEGINS, withinMs)) {
      if (answer.equals(STOPS_TOO)) this.stopping.set(peer, untilMs);
    }
  }

  /** Takes leave of the peers. @returns those that send nothing more and have every answer */
  async leave(peers: readonly NodeId[], withinMs: Millis): Promise<readonly NodeId[]> {
    return [...(await this.tell(peers, LEAVES, withinMs)).keys()];
  }

  private async tell(peers: readonly NodeId[], word: number, withinMs: Millis): Promise<Map<NodeId, Buffer>> {
    const { network, scheduler } = this.options;
    const abort = new AbortController();
    const cancel = scheduler.after(withinMs, () => abort.abort(new Error('the node does not wait any longer')));
    const answers = new Map<NodeId, Buffer>();
    const ask = async (peer: NodeId): Promise<void> => {
      try {
        answers.set(peer, await network.stream(peer, KIND, Buffer.of(word), noFrames(), abort.signal));
      } catch {
        // Gone, silent or of an older program.
      }
    };
    await Promise.all(peers.map(ask));
    cancel();
    return answers;
  }

  private async hear(from: NodeId, header: Buffer, frames: AsyncIterable<Buffer>): Promise<Buffer> {
    // Nothing comes behind the word but the end.
    await frames[Symbol.asyncIterator]().next();
    const { clock, scheduler, unanswered } = this.options;
    const nowMs = clock.monotonicMs();
    this.stopping.set(from, nowMs + BELIEVED_MS);
    if (header[0] === LEAVES) {
      this.leaving.set(from, nowMs + BELIEVED_MS);
      do await sleep(scheduler, LOOK_MS);
      while (unanswered(from) > 0 && this.leaving.has(from) && clock.monotonicMs() < nowMs + MOST_MS);
    }
    return this.stops ? STOPS_TOO : GOES_ON;
  }

  private holds(believed: Map<NodeId, Millis>, peer: NodeId): boolean {
    const untilMs = believed.get(peer);
    if (untilMs === undefined) return false;
    if (this.options.clock.monotonicMs() < untilMs) return true;
    believed.delete(peer);
    return false;
  }
}

async function* noFrames(): AsyncGenerator<Buffer> {}
