/**
 * Which data folders of other nodes this one listens to. A node that lost its folder has forgotten its votes: if its peers
 * took the new folder for the old one, a majority could decide something else than what a majority has decided. So the first
 * folder that is met under an id is the one that is listened to, for good and across restarts; only the cluster may name
 * another one, and it does so only once the old one was removed.
 *
 * What it rests on: nothing is taken from a folder before it is stable here that it was met. So of two folders of one node at
 * most one can ever have been accepted by all of its peers.
 */
import { type FolderIntroduction, type NodeId, type PeerAdmission, PeerRefusedError } from '../../platform/index.ts';
import type { NodeRecord, PeerLives } from './node-record.ts';

/** Removed folders that a node names when it introduces itself, newest last; each of them was replaced by an operator. */
const MOST_NAMED = 32;
const UNKNOWN: PeerLives = { incarnation: undefined, isConfirmed: false, removed: [] };

/** What a book is kept in. */
export type KeptPeers = Pick<NodeRecord, 'incarnation' | 'peers' | 'peer' | 'setPeer'>;

export const folderWasRemoved = (node: NodeId): string =>
  `this data folder of node ${node} was removed from the cluster; start the node with an empty folder and --join`;

/** See the top of the file. */
export class PeerBook implements PeerAdmission {
  private readonly self: NodeId;
  private readonly kept: KeptPeers;
  private readonly onError: (error: unknown) => void;
  /** Folders that are listened to, as far as it is stable that they are. */
  private readonly stable = new Map<NodeId, string>();

  /** @param onError hears of what could not be written and will be written again */
  constructor(self: NodeId, kept: KeptPeers, onError: (error: unknown) => void) {
    this.self = self;
    this.kept = kept;
    this.onError = onError;
    for (const peer of kept.peers()) {
      const { incarnation } = this.lives(peer);
      if (incarnation !== undefined) this.stable.set(peer, incarnation);
    }
  }

  introduction(): FolderIntroduction {
    return { incarnation: this.kept.incarnation, removed: this.lives(this.self).removed.slice(-MOST_NAMED) };
  }

  admit(peer: NodeId, { incarnation, removed }: FolderIntroduction): Promise<void> | undefined {
    const lives = this.lives(peer);
    if (lives.removed.includes(incarnation)) throw new PeerRefusedError(folderWasRemoved(peer), 'removed');
    if (lives.incarnation === incarnation) {
      if (this.stable.get(peer) === incarnation) return undefined;
      return this.settle(peer, incarnation, lives);
    }
    if (lives.incarnation === undefined) return this.settle(peer, incarnation, { ...lives, incarnation });
    // This node was not there when the cluster removed the old one. Only a member of the cluster can know that it did.
    if (removed.includes(lives.incarnation)) {
      return this.settle(peer, incarnation, { ...without(lives, lives.incarnation), incarnation });
    }
    throw new PeerRefusedError(
      `node ${peer} comes with data folder ${incarnation}, and ${lives.isConfirmed ? 'the cluster knows it' : 'it was met before'} ` +
        `with ${lives.incarnation}: another data folder under the same id, which has forgotten what the node voted for. ` +
        `Start the node with its own folder. If that is lost, \`raftadmin replace ${peer} ${peer}\` removes it for good; then start ` +
        'the node with an empty folder and --join. If the cluster never served anybody, empty the data folders of all its nodes',
      lives.isConfirmed ? 'changed' : 'met',
    );
  }

  confirm(peer: NodeId, incarnation: string): boolean {
    const lives = this.lives(peer);
    if (peer === this.self || lives.removed.includes(incarnation)) return false;
    const isOther = lives.incarnation !== undefined && lives.incarnation !== incarnation;
    if (isOther || !lives.isConfirmed) this.write(peer, { ...lives, incarnation, isConfirmed: true });
    return isOther;
  }

  remove(peer: NodeId, incarnation: string): boolean {
    const lives = this.lives(peer);
    if (!lives.removed.includes(incarnation)) this.write(peer, without(lives, incarnation));
    return lives.incarnation === incarnation;
  }

  private lives(peer: NodeId): PeerLives {
    return this.kept.peer(peer) ?? UNKNOWN;
  }

  private async settle(peer: NodeId, incarnation: string, lives: PeerLives): Promise<void> {
    await this.kept.setPeer(peer, lives);
    if (this.lives(peer).incarnation === incarnation) this.stable.set(peer, incarnation);
  }

  /** What the cluster says is said again with every cluster state: nobody waits for it. */
  private write(peer: NodeId, lives: PeerLives): void {
    this.kept.setPeer(peer, lives).catch(this.onError);
  }
}

/** A folder was removed. */
function without(lives: PeerLives, incarnation: string): PeerLives {
  const removed = [...lives.removed, incarnation];
  return lives.incarnation === incarnation
    ? { incarnation: undefined, isConfirmed: false, removed }
    : { ...lives, removed };
}
