/**
 * Who listens to what: clients of this node, and other nodes with the numbers of theirs. A name is any bytes; as a key it is their latin1 text.
 *
 * Three scopes share one shape. A topic is there as long as somebody listens to it, here or elsewhere, so that publishing looks up one map and
 * walks over the patterns.
 */
import type { NodeId } from '../../../platform/index.ts';
import { type EncodedReply, globMatches } from '../protocol/index.ts';

/** What a client can listen to: a channel, all channels that a pattern fits, a channel that belongs to a slot. */
export type Scope = 'channel' | 'pattern' | 'shard';

export const SCOPES: readonly Scope[] = ['channel', 'pattern', 'shard'];

/** A client that messages are pushed to. */
export interface Subscriber {
  /** Protocol version of what it gets. */
  readonly resp: 2 | 3;
  /** @param after place of the reply that the message goes behind */
  push(message: EncodedReply, after?: number): void;
}

/** One channel or pattern that somebody listens to. */
export interface Topic {
  readonly scope: Scope;
  readonly name: Buffer;
  /** Clients of this node, with the place of the reply that told them that they listen. */
  readonly local: Map<Subscriber, number>;
  /** How many clients of each other node. */
  readonly remote: Map<NodeId, number>;
}

export const keyOf = (name: Buffer): string => name.toString('latin1');

/** How many clients listen to a topic, everywhere. */
export function listenersOf({ local, remote }: Topic): number {
  let count = local.size;
  for (const clients of remote.values()) count += clients;
  return count;
}

/** See the top of the file. */
export class Topics {
  private readonly scopes: Readonly<Record<Scope, Map<string, Topic>>> = {
    channel: new Map(),
    pattern: new Map(),
    shard: new Map(),
  };
  /** Names that each other node listens to. */
  private readonly ofPeers = new Map<NodeId, Readonly<Record<Scope, Set<string>>>>();
  /** Pairs of a client of this node and a topic. */
  private localPairs = 0;
  private localNameBytes = 0;

  /** Pairs of a client of this node and what it listens to. */
  get subscriptions(): number {
    return this.localPairs;
  }

  /** Bytes of the names in those pairs. */
  get nameBytes(): number {
    return this.localNameBytes;
  }

  /** Topics of a scope that anybody listens to. */
  all(scope: Scope): ReadonlyMap<string, Topic> {
    return this.scopes[scope];
  }

  find(scope: Scope, name: Buffer): Topic | undefined {
    const topics = this.scopes[scope];
    return topics.size === 0 ? undefined : topics.get(keyOf(name));
  }

  /** All that a message to a channel goes to: the channel first, then the patterns that fit it. Shard channels have no patterns. */
  *reachedBy(channel: Buffer, isShard: boolean): Generator<Topic, void> {
    const topic = this.find(isShard ? 'shard' : 'channel', channel);
    if (topic !== undefined) yield topic;
    if (isShard) return;
    for (const pattern of this.scopes.pattern.values()) if (globMatches(pattern.name, channel)) yield pattern;
  }

  /** How many clients of this node listen to a topic. */
  localCount(scope: Scope, key: string): number {
    return this.scopes[scope].get(key)?.local.size ?? 0;
  }

  /** What clients of this node listen to. */
  *local(): Iterable<readonly [Scope, string]> {
    for (const scope of SCOPES) {
      for (const [key, { local }] of this.scopes[scope]) if (local.size > 0) yield [scope, key];
    }
  }

  /** @returns false when the client listens already */
  add(scope: Scope, name: Buffer, subscriber: Subscriber, after: number): boolean {
    const { local } = this.make(scope, keyOf(name), name);
    if (local.has(subscriber)) return false;
    local.set(subscriber, after);
    this.localPairs++;
    this.localNameBytes += name.length;
    return true;
  }

  remove(scope: Scope, key: string, subscriber: Subscriber): void {
    const topic = this.scopes[scope].get(key);
    if (topic?.local.delete(subscriber) !== true) return;
    this.localPairs--;
    this.localNameBytes -= key.length;
    this.dropIdle(scope, key, topic);
  }

  /** A node says how many of its clients listen to a topic. */
  tell(peer: NodeId, scope: Scope, key: string, clients: number): void {
    let names = this.ofPeers.get(peer);
    if (names === undefined) {
      names = { channel: new Set(), pattern: new Set(), shard: new Set() };
      this.ofPeers.set(peer, names);
    }
    if (clients > 0) {
      this.make(scope, key, undefined).remote.set(peer, clients);
      names[scope].add(key);
      return;
    }
    names[scope].delete(key);
    const topic = this.scopes[scope].get(key);
    if (topic?.remote.delete(peer) === true) this.dropIdle(scope, key, topic);
  }

  /** Nothing is known any more of what clients of a node listen to. */
  forget(peer: NodeId): void {
    const names = this.ofPeers.get(peer);
    this.ofPeers.delete(peer);
    if (names === undefined) return;
    for (const scope of SCOPES) {
      for (const key of names[scope]) {
        const topic = this.scopes[scope].get(key)!;
        topic.remote.delete(peer);
        this.dropIdle(scope, key, topic);
      }
    }
  }

  private make(scope: Scope, key: string, name: Buffer | undefined): Topic {
    let topic = this.scopes[scope].get(key);
    if (topic === undefined) {
      const kept = name === undefined ? Buffer.from(key, 'latin1') : Buffer.from(name);
      topic = { scope, name: kept, local: new Map(), remote: new Map() };
      this.scopes[scope].set(key, topic);
    }
    return topic;
  }

  private dropIdle(scope: Scope, key: string, { local, remote }: Topic): void {
    if (local.size === 0 && remote.size === 0) this.scopes[scope].delete(key);
  }
}
