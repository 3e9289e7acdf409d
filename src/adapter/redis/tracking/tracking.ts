/**
 * Which keys the clients of this node may keep, and who is told when one of them is changed, on this node or another. A client is told too much rather
 * than too little: whoever loses a change says so, and then everything is given up.
 *
 * As a leader a node remembers nobody's keys: it tells every node that has such clients what is changed in the groups that are led here. So nothing is lost
 * when ranges or leaders move.
 */
import type { DuplexStream, HlcTimestamp, NodeId, PeerNetwork, Random, Scheduler } from '../../../platform/index.ts';
import { CHANGE_STREAM, type ChangedKey, decodeHeader } from './codec.ts';
import { TrackingTable } from './tracking-table.ts';
import { NOBODY, TurnChanges, type WrittenRows } from './turn-changes.ts';
import { Watch } from './watch.ts';
import { Watcher } from './watcher.ts';

/** Between rounds: nodes that are silent are noticed. */
const ROUND_MS = 500;
/** For so many rounds after the start it may be unknown which nodes there are. */
const UNTOLD_ROUNDS = 6;
/** Pairs of a client and a prefix, and bytes of the prefixes: each changed key is compared with all of them. */
const MAX_PREFIXES = 1_000_000;
const MAX_PREFIX_BYTES = 256 * 1024 * 1024;

/** A client of this node that keeps keys. */
export interface TrackingClient {
  readonly id: number;
  /** It is told of all keys that its prefixes fit, and none is noted for it. */
  readonly isBroadcast: boolean;
  /** It does not want to hear of what it has changed itself. */
  readonly isQuiet: boolean;
  /** Keys were changed. @param place of the reply that goes first; undefined: of all replies that have keys */
  invalidate(keys: readonly string[], place: number | undefined): void;
  /** It may keep nothing that it has read. */
  forgetAll(): void;
}

/** Whoever keeps the writers of keys apart, on the leader. */
export interface WriterNotes {
  /** Writers have to be noted. */
  readonly areWanted: boolean;
  /** A command that was evaluated for a group that is led here has taken effect. @param client `NOBODY`, or the one that does not want to hear of it */
  wrote(client: number, written: WrittenRows): void;
}

/** The other nodes. */
export interface TrackingPeers {
  readonly network: Pick<PeerNetwork, 'self' | 'onDuplex' | 'duplex'>;
  readonly random: Random;
  /** The other nodes of the cluster that know these streams; undefined while nobody has said which there are. */
  readonly peers: () => readonly NodeId[] | undefined;
  readonly onError: (error: unknown) => void;
}

/** What is there now. */
export interface TrackingFigures {
  readonly clients: number;
  readonly keys: number;
  /** Pairs of a key and a client that may keep it. */
  readonly items: number;
  readonly prefixes: number;
}

/** Clients of one prefix. */
interface Prefix {
  readonly clients: Set<TrackingClient>;
}

/** See the top of the file. */
export class Tracking implements WriterNotes {
  /** Keys that are remembered; 0: any number. */
  maxKeys = 1_000_000;
  private readonly scheduler: Scheduler;
  private readonly others: TrackingPeers | undefined;
  private readonly clients = new Map<number, TrackingClient>();
  private readonly table = new TrackingTable();
  private readonly prefixes = new Map<string, Prefix>();
  private prefixPairs = 0;
  private prefixBytes = 0;
  /** Changes of the present turn, in groups that are led here. */
  private readonly turn = new TurnChanges();
  private isTurnDue = false;
  /** Other nodes that are told, and those that tell. */
  private readonly watchers = new Set<Watcher>();
  private readonly watches = new Map<NodeId, Watch>();
  /** Writers are noted, from the end of the turn in which somebody has wanted it: of an entry all are or none. */
  private notesWriters = false;
  private isNotingDue = false;
  private waiters: (() => void)[] = [];
  private listed: readonly NodeId[] | undefined;
  private rounds = 0;
  private cancelRound: () => void = () => undefined;
  private isStopped = false;

  /** @param others undefined: there is no other node. Else call before the network is started */
  constructor(scheduler: Scheduler, others?: TrackingPeers) {
    this.scheduler = scheduler;
    this.others = others;
    others?.network.onDuplex(CHANGE_STREAM, (_from, header, stream) => this.accept(header, stream));
  }

  start(): void {
    if (this.others === undefined) return;
    const round = (): void => {
      this.cancelRound = this.scheduler.after(ROUND_MS, round);
      this.rounds++;
      this.lookAtPeers();
      for (const watch of this.watches.values()) watch.round();
      for (const watcher of this.watchers) watcher.round();
      this.standingChanged();
    };
    round();
  }

  stop(): void {
    this.isStopped = true;
    this.cancelRound();
    this.closeWatches();
    for (const watcher of [...this.watchers]) watcher.close();
    this.standingChanged();
  }

  get figures(): TrackingFigures {
    const { clients, table, prefixes } = this;
    return { clients: clients.size, keys: table.size, items: table.items, prefixes: prefixes.size };
  }

  // Clients of this node.

  /** A client keeps keys from now on, or wants something else than before. */
  joined(client: TrackingClient): void {
    this.clients.set(client.id, client);
    this.wantsChanged();
    this.lookAtPeers();
  }

  /** A client keeps nothing any more. */
  left(client: TrackingClient): void {
    if (!this.clients.delete(client.id)) return;
    if (this.clients.size === 0) {
      this.table.clear();
      this.closeWatches();
    }
    this.wantsChanged();
  }

  /** False when clients of this node have so many prefixes that no more can be remembered. */
  hasRoomFor(prefixes: readonly Buffer[]): boolean {
    const bytes = prefixes.reduce((sum, { length }) => sum + length, this.prefixBytes);
    return this.prefixPairs + prefixes.length <= MAX_PREFIXES && bytes <= MAX_PREFIX_BYTES;
  }

  /** A client is told of the keys that begin so. */
  addPrefix(prefix: string, client: TrackingClient): void {
    const known = this.prefixes.get(prefix) ?? { clients: new Set() };
    this.prefixes.set(prefix, known);
    if (known.clients.has(client)) return;
    known.clients.add(client);
    this.prefixPairs++;
    this.prefixBytes += prefix.length;
  }

  removePrefix(prefix: string, client: TrackingClient): void {
    const known = this.prefixes.get(prefix);
    if (known?.clients.delete(client) !== true) return;
    this.prefixPairs--;
    this.prefixBytes -= prefix.length;
    if (known.clients.size === 0) this.prefixes.delete(prefix);
  }

  /**
   * A client is about to read a key. Call before the read is sent on: what is changed later is told to it, and what was changed before the read sees.
   * @param place of the reply; -1: what invalidates the key waits for nothing
   */
  remember(client: TrackingClient, key: string, place: number): void {
    this.table.add(key, client.id, place);
    this.shrink();
  }

  private shrink(): void {
    for (;;) {
      const key = this.table.overdue(this.maxKeys);
      if (key === undefined) return;
      this.invalidateNoted({ key, client: NOBODY });
    }
  }

  /** Settles when every node that counts as alive tells what is changed there; undefined when that is so already. */
  watching(): Promise<void> | undefined {
    this.lookAtPeers();
    return this.isWatching() ? undefined : new Promise((resolve) => this.waiters.push(resolve));
  }

  // What is changed in the groups that this node leads.

  /** Somebody wants to hear of it. */
  get isListening(): boolean {
    return this.clients.size > 0 || this.watchers.size > 0;
  }

  /** See `ChangeListener.changed`. */
  changed(row: Buffer, hasExpired: boolean, ts: HlcTimestamp): void {
    if (!this.isListening) return;
    // That something expires is nobody's doing, whoever writes over it.
    this.turn.changed(row, ts, hasExpired || !this.notesWriters);
    this.tellLater();
  }

  /** See `ChangeListener.deleted`. */
  deleted(start: Buffer, end: Buffer, ts: HlcTimestamp): void {
    if (!this.isListening) return;
    this.turn.deleted(start, end, ts, !this.notesWriters);
    this.tellLater();
  }

  /** This node leads a group from now on: what the leader before has applied it may have told nobody. */
  began(): void {
    if (!this.isListening) return;
    this.turn.everything();
    this.tellLater();
  }

  get areWanted(): boolean {
    return this.notesWriters;
  }

  wrote(client: number, written: WrittenRows): void {
    this.turn.wrote(client, written);
  }

  private tellLater(): void {
    if (this.isTurnDue || this.turn.isEmpty) return;
    this.isTurnDue = true;
    this.scheduler.endOfTurn(() => {
      this.isTurnDue = false;
      const changes = this.turn.take();
      for (const watcher of this.watchers) watcher.tell(changes);
      this.invalidate(changes);
    });
  }

  // What clients of this node are told.

  private invalidate(changes: { readonly isEverything: boolean; readonly keys: readonly ChangedKey[] }): void {
    if (changes.isEverything) this.forgetAll();
    if (this.clients.size === 0) return;
    const broadcast = new Map<Prefix, ChangedKey[]>();
    for (const changed of changes.keys) {
      this.invalidateNoted(changed);
      for (const [prefix, known] of this.prefixes) {
        if (!changed.key.startsWith(prefix)) continue;
        const fitting = broadcast.get(known);
        if (fitting === undefined) broadcast.set(known, [changed]);
        else fitting.push(changed);
      }
    }
    for (const [{ clients }, keys] of broadcast) this.tellPrefix(clients, keys);
  }

  /** Those who may keep a key are told, and it is not known any more. */
  private invalidateNoted({ key, client: writer }: ChangedKey): void {
    for (const { client: id, place } of this.table.take(key)) {
      const client = this.clients.get(id);
      if (client === undefined || client.isBroadcast || (client.isQuiet && id === writer)) continue;
      client.invalidate([key], place);
    }
  }

  /** In the order of the keys, as in Redis. */
  private tellPrefix(clients: ReadonlySet<TrackingClient>, changed: readonly ChangedKey[]): void {
    const sorted = changed.length === 1 ? changed : changed.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    for (const client of clients) {
      const told = client.isQuiet ? sorted.filter(({ client: writer }) => writer !== client.id) : sorted;
      const keys = told.map(({ key }) => key);
      if (keys.length > 0) client.invalidate(keys, undefined);
    }
  }

  private forgetAll(): void {
    this.table.clear();
    for (const client of this.clients.values()) client.forgetAll();
  }

  // Other nodes.

  /** Another node wants to be told. What it throws refuses the stream. */
  private accept(header: Buffer, stream: DuplexStream): void {
    const begun = decodeHeader(header);
    if (this.isStopped) {
      stream.onEnd(() => undefined);
      stream.close();
      return;
    }
    const watcher = new Watcher({
      stream,
      header: begun,
      scheduler: this.scheduler,
      notesWriters: () => this.notesWriters,
      onWanting: () => this.writersWanted(),
      onGone: (gone) => {
        this.watchers.delete(gone);
        this.writersWanted();
      },
      onError: this.others!.onError,
    });
    this.watchers.add(watcher);
    this.writersWanted();
    // From now on all is told, which the first frame says. It leaves when the turn is over, behind what it may have missed of it.
    this.scheduler.endOfTurn(() => watcher.tell({ isEverything: false, keys: [] }));
  }

  /** Follows the list of the cluster's nodes, while there is somebody to be told. */
  private lookAtPeers(): void {
    if (this.others === undefined || this.isStopped) return;
    const listed = this.others.peers();
    if (listed === undefined) return;
    this.listed = listed;
    if (this.clients.size === 0) return;
    for (const node of listed) if (node !== this.others.network.self) this.watchOf(node);
    for (const [node, watch] of this.watches) {
      if (listed.includes(node)) continue;
      watch.close();
      this.watches.delete(node);
    }
  }

  private watchOf(peer: NodeId): void {
    if (this.watches.has(peer)) return;
    const { network, random, onError } = this.others!;
    const watch = new Watch({
      peer,
      scheduler: this.scheduler,
      random,
      open: (kind, header) => network.duplex(peer, kind, header),
      wantsWriters: () => this.hasQuietClients(),
      onChanges: (changes) => this.invalidate(changes),
      onGap: () => this.forgetAll(),
      onStanding: () => this.standingChanged(),
      onError,
    });
    this.watches.set(peer, watch);
  }

  private closeWatches(): void {
    for (const watch of this.watches.values()) watch.close();
    this.watches.clear();
  }

  private hasQuietClients(): boolean {
    for (const { isQuiet } of this.clients.values()) if (isQuiet) return true;
    return false;
  }

  private wantsChanged(): void {
    for (const watch of this.watches.values()) watch.wantsChanged();
    this.writersWanted();
  }

  /** Begins or ends to note writers. */
  private writersWanted(): void {
    if (!this.areWritersWanted()) this.notesWriters = false;
    else if (!this.notesWriters && !this.isNotingDue) {
      this.isNotingDue = true;
      // Not at once: the entry of this turn may have writers that were not noted.
      this.scheduler.endOfTurn(() => {
        this.isNotingDue = false;
        this.noteWriters();
      });
    }
  }

  private noteWriters(): void {
    if (!this.areWritersWanted()) return;
    this.notesWriters = true;
    for (const watcher of this.watchers) watcher.tell({ isEverything: false, keys: [] });
    this.standingChanged();
  }

  private areWritersWanted(): boolean {
    if (this.hasQuietClients()) return true;
    for (const { wantsWriters } of this.watchers) if (wantsWriters) return true;
    return false;
  }

  private isWatching(): boolean {
    if (this.isStopped) return true;
    if (this.hasQuietClients() && !this.notesWriters) return false;
    if (this.others === undefined) return true;
    if (this.listed === undefined && this.rounds < UNTOLD_ROUNDS) return false;
    for (const watch of this.watches.values()) if (watch.isAlive && !watch.isReady) return false;
    return true;
  }

  private standingChanged(): void {
    if (this.waiters.length === 0 || !this.isWatching()) return;
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}
