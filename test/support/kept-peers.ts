/** A book of peers that is kept in memory. */
import { type NodeId, nodeId } from '../../src/platform/index.ts';
import type { PeerLives } from '../../src/raftengine/founding/node-record.ts';
import { PeerBook } from '../../src/raftengine/founding/peer-book.ts';

/** Rows of a book; give the same ones to the next process of a node. */
export class KeptInMemory {
  readonly incarnation: string;
  readonly rows = new Map<NodeId, PeerLives>();
  /** Settles a write; a test may hold it back or have it fail. */
  beforeWrite: () => Promise<void> = async () => {};

  constructor(incarnation: string) {
    this.incarnation = incarnation;
  }

  peers(): NodeId[] {
    return [...this.rows.keys()];
  }

  peer(peer: NodeId): PeerLives | undefined {
    return this.rows.get(peer);
  }

  async setPeer(peer: NodeId, lives: PeerLives): Promise<void> {
    this.rows.set(peer, lives);
    await this.beforeWrite();
  }
}

export const bookInMemory = (self: number, incarnation = `incarnation-${self}`): PeerBook =>
  new PeerBook(nodeId(self), new KeptInMemory(incarnation), (error) => {
    throw error;
  });
