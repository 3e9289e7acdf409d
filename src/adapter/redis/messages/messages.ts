/**
 * Messages between clients, over all nodes. Each node knows what clients of every other node listen to, so a message goes to those nodes alone that
 * have somebody for it. What a client is promised: a message comes at most once; those that one connection publishes to a channel come in their
 * order; what is published anywhere after SUBSCRIBE has answered comes, unless the client's node dies or is cut off.
 */
import type { DuplexStream, NodeId, PeerNetwork, Random, Scheduler } from '../../../platform/index.ts';
import { EncodedReply, encodeReply, globMatches, PushReply } from '../protocol/index.ts';
import { decodeHeader, encodeMessage, MESSAGE_STREAM, type MessageFrame, type Published } from './codec.ts';
import { Lane, type LaneCounters } from './lane.ts';
import { Peer } from './peer.ts';
import { keyOf, listenersOf, type Scope, type Subscriber, type Topic, Topics } from './topics.ts';

/** Between rounds: peers that are silent are asked, see `Peer.round`. */
const ROUND_MS = 500;
/** For so many rounds after the start it may be unknown which nodes there are. */
const UNTOLD_ROUNDS = 6;
const LIFE_BYTES = 6;
/** What the clients of a node may listen to together: all nodes remember the names. */
const MAX_SUBSCRIPTIONS = 1_000_000;
const MAX_NAME_BYTES = 256 * 1024 * 1024;
/** What a message is called that comes to a client by way of a topic. */
const MESSAGE_KINDS: Readonly<Record<Scope, string>> = { channel: 'message', pattern: 'pmessage', shard: 'smessage' };

/** Counters since the start, and what is there now. */
export interface MessageCounters extends Readonly<LaneCounters> {
  /** Messages that clients of this node, scripts that ran here and events published. */
  readonly publishedMessages: number;
  /** Messages that were pushed to clients of this node, each client counted. */
  readonly deliveredMessages: number;
  /** Pairs of a client of this node and what it listens to. */
  readonly subscriptions: number;
  /** Channels, patterns and shard channels that somebody in the cluster listens to. */
  readonly topics: Readonly<Record<Scope, number>>;
  /** Bytes of messages that wait for other nodes. */
  readonly backlogBytes: number;
}

export interface MessagesOptions {
  readonly network: Pick<PeerNetwork, 'self' | 'onDuplex' | 'duplex'>;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** The other nodes of the cluster that know these messages; undefined while nobody has said which there are. */
  readonly peers: () => readonly NodeId[] | undefined;
  readonly onError: (error: unknown) => void;
}

/** Waits until all nodes that count as alive know what clients listened to at a version. */
interface Waiter {
  readonly version: number;
  readonly resolve: () => void;
}

/** See the top of the file. */
export class Messages {
  private readonly topics = new Topics();
  private readonly options: MessagesOptions | undefined;
  private readonly life: number;
  private readonly peers = new Map<NodeId, Peer>();
  private readonly lanes: LaneCounters = { sentMessages: 0, droppedMessages: 0 };
  private publishedMessages = 0;
  private deliveredMessages = 0;
  /** Rises with every change of what clients of this node listen to. */
  private version = 0;
  /** By rising versions. */
  private waiters: Waiter[] = [];
  private publishers: (() => void)[] = [];
  /** The list that the peers were taken from. */
  private listed: readonly NodeId[] | undefined;
  private rounds = 0;
  private cancelRound: () => void = () => undefined;
  private isStopped = false;

  /** @param options undefined: there is no other node. Else call before the network is started */
  constructor(options?: MessagesOptions) {
    this.options = options;
    this.life = options?.random.bytes(LIFE_BYTES).readUIntBE(0, LIFE_BYTES) ?? 0;
    options?.network.onDuplex(MESSAGE_STREAM, (from, header, stream) => this.accept(from, header, stream));
  }

  start(): void {
    const { options } = this;
    if (options === undefined) return;
    const round = (): void => {
      this.cancelRound = options.scheduler.after(ROUND_MS, round);
      this.rounds++;
      this.lookAtPeers();
      if (this.listed !== undefined) this.dropStrangers(this.listed);
      for (const peer of this.peers.values()) peer.round();
      this.standingChanged();
    };
    round();
  }

  stop(): void {
    this.isStopped = true;
    this.cancelRound();
    for (const peer of this.peers.values()) peer.close();
    this.peers.clear();
    this.standingChanged();
  }

  /** False when clients of this node listen to so much that no more can be remembered. */
  hasRoomFor(names: readonly Buffer[]): boolean {
    const { subscriptions, nameBytes } = this.topics;
    const bytes = names.reduce((sum, name) => sum + name.length, nameBytes);
    return subscriptions + names.length <= MAX_SUBSCRIPTIONS && bytes <= MAX_NAME_BYTES;
  }

  /**
   * A client of this node listens from now on; nothing happens when it does already.
   * @param after place of the reply that tells it so: no message comes before that
   */
  subscribe(scope: Scope, name: Buffer, subscriber: Subscriber, after: number): void {
    if (this.topics.add(scope, name, subscriber, after)) this.changed(scope, keyOf(name));
  }

  /** @param key the name's bytes as latin1 text */
  unsubscribe(scope: Scope, key: string, subscriber: Subscriber): void {
    this.topics.remove(scope, key, subscriber);
    this.changed(scope, key);
  }

  private changed(scope: Scope, key: string): void {
    this.version++;
    for (const { lane } of this.peers.values()) lane.changed(scope, key, this.version);
  }

  /** Settles when every node that counts as alive knows what clients of this one listen to now; undefined when that is so already. */
  told(): Promise<void> | undefined {
    this.lookAtPeers();
    const { version } = this;
    if (this.isTold(version)) return undefined;
    return new Promise((resolve) => this.waiters.push({ version, resolve }));
  }

  /** Settles when this node may publish: it knows what clients of the others listen to. Undefined when it may now. */
  ready(): Promise<void> | undefined {
    this.lookAtPeers();
    if (this.isReady()) return undefined;
    return new Promise((resolve) => this.publishers.push(resolve));
  }

  /** True when somebody in the cluster listens to the channel: cheap when nobody listens to anything. */
  hasInterest(channel: Buffer): boolean {
    return this.topics.reachedBy(channel, false).next().done !== true;
  }

  /** True when nobody in the cluster listens to any channel or pattern. */
  get isIdle(): boolean {
    return this.topics.all('channel').size === 0 && this.topics.all('pattern').size === 0;
  }

  /** How many clients get what is published to a channel now: those that listen to it several times are counted several times. */
  receiversOf(channel: Buffer, isShard: boolean): number {
    let receivers = 0;
    for (const topic of this.topics.reachedBy(channel, isShard)) receivers += listenersOf(topic);
    return receivers;
  }

  /**
   * Sends a message to all who listen, here and elsewhere. To a shard channel only on the node that leads its slot's group, so that all get the
   * channel's messages in one order.
   * @returns how many clients it goes to
   */
  publish(published: Published): number {
    const { channel, isShard } = published;
    this.publishedMessages++;
    let receivers = 0;
    const nodes = new Set<NodeId>();
    for (const topic of this.topics.reachedBy(channel, isShard)) {
      receivers += this.push(topic, published);
      for (const [node, clients] of topic.remote) {
        nodes.add(node);
        receivers += clients;
      }
    }
    if (nodes.size === 0) return receivers;
    const item = encodeMessage(published);
    for (const node of nodes) this.peers.get(node)?.lane.send(item);
    return receivers;
  }

  /** Does something once this node may publish: at once when it may now. */
  whenReady(work: () => void): void {
    const ready = this.ready();
    if (ready === undefined) work();
    else void ready.then(work);
  }

  /** Sends a message once this node may, for those who need not know how many get it. */
  publishSoon(published: Published): void {
    this.whenReady(() => this.publish(published));
  }

  /** Names of a scope that somebody in the cluster listens to. @param pattern undefined: all */
  names(scope: Scope, pattern: Buffer | undefined): Buffer[] {
    const names: Buffer[] = [];
    for (const { name } of this.topics.all(scope).values()) {
      if (pattern === undefined || globMatches(pattern, name)) names.push(name);
    }
    return names;
  }

  /** How many clients in the cluster listen to a topic. */
  listeners(scope: Scope, name: Buffer): number {
    const topic = this.topics.find(scope, name);
    return topic === undefined ? 0 : listenersOf(topic);
  }

  get counters(): MessageCounters {
    let backlogBytes = 0;
    for (const { lane } of this.peers.values()) backlogBytes += lane.backlogBytes;
    const size = (scope: Scope): number => this.topics.all(scope).size;
    return {
      ...this.lanes,
      publishedMessages: this.publishedMessages,
      deliveredMessages: this.deliveredMessages,
      subscriptions: this.topics.subscriptions,
      topics: { channel: size('channel'), pattern: size('pattern'), shard: size('shard') },
      backlogBytes,
    };
  }

  /**
   * Pushes a message to the clients of this node that listen to a topic. All of a protocol version get the same bytes.
   * @returns how many, as `receiversOf` counts
   */
  private push({ scope, name, local: clients }: Topic, { channel, message }: Published): number {
    const kind = MESSAGE_KINDS[scope];
    const elements = scope === 'pattern' ? [kind, name, channel, message] : [kind, channel, message];
    const encoded: { 2?: EncodedReply; 3?: EncodedReply } = {};
    const receivers = clients.size;
    for (const [client, after] of clients) {
      const { resp } = client;
      const bytes = encoded[resp] ?? new EncodedReply(encodeReply(new PushReply(elements), resp));
      encoded[resp] = bytes;
      client.push(bytes, after);
    }
    this.deliveredMessages += receivers;
    return receivers;
  }

  private accept(from: NodeId, bytes: Buffer, stream: DuplexStream): void {
    if (this.isStopped) {
      stream.onEnd(() => undefined);
      stream.close();
      return;
    }
    // What it throws refuses the stream. A node that nobody has told of yet is one all the same: the network has let it in.
    const header = decodeHeader(bytes);
    this.peerOf(from).accept(stream, header);
  }

  private peerOf(node: NodeId): Peer {
    const known = this.peers.get(node);
    if (known !== undefined) return known;
    const { network, scheduler, random, onError } = this.options!;
    const { topics } = this;
    const lane = new Lane({
      peer: node,
      life: this.life,
      topics,
      counters: this.lanes,
      scheduler,
      random,
      open: (kind, header) => network.duplex(node, kind, header),
      onAnswer: () => {
        peer.heard();
        this.standingChanged();
      },
      version: () => this.version,
      onError,
    });
    const peer: Peer = new Peer({
      lane,
      topics,
      scheduler,
      onMessages: (frame) => this.receive(frame),
      onStanding: () => this.standingChanged(),
      onError,
    });
    this.peers.set(node, peer);
    return peer;
  }

  private receive({ messages }: MessageFrame): void {
    for (const published of messages) {
      for (const topic of this.topics.reachedBy(published.channel, published.isShard)) this.push(topic, published);
    }
  }

  /** Follows the list of the cluster's nodes. */
  private lookAtPeers(): void {
    if (this.options === undefined || this.isStopped) return;
    const { network, peers } = this.options;
    const listed = peers();
    if (listed === undefined || listed === this.listed) return;
    this.listed = listed;
    for (const node of listed) if (node !== network.self) this.peerOf(node);
    this.dropStrangers(listed);
  }

  /** Nodes that the cluster does not have. One that sends is new, and nobody has told of it yet. */
  private dropStrangers(listed: readonly NodeId[]): void {
    for (const [node, peer] of this.peers) {
      if (listed.includes(node) || peer.isConnected) continue;
      peer.close();
      this.peers.delete(node);
    }
  }

  private isTold(version: number): boolean {
    for (const { lane, isAlive } of this.peers.values()) if (isAlive && lane.told < version) return false;
    return true;
  }

  private isReady(): boolean {
    if (this.options === undefined || this.isStopped) return true;
    if (this.listed === undefined && this.rounds < UNTOLD_ROUNDS) return false;
    for (const { isKnown } of this.peers.values()) if (!isKnown) return false;
    return true;
  }

  private standingChanged(): void {
    let settled = 0;
    while (settled < this.waiters.length && this.isTold(this.waiters[settled]!.version)) settled++;
    for (const { resolve } of this.waiters.splice(0, settled)) resolve();
    if (this.publishers.length === 0 || !this.isReady()) return;
    const publishers = this.publishers;
    this.publishers = [];
    for (const resolve of publishers) resolve();
  }
}
