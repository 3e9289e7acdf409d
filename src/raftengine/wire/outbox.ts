/**
 * Raft messages of all groups on their way out, gathered until the end of the turn: one frame a peer and lane. Votes,
 * heartbeats, read rounds and TimeoutNow take the control lane, entries and their acknowledgements the bulk lane, so that
 * a megabyte of entries never makes a leader look dead.
 */
import { assertNever, type Lane, type NodeId, type PeerNetwork } from '../../platform/index.ts';
import type { EngineCounters } from '../contract/index.ts';
import type { Message } from '../core/index.ts';
import { encodeMessages, messageBytes } from './message-codec.ts';

type RaftLane = Exclude<Lane, 'forward'>;

/** The lane of a message. Snapshot tokens never travel as messages. */
export function laneOf(kind: Exclude<Message['kind'], 'snapshot'>): RaftLane {
  switch (kind) {
    case 'append':
    case 'appendResponse':
      return 'bulk';
    case 'heartbeat':
    case 'heartbeatResponse':
    case 'vote':
    case 'preVote':
    case 'voteResponse':
    case 'preVoteResponse':
    case 'timeoutNow':
      return 'control';
    default:
      return assertNever(kind);
  }
}

interface PeerBox {
  readonly control: Message[];
  readonly bulk: Message[];
}

export class Outbox {
  private readonly network: PeerNetwork;
  private readonly maxFrameBytes: number;
  /** Called for every message that the network did not take. */
  private readonly onDropped: (message: Message) => void;
  private readonly counters: EngineCounters;
  private readonly boxes = new Map<NodeId, PeerBox>();
  private filled = false;

  constructor(
    network: PeerNetwork,
    maxFrameBytes: number,
    onDropped: (message: Message) => void,
    counters: EngineCounters,
  ) {
    this.network = network;
    this.maxFrameBytes = maxFrameBytes;
    this.onDropped = onDropped;
    this.counters = counters;
  }

  add(message: Message): void {
    if (message.kind === 'snapshot') return;
    if (message.kind === 'append') this.counters.appendEntries.observe(message.entries.length);
    let box = this.boxes.get(message.to);
    if (box === undefined) {
      box = { control: [], bulk: [] };
      this.boxes.set(message.to, box);
    }
    box[laneOf(message.kind)].push(message);
    this.filled = true;
  }

  /** Sends everything, control lanes first. */
  flush(): void {
    if (!this.filled) return;
    this.filled = false;
    for (const [peer, box] of this.boxes) if (box.control.length > 0) this.send(peer, 'control', box.control);
    for (const [peer, box] of this.boxes) if (box.bulk.length > 0) this.send(peer, 'bulk', box.bulk);
  }

  private send(peer: NodeId, lane: RaftLane, box: Message[]): void {
    const messages = box.splice(0);
    let from = 0;
    let bytes = 0;
    for (let next = 0; next < messages.length; next++) {
      const size = messageBytes(messages[next]!);
      if (next > from && bytes + size > this.maxFrameBytes) {
        this.sendFrame(peer, lane, messages.slice(from, next));
        from = next;
        bytes = 0;
      }
      bytes += size;
    }
    this.sendFrame(peer, lane, from === 0 ? messages : messages.slice(from));
  }

  private sendFrame(peer: NodeId, lane: RaftLane, messages: readonly Message[]): void {
    if (this.network.send(peer, lane, encodeMessages(messages))) return;
    for (const message of messages) this.onDropped(message);
  }
}
